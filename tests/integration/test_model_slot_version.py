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
from training.artefacts import ArtefactStore
from training.registry import register_base
from training.spans import Prediction
from training.store.tables.models import MLModel
from training.store.unit_of_work import Store


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


def test_a_version_that_cannot_be_loaded_is_not_said(
    store: Store, opened: dict[str, Callable[[], FakePipeline]]
) -> None:
    """Where the announced version failed to load, /setup names the one that /predict answers with."""
    slots = slots_of(store)
    assert slots.announced(1).version == "spanloop-v0"

    def broken() -> FakePipeline:
        raise ModelUnavailable("its files are gone")

    opened["spanloop-v1"] = broken
    announce_another(store)
    slots.look()
    assert slots.announced_version(1) == slots.announced(1).version == "spanloop-v0"


def test_an_unknown_project_has_no_version(store: Store) -> None:
    """A project that the store does not know is not found."""
    with pytest.raises(NotFound):
        slots_of(store).announced_version(7)
