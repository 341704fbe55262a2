"""How good the annotations are, and whether more of them pay: audit, agreement and outlook of a project."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from config.errors import NotEnoughData
from training.examples.marks import Mark, mark_only
from training.policy import parse_settings
from training.quality.agreement import Agreement, AnsweredText, measure_agreement
from training.quality.label_errors import AuditedText, Doubt, DoubtKind, find_doubts
from training.quality.outlook import LEAST_GAIN, CurvePoint, Outlook, look_ahead
from training.runs.snapshot import SnapshotExample, take_snapshot
from training.spans import Span, parse_spans
from training.splits import Part
from training.store.tables.projects import Project
from training.store.tables.quality import LabelDoubt
from training.store.unit_of_work import Store, UnitOfWork

FEWEST_TEXTS = 20
"""Verified texts below which models would contradict at random."""
CONFIDENT = 0.25
"""Suspicion from which on a task gets into its tab."""
MARKED_SHARE, MARKED_AT_LEAST = 0.1, 20
NEWEST = 300
"""Newest verified examples that are looked through for new labels."""
TIMES = 500
"""Newest annotations whose time tells the pace."""


@dataclass(frozen=True, slots=True)
class Audit:
    """What an audit looked at and found; `marked` tasks are in the tab."""

    texts: int
    spans: int
    doubts: int
    marked: int


@dataclass(frozen=True, slots=True)
class StandingDoubt:
    """A doubt about an annotation that nobody has changed since, with the text's tasks."""

    rank: int
    kind: DoubtKind
    span: Span
    suggested: str | None
    suspicion: float
    text: str
    task_ids: tuple[int, ...]


def audit_labels(store: Store, project_id: int, *, clock: Callable[[], datetime]) -> Audit:
    """Ask cross-validated models about the project's verified texts, and keep what they contradict, ranked.

    Test texts are only asked about: no model learns from one. The tasks of the most suspicious texts are marked for
    their tab. Raises NotEnoughData where there are too few verified texts, or none with a span.
    """
    with store.read() as uow:
        project = uow.projects.get(project_id)
        examples = take_snapshot(uow, project).examples
        groups = uow.texts.groups_of([example.text_id for example in examples])
    _check(examples)
    seed = parse_settings(project.settings).seed
    doubts = find_doubts([_audited(one, groups) for one in examples], seed=seed)
    marked = list(dict.fromkeys(doubt.text for doubt in doubts if doubt.suspicion >= CONFIDENT))
    marked = marked[: max(MARKED_AT_LEAST, int(len(examples) * MARKED_SHARE))]
    now = clock()
    with store.write() as uow:
        uow.projects.lock(project_id)
        uow.doubts.replace(
            project_id, (_row(project_id, rank, one, examples, now=now) for rank, one in enumerate(doubts, 1))
        )
        tasks = [task.id for text in marked for task in uow.texts.tasks_of_text(examples[text].text_id)]
        mark_only(uow, project_id, Mark.LABEL_ERROR, tasks, ranked=True)
        uow.commit()
    return Audit(len(examples), sum(len(one.spans) for one in examples), len(doubts), len(tasks))


def _check(examples: Sequence[SnapshotExample]) -> None:
    if len(examples) < FEWEST_TEXTS:
        raise NotEnoughData(f"{len(examples)} verified texts, an audit needs {FEWEST_TEXTS}: annotate more")
    if not any(example.spans for example in examples):
        raise NotEnoughData(f"none of the {len(examples)} verified texts holds a span: there is nothing to audit")


def _audited(example: SnapshotExample, groups: dict[int, int]) -> AuditedText:
    trains = example.part in (Part.TRAIN, Part.DEV)
    # A text without a group is one of its own; groups' ids are positive.
    return AuditedText(example.text, example.spans, groups.get(example.text_id, -example.text_id), trains)


def _row(project_id: int, rank: int, doubt: Doubt, examples: Sequence[SnapshotExample], *, now: datetime) -> LabelDoubt:
    return LabelDoubt(
        project_id=project_id,
        text_id=examples[doubt.text].text_id,
        rank=rank,
        kind=doubt.kind,
        span=doubt.span.to_json(),
        suggested=doubt.suggested,
        suspicion=doubt.suspicion,
        revision=examples[doubt.text].revision,
        found_at=now,
    )


def mark_new_labels(store: Store, project_id: int) -> int:
    """Mark the tasks of newly verified texts with a label that the live version cannot find yet; how many they are."""
    with store.write() as uow:
        project = uow.projects.lock(project_id)
        live = uow.models.live(project_id)
        known = _findable(live.spec) if live else set()
        unknown = set(project.labels) - known
        newest = uow.examples.newest_verified(project_id, limit=NEWEST) if unknown else []
        texts = [one.text_id for one in newest if unknown & {span["label"] for span in one.entities}]
        tasks = [task.id for text_id in texts for task in uow.texts.tasks_of_text(text_id)]
        mark_only(uow, project_id, Mark.NEW_LABEL, tasks)
        uow.commit()
    return len(tasks)


def _findable(spec: Mapping[str, Any]) -> set[str]:
    """The leaves that a version's model or patterns can find."""
    return {*spec.get("label_mapping", {}).values(), *(spec.get("pattern_mapping") or {}).values()}


def read_doubts(uow: UnitOfWork, project_id: int, *, limit: int, offset: int = 0) -> list[StandingDoubt]:
    """The newest audit's doubts that still stand, most suspicious first."""
    return [
        StandingDoubt(
            rank=doubt.rank,
            kind=DoubtKind(doubt.kind),
            span=parse_spans([doubt.span])[0],
            suggested=doubt.suggested,
            suspicion=doubt.suspicion,
            text=text,
            task_ids=tuple(task.id for task in uow.texts.tasks_of_text(doubt.text_id)),
        )
        for doubt, text in uow.doubts.of_project(project_id, limit=limit, offset=offset)
    ]


def read_agreement(uow: UnitOfWork, project_id: int) -> Agreement:
    """The agreement of the project's annotators, each with the newest of their answers to a text."""
    answers: dict[tuple[int, str], dict[int, frozenset[Span]]] = defaultdict(dict)
    for text_id, text, person, spans in uow.annotations.shared_texts(project_id):
        answers[text_id, text][person] = frozenset(parse_spans(spans))
    return measure_agreement(AnsweredText(text_id, text, given) for (text_id, text), given in answers.items())


def read_outlook(uow: UnitOfWork, project: Project, *, least_gain: float = LEAST_GAIN) -> Outlook:
    """Whether more annotations pay, by the project's versions so far and the time that its annotators took."""
    points = [CurvePoint(*row) for row in uow.runs.curve(project.id)]
    seconds = [seconds for _, seconds in uow.annotations.times(project.id, limit=TIMES)]
    return look_ahead(points, seconds, least_gain=least_gain, seed=parse_settings(project.settings).seed)
