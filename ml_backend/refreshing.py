"""A version's predictions, brought into Label Studio's queue while annotators work in it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar
from uuid import uuid4

from ml_backend.bootstrap import Services, utc_now
from ml_backend.projects import connection_of
from sync.push import flip, push_predictions
from training.prediction.pipeline import Pipeline
from training.queue.order import Place
from training.queue.rescoring import Rescoring
from training.store.tables.models import MLModel
from training.versions.registry import open_version

Item = TypeVar("Item")

ASKED_AT_ONCE = 250
"""Texts that the version is asked about between two looks at the clock."""
FIRST = 500
"""Tasks that are asked about before the version is announced; the others follow while annotators work on these."""
ASKING = 0.75
"""Share of a refresh's time in which the version is asked; in the rest goes in what it said, some 1,000 a second."""
SINGLES_A_SECOND = 13
SINGLES_AT_ONCE = 40
FEWEST_REQUESTS = 10
MOST_AT_ONCE = 5_000


def refresh_queue(services: Services, model: MLModel, *, announced: bool) -> None:
    """Bring the version's predictions for all waiting tasks into Label Studio, and announce it after the first.

    Ends when its time is over (`refresh_seconds`) or another version goes live; the next call goes on from there.
    Several workers may share the work.
    """
    rescoring = Rescoring(services.store, model, uuid4().hex, utc_now)
    rescoring.prepare()
    now, seconds = time.monotonic(), services.settings.refresh_seconds
    work = _Refresh(services, model, rescoring, now + ASKING * seconds, now + seconds)
    waiting = rescoring.unscored()
    work.ask(waiting[:FIRST])
    work.push_first(bridge=len(waiting) > FIRST, announced=announced)
    work.ask(waiting[FIRST:])
    work.push_rest()
    rescoring.mark_uncertain()


@dataclass
class _Refresh:
    """One refresh on its way; it asks until one moment, and ends at the other, both by the monotonic clock.

    `clustered` is the number of predictions that went in with a cluster, `singly` the seconds that this has taken.
    """

    services: Services
    model: MLModel
    rescoring: Rescoring
    asks_until: float
    deadline: float
    clustered: int = 0
    singly: float = 0.0

    @cached_property
    def pipeline(self) -> Pipeline:
        """The version itself, loaded where there is something to ask it."""
        return open_version(self.model, self.services.artefacts)

    def ask(self, task_ids: Sequence[int]) -> None:
        """Score these tasks, as far as there is time."""
        limit = self.services.settings.max_text_chars
        for some in self._pieces(task_ids, ASKED_AT_ONCE, until=self.asks_until):
            self.rescoring.score(some, self.pipeline, max_text_chars=limit)

    def push_first(self, *, bridge: bool, announced: bool) -> None:
        """Push enough for the queue to be right from the start, and announce the version.

        `bridge` says that many more are to be asked about: what comes up until then gets half the time for clusters.
        """
        places = self.rescoring.order(clustered=self._affordable())
        clustered = [place for place in places if place.cluster is not None]
        if clustered:
            self._push_clustered(clustered[:SINGLES_AT_ONCE])
        else:
            self._push(places, self.services.settings.push_chunk, most=1)
        if not announced:
            flip(self.services.store, self.services.label_studio, connection_of(self.services), self.model.project_id)
        if bridge:
            self._push_clustered(clustered[SINGLES_AT_ONCE : len(clustered) // 2])

    def push_rest(self) -> None:
        """Push what was scored: the best places with their cluster, while there is time, and the others without."""
        places = self.rescoring.order(clustered=self._affordable())
        self._push_clustered([place for place in places if place.cluster is not None])
        self._push(self.rescoring.order(clustered=0), self._bulk_size())

    def _affordable(self) -> int:
        most = int(self.services.settings.cluster_seconds * SINGLES_A_SECOND)
        return max(0, most - self.clustered) if self._left_for_clusters() > 0 else 0

    def _left_for_clusters(self) -> float:
        return self.services.settings.cluster_seconds - self.singly

    def _push_clustered(self, places: Sequence[Place]) -> None:
        began = time.monotonic()
        until = began + self._left_for_clusters()
        for some in self._pieces(places, SINGLES_AT_ONCE, until=self.deadline):
            if time.monotonic() > until:
                break
            self.clustered += self._push_some(some)
        self.singly += time.monotonic() - began

    def _push(self, places: Sequence[Place], size: int, *, most: int | None = None) -> None:
        for number, some in enumerate(self._pieces(places, size, until=self.deadline), start=1):
            self._push_some(some)
            if number == most:
                return

    def _bulk_size(self) -> int:
        """Predictions in one request: Label Studio looks at every task of the project for each, so in a large pool
        the requests are few."""
        with self.services.store.read() as uow:
            tasks, _ = uow.texts.count_tasks(self.model.project_id)
        return max(self.services.settings.push_chunk, min(tasks // FEWEST_REQUESTS, MOST_AT_ONCE))

    def _push_some(self, places: Sequence[Place]) -> int:
        taken = self.rescoring.take(places)
        store, client = self.services.store, self.services.label_studio
        push_predictions(store, client, self.model, taken, chunk=max(1, len(taken)), clock=utc_now)
        self.rescoring.put_away([one.task_id for one in taken])
        return len(taken)

    def _pieces(self, items: Sequence[Item], size: int, *, until: float) -> Iterator[Sequence[Item]]:
        """The items piece by piece, until this moment or until the version is live no more."""
        for at in range(0, len(items), size):
            if time.monotonic() > until or not self._is_live():
                return
            yield items[at : at + size]

    def _is_live(self) -> bool:
        with self.services.store.read() as uow:
            live = uow.models.live(self.model.project_id)
        return live is not None and live.id == self.model.id
