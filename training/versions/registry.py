"""Versions of a project's model: registering them, and the one way to change which is live."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from config.errors import ArtefactCorrupt, Conflict, GateRefused, NotFound
from training.metrics.evaluation import Evaluation, list_metrics
from training.policy import parse_settings
from training.prediction.pipeline import Pipeline, PipelineSpec, load_pipeline
from training.store.tables.models import MLModel, ModelActivation, ModelMetric
from training.store.tables.projects import Project
from training.store.unit_of_work import UnitOfWork
from training.versions.ab_testing import end_test, lacks_test
from training.versions.artefacts import ArtefactStore, StoredArtefact
from training.versions.gate import Verdict


@dataclass(frozen=True, slots=True)
class Candidate:
    """A trained pipeline with its figures on the test part, ready to be registered."""

    spec: PipelineSpec
    artefact: StoredArtefact
    evaluation: Evaluation
    verdict: Verdict
    parent_id: str | None


def version_string(number: int) -> str:
    """The string that Label Studio knows a version by: its backend's title and its predictions' `model_version`."""
    return f"spanloop-v{number}"


def open_version(model: MLModel, artefacts: ArtefactStore) -> Pipeline:
    """Load a registered version. Raises ModelUnavailable or ArtefactCorrupt."""
    folder = artefacts.fetch(model.path, model.checksum or "") if model.path else None
    return load_pipeline(PipelineSpec.from_json(model.spec), folder)


def check_files(live: MLModel | None, artefacts: ArtefactStore) -> None:
    """Raise ArtefactCorrupt, with the way out, where the live version's files are not whole.

    No candidate could be compared with it; a run asks before it trains in vain.
    """
    if live is None or not live.path:
        return
    try:
        artefacts.fetch(live.path, live.checksum or "")
    except ArtefactCorrupt as error:
        raise ArtefactCorrupt(
            f"{live.version}, which is live, cannot be compared with: {error.message}. `spanloop models rollback` puts "
            "the version before it live again"
        ) from error


def check_whole(model: MLModel, artefacts: ArtefactStore) -> None:
    """Raise ArtefactCorrupt where a version that is about to go live has not the files that it was stored with."""
    if not model.path:
        return
    try:
        artefacts.fetch(model.path, model.checksum or "")
    except ArtefactCorrupt as error:
        raise ArtefactCorrupt(
            f"{model.version} cannot go live: {error.message}. Restore its files, or put another version live with "
            "`spanloop models activate`"
        ) from error


def register_base(uow: UnitOfWork, project: Project, spec: PipelineSpec, *, now: datetime) -> MLModel:
    """Register version 0, base model and patterns, and put it live; does nothing where it exists (rule 7)."""
    live = uow.models.live(project.id)
    if live is not None:
        return live
    number = uow.models.next_number(project.id)
    model = uow.models.add(_new_model(project.id, number, spec, now=now))
    activate(uow, project.id, model.id, by="setup", reason="version 0", now=now)
    project.announced_model_id = model.id
    return model


def register_candidate(uow: UnitOfWork, project: Project, candidate: Candidate, *, now: datetime) -> MLModel:
    """Register a trained version with its figures; which version is live does not change."""
    scores = candidate.evaluation.scores
    model = _new_model(project.id, uow.models.next_number(project.id), candidate.spec, now=now)
    model.path, model.checksum = candidate.artefact.path, candidate.artefact.checksum
    model.size_bytes, model.parent_id = candidate.artefact.size, candidate.parent_id
    model.metrics, model.verdict = candidate.evaluation.to_json(), candidate.verdict.to_json()
    model.precision, model.recall, model.f1_score = scores.precision, scores.recall, scores.f1
    model.trained_at = now
    uow.models.add(model)
    uow.models.add_metrics(_metrics(model, candidate.evaluation, now=now))
    return model


def _new_model(project_id: int, number: int, spec: PipelineSpec, *, now: datetime) -> MLModel:
    return MLModel(
        project_id=project_id,
        number=number,
        version=version_string(number),
        is_active=False,
        is_production=False,
        spec=spec.to_json(),
        label_mapping=dict(spec.label_mapping),
        created_at=now,
    )


def _metrics(model: MLModel, evaluation: Evaluation, *, now: datetime) -> list[ModelMetric]:
    return [
        ModelMetric(
            project_id=model.project_id,
            model_id=model.id,
            name=name,
            label=label,
            value=value,
            support=support,
            recorded_at=now,
        )
        for name, label, value, support in list_metrics(evaluation)
    ]


def activate(
    uow: UnitOfWork, project_id: int, model_id: str, *, by: str, reason: str, now: datetime
) -> ModelActivation | None:
    """Make a version the project's live one; None where it is that already.

    Raises GateRefused for a version that its gate refused, unless `reason` says why it goes live all the same;
    Conflict for a version of another project.
    """
    uow.projects.lock(project_id)
    model = uow.models.get(model_id)
    if model.project_id != project_id:
        raise Conflict(f"model {model.version} belongs to project {model.project_id}, not to {project_id}")
    if _was_refused(model.verdict) and not reason.strip():
        raise GateRefused(
            f"the gate refused {model.version}: {' '.join((model.verdict or {}).get('reasons', []))} "
            "Give a reason to put it live all the same"
        )
    live = uow.models.live(project_id)
    if live is not None and live.id == model.id:
        return None
    if not reason.strip() and lacks_test(uow, model, parse_settings(uow.projects.get(project_id).settings)):
        raise GateRefused(
            f"{model.version} has passed no A/B or shadow test, and the project wants one (gate_needs_ab): "
            f"`spanloop models ab start {model.version}`, or give a reason to put it live all the same"
        )
    _end_test(uow, project_id, model, by=by, now=now)
    uow.models.take_off(project_id)
    uow.session.flush()
    model.is_active = model.is_production = True
    activation = ModelActivation(
        project_id=project_id,
        model_id=model.id,
        previous_model_id=live.id if live else None,
        by=by,
        reason=reason,
        activated_at=now,
    )
    uow.models.add_activation(activation)
    return activation


def _end_test(uow: UnitOfWork, project_id: int, model: MLModel, *, by: str, now: datetime) -> None:
    """A test ends with the live version that it was about."""
    test = uow.ab_tests.running(project_id)
    if test is not None:
        end_test(uow, test, by=by, reason=f"{model.version} went live", now=now)


def _was_refused(verdict: dict[str, Any] | None) -> bool:
    return verdict is not None and not verdict.get("passed", False)


def rollback(uow: UnitOfWork, project_id: int, *, by: str, reason: str, now: datetime) -> ModelActivation:
    """Put the version live that was live before this one came; a second rollback goes one further back.

    Raises NotFound where there was none.
    """
    uow.projects.lock(project_id)
    before, live = find_previous(uow, project_id), uow.models.live(project_id)
    why = reason.strip() or f"rollback from {live.version if live else 'none'}"
    done = activate(uow, project_id, before.id, by=by, reason=why, now=now)
    assert done is not None, "the version before the live one is another one"
    return done


def find_previous(uow: UnitOfWork, project_id: int) -> MLModel:
    """The version that a rollback would put live. Raises NotFound where there is none."""
    path = _path_to_live(uow, project_id)
    if len(path) < 2:
        raise NotFound(f"project {project_id} has no earlier live version to go back to")
    return uow.models.get(path[-2])


def _path_to_live(uow: UnitOfWork, project_id: int) -> list[str]:
    """The ids of the versions that led to the live one, oldest first; each step back took the last one off."""
    path: list[str] = []
    for change in reversed(uow.models.activations(project_id)):
        if len(path) > 1 and path[-2] == change.model_id:
            path.pop()
        else:
            path.append(change.model_id)
    return path
