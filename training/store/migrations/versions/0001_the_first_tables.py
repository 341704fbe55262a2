"""The first tables

Revision ID: 0001
Revises:
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from training.store.database import BIG_ID, JSON_DOCUMENT, UtcDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    op.create_table(
        "contributor",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("external_key", sa.String(), nullable=False),
        sa.Column("username", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_contributor")),
        sa.UniqueConstraint("kind", "external_key", name=op.f("uq_contributor_kind_external_key")),
    )
    op.create_table(
        "due_time",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("project_id", BIG_ID, autoincrement=False, nullable=False),
        sa.Column("due_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("name", "project_id", name=op.f("pk_due_time")),
    )
    op.create_table(
        "event",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("project_id", BIG_ID, nullable=True),
        sa.Column("dedupe_key", sa.String(length=64), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("received_at", UtcDateTime(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("attempts", BIG_ID, nullable=False),
        sa.Column("available_at", UtcDateTime(), nullable=False),
        sa.Column("lease_token", sa.String(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event")),
        sa.UniqueConstraint("dedupe_key", name=op.f("uq_event_dedupe_key")),
    )
    with op.batch_alter_table("event", schema=None) as batch_op:
        batch_op.create_index("ix_event_queue", ["status", "available_at"], unique=False)

    op.create_table(
        "project",
        sa.Column("id", BIG_ID, autoincrement=False, nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("language", sa.String(), nullable=False),
        sa.Column("base_model", sa.String(), nullable=False),
        sa.Column("label_config", sa.Text(), nullable=False),
        sa.Column("from_name", sa.String(), nullable=False),
        sa.Column("to_name", sa.String(), nullable=False),
        sa.Column("text_key", sa.String(), nullable=False),
        sa.Column("taxonomy", JSON_DOCUMENT, nullable=False),
        sa.Column("settings", JSON_DOCUMENT, nullable=False),
        sa.Column("announced_model_id", sa.String(), nullable=True),
        sa.Column("backend_id", BIG_ID, nullable=True),
        sa.Column("webhook_id", BIG_ID, nullable=True),
        sa.Column("reconcile_cursor", UtcDateTime(), nullable=True),
        sa.Column("last_change_at", UtcDateTime(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("deleted_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_project")),
    )
    op.create_table(
        "api_token",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("contributor_id", BIG_ID, nullable=False),
        sa.Column("requests_per_minute", BIG_ID, nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("last_used_at", UtcDateTime(), nullable=True),
        sa.Column("revoked_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["contributor_id"], ["contributor.id"], name=op.f("fk_api_token_contributor_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_token")),
        sa.UniqueConstraint("hash", name=op.f("uq_api_token_hash")),
    )
    op.create_table(
        "ml_model",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("project_id", BIG_ID, nullable=False),
        sa.Column("number", BIG_ID, nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("is_production", sa.Boolean(), nullable=False),
        sa.Column("spec", JSON_DOCUMENT, nullable=False),
        sa.Column("label_mapping", JSON_DOCUMENT, nullable=False),
        sa.Column("path", sa.String(), nullable=True),
        sa.Column("checksum", sa.String(length=64), nullable=True),
        sa.Column("size_bytes", BIG_ID, nullable=True),
        sa.Column("parent_id", sa.String(), nullable=True),
        sa.Column("metrics", JSON_DOCUMENT, nullable=True),
        sa.Column("precision", sa.Double(), nullable=True),
        sa.Column("recall", sa.Double(), nullable=True),
        sa.Column("f1_score", sa.Double(), nullable=True),
        sa.Column("verdict", JSON_DOCUMENT, nullable=True),
        sa.Column("trained_at", UtcDateTime(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["parent_id"], ["ml_model.id"], name=op.f("fk_ml_model_parent_id")),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_ml_model_project_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ml_model")),
        sa.UniqueConstraint("project_id", "number", name=op.f("uq_ml_model_project_id_number")),
    )
    with op.batch_alter_table("ml_model", schema=None) as batch_op:
        batch_op.create_index(
            "uq_ml_model_live",
            ["project_id"],
            unique=True,
            sqlite_where=sa.text("is_production"),
            postgresql_where=sa.text("is_production"),
        )

    op.create_table(
        "tally",
        sa.Column("project_id", BIG_ID, nullable=False),
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("label", sa.String(), nullable=False),
        sa.Column("count", BIG_ID, nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_tally_project_id")),
        sa.PrimaryKeyConstraint("project_id", "name", "key", "label", name=op.f("pk_tally")),
    )
    op.create_table(
        "text_group",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("project_id", BIG_ID, nullable=False),
        sa.Column("part", sa.String(length=16), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_text_group_project_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_text_group")),
    )
    with op.batch_alter_table("text_group", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_text_group_project_id"), ["project_id"], unique=False)

    op.create_table(
        "group_band",
        sa.Column("project_id", BIG_ID, nullable=False),
        sa.Column("band", sa.String(length=64), nullable=False),
        sa.Column("group_id", BIG_ID, nullable=False),
        sa.ForeignKeyConstraint(["group_id"], ["text_group.id"], name=op.f("fk_group_band_group_id")),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_group_band_project_id")),
        sa.PrimaryKeyConstraint("project_id", "band", "group_id", name=op.f("pk_group_band")),
    )
    op.create_table(
        "idempotency_key",
        sa.Column("token_id", BIG_ID, nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("request_hash", sa.String(length=64), nullable=False),
        sa.Column("answer", JSON_DOCUMENT, nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["token_id"], ["api_token.id"], name=op.f("fk_idempotency_key_token_id")),
        sa.PrimaryKeyConstraint("token_id", "key", name=op.f("pk_idempotency_key")),
    )
    with op.batch_alter_table("idempotency_key", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_idempotency_key_created_at"), ["created_at"], unique=False)

    op.create_table(
        "model_activation",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("project_id", BIG_ID, nullable=False),
        sa.Column("model_id", sa.String(), nullable=False),
        sa.Column("previous_model_id", sa.String(), nullable=True),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("activated_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["model_id"], ["ml_model.id"], name=op.f("fk_model_activation_model_id")),
        sa.ForeignKeyConstraint(
            ["previous_model_id"], ["ml_model.id"], name=op.f("fk_model_activation_previous_model_id")
        ),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_model_activation_project_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_model_activation")),
    )
    with op.batch_alter_table("model_activation", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_model_activation_project_id"), ["project_id"], unique=False)

    op.create_table(
        "model_metric",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("project_id", BIG_ID, nullable=False),
        sa.Column("model_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("label", sa.String(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("support", BIG_ID, nullable=False),
        sa.Column("recorded_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["model_id"], ["ml_model.id"], name=op.f("fk_model_metric_model_id")),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_model_metric_project_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_model_metric")),
    )
    with op.batch_alter_table("model_metric", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_model_metric_model_id"), ["model_id"], unique=False)
        batch_op.create_index("ix_model_metric_series", ["project_id", "name", "label", "recorded_at"], unique=False)

    op.create_table(
        "pushed_prediction",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("project_id", BIG_ID, nullable=False),
        sa.Column("task_id", BIG_ID, nullable=False),
        sa.Column("model_id", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("spans", JSON_DOCUMENT, nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("pushed_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["model_id"], ["ml_model.id"], name=op.f("fk_pushed_prediction_model_id")),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_pushed_prediction_project_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pushed_prediction")),
        sa.UniqueConstraint(
            "project_id", "task_id", "version", name=op.f("uq_pushed_prediction_project_id_task_id_version")
        ),
    )
    op.create_table(
        "text",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("project_id", BIG_ID, nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("group_id", BIG_ID, nullable=True),
        sa.Column("part", sa.String(length=16), nullable=False),
        sa.Column("bridged_groups", JSON_DOCUMENT, nullable=False),
        sa.Column("first_seen_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["group_id"], ["text_group.id"], name=op.f("fk_text_group_id")),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_text_project_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_text")),
        sa.UniqueConstraint("project_id", "hash", name=op.f("uq_text_project_id_hash")),
    )
    op.create_table(
        "training_batch",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("project_id", BIG_ID, nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("trigger", sa.String(), nullable=False),
        sa.Column("promote", sa.Boolean(), nullable=False),
        sa.Column("configuration", JSON_DOCUMENT, nullable=False),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("worker", sa.String(), nullable=True),
        sa.Column("heartbeat_at", UtcDateTime(), nullable=True),
        sa.Column("epoch", BIG_ID, nullable=True),
        sa.Column("step", BIG_ID, nullable=True),
        sa.Column("loss", sa.Double(), nullable=True),
        sa.Column("dev_f1", sa.Double(), nullable=True),
        sa.Column("seconds_left", sa.Double(), nullable=True),
        sa.Column("snapshot_hash", sa.String(length=64), nullable=True),
        sa.Column("train_texts", BIG_ID, nullable=True),
        sa.Column("dev_texts", BIG_ID, nullable=True),
        sa.Column("test_texts", BIG_ID, nullable=True),
        sa.Column("verified_texts", BIG_ID, nullable=True),
        sa.Column("training_seconds", sa.Double(), nullable=True),
        sa.Column("metrics", JSON_DOCUMENT, nullable=True),
        sa.Column("verdict", JSON_DOCUMENT, nullable=True),
        sa.Column("model_id", sa.String(), nullable=True),
        sa.Column("error_code", sa.String(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("started_at", UtcDateTime(), nullable=True),
        sa.Column("finished_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["model_id"], ["ml_model.id"], name=op.f("fk_training_batch_model_id")),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_training_batch_project_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_training_batch")),
    )
    with op.batch_alter_table("training_batch", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_training_batch_project_id"), ["project_id"], unique=False)
        batch_op.create_index(
            "uq_training_batch_active",
            ["project_id"],
            unique=True,
            sqlite_where=sa.text("status IN ('pending', 'waiting', 'running')"),
            postgresql_where=sa.text("status IN ('pending', 'waiting', 'running')"),
        )

    op.create_table(
        "annotation",
        sa.Column("project_id", BIG_ID, nullable=False),
        sa.Column("id", BIG_ID, autoincrement=False, nullable=False),
        sa.Column("task_id", BIG_ID, nullable=True),
        sa.Column("text_id", BIG_ID, nullable=True),
        sa.Column("contributor_id", BIG_ID, nullable=True),
        sa.Column("spans", JSON_DOCUMENT, nullable=False),
        sa.Column("problems", JSON_DOCUMENT, nullable=False),
        sa.Column("was_cancelled", sa.Boolean(), nullable=False),
        sa.Column("ground_truth", sa.Boolean(), nullable=False),
        sa.Column("lead_time", sa.Double(), nullable=True),
        sa.Column("parent_prediction", BIG_ID, nullable=True),
        sa.Column("revision", sa.String(length=64), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["contributor_id"], ["contributor.id"], name=op.f("fk_annotation_contributor_id")),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_annotation_project_id")),
        sa.ForeignKeyConstraint(["text_id"], ["text.id"], name=op.f("fk_annotation_text_id")),
        sa.PrimaryKeyConstraint("project_id", "id", name=op.f("pk_annotation")),
    )
    with op.batch_alter_table("annotation", schema=None) as batch_op:
        batch_op.create_index("ix_annotation_text", ["project_id", "text_id"], unique=False)

    op.create_table(
        "ml_classification_result",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("project_id", BIG_ID, nullable=False),
        sa.Column("text_id", BIG_ID, nullable=True),
        sa.Column("text", sa.Text(), nullable=True),
        sa.Column("task_id", BIG_ID, nullable=True),
        sa.Column("prediction_id", BIG_ID, nullable=True),
        sa.Column("model_id", sa.String(), nullable=True),
        sa.Column("model_version", sa.String(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("entities", JSON_DOCUMENT, nullable=False),
        sa.Column("score", sa.Double(), nullable=True),
        sa.Column("contributor_id", BIG_ID, nullable=True),
        sa.Column("processing_time_ms", sa.Double(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["contributor_id"], ["contributor.id"], name=op.f("fk_ml_classification_result_contributor_id")
        ),
        sa.ForeignKeyConstraint(["model_id"], ["ml_model.id"], name=op.f("fk_ml_classification_result_model_id")),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_ml_classification_result_project_id")),
        sa.ForeignKeyConstraint(["text_id"], ["text.id"], name=op.f("fk_ml_classification_result_text_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ml_classification_result")),
        sa.UniqueConstraint(
            "project_id", "prediction_id", name=op.f("uq_ml_classification_result_project_id_prediction_id")
        ),
    )
    op.create_table(
        "task",
        sa.Column("project_id", BIG_ID, nullable=False),
        sa.Column("id", BIG_ID, autoincrement=False, nullable=False),
        sa.Column("text_id", BIG_ID, nullable=True),
        sa.Column("problem", sa.String(), nullable=True),
        sa.Column("proposal", JSON_DOCUMENT, nullable=True),
        sa.Column("is_labeled", sa.Boolean(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.Column("deleted_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_task_project_id")),
        sa.ForeignKeyConstraint(["text_id"], ["text.id"], name=op.f("fk_task_text_id")),
        sa.PrimaryKeyConstraint("project_id", "id", name=op.f("pk_task")),
    )
    with op.batch_alter_table("task", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_task_text_id"), ["text_id"], unique=False)

    op.create_table(
        "training_dataset",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("project_id", BIG_ID, nullable=False),
        sa.Column("text_id", BIG_ID, nullable=False),
        sa.Column("entities", JSON_DOCUMENT, nullable=False),
        sa.Column("problems", JSON_DOCUMENT, nullable=False),
        sa.Column("classification_type", sa.String(), nullable=False),
        sa.Column("given_type", sa.String(), nullable=True),
        sa.Column("groups", JSON_DOCUMENT, nullable=False),
        sa.Column("part", sa.String(length=16), nullable=False),
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.Column("verified", sa.Boolean(), nullable=False),
        sa.Column("verified_at", UtcDateTime(), nullable=True),
        sa.Column("annotation_id", BIG_ID, nullable=True),
        sa.Column("revision", sa.String(length=64), nullable=False),
        sa.Column("conflict", sa.Text(), nullable=True),
        sa.Column("usage_count", BIG_ID, nullable=False),
        sa.Column("counted_run_id", sa.String(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_training_dataset_project_id")),
        sa.ForeignKeyConstraint(["text_id"], ["text.id"], name=op.f("fk_training_dataset_text_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_training_dataset")),
        sa.UniqueConstraint("project_id", "text_id", name=op.f("uq_training_dataset_project_id_text_id")),
    )
    with op.batch_alter_table("training_dataset", schema=None) as batch_op:
        batch_op.create_index("ix_training_dataset_page", ["project_id", "created_at", "id"], unique=False)
        batch_op.create_index(
            "ix_training_dataset_page_source", ["project_id", "source", "created_at", "id"], unique=False
        )
        batch_op.create_index(
            "ix_training_dataset_page_verified", ["project_id", "verified", "created_at", "id"], unique=False
        )
        batch_op.create_index("ix_training_dataset_pending", ["project_id", "verified", "counted_run_id"], unique=False)

    op.create_table(
        "classification_feedback",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("project_id", BIG_ID, nullable=False),
        sa.Column("result_id", sa.String(), nullable=True),
        sa.Column("text_id", BIG_ID, nullable=False),
        sa.Column("task_id", BIG_ID, nullable=True),
        sa.Column("annotation_id", BIG_ID, nullable=True),
        sa.Column("contributor_id", BIG_ID, nullable=True),
        sa.Column("is_correct", sa.Boolean(), nullable=True),
        sa.Column("corrected_entities", JSON_DOCUMENT, nullable=False),
        sa.Column("notes", sa.Text(), nullable=False),
        sa.Column("lead_time", sa.Double(), nullable=True),
        sa.Column("incorporated_in_training", sa.Boolean(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.Column("withdrawn", sa.Boolean(), nullable=False),
        sa.Column("part", sa.String(length=16), nullable=False),
        sa.Column("model_version", sa.String(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("label_counts", JSON_DOCUMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["contributor_id"], ["contributor.id"], name=op.f("fk_classification_feedback_contributor_id")
        ),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_classification_feedback_project_id")),
        sa.ForeignKeyConstraint(
            ["result_id"], ["ml_classification_result.id"], name=op.f("fk_classification_feedback_result_id")
        ),
        sa.ForeignKeyConstraint(["text_id"], ["text.id"], name=op.f("fk_classification_feedback_text_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_classification_feedback")),
        sa.UniqueConstraint(
            "project_id", "annotation_id", name=op.f("uq_classification_feedback_project_id_annotation_id")
        ),
    )
    with op.batch_alter_table("classification_feedback", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_classification_feedback_text_id"), ["text_id"], unique=False)
        batch_op.create_index(
            "ix_feedback_page",
            ["project_id", "created_at", "id"],
            unique=False,
            sqlite_where=sa.text("withdrawn = 0"),
            postgresql_where=sa.text("NOT withdrawn"),
        )
        batch_op.create_index(
            "ix_feedback_page_contributor",
            ["project_id", "contributor_id", "created_at", "id"],
            unique=False,
            sqlite_where=sa.text("withdrawn = 0"),
            postgresql_where=sa.text("NOT withdrawn"),
        )
        batch_op.create_index(
            "ix_feedback_page_correct",
            ["project_id", "is_correct", "created_at", "id"],
            unique=False,
            sqlite_where=sa.text("withdrawn = 0"),
            postgresql_where=sa.text("NOT withdrawn"),
        )
        batch_op.create_index(
            "ix_feedback_page_incorporated",
            ["project_id", "incorporated_in_training", "created_at", "id"],
            unique=False,
            sqlite_where=sa.text("withdrawn = 0"),
            postgresql_where=sa.text("NOT withdrawn"),
        )

    op.create_table(
        "example_group",
        sa.Column("project_id", BIG_ID, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("example_id", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["example_id"], ["training_dataset.id"], name=op.f("fk_example_group_example_id")),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_example_group_project_id")),
        sa.PrimaryKeyConstraint("project_id", "name", "created_at", "example_id", name=op.f("pk_example_group")),
    )
    op.create_table(
        "incorporation",
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("example_id", sa.String(), nullable=False),
        sa.Column("revision", sa.String(length=64), nullable=False),
        sa.Column("part", sa.String(length=16), nullable=False),
        sa.ForeignKeyConstraint(["example_id"], ["training_dataset.id"], name=op.f("fk_incorporation_example_id")),
        sa.ForeignKeyConstraint(["run_id"], ["training_batch.id"], name=op.f("fk_incorporation_run_id")),
        sa.PrimaryKeyConstraint("run_id", "example_id", name=op.f("pk_incorporation")),
    )


def downgrade() -> None:
    """Take the change back."""
    op.drop_table("incorporation")
    op.drop_table("example_group")
    with op.batch_alter_table("classification_feedback", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_feedback_page_incorporated",
            sqlite_where=sa.text("withdrawn = 0"),
            postgresql_where=sa.text("NOT withdrawn"),
        )
        batch_op.drop_index(
            "ix_feedback_page_correct", sqlite_where=sa.text("withdrawn = 0"), postgresql_where=sa.text("NOT withdrawn")
        )
        batch_op.drop_index(
            "ix_feedback_page_contributor",
            sqlite_where=sa.text("withdrawn = 0"),
            postgresql_where=sa.text("NOT withdrawn"),
        )
        batch_op.drop_index(
            "ix_feedback_page", sqlite_where=sa.text("withdrawn = 0"), postgresql_where=sa.text("NOT withdrawn")
        )
        batch_op.drop_index(batch_op.f("ix_classification_feedback_text_id"))

    op.drop_table("classification_feedback")
    with op.batch_alter_table("training_dataset", schema=None) as batch_op:
        batch_op.drop_index("ix_training_dataset_pending")
        batch_op.drop_index("ix_training_dataset_page_verified")
        batch_op.drop_index("ix_training_dataset_page_source")
        batch_op.drop_index("ix_training_dataset_page")

    op.drop_table("training_dataset")
    with op.batch_alter_table("task", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_task_text_id"))

    op.drop_table("task")
    op.drop_table("ml_classification_result")
    with op.batch_alter_table("annotation", schema=None) as batch_op:
        batch_op.drop_index("ix_annotation_text")

    op.drop_table("annotation")
    with op.batch_alter_table("training_batch", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_training_batch_active",
            sqlite_where=sa.text("status IN ('pending', 'waiting', 'running')"),
            postgresql_where=sa.text("status IN ('pending', 'waiting', 'running')"),
        )
        batch_op.drop_index(batch_op.f("ix_training_batch_project_id"))

    op.drop_table("training_batch")
    op.drop_table("text")
    op.drop_table("pushed_prediction")
    with op.batch_alter_table("model_metric", schema=None) as batch_op:
        batch_op.drop_index("ix_model_metric_series")
        batch_op.drop_index(batch_op.f("ix_model_metric_model_id"))

    op.drop_table("model_metric")
    with op.batch_alter_table("model_activation", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_model_activation_project_id"))

    op.drop_table("model_activation")
    with op.batch_alter_table("idempotency_key", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_idempotency_key_created_at"))

    op.drop_table("idempotency_key")
    op.drop_table("group_band")
    with op.batch_alter_table("text_group", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_text_group_project_id"))

    op.drop_table("text_group")
    op.drop_table("tally")
    with op.batch_alter_table("ml_model", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_ml_model_live", sqlite_where=sa.text("is_production"), postgresql_where=sa.text("is_production")
        )

    op.drop_table("ml_model")
    op.drop_table("api_token")
    op.drop_table("project")
    with op.batch_alter_table("event", schema=None) as batch_op:
        batch_op.drop_index("ix_event_queue")

    op.drop_table("event")
    op.drop_table("due_time")
    op.drop_table("contributor")
