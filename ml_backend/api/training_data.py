"""Training examples: listed, added, changed, verified and taken out by hand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, BackgroundTasks, Path, Query, Request, Response
from pydantic import AfterValidator, BaseModel, Field

from config.errors import Conflict
from ml_backend.api.bells import ring_later
from ml_backend.api.envelope import CHANGE_ERRORS, responses
from ml_backend.api.fields import (
    EXAMPLE_ENTITIES,
    EXAMPLE_ID,
    EXAMPLE_TEXT,
    EXAMPLE_TIME,
    MOST_ENTITIES,
    PART_USE,
    UUID_PATTERN,
    WILL_TRAIN,
    DocumentText,
    Entity,
    EntityIn,
    ProjectField,
    ProjectQuery,
    QueryName,
    QuerySwitch,
    RequestBody,
    RequestWarning,
    Storable,
    check_length,
    to_entities,
    to_warnings,
)
from ml_backend.api.guard import CallerDep, GuardedRoute, ServicesDep, allow
from ml_backend.api.label_studio import LABEL_STUDIO_ERRORS, label_studio_of
from ml_backend.api.paging import Page, PageQuery, links
from ml_backend.bootstrap import Services, utc_now
from sync.verifying import verify_text, withdraw_proposal
from training.access import Act, check_allowed
from training.admission import Caller
from training.entities import ReadEntities, Remark, check_text, read_entities, read_taxonomy, refuse_problems
from training.examples.curation import (
    Changes,
    add_example,
    change_example,
    check_removable,
    get_example,
    remove_example,
    set_type,
)
from training.spans import Span, hash_text, parse_spans
from training.splits import Part
from training.store.tables.examples import Source
from training.store.tables.projects import Project
from training.store.views import ExampleFilter, ExampleLine, count_examples, find_example, list_examples
from training.taxonomy import Taxonomy

routes = APIRouter(route_class=GuardedRoute, tags=["training data"])

ExampleId = Annotated[str, Path(pattern=UUID_PATTERN, description="Id of the training example.", examples=[EXAMPLE_ID])]
GivenType = Annotated[Storable, AfterValidator(str.strip), Field(max_length=100)]
GivenEntities = Annotated[list[EntityIn], Field(max_length=MOST_ENTITIES)]
SourceName = Literal["user_feedback", "manual", "imported", "label_studio"]
PartName = Literal["train", "dev", "test", "set_aside"]
VERIFY_ERRORS = (*CHANGE_ERRORS, *LABEL_STUDIO_ERRORS)


class ExampleRequest(RequestBody):
    """A training example to add."""

    text: DocumentText
    entities: GivenEntities = Field(
        description="The full set of right entities; [] says there is none.", examples=[EXAMPLE_ENTITIES]
    )
    classification_type: GivenType | None = Field(
        None,
        description="What type of text it is; left out, it is the group that most of its entities belong to.",
        examples=["PII"],
    )
    verified: bool = Field(
        False,
        description="Whether it is verified at once, by an annotation in Label Studio; takes a token of a reviewer. "
        "Otherwise an annotator verifies it there.",
        examples=[False],
    )
    project: ProjectField = None


class ExampleChanges(RequestBody):
    """What to change of a training example; what is left out stays."""

    entities: GivenEntities | None = Field(
        None, description="The full set of right entities.", examples=[EXAMPLE_ENTITIES]
    )
    classification_type: GivenType | None = Field(
        None, description="What type of text it is; empty lets it follow from the entities again.", examples=["PII"]
    )
    verified: bool | None = Field(
        None, description="true verifies it, by an annotation in Label Studio.", examples=[True]
    )


class TrainingExample(BaseModel):
    """A text with its entities. Nothing trains before it is verified."""

    id: str = Field(description="Id of the training example.", examples=[EXAMPLE_ID])
    project: int = Field(description="Id of the project.", examples=[1])
    text: str = Field(description="The text.", examples=[EXAMPLE_TEXT])
    entities: list[Entity] = Field(description="Its entities: proposed ones until it is verified.")
    classification_type: str = Field(
        description="What type of text it is: as given, or the group that most entities belong to.", examples=["PII"]
    )
    source: SourceName = Field(description="Where it came from.", examples=["manual"])
    verified: bool = Field(description="Whether an annotation in Label Studio verifies it.", examples=[False])
    verified_at: datetime | None = Field(
        description="Since when, in UTC; null while it is not verified.", examples=[EXAMPLE_TIME]
    )
    part: PartName = Field(
        description=PART_USE,
        examples=["train"],
    )
    will_be_used_for_training: bool = Field(description=WILL_TRAIN, examples=[True])
    usage_count: int = Field(
        description="How many runs trained on it as a text of the train part; those that took it in as a dev or test "
        "text do not count.",
        examples=[0],
    )
    annotation_id: int | None = Field(
        description="The annotation in Label Studio that says what holds; null without one.", examples=[17]
    )
    conflict: str | None = Field(
        description="How annotators differ, and which of them is followed; null where they agree.",
        examples=["2 different answers; annotation 17 is taken, since it is starred or it is newest"],
    )
    created_at: datetime = Field(description="When it came in, in UTC.", examples=[EXAMPLE_TIME])
    updated_at: datetime = Field(description="When it last changed, in UTC.", examples=[EXAMPLE_TIME])


class ExampleAnswer(TrainingExample):
    """A training example that was added or changed."""

    warnings: list[RequestWarning] = Field(description="What was taken otherwise than it was sent.")


class ExamplePage(Page):
    """A page of training examples, newest first."""

    results: list[TrainingExample] = Field(description="The training examples of this page.")


class ExampleQuery(PageQuery):
    """Which training examples."""

    project: ProjectQuery = None
    verified: QuerySwitch | None = Field(
        None, description="Only verified (true) or unverified (false).", examples=[True]
    )
    classification_type: QueryName | None = Field(
        None, description="Only those of this type, or with an entity of this group, in any case.", examples=["PII"]
    )
    source: SourceName | None = Field(None, description="Only those that came from there.", examples=["manual"])


@routes.get("/training-data/", responses=responses())
@allow(Act.READ_TEXTS)
def list_training_data(request: Request, services: ServicesDep, query: Annotated[ExampleQuery, Query()]) -> ExamplePage:
    """The training examples, newest first."""
    wanted = ExampleFilter(query.verified, query.source, query.classification_type)
    with services.store.read() as uow:
        project = uow.projects.choose(query.project)
        count = count_examples(uow, project.id, wanted)
        lines = list_examples(uow, project.id, wanted, count=count, limit=query.limit, offset=query.offset)
    taxonomy = read_taxonomy(project.taxonomy)
    results = [TrainingExample.model_construct(**_show(line, taxonomy)) for line in lines]
    return ExamplePage.model_construct(**links(request, query, count=count), results=results)


@routes.post(
    "/training-data/",
    status_code=201,
    responses={
        **responses(*VERIFY_ERRORS),
        200: {"model": ExampleAnswer, "description": "The text was a training example already, and was updated."},
    },
)
@allow(Act.SUBMIT)
def add_training_data(
    body: ExampleRequest, caller: CallerDep, services: ServicesDep, response: Response, later: BackgroundTasks
) -> ExampleAnswer:
    """Add a training example: a proposal that an annotator verifies in Label Studio, or verified at once.

    There is one example a text: the same text again updates it.
    """
    if body.verified:
        check_allowed(caller.role, Act.REVIEW)
    check_length(body.text, services.settings.max_text_chars)
    check_text(body.text)
    text_hash = hash_text(body.text)
    with services.store.read() as uow:
        project = uow.projects.choose(body.project)
        known = uow.examples.of_hash(project.id, text_hash)
    read = _read(body.text, body.entities, project)
    if body.verified and not (known is not None and known.verified):
        _verify(services, caller, project.id, body.text, read.spans)
    with services.store.write() as uow:
        project = uow.projects.lock(project.id)
        # A verified one is there by now, of our own making; another may have come in meanwhile.
        new = known is None and (body.verified or uow.examples.of_hash(project.id, text_hash) is None)
        example = add_example(uow, project, body.text, read.spans, given_type=body.classification_type, now=utc_now())
        if new:
            example.source = Source.MANUAL
        uow.commit()
    response.status_code = 201 if new else 200
    later.add_task(ring_later, services, "propose", project.id)
    return _answer(services, example.id, read.warnings)


@routes.get("/training-data/{example_id}/", responses=responses())
@allow(Act.READ_TEXTS)
def show_training_data(example_id: ExampleId, services: ServicesDep) -> ExampleAnswer:
    """A training example."""
    return _answer(services, example_id, ())


@routes.patch("/training-data/{example_id}/", responses=responses(*VERIFY_ERRORS))
@allow(Act.REVIEW)
def change_training_data(
    example_id: ExampleId, body: ExampleChanges, caller: CallerDep, services: ServicesDep, later: BackgroundTasks
) -> ExampleAnswer:
    """Change or verify a training example; verifying makes the annotation in Label Studio.

    What an annotator said there can be changed there alone.
    """
    with services.store.read() as uow:
        example = get_example(uow, example_id)
        project, text = uow.projects.get(example.project_id), uow.texts.get_text(example.text_id).text
    if body.verified is False and example.verified:
        raise Conflict(f"annotation {example.annotation_id} in Label Studio verifies this example; delete it there")
    read = _read(text, body.entities, project) if body.entities is not None else None
    if body.verified and not example.verified:
        spans = read.spans if read is not None else parse_spans(example.entities)
        _verify(services, caller, project.id, text, spans)
    _change(services, example_id, text, read.spans if read is not None else None, body.classification_type)
    later.add_task(ring_later, services, "propose", project.id)
    return _answer(services, example_id, read.warnings if read is not None else ())


def _verify(services: Services, caller: Caller, project_id: int, text: str, spans: Sequence[Span]) -> None:
    client = label_studio_of(services)
    verify_text(services.store, client, project_id, text, spans, contributor_id=caller.contributor_id, clock=utc_now)


def _change(
    services: Services, example_id: str, text: str, spans: tuple[Span, ...] | None, given_type: str | None
) -> None:
    now = utc_now()
    with services.store.write() as uow:
        example = get_example(uow, example_id)
        project = uow.projects.lock(example.project_id)
        change_example(uow, project, example, text, Changes(spans), now=now)
        if given_type is not None:
            set_type(project, example, given_type, now=now)
        uow.commit()


@routes.delete(
    "/training-data/{example_id}/",
    status_code=204,
    responses=responses(Conflict, *LABEL_STUDIO_ERRORS),
)
@allow(Act.REVIEW)
def remove_training_data(example_id: ExampleId, services: ServicesDep, later: BackgroundTasks) -> None:
    """Take an unverified training example out, with the task that was made for it in Label Studio.

    A task that its text had besides stays there, and gets the live version's pre-label back. What an annotator said
    can be deleted in Label Studio alone; what a run took in stays on record.
    """
    with services.store.read() as uow:
        example = get_example(uow, example_id)
        check_removable(uow, example)
        proposed = any(task.proposal is not None for task in uow.texts.tasks_of_text(example.text_id))
    if proposed:
        client = label_studio_of(services)
        withdraw_proposal(services.store, client, example.project_id, example.text_id, clock=utc_now)
    with services.store.write() as uow:
        uow.projects.lock(example.project_id)
        remove_example(uow, get_example(uow, example_id))
        uow.commit()
    later.add_task(ring_later, services, "refresh", example.project_id)


def _read(text: str, entities: list[EntityIn], project: Project) -> ReadEntities:
    given = [entity.to_given() for entity in entities]
    read = read_entities(text, given, read_taxonomy(project.taxonomy), path="entities")
    refuse_problems(read)
    return read


def _answer(services: Services, example_id: str, warnings: tuple[Remark, ...]) -> ExampleAnswer:
    with services.store.read() as uow:
        line = find_example(uow, get_example(uow, example_id).id)
        assert line is not None, "its text is kept for as long as it is"
        project = uow.projects.get(line.example.project_id)
    fields = _show(line, read_taxonomy(project.taxonomy))
    return ExampleAnswer.model_construct(**fields, warnings=to_warnings(warnings))


def _show(line: ExampleLine, taxonomy: Taxonomy) -> dict[str, Any]:
    row, text = line.example, line.text
    return {
        "id": row.id,
        "project": row.project_id,
        "text": text.text,
        "entities": to_entities(text.text, row.entities, taxonomy),
        "classification_type": row.classification_type,
        "source": row.source,
        "verified": row.verified,
        "verified_at": row.verified_at,
        "part": text.part,
        "will_be_used_for_training": text.part == Part.TRAIN,
        "usage_count": row.usage_count,
        "annotation_id": row.annotation_id,
        "conflict": row.conflict,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
    }
