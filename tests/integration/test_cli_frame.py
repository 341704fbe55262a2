"""The command line's frame: help, version, and errors as one sentence with an exit code."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from config.errors import ConfigurationError, NotFound, SpanloopError, StoreUnavailable
from ml_backend.cli import main
from ml_backend.cli.session import Session

SECRET = "Ada Byron's own words"


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Exception], None]:
    """Lets `spanloop fail` raise an error."""
    monkeypatch.setenv("SPANLOOP_DATA_DIR", str(tmp_path))

    def let_fail(error: Exception) -> None:
        def fail() -> None:
            raise error

        monkeypatch.setitem(main.COMMANDS, "fail", f"{__name__}:fail")
        monkeypatch.setattr(sys.modules[__name__], "fail", fail, raising=False)

    return let_fail


@pytest.mark.parametrize("error", [NotFound("no project 7"), ConfigurationError("no Redis is set")])
def test_cli_turns_a_known_error_into_its_sentence_and_exit_code(
    failing: Callable[[Exception], None], capsys: pytest.CaptureFixture[str], error: SpanloopError
) -> None:
    """What spanloop foresaw is one sentence on standard error; standard output stays clean."""
    failing(error)
    assert main.run(["fail"]) == error.exit_code
    assert capsys.readouterr() == ("", f"{error.message}\n")


def test_cli_hides_the_traceback_of_a_crash_and_keeps_its_place(
    failing: Callable[[Exception], None], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A crash is one sentence and exit code 1; where it happened is kept, what it quoted is not."""
    failing(ValueError(SECRET))
    assert main.run(["fail"]) == 1
    said = capsys.readouterr()
    log = tmp_path / "logs" / "cli.log"
    assert said.out == ""
    assert "Traceback" not in said.err
    assert str(log) in said.err
    kept = log.read_text()
    assert "ValueError" in kept
    assert "in fail" in kept
    assert SECRET not in kept + said.err


def test_cli_shows_the_traceback_of_a_crash_where_that_is_asked_for(
    failing: Callable[[Exception], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """--debug shows a crash as it is."""
    failing(ValueError(SECRET))
    assert main.run(["--debug", "fail"]) == 1
    assert SECRET in capsys.readouterr().err


def test_cli_tells_a_crash_also_where_nothing_can_be_kept(
    failing: Callable[[Exception], None], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a data folder that can be written a crash is still one sentence."""
    failing(ValueError(SECRET))
    monkeypatch.setenv("SPANLOOP_DATA_DIR", "/proc/nowhere")
    assert main.run(["fail"]) == 1
    assert "--debug" in capsys.readouterr().err


def test_cli_names_unknown_settings(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting that there is not ends the command before it does anything."""
    monkeypatch.setenv("SPANLOOP_REDDIS_URL", "redis://localhost")
    assert main.run(["project", "list"]) == ConfigurationError.exit_code
    assert "SPANLOOP_REDDIS_URL" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["nothing"], ["runs"], ["import"], ["project", "show", "one"], ["--nothing"]])
def test_cli_refuses_what_it_does_not_know(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong command, option or argument ends with 2, without a traceback."""
    assert main.run(arguments) == 2
    assert "Traceback" not in "".join(capsys.readouterr())


def test_cli_says_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    """`spanloop --version` names the installed version."""
    assert main.run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("spanloop 0.")


def test_cli_starts_without_loading_models() -> None:
    """`spanloop --version` and `spanloop db` do not wait for spaCy."""
    code = (
        "import sys; from ml_backend.cli.main import run; run(['--version']); run(['db', '--help']); "
        "sys.exit('spacy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=False)
    assert done.returncode == 0


def test_cli_shows_tables_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    """Rows come as a table, as JSON, or as a sentence where there are none; markup in them stays text."""
    session = Session()
    rows = [{"name": "[bold]x[/bold]", "f1": 0.91234, "live": True, "run": None}]
    session.show(rows, as_json=False, nothing="nothing")
    shown = capsys.readouterr().out
    assert "[bold]x[/bold]" in shown
    assert "0.912" in shown
    session.show(rows, as_json=True, nothing="nothing")
    assert '"f1": 0.91234' in capsys.readouterr().out
    session.show([], as_json=False, nothing="nothing")
    session.show([], as_json=True, nothing="nothing")
    assert capsys.readouterr().out == "nothing\n[]\n"


@pytest.mark.parametrize("folder", ["elsewhere", "/proc/nowhere"])
def test_cli_says_that_it_was_called_in_the_wrong_folder(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folder: str
) -> None:
    """Where there is no database the command says so, and makes neither one nor anything else."""
    monkeypatch.setenv("SPANLOOP_DATA_DIR", str(tmp_path / folder))
    assert main.run(["project", "list"]) == StoreUnavailable.exit_code
    said = capsys.readouterr().err
    assert said.startswith(f"there is no database {tmp_path / folder / 'spanloop.db'}")
    assert "make up" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [["project", "list"], ["db", "upgrade"]])
def test_cli_says_that_the_database_does_not_answer(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    """A database server that is away is named, without its password."""
    monkeypatch.setenv("SPANLOOP_DATABASE_URL", "postgresql://me:hidden@127.0.0.1:9/spanloop")
    assert main.run(command) == StoreUnavailable.exit_code
    said = capsys.readouterr().err
    assert "127.0.0.1:9/spanloop cannot be used: connection failed" in said
    assert "hidden" not in said


def test_cli_says_that_the_database_is_of_an_older_version(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A database that lacks tables leads to the command that makes them, which then works."""
    monkeypatch.setenv("SPANLOOP_DATA_DIR", str(tmp_path))
    (tmp_path / "spanloop.db").touch()
    assert main.run(["project", "list"]) == StoreUnavailable.exit_code
    assert "run `spanloop db upgrade`" in capsys.readouterr().err
    assert main.run(["db", "upgrade"]) == 0
    assert main.run(["project", "list"]) == 0


def test_cli_says_that_the_address_is_no_redis(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A mistyped address of Redis is a finding like any other."""
    monkeypatch.setenv("SPANLOOP_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("SPANLOOP_REDIS_URL", "nonsense")
    assert main.run(["doctor"]) == 1
    assert "SPANLOOP_REDIS_URL is not the address of a Redis" in " ".join(capsys.readouterr().out.split())
