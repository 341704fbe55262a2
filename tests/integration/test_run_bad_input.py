"""What can go wrong around a run: each is a named error, the live version stays, and nothing is left behind."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import training.runs.planning
from tests.integration.shop import Shop
from training.learning.trainer import OnProgress
from training.prediction.pipeline import base_spec
from training.runs.run import clear_remains, request_run
from training.spans import Span
from training.store.tables.runs import RunStatus
from training.store.unit_of_work import Store


@pytest.fixture
def shop(sqlite_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """A workshop on SQLite, with texts in every part and version 1 live."""
    shop = Shop.open(sqlite_store, tmp_path, monkeypatch)
    shop.annotate("train", 5)
    shop.annotate("dev", 1)
    shop.annotate("test", 2)
    assert shop.execute(shop.ask(promote=True)).activated
    return shop


def expect_failure(shop: Shop, code: str, part: str, **configuration: Any) -> None:
    """A run asked to go live fails by this name; version 1 stays live, and its files are all there is."""
    before = shop.artefacts()
    with shop.store.write() as uow:
        run = request_run(uow, 1, trigger="test", promote=True, configuration=configuration, now=shop.now)
        uow.commit()
    assert shop.execute(run.id).status == RunStatus.FAILED
    stored = shop.run(run.id)
    assert stored.error_code == code
    assert part in (stored.error or "")
    assert shop.live() == "spanloop-v1"
    assert shop.artefacts() == before
    assert list(shop.workshop.work_dir.iterdir()) == []


def raise_full(*_: object) -> None:
    """What a full disk says."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_run_on_a_full_disk_fails_by_name(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that gets full while training, or while the model is stored, says so and how to go on."""
    shop.during = raise_full
    expect_failure(shop, "storage_failed", "No space left on device")
    shop.during = lambda _: None
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfile", raise_full)
        expect_failure(shop, "storage_failed", "make room")
    assert shop.execute(shop.ask()).status == RunStatus.COMPLETED


def test_run_lets_other_faults_of_files_out(shop: Shop) -> None:
    """An error of the operating system that nobody foresaw is not taken for a full disk."""

    def lose_a_file(_: OnProgress) -> None:
        raise FileNotFoundError(errno.ENOENT, "gone")

    shop.during = lose_a_file
    with pytest.raises(FileNotFoundError):
        shop.execute(shop.ask())


def test_run_with_an_unusable_base_model_fails_by_name(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A base model that is not installed, or is one of another spaCy version, is named with what to do."""
    monkeypatch.setattr(training.runs.planning, "base_spec", base_spec)
    expect_failure(shop, "model_unavailable", "nosuch_model", base_model="nosuch_model")
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "meta.json").write_text(json.dumps({"spacy_version": ">=2.3.0,<2.4.0"}), "utf-8")
    expect_failure(shop, "model_unavailable", "was made for spaCy >=2.3.0,<2.4.0", base_model=str(tmp_path / "old"))


def test_run_against_a_corrupted_live_model_fails_by_name(shop: Shop) -> None:
    """A changed byte in the live version's files is found by its checksum, and rolling back is named as the way out."""
    live = next(model for model in shop.models() if model.is_production)
    folder = shop.workshop.artefacts.fetch(live.path or "", live.checksum or "")
    (folder / "model").write_text("another model")
    expect_failure(shop, "artefact_corrupt", "roll back")


def test_run_by_an_unknown_recipe_fails_by_name(shop: Shop) -> None:
    """A recipe that nobody knows is refused with those there are."""
    expect_failure(shop, "invalid_input", "recipe", settings={"recipe": "magic"})


def test_run_trains_what_is_left_of_faulty_spans(shop: Shop) -> None:
    """Empty spans and spans of white space are kept with their annotation, reported, and never reach the trainer."""
    [number] = shop.annotate("train", 1)
    text = shop.texts[number]
    blank = text.index(" ")
    shop.desk.annotate(number, number, Span(0, 2, "CITY"), Span(3, 3, "CITY"), Span(blank, blank + 1, "CITY"), at=50)
    shop.execute(shop.ask())
    train = next(example for example in shop.trained[-1][0] if example.text == text)
    assert train.spans == (Span(0, 2, "CITY"),)
    example = shop.desk.example(text)
    assert example is not None
    assert sorted(problem["problem"] for problem in example.problems) == ["empty", "whitespace"]


def test_run_trains_one_of_contradicting_annotations(shop: Shop) -> None:
    """Where two annotators differ on a text, one answer trains, and the text is reported as a conflict."""
    [number] = shop.annotate("train", 1)
    shop.desk.annotate(1000 + number, number, Span(0, 2, "CITY"), at=60)
    shop.execute(shop.ask())
    [found] = [example for example in shop.trained[-1][0] if example.text == shop.texts[number]]
    assert found.spans == (Span(0, 2, "CITY"),)
    with shop.store.read() as uow:
        assert len(uow.examples.with_conflicts(1)) == 1


KILLED = """
import sys, time
from pathlib import Path
import training.runs.planning, training.runs.run, training.versions.artefacts
from tests.integration.shop import SPEC, _Pretended
from training.versions.artefacts import ArtefactStore
from training.runs.run import Workshop, execute_run
from training.store.database import open_engine
from training.store.unit_of_work import Store
from ml_backend.bootstrap import utc_now

def train(train, dev, *, plan, output, on_progress):
    output.mkdir(parents=True)
    (output / "model").write_text("a model")
    return SPEC

def hang(*_, **__):
    print("there", flush=True)
    while True:
        time.sleep(0.1)

training.runs.run.train_pipeline, training.runs.planning.base_spec = train, lambda *_: SPEC
pretend = lambda spec, folder: _Pretended(is_right=True)
training.runs.run.load_pipeline = training.versions.registry.load_pipeline = pretend
url, folder, run_id, step = sys.argv[1:]
if step == "save":
    training.versions.artefacts._flush = hang
else:
    training.runs.run._register = hang
store = Store(open_engine(url))
execute_run(run_id, Workshop(store, ArtefactStore(f"{folder}/models"), Path(folder) / "work", utc_now), worker="killed")
"""


@pytest.mark.parametrize("step", ["save", "register"])
def test_run_killed_at_its_last_steps_changes_nothing(shop: Shop, tmp_path: Path, step: str) -> None:
    """kill -9 while a model is stored, or just before it is registered: the live version stays, the next run works."""
    before = set(shop.artefacts())
    run_id = shop.ask(promote=True)
    url = shop.store.engine.url.render_as_string(hide_password=False)
    command = [sys.executable, "-c", KILLED, url, str(tmp_path), run_id, step]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as worker:
        try:
            assert worker.stdout is not None
            assert b"there\n" in iter(worker.stdout.readline, b"")
        finally:
            os.kill(worker.pid, signal.SIGKILL)
    assert shop.reap(after=61) == [run_id]
    assert (shop.live(), len(shop.models())) == ("spanloop-v1", 2)
    for left in set(shop.artefacts()) - before:
        folder = tmp_path / "models" / left
        os.utime(folder, (0, 0))
    clear_remains(shop.workshop)
    assert not [name for name in shop.artefacts() if name.startswith(".aside-")]
    assert list(shop.workshop.work_dir.iterdir()) == []
    assert shop.execute(shop.ask(promote=True)).activated


def test_run_leaves_alone_what_is_being_saved(shop: Shop, tmp_path: Path) -> None:
    """A model that another worker stores at this moment is not swept away."""
    (tmp_path / "models" / ".aside-new").mkdir()
    clear_remains(shop.workshop)
    assert ".aside-new" in shop.artefacts()
    shop.workshop.artefacts.sweep(older_than=timedelta(seconds=-1))
    assert ".aside-new" not in shop.artefacts()
