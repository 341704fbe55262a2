"""What a run trains by: the project, its settings and its live version, as a plan for the trainer."""

from __future__ import annotations

from training.learning.trainer import Example, LiveModel, TrainingPlan
from training.policy import ProjectSettings
from training.prediction.pipeline import PipelineSpec, base_spec
from training.runs.snapshot import Snapshot
from training.splits import Part
from training.store.tables.models import MLModel
from training.store.tables.projects import Project
from training.store.unit_of_work import UnitOfWork
from training.taxonomy import Taxonomy
from training.versions.artefacts import ArtefactStore

# Rehearsal takes no more of them than there are training texts.
MOST_UNLABELLED = 2_000


def find_unlabelled(uow: UnitOfWork, project_id: int) -> tuple[str, ...]:
    """Texts of the train part that nobody has verified yet: a recognizer rehearses on them what it knows."""
    return tuple(uow.texts.unverified(project_id, part=Part.TRAIN, limit=MOST_UNLABELLED))


def make_plan(
    project: Project,
    settings: ProjectSettings,
    *,
    base: str,
    live: MLModel | None,
    artefacts: ArtefactStore,
    unlabelled: tuple[str, ...],
    gpu: str,
) -> TrainingPlan:
    """The plan of a run. Raises ModelUnavailable for the base, ArtefactCorrupt for the live version's files."""
    known = base_spec(base, project.language, Taxonomy.from_json(project.taxonomy))
    return TrainingPlan(
        base=base,
        language=project.language,
        labels=project.labels,
        seed=settings.seed,
        max_epochs=settings.max_epochs,
        recipe=settings.recipe,
        base_mapping=known.label_mapping,
        pattern_mapping=known.pattern_mapping,
        live=_live_model(live, artefacts),
        unlabelled=unlabelled,
        rehearse=settings.rehearse,
        gpu=gpu,
        transformer=settings.transformer,
    )


def _live_model(live: MLModel | None, artefacts: ArtefactStore) -> LiveModel | None:
    if live is None or not live.path:
        return None
    return LiveModel(artefacts.fetch(live.path, live.checksum or ""), PipelineSpec.from_json(live.spec))


def examples_of(snapshot: Snapshot, part: Part) -> list[Example]:
    """The texts of one part with their gold spans."""
    return [Example(example.text, example.spans) for example in snapshot.part(part)]
