"""What a version says of the texts that wait for an annotator: asked chunk by chunk, then put in order.

Answers lie in the store until Label Studio has them. So a rescoring may be broken off and taken up again, may be shared
by any number of workers, who claim what they work on for a while, and never holds all predictions in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

import numpy as np

from training.examples.marks import Mark, mark_only
from training.examples.proposals import propose
from training.honest_slice import in_slice
from training.policy import ProjectSettings, parse_settings
from training.prediction.pipeline import Pipeline
from training.quality.outlook import Pace, gain_per_second, measure_pace
from training.queue.clusters import Vectors, find_centres, nearest
from training.queue.order import CLUSTERS, Place, Waiting, order_queue
from training.spans import Prediction, ScoredSpan, with_finite_scores
from training.splits import Part
from training.store.tables.annotations import PredictionKind
from training.store.tables.models import MLModel
from training.store.tables.queue import PoolCluster, QueueEntry
from training.store.tables.texts import Task, TextRow
from training.store.unit_of_work import Store, UnitOfWork

FEWEST_TEXTS = 100
"""Texts from which on a pool gets clusters; with fewer, they would be chance, and they are for ever."""
SAMPLE = 5_000
TIMES = 500
"""Newest annotations whose time tells what a text costs."""
NOTHING = Prediction((), 1.0)
MARKED = 100
"""Tasks in the tab of the most uncertain; writing into a task's data takes Label Studio some 30 ms."""
LOOKED_AT = 2_000
"""Tasks among which these are: with the largest share, nine tenths and the test texts are of the slice."""
LEASE = timedelta(minutes=5)
"""How long a worker may be silent about a chunk before another one takes it."""

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class TaskPrediction:
    """A prediction for one waiting task, with its place in Label Studio's queue."""

    task_id: int
    text: str
    prediction: Prediction
    kind: PredictionKind
    queue_score: float
    cluster: int | None
    begun: bool = False


@dataclass(frozen=True)
class Rescoring:
    """The rescoring of a project's waiting tasks by one version; `token` names the worker."""

    store: Store
    model: MLModel
    token: str
    clock: Clock

    def prepare(self) -> None:
        """Forget what is out of date, and find the pool's clusters where it has none and is large enough for some."""
        with self.store.write() as uow:
            uow.projects.lock(self.model.project_id)
            uow.queue.remove_stale(self.model)
            uow.commit()
        with self.store.read() as uow:
            settings = parse_settings(uow.projects.get(self.model.project_id).settings)
            known = uow.queue.clusters(self.model.project_id)
            texts = [] if known else uow.queue.sample_texts(self.model.project_id, SAMPLE)
        if known or len(texts) < FEWEST_TEXTS:
            return
        centres = find_centres(texts, CLUSTERS, seed=settings.seed)
        with self.store.write() as uow:
            uow.projects.lock(self.model.project_id)
            if not uow.queue.clusters(self.model.project_id):
                uow.queue.add_clusters(
                    PoolCluster(project_id=self.model.project_id, number=number, centre=centre.astype("<f4").tobytes())
                    for number, centre in enumerate(centres, start=1)
                )
            uow.commit()

    def unscored(self) -> list[int]:
        """The tasks to ask the version about, those first that the version shown now is least sure of."""
        with self.store.read() as uow:
            announced = uow.projects.get(self.model.project_id).announced_model_id
            shown = uow.models.get(announced).version if announced else None
            return uow.queue.unscored(self.model, shown=shown, now=self.clock())

    def score(self, task_ids: Sequence[int], pipeline: Pipeline, *, max_text_chars: int) -> int:
        """Ask the version about those of these tasks that nobody else works on; how many they were.

        A task with a proposal gets the proposal, never model output (rule 4); one with too long a text an empty
        prediction, for a task without any would be waited for again and again.
        """
        now = self.clock()
        with self.store.write() as uow:
            uow.projects.lock(self.model.project_id)
            claimed = uow.queue.claim_unscored(self.model, task_ids, token=self.token, until=now + LEASE, now=now)
            clusters = uow.queue.clusters(self.model.project_id)
            uow.commit()
        found = _predict(claimed, pipeline, max_text_chars=max_text_chars)
        numbers = _cluster([text for _, text in claimed if text.cluster is None], clusters)
        with self.store.write() as uow:
            uow.projects.lock(self.model.project_id)
            uow.queue.keep_scores(
                self.model.id,
                self.token,
                (
                    {
                        "task_id": task.id,
                        "kind": kind,
                        "spans": [span.to_json() for span in prediction.spans],
                        "score": prediction.score,
                    }
                    for task, kind, prediction in found
                ),
            )
            uow.queue.set_clusters(numbers)
            uow.commit()
        return len(claimed)

    def order(self, *, clustered: int) -> list[Place]:
        """The places of all tasks that were scored and are not in Label Studio yet, best put in first."""
        with self.store.read() as uow:
            settings = parse_settings(uow.projects.get(self.model.project_id).settings)
            known = uow.queue.annotated_groups(self.model.project_id) | self._queued_groups(uow, settings)
            scored = uow.queue.scored(self.model, now=self.clock())
            pace = read_pace(uow, self.model.project_id, settings)
        waiting = (
            Waiting(
                task_id=one.task_id,
                text_hash=one.text_hash,
                part=Part(one.part),
                score=weigh_cost(one.score or 0.0, one.characters, pace),
                cluster=one.cluster,
                group=one.group,
                known=one.group in known,
                proposed=one.kind == PredictionKind.PROPOSAL,
            )
            for one in scored
        )
        return order_queue(waiting, share=settings.honest_share, seed=settings.seed, clustered=clustered)

    def _queued_groups(self, uow: UnitOfWork, settings: ProjectSettings) -> set[int]:
        """The near-duplicate groups of which one text comes up by its score already."""
        return {
            group
            for group, text_hash, part in uow.queue.shown_groups(self.model)
            if not in_slice(text_hash, Part(part), share=settings.honest_share, seed=settings.seed)
        }

    def take(self, places: Sequence[Place]) -> list[TaskPrediction]:
        """Claim those of these tasks that nobody else puts into Label Studio, and hand out what is to go in."""
        now = self.clock()
        with self.store.write() as uow:
            uow.projects.lock(self.model.project_id)
            entries = uow.queue.claim_scored(
                self.model, [p.task_id for p in places], token=self.token, until=now + LEASE, now=now
            )
            uow.commit()
        place_of = {place.task_id: place for place in places}
        return [_hand_out(entry, text, place_of[entry.task_id], begun=begun) for entry, text, begun in entries]

    def mark_uncertain(self) -> None:
        """Mark the tasks that the version is least sure of, for their tab: neither the honest slice nor what sinks."""
        with self.store.write() as uow:
            settings = parse_settings(uow.projects.lock(self.model.project_id).settings)
            found = list(islice(self._uncertain(uow, settings), MARKED))
            mark_only(uow, self.model.project_id, Mark.UNCERTAIN, found, ranked=True)
            uow.commit()

    def _uncertain(self, uow: UnitOfWork, settings: ProjectSettings) -> Iterator[int]:
        known = uow.queue.annotated_groups(self.model.project_id)
        for task_id, text_hash, name, group in uow.queue.shown(self.model, limit=LOOKED_AT):
            part = Part(name)
            honest = in_slice(text_hash, part, share=settings.honest_share, seed=settings.seed)
            if honest or part is Part.SET_ASIDE or group in known:
                continue
            known |= {group} if group is not None else set()
            yield task_id

    def put_away(self, task_ids: Sequence[int]) -> None:
        """Forget tasks that Label Studio has now, or has no more."""
        with self.store.write() as uow:
            uow.projects.lock(self.model.project_id)
            uow.queue.remove(self.model.id, task_ids)
            uow.commit()


def read_pace(uow: UnitOfWork, project_id: int, settings: ProjectSettings) -> Pace | None:
    """The annotators' pace, where the project ranks by cost and enough is known of it."""
    return measure_pace(uow.annotations.times(project_id, limit=TIMES)) if settings.rank_by_cost else None


def weigh_cost(score: float, characters: int, pace: Pace | None) -> float:
    """What the queue goes by: the confidence, or what an edit costs beside it where the pace is known."""
    return score if pace is None else gain_per_second(score, characters, pace)


def _predict(
    claimed: Sequence[tuple[Task, TextRow]], pipeline: Pipeline, *, max_text_chars: int
) -> list[tuple[Task, PredictionKind, Prediction]]:
    readable = [
        (task.id, row.text) for task, row in claimed if task.proposal is None and len(row.text) <= max_text_chars
    ]
    predicted = dict(
        zip((task_id for task_id, _ in readable), pipeline.predict([text for _, text in readable]), strict=True)
    )
    return [
        (task, PredictionKind.MODEL, with_finite_scores(predicted.get(task.id, NOTHING)))
        if task.proposal is None
        else (task, PredictionKind.PROPOSAL, propose(task.proposal))
        for task, _ in claimed
    ]


def _cluster(texts: Sequence[TextRow], clusters: Sequence[PoolCluster]) -> dict[int, int]:
    """The number of each text's cluster, by the texts' ids; none where the pool has no clusters."""
    if not clusters or not texts:
        return {}
    centres: Vectors = np.stack([np.frombuffer(cluster.centre, dtype="<f4") for cluster in clusters])
    found = nearest([row.text for row in texts], centres)
    return {row.id: clusters[index].number for row, index in zip(texts, found, strict=True)}


def _hand_out(entry: QueueEntry, text: str, place: Place, *, begun: bool) -> TaskPrediction:
    spans = tuple(ScoredSpan(**span) for span in entry.spans)
    prediction = Prediction(spans, entry.score or 0.0)
    kind = PredictionKind(entry.kind)
    return TaskPrediction(entry.task_id, text, prediction, kind, place.queue_score, place.cluster, begun)
