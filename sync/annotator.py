"""What an annotator does on the labelling page, through the API that the page itself uses."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from config.errors import LabelStudioError
from sync.client import LabelStudio
from sync.convert import spans_of
from sync.labelling import LabellingConfig, text_of
from sync.records import StoredPrediction
from training.feedback import count_edits
from training.spans import Span

SECONDS_TO_OPEN = 1.5
SECONDS_PER_CHARACTER = 0.04  # about 250 English words a minute
SECONDS_PER_EDIT = 4.0


@dataclass(frozen=True, slots=True)
class Page:
    """A labelling page: a task's text, and the pre-label that stands on it, if there is one."""

    task_id: int
    text: str
    prelabel: StoredPrediction | None
    shown: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Submission:
    """A submitted annotation: the version it started from, and what had to be changed.

    `accepted` says whether the pre-label was left as it was; None where there was none. `edits` counts the spans
    that were added or taken away, a moved or relabelled one once.
    """

    annotation_id: int
    version: str | None
    spans: int
    edits: int
    accepted: bool | None
    lead_time: float


class Annotator:
    """Labels one project's tasks in the order of its labelling queue."""

    def __init__(self, client: LabelStudio, project_id: int, config: LabellingConfig) -> None:
        self._client, self._project_id, self._config = client, project_id, config

    def open_next(self) -> Page | None:
        """The page that the queue shows next; None where every task is done.

        The page starts from the first prediction that the queue sends along, which are those of the version that
        the project shows. Raises LabelStudioError for a task without a text.
        """
        task = self._client.next_task(self._project_id)
        if task is None:
            return None
        text = text_of(task.data, self._config.text_key)
        if text is None:
            raise LabelStudioError(f"task {task.id} has no text under {self._config.text_key!r}")
        prelabel = task.predictions[0] if task.predictions else None
        shown = spans_of(prelabel.result, self._config, text).spans if prelabel else ()
        return Page(task.id, text, prelabel, shown)

    def submit(self, page: Page, spans: Sequence[Span]) -> Submission:
        """Correct the page's pre-label to exactly these spans, and submit."""
        start = page.prelabel.result if page.prelabel else []
        edits = count_edits(spans, page.shown)
        lead_time = estimate_lead_time(page.text, edits=edits)
        made = self._client.create_annotation(
            page.task_id,
            correct_regions(start, spans, self._config, page.text),
            parent_prediction=page.prelabel.id if page.prelabel else None,
            lead_time=lead_time,
            was_cancelled=False,
            ground_truth=False,
        )
        return Submission(
            annotation_id=made.id,
            version=page.prelabel.model_version if page.prelabel else None,
            spans=len(set(spans)),
            edits=edits,
            accepted=set(spans) == set(page.shown) if page.prelabel else None,
            lead_time=lead_time,
        )


def estimate_lead_time(text: str, *, edits: int) -> float:
    """Seconds that a person may need for a text with so many edits: a guess, for figures that need some."""
    return round(SECONDS_TO_OPEN + SECONDS_PER_CHARACTER * len(text) + SECONDS_PER_EDIT * edits, 1)


def correct_regions(
    start: Sequence[Any], spans: Sequence[Span], config: LabellingConfig, text: str
) -> list[dict[str, Any]]:
    """The regions that the page would submit for these spans, having started from `start`.

    A region that stays keeps its id and is of origin `prediction`; one that is relabelled or moved keeps its id and
    becomes `prediction-changed`; a region drawn anew is `manual`. What is left over of `start` is gone.
    """
    left = [(region, found[0]) for region in start if len(found := spans_of([region], config, text).spans) == 1]
    wanted = sorted(set(spans))
    made: dict[Span, dict[str, Any]] = {}
    for alike in (_equal, _same_place, _overlapping):
        for span in wanted:
            match = next((pair for pair in left if span not in made and alike(pair[1], span)), None)
            if match is not None:
                left.remove(match)
                made[span] = _correct(match[0], match[1], span, config, text)
    return [made.get(span) or _draw(span, config, text) for span in wanted]


def _equal(old: Span, new: Span) -> bool:
    return old == new


def _same_place(old: Span, new: Span) -> bool:
    return (old.start, old.end) == (new.start, new.end)


def _overlapping(old: Span, new: Span) -> bool:
    return old.label == new.label and old.start < new.end and new.start < old.end


def _correct(region: Mapping[str, Any], old: Span, new: Span, config: LabellingConfig, text: str) -> dict[str, Any]:
    if old == new:
        return {**region, "origin": "prediction"}
    return {**region, **_place(new, config, text), "origin": "prediction-changed"}


def _draw(span: Span, config: LabellingConfig, text: str) -> dict[str, Any]:
    region_id = hashlib.sha256(f"manual:{span.start}:{span.end}:{span.label}".encode()).hexdigest()[:10]
    return {"id": region_id, **_place(span, config, text), "origin": "manual"}


def _place(span: Span, config: LabellingConfig, text: str) -> dict[str, Any]:
    value = {"start": span.start, "end": span.end, "text": text[span.start : span.end], "labels": [span.label]}
    return {
        "from_name": config.control_of(span.label),
        "to_name": config.to_name,
        "type": "labels",
        "value": value,
    }
