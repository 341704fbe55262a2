"""Imports and exports over the API."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from datetime import timedelta
from typing import Any

import pytest

from ml_backend import transfers
from ml_backend.bootstrap import utc_now
from ml_backend.transfers import carry_out, drop_old_files
from tests.integration.api import JOHN, SSN, TEXT, Api, error_of, paths_of
from training.access import Role

ROWS = [
    {"text": TEXT, "spans": [{"start": 0, "end": 10, "label": "PERSON"}]},
    {"text": "Nothing to see in this one."},
    {"text": "Who is this?", "spans": [{"start": 0, "end": 99, "label": "PERSON"}]},
]


def bring_in(api: Api, body: dict[str, Any]) -> dict[str, Any]:
    """Ask for an import, let a worker carry it out, and look at it."""
    asked = api.post("imports/", body)
    assert asked.status_code == 202, asked.text
    assert asked.json()["status"] == "pending"
    carry_out(api.services, asked.json()["id"])
    shown: dict[str, Any] = api.get(f"imports/{asked.json()['id']}/").json()
    return shown


def take_out(api: Api, body: dict[str, Any]) -> dict[str, Any]:
    """Ask for an export, let a worker carry it out, and look at it."""
    asked = api.post("exports/", body)
    assert asked.status_code == 202, asked.text
    carry_out(api.services, asked.json()["id"])
    shown: dict[str, Any] = api.get(f"exports/{asked.json()['id']}/").json()
    return shown


def counts(**changes: int) -> dict[str, int]:
    return {"imported": 0, "proposals": 0, "verified": 0, "known": 0, "spans_added": 0, "rejected": 0, **changes}


def test_rows_become_proposals_once_and_bad_ones_are_listed(api: Api) -> None:
    """Rows become tasks with their spans as proposals; the same again adds nothing; what is wrong can be read."""
    first = bring_in(api, {"rows": ROWS})
    assert (first["status"], first["counts"]) == ("completed", counts(imported=2, proposals=1, rejected=1))
    again = bring_in(api, {"rows": ROWS})
    assert again["counts"] == counts(known=2, rejected=1)
    (one,) = api.get("training-data/?source=imported").json()["results"]
    assert (one["text"], one["verified"]) == (TEXT, False)
    rejects = api.get(f"imports/{first['id']}/rejects/")
    (rejected,) = [json.loads(line) for line in rejects.text.splitlines()]
    assert (rejected["line"], set(rejected)) == (3, {"line", "reason", "value"})
    assert rejects.headers["content-type"].startswith("application/x-ndjson")
    listed = api.get("imports/").json()
    assert (listed["count"], [row["id"] for row in listed["results"]]) == (2, [again["id"], first["id"]])


def test_a_file_of_any_format_goes_in_as_text_or_base64(api: Api) -> None:
    """A CSV as text, and the same in base64, are read like the file that the command line takes."""
    table = "text,start,end,label\nJohn Smith called,0,10,PERSON\n"
    assert bring_in(api, {"format": "csv", "content": table})["counts"] == counts(imported=1, proposals=1)
    packed = base64.b64encode(table.encode()).decode()
    assert bring_in(api, {"format": "csv", "content_base64": packed})["counts"] == counts(known=1)


def test_rows_say_their_spans_as_any_file_does(api: Api) -> None:
    """Entities go in as answers list them, and spans with the words they cover; what somebody called wrong does not."""
    span = {"start": 0, "end": 10, "label": "PERSON", "text": "John Smith"}
    rows = [
        {"text": TEXT, "entities": [JOHN | {"score": None}]},
        {"text": f"{TEXT}!", "spans": [span]},
        {"text": f"{TEXT}?", "entities": [SSN], "corrected_entities": [JOHN], "is_correct": False},
        {"text": f"{TEXT}.", "entities": [JOHN], "is_correct": False},
        {"text": f"{TEXT};", "spans": [span | {"text": "Jane"}]},
    ]
    done = bring_in(api, {"rows": rows})
    assert done["counts"] == counts(imported=3, proposals=3, rejected=2)
    listed = api.get("training-data/?source=imported").json()["results"]
    assert [[entity["sublabel"] for entity in one["entities"]] for one in listed] == [["PERSON"]] * 3


def test_a_dry_run_only_counts(api: Api) -> None:
    """The counts are those of the import, and nothing has changed."""
    assert bring_in(api, {"rows": ROWS, "dry_run": True})["counts"] == counts(imported=2, proposals=1, rejected=1)
    assert api.label_studio.tasks == {}
    assert api.get("training-data/").json()["count"] == 0


def test_verified_imports_take_a_reviewer_and_come_out_again(api: Api) -> None:
    """An ingest token cannot verify; a reviewer's import is verified, and its export holds what went in."""
    ingest = api.make_token("app", Role.INGEST)
    error_of(api.post("imports/", {"rows": ROWS[:1], "verified": True}, token=ingest), 403, "forbidden")
    assert api.post("imports/", {"rows": ROWS[1:2]}, token=ingest).status_code == 202
    done = bring_in(api, {"rows": ROWS[:1], "verified": True})
    assert done["counts"] == counts(imported=1, verified=1)
    export = take_out(api, {"format": "jsonl", "part": "all"})
    assert export["status"] == "completed", export
    assert (export["counts"]["texts"], export["counts"]["spans"], export["downloadable"]) == (1, 1, True)
    answer = api.get(f"exports/{export['id']}/download/")
    assert answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as packed:
        assert {"README.md", "data-card.json", *export["counts"]["files"]} <= set(packed.namelist())
        (line,) = packed.read(export["counts"]["files"][0]).decode().splitlines()
    row = json.loads(line)
    assert (row["text"], [(s["start"], s["end"], s["label"]) for s in row["spans"]]) == (TEXT, [(0, 10, "PERSON")])
    reader = api.make_token("figures", Role.INGEST)
    error_of(api.get(f"exports/{export['id']}/download/", token=reader), 403, "forbidden")


def test_what_cannot_be_done_says_why(api: Api) -> None:
    """An export without a verified text fails with its reason and has no file; so does an unreadable import."""
    export = take_out(api, {"format": "csv"})
    assert (export["status"], export["error_code"], export["counts"]) == ("failed", "conflict", None)
    error_of(api.get(f"exports/{export['id']}/download/"), 404, "not_found")
    failed = bring_in(api, {"format": "spacy", "content": "no such thing"})
    assert failed["status"] in ("failed", "completed")
    assert failed["error"] or failed["counts"]["rejected"]
    error_of(api.get(f"imports/{export['id']}/"), 404, "not_found")


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "rows"),
        ({"rows": ROWS[:1], "content": "x", "format": "txt"}, "content"),
        ({"rows": ROWS[:1], "format": "txt"}, "format"),
        ({"content": "x"}, "format"),
        ({"content": "x", "format": "exe"}, "format"),
        ({"content_base64": "A", "format": "txt"}, "content_base64"),
        ({"rows": []}, "rows"),
        ({"rows": [{"text": "x", "label": "y"}]}, "rows.0.label"),
    ],
)
def test_a_request_that_says_too_little_or_too_much_is_refused(api: Api, body: dict[str, Any], path: str) -> None:
    """One of rows and file, a format for a file, and no unknown field."""
    error = error_of(api.post("imports/", body), 422, "invalid_input")
    assert path in paths_of(error)
    assert api.get("imports/").json()["count"] == 0


def test_an_import_waits_for_label_studio(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """While Label Studio is away the import stays pending with the reason, and goes on by itself afterwards."""
    monkeypatch.setattr(transfers, "PAUSE", timedelta(0))
    api.label_studio.down = True
    waiting = bring_in(api, {"rows": ROWS})
    assert (waiting["status"], waiting["error_code"]) == ("pending", "label_studio_unavailable")
    api.label_studio.down = False
    with api.store.read() as uow:
        assert uow.transfers.due(utc_now()) == [waiting["id"]]
    carry_out(api.services, waiting["id"])
    done = api.get(f"imports/{waiting['id']}/").json()
    assert (done["status"], done["error"], done["counts"]["imported"]) == ("completed", None, 2)


def test_two_workers_carry_a_transfer_out_once(api: Api) -> None:
    """A claim holds; a second worker does nothing, nor does a second bell after the end."""
    asked = api.post("imports/", {"rows": ROWS}).json()
    with api.store.write() as uow:
        assert uow.transfers.claim(asked["id"], lease=timedelta(minutes=1), now=utc_now()) is not None
        uow.commit()
    carry_out(api.services, asked["id"])
    assert api.get(f"imports/{asked['id']}/").json()["status"] == "running"
    assert api.label_studio.tasks == {}


def test_files_go_after_their_time_and_counts_stay(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was uploaded and what could be downloaded is deleted a week later."""
    done = bring_in(api, {"rows": ROWS})
    monkeypatch.setattr(transfers, "KEPT", timedelta(seconds=-1))
    drop_old_files(api.services)
    assert api.get(f"imports/{done['id']}/").json()["counts"] == done["counts"]
    error_of(api.get(f"imports/{done['id']}/rejects/"), 404, "not_found")
    root = api.services.settings.data_dir / "models"
    assert not [path for path in root.rglob("*") if path.is_file()]
