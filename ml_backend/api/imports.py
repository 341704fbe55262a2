"""Imports: a file, or rows, become tasks whose pre-labels are what the file proposes."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Annotated, Any, Literal

from fastapi import APIRouter, BackgroundTasks, Query, Request
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field

from config.errors import InvalidInput, NotFound
from ml_backend.api.bells import ring_later
from ml_backend.api.envelope import BODY_ERRORS, responses
from ml_backend.api.fields import (
    EXAMPLE_ENTITY,
    EXAMPLE_TEXT,
    MOST_ENTITIES,
    EntityIn,
    ProjectField,
    RequestBody,
    Storable,
)
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
from ml_backend.transfers import find_file, request_import
from training.access import Act, check_allowed
from training.store.tables.transfers import Transfer, TransferKind

routes = APIRouter(route_class=GuardedRoute, tags=["imports and exports"])
FormatName = Literal["txt", "csv", "jsonl", "json", "spacy", "conll", "iob", "bio"]
MOST_ROWS = 10_000
ROWS_FORMAT = "jsonl"


class SpanIn(EntityIn):
    """A span of a row: an entity whose words, where they are given, stand at its offsets."""

    text: Annotated[Storable | None, Field(max_length=100_000)] = Field(
        None, description="The words it covers; must be what the offsets cut out.", examples=["John Smith"]
    )


Spans = Annotated[list[SpanIn], Field(max_length=MOST_ENTITIES)]


class RowIn(RequestBody):
    """A text, and what is proposed for it; as in a line of a .jsonl file the first filled list of spans counts."""

    text: Storable = Field(description="The text.", examples=[EXAMPLE_TEXT])
    spans: Spans | None = Field(
        None,
        description="Its spans, [] for none; where this and the two lists below are left out, the text is only to be "
        "labelled.",
        examples=[[EXAMPLE_ENTITY]],
    )
    corrected_entities: Spans | None = Field(
        None, description="The same under the name that feedback has for it.", examples=[[EXAMPLE_ENTITY]]
    )
    entities: Spans | None = Field(
        None, description="The same as classify and training-data answer it.", examples=[[EXAMPLE_ENTITY]]
    )
    is_correct: bool | None = Field(
        None,
        description="Whether `entities` are right; where they are not, the row needs `corrected_entities`.",
        examples=[True],
    )


class ImportRequest(RequestBody):
    """What is to be imported: `rows`, or a file by `format` and `content` or `content_base64`."""

    rows: Annotated[list[RowIn], Field(min_length=1, max_length=MOST_ROWS)] | None = Field(
        None, description="Texts with their spans.", examples=[[{"text": EXAMPLE_TEXT, "spans": [EXAMPLE_ENTITY]}]]
    )
    format: FormatName | None = Field(
        None, description="What the file is, as its suffix says it; docs/formats.md describes each.", examples=["csv"]
    )
    content: Storable | None = Field(
        None,
        description="The file's text.",
        examples=["text,start,end,label\nJohn Smith called,0,10,PERSON\n"],
    )
    content_base64: Annotated[str, Field(pattern="^[A-Za-z0-9+/=\\s]*$")] | None = Field(
        None, description="The file in base64, which a spaCy file needs.", examples=["Sm9obiBTbWl0aCBjYWxsZWQK"]
    )
    verified: bool = Field(
        False,
        description="Whether the spans are right as they are, by annotations in Label Studio; takes a token of a "
        "reviewer. Otherwise annotators verify them there.",
        examples=[False],
    )
    dry_run: bool = Field(False, description="Only count what would be done, and change nothing.", examples=[False])
    project: ProjectField = None


class ImportCounts(BaseModel):
    """What became of the rows."""

    imported: int = Field(description="Texts that became tasks.", examples=[120])
    proposals: int = Field(description="Those of them with proposed spans.", examples=[100])
    verified: int = Field(description="Those of them that are verified.", examples=[0])
    known: int = Field(description="Texts that were tasks already, and made no second one.", examples=[4])
    spans_added: int = Field(
        0,
        description="Those of them that nobody had said anything of: the spans are proposed, or verified, on the task "
        "that is there.",
        examples=[1],
    )
    rejected: int = Field(description="Rows that cannot be used.", examples=[1])


class Import(TransferState):
    """An import."""

    format: FormatName = Field(description="What the file is.", examples=["csv"])
    verified: bool = Field(description="Whether its spans count as verified.", examples=[False])
    dry_run: bool = Field(description="Whether it changes nothing.", examples=[False])
    counts: ImportCounts | None = Field(description="What became of the rows; null before it is completed.")


class ImportPage(Page):
    """A page of imports, newest first."""

    results: list[Import] = Field(description="The imports of this page.")


@routes.post("/imports/", status_code=202, responses=responses(*BODY_ERRORS))
@allow(Act.SUBMIT)
def import_texts(body: ImportRequest, caller: CallerDep, services: ServicesDep, later: BackgroundTasks) -> Import:
    """Import texts with spans that annotators verify, or verified ones.

    Texts that are tasks already make no second one, and get the spans where nobody has said anything of them yet, so
    that the same file again adds nothing. A row that cannot be used
    stands with its line, its reason and the value in the import's rejects. A file over the limit of bodies goes in
    by `spanloop import`, or in several imports.
    """
    if body.verified:
        check_allowed(caller.role, Act.REVIEW)
    suffix, content = _read_content(body)
    with services.store.read() as uow:
        project = uow.projects.choose(body.project)
    options = {"verified": body.verified, "dry_run": body.dry_run}
    kept = request_import(services, project.id, suffix, content, options=options, contributor_id=caller.contributor_id)
    later.add_task(ring_later, services, "transfer", kept.id)
    return _show(kept)


def _read_content(body: ImportRequest) -> tuple[str, bytes]:
    """The suffix of the file's format, and its bytes."""
    given = [name for name in ("rows", "content", "content_base64") if getattr(body, name) is not None]
    if len(given) != 1:
        raise _refuse(given[1] if given else "rows", "give one of rows, content and content_base64")
    if body.rows is not None:
        if body.format is not None:
            raise _refuse("format", "belongs to a file; rows need none")
        lines = (json.dumps(row.model_dump(mode="json", exclude_none=True)) for row in body.rows)
        return f".{ROWS_FORMAT}", "\n".join(lines).encode()
    if body.format is None:
        raise _refuse("format", "say what the file is")
    if body.content is not None:
        return f".{body.format}", body.content.encode()
    try:
        return f".{body.format}", base64.b64decode("".join((body.content_base64 or "").split()), validate=True)
    except binascii.Error as error:
        raise _refuse("content_base64", f"is not base64: {error}") from error


def _refuse(path: str, message: str) -> InvalidInput:
    return InvalidInput(f"{path}: {message}", problems=[{"path": path, "message": message}])


@routes.get("/imports/", responses=responses())
@allow(Act.READ_FIGURES)
def list_imports(request: Request, services: ServicesDep, query: Annotated[TransferQuery, Query()]) -> ImportPage:
    """A project's imports, newest first."""
    count, rows = find_page(services, query, TransferKind.IMPORT)
    return ImportPage.model_construct(**links(request, query, count=count), results=[_show(row) for row in rows])


@routes.get("/imports/{transfer_id}/", responses=responses())
@allow(Act.READ_FIGURES)
def show_import(transfer_id: TransferId, services: ServicesDep) -> Import:
    """An import with its counts."""
    return _show(find_transfer(services, TransferKind.IMPORT, transfer_id))


@routes.get(
    "/imports/{transfer_id}/rejects/",
    response_class=FileResponse,
    responses={
        **responses(),
        200: {
            "description": "One JSON object a line: `line`, `reason`, `value`.",
            "content": {"application/x-ndjson": {"schema": {"type": "string"}}},
        },
    },
)
@allow(Act.READ_TEXTS)
def download_rejects(transfer_id: TransferId, services: ServicesDep) -> FileResponse:
    """The rows that an import could not use, each with its line, its reason and the offending value."""
    file = find_file(services, find_transfer(services, TransferKind.IMPORT, transfer_id))
    if file is None:
        raise NotFound(f"import {transfer_id} has no rejects: it left out nothing, is not done, or is long past")
    return FileResponse(file, media_type="application/x-ndjson", filename=f"import-{transfer_id}.rejects.jsonl")


def _show(row: Transfer) -> Import:
    options: dict[str, Any] = row.options
    return Import.model_validate(
        {
            **show_state(row),
            "format": row.format,
            "verified": bool(options.get("verified")),
            "dry_run": bool(options.get("dry_run")),
            "counts": row.report,
        }
    )
