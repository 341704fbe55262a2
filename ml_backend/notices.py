"""Notices of how runs and tests ended, to whatever apprise (https://github.com/caronc/apprise) reaches.

Nothing waits for them: the scheduler's tick finds what ended, and a job of its own sends their notices.
Nothing of a text is in them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from config.log import get_logger
from ml_backend.bootstrap import Services
from training.store.tables.ab_tests import AbTest
from training.store.tables.models import MLModel
from training.store.tables.projects import Project
from training.store.tables.runs import RunStatus, TrainingBatch
from training.store.unit_of_work import Store, UnitOfWork
from training.versions.ab_testing import BY_ITSELF
from training.versions.arms import Arm

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
    """Ids of the runs that ended lately, and of the tests that did by themselves, that nobody was told of."""
    since = now - NEWS
    ended: list[TrainingBatch | AbTest] = [*uow.runs.ended_since(since), *uow.ab_tests.ended_since(since, by=BY_ITSELF)]
    return [one.id for one in ended if not uow.schedule.is_known(_mark(one.id), one.project_id)]


def _mark(ended_id: str) -> str:
    return f"notice {ended_id}"


def send_notice(services: Services, ended_id: str, *, now: datetime) -> bool:
    """Tell of a run or a test that ended, once: whoever comes first sends. Whether a notice went out."""
    urls = services.settings.notice_addresses
    if not urls:
        return False
    notice = _claim(services.store, ended_id, now=now)
    if notice is None:
        return False
    for pause in (*PAUSES, None):
        if _deliver(urls, notice):
            log.info("notice_sent", of=ended_id, kind=notice.kind)
            return True
        if pause is not None:
            time.sleep(pause)
    log.warning("notice_not_sent", of=ended_id, kind=notice.kind, addresses=len(urls))
    return False


def _claim(store: Store, ended_id: str, *, now: datetime) -> Notice | None:
    with store.write() as uow:
        ended = uow.ab_tests.find(ended_id) or uow.runs.get(ended_id)
        if not uow.schedule.claim(_mark(ended_id), ended.project_id, every=FOR_EVER, now=now):
            return None
        notice = _write(uow, ended, uow.projects.get(ended.project_id))
        uow.commit()
    return notice


def _write(uow: UnitOfWork, ended: TrainingBatch | AbTest, project: Project) -> Notice | None:
    if isinstance(ended, AbTest):
        return write_test_notice(ended, project, uow.models.get(ended.challenger_id))
    return write_notice(ended, project, uow.models.get(ended.model_id) if ended.model_id else None)


def _deliver(urls: tuple[str, ...], notice: Notice) -> bool:
    import apprise  # many plugins; only this job needs them

    sender = apprise.Apprise()
    understood = [sender.add(url) for url in urls]
    return bool(sender.notify(title=notice.title, body=notice.body)) and all(understood)


def write_notice(run: TrainingBatch, project: Project, model: MLModel | None) -> Notice | None:
    """The notice of a run that ended; None for one that somebody cancelled."""
    if run.status == RunStatus.FAILED:
        body = f"{run.error}\n\nError: {run.error_code}. The live version is what it was."
        return _notice("failed", "training failed", body, f"Run {run.id}", project)
    if run.status != RunStatus.COMPLETED or model is None:
        return None
    kind, what = _outcome(run, model)
    verdict = run.verdict or {}
    lines = [f"F1 on {(run.metrics or {}).get('test_samples', 0)} test texts: {model.f1_score or 0.0:.3f}"]
    lines += [f"Gate: {verdict.get('kind', 'none')}", *verdict.get("reasons", [])]
    return _notice(kind, what, "\n".join(lines), f"Run {run.id}", project)


def write_test_notice(test: AbTest, project: Project, challenger: MLModel) -> Notice:
    """The notice of a test that ended by itself: its challenger went live, or did not."""
    kind, what = "refused", f"{challenger.version} did not pass its test"
    if test.passed and challenger.is_production:
        kind, what = "promoted", f"{challenger.version} is live, since it passed its test"
    elif test.passed:  # its files may be gone
        kind, what = "finished", f"{challenger.version} passed its test and is not live"
    figures = test.figures or {}
    lines = [test.reason, *(_say_arm(arm, figures[arm]) for arm in Arm if arm in figures)]
    return _notice(kind, what, "\n".join(lines), f"Test {test.id}", project)


def _say_arm(arm: Arm, figures: Mapping[str, Any]) -> str:
    rate = figures["acceptance_rate"]
    left = "none" if rate is None else f"{rate:.0%}"
    return f"{arm}: {left} of its pre-labels left as they were in {figures['texts']} texts, F1 {figures['f1']:.3f}"


def _outcome(run: TrainingBatch, model: MLModel) -> tuple[str, str]:
    if model.is_production:
        return "promoted", f"{model.version} is live"
    if not (run.verdict or {}).get("passed", True):
        return "refused", f"{model.version} was refused by its gate"
    return "finished", f"{model.version} is trained and not live"


def _notice(kind: str, what: str, body: str, subject: str, project: Project) -> Notice:
    return Notice(kind, f"spanloop: {what} ({project.title})", f"{body}\n\n{subject} of project {project.id}.")
