"""Notices of how runs ended, by e-mail, chat or webhook: whatever apprise (https://github.com/caronc/apprise) reaches.

A run never waits for them: the scheduler's tick finds runs that ended, and a job of its own sends their notices.
Nothing of a text is in them.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timedelta

from config.log import get_logger
from ml_backend.bootstrap import Services
from training.store.tables.models import MLModel
from training.store.tables.projects import Project
from training.store.tables.runs import RunStatus, TrainingBatch
from training.store.unit_of_work import Store, UnitOfWork

log = get_logger(__name__)
# Older news is none: a system that was down for a day, or got its first URL, does not tell of all that was.
NEWS = timedelta(hours=1)
FOR_EVER = timedelta(days=36_500)
PAUSES = (2.0, 10.0)


@dataclass(frozen=True, slots=True)
class Notice:
    """What is sent: `kind` is finished, promoted, refused or failed."""

    kind: str
    title: str
    body: str


def find_unsent(uow: UnitOfWork, *, now: datetime) -> list[str]:
    """Ids of the runs that ended lately and nobody was told of."""
    ended = uow.runs.ended_since(now - NEWS)
    return [run.id for run in ended if not uow.schedule.is_known(_mark(run.id), run.project_id)]


def _mark(run_id: str) -> str:
    return f"notice {run_id}"


def send_notice(services: Services, run_id: str, *, now: datetime) -> bool:
    """Tell of a run that ended, once: whoever comes first sends. Whether a notice went out."""
    urls = services.settings.notice_addresses
    if not urls:
        return False
    notice = _claim(services.store, run_id, now=now)
    if notice is None:
        return False
    for pause in (*PAUSES, None):
        if _deliver(urls, notice):
            log.info("notice_sent", run_id=run_id, kind=notice.kind)
            return True
        if pause is not None:
            time.sleep(pause)
    log.warning("notice_not_sent", run_id=run_id, kind=notice.kind, addresses=len(urls))
    return False


def _claim(store: Store, run_id: str, *, now: datetime) -> Notice | None:
    with store.write() as uow:
        run = uow.runs.get(run_id)
        if not uow.schedule.claim(_mark(run_id), run.project_id, every=FOR_EVER, now=now):
            return None
        project = uow.projects.get(run.project_id)
        model = uow.models.get(run.model_id) if run.model_id else None
        uow.commit()
    return write_notice(run, project, model)


def _deliver(urls: tuple[str, ...], notice: Notice) -> bool:
    import apprise  # many plugins; only this job needs them

    sender = apprise.Apprise()
    understood = [sender.add(url) for url in urls]
    return bool(sender.notify(title=notice.title, body=notice.body)) and all(understood)


def write_notice(run: TrainingBatch, project: Project, model: MLModel | None) -> Notice | None:
    """The notice of a run that ended; None for one that somebody cancelled."""
    if run.status == RunStatus.FAILED:
        body = f"{run.error}\n\nError: {run.error_code}. The live version is what it was."
        return _notice("failed", "training failed", body, run, project)
    if run.status != RunStatus.COMPLETED or model is None:
        return None
    kind, what = _outcome(run, model)
    verdict = run.verdict or {}
    lines = [f"F1 on {(run.metrics or {}).get('test_samples', 0)} test texts: {model.f1_score or 0.0:.3f}"]
    lines += [f"Gate: {verdict.get('kind', 'none')}", *verdict.get("reasons", [])]
    return _notice(kind, what, "\n".join(lines), run, project)


def _outcome(run: TrainingBatch, model: MLModel) -> tuple[str, str]:
    if model.is_production:
        return "promoted", f"{model.version} is live"
    if not (run.verdict or {}).get("passed", True):
        return "refused", f"{model.version} was refused by its gate"
    return "finished", f"{model.version} is trained and not live"


def _notice(kind: str, what: str, body: str, run: TrainingBatch, project: Project) -> Notice:
    return Notice(kind, f"spanloop: {what} ({project.title})", f"{body}\n\nRun {run.id} of project {project.id}.")
