"""Types that requests and answers share. Whatever comes in is strict: no unknown field, no 1 for true, no NaN."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from config.errors import InvalidInput
from training.entities import GivenEntity, Remark
from training.spans import find_text_fault
from training.taxonomy import Taxonomy

WILL_TRAIN = (
    "What verification brings: true for a text of the train part. It is false for the others: dev texts steer training "
    "and join its last passes, test texts never train, nor do those set aside."
)
PART_USE = (
    "What the text may be used for: to train, to steer training and join its last passes, to judge models, or nothing."
)
LARGEST_INTEGER = 2**53 - 1
MOST_ENTITIES = 5_000
EXAMPLE_ID = "0b7c2c0e-6a55-4c0e-9e0c-3f5f3c1f7a52"
EXAMPLE_TEXT = "John Smith's SSN is 536-22-8726"
EXAMPLE_ENTITY = {"text": "John Smith", "start": 0, "end": 10, "label": "PII", "sublabel": "PERSON"}
EXAMPLE_ENTITIES = [
    EXAMPLE_ENTITY,
    {"text": "536-22-8726", "start": 20, "end": 31, "label": "PII", "sublabel": "SSN"},
]
EXAMPLE_TIME = "2026-01-31T12:00:00Z"
EXAMPLE_VERSION = "spanloop-v3"


def check_storable(value: str) -> str:
    """The string if a database can hold it. Raises ValueError."""
    if fault := find_text_fault(value):
        raise ValueError(fault)
    return value


def check_length(text: str, longest: int) -> None:
    """Raise InvalidInput for a text over the limit of the installation."""
    if len(text) > longest:
        message = f"the text of {len(text)} characters is longer than {longest}"
        raise InvalidInput(message, problems=[{"path": "text", "message": message}])


def _read_digits(value: Any) -> Any:
    # Pydantic reads " 1_0 " as 10.
    if isinstance(value, str) and not (value.isascii() and value.isdecimal()):
        raise PydanticCustomError("int_parsing", "must be a whole number of 0 or more, in digits")
    return value


def _read_switch(value: Any) -> Any:
    # Any case, since Python clients send True and False; not 1, 0, yes and no.
    if isinstance(value, str):
        if value.lower() not in ("true", "false"):
            raise PydanticCustomError("bool_parsing", "must be true or false")
        return value.lower() == "true"
    return value


Storable = Annotated[str, AfterValidator(check_storable)]
DocumentText = Annotated[
    str,
    Field(
        min_length=1,
        description="The text, in characters (Unicode code points); at most SPANLOOP_MAX_TEXT_CHARS of them.",
        examples=[EXAMPLE_TEXT],
    ),
    AfterValidator(check_storable),
]
Number = Annotated[int, Field(ge=0, le=LARGEST_INTEGER)]
QueryNumber = Annotated[int, BeforeValidator(_read_digits), Field(ge=0, le=LARGEST_INTEGER)]
QuerySwitch = Annotated[bool, BeforeValidator(_read_switch)]
QueryName = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(check_storable)]
UUID_PATTERN = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
RowId = Annotated[str, Field(pattern=UUID_PATTERN, examples=[EXAMPLE_ID])]

ProjectField = Annotated[
    Number | None,
    Field(description="Id of the project; may be left out where there is exactly one.", examples=[1]),
]
ProjectQuery = Annotated[
    QueryNumber | None,
    Field(description="Id of the project; may be left out where there is exactly one.", examples=[1]),
]


class RequestBody(BaseModel):
    """Base of what comes in."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)


class QueryModel(BaseModel):
    """Base of query parameters."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class EntityIn(RequestBody):
    """An entity, as classify answers it."""

    text: Annotated[Storable | None, Field(max_length=100_000)] = Field(
        None,
        description="The entity's text. Where the offsets cut out another text, its nearest occurrence is taken.",
        examples=["John Smith"],
    )
    start: Number = Field(description="First character, counted in code points from 0.", examples=[0])
    end: Number = Field(description="The character after the last one.", examples=[10])
    label: Annotated[Storable | None, Field(max_length=200)] = Field(
        None, description="Group of the label, or the leaf where `sublabel` is left out.", examples=["PII"]
    )
    sublabel: Annotated[Storable | None, Field(max_length=200)] = Field(
        None, description="Leaf of the label, or one of its aliases.", examples=["PERSON"]
    )
    score: Annotated[float, Field(ge=0, le=1)] | None = Field(
        None, description="Confidence that exactly this span is right, 0 to 1.", examples=[0.97]
    )

    def to_given(self) -> GivenEntity:
        """The entity as the rules take it."""
        return GivenEntity(self.start, self.end, self.text, self.label, self.sublabel, self.score)


class Entity(BaseModel):
    """A labelled stretch of a text."""

    text: str = Field(description="The entity's text.", examples=["John Smith"])
    start: int = Field(description="First character, counted in code points from 0.", examples=[0])
    end: int = Field(description="The character after the last one.", examples=[10])
    label: str = Field(description="Group of the label.", examples=["PII"])
    sublabel: str = Field(description="Leaf of the label.", examples=["PERSON"])
    score: float | None = Field(
        description="Confidence that exactly this span is right, 0 to 1; null where nobody gave one.",
        examples=[0.97],
    )


class RequestWarning(BaseModel):
    """Something the caller should know; the request was carried out all the same."""

    path: str = Field(description="The value it is about.", examples=["corrected_entities.0.start"])
    message: str = Field(
        description="What about it.", examples=["the entity's text stands at 20 to 31, not at 22 to 33"]
    )


def to_entities(text: str, rows: Iterable[Mapping[str, Any]], taxonomy: Taxonomy) -> list[Entity]:
    """Stored spans of a text as answers show them."""
    return [
        Entity.model_construct(
            text=text[row["start"] : row["end"]],
            start=row["start"],
            end=row["end"],
            label=taxonomy.group_of(row["label"]),
            sublabel=row["label"],
            score=row.get("score"),
        )
        for row in rows
    ]


def to_warnings(remarks: Iterable[Remark]) -> list[RequestWarning]:
    """Remarks as answers show them."""
    return [RequestWarning(path=remark.path, message=remark.message) for remark in remarks]
