"""Commands that make, change and fill projects: what they do, what they say, how they end."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.command_line import CommandLine
from training.store.unit_of_work import Store

pytestmark = pytest.mark.usefixtures("quiet_logs")

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


def test_cli_works_without_redis(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a Redis nothing fails that does not need it: the scheduler rings once the system runs."""
    spanloop = CommandLine(store, "", tmp_path, capsys)
    spanloop.create()
    spanloop("import", spanloop.file("in.jsonl", {"text": TEXT}))
    assert "1 text went into project" in spanloop.out
    spanloop("train", "--no-wait")
    assert len(spanloop.json("runs", "list")) == 1
