"""Notices of how runs ended, as they reach a mailbox."""

from __future__ import annotations

from collections.abc import Iterator
from email import message_from_bytes
from email.message import Message
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from config.settings import Settings
from ml_backend.bootstrap import Services
from ml_backend.notices import find_unsent, send_notice
from tests.integration.conftest import free_port
from tests.integration.rows import add_project, later, new_run
from training.store.tables.ab_tests import ChallengeMode
from training.store.tables.models import MLModel
from training.store.tables.runs import RunStatus
from training.store.unit_of_work import Store
from training.versions.ab_testing import BY_ITSELF, start_test


class Mailbox:
    """Takes every mail."""

    def __init__(self) -> None:
        self.mails: list[Message] = []

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        """Keep a mail."""
        self.mails.append(message_from_bytes(envelope.content, policy=default))
        return "250 kept"


@pytest.fixture
def mailbox() -> Iterator[tuple[Mailbox, int]]:
    """A mail server on this machine, and its port."""
    box, port = Mailbox(), free_port()
    server = Controller(box, hostname="127.0.0.1", port=port)
    server.start()
    yield box, port
    server.stop()


def open_services(store: Store, folder: Path, urls: str) -> Services:
    services = Services(Settings(data_dir=folder, notice_urls=urls))  # type: ignore[arg-type]
    services.__dict__.update(store=store)
    return services


def mail_url(port: int) -> str:
    return f"mailto://127.0.0.1:{port}?from=loop@example.org&to=team@example.org&mode=insecure"


def add_run(store: Store, status: RunStatus, *, passed: bool = True, live: bool = False, **columns: Any) -> str:
    """A run that ended just now, with its model where it gave one."""
    with store.write() as uow:
        run = new_run(status=status, finished_at=later(0), **columns)
        assert uow.runs.add(run)
        if status == RunStatus.COMPLETED:
            number = uow.models.next_number(1)
            model = uow.models.add(
                MLModel(
                    project_id=1,
                    number=number,
                    version=f"spanloop-v{number}",
                    is_active=live,
                    is_production=live,
                    spec={},
                    label_mapping={},
                    f1_score=0.8125,
                    created_at=later(0),
                )
            )
            run.model_id, run.metrics = model.id, {"test_samples": 40}
            run.verdict = {"passed": passed, "kind": "passed" if passed else "refused", "reasons": ["F1 0.1 lower"]}
        uow.commit()
    return run.id


@pytest.mark.parametrize(
    ("run", "subject", "part"),
    [
        ({"status": RunStatus.COMPLETED}, "spanloop-v0 is trained and not live", "F1 on 40 test texts: 0.812"),
        ({"status": RunStatus.COMPLETED, "live": True}, "spanloop-v0 is live", "Gate: passed"),
        ({"status": RunStatus.COMPLETED, "passed": False}, "spanloop-v0 was refused by its gate", "F1 0.1 lower"),
        (
            {"status": RunStatus.FAILED, "error": "too few texts", "error_code": "not_enough_data"},
            "training failed",
            "Error: not_enough_data",
        ),
    ],
)
def test_notice_reaches_a_mailbox_once(
    sqlite_store: Store, tmp_path: Path, mailbox: tuple[Mailbox, int], run: dict[str, Any], subject: str, part: str
) -> None:
    """However a run ended, one mail says so, to whom the settings name."""
    box, port = mailbox
    add_project(sqlite_store)
    services = open_services(sqlite_store, tmp_path, mail_url(port))
    run_id = add_run(sqlite_store, **run)
    with sqlite_store.read() as uow:
        assert find_unsent(uow, now=later(60)) == [run_id]
    assert send_notice(services, run_id, now=later(60))
    assert not send_notice(services, run_id, now=later(61))
    [mail] = box.mails
    assert (mail["To"], mail["Subject"]) == ("team@example.org", f"spanloop: {subject} (Project 1)")
    body = mail.get_body(("plain",))  # type: ignore[attr-defined]
    assert part in body.get_content()
    assert run_id in body.get_content()
    with sqlite_store.read() as uow:
        assert find_unsent(uow, now=later(61)) == []


@pytest.mark.parametrize(
    ("passed", "live", "by", "subject", "part"),
    [
        (True, True, BY_ITSELF, "spanloop-v1 is live, since it passed its test", "challenger: 75% of its pre-labels"),
        (True, False, BY_ITSELF, "spanloop-v1 passed its test and is not live", "it came to its end"),
        (False, False, BY_ITSELF, "spanloop-v1 did not pass its test", "it came to its end"),
        (True, False, "ada", "", ""),
    ],
)
def test_notice_tells_of_a_test_that_ends_by_itself(
    sqlite_store: Store,
    tmp_path: Path,
    mailbox: tuple[Mailbox, int],
    passed: bool,
    live: bool,
    by: str,
    subject: str,
    part: str,
) -> None:
    """A version that goes live after its test, or loses it, is news; who ends a test by hand knows."""
    box, port = mailbox
    add_project(sqlite_store)
    for first in (True, False):
        add_run(sqlite_store, RunStatus.COMPLETED, live=first)
    with sqlite_store.write() as uow:
        challenger = uow.models.of_project(1)[0]
        test = start_test(uow, 1, challenger, mode=ChallengeMode.AB, fraction=0.5, by="ada", now=later(0))
        arm = {"acceptance_rate": 0.75, "texts": 12, "f1": 0.9}
        test.stopped_by, test.stopped_at, test.reason, test.passed = by, later(5), "it came to its end", passed
        test.figures = {"live": arm, "challenger": arm}
        if live:
            uow.models.take_off(1)
            challenger.is_production = True
        uow.commit()
    with sqlite_store.read() as uow:
        assert (test.id in find_unsent(uow, now=later(60))) == bool(subject)
    if subject:
        assert send_notice(open_services(sqlite_store, tmp_path, mail_url(port)), test.id, now=later(60))
        assert not send_notice(open_services(sqlite_store, tmp_path, mail_url(port)), test.id, now=later(61))
    assert [mail["Subject"] for mail in box.mails] == ([f"spanloop: {subject} (Project 1)"] if subject else [])
    assert all(part in mail.get_body(("plain",)).get_content() for mail in box.mails)  # type: ignore[attr-defined]


def test_notice_is_not_sent_of_old_or_cancelled_runs(sqlite_store: Store, tmp_path: Path) -> None:
    """Runs of yesterday are no news, and who cancelled a run knows of it; without an address nothing is sent."""
    add_project(sqlite_store)
    cancelled = add_run(sqlite_store, RunStatus.CANCELLED)
    with sqlite_store.read() as uow:
        assert find_unsent(uow, now=later(3 * 3600)) == []
    assert not send_notice(open_services(sqlite_store, tmp_path, mail_url(9)), cancelled, now=later(1))
    failed = add_run(sqlite_store, RunStatus.FAILED)
    assert not send_notice(open_services(sqlite_store, tmp_path, ""), failed, now=later(1))


def test_notice_that_cannot_be_sent_fails_nothing(
    sqlite_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mail server that is away is tried again and then given up; the run stays as it is, the address unsaid."""
    monkeypatch.setattr("ml_backend.notices.PAUSES", (0.0,))
    add_project(sqlite_store)
    services = open_services(sqlite_store, tmp_path, mail_url(free_port()) + " nonsense://x")
    run_id = add_run(sqlite_store, RunStatus.FAILED, error="e", error_code="c")
    assert not send_notice(services, run_id, now=later(1))
    assert "mailto" not in repr(services.settings)
