"""The queue: clusters of the pool, and predictions on their way into Label Studio."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, delete, func, insert, or_, select, update
from sqlalchemy.orm import Session, aliased

from training.store.tables.annotations import Annotation, PredictionKind, PushedPrediction
from training.store.tables.models import MLModel
from training.store.tables.queue import PoolCluster, QueueEntry
from training.store.tables.texts import Task, TextRow

AT_ONCE = 500
"""Ids in one statement; databases bound how many they take."""


@dataclass(frozen=True, slots=True)
class ScoredTask:
    """What is needed of a scored task to find its place in the queue; many fit into memory."""

    task_id: int
    score: float | None
    kind: str
    text_hash: str
    part: str
    cluster: int | None
    group: int | None
    characters: int


class Queue:
    """What a version says of the texts that wait, and who works on it."""

    def __init__(self, session: Session) -> None:
        self._session = session

    # Clusters

    def clusters(self, project_id: int) -> Sequence[PoolCluster]:
        """The project's clusters, by number."""
        return self._session.scalars(
            select(PoolCluster).where(PoolCluster.project_id == project_id).order_by(PoolCluster.number)
        ).all()

    def add_clusters(self, clusters: Iterable[PoolCluster]) -> None:
        """Keep a project's clusters."""
        self._session.add_all(clusters)
        self._session.flush()

    def sample_texts(self, project_id: int, limit: int) -> list[str]:
        """Up to `limit` of the project's texts, drawn by their hashes: the same ones while no others come in."""
        query = select(TextRow.text).where(TextRow.project_id == project_id).order_by(TextRow.hash).limit(limit)
        return list(self._session.scalars(query))

    def set_clusters(self, numbers: Mapping[int, int]) -> None:
        """Note the clusters of texts, by the texts' ids."""
        rows = [{"of": text_id, "number": number} for text_id, number in numbers.items()]
        if rows:
            table = TextRow.__table__
            self._session.connection().execute(
                update(TextRow).where(table.c.id == bindparam("of")).values(cluster=bindparam("number")), rows
            )

    # Scoring

    def unscored(self, model: MLModel, *, shown: str | None, now: datetime) -> list[int]:
        """The waiting tasks that this version has not been asked about, those first that `shown` was least sure of.

        What that version did not know comes before all; tasks that somebody works on are left out.
        """
        before, mine, entry = aliased(PushedPrediction), aliased(PushedPrediction), aliased(QueueEntry)
        query = (
            select(Task.id)
            .outerjoin(entry, and_(entry.model_id == model.id, entry.task_id == Task.id))
            .outerjoin(mine, _pushed(mine, model.version))
            .outerjoin(before, _pushed(before, shown or ""))
            .where(_waits(model.project_id), mine.id.is_(None))
            .where(or_(entry.task_id.is_(None), and_(entry.score.is_(None), entry.claimed_until < now)))
            .order_by(func.coalesce(before.score, -1.0), Task.id)
        )
        return list(self._session.scalars(query))

    def claim_unscored(
        self, model: MLModel, task_ids: Sequence[int], *, token: str, until: datetime, now: datetime
    ) -> list[tuple[Task, TextRow]]:
        """Those of the tasks that still wait and nobody else works on, with their texts; they are ours until then."""
        free = and_(QueueEntry.score.is_(None), QueueEntry.claimed_until < now)
        entries = self._session.execute(
            select(QueueEntry.task_id, free).where(QueueEntry.model_id == model.id, QueueEntry.task_id.in_(task_ids))
        )
        held = {row[0]: bool(row[1]) for row in entries}
        pushed = select(PushedPrediction.task_id).where(
            PushedPrediction.project_id == model.project_id,
            PushedPrediction.version == model.version,
            PushedPrediction.task_id.in_(task_ids),
        )
        wanted = [task_id for task_id in task_ids if held.get(task_id, True)]
        rows = self._session.execute(
            select(Task, TextRow)
            .join(TextRow, Task.text_id == TextRow.id)
            .where(_waits(model.project_id), Task.id.in_(wanted), Task.id.not_in(pushed))
        )
        found = {task.id: (task, text) for task, text in rows}
        claim = {"claimed_by": token, "claimed_until": until}
        fresh = [
            {
                **claim,
                "model_id": model.id,
                "task_id": task_id,
                "project_id": model.project_id,
                "kind": PredictionKind.MODEL,
                "spans": [],
            }
            for task_id in found
            if task_id not in held
        ]
        if fresh:
            self._session.execute(insert(QueueEntry), fresh)
        again = [task_id for task_id in found if task_id in held]
        if again:
            self._session.execute(
                update(QueueEntry).where(QueueEntry.model_id == model.id, QueueEntry.task_id.in_(again)).values(**claim)
            )
        return [found[task_id] for task_id in wanted if task_id in found]

    def keep_scores(self, model_id: str, token: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Note what a version says (task_id, kind, spans, score) of tasks that are ours, and let go of them."""
        values = [{"of": row["task_id"], **{k: row[k] for k in ("kind", "spans", "score")}} for row in rows]
        if values:
            table = QueueEntry.__table__
            self._session.connection().execute(
                update(QueueEntry)
                .where(table.c.model_id == model_id, table.c.task_id == bindparam("of"))
                .where(table.c.claimed_by == token)
                .values(
                    kind=bindparam("kind"),
                    spans=bindparam("spans", type_=table.c.spans.type),
                    score=bindparam("score"),
                    claimed_by=None,
                    claimed_until=None,
                ),
                values,
            )

    # Pushing

    def scored(self, model: MLModel, *, now: datetime) -> list[ScoredTask]:
        """What the version has said of tasks that still wait and that nobody pushes now."""
        rows = self._session.execute(
            select(
                QueueEntry.task_id,
                QueueEntry.score,
                QueueEntry.kind,
                TextRow.hash,
                TextRow.part,
                TextRow.cluster,
                TextRow.group_id,
                func.length(TextRow.text),
            )
            .join(Task, and_(Task.project_id == QueueEntry.project_id, Task.id == QueueEntry.task_id))
            .join(TextRow, Task.text_id == TextRow.id)
            .where(QueueEntry.model_id == model.id, QueueEntry.score.is_not(None), _waits(model.project_id))
            .where(or_(QueueEntry.claimed_until.is_(None), QueueEntry.claimed_until < now))
        )
        return [ScoredTask(*row) for row in rows]

    def annotated_groups(self, project_id: int) -> set[int]:
        """The near-duplicate groups that somebody has annotated a text of."""
        query = (
            select(TextRow.group_id)
            .join(Annotation, Annotation.text_id == TextRow.id)
            .where(Annotation.project_id == project_id, Annotation.deleted.is_(False))
            .where(Annotation.was_cancelled.is_(False), TextRow.group_id.is_not(None))
            .distinct()
        )
        return {group for group in self._session.scalars(query) if group is not None}

    def claim_scored(
        self, model: MLModel, task_ids: Sequence[int], *, token: str, until: datetime, now: datetime
    ) -> list[tuple[QueueEntry, str, bool]]:
        """Those of the tasks that nobody else pushes, in the given order; ours until then.

        With their texts, and whether somebody began to push them before and did not come to an end.
        """
        begun = set(
            self._session.scalars(
                select(QueueEntry.task_id).where(
                    QueueEntry.model_id == model.id,
                    QueueEntry.task_id.in_(task_ids),
                    QueueEntry.claimed_by.is_not(None),
                    QueueEntry.score.is_not(None),
                )
            )
        )
        self._session.execute(
            update(QueueEntry)
            .where(QueueEntry.model_id == model.id, QueueEntry.task_id.in_(task_ids), QueueEntry.score.is_not(None))
            .where(or_(QueueEntry.claimed_until.is_(None), QueueEntry.claimed_until < now))
            .values(claimed_by=token, claimed_until=until)
        )
        rows = self._session.execute(
            select(QueueEntry, TextRow.text)
            .join(Task, and_(Task.project_id == QueueEntry.project_id, Task.id == QueueEntry.task_id))
            .join(TextRow, Task.text_id == TextRow.id)
            .where(QueueEntry.model_id == model.id, QueueEntry.task_id.in_(task_ids), _waits(model.project_id))
            .where(QueueEntry.claimed_by == token)
        )
        found = {entry.task_id: (entry, text, entry.task_id in begun) for entry, text in rows}
        return [found[task_id] for task_id in task_ids if task_id in found]

    def shown(self, model: MLModel, *, limit: int) -> list[tuple[int, str, str, int | None]]:
        """Waiting tasks that show what the version says, most uncertain first: id, text's hash, part and group."""
        rows = self._session.execute(
            select(Task.id, TextRow.hash, TextRow.part, TextRow.group_id)
            .join(TextRow, Task.text_id == TextRow.id)
            .join(PushedPrediction, _pushed(PushedPrediction, model.version))
            .where(_waits(model.project_id), PushedPrediction.kind == PredictionKind.MODEL)
            .order_by(PushedPrediction.score, Task.id)
            .limit(limit)
        )
        return [(row[0], row[1], row[2], row[3]) for row in rows]

    def shown_groups(self, model: MLModel) -> list[tuple[int, str, str]]:
        """Of waiting tasks that have this version's prediction: near-duplicate group, text's hash and part."""
        rows = self._session.execute(
            select(TextRow.group_id, TextRow.hash, TextRow.part)
            .join(Task, Task.text_id == TextRow.id)
            .join(PushedPrediction, _pushed(PushedPrediction, model.version))
            .where(_waits(model.project_id))
        )
        return [(row[0], row[1], row[2]) for row in rows if row[0] is not None]

    def first_shown(self, project_id: int, version: str, *, limit: int) -> list[int]:
        """The waiting tasks of lowest confidence that a version's predictions were put in for."""
        query = (
            select(Task.id)
            .join(PushedPrediction, _pushed(PushedPrediction, version))
            .where(_waits(project_id))
            .order_by(PushedPrediction.score, Task.id)
            .limit(limit)
        )
        return list(self._session.scalars(query))

    def forget_shown(self, project_id: int) -> int:
        """Forget that predictions were put in for waiting tasks, so that a refresh does it again; how many."""
        waiting = select(Task.id).where(_waits(project_id))
        gone = self._session.execute(
            delete(PushedPrediction)
            .where(PushedPrediction.project_id == project_id, PushedPrediction.task_id.in_(waiting))
            .returning(PushedPrediction.id)
        )
        return len(gone.all())

    def remove(self, model_id: str, task_ids: Collection[int]) -> None:
        """Forget entries: Label Studio has them, or needs them no more."""
        ids = list(task_ids)
        for at in range(0, len(ids), AT_ONCE):
            self._session.execute(
                delete(QueueEntry).where(
                    QueueEntry.model_id == model_id, QueueEntry.task_id.in_(ids[at : at + AT_ONCE])
                )
            )

    def forget_tasks(self, project_id: int, task_ids: Collection[int]) -> None:
        """Forget what any version says of these tasks, since somebody knows better."""
        self._session.execute(
            delete(QueueEntry).where(QueueEntry.project_id == project_id, QueueEntry.task_id.in_(list(task_ids)))
        )

    def remove_stale(self, model: MLModel) -> None:
        """Forget what other versions said, and what is said of tasks that wait no more."""
        waiting = select(Task.id).where(_waits(model.project_id))
        self._session.execute(
            delete(QueueEntry).where(
                QueueEntry.project_id == model.project_id,
                or_(QueueEntry.model_id != model.id, QueueEntry.task_id.not_in(waiting)),
            )
        )


def _pushed(prediction: type[PushedPrediction], version: str) -> ColumnElement[bool]:
    return and_(prediction.project_id == Task.project_id, prediction.task_id == Task.id, prediction.version == version)


def _waits(project_id: int) -> ColumnElement[bool]:
    return and_(
        Task.project_id == project_id,
        Task.deleted_at.is_(None),
        Task.is_labeled.is_(False),
        Task.text_id.is_not(None),
    )
