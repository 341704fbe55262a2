"""Commands on what comes in from Label Studio: what they do, what they say, how they end."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.integration.command_line import CommandLine
from tests.integration.rows import new_event
from training.store.tables.inbox import EventStatus

pytestmark = pytest.mark.usefixtures("quiet_logs")

IGNORED = '{"action": "PROJECT_CREATED"}'
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
TEXT = "Ada Byron lives in Turin."


def test_cli_sync_lists_and_replays_parked_events(spanloop: CommandLine) -> None:
    """Parked events are listed with their reasons, replayed one by one or all, and rung for."""
    spanloop.create()
    assert "No event is parked" in spanloop("sync", "events")
    with spanloop.store.write() as uow:
        for key in "abc":
            uow.inbox.add(new_event(key, status=EventStatus.PARKED, attempts=5, error=f"reason {key}"))
        uow.commit()
    rows = spanloop.json("sync", "events")
    assert [row["reason"] for row in rows] == ["reason c", "reason b", "reason a"]
    assert "3 parked" in spanloop("sync", "events", "--limit", 1)
    assert "1 event goes back" in spanloop("sync", "replay", rows[0]["id"])
    spanloop("sync", "replay", rows[0]["id"], code=4)
    spanloop("sync", "replay", code=2)
    spanloop("sync", "replay", rows[0]["id"], "--all", code=2)
    assert "2 events go back" in spanloop("sync", "replay", "--all")
    assert "drain" in spanloop.rung()
    assert len(spanloop.json("sync", "events", "--status", "pending")) == 3


def test_cli_sync_lets_go_of_events_that_nothing_can_come_of(spanloop: CommandLine) -> None:
    """An event of a project that is gone would be parked again and again; discarded, it is done with its reason."""
    spanloop.create()
    with spanloop.store.write() as uow:
        for key in "abc":
            uow.inbox.add(new_event(key, status=EventStatus.PARKED, attempts=1, error=f"reason {key}"))
        uow.commit()
    last = spanloop.json("sync", "events")[0]["id"]
    assert "1 event is let go of" in spanloop("sync", "discard", last)
    spanloop("sync", "discard", last, code=4)
    spanloop("sync", "discard", code=2)
    assert "2 events are let go of" in spanloop("sync", "discard", "--all")
    done = spanloop.json("sync", "events", "--status", "done")
    assert [row["reason"] for row in done] == ["reason c", "reason b", "reason a"]


def test_cli_sync_pulls_and_drains(spanloop: CommandLine) -> None:
    """Reconciling says what webhooks missed, for one project or all; draining works the inbox off."""
    project_id = spanloop.create()
    (task_id,) = spanloop.fake.import_tasks(project_id, [{"data": {"text": TEXT}}])
    spanloop.fake.create_annotation(task_id, [])
    assert "1 tasks changed, 1 annotations new or changed" in spanloop("sync", "reconcile")
    spanloop.fake.delete_task(task_id)
    assert "1 tasks deleted" in spanloop("sync", "reconcile", "--project", project_id, "--full")
    assert "nothing had been missed" in spanloop("sync", "reconcile", "--full")
    with spanloop.store.write() as uow:
        uow.inbox.add(new_event("a", project_id=project_id, body=IGNORED, available_at=LONG_AGO))
        uow.commit()
    assert "1 events done, 0 failed and wait, 0 parked" in spanloop("sync", "drain")
    spanloop.fake.delete_project(project_id)
    assert "gone from Label Studio" in spanloop("sync", "reconcile", "--project", project_id)


def test_cli_sync_problems_names_tasks_and_reasons(spanloop: CommandLine) -> None:
    """What nothing can be learnt from is listed with its task and annotation, and without any text."""
    project_id = spanloop.create()
    assert "Everything in project" in spanloop("sync", "problems")
    value = {"start": 0, "end": 9, "text": "Ada Byron", "labels": ["DRAGON"]}
    region = {"id": "r", "from_name": "label", "to_name": "text", "type": "labels", "value": value}
    texts = [{"text": TEXT}, {"words": "no text here"}]
    first, second = spanloop.fake.import_tasks(project_id, [{"data": data} for data in texts])
    made = spanloop.fake.create_annotation(first, [region])
    spanloop("sync", "reconcile")
    rows = spanloop.json("sync", "problems")
    assert [(row["kind"], row["task"], row["annotation"]) for row in rows] == [
        ("task", second, None),
        ("region", first, made.id),
    ]
    assert "DRAGON" in rows[1]["reason"]
    assert "Ada Byron" not in spanloop("sync", "problems")
