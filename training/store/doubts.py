"""Doubts about annotations, as the newest audit left them."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import ColumnElement, and_, delete, func, select
from sqlalchemy.orm import Session

from training.store.tables.examples import TrainingDataset
from training.store.tables.quality import LabelDoubt
from training.store.tables.texts import TextRow


class Doubts:
    """Likely label errors; those whose annotation was changed since are left out."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def replace(self, project_id: int, doubts: Iterable[LabelDoubt]) -> None:
        """Let an audit's doubts take the place of the former one's."""
        self._session.execute(delete(LabelDoubt).where(LabelDoubt.project_id == project_id))
        self._session.add_all(doubts)
        self._session.flush()

    def of_project(self, project_id: int, *, limit: int, offset: int = 0) -> list[tuple[LabelDoubt, str]]:
        """Up to `limit` doubts with their texts, most suspicious first, those after the first `offset`."""
        rows = self._session.execute(
            select(LabelDoubt, TextRow.text)
            .join(TextRow, TextRow.id == LabelDoubt.text_id)
            .join(TrainingDataset, _stands())
            .where(LabelDoubt.project_id == project_id)
            .order_by(LabelDoubt.rank)
            .limit(limit)
            .offset(offset)
        )
        return [(doubt, text) for doubt, text in rows]

    def count(self, project_id: int) -> int:
        """How many there are."""
        query = select(func.count()).select_from(LabelDoubt).join(TrainingDataset, _stands())
        return self._session.scalar(query.where(LabelDoubt.project_id == project_id)) or 0

    def holds(self, text_id: int, revision: str) -> bool:
        """Whether a doubt is of this revision of the text's example."""
        query = select(LabelDoubt.id).where(LabelDoubt.text_id == text_id, LabelDoubt.revision == revision)
        return self._session.scalar(query.limit(1)) is not None


def _stands() -> ColumnElement[bool]:
    return and_(TrainingDataset.text_id == LabelDoubt.text_id, TrainingDataset.revision == LabelDoubt.revision)
