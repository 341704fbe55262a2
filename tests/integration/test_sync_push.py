"""Predictions pushed, versions flipped, old predictions dropped."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from config.errors import Conflict, LabelStudioError, LabelStudioUnavailable
from sync.push import Pushed, drop_old_predictions, flip, push_predictions
from tests.fakes.label_studio import FakeLabelStudio
from tests.integration.loop import CONNECTION, SPEC, TEXT, Loop
from training.metrics.evaluation import GoldText, evaluate
from training.spans import Prediction, ScoredSpan, Span
from training.store.tables.annotations import PredictionKind
from training.store.tables.models import MLModel
from training.store.unit_of_work import Store
from training.versions.artefacts import StoredArtefact
from training.versions.gate import Verdict, VerdictKind
from training.versions.registry import Candidate, activate, register_candidate

GRACE = timedelta(hours=25)
SPAN = Span(0, 3, "PERSON")
ADA = ("Ada Byron", "PERSON")


@dataclass(frozen=True)
class Fresh:
    """A prediction for a task, as the refresh hands it over."""

    task_id: int
    text: str
    prediction: Prediction
    kind: PredictionKind = PredictionKind.MODEL
    cluster: int | None = None
    begun: bool = False

    @property
    def queue_score(self) -> float:
        """The queue goes by the confidence."""
        return self.prediction.score


def clustered(task_id: int, score: float = 0.5) -> Fresh:
    """One that is to have a cluster, and so goes in by itself."""
    return Fresh(task_id, TEXT, Prediction((), score), cluster=20_001)


def fresh(task_id: int, score: float, *spans: ScoredSpan) -> Fresh:
    return Fresh(task_id, TEXT, Prediction(spans or (ScoredSpan(0, 9, "PERSON", 0.8),), score))


@pytest.fixture
def loop(store: Store) -> Loop:
    """A project between the store and Label Studio."""
    return Loop.start(store)


def go_live(loop: Loop) -> MLModel:
    """Register the next version and put it live."""
    found = evaluate([GoldText(1, "Ada", (SPAN,))], [[SPAN]], ("PERSON",), seed=0)
    with loop.store.write() as uow:
        project = uow.projects.lock(loop.project_id)
        artefact = StoredArtefact(f"place-{uow.models.next_number(project.id)}", "0" * 64, 1)
        verdict = Verdict(True, VerdictKind.PASSED, ())
        model = register_candidate(uow, project, Candidate(SPEC, artefact, found, verdict, None), now=loop.now)
        activate(uow, project.id, model.id, by="test", reason="", now=loop.now)
        uow.commit()
    return model


def push(loop: Loop, model: MLModel, *predictions: Fresh, chunk: int = 500) -> Pushed:
    return push_predictions(
        loop.store,
        loop.fake,  # type: ignore[arg-type]
        model,
        predictions,
        chunk=chunk,
        clock=loop.clock,
    )


def announce(loop: Loop) -> str:
    return flip(loop.store, loop.fake, CONNECTION, loop.project_id)  # type: ignore[arg-type]


def drop(loop: Loop, *, limit: int = 1000) -> int:
    return drop_old_predictions(
        loop.store,
        loop.fake,  # type: ignore[arg-type]
        loop.project_id,
        grace=GRACE,
        limit=limit,
        now=loop.now,
    )


def shown(loop: Loop) -> set[str]:
    """What Label Studio goes by: the project's version and its backends' titles."""
    titles = {backend.title for backend in loop.fake.list_backends(loop.project_id)}
    return titles | {loop.fake.projects[loop.project_id].model_version}


def test_the_most_uncertain_are_pushed_first(loop: Loop) -> None:
    """Broken off after any chunk, the queue holds the lowest scores; the rest follows at the next push, none twice."""
    ids = [loop.add_task(f"{TEXT} {n}") for n in range(4)]
    loop.sync()
    model = go_live(loop)
    wanted = [fresh(i, score) for score, i in sorted(zip((0.9, 0.1, 0.5, 0.3), ids, strict=True))]
    store_bulk, calls = loop.fake.import_predictions, []

    def break_off(project_id: int, rows: list) -> int:  # type: ignore[type-arg]
        if calls:
            raise LabelStudioUnavailable("Label Studio does not answer")
        calls.append(rows)
        return store_bulk(project_id, rows)

    loop.fake.import_predictions = break_off  # type: ignore[method-assign, assignment]
    with pytest.raises(LabelStudioUnavailable):
        push(loop, model, *wanted, chunk=2)
    loop.fake.import_predictions = store_bulk  # type: ignore[method-assign]
    assert [p.score for p in loop.fake.predictions.values()] == [0.1, 0.3]
    assert push(loop, model, *wanted, chunk=2) == Pushed(stored=2)
    assert [p.score for p in loop.fake.predictions.values()] == [0.1, 0.3, 0.5, 0.9]
    assert push(loop, model, *wanted) == Pushed()


def test_a_push_that_was_given_up_waiting_for_is_not_sent_again(loop: Loop) -> None:
    """Label Studio may have stored what nobody waited for: who takes it over looks first, and sends only the rest."""
    ids = [loop.add_task(f"{TEXT} {n}") for n in range(3)]
    loop.sync()
    model = go_live(loop)
    for task_id in ids[:2]:
        loop.fake.create_prediction(task_id, [], score=0.5, model_version=model.version)
    pushed = push(loop, model, *(replace(fresh(task_id, 0.5), begun=True) for task_id in ids))
    assert pushed.stored == 1
    assert [len(loop.fake.list_predictions(task_id)) for task_id in ids] == [1, 1, 1]
    assert push(loop, model, *(fresh(task_id, 0.5) for task_id in ids)).stored == 0


def test_a_refused_push_sends_nothing_twice(loop: Loop) -> None:
    """Label Studio may have stored some before it came to the task that is gone: they are not sent again."""
    ids = [loop.add_task(f"{TEXT} {n}") for n in range(3)]
    loop.sync()
    model = go_live(loop)
    loop.fake.delete_task(ids[2])
    send = loop.fake.import_predictions

    def store_some(project_id: int, rows: Any) -> int:
        if len(rows) == 3:
            send(project_id, rows[:1])
        return send(project_id, rows)

    loop.fake.import_predictions = store_some  # type: ignore[method-assign]
    pushed = push(loop, model, *(fresh(task_id, 0.5) for task_id in ids))
    assert (pushed.stored, pushed.gone) == (1, 1)
    assert [len(loop.fake.list_predictions(task_id)) for task_id in ids[:2]] == [1, 1]


def test_a_pushed_prediction_is_what_the_version_said(loop: Loop) -> None:
    """Version, scores and spans arrive as they are, and the store notes them with their kind."""
    task_id = loop.add_task()
    loop.sync()
    model = go_live(loop)
    spans = (ScoredSpan(0, 9, "PERSON", 0.8), ScoredSpan(11, 22, "SSN", 0.4))
    proposal = Fresh(task_id, TEXT, Prediction(spans, 0.0), PredictionKind.PROPOSAL)
    assert push(loop, model, proposal).stored == 1
    (stored,) = loop.fake.list_predictions(task_id)
    assert (stored.model_version, stored.score) == (model.version, 0.0)
    assert [(r["value"]["text"], r["score"]) for r in stored.result] == [("Ada Byron", 0.8), ("536-22-8726", 0.4)]
    with loop.store.read() as uow:
        assert uow.texts.pushed_task_ids(loop.project_id, model.version) == {task_id}


def test_tasks_that_are_gone_do_not_hold_up_the_others(loop: Loop) -> None:
    """Label Studio refuses a whole push for one lost task; the others are pushed, and the lost one is marked."""
    ids = [loop.add_task(f"{TEXT} {n}") for n in range(3)]
    loop.sync()
    loop.fake.delete_task(ids[1])
    assert push(loop, go_live(loop), *(fresh(i, 0.5) for i in ids)) == Pushed(stored=2, gone=1)
    with loop.store.read() as uow:
        assert uow.texts.task_ids(loop.project_id) == {ids[0], ids[2]}


def test_predictions_with_a_cluster_go_in_one_by_one(loop: Loop) -> None:
    """They keep their cluster; a lost task, and a prediction that Label Studio refuses, hold up none of the others."""
    ids = [loop.add_task(f"{TEXT} {n}") for n in range(4)]
    loop.sync()
    loop.fake.delete_task(ids[1])
    model, create = go_live(loop), loop.fake.create_prediction

    def refuse(task_id: int, *rest: object, **more: object) -> object:
        if task_id == ids[2]:
            raise LabelStudioError("result: Error validating prediction", status=400)
        return create(task_id, *rest, **more)  # type: ignore[arg-type]

    loop.fake.create_prediction = refuse  # type: ignore[method-assign, assignment]
    wanted = [clustered(ids[0]), clustered(ids[1]), clustered(ids[2]), fresh(ids[3], 0.4)]
    assert push(loop, model, *wanted) == Pushed(stored=2, left_out=1, gone=1)
    stored = [p.cluster for task_id in ids if task_id in loop.fake.tasks for p in loop.fake.list_predictions(task_id)]
    assert stored == [20_001, None]
    with loop.store.read() as uow:
        assert uow.texts.count_unpushed(loop.project_id, model.version) == 0


def test_a_flip_turns_everything_to_the_live_version(loop: Loop) -> None:
    """After the flip, backend title, project version and announced version are the live one's; before, none is."""
    model = go_live(loop)
    assert model.version not in shown(loop)
    assert announce(loop) == model.version
    assert shown(loop) == {model.version}
    assert loop.project().announced_model_id == model.id
    (backend,) = loop.fake.list_backends(loop.project_id)
    assert loop.fake.passwords[backend.id] == "secret"
    assert announce(loop) == model.version


def test_a_flip_that_breaks_off_can_be_seen_and_done_again(loop: Loop) -> None:
    """Broken off in Label Studio, the announced version still differs from the live one, and a second flip mends it."""
    model = go_live(loop)
    update = loop.fake.update_project

    def away(*_: object, **__: object) -> None:
        raise LabelStudioUnavailable("Label Studio does not answer")

    loop.fake.update_project = away  # type: ignore[method-assign, assignment]
    with pytest.raises(LabelStudioUnavailable):
        announce(loop)
    assert loop.project().announced_model_id != model.id
    loop.fake.update_project = update  # type: ignore[method-assign]
    announce(loop)
    assert shown(loop) == {model.version}


def test_a_flip_without_our_backend_goes_by_stored_predictions(loop: Loop) -> None:
    """Where the backend was taken away, the version is announced all the same."""
    (backend,) = loop.fake.list_backends(loop.project_id)
    loop.fake.delete_backend(backend.id)
    model = go_live(loop)
    assert announce(loop) == model.version
    assert loop.project().announced_model_id == model.id


def test_a_project_without_a_live_version_cannot_flip(store: Store) -> None:
    """There is nothing to announce, and the way out is named."""
    loop = Loop.start(store)
    with store.write() as uow:
        uow.models.take_off(loop.project_id)
        uow.commit()
    with pytest.raises(Conflict, match="adopt"):
        announce(loop)


@pytest.fixture
def aged(loop: Loop) -> tuple[Loop, list[int]]:
    """Three tasks with predictions of the versions 1, 2 and 3, a day and a bit apart, of which 3 is announced."""
    ids = [loop.add_task(f"{TEXT} {n}") for n in range(3)]
    loop.sync()
    for _ in range(3):
        model = go_live(loop)
        push(loop, model, *(fresh(i, 0.5) for i in ids))
        announce(loop)
        loop.now += GRACE + timedelta(minutes=1)
    return loop, ids


def versions(fake: FakeLabelStudio, task_id: int) -> list[str]:
    return [p.model_version for p in fake.list_predictions(task_id)]


def test_predictions_go_when_two_versions_old_and_past_the_grace_period(aged: tuple[Loop, list[int]]) -> None:
    """The announced version and the one before stay; what is older goes, once."""
    loop, ids = aged
    assert drop(loop) == 3
    assert [versions(loop.fake, i) for i in ids] == [["spanloop-v2", "spanloop-v3"]] * 3
    assert drop(loop) == 0


def test_nothing_goes_within_the_grace_period(aged: tuple[Loop, list[int]]) -> None:
    """A page that was opened before the latest changes can still be submitted."""
    loop, _ = aged
    loop.now -= 2 * GRACE
    assert drop(loop) == 0


def test_a_live_version_that_is_not_announced_yet_lets_the_shown_ones_stay(aged: tuple[Loop, list[int]]) -> None:
    """Until the flip, the announced version and its forerunner are what annotators have open."""
    loop, ids = aged
    go_live(loop)
    loop.now += GRACE * 2
    drop(loop)
    assert versions(loop.fake, ids[0]) == ["spanloop-v2", "spanloop-v3"]


def test_drafts_and_annotations_keep_their_predictions(aged: tuple[Loop, list[int]]) -> None:
    """A task somebody has begun keeps all; an annotation keeps the one it started from."""
    loop, ids = aged
    loop.fake.hold_draft(ids[0])
    loop.annotate(ids[1], ADA)
    assert drop(loop) == 1
    assert [len(versions(loop.fake, i)) for i in ids] == [3, 3, 2]


def test_a_call_drops_no_more_than_it_may(aged: tuple[Loop, list[int]]) -> None:
    """The work is bounded, and goes on at the next call."""
    loop, _ = aged
    assert [drop(loop, limit=2), drop(loop, limit=2), drop(loop, limit=2)] == [2, 1, 0]
