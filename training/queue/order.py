"""In which order waiting texts come up: the uncertain ones from all over the pool, an honest slice in between.

Label Studio serves the cluster first that its annotator has done least of, and within it the lowest score; tasks
without a cluster are one cluster more. So K clusters of alike texts make what comes up diverse, and m clusters that
hold the slice make every (K + m)-th of it in m an honest one. Pure rules.
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from training.honest_slice import draw, in_slice
from training.splits import Part

CLUSTERS = 16
"""Clusters of alike texts; with four of the slice beside them, the slice has a fifth."""
TEST_TEXTS = 3
"""So many of four texts of the slice are of the test part: at a fifth it grows about as fast as by chance alone."""
STEP = 1e-9
"""The least by which scores of neighbours differ: Label Studio puts ties in an order of its own."""
NUMBERS = 10_000
"""Numbers a share has for its clusters: another share counts from nothing, or its new clusters would catch up first."""
SUNK = 0.999
"""Scores from here on are of texts that teach little: near-duplicates, and what can never train."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A task that waits for an annotator: its text's hash, part, cluster (1 to CLUSTERS) and group, and the score.

    `known` says that a near-duplicate was annotated or is in the queue already, `proposed` that somebody waits for the
    answer.
    """

    task_id: int
    text_hash: str
    part: Part
    score: float
    cluster: int | None = None
    group: int | None = None
    known: bool = False
    proposed: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """A task's place in Label Studio's queue."""

    task_id: int
    queue_score: float
    cluster: int | None = None


def slice_clusters(share: float) -> int:
    """How many clusters the slice needs beside CLUSTERS others to get this share (0 to 0.9) of what is served."""
    return max(1, round(CLUSTERS * share / (1 - share))) if share > 0 else 0


def order_queue(waiting: Iterable[Waiting], *, share: float, seed: int, clustered: int) -> list[Place]:
    """Every task's place, in the order in which they are best put into Label Studio.

    Up to `clustered` tasks get a cluster: the most uncertain of each, and the slice's share. The others are ordered by
    score alone, and there slice texts take scores that bring them up just as often. Within the slice the order is
    drawn. Texts whose near-duplicates were annotated or come up before sink to the end, without a cluster.
    """
    drawn, ranked = _part(waiting, share=share, seed=seed)
    head: list[Place] = []
    if any(one.cluster is not None and not sunk for one, sunk in ranked):
        head = _spread(drawn, ranked, share=share, seed=seed, clustered=clustered)
    placed = {place.task_id for place in head}
    tail = [(one, sunk) for one, sunk in ranked if one.task_id not in placed]
    return head + _mix_in([one for one in drawn if one.task_id not in placed], tail, share=share)


def _part(waiting: Iterable[Waiting], *, share: float, seed: int) -> tuple[list[Waiting], list[tuple[Waiting, bool]]]:
    """The slice in drawn order; the others, lowest score first, each with whether it sinks."""
    drawn: list[Waiting] = []
    others: list[Waiting] = []
    for one in waiting:
        honest = not one.proposed and in_slice(one.text_hash, one.part, share=share, seed=seed)
        (drawn if honest else others).append(one)
    drawn.sort(key=lambda one: (draw(one.text_hash, seed), one.task_id))
    others.sort(key=lambda one: (not one.proposed, one.score, draw(one.text_hash, seed), one.task_id))
    seen: set[int] = set()
    ranked = []
    for one in others:
        sunk = not one.proposed and (one.known or one.group in seen or one.part is Part.SET_ASIDE)
        if one.group is not None:
            seen.add(one.group)
        ranked.append((one, sunk))
    ranked.sort(key=lambda pair: pair[1])
    return _alternate(drawn), ranked


def _alternate(drawn: Sequence[Waiting]) -> list[Waiting]:
    """Some test texts and another one by turns, since the test part is what an honest slice is most needed for."""
    test = deque(one for one in drawn if one.part is Part.TEST)
    rest = deque(one for one in drawn if one.part is not Part.TEST)
    found = []
    while test or rest:
        found += [line.popleft() for line in (*[test] * TEST_TEXTS, rest) if line]
    return found


def _spread(
    drawn: Sequence[Waiting], ranked: Sequence[tuple[Waiting, bool]], *, share: float, seed: int, clustered: int
) -> list[Place]:
    """The places with a cluster: by turns the most uncertain of each, with the slice's between them."""
    honest = slice_clusters(share)
    base = honest * NUMBERS
    room = math.ceil(clustered * share)
    lines: dict[int, deque[Waiting]] = defaultdict(deque)
    for one, sunk in ranked:
        if one.cluster is not None and not sunk:
            lines[one.cluster].append(one)
    uncertain = [
        # A proposal is a cluster by itself, of which nobody has done anything yet: it comes before all others.
        Place(one.task_id, one.score, -one.task_id if one.proposed else base + (one.cluster or 0))
        for one in _take_by_turns(lines, clustered - min(room, len(drawn)))
    ]
    # Where most others sink, few have a cluster: as many of the slice as before would be served nearly alone.
    first = drawn[: min(room, math.ceil(len(uncertain) * share / (1 - share)))]
    chance = [
        # A fixed step between neighbours keeps the drawn order, whatever the scores of the other clusters are.
        Place(one.task_id, draw(one.text_hash, seed), base + CLUSTERS + 1 + number % honest)
        for number, one in enumerate(first)
    ]
    return list(_interleave(chance, uncertain, share=share))


def _take_by_turns(lines: dict[int, deque[Waiting]], count: int) -> Iterator[Waiting]:
    turns = sorted(lines.values(), key=lambda line: (line[0].score, line[0].task_id))
    while turns and count > 0:
        for line in turns[:count]:
            yield line.popleft()
        count -= len(turns)
        turns = [line for line in turns if line]


def _mix_in(drawn: Sequence[Waiting], ranked: Sequence[tuple[Waiting, bool]], *, share: float) -> list[Place]:
    """Places without a cluster; each of the slice takes the score of the one that it comes up after."""
    places = [Place(one.task_id, SUNK + one.score * (1 - SUNK) if sunk else one.score) for one, sunk in ranked]
    if not drawn:
        return _without_ties(places)
    gap = (1 - share) / share
    chance = []
    for number, one in enumerate(drawn):
        after = round((number + 1) * gap) - 1
        chance.append(Place(one.task_id, places[after].queue_score if 0 <= after < len(places) else 1.0))
    return _without_ties(_interleave(chance, places, share=share))


def _without_ties(places: Iterable[Place]) -> list[Place]:
    """The places with scores that rise by a little at least, so that they are served in just this order."""
    found: list[Place] = []
    lowest = -math.inf
    for place in places:
        score = min(max(place.queue_score, lowest), 1.0)
        found.append(replace(place, queue_score=score))
        lowest = score + STEP
    return found


def _interleave(chance: Sequence[Place], others: Sequence[Place], *, share: float) -> Iterator[Place]:
    """The others in their order, and after every few of them one of the slice; what is left of either at the end."""
    gap = (1 - share) / share if share > 0 else math.inf
    left = deque(chance)
    given = 0
    for number, place in enumerate(others, start=1):
        yield place
        if left and number >= round((given + 1) * gap):
            yield left.popleft()
            given += 1
    yield from left
