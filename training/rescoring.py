"""What a version says of the texts that wait for an annotator, most uncertain first."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from training.pipeline import Pipeline
from training.spans import Prediction, ScoredSpan, parse_spans
from training.store.tables import PredictionKind, Task
from training.store.unit_of_work import Store

# Label Studio serves the lowest score first: what somebody proposed waits for a person, not for a model.
PROPOSAL_SCORE = 0.0
CHUNK = 500


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

    A task with a proposal gets the proposal, never model output (rule 4); one with too long a text gets nothing.
    """
    found: list[TaskPrediction] = []
    last = -1
    while True:
        with store.read() as uow:
            chunk = uow.texts.unfinished(project_id, after=last, limit=CHUNK)
        if not chunk:
            return sorted(found, key=lambda one: (one.prediction.score, one.task_id))
        last = chunk[-1][0].id
        wanted = [(task, text) for task, text in chunk if task.id not in skip and len(text) <= max_text_chars]
        found += _predict_chunk(wanted, pipeline)


def _predict_chunk(chunk: list[tuple[Task, str]], pipeline: Pipeline) -> list[TaskPrediction]:
    proposed = [(task, text) for task, text in chunk if task.proposal is not None]
    others = [(task, text) for task, text in chunk if task.proposal is None]
    predictions = pipeline.predict([text for _, text in others])
    return [
        TaskPrediction(task.id, text, propose(task.proposal or []), PredictionKind.PROPOSAL) for task, text in proposed
    ] + [
        TaskPrediction(task.id, text, prediction, PredictionKind.MODEL)
        for (task, text), prediction in zip(others, predictions, strict=True)
    ]


def propose(rows: list[dict[str, object]]) -> Prediction:
    """What a proposal shows: its spans, each certain, and the score that brings its task up first."""
    spans = (ScoredSpan(s.start, s.end, s.label, 1.0, "proposal") for s in parse_spans(rows))
    return Prediction(tuple(spans), PROPOSAL_SCORE)
