"""A training run: snapshot, train, score, judge, register (rule 8). The loop's work, told in order by `execute_run`."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from config.errors import Conflict, RunCancelled, RunError, RunLost, SpanloopError
from config.log import get_logger
from training.learning.trainer import train_pipeline
from training.metrics.evaluate import Scores
from training.policy import ProjectSettings, parse_settings
from training.prediction.pipeline import Pipeline, load_pipeline
from training.runs.heartbeat import Heartbeat
from training.runs.judging import Judgement, judge_candidate, read_test_part
from training.runs.planning import examples_of, find_unlabelled, make_plan
from training.runs.run_report import report_memory, report_tokens
from training.runs.snapshot import Snapshot, check_enough, take_snapshot
from training.splits import Part
from training.store.tables.ab_tests import ChallengeMode
from training.store.tables.models import MLModel
from training.store.tables.projects import Project
from training.store.tables.runs import Incorporation, RunStatus, TrainingBatch
from training.store.unit_of_work import Store, UnitOfWork
from training.versions.ab_testing import start_test
from training.versions.artefacts import STORAGE_FAULTS, ArtefactStore, storage_failed
from training.versions.gate import Verdict
from training.versions.registry import Candidate, activate, check_files, open_version, register_candidate

log = get_logger(__name__)
# Longer than a save takes: what is older was left by a killed worker.
SAVING_LASTS = timedelta(hours=1)
Clock = Callable[[], datetime]
# A run's folder, and the one in which the trainer gets it ready.
RUN_FOLDER = re.compile(r"\.?run-(?P<id>[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})(-.*)?")


@dataclass(frozen=True, slots=True)
class Workshop:
    """What a run needs around it."""

    store: Store
    artefacts: ArtefactStore
    work_dir: Path
    clock: Clock
    gpu: str = "off"


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """How a run ended; `activated` says whether its model went live."""

    status: RunStatus
    project_id: int
    model_id: str | None = None
    activated: bool = False


def request_run(
    uow: UnitOfWork,
    project_id: int,
    *,
    trigger: str,
    promote: bool,
    configuration: dict[str, Any] | None = None,
    now: datetime,
) -> TrainingBatch:
    """Ask for a run of the project. Raises Conflict where one is pending, waiting or running."""
    project = uow.projects.get(project_id)
    run = TrainingBatch(
        project_id=project.id,
        status=RunStatus.PENDING,
        trigger=trigger,
        promote=promote,
        configuration=configuration or {},
        cancel_requested=False,
        created_at=now,
    )
    if not uow.runs.add(run):
        active = uow.runs.active(project_id)
        raise Conflict(
            f"project {project_id} has a run already: {active.id if active else '?'} is "
            f"{active.status if active else 'active'}; wait for it or cancel it",
            run_id=active.id if active else None,
        )
    return run


def run_settings(project: Project, run: TrainingBatch) -> ProjectSettings:
    """The project's settings, and what the run was asked to do otherwise. Raises InvalidInput."""
    return parse_settings({**project.settings, **run.configuration.get("settings", {})})


def cancel_run(uow: UnitOfWork, run_id: str, *, now: datetime) -> TrainingBatch:
    """Cancel a run: at once where it has not started, within seconds where it is training.

    Raises Conflict if it is over, NotFound also where its project is gone.
    """
    project = uow.projects.get(uow.runs.get(run_id).project_id)
    # A worker that is registering the run's model holds the project.
    uow.projects.lock(project.id)
    run = uow.runs.get(run_id)
    if run.status == RunStatus.RUNNING:
        run.cancel_requested = True
        return run
    run = uow.runs.move(run_id, RunStatus.CANCELLED)
    run.finished_at = now
    return run


def wake_waiting_run(uow: UnitOfWork, run: TrainingBatch) -> bool:
    """Let a run that waits for test texts go on, once there are some."""
    if run.status != RunStatus.WAITING or uow.examples.count(run.project_id).test == 0:
        return False
    uow.runs.move(run.id, RunStatus.PENDING)
    return True


def reap_lost_runs(uow: UnitOfWork, *, timeout: timedelta, now: datetime, project_id: int | None = None) -> list[str]:
    """Fail the runs, of one project or of all, whose worker gave no sign of life for so long; returns their ids."""
    reaped = []
    for run in uow.runs.all_active():
        if project_id not in (None, run.project_id):
            continue
        if run.status == RunStatus.RUNNING and (run.heartbeat_at or run.created_at) < now - timeout:
            uow.runs.move(run.id, RunStatus.FAILED)
            run.error_code, run.finished_at = RunLost.code, now
            run.error = f"its worker {run.worker} gave no sign of life for {timeout.total_seconds():.0f} s"
            reaped.append(run.id)
    return reaped


def fail_run(uow: UnitOfWork, run_id: str, *, code: str, message: str, now: datetime) -> None:
    """Mark a run as failed, unless it is over already."""
    run = uow.runs.get(run_id)
    if run.status in (RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED):
        return
    uow.runs.move(run_id, RunStatus.FAILED)
    run.error_code, run.error, run.finished_at = code, message, now


def clear_remains(workshop: Workshop) -> None:
    """Delete what killed workers left: in the work folder, which holds texts, and of models that were half saved.

    What runs now is left alone.
    """
    with workshop.store.read() as uow:
        active = {run.id for run in uow.runs.all_active()}
    workshop.artefacts.sweep(older_than=SAVING_LASTS)
    for folder in list(workshop.work_dir.glob("*")):  # nothing where the folder is not there yet
        named = RUN_FOLDER.fullmatch(folder.name)
        if named and named["id"] not in active:
            shutil.rmtree(folder, ignore_errors=True)


def execute_run(run_id: str, workshop: Workshop, *, worker: str) -> RunOutcome:
    """Carry a pending run through to its end; the outcome and every figure are stored with it.

    Raises Conflict where the run is not pending any more, and what the run failed of, after storing it.
    """
    project, run = _claim(run_id, workshop, worker=worker)
    clear_remains(workshop)
    output = workshop.work_dir / f"run-{run_id}"
    try:
        with Heartbeat(workshop.store, run_id, worker=worker, clock=workshop.clock) as heartbeat:
            return _train_and_judge(project, run, workshop, heartbeat, output)
    except SpanloopError as error:
        return _store_failure(project, run, workshop, error)
    except OSError as error:
        if error.errno not in STORAGE_FAULTS:
            raise
        return _store_failure(project, run, workshop, storage_failed(f"the work folder {workshop.work_dir}", error))
    finally:
        shutil.rmtree(output, ignore_errors=True)


def _claim(run_id: str, workshop: Workshop, *, worker: str) -> tuple[Project, TrainingBatch]:
    with workshop.store.write() as uow:
        run = uow.runs.move(run_id, RunStatus.RUNNING)
        run.worker, run.started_at, run.heartbeat_at = worker, workshop.clock(), workshop.clock()
        project = uow.projects.get(run.project_id)
        uow.commit()
    return project, run


def _train_and_judge(
    project: Project, run: TrainingBatch, workshop: Workshop, heartbeat: Heartbeat, output: Path
) -> RunOutcome:
    settings = run_settings(project, run)
    with workshop.store.read() as uow:
        snapshot = take_snapshot(uow, project)
        live = uow.models.live(project.id)
        unlabelled = find_unlabelled(uow, project.id)
    check_enough(snapshot, min_samples=settings.min_samples)
    if not snapshot.part(Part.TEST):
        return _wait_for_test_texts(project, run, workshop)
    check_files(live, workshop.artefacts)
    log.info("run_started", run_id=run.id, project_id=project.id, texts=len(snapshot.examples))
    started = workshop.clock()
    plan = make_plan(
        project,
        settings,
        base=run.configuration.get("base_model") or project.base_model,
        live=live,
        artefacts=workshop.artefacts,
        unlabelled=unlabelled,
        gpu=workshop.gpu,
    )
    train, dev = examples_of(snapshot, Part.TRAIN), examples_of(snapshot, Part.DEV)
    spec = train_pipeline(train, dev, plan=plan, output=output, on_progress=heartbeat.report)
    seconds = (workshop.clock() - started).total_seconds()
    heartbeat.check()
    trained = load_pipeline(spec, output)
    judgement = _judge(project, settings, trained, live, snapshot, workshop, on_step=heartbeat.check)
    heartbeat.check()
    found = judgement.candidate
    figures = {
        "candidate": found.to_json(),
        "live": judgement.live.to_json(),
        "tokens": report_tokens(trained, project, snapshot, workshop.store, on_step=heartbeat.check),
        "memory": report_memory(
            trained, judgement, snapshot, known=set((plan.base_mapping or {}).values()), on_step=heartbeat.check
        ),
        **_report(found.scores, snapshot, project.labels),
    }
    artefact = workshop.artefacts.save(output, f"project-{project.id}")
    candidate = Candidate(spec, artefact, found, judgement.verdict, live.id if live else None)
    try:
        return _register(project, run, candidate, snapshot, workshop, figures=figures, seconds=seconds)
    except RunCancelled:
        workshop.artefacts.delete(artefact.path)
        raise
    except Conflict as error:
        workshop.artefacts.delete(artefact.path)
        raise RunLost(f"run {run.id} was taken from this worker before its model was registered") from error


def _judge(
    project: Project,
    settings: ProjectSettings,
    trained: Pipeline,
    live: MLModel | None,
    snapshot: Snapshot,
    workshop: Workshop,
    *,
    on_step: Callable[[], None],
) -> Judgement:
    if live is None:
        raise RunError("the project has no live version to compare with; run `spanloop project adopt` on it again")
    test = read_test_part(workshop.store, project, snapshot)
    opened = open_version(live, workshop.artefacts)
    return judge_candidate(trained, opened, test, project.labels, settings, on_step=on_step)


def _report(scores: Scores, snapshot: Snapshot, labels: Sequence[str]) -> dict[str, Any]:
    shown = {part: {span.label for e in snapshot.part(part) for span in e.spans} for part in (Part.TRAIN, Part.TEST)}
    return {
        "labels_without_training_texts": [label for label in labels if label not in shown[Part.TRAIN]],
        "labels_without_test_texts": [label for label in labels if label not in shown[Part.TEST]],
        "precision": scores.precision,
        "recall": scores.recall,
        "f1_score": scores.f1,
        "training_samples": len(snapshot.part(Part.TRAIN)),
        "test_samples": scores.texts,
    }


def _wait_for_test_texts(project: Project, run: TrainingBatch, workshop: Workshop) -> RunOutcome:
    with workshop.store.write() as uow:
        held = uow.runs.move(run.id, RunStatus.WAITING, worker=run.worker)
        held.worker, held.error = None, _why_waiting(parse_settings(project.settings))
        uow.commit()
    log.info("run_waits_for_test_texts", run_id=run.id, project_id=project.id)
    return RunOutcome(RunStatus.WAITING, project.id)


def _why_waiting(settings: ProjectSettings) -> str:
    why = "no verified text is in the test part yet; the run goes on once there is one"
    return why if settings.test_fraction else f"{why}, but test_fraction is 0, so that no new text goes there: raise it"


def _register(
    project: Project,
    run: TrainingBatch,
    candidate: Candidate,
    snapshot: Snapshot,
    workshop: Workshop,
    *,
    figures: dict[str, Any],
    seconds: float,
) -> RunOutcome:
    now = workshop.clock()
    with workshop.store.write() as uow:
        uow.projects.lock(project.id)
        done = uow.runs.move(run.id, RunStatus.COMPLETED, worker=run.worker)
        if done.cancel_requested:
            raise RunCancelled(f"run {run.id} was cancelled")
        live = uow.models.live(project.id)
        overtaken = live is not None and live.id != candidate.parent_id
        if live is not None and overtaken:
            candidate = replace(candidate, verdict=_say_overtaken(candidate.verdict, live))
        model = register_candidate(uow, project, candidate, now=now)
        done.model_id, done.finished_at, done.training_seconds = model.id, now, seconds
        done.metrics, done.verdict, done.error = figures, candidate.verdict.to_json(), None
        _incorporate(uow, done, snapshot)
        may = done.promote and candidate.verdict.passed and not overtaken
        activated = may and _put_forward(uow, project, done, model, candidate.verdict, now=now)
        uow.commit()
    log.info(
        "run_completed", run_id=run.id, version=model.version, f1=candidate.evaluation.scores.f1, activated=activated
    )
    return RunOutcome(RunStatus.COMPLETED, project.id, model.id, activated)


def _say_overtaken(verdict: Verdict, live: MLModel) -> Verdict:
    """The verdict, which speaks of the version that was live before this one came."""
    said = (
        f"It does not go live by itself: {live.version} went live while it was trained, and it was compared with the "
        "version before."
    )
    return replace(verdict, reasons=(*verdict.reasons, said))


def _put_forward(
    uow: UnitOfWork, project: Project, run: TrainingBatch, model: MLModel, verdict: Verdict, *, now: datetime
) -> bool:
    """Put a model live that passed its gate, or into the test that the project wants first; whether it is live."""
    if parse_settings(project.settings).gate_needs_ab:
        _challenge(uow, project, run, model, now=now)
        return False
    activate(uow, project.id, model.id, by=run.trigger, reason=_why(verdict), now=now)
    return True


def _challenge(uow: UnitOfWork, project: Project, run: TrainingBatch, model: MLModel, *, now: datetime) -> None:
    """Let a model that passed the gate prove itself in an A/B test, after which it goes live by itself."""
    fraction = parse_settings(project.settings).ab_fraction
    try:
        start_test(
            uow,
            project.id,
            model,
            mode=ChallengeMode.AB,
            fraction=fraction,
            by=run.trigger,
            promote=True,
            now=now,
        )
    except Conflict as error:
        log.info("test_not_started", run_id=run.id, version=model.version, reason=error.message)


def _why(verdict: Verdict) -> str:
    return " ".join(verdict.reasons) or verdict.kind


def _incorporate(uow: UnitOfWork, run: TrainingBatch, snapshot: Snapshot) -> None:
    run.snapshot_hash, run.verified_texts = snapshot.content_hash, len(snapshot.examples)
    run.train_texts, run.dev_texts, run.test_texts = (
        len(snapshot.part(part)) for part in (Part.TRAIN, Part.DEV, Part.TEST)
    )
    uow.runs.incorporate(
        Incorporation(run_id=run.id, example_id=e.example_id, revision=e.revision, part=e.part)
        for e in snapshot.examples
    )
    taken = []
    for seen in snapshot.examples:
        example = uow.examples.get(seen.example_id)
        example.usage_count += seen.part is Part.TRAIN
        # What changed while the run was on is pending again.
        if example.revision == seen.revision:
            example.counted_run_id = run.id
            taken.append(seen.text_id)
    uow.feedback.mark_incorporated(run.project_id, taken)


def _store_failure(project: Project, run: TrainingBatch, workshop: Workshop, error: SpanloopError) -> RunOutcome:
    cancelled = error.code == "run_cancelled"
    with workshop.store.write() as uow:
        stored = uow.runs.get(run.id)
        if stored.status == RunStatus.RUNNING and stored.worker == run.worker:
            uow.runs.move(run.id, RunStatus.CANCELLED if cancelled else RunStatus.FAILED, worker=run.worker)
            stored.error_code, stored.error, stored.finished_at = error.code, error.message, workshop.clock()
        uow.commit()
    log.warning("run_ended_without_model", run_id=run.id, project_id=project.id, code=error.code)
    return RunOutcome(RunStatus(stored.status), project.id)
