"""What models said, whether it was right, and the running counts of both."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from training.store.database import JSON_DOCUMENT
from training.store.tables.annotations import PredictionKind
from training.store.tables.base import Base, JsonRows, new_id


class MLClassificationResult(Base):
    """What a version said of a text: when, for whom, how fast.

    `text` holds what was only classified: a text gets its part, for ever, when it becomes an example. Model and
    version are who spoke: in an A/B test the challenger, whom Label Studio knows under the live version's name.
    """

    __tablename__ = "ml_classification_result"
    __table_args__ = (UniqueConstraint("project_id", "prediction_id"),)

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"))
    text_id: Mapped[int | None] = mapped_column(ForeignKey("text.id"))
    text: Mapped[str | None] = mapped_column(Text)
    task_id: Mapped[int | None]
    prediction_id: Mapped[int | None]
    model_id: Mapped[str | None] = mapped_column(ForeignKey("ml_model.id"))
    model_version: Mapped[str]
    kind: Mapped[str] = mapped_column(String(16))
    entities: Mapped[JsonRows]
    ab_test_id: Mapped[str | None] = mapped_column(ForeignKey("ab_test.id"), index=True)
    score: Mapped[float | None]
    contributor_id: Mapped[int | None] = mapped_column(ForeignKey("contributor.id"))
    processing_time_ms: Mapped[float | None]
    created_at: Mapped[datetime]


def _feedback_page(name: str, *columns: str) -> Index:
    # Lists leave out what was withdrawn. SQLite takes such an index only where a query says it in the same words.
    return Index(
        name,
        "project_id",
        *columns,
        "created_at",
        "id",
        sqlite_where=text("withdrawn = 0"),
        postgresql_where=text("NOT withdrawn"),
    )


class ClassificationFeedback(Base):
    """Was a result right, and what is right instead. One row an annotation, updated with it.

    `part`, `model_version`, `kind` and `label_counts` (leaf: [shown, kept, wanted]) follow from the text, the result
    and the corrected spans; the store fills them in and keeps its counts by them (`training.store.counting`).
    """

    __tablename__ = "classification_feedback"
    __table_args__ = (
        UniqueConstraint("project_id", "annotation_id"),
        _feedback_page("ix_feedback_page"),
        _feedback_page("ix_feedback_page_correct", "is_correct"),
        _feedback_page("ix_feedback_page_incorporated", "incorporated_in_training"),
        _feedback_page("ix_feedback_page_contributor", "contributor_id"),
        # A page whose filters together let few rows through is found without a look at all that one of them does.
        _feedback_page("ix_feedback_page_correct_incorporated", "is_correct", "incorporated_in_training"),
        _feedback_page("ix_feedback_page_contributor_correct", "contributor_id", "is_correct"),
        _feedback_page("ix_feedback_page_contributor_incorporated", "contributor_id", "incorporated_in_training"),
        _feedback_page("ix_feedback_page_all", "contributor_id", "is_correct", "incorporated_in_training"),
    )

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"))
    result_id: Mapped[str | None] = mapped_column(ForeignKey("ml_classification_result.id"))
    text_id: Mapped[int] = mapped_column(ForeignKey("text.id"), index=True)
    task_id: Mapped[int | None]
    annotation_id: Mapped[int | None]
    contributor_id: Mapped[int | None] = mapped_column(ForeignKey("contributor.id"))
    is_correct: Mapped[bool | None]
    corrected_entities: Mapped[JsonRows]
    notes: Mapped[str] = mapped_column(Text)
    lead_time: Mapped[float | None]
    incorporated_in_training: Mapped[bool]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    withdrawn: Mapped[bool]
    part: Mapped[str] = mapped_column(String(16), default="")
    model_version: Mapped[str] = mapped_column(default="")
    kind: Mapped[str] = mapped_column(String(16), default=PredictionKind.MODEL)
    label_counts: Mapped[dict[str, list[int]]] = mapped_column(JSON_DOCUMENT, default=dict)


class Tally(Base):
    """A running count, written with the rows it counts: what would take a look at every row is one look-up."""

    __tablename__ = "tally"

    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"), primary_key=True)
    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    label: Mapped[str] = mapped_column(primary_key=True)
    count: Mapped[int]
