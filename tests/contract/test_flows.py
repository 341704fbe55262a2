"""The flows between store and Label Studio, on the fake and on the real one alike."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sync.drain import DrainPolicy, drain
from sync.push import drop_old_predictions, flip, push_predictions
from sync.receive import receive
from sync.reconcile import reconcile
from sync.setup import Connection, adopt_project, calls_elsewhere, create_project
from tests.contract.conftest import World
from tests.fakes.label_studio import FakeLabelStudio
from tests.integration.loop import TEXT, plan, region, register
from tests.integration.test_sync_push import Fresh, fresh
from tests.live.receiver import run_receiver
from training.store.database import open_engine
from training.store.migrate import upgrade
from training.store.tables.models import MLModel
from training.store.tables.projects import Project
from training.store.unit_of_work import Store
from training.versions.registry import activate

GRACE = timedelta(hours=25)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    url = f"sqlite:///{tmp_path / 'store.db'}"
    upgrade(url)
    engine = open_engine(url)
    yield Store(engine)
    engine.dispose()


@dataclass
class Loop:
    """A project in both worlds, set up by the flows themselves."""

    store: Store
    world: World
    connection: Connection
    project: Project

    def next_version(self) -> MLModel:
        """A further version, live."""
        now = datetime.now(UTC)
        with self.store.write() as uow:
            live = uow.models.live(self.project.id)
            assert live is not None
            number = uow.models.next_number(self.project.id)
            model = uow.models.add(
                MLModel(
                    project_id=self.project.id,
                    number=number,
                    version=f"spanloop-v{number}",
                    is_active=False,
                    is_production=False,
                    spec=live.spec,
                    label_mapping={},
                    created_at=now,
                )
            )
            activate(uow, self.project.id, model.id, by="test", reason="", now=now)
            uow.commit()
        return model

    def push(self, model: MLModel, *predictions: Fresh) -> int:
        """Push, and flip."""
        now = datetime.now(UTC)
        pushed = push_predictions(self.store, self.world.client, model, predictions, chunk=2, clock=lambda: now)
        flip(self.store, self.world.client, self.connection, self.project.id)
        self.world.answer(model.version)
        return pushed.stored

    def stored(self) -> Project:
        """The project as the store has it now."""
        with self.store.read() as uow:
            return uow.projects.get(self.project.id)

    def pull(self, *, full: bool = False) -> None:
        """Reconcile."""
        reconcile(self.store, self.world.client, self.project.id, full=full, clock=lambda: datetime.now(UTC))


@pytest.fixture
def loop(world: World, store: Store) -> Iterator[Loop]:
    """A project made by `create_project`."""
    connection = Connection(world.backend_url, "spanloop", "secret")
    project = create_project(
        store,
        world.client,
        connection,
        title="Flows",
        plan=plan(),
        register_base=register,
        now=datetime.now(UTC),
    )
    yield Loop(store, world, connection, project)
    world.client.delete_project(project.id)


def test_setup_leaves_one_webhook_one_backend_and_one_version_string(world: World, store: Store, loop: Loop) -> None:
    """Created, then adopted by hand-made and mended connection, the project stays with one of each."""
    client, project_id = world.client, loop.project.id
    (backend,), (hook,) = client.list_backends(project_id), client.list_webhooks(project_id)
    assert backend.title == client.find_project(project_id).model_version == "spanloop-v0"
    assert hook.headers == loop.connection.headers
    client.delete_backend(backend.id)
    client.delete_webhook(hook.id)
    client.create_backend(project_id, world.backend_url, title="By hand", user="spanloop", password="secret")
    for _ in range(2):
        adopt_project(
            store,
            client,
            loop.connection,
            project_id,
            plan=plan(),
            register_base=register,
            now=datetime.now(UTC),
        )
    (backend,), (hook,) = client.list_backends(project_id), client.list_webhooks(project_id)
    assert (backend.url, backend.title) == (loop.connection.backend_url(project_id), "spanloop-v0")
    assert (hook.url, hook.headers) == (f"{backend.url}/webhook", loop.connection.headers)
    assert client.find_project(project_id).model_version == "spanloop-v0"


def test_an_address_that_moved_is_followed_and_the_old_one_goes(world: World, store: Store, loop: Loop) -> None:
    """Adopted under our new address, the project calls only that one, and its queue shows pre-labels as before."""
    client, project_id = world.client, loop.project.id
    (task_id,) = client.import_tasks(project_id, [{"data": {"text": TEXT}}])
    loop.pull()
    loop.push(loop.next_version(), fresh(task_id, 0.5))
    with run_receiver() as moved:
        moved.answer("spanloop-v1")
        here = Connection(moved.url, "spanloop", "secret")
        assert calls_elsewhere(client, here, loop.stored())
        adopt_project(store, client, here, project_id, plan=plan(), register_base=register, now=datetime.now(UTC))
        assert not calls_elsewhere(client, here, loop.stored())
        (backend,), (hook,) = client.list_backends(project_id), client.list_webhooks(project_id)
        assert (backend.url, hook.url) == (here.backend_url(project_id), f"{here.backend_url(project_id)}/webhook")
        assert [p.model_version for p in client.next_task(project_id).predictions] == ["spanloop-v1"]


def test_after_a_flip_the_queue_follows_the_new_version(loop: Loop) -> None:
    """The next task is the one the new version is least sure of, and its page shows that version."""
    client = loop.world.client
    ids = client.import_tasks(loop.project.id, [{"data": {"text": TEXT}} for _ in range(3)])
    loop.pull()
    first, second = loop.project, loop.next_version()
    assert first.announced_model_id != second.id
    assert loop.push(second, fresh(ids[0], 0.9), fresh(ids[1], 0.1), fresh(ids[2], 0.5)) == 3
    shown = client.next_task(loop.project.id)
    assert shown.id == ids[1]
    assert {prediction.model_version for prediction in shown.predictions} == {"spanloop-v1"}


def test_a_submit_comes_back_as_feedback(loop: Loop) -> None:
    """Pushed, shown, corrected, pulled: the store knows what was shown and that it was wrong."""
    client = loop.world.client
    (task_id,) = client.import_tasks(loop.project.id, [{"data": {"text": TEXT}}])
    loop.pull()
    loop.push(loop.next_version(), fresh(task_id, 0.5))
    shown = client.next_task(loop.project.id).predictions[0]
    made = client.create_annotation(
        task_id, [region(TEXT, "London", "CITY")], parent_prediction=shown.id, lead_time=3.0
    )
    loop.pull()
    with loop.store.read() as uow:
        row = uow.feedback.of_annotation(loop.project.id, made.id)
        assert row is not None
        assert row.result_id is not None
        result = uow.feedback.get_result(row.result_id)
        task = uow.texts.find_task(loop.project.id, task_id)
    assert (row.is_correct, row.lead_time, result.model_version) == (False, 3.0, "spanloop-v1")
    assert [entity["label"] for entity in result.entities] == ["PERSON"]
    assert task is not None
    assert task.is_labeled
    client.delete_annotation(made.id)
    loop.pull()
    with loop.store.read() as uow:
        gone = uow.annotations.find(loop.project.id, made.id)
    assert gone is not None
    assert gone.deleted


def test_a_push_survives_a_lost_task_and_old_predictions_go(loop: Loop) -> None:
    """A task deleted meanwhile holds nothing up; what is two versions old goes, except under a draft."""
    client = loop.world.client
    ids = client.import_tasks(loop.project.id, [{"data": {"text": TEXT}} for _ in range(4)])
    loop.pull()
    client.delete_task(ids[3])
    assert loop.push(loop.next_version(), *(fresh(i, 0.5) for i in ids)) == 3
    for _ in range(2):
        loop.push(loop.next_version(), *(fresh(i, 0.5) for i in ids[:3]))
    draft(loop.world, ids[0])
    dropped = drop_old_predictions(
        loop.store, client, loop.project.id, grace=GRACE, limit=100, now=datetime.now(UTC) + 2 * GRACE
    )
    assert dropped == 2
    versions = {i: {p.model_version for p in client.list_predictions(i)} for i in ids[:3]}
    assert "spanloop-v1" in versions[ids[0]]
    assert all({"spanloop-v2", "spanloop-v3"} <= versions[i] for i in ids[:3])
    assert "spanloop-v1" not in versions[ids[1]] | versions[ids[2]]
    assert client.find_project(loop.project.id).model_version == "spanloop-v3"


def draft(world: World, task_id: int) -> None:
    """Let an annotator begin on a task, as the labelling page saves it."""
    if isinstance(world.client, FakeLabelStudio):
        world.client.hold_draft(task_id)
        return
    body = {"result": [region(TEXT, "London", "CITY")], "lead_time": 1.0}
    world.client._transport.request("POST", f"api/tasks/{task_id}/drafts", json=body)


def test_a_body_that_was_sent_can_be_worked_off(loop: Loop) -> None:
    """What Label Studio itself delivers goes through receive and drain."""
    client = loop.world.client
    (task_id,) = client.import_tasks(loop.project.id, [{"data": {"text": TEXT}}])
    made = client.create_annotation(task_id, [region(TEXT, "London", "CITY")])
    loop.world.wait_for_event("ANNOTATION_CREATED")
    for body in loop.world.bodies():
        receive(loop.store, json.dumps(body, default=str).encode(), loop.project.id, now=datetime.now(UTC))
    drained = drain(
        loop.store,
        client,
        policy=DrainPolicy(batch=100, lease=timedelta(seconds=60), attempts=3),
        token="t",
        clock=lambda: datetime.now(UTC),
        request_training=lambda *_: None,
    )
    assert (drained.parked, drained.failed) == (0, 0)
    with loop.store.read() as uow:
        annotation = uow.annotations.find(loop.project.id, made.id)
        person = uow.projects.contributor("annotator", str(client.whoami().id), "")
    assert annotation is not None
    assert annotation.contributor_id == person.id
    assert person.username == client.whoami().email
