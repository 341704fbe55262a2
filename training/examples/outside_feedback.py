"""Feedback from applications: was a result right, and what is right instead. It becomes a proposal (rule 4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from config.errors import InvalidInput, NotFound
from training.entities import (
    GivenEntity,
    ReadEntities,
    Remark,
    check_text,
    name_left_out,
    read_entities,
    read_taxonomy,
    refuse_problems,
)
from training.examples.proposals import record_proposal
from training.spans import Span, parse_spans
from training.splits import Part
from training.store.tables.annotations import PredictionKind
from training.store.tables.base import new_id
from training.store.tables.examples import Source
from training.store.tables.feedback import ClassificationFeedback, MLClassificationResult
from training.store.tables.projects import Project
from training.store.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class GivenFeedback:
    """Feedback as it was handed in, on a result or on a text with the entities that were shown for it."""

    is_correct: bool
    text: str | None = None
    result_id: str | None = None
    entities: Sequence[GivenEntity] | None = None
    corrected_entities: Sequence[GivenEntity] | None = None
    notes: str = ""


@dataclass(frozen=True, slots=True)
class ReadFeedback:
    """Feedback that was found sound: what was shown, what is right, and what the caller should know about it."""

    text: str
    result_id: str | None
    shown: list[dict[str, Any]]
    is_correct: bool
    right: tuple[Span, ...]
    notes: str
    warnings: tuple[Remark, ...]


@dataclass(frozen=True, slots=True)
class TakenFeedback:
    """Feedback as it stands in the store now."""

    id: str
    result_id: str
    example_id: str
    part: Part
    warnings: tuple[Remark, ...]

    @property
    def will_be_used_for_training(self) -> bool:
        """Whether the text is of the train part; dev texts only join the last passes, test texts never train."""
        return self.part is Part.TRAIN


def read_feedback(uow: UnitOfWork, project: Project, given: GivenFeedback) -> ReadFeedback:
    """Check feedback against its text and its project.

    Raises NotFound for an unknown result, SpanInvalid with each entity that is wrong, and InvalidInput where
    `is_correct` contradicts `corrected_entities`.
    """
    result = _find_result(uow, project, given.result_id)
    text = _find_text(uow, given.text, result)
    check_text(text)
    taxonomy = read_taxonomy(project.taxonomy)
    shown = read_entities(text, given.entities or (), taxonomy, path="entities")
    corrected = read_entities(text, given.corrected_entities or (), taxonomy, path="corrected_entities")
    refuse_problems(shown, corrected)
    warnings = [*shown.warnings, *corrected.warnings]
    rows = shown.to_rows()
    if result is not None:
        rows = result.entities
        if given.entities is not None and set(shown.spans) != set(parse_spans(rows)):
            warnings.append(Remark("entities", "differ from the stored result's, which are taken as what was shown"))
    elif given.entities is None:
        raise _refuse("entities", "give what was shown, [] where that was nothing, or the result_id")
    right = _settle(given, set(parse_spans(rows)), corrected)
    if not given.is_correct:
        warnings += name_left_out(parse_spans(rows), right)
    return ReadFeedback(text, given.result_id, rows, given.is_correct, right, given.notes, tuple(warnings))


def _find_result(uow: UnitOfWork, project: Project, result_id: str | None) -> MLClassificationResult | None:
    if result_id is None:
        return None
    result = uow.feedback.find_result_by_id(result_id)
    if result is None or result.project_id != project.id:
        raise NotFound(
            f"project {project.id} has no result {result_id}; send text and entities instead",
            problems=[{"path": "result_id", "message": "there is no such result"}],
        )
    return result


def _find_text(uow: UnitOfWork, given: str | None, result: MLClassificationResult | None) -> str:
    kept = None
    if result is not None:
        kept = uow.texts.get_text(result.text_id).text if result.text_id is not None else result.text
    if given is None and kept is None:
        raise _refuse("text", "give the text" + (", which was not kept with the result" if result else ""))
    text = given if given is not None else kept or ""
    outside = result is not None and any(span.end > len(text) for span in parse_spans(result.entities))
    if (kept is not None and text != kept) or outside:
        raise _refuse("text", "differs from the text of the result")
    return text


def _settle(given: GivenFeedback, shown: set[Span], corrected: ReadEntities) -> tuple[Span, ...]:
    """The spans that are right by this feedback."""
    if given.is_correct:
        if given.corrected_entities is not None and set(corrected.spans) != shown:
            raise _refuse("is_correct", "is true, and corrected_entities differ from what was shown")
        return tuple(sorted(shown))
    if given.corrected_entities is None:
        raise _refuse("corrected_entities", "is_correct is false: give the full set of right ones, [] for none")
    if set(corrected.spans) == shown:
        raise _refuse("is_correct", "is false, and corrected_entities are the same as what was shown")
    return corrected.spans


def _refuse(path: str, message: str) -> InvalidInput:
    return InvalidInput(f"{path}: {message}", problems=[{"path": path, "message": message}])


def record_feedback(
    uow: UnitOfWork, project: Project, read: ReadFeedback, *, contributor_id: int, now: datetime
) -> TakenFeedback:
    """Store feedback with its result and its proposal; the unit of work holds the project's lock."""
    example = record_proposal(uow, project, read.text, read.right, source=Source.USER_FEEDBACK, now=now)
    result = _keep_result(uow, project, read, text_id=example.text_id, contributor_id=contributor_id, now=now)
    feedback = uow.feedback.add(
        ClassificationFeedback(
            id=new_id(),
            project_id=project.id,
            result_id=result.id,
            text_id=example.text_id,
            contributor_id=contributor_id,
            is_correct=read.is_correct,
            corrected_entities=[span.to_json() for span in read.right],
            notes=read.notes,
            incorporated_in_training=False,
            created_at=now,
            updated_at=now,
            withdrawn=False,
        )
    )
    warnings = read.warnings
    if example.annotation_id is not None:
        warnings += (Remark("text", "an annotator has labelled this text already; those spans stand"),)
    return TakenFeedback(feedback.id, result.id, example.id, Part(feedback.part), warnings)


def _keep_result(
    uow: UnitOfWork, project: Project, read: ReadFeedback, *, text_id: int, contributor_id: int, now: datetime
) -> MLClassificationResult:
    if read.result_id is not None:
        result = uow.feedback.get_result(read.result_id)
        # Its text is among the project's texts from now on.
        result.text_id, result.text = text_id, None
        return result
    return uow.feedback.add_result(
        MLClassificationResult(
            id=new_id(),
            project_id=project.id,
            text_id=text_id,
            model_version="",
            kind=PredictionKind.MODEL,
            entities=read.shown,
            contributor_id=contributor_id,
            created_at=now,
        )
    )
