"""The model class of label-studio-ml's contract: tasks in, one result each, all of the announced version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from label_studio_ml.model import LabelStudioMLBase

from config.log import get_logger
from ml_backend.model_slot import LoadedModel
from sync.convert import to_regions
from sync.labelling import LabellingConfig, text_of
from training.proposals import propose
from training.spans import Prediction

log = get_logger(__name__)
NOTHING = Prediction((), 1.0)

Proposals = Mapping[int, list[dict[str, Any]]]


class SpanloopModel(LabelStudioMLBase):
    """Serves one project's announced version for one request."""

    def __init__(
        self, *, config: LabellingConfig, model: LoadedModel, proposals: Proposals, max_text_chars: int
    ) -> None:
        super().__init__()
        self._config, self._model, self._proposals = config, model, proposals
        self._max_text_chars = max_text_chars

    def predict(self, tasks: Sequence[Mapping[str, Any]], **_: Any) -> list[dict[str, Any]]:
        """One result for each task, in order: `result` (regions), `score`, `model_version`.

        A task without a usable text gets an empty result: one result too few, and Label Studio stores none.
        """
        texts = [self._text(task) for task in tasks]
        usable = [index for index, text in enumerate(texts) if text and self._proposed(tasks[index]) is None]
        predicted = dict(zip(usable, self._model.predict([texts[i] or "" for i in usable]), strict=True))
        return [
            self._answer(texts[index] or "", self._proposed(task) or predicted.get(index, NOTHING))
            for index, task in enumerate(tasks)
        ]

    def _text(self, task: Mapping[str, Any]) -> str | None:
        data = task.get("data")
        text = text_of(data, self._config.text_key) if isinstance(data, Mapping) else None
        if text is None:
            log.warning("task_without_text", task_id=task.get("id"), text_key=self._config.text_key)
        elif len(text) > self._max_text_chars:
            log.warning("text_too_long", task_id=task.get("id"), characters=len(text), limit=self._max_text_chars)
            return None
        return text

    def _proposed(self, task: Mapping[str, Any]) -> Prediction | None:
        rows = self._proposals.get(task.get("id", -1))
        return None if rows is None else propose(rows)

    def _answer(self, text: str, prediction: Prediction) -> dict[str, Any]:
        return {
            "result": to_regions(prediction.spans, self._config, text),
            "score": prediction.score,
            "model_version": self._model.version,
        }
