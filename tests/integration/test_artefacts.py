from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from config.errors import ArtefactCorrupt, ConfigurationError, NotFound, StorageFailed
from training.versions.artefacts import MANIFEST, ArtefactStore


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ArtefactStore]:
    if request.param == "local":
        yield ArtefactStore(tmp_path / "models")
        return
    root = f"/models-{uuid.uuid4().hex}"
    yield ArtefactStore(f"memory://{root}", cache_dir=tmp_path / "cache")
    memory = fsspec.filesystem("memory")
    if memory.exists(root):
        memory.rm(root, recursive=True)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "trained"
    (folder / "ner").mkdir(parents=True)
    (folder / "config.cfg").write_text("[nlp]\n", "utf-8")
    (folder / "ner" / "model").write_bytes(bytes(range(256)) * 10)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_artefacts_give_back_what_was_saved(store: ArtefactStore, model: Path) -> None:
    """A fetched model has the same files as the saved one, from a local folder and from a remote place alike."""
    saved = store.save(model, "project-1")
    assert saved.size == 2566
    assert contents(store.fetch(saved.path, saved.checksum)) == contents(model)


def test_artefacts_go_where_they_are_asked_to(store: ArtefactStore, model: Path, tmp_path: Path) -> None:
    """With `into` the files are copied there."""
    saved = store.save(model, "project-1")
    target = store.fetch(saved.path, saved.checksum, tmp_path / "there")
    assert target == tmp_path / "there"
    assert contents(target) == contents(model)


def test_artefacts_of_two_saves_never_share_a_place(store: ArtefactStore, model: Path) -> None:
    """Saving the same folder twice gives two artefacts, and deleting one leaves the other."""
    first, second = store.save(model, "project 1/../x"), store.save(model, "project 1/../x")
    assert first.path != second.path
    store.delete(first.path)
    store.delete(first.path)
    with pytest.raises(ArtefactCorrupt, match="manifest"):
        store.fetch(first.path, first.checksum)
    assert contents(store.fetch(second.path, second.checksum)) == contents(model)


def test_artefacts_with_a_wrong_checksum_are_refused(store: ArtefactStore, model: Path) -> None:
    """A manifest other than the one in the database is corruption."""
    saved = store.save(model, "m")
    with pytest.raises(ArtefactCorrupt, match="not the one that was saved"):
        store.fetch(saved.path, "0" * 64)


def test_artefacts_refuse_a_path_outside_of_the_store(store: ArtefactStore) -> None:
    """A path that climbs out of the store names nothing."""
    with pytest.raises(NotFound):
        store.fetch("../etc", "0" * 64)


@pytest.mark.parametrize("damage", ["change", "remove"])
def test_artefacts_with_a_damaged_file_are_refused(tmp_path: Path, model: Path, damage: str) -> None:
    """One changed or missing file is enough, and the message names it."""
    store = ArtefactStore(tmp_path / "models")
    saved = store.save(model, "m")
    victim = tmp_path / "models" / saved.path / "ner" / "model"
    victim.unlink()
    if damage == "change":
        victim.write_bytes(b"other")
    with pytest.raises(ArtefactCorrupt, match="ner/model"):
        store.fetch(saved.path, saved.checksum)


def test_artefacts_damaged_in_the_cache_are_fetched_anew(tmp_path: Path, model: Path) -> None:
    """The cache of a remote store heals itself."""
    store = ArtefactStore(f"memory:///models-{uuid.uuid4().hex}", cache_dir=tmp_path / "cache")
    saved = store.save(model, "m")
    folder = store.fetch(saved.path, saved.checksum)
    (folder / "config.cfg").write_text("broken", "utf-8")
    assert contents(store.fetch(saved.path, saved.checksum)) == contents(model)


def test_artefacts_leave_nothing_behind_when_a_save_fails(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A save that breaks off midway, here for want of space, leaves no half model."""

    def no_space(source: Path, target: Path) -> None:
        if target.name == "model":
            raise OSError(28, "No space left on device")
        target.write_bytes(source.read_bytes())

    monkeypatch.setattr("training.versions.artefacts.shutil.copyfile", no_space)
    with pytest.raises(StorageFailed, match="No space"):
        ArtefactStore(tmp_path / "models").save(model, "m")
    assert list((tmp_path / "models").iterdir()) == []


def test_artefacts_refuse_an_empty_folder(tmp_path: Path) -> None:
    """There is no model without files."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFound, match="no file"):
        ArtefactStore(tmp_path / "models").save(tmp_path / "empty", "m")


def test_artefacts_url_that_nothing_can_open_is_a_setting_error() -> None:
    """An unknown protocol is named together with the way out."""
    with pytest.raises(ConfigurationError, match="nosuch"):
        ArtefactStore("nosuch://bucket/models")
