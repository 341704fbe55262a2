"""Commands on a real store and a Label Studio in memory: what they do, what they say, how they end."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.settings import Settings
from ml_backend.bootstrap import Services
from ml_backend.cli.main import run
from tests.fakes.label_studio import FakeLabelStudio
from tests.integration.rows import Desk, new_event
from tests.integration.test_active_learning import make_data
from training.runs.run import execute_run
from training.spans import Span
from training.store.tables.inbox import EventStatus
from training.store.tables.models import MLModel
from training.store.tables.runs import RunStatus
from training.store.unit_of_work import Store

pytestmark = pytest.mark.usefixtures("quiet_logs")


class CommandLine:
    """Runs commands; `out` and `err` hold what the last one said."""

    def __init__(self, store: Store, redis_url: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.fake, self.store, self.folder, self._capsys = FakeLabelStudio(), store, folder, capsys
        settings = Settings(
            data_dir=folder,
            redis_url=redis_url,
            backend_password="secret",  # type: ignore[arg-type]
            label_studio_url=self.fake.url,
            label_studio_api_key="key",  # type: ignore[arg-type]
        )
        self.services = Services(settings)
        self.services.__dict__.update(store=store, label_studio=self.fake)
        self.out = self.err = ""

    def __call__(self, *arguments: str | int | Path, code: int = 0) -> str:
        """Run a command, which must end with this code; what it printed."""
        ended = run([str(argument) for argument in arguments], self.services)
        self.out, self.err = self._capsys.readouterr()
        assert ended == code, f"{arguments} ended with {ended}: {self.out}{self.err}"
        return self.out

    def json(self, *arguments: str | int | Path) -> Any:
        """Run a command with --json; what it printed."""
        return json.loads(self(*arguments, "--json"))

    def create(self, name: str = "Letters", *options: str | Path) -> int:
        """Make a project with two labels; its id."""
        labels = self.folder / "labels.yaml"
        labels.write_text(yaml.safe_dump({"labels": [{"name": "PERSON", "aliases": ["PER"]}, {"name": "CITY"}]}))
        self("project", "create", name, "--labels", labels, "--base-model", "blank:en", *options)
        return max(self.fake.projects)

    def file(self, name: str, *rows: Any) -> Path:
        """A .jsonl file of these rows."""
        path = self.folder / name
        path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
        return path

    def rung(self) -> list[str]:
        """The jobs that were rung for."""
        keys = self.services.doorbell.redis.scan_iter("spanloop:bell:*")
        return sorted(key.decode().removeprefix("spanloop:bell:") for key in keys)


@pytest.fixture
def spanloop(store: Store, redis_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    """The command line of an empty system."""
    return CommandLine(store, redis_url, tmp_path, capsys)


IGNORED = '{"action": "PROJECT_CREATED"}'
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
TEXT = "Ada Byron lives in Turin."
ADA = {"start": 0, "end": 9, "label": "PER"}


def test_cli_project_create_makes_a_connected_project_once(spanloop: CommandLine) -> None:
    """A project is made, connected, with version 0 live; the same command again changes nothing and says the same."""
    project_id = spanloop.create("Letters", "--set", "retrain_after=7", "--set", "auto_promote=true")
    said = spanloop.out
    assert f"Project {project_id}, 'Letters', is connected: 2 labels, en, base model blank:en." in said
    assert f"{spanloop.fake.url}/projects/{project_id}/data" in said
    spanloop.create("Letters", "--set", "retrain_after=7")
    assert len(spanloop.fake.projects) == len(spanloop.fake.backends) == len(spanloop.fake.webhooks) == 1
    shown = spanloop.json("project", "show", project_id)
    assert (shown["settings"]["retrain_after"], shown["settings"]["auto_promote"]) == (7, True)
    assert (shown["versions"]["live"], shown["versions"]["announced"]) == ("spanloop-v0", "spanloop-v0")
    assert f"refresh:{project_id}" in spanloop.rung()


def test_cli_project_create_takes_labels_from_a_file_of_texts(spanloop: CommandLine) -> None:
    """With --labels-from the labels are those of the data, the most frequent first."""
    rows = [{"text": TEXT, "spans": [{"start": 19, "end": 24, "label": "CITY"}, ADA]}, {"text": "Bern", "spans": []}]
    file = spanloop.file("gold.jsonl", *rows, {"text": "Oslo", "spans": [{"start": 0, "end": 4, "label": "CITY"}]})
    spanloop("project", "create", "From data", "--labels-from", file, "--language", "de")
    (project,) = spanloop.json("project", "list")
    shown = spanloop.json("project", "show", project["id"])["project"]
    assert (shown["labels"], shown["base_model"]) == ("CITY, PER", "blank:de")


@pytest.mark.parametrize(
    ("options", "code", "reason"),
    [
        (["--set", "retrain_afterr=7"], 2, "there is no such setting"),
        (["--set", "retrain_after"], 2, "key=value"),
        (["--labels", "missing.yaml"], 3, "missing.yaml"),
        (["--base-model", "no_such_model"], 7, "no_such_model"),
        (["--language", "xx-nothing"], 7, "xx-nothing"),
    ],
)
def test_cli_project_create_refuses_what_it_cannot_use(
    spanloop: CommandLine, options: list[str], code: int, reason: str
) -> None:
    """A wrong setting, file or model is one sentence, and nothing is made."""
    spanloop("project", "create", "Letters", *options, code=code)
    assert reason in spanloop.err
    assert spanloop.fake.projects == {}


def test_cli_project_adopt_takes_in_what_is_there(spanloop: CommandLine) -> None:
    """An adopted project keeps its config, is connected, and its tasks and annotations are known at once."""
    config = (
        '<View><Labels name="tag" toName="doc"><Label value="NAME"/></Labels>'
        '<Text name="doc" value="$body"/><Choices name="c" toName="doc"><Choice value="x"/></Choices></View>'
    )
    made = spanloop.fake.create_project("By hand", config)
    (task_id,) = spanloop.fake.import_tasks(made.id, [{"data": {"body": TEXT}}])
    spanloop.fake.create_annotation(task_id, [])
    said = spanloop("project", "adopt", made.id, "--base-model", "blank:en", "--set", "min_samples=3")
    assert f"Project {made.id}, 'By hand', is connected: 1 labels." in said
    assert spanloop.fake.projects[made.id].label_config == config
    shown = spanloop.json("project", "show", made.id)
    assert (shown["tasks"]["annotated"], shown["examples"]["verified"], shown["settings"]["min_samples"]) == (1, 1, 3)
    spanloop("project", "adopt", made.id, "--language", "de", "--base-model", "blank:de")
    assert "stays en" in spanloop.err
    spanloop("project", "adopt", 99, code=3)
    assert "no project 99" in spanloop.err


def test_cli_project_set_changes_settings_here_and_in_label_studio(spanloop: CommandLine) -> None:
    """A new verification rule is told to Label Studio, too; a wrong value changes nothing."""
    project_id = spanloop.create()
    spanloop("project", "set", project_id, "verification_rule=agreement:2", "min_samples=4")
    assert spanloop.fake.projects[project_id].maximum_annotations == 2
    spanloop("project", "set", project_id, "min_samples=none", code=2)
    assert "min_samples" in spanloop.err
    settings = spanloop.json("project", "show", project_id)["settings"]
    assert (settings["verification_rule"], settings["min_samples"]) == ("agreement:2", 4)
    spanloop("project", "set", project_id, "verification_rule=submitted")
    assert spanloop.fake.projects[project_id].maximum_annotations == 1


def test_cli_names_the_projects_where_there_are_several(spanloop: CommandLine) -> None:
    """Without --project the only project is meant; where there are several, or none, the answer says what to do."""
    spanloop("models", "list", code=3)
    assert "spanloop project create" in spanloop.err
    first = spanloop.create("Letters")
    assert "spanloop-v0" in spanloop("models", "list")
    second = spanloop.create("Notes")
    spanloop("models", "list", code=2)
    assert f"{first} (Letters), {second} (Notes)" in spanloop.err
    assert "spanloop-v0" in spanloop("models", "list", "--project", second)


def test_cli_import_reports_bad_lines_and_takes_the_rest(spanloop: CommandLine) -> None:
    """Each line that cannot be used is named with its reason on standard error; the summary counts the rest."""
    project_id = spanloop.create()
    rows = [{"text": TEXT, "spans": [ADA]}, "{", {"text": "Plain one"}, {"text": ""}]
    strange = {"text": "Dragons", "spans": [{"start": 0, "end": 7, "label": "DRAGON"}]}
    file = spanloop.file("in.jsonl", *rows, strange)
    assert spanloop("import", file, "--dry-run").startswith("2 texts would go into project")
    assert spanloop.fake.tasks == {}
    said = spanloop("import", file)
    assert said == (f"2 texts went into project {project_id}, 1 with proposed spans; 3 lines could not be used.\n")
    for line, reason in ((2, "not JSON"), (4, "text is empty"), (5, "label 'DRAGON' is not the project's; it has")):
        assert f"in.jsonl, line {line}: " in spanloop.err
        assert reason in spanloop.err
    assert f"refresh:{project_id}" in spanloop.rung()
    assert "0 texts went" in spanloop("import", file)
    report = spanloop.json("import", file)
    assert (report["imported"], report["known"], len(report["rejected"])) == (0, 2, 3)


def test_cli_import_takes_verified_spans(spanloop: CommandLine) -> None:
    """With --verified the texts are annotated and count at once."""
    project_id = spanloop.create()
    assert "1 of them verified" in spanloop(
        "import", spanloop.file("in.jsonl", {"text": TEXT, "spans": [ADA]}), "--verified"
    )
    assert spanloop.json("project", "show", project_id)["examples"]["verified"] == 1


def test_cli_import_says_what_is_wrong_with_a_file(spanloop: CommandLine) -> None:
    """A missing file, an unknown format and a file without a usable line each end with a code of their own."""
    spanloop.create()
    spanloop("import", spanloop.folder / "missing.txt", code=3)
    assert "missing.txt" in spanloop.err
    spanloop("import", spanloop.folder / "labels.yaml", code=2)
    spanloop("import", ".", code=2)
    assert "known are files that end in .txt" in spanloop.err
    assert ".jsonl" in spanloop.err
    spanloop("import", spanloop.file("bad.jsonl", "{", "["), code=2)
    assert "2 lines could not be used" in spanloop.out


def test_cli_import_says_how_far_it_came(spanloop: CommandLine) -> None:
    """With Label Studio down the error is one sentence with its exit code."""
    spanloop.create()
    spanloop.fake.down = True
    spanloop("import", spanloop.file("in.jsonl", {"text": TEXT}), code=6)
    assert "Label Studio does not answer" in spanloop.err


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


def test_cli_works_without_redis(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a Redis nothing fails that does not need it: the scheduler rings once the system runs."""
    spanloop = CommandLine(store, "", tmp_path, capsys)
    spanloop.create()
    spanloop("import", spanloop.file("in.jsonl", {"text": TEXT}))
    assert "1 text went into project" in spanloop.out
    spanloop("train", "--no-wait")
    assert len(spanloop.json("runs", "list")) == 1
