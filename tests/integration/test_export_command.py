"""`spanloop export` and `spanloop import` together: out of one project, into another, nothing lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.integration.command_line import CommandLine
from training.store.unit_of_work import Store

pytestmark = pytest.mark.usefixtures("quiet_logs")

TABLE = """\
text,start,end,label
Ada Byron lives in Turin.,0,9,PERSON
"Bob Hope, of all people, came.",0,8,PERSON
"Bob Hope, of all people, came.",0,80,CITY
Ada Byron lives in Turin.,19,24,CITY
Nobody is named here at all.,,,
"""
FORMATS = {"jsonl": "jsonl", "csv": "csv", "label-studio": "json", "spacy": "spacy", "conll": "conll"}


@pytest.fixture
def spanloop(sqlite_store: Store, redis_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    """The command line of an empty system."""
    return CommandLine(sqlite_store, redis_url, tmp_path, capsys)


def put(folder: Path) -> Path:
    """The table as a file."""
    file = folder / "letters.csv"
    file.write_text(TABLE)
    return file


def test_export_command_gives_what_import_takes(spanloop: CommandLine) -> None:
    """What one project exports in any format is known to itself, and comes into another one unchanged."""
    first = spanloop.create("First")
    spanloop("import", put(spanloop.folder), "--project", first, "--verified")
    hashes = set()
    for to, suffix in FORMATS.items():
        out = spanloop.folder / to
        spanloop("export", "--project", first, "--format", to, "--out", out, "--part", "all", "--json")
        report = json.loads(spanloop.out)
        assert (report["files"], report["texts"], report["spans"]) == ([f"all.{suffix}"], 2, 2)
        again = spanloop.create(f"From {to}")
        assert "2 texts went into" in spanloop("import", out / f"all.{suffix}", "--project", again, "--verified")
        assert "0 texts went into" in spanloop("import", out / f"all.{suffix}", "--project", again)
        spanloop("export", "--project", again, "--format", "jsonl", "--out", out / "again", "--json")
        hashes.add(tuple(sorted(spans_in(out / "again"))))
    assert len(hashes) == 1


def spans_in(folder: Path) -> list[str]:
    """Texts and spans of an export in JSON lines."""
    rows = [json.loads(line) for path in folder.glob("*.jsonl") for line in path.read_text().splitlines()]
    return [json.dumps([row["text"], row["spans"]]) for row in rows]


def test_export_command_says_what_it_wrote(spanloop: CommandLine) -> None:
    """A sentence tells texts, parts, spans and folder; what is there, or nothing to write, ends with a reason."""
    spanloop.create("Letters")
    spanloop("export", "--format", "csv", "--out", spanloop.folder / "out", code=4)
    assert "no verified text to export yet" in spanloop.err
    spanloop("import", put(spanloop.folder), "--verified")
    assert spanloop("export", "--format", "csv", "--out", spanloop.folder / "out").startswith("Wrote 2 texts (")
    spanloop("export", "--format", "csv", "--out", spanloop.folder / "out", code=4)
    spanloop("export", "--format", "word", "--out", spanloop.folder / "other", code=2)


def test_import_command_lists_what_it_rejects(spanloop: CommandLine) -> None:
    """The rejects file has line, reason and value of each row, beside the file or where --rejects says."""
    spanloop.create("Letters")
    file = put(spanloop.folder)
    spanloop("import", file, "--dry-run")
    beside = spanloop.folder / "letters.csv.rejects.jsonl"
    assert str(beside) in spanloop.err
    rows = [json.loads(line) for line in beside.read_text().splitlines()]
    assert [row["line"] for row in rows] == [3, 4]
    assert set(rows[0]) == {"line", "reason", "value"}
    elsewhere = spanloop.folder / "rejects.jsonl"
    spanloop("import", file, "--rejects", elsewhere)
    assert elsewhere.read_text() == beside.read_text()
    spanloop("import", file, "--rejects", spanloop.folder / "no" / "such" / "folder", code=2)
    assert "--rejects" in spanloop.err
