"""Tests of challengers, and what they need to know of tasks and answers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import Select, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from training.store.tables.ab_tests import AbTest, ShadowPrediction
from training.store.tables.annotations import PredictionKind, PushedPrediction
from training.store.tables.base import JsonRows
from training.store.tables.feedback import ClassificationFeedback, MLClassificationResult
from training.store.tables.texts import Task, TextRow

Shown = tuple[MLClassificationResult, ClassificationFeedback, TextRow]
"""What was shown, what came back, and the text."""


class AbTests:
    """The tests of all projects."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, test: AbTest) -> bool:
        """Put a new test in; False where the project has a running one."""
        try:
            with self._session.begin_nested():
                self._session.add(test)
        except IntegrityError:
            return False
        return True

    def get(self, test_id: str) -> AbTest:
        """The test by its id."""
        return self._session.get_one(AbTest, test_id)

    def find(self, test_id: str) -> AbTest | None:
        """The test by its id, or None."""
        return self._session.get(AbTest, test_id)

    def ended_since(self, moment: datetime, *, by: str) -> Sequence[AbTest]:
        """The tests of all projects that somebody ended after this moment, oldest first."""
        query = select(AbTest).where(AbTest.stopped_at > moment, AbTest.stopped_by == by)
        return self._session.scalars(query.order_by(AbTest.stopped_at)).all()

    def running(self, project_id: int) -> AbTest | None:
        """The project's running test."""
        return self._session.scalar(select(AbTest).where(AbTest.project_id == project_id, AbTest.stopped_at.is_(None)))

    def of_project(self, project_id: int) -> Sequence[AbTest]:
        """The project's tests, newest first."""
        return self._session.scalars(
            select(AbTest).where(AbTest.project_id == project_id).order_by(AbTest.started_at.desc(), AbTest.id)
        ).all()

    def of_challenger(self, model_id: str) -> Sequence[AbTest]:
        """The tests in which a version was the challenger, newest first."""
        return self._session.scalars(
            select(AbTest).where(AbTest.challenger_id == model_id).order_by(AbTest.started_at.desc(), AbTest.id)
        ).all()

    def at(self, project_id: int, version_id: str, moment: datetime) -> AbTest | None:
        """The test in which this version was the live one at that moment."""
        return self._session.scalar(
            select(AbTest)
            .where(AbTest.project_id == project_id, AbTest.live_id == version_id, AbTest.started_at <= moment)
            .where((AbTest.stopped_at.is_(None)) | (AbTest.stopped_at > moment))
            .order_by(AbTest.started_at.desc())
            .limit(1)
        )

    def pushed(self, project_id: int, task_id: int, version: str) -> PushedPrediction | None:
        """What was put into Label Studio for a task under this version."""
        return self._session.scalar(
            select(PushedPrediction).where(
                PushedPrediction.project_id == project_id,
                PushedPrediction.task_id == task_id,
                PushedPrediction.version == version,
            )
        )

    def is_shared(self, project_id: int, version: str, model_id: str) -> bool:
        """Whether another model than this speaks for a waiting task under this version."""
        found = self._session.scalar(
            self._waiting(project_id, version).where(PushedPrediction.model_id != model_id).limit(1)
        )
        return found is not None

    def waiting_speakers(self, project_id: int, version: str) -> Sequence[tuple[int, str]]:
        """The waiting tasks with a model's prediction of this version, and whose it is, lowest score first."""
        rows = self._session.execute(
            self._waiting(project_id, version).order_by(PushedPrediction.score, PushedPrediction.task_id)
        )
        return [(task_id, model_id) for task_id, model_id, proposal in rows if proposal is None]

    def _waiting(self, project_id: int, version: str) -> Select[int, str, JsonRows | None]:
        return (
            select(PushedPrediction.task_id, PushedPrediction.model_id, Task.proposal)
            .join(Task, (Task.project_id == PushedPrediction.project_id) & (Task.id == PushedPrediction.task_id))
            .where(PushedPrediction.project_id == project_id, PushedPrediction.version == version)
            .where(PushedPrediction.kind == PredictionKind.MODEL)
            .where(Task.deleted_at.is_(None), Task.is_labeled.is_(False))
        )

    def texts_of(self, project_id: int, task_ids: Sequence[int]) -> dict[int, str]:
        """The texts of those of these tasks that are still there."""
        rows = self._session.execute(
            select(Task.id, TextRow.text)
            .join(TextRow, Task.text_id == TextRow.id)
            .where(Task.project_id == project_id, Task.id.in_(list(task_ids)), Task.deleted_at.is_(None))
        )
        return {row.id: row.text for row in rows}

    def without_shadow(self, test: AbTest, *, limit: int) -> Sequence[tuple[int, int, str]]:
        """Up to `limit` tasks that were answered during the test and have no shadow prediction: task, text id, text."""
        seen = select(ShadowPrediction.task_id).where(ShadowPrediction.test_id == test.id)
        rows = self._session.execute(
            select(Task.id, TextRow.id, TextRow.text)
            .join(MLClassificationResult, MLClassificationResult.task_id == Task.id)
            .join(TextRow, MLClassificationResult.text_id == TextRow.id)
            .where(MLClassificationResult.ab_test_id == test.id, Task.project_id == test.project_id)
            .where(Task.id.not_in(seen))
            .distinct()
            .order_by(Task.id)
            .limit(limit)
        )
        return [(task_id, text_id, text) for task_id, text_id, text in rows]

    def add_shadows(self, rows: Iterable[ShadowPrediction]) -> None:
        """Keep what a challenger says unseen."""
        self._session.add_all(rows)
        self._session.flush()

    def answers(self, test: AbTest) -> Sequence[Shown]:
        """What was shown during the test, what was submitted on it and still stands, and the text."""
        rows = self._session.execute(
            select(MLClassificationResult, ClassificationFeedback, TextRow)
            .join(ClassificationFeedback, ClassificationFeedback.result_id == MLClassificationResult.id)
            .join(TextRow, ClassificationFeedback.text_id == TextRow.id)
            .where(MLClassificationResult.ab_test_id == test.id)
            .where(MLClassificationResult.kind == PredictionKind.MODEL)
            .where(ClassificationFeedback.withdrawn.is_(False), ClassificationFeedback.is_correct.is_not(None))
            .order_by(ClassificationFeedback.created_at, ClassificationFeedback.id)
        )
        return [(result, feedback, text) for result, feedback, text in rows]

    def shadows(self, test_id: str) -> Sequence[ShadowPrediction]:
        """What the challenger said unseen, by task."""
        return self._session.scalars(
            select(ShadowPrediction).where(ShadowPrediction.test_id == test_id).order_by(ShadowPrediction.task_id)
        ).all()
