"""Which version Label Studio is told of, whatever is loaded at that moment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from config.errors import ModelUnavailable, NotFound
from ml_backend import model_slot
from ml_backend.model_slot import ModelSlots
from tests.integration.loop import SPEC
from tests.integration.rows import NOW, add_project
from tests.live.system import wait_for
from training.spans import Prediction
from training.store.tables.models import MLModel
from training.store.unit_of_work import Store
from training.versions.artefacts import ArtefactStore
from training.versions.registry import register_base


@dataclass
class FakePipeline:
    """Says nothing of any text."""

    def predict(self, texts: Any) -> list[Prediction]:
        return [Prediction((), 1.0) for _ in texts]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> dict[str, Callable[[], FakePipeline]]:
    """How each version opens: as a pipeline that says nothing, unless told otherwise."""
    ways: dict[str, Callable[[], FakePipeline]] = {}

    def open_version(model: MLModel, _artefacts: ArtefactStore) -> FakePipeline:
        return ways.get(model.version, FakePipeline)()

    monkeypatch.setattr(model_slot, "open_version", open_version)
    return ways


def gone() -> FakePipeline:
    raise ModelUnavailable("its files are gone")


def unforeseen() -> FakePipeline:
    raise PermissionError("the folder of artefacts may not be read")


@pytest.fixture
def store(sqlite_store: Store) -> Store:
    """A store with project 1 and its version 0, live and announced."""
    add_project(sqlite_store)
    with sqlite_store.write() as uow:
        register_base(uow, uow.projects.lock(1), SPEC, now=NOW)
        uow.commit()
    return sqlite_store


def announce_another(store: Store) -> None:
    """Announce version 1 of project 1."""
    with store.write() as uow:
        model = MLModel(
            project_id=1,
            number=1,
            version="spanloop-v1",
            is_active=False,
            is_production=False,
            spec=SPEC.to_json(),
            label_mapping={},
            created_at=NOW,
        )
        uow.projects.lock(1).announced_model_id = uow.models.add(model).id
        uow.commit()


def slots_of(store: Store) -> ModelSlots:
    return ModelSlots(store, ArtefactStore("memory://models"), poll_seconds=1)


def test_the_version_is_said_without_loading_it(store: Store, opened: dict[str, Callable[[], FakePipeline]]) -> None:
    """/setup has 3 seconds, so the announced version is named before anything is loaded."""

    def never() -> FakePipeline:
        raise AssertionError("a pipeline was opened")

    opened["spanloop-v0"] = never
    assert slots_of(store).announced_version(1) == "spanloop-v0"


@pytest.mark.parametrize("broken", [gone, unforeseen])
def test_a_version_that_cannot_be_loaded_is_not_said(
    store: Store, opened: dict[str, Callable[[], FakePipeline]], broken: Callable[[], FakePipeline]
) -> None:
    """Where the announced version failed to load, /setup names the one that /predict answers with."""
    slots = slots_of(store)
    assert slots.announced(1).version == "spanloop-v0"
    opened["spanloop-v1"] = broken
    announce_another(store)
    slots.look()
    assert slots.announced_version(1) == slots.announced(1).version == "spanloop-v0"


def test_the_look_for_versions_outlives_what_nobody_foresaw(
    store: Store, opened: dict[str, Callable[[], FakePipeline]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of any kind ends neither the thread nor what is served; the next version still comes."""
    looks = iter([RuntimeError("unforeseen")])
    look = ModelSlots.look

    def look_once_badly(slots: ModelSlots) -> None:
        for error in looks:
            raise error
        look(slots)

    monkeypatch.setattr(ModelSlots, "look", look_once_badly)
    slots = ModelSlots(store, ArtefactStore("memory://models"), poll_seconds=0.01)
    slots.start()
    try:
        announce_another(store)
        wait_for("a version to be loaded", lambda: slots._loaded, seconds=30)
        assert slots.announced(1).version == "spanloop-v1"
    finally:
        slots.stop()


def test_an_unknown_project_has_no_version(store: Store) -> None:
    """A project that the store does not know is not found."""
    with pytest.raises(NotFound):
        slots_of(store).announced_version(7)
