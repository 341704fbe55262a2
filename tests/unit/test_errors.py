"""The tree of errors, its documentation, and what programs rely on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import config.errors
from config.errors import SpanloopError

DOCS = Path(__file__).parents[2] / "docs" / "errors.md"


def tree(error: type[SpanloopError] = SpanloopError, depth: int = 0) -> Iterator[tuple[int, str]]:
    """Each error class with its depth below the root, as the classes are defined."""
    yield depth, error.__name__
    for child in error.__subclasses__():
        if child.__module__ == config.errors.__name__:
            yield from tree(child, depth + 1)


CLASSES = [getattr(config.errors, name) for _, name in tree()]


def test_errors_tree_is_drawn_as_it_is() -> None:
    """The drawing at the top of the module shows every class, under its parent."""
    lines = (config.errors.__doc__ or "").splitlines()
    drawn = [re.match(r"([├└│─ ]*)([A-Z]\w+)", line) for line in lines[1:]]
    found = [(len(match[1]) // 4, match[2]) for match in drawn if match and (match[1] or match[2] == "SpanloopError")]
    assert sorted(found) == sorted(tree())


def test_errors_codes_are_unique() -> None:
    """A program can tell every class by its code."""
    assert len({error.code for error in CLASSES}) == len(CLASSES)


@pytest.mark.parametrize("error", CLASSES)
def test_errors_say_what_happened_in_one_sentence(error: type[SpanloopError]) -> None:
    """Each class has a status of an error, an exit code that is not success, and a sentence."""
    assert 400 <= error.http_status < 600
    assert 0 < error.exit_code < 64
    assert (error.__doc__ or "").strip().endswith(".")


@pytest.mark.parametrize("error", CLASSES)
def test_errors_are_documented(error: type[SpanloopError]) -> None:
    """docs/errors.md lists the class with its code, status and exit code."""
    row = f"| `{error.code}` | `{error.__name__}` | {error.http_status} | {error.exit_code} |"
    assert row in DOCS.read_text("utf-8")


def test_errors_documentation_lists_no_others() -> None:
    """docs/errors.md holds no error that is gone."""
    rows = re.findall(r"^\| `(\w+)` \|", DOCS.read_text("utf-8"), re.MULTILINE)
    assert sorted(rows) == sorted(error.code for error in CLASSES)


def test_errors_carry_message_and_details() -> None:
    """An error shows its message, and keeps what belongs to it."""
    error = config.errors.NotFound("there is no run 7", run=7)
    assert (str(error), error.message, error.details) == ("there is no run 7", "there is no run 7", {"run": 7})
