"""Classification results and the feedback on them."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.orm import Session

from training.store.counting import FEEDBACK_COLUMNS, count_incorporated
from training.store.inserting import insert_row
from training.store.tables.feedback import ClassificationFeedback, MLClassificationResult


class FeedbackRows:
    """What was shown, and what came back."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def find_result(self, project_id: int, prediction_id: int) -> MLClassificationResult | None:
        """The result kept for a Label Studio prediction."""
        return self._session.scalar(
            select(MLClassificationResult).where(
                MLClassificationResult.project_id == project_id,
                MLClassificationResult.prediction_id == prediction_id,
            )
        )

    def forget_shown(self, project_id: int, prediction_id: int) -> None:
        """Note that a Label Studio prediction shows something else from now on; what was kept of it stays."""
        result = self.find_result(project_id, prediction_id)
        if result is not None:
            result.prediction_id = None
            self._session.flush()

    def get_result(self, result_id: str) -> MLClassificationResult:
        """The result by its id."""
        return self._session.get_one(MLClassificationResult, result_id)

    def add_result(self, result: MLClassificationResult) -> MLClassificationResult:
        """Keep a result."""
        insert_row(self._session, result)
        return result

    def find_result_by_id(self, result_id: str) -> MLClassificationResult | None:
        """The result by its id, or None."""
        return self._session.get(MLClassificationResult, result_id)

    def add_results(self, results: Sequence[MLClassificationResult]) -> None:
        """Keep many results at once."""
        self._session.add_all(results)
        self._session.flush()

    def of_annotation(self, project_id: int, annotation_id: int) -> ClassificationFeedback | None:
        """The feedback row of an annotation, also a withdrawn one."""
        return self._session.scalar(
            select(ClassificationFeedback).where(
                ClassificationFeedback.project_id == project_id,
                ClassificationFeedback.annotation_id == annotation_id,
            )
        )

    def of_project(self, project_id: int) -> Sequence[ClassificationFeedback]:
        """All feedback that stands, oldest first."""
        return self._session.scalars(
            select(ClassificationFeedback)
            .where(ClassificationFeedback.project_id == project_id, ClassificationFeedback.withdrawn.is_(False))
            .order_by(ClassificationFeedback.created_at, ClassificationFeedback.id)
        ).all()

    def add(self, feedback: ClassificationFeedback) -> ClassificationFeedback:
        """Keep a feedback row."""
        insert_row(self._session, feedback)
        return feedback

    def mark_incorporated(self, project_id: int, text_ids: Collection[int]) -> None:
        """Mark the standing feedback on these texts as incorporated in training."""
        wanted = list(text_ids)
        for at in range(0, len(wanted), 500):
            on_these = ClassificationFeedback.text_id.in_(wanted[at : at + 500])
            self._turn(project_id, on_these, ClassificationFeedback.withdrawn.is_(False), incorporated=True)

    def clear_incorporated(self, project_id: int, text_id: int) -> None:
        """Note that what was learnt from this text is out of date."""
        self._turn(project_id, ClassificationFeedback.text_id == text_id, incorporated=False)

    def _turn(self, project_id: int, *which: ColumnElement[bool], incorporated: bool) -> None:
        changed = self._session.execute(
            update(ClassificationFeedback)
            .where(ClassificationFeedback.project_id == project_id, *which)
            .where(ClassificationFeedback.incorporated_in_training.is_(not incorporated))
            .values(incorporated_in_training=incorporated)
            .returning(*FEEDBACK_COLUMNS)
        ).all()
        count_incorporated(self._session, changed, now_incorporated=incorporated)
