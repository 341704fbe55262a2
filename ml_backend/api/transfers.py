"""What imports and exports have in common: how far they are, and what came of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Path
from pydantic import BaseModel, Field

from ml_backend.api.fields import EXAMPLE_ID, EXAMPLE_TIME, UUID_PATTERN, ProjectQuery
from ml_backend.api.paging import PageQuery
from ml_backend.bootstrap import Services
from training.store.tables.transfers import Transfer, TransferKind

TransferId = Annotated[
    str, Path(pattern=UUID_PATTERN, description="Id of the import or export.", examples=[EXAMPLE_ID])
]


class TransferState(BaseModel):
    """How far an import or export is."""

    id: str = Field(description="Its id.", examples=[EXAMPLE_ID])
    project: int = Field(description="Id of the project.", examples=[1])
    status: Literal["pending", "running", "completed", "failed"] = Field(
        description="completed and failed are final.", examples=["completed"]
    )
    done: int = Field(
        description="How far it is: the row of the file for an import, texts for an export.", examples=[500]
    )
    error_code: str | None = Field(
        description="One of docs/errors.md; null where nothing failed.", examples=["label_studio_unavailable"]
    )
    error: str | None = Field(
        description="What it failed of, or waits for; null where nothing did.",
        examples=["Label Studio does not answer"],
    )
    created_at: datetime = Field(description="When it was asked for, in UTC.", examples=[EXAMPLE_TIME])
    started_at: datetime | None = Field(description="When it began, in UTC; null before.", examples=[EXAMPLE_TIME])
    finished_at: datetime | None = Field(description="When it ended, in UTC; null before.", examples=[EXAMPLE_TIME])


class TransferQuery(PageQuery):
    """Which imports or exports."""

    project: ProjectQuery = None


def find_page(services: Services, query: TransferQuery, kind: TransferKind) -> tuple[int, Sequence[Transfer]]:
    """How many a project has, and those of the page, newest first."""
    with services.store.read() as uow:
        project = uow.projects.choose(query.project)
        rows = uow.transfers.of_project(project.id, kind, limit=query.limit, offset=query.offset)
        return uow.transfers.count(project.id, kind), rows


def find_transfer(services: Services, kind: TransferKind, transfer_id: str) -> Transfer:
    """The import or export of a project that is there. Raises NotFound."""
    with services.store.read() as uow:
        row = uow.transfers.get(kind, transfer_id)
        uow.projects.get(row.project_id)
    return row


def show_state(row: Transfer) -> dict[str, Any]:
    """The fields of a transfer's state."""
    named = {name: getattr(row, name) for name in TransferState.model_fields if name != "project"}
    return {**named, "project": row.project_id}
