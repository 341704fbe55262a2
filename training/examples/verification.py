"""What a text's annotations come to: its training example, and whether it is verified (rule 4)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime

from training.examples.marks import settle_marks
from training.feedback import Resolution, Vote, example_revision, resolve
from training.policy import ProjectSettings, VerifiedBy, parse_settings
from training.spans import Span, find_problems, parse_spans
from training.store.tables.examples import Source, TrainingDataset
from training.store.tables.projects import Project
from training.store.unit_of_work import UnitOfWork


def refresh_example(uow: UnitOfWork, project: Project, text_id: int, *, now: datetime) -> None:
    """Settle anew what a text's annotations come to, and whether it may train (rule 4)."""
    example = uow.examples.of_text(project.id, text_id)
    resolution = resolve(_votes(uow, project.id, text_id), needed=needed_annotators(parse_settings(project.settings)))
    if resolution is not None:
        _settle_example(uow, project, text_id, example, resolution, now=now)
    elif example is not None:
        _withdraw_example(uow, project, example, now=now)
    settle_marks(uow, project, text_id)


def _settle_example(
    uow: UnitOfWork,
    project: Project,
    text_id: int,
    example: TrainingDataset | None,
    resolution: Resolution,
    *,
    now: datetime,
) -> None:
    spans = resolution.chosen.spans
    if example is None:
        example = new_example(project, text_id, Source.LABEL_STUDIO, now=now)
        uow.examples.add(example)
    text = uow.texts.get_text(text_id).text
    example.entities = [span.to_json() for span in spans]
    example.problems = [problem.to_json() for problem in find_problems(text, spans, project.labels)]
    example.classification_type = example.given_type or classification_type(project, spans)
    example.annotation_id, example.conflict = resolution.chosen.annotation_id, resolution.conflict
    _set_revision(uow, project, example, spans, verified=resolution.verified, now=now)


def needed_annotators(settings: ProjectSettings) -> int | None:
    """How many annotators must agree before a text counts as verified; None: only a star verifies."""
    rule = settings.rule
    return None if rule.by is VerifiedBy.GROUND_TRUTH else rule.annotators


def new_example(project: Project, text_id: int, source: Source, *, now: datetime) -> TrainingDataset:
    """An empty, unverified example of a text."""
    return TrainingDataset(
        project_id=project.id,
        text_id=text_id,
        entities=[],
        problems=[],
        classification_type="",
        source=source,
        verified=False,
        verified_at=None,
        revision="",
        usage_count=0,
        counted_run_id=None,
        created_at=now,
        updated_at=now,
    )


def _withdraw_example(uow: UnitOfWork, project: Project, example: TrainingDataset, *, now: datetime) -> None:
    proposals = [task.proposal for task in uow.texts.tasks_of_text(example.text_id) if task.proposal is not None]
    spans = parse_spans(proposals[0] if proposals else example.entities)
    example.entities = [span.to_json() for span in spans]
    example.annotation_id, example.conflict = None, None
    _set_revision(uow, project, example, spans, verified=False, now=now)


def _set_revision(
    uow: UnitOfWork,
    project: Project,
    example: TrainingDataset,
    spans: Sequence[Span],
    *,
    verified: bool,
    now: datetime,
) -> None:
    revision = example_revision(spans, verified=verified)
    if revision == example.revision:
        return
    example.revision, example.updated_at = revision, now
    example.verified_at = now if verified else None
    example.verified, example.counted_run_id = verified, None
    uow.feedback.clear_incorporated(project.id, example.text_id)
    project.last_change_at = now


def classification_type(project: Project, spans: Iterable[Span]) -> str:
    """The group that most of these spans belong to, the taxonomy's first on a tie; empty where there are none."""
    group_of = {row["name"]: row.get("group", "") for row in project.taxonomy}
    counts = Counter(group_of.get(span.label, "") for span in spans)
    ranks = {group: rank for rank, group in reversed(list(enumerate(group_of.values())))}
    return min(counts, key=lambda g: (-counts[g], ranks.get(g, len(ranks))), default="")


def _votes(uow: UnitOfWork, project_id: int, text_id: int) -> list[Vote]:
    return [
        Vote(a.id, a.contributor_id, parse_spans(a.spans), a.ground_truth, a.updated_at)
        for a in uow.annotations.of_text(project_id, text_id)
    ]
