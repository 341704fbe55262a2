"""Feedback: was a classification right, and what is right instead."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Annotated, Literal

from fastapi import APIRouter, BackgroundTasks, Header, Query, Request, Response
from pydantic import BaseModel, Field

from config.errors import Conflict
from ml_backend.api.bells import ring_later
from ml_backend.api.envelope import CHANGE_ERRORS, responses
from ml_backend.api.fields import (
    EXAMPLE_ENTITIES,
    EXAMPLE_ENTITY,
    EXAMPLE_ID,
    EXAMPLE_TEXT,
    EXAMPLE_TIME,
    EXAMPLE_VERSION,
    MOST_ENTITIES,
    PART_USE,
    WILL_TRAIN,
    DocumentText,
    Entity,
    EntityIn,
    ProjectField,
    ProjectQuery,
    QueryNumber,
    QuerySwitch,
    RequestBody,
    RequestWarning,
    RowId,
    Storable,
    check_length,
    to_entities,
    to_warnings,
)
from ml_backend.api.guard import CallerDep, GuardedRoute, ServicesDep, allow
from ml_backend.api.paging import Page, PageQuery, links
from ml_backend.bootstrap import Services, utc_now
from ml_backend.group_commit import GroupCommit
from training.access import Act
from training.admission import Caller
from training.entities import read_taxonomy
from training.examples.outside_feedback import (
    GivenFeedback,
    ReadFeedback,
    TakenFeedback,
    read_feedback,
    record_feedback,
)
from training.store.tables.access import IdempotencyKey as KeptAnswer
from training.store.tables.projects import Project
from training.store.unit_of_work import UnitOfWork
from training.store.views import FeedbackFilter, FeedbackLine, count_feedback, list_feedback
from training.taxonomy import Taxonomy

routes = APIRouter(route_class=GuardedRoute, tags=["feedback"])
REPLAYED = "Idempotent-Replayed"
# So many submissions are stored in one transaction at most; the first of them waits for the last.
MOST_AT_ONCE = 16

IdempotencyKey = Annotated[
    str | None,
    Header(
        description="Any string of the client's own for this submission. The same submission sent again under the "
        "same key is answered with the first answer, and stored once.",
        min_length=1,
        max_length=255,
        pattern="^[ -~]+$",
        examples=["order-4711-feedback"],
    ),
]


class FeedbackRequest(RequestBody):
    """Feedback on a result, or on a text with the entities that were shown for it."""

    is_correct: bool = Field(
        description="Whether the entities that were shown are right and complete.", examples=[False]
    )
    text: DocumentText | None = Field(
        None,
        description="The text; may be left out with a `result_id` whose text was kept.",
        examples=[EXAMPLE_TEXT],
    )
    result_id: RowId | None = Field(None, description="The result that the feedback is about.", examples=[EXAMPLE_ID])
    entities: Annotated[list[EntityIn], Field(max_length=MOST_ENTITIES)] | None = Field(
        None,
        description="What was shown, as classify answered it; may be left out with a `result_id`.",
        examples=[[EXAMPLE_ENTITY]],
    )
    corrected_entities: Annotated[list[EntityIn], Field(max_length=MOST_ENTITIES)] | None = Field(
        None,
        description="The full set of right entities; needed where `is_correct` is false. [] says there is none.",
        examples=[EXAMPLE_ENTITIES],
    )
    notes: Annotated[Storable, Field(max_length=10_000)] = Field(
        "", description="A remark for whoever reviews it.", examples=["Missed the SSN"]
    )
    project: ProjectField = None


class FeedbackTaken(BaseModel):
    """Feedback that was recorded."""

    id: str = Field(description="Id of the feedback.", examples=[EXAMPLE_ID])
    status: Literal["created"] = Field(description="Always `created`.", examples=["created"])
    message: str = Field(description="The same, for a person.", examples=["Feedback recorded successfully"])
    will_be_used_for_training: bool = Field(description=WILL_TRAIN, examples=[True])
    result_id: str = Field(description="The result that the feedback is about.", examples=[EXAMPLE_ID])
    training_data_id: str = Field(description="The unverified training example that it became.", examples=[EXAMPLE_ID])
    warnings: list[RequestWarning] = Field(
        description="What was taken otherwise than it was sent, and each predicted entity that was left out."
    )


class User(BaseModel):
    """Who gave feedback: the user of a token, or an annotator."""

    id: int = Field(description="Id of the contributor.", examples=[1])
    username: str = Field(description="The token's name, or the annotator's.", examples=["john.doe"])


class Feedback(BaseModel):
    """Feedback as it stands."""

    id: str = Field(description="Id of the feedback.", examples=[EXAMPLE_ID])
    project: int = Field(description="Id of the project.", examples=[1])
    text: str = Field(description="The text.", examples=[EXAMPLE_TEXT])
    entities: list[Entity] | None = Field(description="What was shown; null where nothing was.")
    is_correct: bool | None = Field(
        description="Whether what was shown was right; null where nothing was shown, or the task was skipped.",
        examples=[False],
    )
    corrected_entities: list[Entity] = Field(description="What is right.")
    feedback_notes: str = Field(description="The remark that came with it.", examples=["Missed the SSN"])
    created_at: datetime = Field(description="When it was given, in UTC.", examples=[EXAMPLE_TIME])
    incorporated_in_training: bool = Field(
        description="Whether a training run has taken its verified text in, whatever the text's part: to train, to "
        "steer, or to judge.",
        examples=[False],
    )
    user: User | None = Field(description="Who gave it; null where nobody is known.")
    result_id: str | None = Field(description="The result that it is about, if any.", examples=[EXAMPLE_ID])
    model_version: str | None = Field(
        description="The version whose result it is about; null where it is not known.", examples=[EXAMPLE_VERSION]
    )
    part: Literal["train", "dev", "test", "set_aside"] = Field(
        description=PART_USE,
        examples=["train"],
    )
    annotation_id: int | None = Field(
        description="The annotation in Label Studio that it came from; null where it came over this API.",
        examples=[17],
    )


class FeedbackPage(Page):
    """A page of feedback, newest first."""

    results: list[Feedback] = Field(description="The feedback of this page.")


class FeedbackQuery(PageQuery):
    """Which feedback."""

    project: ProjectQuery = None
    is_correct: QuerySwitch | None = Field(None, description="Only right (true) or wrong (false).", examples=[False])
    incorporated: QuerySwitch | None = Field(
        None, description="Only what a run has taken in (true), or has not (false).", examples=[False]
    )
    user_id: QueryNumber | None = Field(None, description="Only that of this contributor.", examples=[1])


@routes.post(
    "/feedback/",
    status_code=201,
    responses={
        **responses(*CHANGE_ERRORS),
        201: {
            "headers": {
                REPLAYED: {"description": "`true` where the answer was given before.", "schema": {"type": "string"}}
            }
        },
    },
)
@allow(Act.SUBMIT)
def submit_feedback(
    body: FeedbackRequest,
    caller: CallerDep,
    services: ServicesDep,
    response: Response,
    later: BackgroundTasks,
    idempotency_key: IdempotencyKey = None,
) -> FeedbackTaken:
    """Say whether a result was right, and what is right instead.

    Right or wrong, it becomes an unverified training example, which an annotator verifies in Label Studio. An
    entity whose offsets do not fit its text is taken where the text stands nearest, with a warning.
    """
    if body.text is not None:
        check_length(body.text, services.settings.max_text_chars)
    answer, project_id, replayed = _take(services, caller, body, idempotency_key)
    if replayed:
        response.headers[REPLAYED] = "true"
    else:
        later.add_task(ring_later, services, "propose", project_id)
    return answer


def _take(
    services: Services, caller: Caller, body: FeedbackRequest, key: str | None
) -> tuple[FeedbackTaken, int, bool]:
    given = GivenFeedback(
        is_correct=body.is_correct,
        text=body.text,
        result_id=body.result_id,
        entities=None if body.entities is None else [entity.to_given() for entity in body.entities],
        corrected_entities=None
        if body.corrected_entities is None
        else [entity.to_given() for entity in body.corrected_entities],
        notes=body.notes,
    )
    request_hash = _hash_of(body) if key is not None else ""
    # Looked at before the project is held, so that the time of checking holds up nobody.
    with services.store.read() as uow:
        if key is not None and (known := uow.answers.find(caller.token_id, key)) is not None:
            return _replay(known, request_hash), 0, True
        project_id = body.project
        if project_id is None and body.result_id is not None:
            result = uow.feedback.find_result_by_id(body.result_id)
            project_id = result.project_id if result is not None else None
        project = uow.projects.choose(project_id)
        read = read_feedback(uow, project, given)
    answer, replayed = _desk(services, project.id).do(_Submission(caller, read, key, request_hash))
    return answer, project.id, replayed


@dataclass(frozen=True, slots=True)
class _Submission:
    """Feedback that was found sound, and who sent it under which key."""

    caller: Caller
    read: ReadFeedback
    key: str | None
    request_hash: str


def _desk(services: Services, project_id: int) -> GroupCommit[_Submission, tuple[FeedbackTaken, bool]]:
    made = GroupCommit(partial(_record, services, project_id), most=MOST_AT_ONCE)
    return services.feedback_desks.setdefault(project_id, made)


def _record(
    services: Services, project_id: int, submissions: Sequence[_Submission]
) -> list[tuple[FeedbackTaken, bool]]:
    with services.store.write() as uow:
        project = uow.projects.lock(project_id)
        now = utc_now()
        answers = [_record_one(uow, project, one, now=now) for one in submissions]
        uow.commit()
    return answers


def _record_one(
    uow: UnitOfWork, project: Project, submission: _Submission, *, now: datetime
) -> tuple[FeedbackTaken, bool]:
    """The answer, and whether it was given before under the same key."""
    caller, key = submission.caller, submission.key
    if key is not None:
        known = uow.answers.claim(caller.token_id, key, request_hash=submission.request_hash, now=now)
        if known is not None:
            return _replay(known, submission.request_hash), True
    taken = record_feedback(uow, project, submission.read, contributor_id=caller.contributor_id, now=now)
    answer = _confirm(taken)
    if key is not None:
        uow.answers.keep(caller.token_id, key, answer.model_dump(mode="json"))
    return answer, False


def _replay(known: KeptAnswer, request_hash: str) -> FeedbackTaken:
    if known.request_hash != request_hash:
        raise Conflict(f"Idempotency-Key {known.key!r} was used for another submission; use a new one")
    return FeedbackTaken.model_validate(known.answer)


def _hash_of(body: FeedbackRequest) -> str:
    return hashlib.sha256(json.dumps(body.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()


def _confirm(taken: TakenFeedback) -> FeedbackTaken:
    return FeedbackTaken(
        id=taken.id,
        status="created",
        message="Feedback recorded successfully",
        will_be_used_for_training=taken.will_be_used_for_training,
        result_id=taken.result_id,
        training_data_id=taken.example_id,
        warnings=to_warnings(taken.warnings),
    )


@routes.get("/feedback/list/", responses=responses())
@allow(Act.READ_TEXTS)
def list_all_feedback(
    request: Request, services: ServicesDep, query: Annotated[FeedbackQuery, Query()]
) -> FeedbackPage:
    """The feedback that stands, newest first: from this API and from annotators."""
    wanted = FeedbackFilter(query.is_correct, query.incorporated, query.user_id)
    with services.store.read() as uow:
        project = uow.projects.choose(query.project)
        count = count_feedback(uow, project.id, wanted)
        lines = list_feedback(uow, project.id, wanted, count=count, limit=query.limit, offset=query.offset)
    taxonomy = read_taxonomy(project.taxonomy)
    results = [_show(line, project, taxonomy) for line in lines]
    return FeedbackPage.model_construct(**links(request, query, count=count), results=results)


def _show(line: FeedbackLine, project: Project, taxonomy: Taxonomy) -> Feedback:
    row = line.feedback
    user = None
    if row.contributor_id is not None and line.username is not None:
        user = User(id=row.contributor_id, username=line.username)
    return Feedback.model_construct(
        id=row.id,
        project=project.id,
        text=line.text,
        entities=None if line.shown is None else to_entities(line.text, line.shown, taxonomy),
        is_correct=row.is_correct,
        corrected_entities=to_entities(line.text, row.corrected_entities, taxonomy),
        feedback_notes=row.notes,
        created_at=row.created_at,
        incorporated_in_training=row.incorporated_in_training,
        user=user,
        result_id=row.result_id,
        model_version=row.model_version or None,
        part=row.part,
        annotation_id=row.annotation_id,
    )
