"""Mirrored annotations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from training.store.tables.annotations import Annotation
from training.store.tables.texts import TextRow


class Annotations:
    """What annotators submitted, as it stands in Label Studio."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def find(self, project_id: int, annotation_id: int) -> Annotation | None:
        """The annotation, also a deleted one."""
        return self._session.get(Annotation, (project_id, annotation_id))

    def add(self, annotation: Annotation) -> Annotation:
        """Mirror a new annotation."""
        self._session.add(annotation)
        self._session.flush()
        return annotation

    def of_text(self, project_id: int, text_id: int) -> Sequence[Annotation]:
        """The annotations of a text that stand: neither deleted nor skips."""
        return self._session.scalars(
            select(Annotation)
            .where(Annotation.project_id == project_id, Annotation.text_id == text_id)
            .where(Annotation.deleted.is_(False), Annotation.was_cancelled.is_(False))
            .order_by(Annotation.id)
        ).all()

    def of_task(self, project_id: int, task_id: int) -> Sequence[Annotation]:
        """The annotations of a task that are not deleted, skips too."""
        return self._session.scalars(
            select(Annotation)
            .where(Annotation.project_id == project_id, Annotation.task_id == task_id)
            .where(Annotation.deleted.is_(False))
            .order_by(Annotation.id)
        ).all()

    def standing_ids(self, project_id: int) -> set[int]:
        """The ids of all annotations that are not deleted."""
        return set(
            self._session.scalars(
                select(Annotation.id).where(Annotation.project_id == project_id, Annotation.deleted.is_(False))
            )
        )

    def annotated_text_ids(self, project_id: int) -> set[int]:
        """The texts that an annotation stands by, skips too."""
        query = select(Annotation.text_id).where(
            Annotation.project_id == project_id, Annotation.deleted.is_(False), Annotation.text_id.is_not(None)
        )
        return {text_id for text_id in self._session.scalars(query.distinct()) if text_id is not None}

    def shared_texts(self, project_id: int) -> Sequence[tuple[int, str, int, list[dict[str, Any]]]]:
        """What known people said of texts that several of them annotated: text id, text, person and spans."""
        standing = (
            Annotation.project_id == project_id,
            Annotation.deleted.is_(False),
            Annotation.was_cancelled.is_(False),
            Annotation.contributor_id.is_not(None),
        )
        several = (
            select(Annotation.text_id)
            .where(*standing)
            .group_by(Annotation.text_id)
            .having(func.count(Annotation.contributor_id.distinct()) > 1)
        )
        rows = self._session.execute(
            select(Annotation.text_id, TextRow.text, Annotation.contributor_id, Annotation.spans)
            .join(TextRow, TextRow.id == Annotation.text_id)
            .where(*standing, Annotation.text_id.in_(several))
            .order_by(Annotation.text_id, Annotation.updated_at, Annotation.id)
        )
        return [(row[0] or 0, row[1], row[2] or 0, row[3]) for row in rows]

    def times(self, project_id: int, *, limit: int) -> list[tuple[int, float]]:
        """Characters and seconds (`lead_time`) of the newest annotations, skips left out."""
        rows = self._session.execute(
            select(func.length(TextRow.text), Annotation.lead_time)
            .join(TextRow, TextRow.id == Annotation.text_id)
            .where(Annotation.project_id == project_id, Annotation.deleted.is_(False))
            .where(Annotation.was_cancelled.is_(False), Annotation.lead_time.is_not(None))
            .order_by(Annotation.updated_at.desc())
            .limit(limit)
        )
        return [(int(row[0]), float(row[1] or 0.0)) for row in rows]

    def with_problems(self, project_id: int) -> Sequence[Annotation]:
        """The standing annotations that hold spans nothing can be learnt from, by task."""
        rows = self._session.scalars(
            select(Annotation)
            .where(Annotation.project_id == project_id, Annotation.deleted.is_(False))
            .order_by(Annotation.task_id, Annotation.id)
        )
        return [row for row in rows if row.problems]
