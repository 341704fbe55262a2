"""What feedback comes to: rates, days, contributors, versions and labels, all from running counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from training.splits import Part
from training.store.counting import INCORPORATED, ON_PROPOSAL, PENDING, VERDICTS
from training.store.tallies import TallyName
from training.store.unit_of_work import UnitOfWork

DAYS = 30
TOP = 10
CORRECT, INCORRECT = VERDICTS[True], VERDICTS[False]


@dataclass(frozen=True, slots=True)
class Judged:
    """How much feedback there was, and what it said; `on_proposals` and `unjudged` say nothing of a model."""

    total: int
    correct: int
    incorrect: int
    unjudged: int
    on_proposals: int

    @property
    def accuracy_rate(self) -> float | None:
        """The share of correct among what was judged; None where nothing was."""
        return _share(self.correct, self.correct + self.incorrect)


@dataclass(frozen=True, slots=True)
class LabelFigures:
    """How a leaf fared: spans shown, kept as they were, and right in the end."""

    label: str
    shown: int
    kept: int
    wanted: int

    @property
    def precision(self) -> float | None:
        """The share of the shown spans that were kept."""
        return _share(self.kept, self.shown)

    @property
    def recall(self) -> float | None:
        """The share of the right spans that were shown."""
        return _share(self.kept, self.wanted)


@dataclass(frozen=True, slots=True)
class VersionFigures:
    """What feedback said of one version; the empty version stands for feedback that names none."""

    version: str
    judged: Judged
    labels: tuple[LabelFigures, ...]


@dataclass(frozen=True, slots=True)
class ContributorFigures:
    """How much feedback somebody gave."""

    contributor_id: int
    username: str
    feedback: int


@dataclass(frozen=True, slots=True)
class FeedbackFigures:
    """The statistics of a project's feedback."""

    judged: Judged
    pending: int
    incorporated: int
    evaluation: int
    days: tuple[tuple[date, Judged], ...]
    contributors: tuple[ContributorFigures, ...]
    versions: tuple[VersionFigures, ...]
    labels: tuple[LabelFigures, ...]


def read_feedback_figures(uow: UnitOfWork, project_id: int, *, today: date) -> FeedbackFigures:
    """The project's feedback in figures; `days` are those of the last 30 (UTC) that had feedback, oldest first.

    `pending` waits to be trained on: it stands on train texts and no run has taken it in. `incorporated` is what a run
    has taken in, on texts of any part. `evaluation` stands on dev and test texts, taken in or not.
    """
    since = (today - timedelta(days=DAYS - 1)).isoformat()
    states = uow.tallies.sum_labels(project_id, TallyName.FEEDBACK)
    verdicts: Counter[str] = Counter()
    for label, count in states.items():
        verdicts[label.partition(".")[0]] += count
    parts = uow.tallies.read(project_id, TallyName.FEEDBACK_PART)
    versions = _read_versions(uow, project_id)
    days = _by_key(uow.tallies.read(project_id, TallyName.FEEDBACK_DAY, since=since))
    return FeedbackFigures(
        judged=_judge(verdicts),
        pending=parts[Part.TRAIN, PENDING],
        incorporated=sum(count for (_, state), count in parts.items() if state == INCORPORATED),
        evaluation=sum(count for (part, _), count in parts.items() if part in (Part.DEV, Part.TEST)),
        days=tuple((date.fromisoformat(day), _judge(counts)) for day, counts in sorted(days.items())),
        contributors=_read_contributors(uow, project_id),
        versions=versions,
        labels=_sum_labels(one for version in versions for one in version.labels),
    )


def _read_versions(uow: UnitOfWork, project_id: int) -> tuple[VersionFigures, ...]:
    verdicts = _by_key(uow.tallies.read(project_id, TallyName.FEEDBACK_VERSION))
    shown, kept, wanted = (
        uow.tallies.read(project_id, name)
        for name in (TallyName.LABEL_SHOWN, TallyName.LABEL_KEPT, TallyName.LABEL_WANTED)
    )
    leaves: dict[str, list[LabelFigures]] = {}
    for version, leaf in sorted({*shown, *wanted}):
        at = (version, leaf)
        leaves.setdefault(version, []).append(LabelFigures(leaf, shown[at], kept[at], wanted[at]))
    return tuple(
        VersionFigures(version, _judge(counts), tuple(leaves.get(version, ())))
        for version, counts in sorted(verdicts.items(), key=lambda one: (len(one[0]), one[0]), reverse=True)
    )


def _read_contributors(uow: UnitOfWork, project_id: int) -> tuple[ContributorFigures, ...]:
    # One more than asked for: "0" stands for feedback that nobody signed.
    top = [(int(key), n) for key, n in uow.tallies.top_keys(project_id, TallyName.FEEDBACK, limit=TOP + 1)]
    names = uow.projects.usernames([contributor_id for contributor_id, _ in top])
    signed = [(contributor_id, n) for contributor_id, n in top if contributor_id in names]
    return tuple(ContributorFigures(one, names[one], n) for one, n in signed[:TOP])


def _by_key(counts: Mapping[tuple[str, str], int]) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = {}
    for (key, label), count in counts.items():
        found.setdefault(key, Counter())[label] += count
    return found


def _judge(verdicts: Mapping[str, int]) -> Judged:
    on_proposals = sum(count for verdict, count in verdicts.items() if verdict.startswith(ON_PROPOSAL))
    return Judged(
        total=sum(verdicts.values()),
        correct=verdicts.get(CORRECT, 0),
        incorrect=verdicts.get(INCORRECT, 0),
        unjudged=verdicts.get(VERDICTS[None], 0),
        on_proposals=on_proposals,
    )


def _sum_labels(labels: Iterable[LabelFigures]) -> tuple[LabelFigures, ...]:
    sums: dict[str, list[int]] = {}
    for one in labels:
        row = sums.setdefault(one.label, [0, 0, 0])
        row[0], row[1], row[2] = row[0] + one.shown, row[1] + one.kept, row[2] + one.wanted
    return tuple(LabelFigures(label, *numbers) for label, numbers in sorted(sums.items()))


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
