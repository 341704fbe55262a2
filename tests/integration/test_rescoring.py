"""A version's predictions on their way into Label Studio's queue."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from threading import Lock
from types import SimpleNamespace
from typing import Any

import pytest

from config.settings import Settings
from ml_backend import refreshing
from ml_backend.bootstrap import Services
from tests.integration.loop import Loop
from tests.integration.rows import at_once
from tests.integration.test_sync_push import go_live
from training.examples.marks import Mark, read_words
from training.honest_slice import in_slice
from training.policy import parse_settings
from training.queue.clusters import find_centres, nearest
from training.queue.order import CLUSTERS, NUMBERS, SUNK
from training.queue.rescoring import FEWEST_TEXTS, LEASE, MARKED, Rescoring
from training.spans import Prediction, ScoredSpan
from training.splits import Part
from training.store.tables.models import MLModel
from training.store.unit_of_work import Store

TOPICS = ("invoice payment overdue", "football match goal", "recipe butter flour", "server outage network")


def make_texts(count: int) -> list[str]:
    """Texts of four topics, each unlike the others of its topic."""
    rng = random.Random(0)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(rng.choices(letters, k=6)) for _ in range(400)]
    return [f"{TOPICS[n % 4]} {' '.join(rng.sample(words, 8))}" for n in range(count)]


@dataclass
class Scorer:
    """A pipeline that scores by the number of a text's letters, and notes what it was asked."""

    asked: list[str] = field(default_factory=list)
    scores: dict[str, float] = field(default_factory=dict)

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        """One prediction a text."""
        self.asked += texts
        return [Prediction((ScoredSpan(0, 3, "PERSON", 0.5),), self.scores.get(text, score_of(text))) for text in texts]


def score_of(text: str) -> float:
    return (sum(map(ord, text)) % 997) / 1000


@pytest.fixture
def loop(store: Store) -> Loop:
    """A project between the store and Label Studio."""
    return Loop.start(store)


@pytest.fixture
def scorer(monkeypatch: pytest.MonkeyPatch) -> Scorer:
    """What every version says."""
    made = Scorer()
    monkeypatch.setattr(refreshing, "open_version", lambda *_: made)
    return made


def live(loop: Loop) -> MLModel:
    with loop.store.read() as uow:
        found = uow.models.live(loop.project_id)
    assert found is not None
    return found


def worker(loop: Loop, name: str = "one") -> Rescoring:
    return Rescoring(loop.store, live(loop), name, loop.clock)


def score(work: Rescoring, ids: Sequence[int], scorer: Scorer) -> int:
    return work.score(ids, scorer, max_text_chars=1000)  # type: ignore[arg-type]


def fill(loop: Loop, count: int) -> list[int]:
    return add(loop, make_texts(count))


def add(loop: Loop, texts: Sequence[str]) -> list[int]:
    ids = loop.fake.import_tasks(loop.project_id, [{"data": {"text": text}} for text in texts])
    loop.sync()
    return ids


def change(loop: Loop, **settings: object) -> None:
    with loop.store.write() as uow:
        project = uow.projects.lock(loop.project_id)
        project.settings = {**project.settings, **settings}
        uow.commit()


def refresh(loop: Loop, tmp_path: Path, **settings: object) -> None:
    services = Services(Settings(data_dir=tmp_path, backend_password="secret", **settings))  # type: ignore[arg-type]
    services.__dict__.update(store=loop.store, label_studio=loop.fake)
    refreshing.refresh_queue(services, live(loop), announced=False)


def unpushed(loop: Loop) -> int:
    with loop.store.read() as uow:
        return uow.texts.count_unpushed(loop.project_id, live(loop).version)


def test_a_refresh_puts_every_task_into_the_queue(loop: Loop, scorer: Scorer, tmp_path: Path) -> None:
    """Each waiting task gets one prediction; those with a cluster are the most uncertain and the slice's."""
    ids = fill(loop, 140)
    refresh(loop, tmp_path, cluster_seconds=4)
    stored = [loop.fake.list_predictions(task_id) for task_id in ids]
    assert [len(found) for found in stored] == [1] * 140
    clustered = [found[0] for found in stored if found[0].cluster is not None]
    assert len(clustered) == 4 * refreshing.SINGLES_A_SECOND
    assert {(p.cluster or 0) // NUMBERS for p in clustered} == {4}
    assert sum((p.cluster or 0) % NUMBERS > CLUSTERS for p in clustered) == math.ceil(len(clustered) * 0.2)
    assert unpushed(loop) == 0
    refresh(loop, tmp_path)
    assert len(scorer.asked) == 140
    assert all(len(loop.fake.list_predictions(task_id)) == 1 for task_id in ids)


def test_a_large_pool_goes_in_by_few_requests(loop: Loop, scorer: Scorer, tmp_path: Path) -> None:
    """Label Studio looks at every task of the project for each request: their number does not grow with the pool."""
    fill(loop, 140)
    sizes: list[int] = []
    send = loop.fake.import_predictions

    def count(project_id: int, rows: Any) -> int:
        sizes.append(len(rows))
        return send(project_id, rows)

    loop.fake.import_predictions = count  # type: ignore[method-assign]
    refresh(loop, tmp_path, push_chunk=2, cluster_seconds=0)
    assert sum(sizes) == 140
    assert len(sizes) <= refreshing.FEWEST_REQUESTS + 1
    assert unpushed(loop) == 0


def test_the_store_keeps_the_confidence(loop: Loop, scorer: Scorer, tmp_path: Path) -> None:
    """Where the queue goes by a drawn number, the store still knows what the version said."""
    ids = fill(loop, 140)
    refresh(loop, tmp_path)
    with loop.store.read() as uow:
        for task_id in ids:
            pushed = uow.texts.find_pushed(loop.project_id, task_id, live(loop).version)
            assert pushed is not None
            assert pushed.score == score_of(loop.fake.tasks[task_id].data["text"])
            assert pushed.cluster == loop.fake.list_predictions(task_id)[0].cluster


def test_the_tab_of_the_most_uncertain_leaves_the_slice_out(loop: Loop, scorer: Scorer, tmp_path: Path) -> None:
    """Who chooses from that tab cannot bias the slice: no text of it is there; the others stand by their confidence."""
    ids = fill(loop, 140)
    refresh(loop, tmp_path)
    with loop.store.read() as uow:
        settings = parse_settings(uow.projects.get(loop.project_id).settings)
        tasks = [task for task in (uow.texts.find_task(loop.project_id, task_id) for task_id in ids) if task]
        texts = {task.id: uow.texts.get_text(task.text_id or 0) for task in tasks}
    marked = {task.id: words[Mark.UNCERTAIN] for task in tasks if Mark.UNCERTAIN in (words := read_words(task.marks))}
    honest = {
        task_id
        for task_id, text in texts.items()
        if in_slice(text.hash, Part(text.part), share=settings.honest_share, seed=settings.seed)
    }
    assert honest
    assert len(marked) == min(MARKED, len(ids) - len(honest))
    assert honest.isdisjoint(marked)
    ranked = sorted(marked, key=lambda task_id: marked[task_id])
    assert ranked == sorted(ranked, key=lambda task_id: (score_of(texts[task_id].text), task_id))


def test_a_text_keeps_its_cluster(loop: Loop, scorer: Scorer, tmp_path: Path) -> None:
    """Clusters are found once; what comes later finds its own, and nothing moves."""
    ids = fill(loop, 130)
    refresh(loop, tmp_path)

    def clusters() -> dict[int, int | None]:
        with loop.store.read() as uow:
            tasks = [uow.texts.find_task(loop.project_id, task_id) for task_id in ids]
            return {t.id: uow.texts.get_text(t.text_id).cluster for t in tasks if t and t.text_id}

    before = clusters()
    assert set(before.values()) <= set(range(1, CLUSTERS + 1))
    assert None not in before.values()
    loop.add_task("football match goal and something else")
    loop.sync()
    refresh(loop, tmp_path)
    assert clusters() == before
    with loop.store.read() as uow:
        assert len(uow.queue.clusters(loop.project_id)) == CLUSTERS


def test_a_small_pool_has_no_clusters(loop: Loop, scorer: Scorer, tmp_path: Path) -> None:
    """Below the minimum everything goes in bulk, in the order of the scores with the slice in between."""
    ids = fill(loop, FEWEST_TEXTS - 1)
    refresh(loop, tmp_path)
    assert {p.cluster for task_id in ids for p in loop.fake.list_predictions(task_id)} == {None}
    assert unpushed(loop) == 0


def test_alike_texts_make_one_cluster() -> None:
    """A pool of one text, many times over, has one cluster."""
    assert len(find_centres(["the same"] * 3000, CLUSTERS, seed=0)) == 1
    centres = find_centres(make_texts(200), 4, seed=0)
    found = nearest(make_texts(200), centres)
    # Not every text of a topic must be in its cluster, but most of them are.
    assert all(max(found[t::4].count(c) for c in range(4)) > 30 for t in range(4))


def test_an_empty_pool_is_refreshed(loop: Loop, scorer: Scorer, tmp_path: Path) -> None:
    """Without a task the version is announced all the same."""
    refresh(loop, tmp_path)
    assert loop.project().announced_model_id == live(loop).id
    assert scorer.asked == []


def test_identical_texts_are_refreshed(loop: Loop, scorer: Scorer, tmp_path: Path) -> None:
    """A pool of one text has an order: one of its tasks comes up, the others sink."""
    ids = add(loop, ["the same text"] * 120)
    change(loop, honest_share=0.0)
    refresh(loop, tmp_path)
    scores = sorted(loop.fake.list_predictions(task_id)[0].score or 0.0 for task_id in ids)
    assert scores[0] < SUNK <= scores[1]


@pytest.mark.parametrize("cluster_seconds", [0, 3])
def test_near_duplicates_come_up_once(loop: Loop, scorer: Scorer, tmp_path: Path, cluster_seconds: int) -> None:
    """Of alike texts one comes up, in its tab, too; the others sink, whenever they go in."""
    change(loop, honest_share=0.0)
    first, twins = fill(loop, 60), add(loop, [f"{text}." for text in make_texts(60)])
    refresh(loop, tmp_path, cluster_seconds=cluster_seconds)
    assert [comes_up(loop, one) + comes_up(loop, other) for one, other in zip(first, twins, strict=True)] == [1] * 60
    with loop.store.read() as uow:
        assert len(uow.texts.with_mark(loop.project_id, Mark.UNCERTAIN)) == 60
    late = add(loop, [f"{text} !" for text in make_texts(60)])
    refresh(loop, tmp_path, cluster_seconds=cluster_seconds)
    assert not any(comes_up(loop, task_id) for task_id in late)


def comes_up(loop: Loop, task_id: int) -> bool:
    (stored,) = loop.fake.list_predictions(task_id)
    return stored.cluster is not None or (stored.score or 0.0) < SUNK


@pytest.mark.parametrize("score_given", [float("nan"), float("inf"), None])
def test_a_score_that_is_no_number_counts_as_the_lowest(
    loop: Loop, scorer: Scorer, tmp_path: Path, score_given: float
) -> None:
    """A model without scores, or with NaN for one, leaves a queue that works."""
    ids = fill(loop, 3)
    scorer.scores = dict.fromkeys(make_texts(3), score_given)
    refresh(loop, tmp_path)
    assert unpushed(loop) == 0
    assert all(0 <= (loop.fake.list_predictions(i)[0].score or 0.0) <= 1 for i in ids)


def test_tasks_deleted_while_they_are_scored_hold_up_nothing(loop: Loop, scorer: Scorer, tmp_path: Path) -> None:
    """A task that goes between its prediction and its push is left out, and the others get in."""
    ids = fill(loop, 140)
    work = worker(loop)
    work.prepare()
    score(work, ids, scorer)
    loop.fake.delete_task(ids[3])
    loop.sync()  # of one the store knows, of the other nobody
    loop.fake.delete_task(ids[5])
    loop.fake.delete_task(ids[8])
    refresh(loop, tmp_path)
    assert unpushed(loop) == 0
    assert all(len(loop.fake.list_predictions(i)) == 1 for i in ids if i in loop.fake.tasks)
    with loop.store.read() as uow:
        assert uow.queue.scored(live(loop), now=loop.now) == []


def test_two_workers_share_the_work(loop: Loop, scorer: Scorer) -> None:
    """What one has claimed the other leaves alone, in scoring and in pushing."""
    ids = fill(loop, 30)
    one, other = worker(loop, "one"), worker(loop, "other")
    assert score(one, ids[:20], scorer) == 20
    assert score(other, ids, scorer) == 10
    assert (one.unscored(), other.unscored()) == ([], [])
    places = one.order(clustered=0)
    assert len(one.take(places[:18])) == 18
    assert len(other.take(places)) == 12
    assert one.order(clustered=0) == []


def test_workers_at_the_same_time_push_nothing_twice(loop: Loop, scorer: Scorer, tmp_path: Path) -> None:
    """Three refreshes that start together leave one prediction a task, and ask the version once about each."""
    ids = fill(loop, 300)
    one_at_a_time = Lock()
    for name in ("import_predictions", "create_prediction"):
        send = getattr(loop.fake, name)

        def guarded(*given: Any, send: Callable[..., Any] = send, **named: Any) -> Any:
            with one_at_a_time:  # Label Studio's database would see to that
                return send(*given, **named)

        setattr(loop.fake, name, guarded)
    at_once(3, lambda _: refresh(loop, tmp_path))
    assert [len(loop.fake.list_predictions(task_id)) for task_id in ids] == [1] * 300
    assert len(scorer.asked) == 300
    assert unpushed(loop) == 0


def test_what_a_lost_worker_held_is_taken_over(loop: Loop, scorer: Scorer) -> None:
    """A claim ends: a killed worker's tasks are asked about, and pushed, by another."""
    ids = fill(loop, 10)
    lost, other = worker(loop, "lost"), worker(loop, "other")
    with loop.store.write() as uow:
        claimed = uow.queue.claim_unscored(live(loop), ids, token="lost", until=loop.now + LEASE, now=loop.now)
        uow.commit()
    assert len(claimed) == 10
    assert (other.unscored(), score(other, ids, scorer)) == ([], 0)
    loop.now += LEASE + timedelta(seconds=1)
    assert other.unscored() == ids
    assert score(other, ids, scorer) == 10
    places = lost.order(clustered=0)
    assert [one.begun for one in lost.take(places)] == [False] * 10
    assert other.take(places) == []
    loop.now += LEASE + timedelta(seconds=1)
    assert [one.begun for one in other.take(places)] == [True] * 10


def test_a_refresh_goes_on_where_its_time_ended(loop: Loop, scorer: Scorer, tmp_path: Path) -> None:
    """What was scored before is not asked again, and what was pushed is not pushed again."""
    ids = fill(loop, 40)
    score(worker(loop), ids[:25], scorer)
    refresh(loop, tmp_path)
    assert len(scorer.asked) == len(set(scorer.asked)) == 40
    assert all(len(loop.fake.list_predictions(i)) == 1 for i in ids)


def test_what_was_asked_is_in_the_queue_when_the_time_is_over(
    loop: Loop, scorer: Scorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pool too large for one refresh: what was scored reaches annotators with it, and the next one does the rest."""
    fill(loop, 140)
    seconds = [0.0]
    predict = scorer.predict

    def predict_slowly(texts: Sequence[str]) -> list[Prediction]:
        seconds[0] += len(texts)
        return predict(texts)

    monkeypatch.setattr(refreshing, "time", SimpleNamespace(monotonic=lambda: seconds[0]))
    monkeypatch.setattr(refreshing, "ASKED_AT_ONCE", 10)
    monkeypatch.setattr(refreshing, "FIRST", 20)
    monkeypatch.setattr(scorer, "predict", predict_slowly)
    refresh(loop, tmp_path, refresh_seconds=100)
    asked = len(scorer.asked)
    assert 20 < asked < 140
    assert unpushed(loop) == 140 - asked
    refresh(loop, tmp_path, refresh_seconds=100)
    assert unpushed(loop) == 0
    assert len(scorer.asked) == 140


def test_long_texts_come_later_where_cost_counts(loop: Loop, scorer: Scorer) -> None:
    """With `rank_by_cost`, of two texts that are as uncertain the shorter one comes first, once times are known."""
    for number in range(20):
        text = f"Some text number {number} " + "and more " * number
        loop.annotate(loop.add_task(text), lead_time=5.0 + len(text) / 5)
    long, short = loop.add_task("word " * 80), loop.add_task("a few words")
    loop.sync()
    scorer.scores = {"word " * 80: 0.4, "a few words": 0.5}
    score(worker(loop), [long, short], scorer)
    change(loop, honest_share=0.0)
    assert [place.task_id for place in worker(loop).order(clustered=0)] == [long, short]
    change(loop, rank_by_cost=True)
    assert [place.task_id for place in worker(loop).order(clustered=0)] == [short, long]


def test_the_most_uncertain_are_asked_first(loop: Loop, scorer: Scorer, tmp_path: Path) -> None:
    """The order goes by what the version shown before said, new tasks first; a newer one forgets old answers."""
    ids = fill(loop, 20)
    refresh(loop, tmp_path)
    go_live(loop)
    new = loop.add_task("something new")
    loop.sync()
    expected = sorted(ids, key=lambda i: (score_of(loop.fake.tasks[i].data["text"]), i))
    assert worker(loop).unscored() == [new, *expected]
    score(worker(loop), ids[:3], scorer)
    go_live(loop)
    worker(loop).prepare()
    assert len(worker(loop).unscored()) == 21
