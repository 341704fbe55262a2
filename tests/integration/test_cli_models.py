"""Commands on training runs and model versions: what they do, what they say, how they end."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.command_line import CommandLine
from tests.integration.rows import Desk
from tests.integration.test_active_learning import make_data
from training.runs.run import execute_run
from training.spans import Span
from training.store.tables.models import MLModel
from training.store.tables.runs import RunStatus

pytestmark = pytest.mark.usefixtures("quiet_logs")


def test_cli_train_asks_for_one_run_at_a_time(spanloop: CommandLine) -> None:
    """A run is asked for and rung for; a second one is refused while it lasts, until it is cancelled."""
    project_id = spanloop.create()
    spanloop("train", "--no-wait", "--promote")
    (run_row,) = spanloop.json("runs", "list")
    assert (run_row["status"], run_row["trigger"]) == ("pending", "cli")
    assert f"train:{run_row['id']}" in spanloop.rung()
    spanloop("train", "--no-wait", code=4)
    assert run_row["id"] in spanloop.err
    assert "pending" in spanloop("runs", "show", run_row["id"][:8])
    assert spanloop.json("runs", "show", run_row["id"])["run"]["promote"] is True
    assert "is cancelled" in spanloop("runs", "cancel", run_row["id"][:8])
    spanloop("runs", "cancel", run_row["id"], code=4)
    spanloop("runs", "watch", run_row["id"], code=8)
    spanloop("train", "--no-wait")
    assert [row["status"] for row in spanloop.json("runs", "list")] == ["pending", "cancelled"]
    assert spanloop.json("project", "show", project_id)["versions"]["run"].endswith("is pending")


def test_cli_runs_watch_tells_how_a_run_ended(spanloop: CommandLine) -> None:
    """Watching a run that waits says what for; one that failed, what of, with an exit code of its own."""
    spanloop.create()
    spanloop("train", "--no-wait")
    (run_row,) = spanloop.json("runs", "list")

    def end(status: RunStatus, **columns: Any) -> None:
        with spanloop.store.write() as uow:
            found = uow.runs.get(run_row["id"])
            found.status = status
            for name, value in columns.items():
                setattr(found, name, value)
            uow.commit()

    end(RunStatus.WAITING, error="no verified text is in the test part yet")
    assert "waits: no verified text" in spanloop("runs", "watch", run_row["id"])
    end(RunStatus.FAILED, error="none of the 3 verified train texts holds a span")
    spanloop("runs", "watch", run_row["id"], code=8)
    assert "none of the 3 verified" in spanloop.err
    spanloop("runs", "show", "nothing", code=3)


def test_cli_train_reports_what_came_of_it(spanloop: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run by hand says with what it started and what came of it: losses, figures, and that it is not live."""
    project_id = spanloop.create("Letters", "--set", "test_fraction=0.3", "--set", "dev_fraction=0")
    monkeypatch.setattr(
        "ml_backend.cli.train.ring",
        lambda services, _, run_id: execute_run(run_id, services.workshop, worker="here"),
    )
    desk = Desk.__new__(Desk)
    desk.store, desk.project_id = spanloop.store, project_id
    for number, (text, gold) in enumerate(make_data(16), start=1000):
        [(start, end, label)] = gold["entities"]
        desk.task(number, text)
        desk.annotate(number, number, Span(start, end, label))
    spanloop("train", "--min-samples", 17, code=8)
    assert "Min samples: 17" in spanloop.out
    assert "16 verified texts, a run needs 17" in spanloop.err
    report = spanloop("train", "--iterations", 2, "--test-split", 0.25, "--recipe", "blank")
    for line in ("Base model: blank:en", "Iterations: 2", "Test split: 0.25", "Min samples: 10"):
        assert line in report
    for name in ("Model ID: ", "Batch ID: ", "Final loss: ", "F1 Score: ", "NOT active by default"):
        assert name in report
    assert spanloop.json("project", "show", project_id)["settings"]["test_fraction"] == 0.25
    spanloop("train", "--recipe", "nosuch", code=2)
    assert "recipe" in spanloop.err
    runs = spanloop.json("runs", "list")
    spanloop("train", "--test-split", 0.95, code=2)
    assert "test_fraction" in spanloop.err
    assert spanloop.json("runs", "list") == runs, "a run was started all the same"


def add_version(spanloop: CommandLine, project_id: int, number: int, *, passed: bool = True) -> None:
    """Register a version that has no files."""
    verdict = {"passed": passed, "kind": "passed" if passed else "refused", "reasons": ["F1 0.7 against 0.8"]}
    with spanloop.store.write() as uow:
        base = uow.models.live(project_id)
        assert base is not None
        scores = {"f1": 0.7, "precision": 0.6, "recall": 0.8, "support": 5, "predicted": 6, "correct": 4}
        uow.models.add(
            MLModel(
                project_id=project_id,
                number=number,
                version=f"spanloop-v{number}",
                is_active=False,
                is_production=False,
                spec=base.spec,
                label_mapping={},
                verdict=verdict,
                metrics={"per_label": {"PERSON": scores}},
                f1_score=0.7,
                created_at=base.created_at,
            )
        )
        uow.commit()


def test_cli_models_changes_the_live_version_and_rings_for_its_predictions(spanloop: CommandLine) -> None:
    """Activate and rollback change what is live and let Label Studio follow; a refused version needs a reason."""
    project_id = spanloop.create()
    add_version(spanloop, project_id, 1)
    add_version(spanloop, project_id, 2, passed=False)
    spanloop.services.doorbell.redis.flushdb()
    assert "spanloop-v1 is live now" in spanloop("models", "activate", "1")
    assert spanloop.rung() == [f"refresh:{project_id}"]
    assert "was live already" in spanloop("models", "activate", "spanloop-v1")
    spanloop("models", "activate", "spanloop-v2", code=4)
    assert "F1 0.7 against 0.8" in spanloop.err
    spanloop("models", "activate", "spanloop-v2", "--reason", "we know better")
    shown = spanloop.json("models", "show", "2")
    assert shown["activations"][0]["reason"] == "we know better"
    (person,) = shown["labels"]
    assert (person["label"], person["f1"], person["recall"], person["spans"]) == ("PERSON", 0.7, 0.8, 5)
    assert "PERSON" in spanloop("models", "show", "2")
    assert "spanloop-v1 is live again" in spanloop("models", "rollback")
    assert "spanloop-v0 is live again" in spanloop("models", "rollback", "--reason", "back to the start")
    spanloop("models", "rollback", code=3)
    rows = {row["version"]: (row["live"], row["announced"]) for row in spanloop.json("models", "list")}
    assert rows == {
        "spanloop-v2": (False, False),
        "spanloop-v1": (False, False),
        "spanloop-v0": (True, True),
    }
    spanloop("models", "show", "7", code=3)


def test_cli_models_ab_begins_shows_and_ends_a_test(spanloop: CommandLine) -> None:
    """A challenger is put beside the live version, its test is shown, and ended; each change rings for what follows."""
    project_id = spanloop.create()
    add_version(spanloop, project_id, 1)
    assert "has had no test" in spanloop("models", "ab", "status")
    spanloop("models", "ab", "start", "0", code=4)
    spanloop("models", "ab", "start", "1", "--fraction", 1, code=2)
    spanloop("models", "ab", "stop", code=3)
    spanloop.services.doorbell.redis.flushdb()
    assert "spanloop-v1 serves 30% of the tasks" in spanloop("models", "ab", "start", "1")
    assert spanloop.rung() == [f"challenge:{project_id}"]
    spanloop("models", "ab", "start", "1", "--shadow", code=4)
    rows = {row["version"]: row["challenger"] for row in spanloop.json("models", "list")}
    assert rows == {"spanloop-v1": True, "spanloop-v0": False}
    shown = spanloop.json("models", "ab", "status")
    assert (shown["test"]["mode"], shown["test"]["challenger"], shown["passed"]) == ("ab", "spanloop-v1", False)
    assert "Each version wants 30 annotated texts" in spanloop("models", "ab", "status")
    assert "did not pass" in spanloop("models", "ab", "stop", "--reason", "enough")
    assert spanloop.json("models", "ab", "status")["test"]["reason"] == "enough"
    assert "predicts unseen" in spanloop("models", "ab", "start", "1", "--shadow", "--promote")


def test_cli_models_compare_needs_test_texts(spanloop: CommandLine) -> None:
    """Without a verified test text there is nothing to compare on, and the command says so."""
    spanloop.create()
    spanloop("models", "compare", "0", "0", code=8)
    assert "no verified text in its test part" in spanloop.err
    assert "has this figure yet" in spanloop("models", "history", "--label", "PERSON")
