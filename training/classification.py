"""What was classified for an application: its results, where they are to be kept, and the counts in any case."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from training.latency import bucket_of, quantile
from training.policy import parse_settings
from training.spans import Prediction
from training.store.tables.annotations import PredictionKind
from training.store.tables.base import new_id
from training.store.tables.feedback import MLClassificationResult
from training.store.tables.projects import Project
from training.store.tallies import Entry, TallyName
from training.store.unit_of_work import UnitOfWork

TEXTS, SPANS = "texts", "spans"


@dataclass(frozen=True, slots=True)
class Classified:
    """What a version said of some texts, one prediction each, and how long one of them took."""

    model_id: str
    version: str
    texts: Sequence[str]
    predictions: Sequence[Prediction]
    milliseconds_each: float


def record_classified(
    uow: UnitOfWork, project: Project, classified: Classified, *, contributor_id: int, now: datetime
) -> list[str | None]:
    """Count what was classified and keep it as results, by the project's settings; each text's result, or None.

    A text that is only classified gets no part of the split: that comes with its first example.
    """
    uow.tallies.add(_count(project.id, classified))
    settings = parse_settings(project.settings)
    if not settings.record_results:
        return [None] * len(classified.texts)
    rows = [
        MLClassificationResult(
            id=new_id(),
            project_id=project.id,
            text_id=None,
            text=text if settings.record_texts else None,
            task_id=None,
            prediction_id=None,
            model_id=classified.model_id,
            model_version=classified.version,
            kind=PredictionKind.MODEL,
            entities=[span.to_json() for span in prediction.spans],
            score=prediction.score,
            contributor_id=contributor_id,
            processing_time_ms=classified.milliseconds_each,
            created_at=now,
        )
        for text, prediction in zip(classified.texts, classified.predictions, strict=True)
    ]
    uow.feedback.add_results(rows)
    return [row.id for row in rows]


def _count(project_id: int, classified: Classified) -> Counter[Entry]:
    version, number = classified.version, len(classified.texts)
    counts: Counter[Entry] = Counter(
        {
            (project_id, TallyName.CLASSIFIED, version, TEXTS): number,
            (project_id, TallyName.LATENCY, str(bucket_of(classified.milliseconds_each)), ""): number,
        }
    )
    for prediction in classified.predictions:
        counts[project_id, TallyName.CLASSIFIED, version, SPANS] += len(prediction.spans)
        for span in prediction.spans:
            counts[project_id, TallyName.CLASSIFIED_LABEL, version, span.label] += 1
    return counts


@dataclass(frozen=True, slots=True)
class UsageFigures:
    """How much was classified: by version (texts, spans), newest first, by leaf, most frequent first, and how fast."""

    versions: tuple[tuple[str, int, int], ...]
    labels: tuple[tuple[str, int], ...]
    buckets: Mapping[int, int]

    def latency(self, share: float) -> float | None:
        """Milliseconds that this share of the texts took no longer than."""
        found = quantile(self.buckets, share)
        return None if found is None else round(found, 3)


def read_usage(uow: UnitOfWork, project_id: int) -> UsageFigures:
    """What was classified in the project since it was made, whether or not results are kept."""
    counts = uow.tallies.read(project_id, TallyName.CLASSIFIED)
    versions = sorted({version for version, _ in counts}, key=lambda v: (len(v), v), reverse=True)
    labels = uow.tallies.sum_labels(project_id, TallyName.CLASSIFIED_LABEL)
    buckets = uow.tallies.read(project_id, TallyName.LATENCY)
    return UsageFigures(
        versions=tuple((version, counts[version, TEXTS], counts[version, SPANS]) for version in versions),
        labels=tuple(sorted(labels.items(), key=lambda one: (-one[1], one[0]))),
        buckets={int(bucket): count for (bucket, _), count in buckets.items()},
    )
