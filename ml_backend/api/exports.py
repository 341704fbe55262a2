"""Exports: verified texts as files to download."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, BackgroundTasks, Query, Request
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field

from config.errors import NotFound
from ml_backend.api.bells import ring_later
from ml_backend.api.envelope import BODY_ERRORS, responses
from ml_backend.api.fields import ProjectField, RequestBody
from ml_backend.api.guard import CallerDep, GuardedRoute, ServicesDep, allow
from ml_backend.api.paging import Page, links
from ml_backend.api.transfers import (
    TransferId,
    TransferQuery,
    TransferState,
    find_page,
    find_transfer,
    show_state,
)
from ml_backend.transfers import find_file, request_export
from training.access import Act
from training.exports.writing import ExportFormat
from training.store.tables.transfers import Transfer, TransferKind

routes = APIRouter(route_class=GuardedRoute, tags=["imports and exports"])
FormatName = Literal["spacy", "conll", "jsonl", "csv", "huggingface", "label-studio"]
PartName = Literal["train", "dev", "test", "set_aside", "all"]


class ExportRequest(RequestBody):
    """What is to be exported."""

    format: FormatName = Field(description="What to write; docs/formats.md describes each.", examples=["jsonl"])
    part: PartName | None = Field(
        None,
        description="One part, or `all` for everything in one; left out, each part gets files of its own.",
        examples=["train"],
    )
    project: ProjectField = None


class ExportCounts(BaseModel):
    """What was written."""

    texts: int = Field(description="Verified texts.", examples=[120])
    spans: int = Field(description="Their spans.", examples=[340])
    parts: dict[str, int] = Field(description="Texts by part.", examples=[{"train": 96, "dev": 12, "test": 12}])
    not_held_spans: int = Field(
        description="Spans that the format cannot hold in full; a file lists them.", examples=[0]
    )
    not_held_texts: int = Field(description="Texts that the format cannot hold; a file lists them.", examples=[0])
    content_hash: str = Field(
        description="SHA-256 of what was exported, whatever the format.",
        examples=["2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"],
    )
    files: list[str] = Field(description="The files of texts.", examples=[["train.jsonl", "dev.jsonl"]])


class Export(TransferState):
    """An export."""

    format: FormatName = Field(description="What is written.", examples=["jsonl"])
    part: PartName | None = Field(description="Which part; null for each in files of its own.", examples=["train"])
    counts: ExportCounts | None = Field(description="What was written; null before it is completed.")
    downloadable: bool = Field(
        description="Whether its files are there; they are kept for seven days.", examples=[True]
    )


class ExportPage(Page):
    """A page of exports, newest first."""

    results: list[Export] = Field(description="The exports of this page.")


@routes.post("/exports/", status_code=202, responses=responses(*BODY_ERRORS))
@allow(Act.READ_TEXTS)
def export_texts(body: ExportRequest, caller: CallerDep, services: ServicesDep, later: BackgroundTasks) -> Export:
    """Write the verified texts to files, with a data card; they can be downloaded once it is completed."""
    with services.store.read() as uow:
        project = uow.projects.choose(body.project)
    kept = request_export(
        services, project.id, ExportFormat(body.format), part=body.part, contributor_id=caller.contributor_id
    )
    later.add_task(ring_later, services, "transfer", kept.id)
    return _show(kept)


@routes.get("/exports/", responses=responses())
@allow(Act.READ_FIGURES)
def list_exports(request: Request, services: ServicesDep, query: Annotated[TransferQuery, Query()]) -> ExportPage:
    """A project's exports, newest first."""
    count, rows = find_page(services, query, TransferKind.EXPORT)
    return ExportPage.model_construct(**links(request, query, count=count), results=[_show(row) for row in rows])


@routes.get("/exports/{transfer_id}/", responses=responses())
@allow(Act.READ_FIGURES)
def show_export(transfer_id: TransferId, services: ServicesDep) -> Export:
    """An export with its counts."""
    return _show(find_transfer(services, TransferKind.EXPORT, transfer_id))


@routes.get(
    "/exports/{transfer_id}/download/",
    response_class=FileResponse,
    responses={
        **responses(),
        200: {
            "description": "A ZIP of the files, with README.md and data-card.json.",
            "content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}},
        },
    },
)
@allow(Act.READ_TEXTS)
def download_export(transfer_id: TransferId, services: ServicesDep) -> FileResponse:
    """The files of an export, in a ZIP."""
    file = find_file(services, find_transfer(services, TransferKind.EXPORT, transfer_id))
    if file is None:
        raise NotFound(f"export {transfer_id} has no files: it is not done, has failed, or is long past")
    return FileResponse(file, media_type="application/zip", filename=f"export-{transfer_id}.zip")


def _show(row: Transfer) -> Export:
    return Export.model_validate(
        {
            **show_state(row),
            "format": row.format,
            "part": row.options.get("part"),
            "counts": row.report,
            "downloadable": row.outcome is not None,
        }
    )
