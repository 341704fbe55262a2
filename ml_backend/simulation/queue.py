"""The labelling queue of a simulation without Label Studio: the loop's own order, or that of import."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from training.prediction.pipeline import Pipeline
from training.prediction.ranking import Ranking, rank
from training.quality.outlook import Pace
from training.queue.clusters import find_centres, nearest
from training.queue.order import CLUSTERS, Waiting, order_queue
from training.queue.rescoring import FEWEST_TEXTS, SAMPLE, weigh_cost
from training.spans import Prediction, hash_text
from training.splits import Part

# Texts whose pre-labels are made at once, where the order does not depend on them.
AHEAD = 50
CHUNK = 500


@dataclass(frozen=True, slots=True)
class Candidate:
    """A text that waits, its part, and its near-duplicate group."""

    task_id: int
    text: str
    part: Part
    group: int | None


@dataclass(frozen=True, slots=True)
class Served:
    """A text as it comes up, with its pre-label."""

    candidate: Candidate
    prediction: Prediction


@dataclass
class OfflineQueue:
    """Serves texts as Label Studio does: the cluster first of which least was done, in it the lowest score.

    Scores are those of a ranking function, clusters those of training/queue/order.py, and `share` of what is served is
    the slice of training/honest_slice.py. Without a ranking function the order is that of import.
    """

    ranking: Ranking | None
    share: float
    seed: int
    diverse: bool = True
    taken: int = 0
    _waiting: dict[int, Candidate] = field(default_factory=dict)
    _clusters: dict[int, int] = field(default_factory=dict)
    _lines: dict[int | None, deque[tuple[float, int]]] = field(default_factory=dict)
    _done: Counter[int | None] = field(default_factory=Counter)
    _known: set[int] = field(default_factory=set)
    _predictions: dict[int, Prediction] = field(default_factory=dict)
    _pace: Pace | None = None
    _ordered: bool = False

    def __len__(self) -> int:
        return len(self._waiting)

    def fill(self, candidates: Sequence[Candidate]) -> None:
        """Take in the pool, and find its clusters where it is large enough for some."""
        self._waiting = {candidate.task_id: candidate for candidate in candidates}
        if self.ranking is not None and self.diverse and len(candidates) >= FEWEST_TEXTS:
            texts = [candidate.text for candidate in candidates]
            centres = find_centres(sorted(texts, key=hash_text)[:SAMPLE], CLUSTERS, seed=self.seed)
            numbers = nearest(texts, centres)
            self._clusters = {c.task_id: number + 1 for c, number in zip(candidates, numbers, strict=True)}

    @property
    def needs_order(self) -> bool:
        """Whether the next text waits for the pool to be ranked."""
        return self.ranking is not None and not self._ordered and bool(self._waiting)

    def reorder(self, pace: Pace | None) -> None:
        """Forget what an older version said; with a pace, what a text costs counts in the new order."""
        self._ordered = False
        self._pace = pace
        self._predictions.clear()

    def next(self, pipeline: Pipeline, committee: Sequence[Pipeline]) -> Served | None:
        """Take the next text; None where all are taken."""
        if not self._waiting:
            return None
        if self.ranking is None:
            task_id = next(iter(self._waiting))
        else:
            if self.needs_order:
                self._order(self.ranking, pipeline, committee)
            task_id = self._draw()
        if task_id not in self._predictions:
            self._predict(list(self._waiting.values())[:AHEAD], pipeline)
        self.taken += 1
        candidate = self._waiting.pop(task_id)
        if candidate.group is not None:
            self._known.add(candidate.group)
        return Served(candidate, self._predictions.pop(task_id))

    def _draw(self) -> int:
        cluster = min(self._lines, key=lambda one: (self._done[one], self._lines[one][0]))
        self._done[cluster] += 1
        _, task_id = self._lines[cluster].popleft()
        if not self._lines[cluster]:
            del self._lines[cluster]
        return task_id

    def _order(self, ranking: Ranking, pipeline: Pipeline, committee: Sequence[Pipeline]) -> None:
        waiting: list[Waiting] = []
        for chunk in _chunks(list(self._waiting.values())):
            for one, seen in zip(chunk, pipeline.look([c.text for c in chunk], committee=committee), strict=True):
                waiting.append(self._as_waiting(one, rank(seen, ranking)))
                self._predictions[one.task_id] = seen.prediction
        places = order_queue(waiting, share=self.share, seed=self.seed, clustered=len(waiting))
        lines: dict[int | None, list[tuple[float, int]]] = defaultdict(list)
        for place in places:
            lines[place.cluster].append((place.queue_score, place.task_id))
        self._lines = {cluster: deque(sorted(line, key=lambda one: one[0])) for cluster, line in lines.items()}
        self._ordered = True

    def _as_waiting(self, one: Candidate, score: float) -> Waiting:
        return Waiting(
            task_id=one.task_id,
            text_hash=hash_text(one.text),
            part=one.part,
            score=weigh_cost(score, len(one.text), self._pace),
            cluster=self._clusters.get(one.task_id),
            group=one.group,
            known=one.group in self._known,
        )

    def _predict(self, candidates: Sequence[Candidate], pipeline: Pipeline) -> None:
        said = pipeline.predict([candidate.text for candidate in candidates])
        self._predictions.update(zip((c.task_id for c in candidates), said, strict=True))


def _chunks(candidates: Sequence[Candidate]) -> Iterable[Sequence[Candidate]]:
    return (candidates[at : at + CHUNK] for at in range(0, len(candidates), CHUNK))
