"""Classification: what the live version says of a text, or of many."""

from __future__ import annotations

import time
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from config.errors import InvalidInput, ModelUnavailable
from ml_backend.api.envelope import BODY_ERRORS, responses
from ml_backend.api.fields import (
    EXAMPLE_ID,
    EXAMPLE_TEXT,
    EXAMPLE_VERSION,
    DocumentText,
    Entity,
    ProjectField,
    RequestBody,
    check_length,
    to_entities,
)
from ml_backend.api.guard import CallerDep, GuardedRoute, ServicesDep, SlotsDep, allow
from ml_backend.bootstrap import Services, utc_now
from ml_backend.model_slot import LoadedModel, ModelSlots
from training.access import Act
from training.admission import Caller
from training.classification import Classified, record_classified
from training.entities import read_taxonomy
from training.spans import Prediction, find_text_fault
from training.store.tables.projects import Project

MOST_TEXTS = 1_000
routes = APIRouter(route_class=GuardedRoute, tags=["classification"])


class ClassifyRequest(RequestBody):
    """A text to classify."""

    text: DocumentText
    project: ProjectField = None


class BatchRequest(RequestBody):
    """Texts to classify."""

    texts: list[Any] = Field(
        min_length=1,
        max_length=MOST_TEXTS,
        description="The texts, each a string of 1 to SPANLOOP_MAX_TEXT_CHARS characters. What is not one gets an "
        "error of its own, and the others are classified.",
        examples=[[EXAMPLE_TEXT, "Nothing here."]],
    )
    project: ProjectField = None


class Classification(BaseModel):
    """What the live version says of a text."""

    project: int = Field(description="Id of the project.", examples=[1])
    text: str = Field(description="The text.", examples=[EXAMPLE_TEXT])
    entities: list[Entity] = Field(description="What was found, in order of place; never overlapping.")
    score: float = Field(description="Confidence that no edit is needed, 0 to 1.", examples=[0.91])
    model_version: str = Field(description="The version that said so.", examples=[EXAMPLE_VERSION])
    result_id: str | None = Field(
        description="Names this result in later feedback; null where the project keeps no results.",
        examples=[EXAMPLE_ID],
    )
    processing_time_ms: float = Field(description="How long the version took, in milliseconds.", examples=[4.2])


class TextError(BaseModel):
    """Why a text of a batch was not classified."""

    code: str = Field(description="One of docs/errors.md.", examples=["invalid_input"])
    message: str = Field(description="What is wrong with the text.", examples=["the text is empty"])


class BatchItem(BaseModel):
    """What became of one text of a batch: entities, or an error."""

    index: int = Field(description="Its place among the texts, from 0.", examples=[0])
    text: str | None = Field(description="The text; null where it was not one.", examples=[EXAMPLE_TEXT])
    entities: list[Entity] = Field(description="What was found, in order of place; empty with an error.")
    score: float | None = Field(
        description="Confidence that no edit is needed, 0 to 1; null with an error.", examples=[0.91]
    )
    result_id: str | None = Field(
        description="Names this result in later feedback; null with an error, or where no results are kept.",
        examples=[EXAMPLE_ID],
    )
    error: TextError | None = Field(description="Why it was not classified; null where it was.")


class BatchClassification(BaseModel):
    """What the live version says of the texts of a batch."""

    project: int = Field(description="Id of the project.", examples=[1])
    count: int = Field(description="How many texts there were.", examples=[2])
    failed: int = Field(description="How many of them were not classified.", examples=[0])
    results: list[BatchItem] = Field(description="One for each text, in the texts' order.")
    model_version: str = Field(description="The version that said so.", examples=[EXAMPLE_VERSION])
    processing_time_ms: float = Field(
        description="How long the version took for all of them, in milliseconds.", examples=[210.5]
    )


@routes.post("/classify/", responses=responses(*BODY_ERRORS, ModelUnavailable))
@allow(Act.CLASSIFY)
def classify(body: ClassifyRequest, caller: CallerDep, services: ServicesDep, slots: SlotsDep) -> Classification:
    """Classify a text."""
    check_length(body.text, services.settings.max_text_chars)
    project, model = _open(services, slots, body.project)
    predictions, milliseconds = _predict(model, [body.text])
    (result_id,) = _record(services, project, model, caller, [body.text], predictions, milliseconds)
    return Classification.model_construct(
        project=project.id,
        text=body.text,
        entities=_show(body.text, predictions[0], project),
        score=predictions[0].score,
        model_version=model.version,
        result_id=result_id,
        processing_time_ms=milliseconds,
    )


@routes.post("/batch-classify/", responses=responses(*BODY_ERRORS, ModelUnavailable))
@allow(Act.CLASSIFY)
def batch_classify(
    body: BatchRequest, caller: CallerDep, services: ServicesDep, slots: SlotsDep
) -> BatchClassification:
    """Classify up to 1,000 texts; a text that cannot be used gets its own error beside the others."""
    faults = {
        index: fault
        for index, text in enumerate(body.texts)
        if (fault := _find_fault(text, services.settings.max_text_chars))
    }
    sound = [index for index in range(len(body.texts)) if index not in faults]
    texts = [body.texts[index] for index in sound]
    project, model = _open(services, slots, body.project)
    predictions, milliseconds = _predict(model, texts)
    ids = _record(services, project, model, caller, texts, predictions, milliseconds)
    found = {
        index: _item(index, text, prediction, result_id, project)
        for index, text, prediction, result_id in zip(sound, texts, predictions, ids, strict=True)
    }
    return BatchClassification.model_construct(
        project=project.id,
        count=len(body.texts),
        failed=len(faults),
        results=[found[i] if i in found else _failed(i, faults[i]) for i in range(len(body.texts))],
        model_version=model.version,
        processing_time_ms=milliseconds,
    )


def _find_fault(text: object, longest: int) -> str | None:
    if not isinstance(text, str):
        return "this is not a string"
    if not text:
        return "the text is empty"
    if len(text) > longest:
        return f"the text of {len(text)} characters is longer than {longest}"
    return find_text_fault(text)


def _open(services: Services, slots: ModelSlots, project_id: int | None) -> tuple[Project, LoadedModel]:
    with services.store.read() as uow:
        project = uow.projects.choose(project_id)
    return project, slots.live(project.id)


def _predict(model: LoadedModel, texts: list[str]) -> tuple[list[Prediction], float]:
    started = time.perf_counter()
    predictions = model.predict(texts) if texts else []
    return predictions, round((time.perf_counter() - started) * 1000, 3)


def _record(
    services: Services,
    project: Project,
    model: LoadedModel,
    caller: Caller,
    texts: list[str],
    predictions: list[Prediction],
    milliseconds: float,
) -> list[str | None]:
    if not texts:
        return []
    classified = Classified(model.model_id, model.version, texts, predictions, milliseconds / len(texts))
    with services.store.write() as uow:
        ids = record_classified(uow, project, classified, contributor_id=caller.contributor_id, now=utc_now())
        uow.commit()
    return ids


def _show(text: str, prediction: Prediction, project: Project) -> list[Entity]:
    return to_entities(text, [span.to_json() for span in prediction.spans], read_taxonomy(project.taxonomy))


def _item(index: int, text: str, prediction: Prediction, result_id: str | None, project: Project) -> BatchItem:
    return BatchItem.model_construct(
        index=index,
        text=text,
        entities=_show(text, prediction, project),
        score=prediction.score,
        result_id=result_id,
        error=None,
    )


def _failed(index: int, fault: str) -> BatchItem:
    error = TextError(code=InvalidInput.code, message=fault)
    return BatchItem(index=index, text=None, entities=[], score=None, result_id=None, error=error)
