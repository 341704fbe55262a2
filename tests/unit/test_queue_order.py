"""The order in which waiting texts come up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from training.honest_slice import draw, in_slice
from training.queue.order import CLUSTERS, NUMBERS, SUNK, Place, Waiting, order_queue, slice_clusters
from training.spans import hash_text
from training.splits import Part

SHARE = 0.2


def pool(count: int, *, clusters: int = CLUSTERS, test_every: int = 5) -> list[Waiting]:
    """Tasks with scores between 0 and 1, every fifth a test text, in clusters by turns."""
    return [
        Waiting(
            task_id=number,
            text_hash=hash_text(f"text {number}"),
            part=Part.TEST if number % test_every == 0 else Part.TRAIN,
            score=(number * 37 % count) / count,
            cluster=number % clusters + 1 if clusters else None,
        )
        for number in range(count)
    ]


def order(waiting: list[Waiting], *, share: float = SHARE, clustered: int = 200) -> list[Place]:
    return order_queue(waiting, share=share, seed=0, clustered=clustered)


def serve(places: list[Place], count: int) -> list[int]:
    """What Label Studio serves: the least solved cluster first, within it the lowest score."""
    left = list(places)
    solved: dict[int | None, int] = {}
    served = []
    for _ in range(count):
        best = min(left, key=lambda p: (solved.get(p.cluster, 0), p.queue_score, p.task_id))
        left.remove(best)
        solved[best.cluster] = solved.get(best.cluster, 0) + 1
        served.append(best.task_id)
    return served


def honest(waiting: list[Waiting], served: list[int], *, share: float = SHARE) -> float:
    """The share of the slice in what was served."""
    by_id = {one.task_id: one for one in waiting}
    found = [in_slice(by_id[i].text_hash, by_id[i].part, share=share, seed=0) for i in served]
    return sum(found) / len(found)


@pytest.mark.parametrize("clusters", [CLUSTERS, 0])
@pytest.mark.parametrize("share", [0.05, 0.1, 0.25, 0.5])
def test_the_slice_comes_up_in_its_share(clusters: int, share: float) -> None:
    """Whether the pool has clusters or not, the slice is delivered steadily in the share that is wanted."""
    waiting = pool(2000, clusters=clusters)
    served = serve(order(waiting, share=share), 150)
    assert honest(waiting, served, share=share) == pytest.approx(share, abs=0.035)
    assert honest(waiting, served[50:100], share=share) == pytest.approx(share, abs=0.06)


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_the_slice_keeps_its_share_where_most_texts_sink(share: float) -> None:
    """Where few texts teach something, in clusters of uneven size, the slice takes no more room."""
    waiting = [
        replace(one, known=number % 6 > 0 and one.part is not Part.TEST, cluster=min(18, 1 + number * number // 7000))
        for number, one in enumerate(pool(500))
    ]
    served = serve(order(waiting, share=share), 150)
    assert honest(waiting, served, share=share) == pytest.approx(share, abs=0.05)
    assert honest(waiting, served[:75], share=share) == pytest.approx(share, abs=0.08)


def test_a_pool_too_large_for_clusters_gets_its_slice() -> None:
    """When the tasks with clusters are used up, the slice goes on between the others."""
    waiting = pool(2000)
    served = serve(order(waiting, clustered=40), 240)
    assert honest(waiting, served[60:]) == pytest.approx(SHARE, abs=0.03)


def test_without_a_share_all_goes_by_score() -> None:
    """A share of 0 leaves no slice: test texts come up by their scores like all others."""
    waiting = pool(300, clusters=0)
    assert [place.queue_score for place in order(waiting, share=0)] == pytest.approx(
        sorted(one.score for one in waiting)
    )
    assert slice_clusters(0) == 0


def test_the_slice_is_drawn() -> None:
    """Within the slice the order has nothing to do with the scores, and is the same for every version."""
    waiting = pool(400)
    turned = [Waiting(one.task_id, one.text_hash, one.part, 1 - one.score, one.cluster) for one in waiting]
    chosen = {one.task_id for one in waiting if one.part is Part.TEST}
    first, second = ([p.task_id for p in order(some) if p.task_id in chosen] for some in (waiting, turned))
    assert first == second
    assert not chosen & set(
        serve([p for p in order(waiting) if (p.cluster or 0) % NUMBERS <= CLUSTERS and p.cluster], 50)
    )


def test_most_of_the_slice_are_test_texts() -> None:
    """As long as there are some, three of four texts of the slice are test texts, however few of the pool are."""
    waiting = pool(2000, test_every=20)
    slice_ = [p.task_id for p in order(waiting) if (p.cluster or 0) % NUMBERS > CLUSTERS]
    assert sum(waiting[i].part is Part.TEST for i in slice_) == len(slice_) * 3 / 4 == 30


@pytest.mark.parametrize("count", [24, 40])
def test_a_version_that_tells_no_text_from_another_starves_no_test_part(count: int) -> None:
    """Where all scores are the same, test texts come up as often as anywhere else."""
    waiting = [Waiting(one.task_id, one.text_hash, one.part, 0.5) for one in reversed(pool(count, clusters=0))]
    served = serve(order(waiting), 20)
    assert sum(one.part is Part.TEST for one in waiting if one.task_id in served) >= 3


def test_clusters_are_served_by_turns_the_most_uncertain_first() -> None:
    """The first round takes the lowest score of every cluster."""
    waiting = [one for one in pool(900) if one.part is Part.TRAIN]
    served = serve(order(waiting, share=0, clustered=100), CLUSTERS)
    by_id = {one.task_id: one for one in waiting}
    lowest = {
        number: min((one.score, one.task_id) for one in waiting if one.cluster == number)[1]
        for number in range(1, CLUSTERS + 1)
    }
    assert {by_id[i].cluster for i in served} == set(range(1, CLUSTERS + 1))
    assert set(served) == set(lowest.values())


def test_no_more_get_a_cluster_than_there_is_time_for() -> None:
    """The budget holds, and every task has exactly one place."""
    waiting = pool(500)
    places = order(waiting, clustered=60)
    assert sum(place.cluster is not None for place in places) == 60
    assert sorted(place.task_id for place in places) == list(range(500))


def test_another_share_counts_from_nothing() -> None:
    """New clusters of a larger slice would be served alone until they had caught up with the others."""
    numbers = [{p.cluster for p in order(pool(400), share=share) if p.cluster} for share in (0.2, 0.4)]
    assert not numbers[0] & numbers[1]


def test_near_duplicates_sink() -> None:
    """Of alike texts the most uncertain comes up; the others, and those like an annotated one, come last."""
    alike = [Waiting(n, hash_text(str(n)), Part.TRAIN, n / 10, cluster=1, group=7) for n in range(3)]
    known = Waiting(3, hash_text("3"), Part.TRAIN, 0.0, cluster=1, group=8, known=True)
    other = Waiting(4, hash_text("4"), Part.TRAIN, 0.9, cluster=2, group=9)
    places = order([*alike, known, other], share=0)
    assert [p.task_id for p in places] == [0, 4, 3, 1, 2]
    assert all((p.queue_score >= SUNK) == (p.cluster is None) for p in places)
    assert all(p.queue_score <= 1 for p in places)


def test_what_somebody_proposed_comes_first() -> None:
    """A proposal waits for a person: neither the slice nor its near-duplicates hold it back."""
    proposed = Waiting(1000, hash_text("p"), Part.TEST, 0.0, cluster=3, group=5, known=True, proposed=True)
    assert serve(order([*pool(300), proposed]), 1) == [1000]


def test_odd_pools_have_an_order() -> None:
    """No task, one task, tasks of one text and a pool of test texts alone: each task has its place."""
    assert order([]) == []
    assert [p.task_id for p in order([Waiting(1, "a", Part.TEST, 0.5)])] == [1]
    same = [Waiting(n, "a", Part.TRAIN, 0.5, cluster=1, group=1) for n in range(50)]
    assert sorted(p.task_id for p in order(same)) == list(range(50))
    tests = [Waiting(n, hash_text(str(n)), Part.TEST, 0.5, cluster=1) for n in range(50)]
    assert sorted(p.task_id for p in order(tests)) == list(range(50))


def test_a_text_draws_the_same_number_for_ever() -> None:
    """The draw depends on the text and the seed alone, and is spread evenly."""
    assert draw("ab", 1) == draw("ab", 1) != draw("ab", 2)
    drawn = sorted(draw(hash_text(str(n)), 0) for n in range(1000))
    assert drawn[500] == pytest.approx(0.5, abs=0.06)
