"""Projects, made, adopted and connected by hand."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from config.errors import Conflict, InvalidInput, LabelConfigRefused, LabelStudioUnavailable, NotFound
from sync.labelling import parse_config
from sync.setup import adopt_project, create_project, ensure_project
from tests.fakes.label_studio import FakeLabelStudio
from tests.integration.loop import CONNECTION, Loop, plan, register
from tests.integration.rows import CONFIG, LABELS, NOW
from training.policy import parse_settings
from training.store.tables.projects import Project
from training.store.unit_of_work import Store


@pytest.fixture
def fake() -> FakeLabelStudio:
    return FakeLabelStudio()


def create(store: Store, fake: FakeLabelStudio, title: str = "Letters", *labels: str) -> Project:
    return create_project(
        store,
        fake,  # type: ignore[arg-type]
        CONNECTION,
        title=title,
        plan=plan(*labels),
        register_base=register,
        now=NOW,
    )


def adopt(store: Store, fake: FakeLabelStudio, project_id: int) -> Project:
    return adopt_project(
        store,
        fake,  # type: ignore[arg-type]
        CONNECTION,
        project_id,
        plan=plan("PERSON", "PHONE"),
        register_base=register,
        now=NOW,
    )


def ensure(store: Store, project_id: int, xml: str = CONFIG) -> None:
    ensure_project(store, project_id, xml, language="en", base_model="blank:en", register_base=register, now=NOW)


def test_a_created_project_is_connected_and_serves_version_0(sqlite_store: Store, fake: FakeLabelStudio) -> None:
    """Backend title, project version and announced version are one string; webhook and backend carry the credential."""
    made = create(sqlite_store, fake)
    project = fake.projects[made.id]
    (backend,), (hook,) = fake.list_backends(made.id), fake.list_webhooks(made.id)
    with sqlite_store.read() as uow:
        live = uow.models.live(made.id)
        kept = uow.projects.get(made.id)
    assert live is not None
    assert {live.version, backend.title, project.model_version} == {live.version}
    assert (kept.announced_model_id, kept.backend_id, kept.webhook_id) == (live.id, backend.id, hook.id)
    assert backend.url == f"http://backend.test:9090/p/{made.id}"
    assert (backend.auth_method, fake.passwords[backend.id]) == ("BASIC_AUTH", "secret")
    assert hook.url == f"{backend.url}/webhook"
    assert hook.headers == {"Authorization": "Basic c3Bhbmxvb3A6c2VjcmV0"}
    assert (project.sampling, project.show_collab_predictions) == ("Uncertainty sampling", True)
    assert project.evaluate_predictions_automatically is False
    assert parse_config(project.label_config).labels == LABELS
    assert kept.labels == LABELS


def test_a_recall_floor_for_a_label_that_is_not_there_makes_no_project(
    sqlite_store: Store, fake: FakeLabelStudio
) -> None:
    """A misspelt label is named before anything is made, by creating and by adopting."""
    wanted = replace(plan(*LABELS), settings=parse_settings({"gate_recall_floors": {"SNN": 0.9}}))
    there = fake.create_project("Theirs", CONFIG)
    ways = (partial(create_project, title="Letters"), partial(adopt_project, project_id=there.id))
    for way in ways:
        with pytest.raises(InvalidInput, match="SNN"):
            way(sqlite_store, fake, CONNECTION, plan=wanted, register_base=register, now=NOW)
    assert list(fake.projects) == [there.id]
    with sqlite_store.read() as uow:
        assert uow.projects.all() == []


def test_creating_twice_changes_nothing(sqlite_store: Store, fake: FakeLabelStudio) -> None:
    """The second call finds what the first made: one project, one webhook, one backend, one version."""
    first, second = create(sqlite_store, fake), create(sqlite_store, fake)
    assert first.id == second.id
    assert [len(fake.list_webhooks(first.id)), len(fake.list_backends(first.id)), len(fake.projects)] == [1, 1, 1]
    with sqlite_store.read() as uow:
        assert len(uow.models.of_project(first.id)) == 1


def test_creating_goes_on_where_it_broke_off(sqlite_store: Store, fake: FakeLabelStudio) -> None:
    """A creation that failed half way is finished by the next call, in the same project."""
    connect = fake.create_backend
    fake.create_backend = unavailable  # type: ignore[method-assign, assignment]
    with pytest.raises(LabelStudioUnavailable):
        create(sqlite_store, fake)
    fake.create_backend = connect  # type: ignore[method-assign]
    made = create(sqlite_store, fake)
    assert len(fake.projects) == 1
    assert len(fake.list_backends(made.id)) == 1


def unavailable(*_: object, **__: object) -> None:
    raise LabelStudioUnavailable("Label Studio does not answer")


def test_a_title_that_stands_for_other_labels_is_a_conflict(sqlite_store: Store, fake: FakeLabelStudio) -> None:
    """A second project under one name would be mistaken for the first; the way out names adopt."""
    made = create(sqlite_store, fake)
    with pytest.raises(Conflict, match=f"adopt {made.id}"):
        create(sqlite_store, fake, "Letters", "CITY")
    assert len(fake.projects) == 1


def test_agreement_asks_label_studio_for_as_many_annotators(sqlite_store: Store) -> None:
    """A rule of N annotators shows each task to N of them."""
    loop = Loop.start(sqlite_store, verification_rule="agreement:3")
    assert loop.fake.projects[loop.project_id].maximum_annotations == 3


def test_an_adopted_project_keeps_its_own_config(sqlite_store: Store, fake: FakeLabelStudio) -> None:
    """Adopting changes no labelling config; known labels take over their group, others get the rest."""
    xml = CONFIG.replace("SSN", "GADGET")
    made = fake.create_project("Old one", xml, model_version="")
    fake.predictions.clear()
    project = adopt(sqlite_store, fake, made.id)
    assert fake.projects[made.id].label_config == xml
    assert project.labels == ("PERSON", "GADGET", "CITY")
    assert {row["name"]: row["group"] for row in project.taxonomy} == {
        "PERSON": "PII",
        "GADGET": "OTHER",
        "CITY": "OTHER",
    }
    assert fake.projects[made.id].model_version == "spanloop-v0"


def test_adopting_mends_a_backend_that_was_connected_by_hand(sqlite_store: Store, fake: FakeLabelStudio) -> None:
    """Webhook and backend under our bare address move to the project's own and get the credential, none is doubled."""
    made = fake.create_project("By hand", CONFIG, show_collab_predictions=True)
    fake.create_backend(made.id, "http://backend.test:9090", title="My model", user="", password="")
    foreign = fake.create_webhook(made.id, "http://elsewhere.test/hook", headers={})
    ensure(sqlite_store, made.id)
    adopt(sqlite_store, fake, made.id)
    adopt(sqlite_store, fake, made.id)
    (backend,) = fake.list_backends(made.id)
    assert (backend.url, backend.title) == (f"http://backend.test:9090/p/{made.id}", "spanloop-v0")
    ours = [hook for hook in fake.list_webhooks(made.id) if hook.id != foreign.id]
    assert [(hook.url, hook.headers) for hook in ours] == [(f"{backend.url}/webhook", CONNECTION.headers)]
    assert foreign in fake.list_webhooks(made.id)
    assert fake.projects[made.id].model_version == "spanloop-v0"


def test_adopting_what_cannot_be_pre_labelled_is_refused(sqlite_store: Store, fake: FakeLabelStudio) -> None:
    """A project without <Labels> over <Text>, or one that is not there, is refused before anything is changed."""
    images = fake.create_project("Images", '<View><Image name="i" value="$image"/></View>')
    with pytest.raises(LabelConfigRefused, match="no <Text>"):
        adopt(sqlite_store, fake, images.id)
    assert fake.list_backends(images.id) == []
    with pytest.raises(NotFound):
        adopt(sqlite_store, fake, 999)


def test_a_project_connected_by_hand_is_taken_in_at_setup(sqlite_store: Store) -> None:
    """The first /setup makes the project known, with version 0; the next ones change nothing."""
    ensure(sqlite_store, 7)
    ensure(sqlite_store, 7)
    with sqlite_store.read() as uow:
        project, live = uow.projects.get(7), uow.models.live(7)
    assert project.labels == LABELS
    assert live is not None
    with pytest.raises(LabelConfigRefused):
        ensure(sqlite_store, 7, "<View/>")
    with pytest.raises(LabelConfigRefused):
        ensure(sqlite_store, 8, "<View/>")


def test_adopting_again_brings_a_lost_project_back(sqlite_store: Store) -> None:
    """A project that was marked as deleted is there again, and is pulled anew."""
    loop = Loop.start(sqlite_store)
    lost = loop.fake.projects.pop(loop.project_id)
    loop.reconcile()
    assert loop.project().deleted_at is not None
    loop.fake.projects[lost.id] = replace(lost, title="Found")
    adopt(sqlite_store, loop.fake, lost.id)
    assert loop.project().deleted_at is None
    assert loop.project().title == "Found"


def test_a_connection_hides_its_password() -> None:
    """The password stays out of what is printed."""
    assert "secret" not in repr(CONNECTION)
