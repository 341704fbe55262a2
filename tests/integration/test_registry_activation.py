"""The registry: versions, and the one way to change which is live."""

from __future__ import annotations

import pytest

from config.errors import Conflict, GateRefused, NotFound
from tests.integration.rows import NOW, add_project, at_once, later
from training.metrics.evaluation import GoldText, evaluate
from training.prediction.pipeline import PipelineSpec
from training.spans import Span
from training.store.unit_of_work import Store
from training.versions.artefacts import StoredArtefact
from training.versions.gate import Verdict, VerdictKind
from training.versions.registry import Candidate, activate, register_base, register_candidate, rollback

SPEC = PipelineSpec(base="blank:en", language="en", labels=("PERSON",), label_mapping={"PER": "PERSON"})
SPAN = Span(0, 3, "PERSON")
EVALUATION = evaluate([GoldText(1, "Ada", (SPAN,))], [[SPAN]], ("PERSON",), seed=0)
PASSED = Verdict(True, VerdictKind.PASSED, ("F1 0.9 against 0.8",))
REFUSED = Verdict(False, VerdictKind.REFUSED, ("F1 0.7 against 0.8",))


@pytest.fixture
def project_id(store: Store) -> int:
    """A project with version 0."""
    project_id = add_project(store)
    with store.write() as uow:
        register_base(uow, uow.projects.lock(project_id), SPEC, now=NOW)
        uow.commit()
    return project_id


def register(store: Store, verdict: Verdict = PASSED, *, seconds: float = 1) -> str:
    """Register a trained version; its id."""
    artefact = StoredArtefact(f"place-{seconds}", "0" * 64, 123)
    with store.write() as uow:
        parent = uow.models.live(1)
        candidate = Candidate(SPEC, artefact, EVALUATION, verdict, parent.id if parent else None)
        model = register_candidate(uow, uow.projects.lock(1), candidate, now=later(seconds))
        uow.commit()
    return model.id


def put_live(store: Store, model_id: str, *, reason: str = "") -> bool:
    """Activate a version; whether that changed anything."""
    with store.write() as uow:
        done = activate(uow, 1, model_id, by="tester", reason=reason, now=later(2))
        uow.commit()
    return done is not None


def roll_back(store: Store) -> str:
    """Roll back; the version that is live then."""
    with store.write() as uow:
        rollback(uow, 1, by="tester", reason="", now=later(3))
        uow.commit()
    return live_version(store)


def live_version(store: Store) -> str:
    """The version string of the live version, of which there is exactly one."""
    with store.read() as uow:
        live = [model for model in uow.models.of_project(1) if model.is_production]
    assert len(live) == 1
    assert live[0].is_active
    return live[0].version


def test_registry_puts_version_0_live_at_once(store: Store, project_id: int) -> None:
    """From its creation a project serves its base model, announced and with its label mapping."""
    assert live_version(store) == "spanloop-v0"
    with store.read() as uow:
        live = uow.models.live(project_id)
        assert live is not None
        assert uow.projects.get(project_id).announced_model_id == live.id
        assert live.label_mapping == {"PER": "PERSON"}
        assert PipelineSpec.from_json(live.spec) == SPEC


def test_registry_registers_version_0_once(store: Store, project_id: int) -> None:
    """Setting a project up twice leaves its versions as they are."""
    with store.write() as uow:
        register_base(uow, uow.projects.lock(project_id), SPEC, now=later(5))
        uow.commit()
    with store.read() as uow:
        assert len(uow.models.of_project(project_id)) == 1


def test_registry_keeps_a_candidate_with_its_figures_and_off_line(store: Store, project_id: int) -> None:
    """Registering a version changes nothing about which one is live; its figures are kept, overall and by label."""
    model_id = register(store)
    assert live_version(store) == "spanloop-v0"
    with store.read() as uow:
        model = uow.models.get(model_id)
        metrics = {(m.name, m.label): (m.value, m.support) for m in uow.models.metrics_of(model_id)}
        parent = uow.models.resolve(project_id, "spanloop-v0")
    assert (model.version, model.number, model.parent_id) == ("spanloop-v1", 1, parent.id)
    assert (model.f1_score, model.size_bytes, model.is_active) == (1.0, 123, False)
    assert metrics["f1_score", ""] == metrics["f1_score", "PERSON"] == (1.0, 1)


def test_registry_swaps_the_live_version_in_one_step(store: Store, project_id: int) -> None:
    """Exactly one version is live before and after, and the change is recorded with its author and reason."""
    model_id = register(store)
    assert put_live(store, model_id, reason="looks good")
    assert live_version(store) == "spanloop-v1"
    with store.read() as uow:
        change = uow.models.activations(project_id)[0]
        assert (change.by, change.reason, change.model_id) == ("tester", "looks good", model_id)


def test_registry_does_nothing_for_the_version_that_is_live(store: Store, project_id: int) -> None:
    """Activating the live version again records no change."""
    model_id = register(store)
    assert [put_live(store, model_id) for _ in range(2)] == [True, False]
    with store.read() as uow:
        assert len(uow.models.activations(project_id)) == 2


@pytest.mark.parametrize("reason", ["", "   "])
def test_registry_wants_a_reason_for_a_refused_version(store: Store, project_id: int, reason: str) -> None:
    """What the gate refused goes live only when somebody says why; the refusal is quoted."""
    model_id = register(store, REFUSED)
    with pytest.raises(GateRefused, match=r"spanloop-v1: F1 0.7 against 0.8.*reason"):
        put_live(store, model_id, reason=reason)
    assert live_version(store) == "spanloop-v0"
    assert put_live(store, model_id, reason="the test texts are out of date")
    assert live_version(store) == "spanloop-v1"


def test_registry_refuses_a_version_of_another_project(store: Store, project_id: int) -> None:
    """A project never serves another project's model."""
    add_project(store, 2)
    with store.write() as uow:
        other = register_base(uow, uow.projects.lock(2), SPEC, now=NOW)
        uow.commit()
    with pytest.raises(Conflict, match="belongs to project 2"):
        put_live(store, other.id)


def test_registry_rolls_back_one_version_after_the_other(store: Store, project_id: int) -> None:
    """Each rollback goes one version further back, also past a version that was rolled back to, until none is left."""
    for seconds in (1, 2):
        put_live(store, register(store, seconds=seconds))
    assert live_version(store) == "spanloop-v2"
    assert [roll_back(store), roll_back(store)] == ["spanloop-v1", "spanloop-v0"]
    with pytest.raises(NotFound, match="no earlier live version"):
        roll_back(store)
    assert live_version(store) == "spanloop-v0"


def test_registry_rolls_back_to_what_was_live_not_to_what_was_registered(store: Store, project_id: int) -> None:
    """A version that never went live is no place to go back to; one that comes live after a rollback is."""
    first = register(store, seconds=1)
    register(store, REFUSED, seconds=2)
    third = register(store, seconds=3)
    put_live(store, first)
    put_live(store, third)
    assert roll_back(store) == "spanloop-v1"
    put_live(store, register(store, seconds=4))
    assert [roll_back(store), roll_back(store)] == ["spanloop-v1", "spanloop-v0"]


def test_registry_rolls_back_from_a_version_that_was_chosen_by_hand(store: Store, project_id: int) -> None:
    """After somebody went far back by hand, a rollback returns to where they came from."""
    for seconds in (1, 2):
        put_live(store, register(store, seconds=seconds))
    with store.read() as uow:
        base = uow.models.resolve(project_id, "0")
    put_live(store, base.id)
    assert [roll_back(store), roll_back(store)] == ["spanloop-v2", "spanloop-v1"]


def test_registry_rolls_back_onto_a_version_that_its_gate_refused(store: Store, project_id: int) -> None:
    """A version that somebody put live with a reason can be gone back to without another one."""
    put_live(store, register(store, REFUSED, seconds=1), reason="we know better")
    put_live(store, register(store, seconds=2))
    assert roll_back(store) == "spanloop-v1"


def test_registry_keeps_one_live_version_when_several_activate_at_once(store: Store, project_id: int) -> None:
    """Activations at the same moment come one after the other, and one version is live at the end."""
    models = [register(store, seconds=n) for n in range(1, 5)]
    at_once(4, lambda number: put_live(store, models[number]))
    live_version(store)
    with store.read() as uow:
        changes = uow.models.activations(project_id)[:4]
        assert {change.model_id for change in changes} == set(models)
        assert [c.previous_model_id for c in changes[:3]] == [c.model_id for c in changes[1:]]


def test_registry_numbers_versions_without_gaps_when_several_register_at_once(store: Store, project_id: int) -> None:
    """Two versions that are registered at the same moment get numbers of their own."""
    at_once(3, lambda number: register(store, seconds=number))
    with store.read() as uow:
        assert [model.number for model in uow.models.of_project(project_id)] == [3, 2, 1, 0]


def test_registry_finds_a_version_by_id_name_or_number(store: Store, project_id: int) -> None:
    """A version answers to its id, its version string and its number; another name says where to look."""
    model_id = register(store)
    with store.read() as uow:
        assert {uow.models.resolve(project_id, name).id for name in (model_id, "spanloop-v1", "1")} == {model_id}
        with pytest.raises(NotFound, match="spanloop models list"):
            uow.models.resolve(project_id, "spanloop-v7")
