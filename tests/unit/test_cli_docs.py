"""The command line against its page in the documentation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from config.errors import InvalidInput, SpanloopError
from ml_backend.cli.importing import summarize
from ml_backend.cli.main import app
from ml_backend.cli.project import choose_taxonomy, parse_assignments
from sync.importing import ImportReport
from training.formats.rows import RejectedRow

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"


def walk(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every command with its full name, groups aside."""
    if not hasattr(command, "list_commands"):
        yield path, command
        return
    for name in command.list_commands(None):
        yield from walk(command.get_command(None, name), f"{path} {name}")


COMMANDS = dict(walk(typer.main.get_command(app), "spanloop"))


def sections() -> dict[str, str]:
    """The page's sections by the command that they are about."""
    parts = re.split(r"^### `(spanloop [^`]+)`\n", PAGE.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_cli_page_has_a_section_for_each_command() -> None:
    """No command is missing from docs/cli.md, and none on it has gone."""
    assert set(sections()) == set(COMMANDS)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_cli_page_names_each_option(name: str) -> None:
    """A command's section names all of its options, and no others."""
    options = {option for p in COMMANDS[name].params for option in (*p.opts, *p.secondary_opts)}
    wanted = {option for option in options if option.startswith("--") and option != "--help"}
    assert set(re.findall(r"--[a-z][a-z-]*", sections()[name])) == wanted


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_cli_help_says_what_each_command_does(name: str) -> None:
    """A command has a sentence of help, and so has each of its options and arguments."""
    command = COMMANDS[name]
    assert (command.help or "").strip()
    assert [p.name for p in command.params if not getattr(p, "help", "") and p.name != "help"] == []


def test_cli_page_lists_the_exit_codes() -> None:
    """Every exit code that an error carries stands on the page."""
    listed = {int(code) for code in re.findall(r"^\| (\d+) \|", PAGE.read_text(), flags=re.MULTILINE)}
    codes = {SpanloopError.exit_code, *(kind.exit_code for kind in _all_kinds(SpanloopError))}
    assert listed == codes | {0, 1, 2, 130}


def _all_kinds(kind: type[SpanloopError]) -> Iterator[type[SpanloopError]]:
    for child in kind.__subclasses__():
        yield child
        yield from _all_kinds(child)


def test_cli_reads_assignments() -> None:
    """Settings are given as key=value; a value may hold further equal signs and stand between blanks."""
    assert parse_assignments(["retrain_after=5", "a = b=c "]) == {"retrain_after": "5", "a": "b=c"}


@pytest.mark.parametrize("word", ["retrain_after", "=5", ""])
def test_cli_refuses_what_is_no_assignment(word: str) -> None:
    """What is no key=value is refused with an example."""
    with pytest.raises(InvalidInput, match="retrain_after=100"):
        parse_assignments([word])


def test_cli_takes_labels_from_one_place() -> None:
    """Two sources of labels at once are refused."""
    with pytest.raises(InvalidInput, match="one of them"):
        choose_taxonomy(Path("a.yaml"), Path("b.jsonl"))


def test_cli_sums_an_import_up() -> None:
    """The summary names what went in, what was there and what could not be used."""
    rejected = [RejectedRow(3, "text is empty", "")]
    assert summarize(ImportReport(1), 7, dry_run=False) == "1 text went into project 7."
    assert summarize(ImportReport(4, 2, 0, 1, rejected), 7, dry_run=False) == (
        "4 texts went into project 7, 2 with proposed spans; 1 was there already; 1 line could not be used."
    )
    assert summarize(ImportReport(4, 0, 3, 2, []), 7, dry_run=True) == (
        "4 texts would go into project 7, 3 of them verified; 2 were there already."
    )
    assert summarize(ImportReport(0, 0, 0, 2, [], spans_added=1), 7, dry_run=False) == (
        "0 texts went into project 7; 2 were there already, 1 of which got the file's spans."
    )
