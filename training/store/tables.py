"""The store's tables. Spans are JSON lists of {"start", "end", "label"}; times are UTC."""

from __future__ import annotations

import uuid
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from training.store.database import BIG_ID, JSON_DOCUMENT, UtcDateTime

Json = dict[str, Any]
JsonRows = list[dict[str, Any]]


def new_id() -> str:
    """A fresh random id (UUID 4) as text."""
    return str(uuid.uuid4())


class Base(DeclarativeBase):
    """Shared metadata; names of constraints follow one pattern so that migrations can name them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_N_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 (SQLAlchemy reads it from the class)
        datetime: UtcDateTime(),
        Json: JSON_DOCUMENT,
        JsonRows: JSON_DOCUMENT,
        int: BIG_ID,
    }


class EventStatus(StrEnum):
    """Where an inbox event stands."""

    PENDING = "pending"
    LEASED = "leased"
    DONE = "done"
    PARKED = "parked"


class RunStatus(StrEnum):
    """Where a run stands. `waiting` is for test texts; the last three are final."""

    PENDING = "pending"
    WAITING = "waiting"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


ACTIVE_RUNS = (RunStatus.PENDING, RunStatus.WAITING, RunStatus.RUNNING)
RUN_MOVES: dict[RunStatus, tuple[RunStatus, ...]] = {
    RunStatus.PENDING: (RunStatus.RUNNING, RunStatus.FAILED, RunStatus.CANCELLED),
    RunStatus.WAITING: (RunStatus.PENDING, RunStatus.FAILED, RunStatus.CANCELLED),
    RunStatus.RUNNING: (RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.WAITING),
    RunStatus.COMPLETED: (),
    RunStatus.FAILED: (),
    RunStatus.CANCELLED: (),
}


class Source(StrEnum):
    """Where a training example came from."""

    USER_FEEDBACK = "user_feedback"
    MANUAL = "manual"
    IMPORTED = "imported"
    LABEL_STUDIO = "label_studio"


class PredictionKind(StrEnum):
    """Whether a shown prediction was a model's, or somebody's proposal."""

    MODEL = "model"
    PROPOSAL = "proposal"


class Project(Base):
    """A Label Studio project and how its loop is set."""

    __tablename__ = "project"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    title: Mapped[str]
    language: Mapped[str]
    base_model: Mapped[str]
    label_config: Mapped[str] = mapped_column(Text)
    from_name: Mapped[str]
    to_name: Mapped[str]
    text_key: Mapped[str]
    taxonomy: Mapped[JsonRows]
    settings: Mapped[Json]
    announced_model_id: Mapped[str | None]
    backend_id: Mapped[int | None]
    webhook_id: Mapped[int | None]
    reconcile_cursor: Mapped[datetime | None]
    last_change_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    deleted_at: Mapped[datetime | None]

    @property
    def labels(self) -> tuple[str, ...]:
        """The project's leaves, in the taxonomy's order."""
        return tuple(row["name"] for row in self.taxonomy)


class TextGroup(Base):
    """Near-duplicate texts, which share one part for ever."""

    __tablename__ = "text_group"

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"), index=True)
    part: Mapped[str] = mapped_column(String(16))
    signature: Mapped[bytes] = mapped_column(LargeBinary)


class GroupBand(Base):
    """One key by which a near-duplicate group is found."""

    __tablename__ = "group_band"

    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"), primary_key=True)
    band: Mapped[str] = mapped_column(String(64), primary_key=True)
    group_id: Mapped[int] = mapped_column(ForeignKey("text_group.id"), primary_key=True)


class TextRow(Base):
    """One text of a project, with the part (train, dev, test, set_aside) it got at first sight."""

    __tablename__ = "text"
    __table_args__ = (UniqueConstraint("project_id", "hash"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"))
    hash: Mapped[str] = mapped_column(String(64))
    text: Mapped[str] = mapped_column(Text)
    group_id: Mapped[int | None] = mapped_column(ForeignKey("text_group.id"))
    part: Mapped[str] = mapped_column(String(16))
    bridged_groups: Mapped[list[int]] = mapped_column(JSON_DOCUMENT)
    first_seen_at: Mapped[datetime]


class Task(Base):
    """A mirrored Label Studio task. `proposal` holds spans that came from outside and wait for an annotator."""

    __tablename__ = "task"

    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"), primary_key=True)
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    text_id: Mapped[int | None] = mapped_column(ForeignKey("text.id"), index=True)
    problem: Mapped[str | None]
    proposal: Mapped[JsonRows | None]
    is_labeled: Mapped[bool]
    updated_at: Mapped[datetime]
    deleted_at: Mapped[datetime | None]


class Contributor(Base):
    """One integer id for annotators and for users of API tokens alike."""

    __tablename__ = "contributor"
    __table_args__ = (UniqueConstraint("kind", "external_key"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    external_key: Mapped[str]
    username: Mapped[str]


class Annotation(Base):
    """A mirrored annotation. `deleted` is final: no update that arrives later undoes it."""

    __tablename__ = "annotation"
    __table_args__ = (Index("ix_annotation_text", "project_id", "text_id"),)

    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"), primary_key=True)
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    task_id: Mapped[int | None]
    text_id: Mapped[int | None] = mapped_column(ForeignKey("text.id"))
    contributor_id: Mapped[int | None] = mapped_column(ForeignKey("contributor.id"))
    spans: Mapped[JsonRows]
    problems: Mapped[JsonRows]
    was_cancelled: Mapped[bool]
    ground_truth: Mapped[bool]
    lead_time: Mapped[float | None]
    parent_prediction: Mapped[int | None]
    revision: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    deleted: Mapped[bool]


class Event(Base):
    """The inbox: one webhook body, kept until it is done or parked."""

    __tablename__ = "event"
    __table_args__ = (Index("ix_event_queue", "status", "available_at"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int | None]
    dedupe_key: Mapped[str] = mapped_column(String(64), unique=True)
    action: Mapped[str]
    body: Mapped[str] = mapped_column(Text)
    received_at: Mapped[datetime]
    status: Mapped[str] = mapped_column(String(16))
    attempts: Mapped[int]
    available_at: Mapped[datetime]
    lease_token: Mapped[str | None]
    error: Mapped[str | None] = mapped_column(Text)


class PushedPrediction(Base):
    """A prediction that was put into Label Studio for a task."""

    __tablename__ = "pushed_prediction"
    __table_args__ = (UniqueConstraint("project_id", "task_id", "version"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"))
    task_id: Mapped[int]
    model_id: Mapped[str] = mapped_column(ForeignKey("ml_model.id"))
    version: Mapped[str]
    kind: Mapped[str] = mapped_column(String(16))
    spans: Mapped[JsonRows]
    score: Mapped[float]
    pushed_at: Mapped[datetime]


class MLClassificationResult(Base):
    """What a version said of a text: when, for whom, how fast.

    `text` holds what was only classified: a text gets its part, for ever, when it becomes an example.
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


class TrainingDataset(Base):
    """One text with its spans. Only verified ones train; `counted_run_id` is the run that took this revision.

    `classification_type` is what somebody said of the text, or else what its spans say; `given_type` is the former.
    `groups` are that and every span's group; the store fills them in, and the text's `part`
    (`training.store.counting`).
    """

    __tablename__ = "training_dataset"
    __table_args__ = (
        UniqueConstraint("project_id", "text_id"),
        Index("ix_training_dataset_pending", "project_id", "verified", "counted_run_id"),
        Index("ix_training_dataset_page", "project_id", "created_at", "id"),
        Index("ix_training_dataset_page_verified", "project_id", "verified", "created_at", "id"),
        Index("ix_training_dataset_page_source", "project_id", "source", "created_at", "id"),
    )

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"))
    text_id: Mapped[int] = mapped_column(ForeignKey("text.id"))
    entities: Mapped[JsonRows]
    problems: Mapped[JsonRows]
    classification_type: Mapped[str]
    given_type: Mapped[str | None]
    groups: Mapped[list[str]] = mapped_column(JSON_DOCUMENT, default=list)
    part: Mapped[str] = mapped_column(String(16), default="")
    source: Mapped[str] = mapped_column(String(16))
    verified: Mapped[bool]
    verified_at: Mapped[datetime | None]
    annotation_id: Mapped[int | None]
    revision: Mapped[str] = mapped_column(String(64))
    conflict: Mapped[str | None] = mapped_column(Text)
    usage_count: Mapped[int]
    counted_run_id: Mapped[str | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class ExampleGroup(Base):
    """A group that an example belongs to, in the order of lists."""

    __tablename__ = "example_group"

    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    created_at: Mapped[datetime] = mapped_column(primary_key=True)
    example_id: Mapped[str] = mapped_column(ForeignKey("training_dataset.id"), primary_key=True)


class Tally(Base):
    """A running count, written with the rows it counts: what would take a look at every row is one look-up."""

    __tablename__ = "tally"

    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"), primary_key=True)
    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    label: Mapped[str] = mapped_column(primary_key=True)
    count: Mapped[int]


class ApiToken(Base):
    """Who may call the REST API, as a hash of the token; `contributor_id` is the token's name in the statistics."""

    __tablename__ = "api_token"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    role: Mapped[str] = mapped_column(String(16))
    hash: Mapped[str] = mapped_column(String(64), unique=True)
    contributor_id: Mapped[int] = mapped_column(ForeignKey("contributor.id"))
    requests_per_minute: Mapped[int | None]
    created_at: Mapped[datetime]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class IdempotencyKey(Base):
    """An answer that was given once, and is given again to the same request under the same key."""

    __tablename__ = "idempotency_key"

    token_id: Mapped[int] = mapped_column(ForeignKey("api_token.id"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    request_hash: Mapped[str] = mapped_column(String(64))
    answer: Mapped[Json]
    created_at: Mapped[datetime] = mapped_column(index=True)


class TrainingBatch(Base):
    """One run, from request to verdict, with its progress."""

    __tablename__ = "training_batch"
    __table_args__ = (
        # One active run a project, held by the database whatever the queue does.
        Index(
            "uq_training_batch_active",
            "project_id",
            unique=True,
            sqlite_where=text("status IN ('pending', 'waiting', 'running')"),
            postgresql_where=text("status IN ('pending', 'waiting', 'running')"),
        ),
    )

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"), index=True)
    status: Mapped[str] = mapped_column(String(16))
    trigger: Mapped[str]
    promote: Mapped[bool]
    configuration: Mapped[Json]
    cancel_requested: Mapped[bool]
    worker: Mapped[str | None]
    heartbeat_at: Mapped[datetime | None]
    epoch: Mapped[int | None]
    step: Mapped[int | None]
    loss: Mapped[float | None]
    dev_f1: Mapped[float | None]
    seconds_left: Mapped[float | None]
    snapshot_hash: Mapped[str | None] = mapped_column(String(64))
    train_texts: Mapped[int | None]
    dev_texts: Mapped[int | None]
    test_texts: Mapped[int | None]
    verified_texts: Mapped[int | None]
    training_seconds: Mapped[float | None]
    metrics: Mapped[Json | None]
    verdict: Mapped[Json | None]
    model_id: Mapped[str | None] = mapped_column(ForeignKey("ml_model.id"))
    error_code: Mapped[str | None]
    error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class Incorporation(Base):
    """A run took this revision of an example, as part of its training or of its evaluation."""

    __tablename__ = "incorporation"

    run_id: Mapped[str] = mapped_column(ForeignKey("training_batch.id"), primary_key=True)
    example_id: Mapped[str] = mapped_column(ForeignKey("training_dataset.id"), primary_key=True)
    revision: Mapped[str] = mapped_column(String(64))
    part: Mapped[str] = mapped_column(String(16))


class MLModel(Base):
    """A version of a project's model. `is_production` = live, one per project; `is_active` = serving."""

    __tablename__ = "ml_model"
    __table_args__ = (
        UniqueConstraint("project_id", "number"),
        Index(
            "uq_ml_model_live",
            "project_id",
            unique=True,
            sqlite_where=text("is_production"),
            postgresql_where=text("is_production"),
        ),
    )

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"))
    number: Mapped[int]
    version: Mapped[str]
    is_active: Mapped[bool]
    is_production: Mapped[bool]
    spec: Mapped[Json]
    label_mapping: Mapped[Json]
    path: Mapped[str | None]
    checksum: Mapped[str | None] = mapped_column(String(64))
    size_bytes: Mapped[int | None]
    parent_id: Mapped[str | None] = mapped_column(ForeignKey("ml_model.id"))
    metrics: Mapped[Json | None]
    precision: Mapped[float | None]
    recall: Mapped[float | None]
    f1_score: Mapped[float | None]
    verdict: Mapped[Json | None]
    trained_at: Mapped[datetime | None]
    created_at: Mapped[datetime]


class ModelActivation(Base):
    """A change of the live version: from what to what, by whom and why."""

    __tablename__ = "model_activation"

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"), index=True)
    model_id: Mapped[str] = mapped_column(ForeignKey("ml_model.id"))
    previous_model_id: Mapped[str | None] = mapped_column(ForeignKey("ml_model.id"))
    by: Mapped[str]
    reason: Mapped[str] = mapped_column(Text)
    activated_at: Mapped[datetime]


class ModelMetric(Base):
    """One figure of a version, overall (label empty) or for a label, at the time it was measured."""

    __tablename__ = "model_metric"
    __table_args__ = (Index("ix_model_metric_series", "project_id", "name", "label", "recorded_at"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"))
    model_id: Mapped[str] = mapped_column(ForeignKey("ml_model.id"), index=True)
    name: Mapped[str] = mapped_column(String(64))
    label: Mapped[str]
    value: Mapped[float]
    support: Mapped[int]
    recorded_at: Mapped[datetime]


class DueTime(Base):
    """When something is due next; claimed by compare-and-set, so that two schedulers do no harm."""

    __tablename__ = "due_time"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    project_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    due_at: Mapped[datetime]
