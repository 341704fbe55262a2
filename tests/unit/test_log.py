"""The log: one format for all, secrets and texts masked."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
import structlog
import uvicorn

from config.log import get_logger, mask_secrets, set_up_logging

SECRET, TEXT = "hush", "quiet, please"


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Put the process's logging back after each test."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.mark.parametrize(
    "field", ["password", "token", "Authorization", "api_key", "body", "text", "label_studio_api_key"]
)
def test_log_masks_secrets_and_texts(field: str) -> None:
    """A field whose name says that it is secret, or holds somebody's text, is masked."""
    assert mask_secrets(None, "info", {"event": "called", field: "hush"}) == {"event": "called", field: "[masked]"}


@pytest.mark.parametrize("field", ["task_id", "texts", "token_count", "context_id"])
def test_log_keeps_ids_and_counts(field: str) -> None:
    """Ids and counts stay readable."""
    assert mask_secrets(None, "info", {field: 7}) == {field: 7}


def test_log_writes_json_lines_with_event_and_fields(capsys: pytest.CaptureFixture[str]) -> None:
    """As JSON each line is one object with event, level, time and fields, and no secret."""
    set_up_logging(level="INFO", as_json=True)
    get_logger("test").info("event_parked", event_id=3, token="hush")
    written = json.loads(capsys.readouterr().err)
    assert (written["event"], written["event_id"], written["level"]) == ("event_parked", 3, "info")
    assert written["token"] == "[masked]"
    assert "timestamp" in written


def test_log_brings_libraries_into_the_same_format(capsys: pytest.CaptureFixture[str]) -> None:
    """What a library logs comes in the same format, and below the level nothing comes."""
    set_up_logging(level="WARNING", as_json=True)
    logging.getLogger("some.library").warning("disk is %s", "full")
    logging.getLogger("some.library").info("chatter")
    assert json.loads(capsys.readouterr().err)["event"] == "disk is full"


def test_log_reads_as_lines_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    """Without JSON a line holds the event and its fields for human eyes."""
    set_up_logging(level="INFO", as_json=False)
    get_logger("test").info("run_started", run_id="r1")
    assert "run_started" in (line := capsys.readouterr().err)
    assert "run_id=r1" in line


@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize("source", ["ours", "library"])
def test_log_shows_where_it_crashed_and_no_data(
    capsys: pytest.CaptureFixture[str], source: str, *, as_json: bool
) -> None:
    """A crash is logged with its frames and classes; messages and local variables may hold a text or a secret."""
    set_up_logging(level="INFO", as_json=as_json)
    try:
        crash(SECRET, TEXT)
    except RuntimeError:
        if source == "ours":
            get_logger("test").error("job_crashed", exc_info=True)
        else:
            logging.getLogger("some.library").exception("it crashed")
    written = capsys.readouterr().err
    assert SECRET not in written
    assert TEXT not in written
    assert all(shown in written for shown in ("in crash", "ValueError", "RuntimeError", "crashed"))


def test_log_takes_over_what_the_server_logs(capsys: pytest.CaptureFixture[str]) -> None:
    """uvicorn, which sets up its own log before it loads the application, tells of a crash in ours, without data."""
    server = logging.getLogger("uvicorn.error")
    uvicorn.Config("ml_backend.app:create_app")
    set_up_logging(level="INFO", as_json=True)
    try:
        crash(SECRET, TEXT)
    except RuntimeError:
        server.exception("Exception in ASGI application")
    written = capsys.readouterr().err
    assert json.loads(written)["event"] == "Exception in ASGI application"
    assert SECRET not in written
    assert TEXT not in written


def crash(secret: str, text: str) -> None:
    """Fail with a secret in a local variable and a text in the message."""
    try:
        raise ValueError(text)
    except ValueError as error:
        raise RuntimeError(f"{secret} {text}") from error
