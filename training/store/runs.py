"""Training runs and what they took in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from config.errors import Conflict, InvalidInput, NotFound
from training.store.tables.models import MLModel
from training.store.tables.runs import ACTIVE_RUNS, RUN_MOVES, Incorporation, RunStatus, TrainingBatch


class Runs:
    """Runs of all projects."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, run: TrainingBatch) -> bool:
        """Put a new run in; False where the project has an active one already."""
        try:
            with self._session.begin_nested():
                self._session.add(run)
        except IntegrityError:
            return False
        return True

    def get(self, run_id: str) -> TrainingBatch:
        """The run. Raises NotFound."""
        run = self._session.get(TrainingBatch, run_id, populate_existing=True)
        if run is None:
            raise NotFound(f"no run {run_id}; `spanloop runs list` shows those there are")
        return run

    def resolve(self, name: str) -> TrainingBatch:
        """The run of this id, or the only one whose id begins so. Raises NotFound, InvalidInput."""
        found = self._session.scalars(
            select(TrainingBatch).where(TrainingBatch.id.startswith(name, autoescape=True)).limit(2)
        ).all()
        if len(found) > 1 and name:
            raise InvalidInput(f"several runs begin with {name!r}; give more of the id")
        return found[0] if name and found else self.get(name)

    def active(self, project_id: int) -> TrainingBatch | None:
        """The project's pending, waiting or running run."""
        return self._session.scalar(
            select(TrainingBatch).where(TrainingBatch.project_id == project_id, TrainingBatch.status.in_(ACTIVE_RUNS))
        )

    def curve(self, project_id: int) -> list[tuple[str, int, float, int]]:
        """The versions that runs registered: name, verified texts, F1, and the test part's gold spans; oldest first."""
        rows = self._session.execute(
            select(MLModel.version, TrainingBatch.verified_texts, MLModel.f1_score, MLModel.metrics)
            .join(MLModel, MLModel.id == TrainingBatch.model_id)
            .where(TrainingBatch.project_id == project_id, TrainingBatch.verified_texts.is_not(None))
            .where(MLModel.f1_score.is_not(None))
            .order_by(MLModel.number)
        )
        return [
            (version, int(texts or 0), float(f1 or 0.0), int((metrics or {}).get("support", 0)))
            for version, texts, f1, metrics in rows
        ]

    def all_active(self) -> Sequence[TrainingBatch]:
        """Every active run, oldest first."""
        return self._session.scalars(
            select(TrainingBatch).where(TrainingBatch.status.in_(ACTIVE_RUNS)).order_by(TrainingBatch.created_at)
        ).all()

    def ended_since(self, moment: datetime) -> Sequence[TrainingBatch]:
        """The runs of all projects that ended after this moment, oldest first."""
        query = select(TrainingBatch).where(TrainingBatch.finished_at > moment)
        return self._session.scalars(query.order_by(TrainingBatch.finished_at)).all()

    def of_project(
        self, project_id: int, *, status: RunStatus | None = None, limit: int = 50, offset: int = 0
    ) -> Sequence[TrainingBatch]:
        """The project's runs, newest first, of one status or of all."""
        query = select(TrainingBatch).where(TrainingBatch.project_id == project_id)
        if status is not None:
            query = query.where(TrainingBatch.status == status)
        query = query.order_by(TrainingBatch.created_at.desc(), TrainingBatch.id)
        return self._session.scalars(query.limit(limit).offset(offset)).all()

    def count(self, project_id: int, *, status: RunStatus | None = None) -> int:
        """How many runs the project has, of one status or of all."""
        query = select(func.count()).where(TrainingBatch.project_id == project_id)
        if status is not None:
            query = query.where(TrainingBatch.status == status)
        return self._session.scalar(query) or 0

    def move(self, run_id: str, to: RunStatus, *, worker: str | None = None) -> TrainingBatch:
        """Change a run's status by compare-and-set over the allowed moves.

        With `worker`, only the worker that holds the run may move it. Raises Conflict where the run is
        elsewhere by now.
        """
        allowed = [status for status, moves in RUN_MOVES.items() if to in moves]
        query = update(TrainingBatch).where(TrainingBatch.id == run_id, TrainingBatch.status.in_(allowed))
        if worker is not None and to is not RunStatus.RUNNING:
            query = query.where(TrainingBatch.worker == worker)
        moved = self._session.execute(query.values(status=to).returning(TrainingBatch.id)).all()
        run = self.get(run_id)
        if not moved:
            raise Conflict(f"run {run_id} is {run.status} and cannot become {to}", status=run.status)
        return run

    def beat(self, run_id: str, worker: str, now: datetime, values: dict[str, object]) -> bool | None:
        """Note a sign of life with progress; returns whether a cancel was asked for, None if the run was taken away."""
        rows = self._session.execute(
            update(TrainingBatch)
            .where(
                TrainingBatch.id == run_id,
                TrainingBatch.worker == worker,
                TrainingBatch.status == RunStatus.RUNNING,
            )
            .values(heartbeat_at=now, **values)
            .returning(TrainingBatch.cancel_requested)
        ).all()
        return bool(rows[0][0]) if rows else None

    def incorporate(self, rows: Iterable[Incorporation]) -> None:
        """Record which revisions of which examples a run took."""
        self._session.add_all(rows)
        self._session.flush()

    def last_run_with(self, example_id: str) -> str | None:
        """The last run that took an example in, or None."""
        query = (
            select(Incorporation.run_id)
            .join(TrainingBatch, Incorporation.run_id == TrainingBatch.id)
            .where(Incorporation.example_id == example_id)
            .order_by(TrainingBatch.created_at.desc())
            .limit(1)
        )
        return self._session.scalar(query)
