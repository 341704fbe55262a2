"""What a version says of the texts that wait for an annotator, most uncertain first."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from training.pipeline import Pipeline
from training.proposals import propose
from training.spans import Prediction
from training.store.tables.annotations import PredictionKind
from training.store.tables.texts import Task
from training.store.unit_of_work import Store

CHUNK = 500
NOTHING = Prediction((), 1.0)


@dataclass(frozen=True, slots=True)
class TaskPrediction:
    """A prediction for one waiting task."""

    task_id: int
    text: str
    prediction: Prediction
    kind: PredictionKind


def predict_unfinished(
    store: Store, project_id: int, pipeline: Pipeline, *, skip: Collection[int], max_text_chars: int
) -> list[TaskPrediction]:
    """Predict every waiting task but those in `skip`, lowest score first.

    A task with a proposal gets the proposal, never model output (rule 4); one with too long a text an empty
    prediction, for a task without any would be waited for again and again.
    """
    found: list[TaskPrediction] = []
    last = -1
    while True:
        with store.read() as uow:
            chunk = uow.texts.unfinished(project_id, after=last, limit=CHUNK)
        if not chunk:
            return sorted(found, key=lambda one: (one.prediction.score, one.task_id))
        last = chunk[-1][0].id
        wanted = [(task, text) for task, text in chunk if task.id not in skip]
        found += _predict_chunk(wanted, pipeline, max_text_chars=max_text_chars)


def _predict_chunk(chunk: list[tuple[Task, str]], pipeline: Pipeline, *, max_text_chars: int) -> list[TaskPrediction]:
    proposed = [(task, text) for task, text in chunk if task.proposal is not None]
    others = [(task, text) for task, text in chunk if task.proposal is None]
    readable = [(task, text) for task, text in others if len(text) <= max_text_chars]
    predicted = dict(
        zip((task.id for task, _ in readable), pipeline.predict([text for _, text in readable]), strict=True)
    )
    return [
        TaskPrediction(task.id, text, propose(task.proposal or []), PredictionKind.PROPOSAL) for task, text in proposed
    ] + [TaskPrediction(task.id, text, predicted.get(task.id, NOTHING), PredictionKind.MODEL) for task, text in others]
