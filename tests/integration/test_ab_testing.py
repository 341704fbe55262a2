"""A challenger beside the live version: served under its name, or heard unseen, and judged by what annotators did."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from config.errors import Conflict, GateRefused, InvalidInput, ModelUnavailable, NotFound
from config.settings import Settings
from ml_backend import challenging, model_slot
from ml_backend.bootstrap import Services
from ml_backend.challenging import needs_tending, tend_test
from ml_backend.model_slot import ModelSlots
from sync.push import push_predictions
from tests.integration.api import Api, error_of, serve
from tests.integration.loop import Loop
from tests.integration.rows import later
from tests.integration.test_sync_push import Fresh, go_live
from training.examples.feedback_figures import read_feedback_figures
from training.spans import Prediction, ScoredSpan
from training.store.tables.ab_tests import AbTest, ChallengeMode
from training.store.tables.models import MLModel
from training.store.unit_of_work import Store
from training.versions import ab_testing
from training.versions.ab_testing import ChallengeState, read_state, speaker_of, start_test, stop_test
from training.versions.arms import Arm
from training.versions.artefacts import ArtefactStore
from training.versions.registry import activate, rollback

NAMES = ("Ada", "Ben", "Cleo", "Dora", "Emil", "Finn", "Greta", "Hugo", "Ines", "Jan", "Kira", "Lars", "Mona", "Nils")


@dataclass
class Stub:
    """Finds the name at a text's beginning, or nothing."""

    finds: bool

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        found = [(ScoredSpan(0, m.end(), "PERSON", 0.9),) if (m := re.match(r"[A-Z]\w+", t)) else () for t in texts]
        return [Prediction(spans if self.finds else (), 0.4) for spans in found]


@dataclass
class Trial:
    """A project whose version 0 finds nothing, with a version 1 that finds every name."""

    loop: Loop
    services: Services
    challenger: MLModel
    tasks: dict[int, str]
    broken: bool = False

    @property
    def store(self) -> Store:
        return self.loop.store

    def open_version(self, model: MLModel, _: ArtefactStore) -> Any:
        """How a version opens."""
        if self.broken and model.number == 1:
            raise ModelUnavailable("its files are gone")
        return Stub(finds=model.number == 1)

    def start(self, mode: ChallengeMode = ChallengeMode.AB, **changes: Any) -> AbTest:
        """Begin a test."""
        options: dict[str, Any] = {"fraction": 0.5, "by": "tester", "now": self.loop.now, **changes}
        with self.store.write() as uow:
            test = start_test(uow, self.loop.project_id, self.challenger, mode=mode, **options)
            uow.commit()
        return test

    def stop(self) -> AbTest:
        """End it."""
        with self.store.write() as uow:
            test = stop_test(uow, self.loop.project_id, by="tester", reason="enough", now=self.loop.now)
            uow.commit()
        return test

    def tend(self) -> bool:
        """Do what the job does."""
        return tend_test(self.services, self.loop.project_id)

    def state(self) -> ChallengeState:
        """The newest test as it stands."""
        with self.store.read() as uow:
            return read_state(uow, uow.ab_tests.of_project(self.loop.project_id)[0])

    def shown(self, task_id: int) -> list[tuple[int, str, float | None, int]]:
        """What Label Studio holds for a task: id, version, score and number of spans of each prediction."""
        stored = self.loop.fake.list_predictions(task_id)
        return [(p.id, p.model_version, p.score, len(p.result)) for p in stored]

    def challenged(self, test: AbTest) -> list[int]:
        """The tasks that the challenger speaks for."""
        return [task for task in self.tasks if speaker_of(test, task) is Arm.CHALLENGER]

    def annotate(self, tasks: Sequence[int]) -> None:
        """Submit the name of each of these tasks, from what it shows, an hour after all that was done before."""
        self.loop.now = later(3600)
        self.loop.fake._now = self.loop.now
        for task in tasks:
            self.loop.annotate(task, (self.tasks[task].split()[0], "PERSON"), lead_time=5.0)
        self.loop.sync()

    def live(self) -> str:
        """The live version."""
        with self.store.read() as uow:
            found = uow.models.live(self.loop.project_id)
        assert found is not None
        return found.version


@pytest.fixture
def trial(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trial:
    """Twenty-four tasks that show what version 0 says of them, and a version 1 beside it."""
    return make_trial(store, tmp_path, monkeypatch)


def make_trial(store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> Trial:
    """A trial in this store."""
    loop = Loop.start(store, ab_min_texts=5, honest_share=0.0)
    loop.fake._now = loop.now
    challenger = go_live(loop)
    with store.write() as uow:
        rollback(uow, loop.project_id, by="tester", reason="", now=loop.now)
        live = uow.models.live(loop.project_id)
        assert live is not None
        project = uow.projects.lock(loop.project_id)
        project.announced_model_id, project.settings = live.id, {**project.settings, **settings}
        uow.commit()
    texts = [f"{name} wrote {'very ' * n}soon{n}{kind}" for n, name in enumerate(NAMES[:12]) for kind in "ab"]
    tasks = {loop.add_task(text): text for text in texts}
    loop.sync()
    fresh = [Fresh(task, text, Prediction((), 0.5)) for task, text in tasks.items()]
    push_predictions(store, loop.fake, live, fresh, chunk=50, clock=loop.clock)  # type: ignore[arg-type]
    services = Services(Settings(data_dir=folder))
    services.__dict__.update(store=store, label_studio=loop.fake, artefacts=ArtefactStore(folder / "models"))
    made = Trial(loop, services, challenger, tasks)
    monkeypatch.setattr(challenging, "open_version", made.open_version)
    monkeypatch.setattr(model_slot, "open_version", made.open_version)
    monkeypatch.setattr(challenging, "utc_now", loop.clock)
    monkeypatch.setattr(ab_testing, "new_id", lambda: "trial")  # a test's id settles who speaks for which task
    return made


def test_ab_challenger_speaks_for_its_tasks_under_the_live_name(trial: Trial) -> None:
    """Its tasks change their spans in place: the same prediction, version and score; all others stay as they were."""
    before = {task: trial.shown(task) for task in trial.tasks}
    test = trial.start()
    assert not trial.tend()
    mine = trial.challenged(test)
    assert 4 < len(mine) < 20
    for task, ((number, version, score, _),) in before.items():
        assert trial.shown(task) == [(number, version, score, int(task in mine))]
    assert trial.loop.fake.projects[trial.loop.project_id].model_version == "spanloop-v0"


def test_ab_answers_are_counted_for_who_spoke(trial: Trial) -> None:
    """Who was shown what follows each answer, and the better version is found with its significance."""
    test = trial.start()
    trial.tend()
    trial.annotate(list(trial.tasks))
    state = trial.state()
    mine = trial.challenged(test)
    assert (state.compared.challenger.texts, state.compared.live.texts) == (len(mine), 24 - len(mine))
    assert (state.compared.challenger.acceptance_rate, state.compared.live.acceptance_rate) == (1.0, 0.0)
    assert (state.compared.challenger.edits_per_text, state.compared.live.edits_per_text) == (0.0, 1.0)
    assert state.compared.contrasts["f1"].p_value < 0.01
    assert state.passed
    with trial.store.read() as uow:
        rows = uow.ab_tests.answers(test)
    spoke = {result.task_id: (result.model_id, result.model_version) for result, _, _ in rows}
    assert {task for task, (model, _) in spoke.items() if model == trial.challenger.id} == set(mine)
    assert {task for task, (_, version) in spoke.items() if version == "spanloop-v1"} == set(mine)
    with trial.store.read() as uow:
        told = read_feedback_figures(uow, trial.loop.project_id, today=trial.loop.now.date())
    rates = {one.version: one.judged.accuracy_rate for one in told.versions}
    assert rates == {"spanloop-v1": 1.0, "spanloop-v0": 0.0}


def test_ab_leaves_tasks_alone_that_somebody_has_begun_on(trial: Trial) -> None:
    """A task with a draft keeps what its annotator sees, and its answer belongs to no test."""
    test = trial.start()
    begun = trial.challenged(test)[0]
    trial.loop.fake.hold_draft(begun)
    trial.tend()
    assert [spans for *_, spans in trial.shown(begun)] == [0]
    trial.annotate([begun])
    assert trial.state().compared.challenger.texts == trial.state().compared.live.texts == 0


def test_ab_does_not_count_what_was_opened_before_the_exchange(trial: Trial) -> None:
    """An annotator who had the page open saw the old spans; that answer is nobody's."""
    test = trial.start()
    trial.tend()
    opened = trial.challenged(test)[0]
    trial.loop.annotate(opened, (trial.tasks[opened].split()[0], "PERSON"), lead_time=60.0)
    trial.loop.sync()
    assert trial.state().compared.challenger.texts == 0


def test_ab_stop_gives_the_tasks_back(trial: Trial) -> None:
    """After the end the live version speaks for all waiting tasks again, and the figures stay as they were."""
    test = trial.start()
    trial.tend()
    mine = trial.challenged(test)
    trial.annotate(mine[:2])
    stopped = trial.stop()
    assert (stopped.reason, stopped.passed) == ("enough", False)
    assert stopped.figures is not None
    assert stopped.figures["challenger"]["texts"] == 2
    with trial.store.read() as uow:
        assert needs_tending(uow, trial.loop.project_id)
    trial.tend()
    assert [trial.shown(task)[0][3] for task in mine[2:]] == [0] * (len(mine) - 2)
    with trial.store.read() as uow:
        assert not needs_tending(uow, trial.loop.project_id)
        assert not uow.models.get(trial.challenger.id).is_active
    with pytest.raises(NotFound, match="no running test"):
        trial.stop()


def test_ab_shadow_hears_the_challenger_on_annotated_tasks_only(trial: Trial) -> None:
    """In a shadow test no task changes; what the challenger would have said is worked out after the annotator."""
    trial.start(ChallengeMode.SHADOW)
    trial.tend()
    assert all(trial.shown(task)[0][3] == 0 for task in trial.tasks)
    trial.annotate(list(trial.tasks)[:10])
    assert trial.state().compared.challenger.texts == 0
    trial.tend()
    trial.tend()
    state = trial.state()
    assert (state.compared.live.texts, state.compared.challenger.texts) == (10, 10)
    assert (state.compared.live.f1, state.compared.challenger.f1) == (0.0, 1.0)
    assert state.passed


def test_ab_counts_the_honest_slice_alone_where_there_is_one(
    sqlite_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Texts that came up by their score are left out once both versions have enough that came up by chance."""
    trial = make_trial(sqlite_store, tmp_path, monkeypatch, honest_share=0.8)
    trial.start()
    trial.tend()
    trial.annotate(list(trial.tasks))
    compared = trial.state().compared
    assert compared.basis == "honest"
    assert 10 <= compared.live.texts + compared.challenger.texts < 24


def test_ab_goes_live_by_itself_once_it_has_passed(trial: Trial) -> None:
    """A test that was begun to promote ends by itself: the challenger is live, and the change says why."""
    trial.start(promote=True)
    trial.tend()
    trial.annotate(list(trial.tasks)[:3])
    assert not trial.tend()
    trial.annotate(list(trial.tasks)[3:])
    assert trial.tend()
    assert trial.live() == "spanloop-v1"
    with trial.store.read() as uow:
        change = uow.models.activations(trial.loop.project_id)[0]
        assert "passed its ab test against spanloop-v0: 100% of its pre-labels" in change.reason
        assert uow.ab_tests.running(trial.loop.project_id) is None


def test_ab_ends_where_the_challenger_cannot_be_loaded(trial: Trial) -> None:
    """A challenger with lost files ends its test; the live version goes on as if nothing had been."""
    trial.start()
    trial.broken = True
    trial.tend()
    state = trial.state()
    assert state.test.stopped_at is not None
    assert "cannot be loaded" in state.test.reason
    assert all(trial.shown(task)[0][3] == 0 for task in trial.tasks)
    assert trial.live() == "spanloop-v0"


def test_ab_ends_when_another_version_goes_live(trial: Trial) -> None:
    """A test is about one live version, and ends with it."""
    trial.start()
    with trial.store.write() as uow:
        activate(uow, trial.loop.project_id, trial.challenger.id, by="tester", reason="now", now=trial.loop.now)
        uow.commit()
    state = trial.state()
    assert state.test.reason == "spanloop-v1 went live"
    with trial.store.read() as uow:
        assert [m.version for m in uow.models.of_project(trial.loop.project_id) if m.is_active] == ["spanloop-v1"]


def test_ab_refuses_what_makes_no_test(trial: Trial) -> None:
    """One test at a time, another version than the live one, and a share that leaves tasks to both."""
    for fraction in (0.0, 1.0, float("nan")):
        with pytest.raises(InvalidInput, match="leaves one of the versions without tasks"):
            trial.start(fraction=fraction)
    trial.start()
    with pytest.raises(Conflict, match="has a running test already"):
        trial.start()
    trial.stop()
    with trial.store.read() as uow:
        live = uow.models.live(trial.loop.project_id)
    assert live is not None
    trial.challenger = live
    with pytest.raises(Conflict, match="is live already"):
        trial.start()


def test_ab_may_be_wanted_before_a_version_goes_live(
    sqlite_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the project wants a test, a version goes live after it has passed one, or for a reason that is kept."""
    trial = make_trial(sqlite_store, tmp_path, monkeypatch, gate_needs_ab=True)

    def put_live() -> None:
        with trial.store.write() as uow:
            activate(uow, trial.loop.project_id, trial.challenger.id, by="tester", reason="", now=trial.loop.now)
            uow.commit()

    with pytest.raises(GateRefused, match="models ab start spanloop-v1"):
        put_live()
    trial.start()
    trial.tend()
    trial.annotate(list(trial.tasks))
    put_live()
    assert trial.live() == "spanloop-v1"


def test_ab_challenger_answers_label_studio_in_place_of_the_live_version(
    sqlite_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over the ML backend protocol its tasks get its spans and the others the live version's, all of one version."""
    trial = make_trial(sqlite_store, tmp_path, monkeypatch)
    api = Api(trial.store, tmp_path, backend_password="hush")
    slots = ModelSlots(trial.store, trial.services.artefacts, poll_seconds=1000)
    api.app.state.slots = slots
    test = trial.start()
    mine = set(trial.challenged(test))
    body = {"tasks": [{"id": task, "data": {"text": text}} for task, text in trial.tasks.items()]}

    def ask() -> dict[int, int]:
        path = f"/p/{trial.loop.project_id}/predict"
        results = api.client.post(path, json=body, auth=("spanloop", "hush")).json()["results"]
        assert {one["model_version"] for one in results} == {"spanloop-v0"}
        return {task: len(one["result"]) for task, one in zip(trial.tasks, results, strict=True)}

    with serve(api):
        slots.look()
        assert {task for task, spans in ask().items() if spans} == mine
        odd = {"tasks": [{"id": [1], "data": {"text": "Ada Byron"}}]}
        assert api.client.post(f"/p/{trial.loop.project_id}/predict", json=odd, auth=("spanloop", "hush")).is_success
        schema = {"schema": trial.loop.project().label_config}
        answer = api.client.post(f"/p/{trial.loop.project_id}/setup", json=schema, auth=("spanloop", "hush"))
        assert answer.json() == {"model_version": "spanloop-v0"}
        trial.stop()
        slots.look()
        assert not any(ask().values())


def test_ab_over_the_rest_api(sqlite_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test is begun, shown and ended over the REST API."""
    trial = make_trial(sqlite_store, tmp_path, monkeypatch)
    with serve(Api(trial.store, tmp_path)) as api:
        assert api.get("models/ab/").json() == {"test": None}
        begun = api.post("models/ab/", {"challenger": "spanloop-v1", "fraction": 0.5})
        assert (begun.status_code, begun.json()["running"], begun.json()["fraction"]) == (201, True, 0.5)
        error_of(api.post("models/ab/", {"challenger": "1"}), 409, "conflict")
        trial.tend()
        trial.annotate(list(trial.tasks))
        shown = api.get("models/ab/").json()["test"]
        assert (shown["passed"], shown["challenger"]["version"]) == (True, "spanloop-v1")
        assert shown["contrasts"]["acceptance_rate"]["difference"] == 1.0
        ended = api.post("models/ab/stop/", {"reason": "enough"}).json()
        assert (ended["running"], ended["stopped_by"], ended["passed"]) == (False, "api:john.doe", True)
        error_of(api.post("models/ab/stop/", {}), 404, "not_found")
        error_of(api.post("models/ab/", {"challenger": "1", "fraction": 1.5}), 422, "invalid_input")
