"""The model class of label-studio-ml's contract: tasks in, one result each, all of the announced version."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from label_studio_ml.model import LabelStudioMLBase

from config.log import get_logger
from ml_backend.model_slot import LoadedModel
from sync.convert import to_regions
from sync.labelling import LabellingConfig, text_of
from training.examples.proposals import propose
from training.spans import Prediction, find_text_fault, with_finite_scores

log = get_logger(__name__)
NOTHING = Prediction((), 1.0)

Proposals = Mapping[int, list[dict[str, Any]]]


class SpanloopModel(LabelStudioMLBase):
    """Serves one project's announced version for one request."""

    def __init__(
        self,
        *,
        config: LabellingConfig,
        model: LoadedModel,
        proposals: Proposals,
        max_text_chars: int,
        challenger: LoadedModel | None = None,
        challenged: Collection[int] = (),
    ) -> None:
        """`challenger` speaks for the tasks with these ids, under the announced version's name."""
        super().__init__()
        self._challenger, self._challenged = challenger, frozenset(challenged)
        self._config, self._model, self._proposals = config, model, proposals
        self._max_text_chars = max_text_chars

    def predict(self, tasks: Sequence[Mapping[str, Any]], **_: Any) -> list[dict[str, Any]]:
        """One result for each task, in order: `result` (regions), `score`, `model_version`.

        A task without a usable text gets an empty result: one result too few, and Label Studio stores none.
        """
        texts = [self._text(task) for task in tasks]
        proposed = [self._proposed(task) for task in tasks]
        wanted = [
            index for index, task in enumerate(tasks) if proposed[index] is None and self._fits(task, texts[index])
        ]
        predicted = dict(zip(wanted, self._model.predict([texts[index] for index in wanted]), strict=True))
        theirs = [index for index in wanted if self._challenger and self._is_challenged(tasks[index])]
        if self._challenger and theirs:
            said = self._challenger.predict([texts[index] for index in theirs])
            # The live version's score decides when a task comes up, or one version would get the easier texts.
            predicted |= {
                index: Prediction(one.spans, predicted[index].score) for index, one in zip(theirs, said, strict=True)
            }
        return [
            self._answer(text, proposed[index] or predicted.get(index, NOTHING)) for index, text in enumerate(texts)
        ]

    def _text(self, task: Mapping[str, Any]) -> str:
        data = task.get("data")
        text = text_of(data, self._config.text_key) if isinstance(data, Mapping) else None
        if text is None:
            log.warning("task_without_text", task_id=task.get("id"), text_key=self._config.text_key)
        return text or ""

    def _fits(self, task: Mapping[str, Any], text: str) -> bool:
        if len(text) > self._max_text_chars:
            log.warning("text_too_long", task_id=task.get("id"), characters=len(text), limit=self._max_text_chars)
            return False
        if fault := find_text_fault(text):
            log.warning("text_unusable", task_id=task.get("id"), reason=fault)
        return bool(text) and fault is None

    def _proposed(self, task: Mapping[str, Any]) -> Prediction | None:
        task_id = task.get("id")
        rows = self._proposals.get(task_id) if isinstance(task_id, int) else None
        return None if rows is None else propose(rows)

    def _is_challenged(self, task: Mapping[str, Any]) -> bool:
        task_id = task.get("id")
        return isinstance(task_id, int) and task_id in self._challenged

    def _answer(self, text: str, prediction: Prediction) -> dict[str, Any]:
        prediction = with_finite_scores(prediction)
        return {
            "result": to_regions(prediction.spans, self._config, text),
            "score": prediction.score,
            "model_version": self._model.version,
        }
