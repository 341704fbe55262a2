"""The settings of one project, and its retraining policy: when a run starts by itself. Pure rules."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

from croniter import CroniterBadDateError, croniter
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from config.errors import InvalidInput
from training.spans import find_text_fault, hash_text

LARGEST_BACK_OFF_SECONDS = 6 * 3600.0
SMALLEST_BACK_OFF_SECONDS = 10.0
LARGEST_EVALUATION_SHARE = 0.9
CRON_FIELDS = 5

_AGREEMENT = re.compile(r"agreement:([1-9][0-9]?)")


class VerifiedBy(StrEnum):
    """What verifies an annotation."""

    SUBMITTED = "submitted"
    GROUND_TRUTH = "ground_truth"
    AGREEMENT = "agreement"


@dataclass(frozen=True, slots=True)
class VerificationRule:
    """A project's verification rule (rule 4); with agreement, `annotators` must submit the same spans."""

    by: VerifiedBy
    annotators: int = 1

    def __str__(self) -> str:
        return f"agreement:{self.annotators}" if self.by is VerifiedBy.AGREEMENT else self.by.value


def parse_verification_rule(value: str) -> VerificationRule:
    """Read `submitted`, `ground_truth` or `agreement:N` (N: 2 to 99). Raises InvalidInput for all else."""
    agreement = _AGREEMENT.fullmatch(value)
    if agreement and int(agreement[1]) > 1:
        return VerificationRule(VerifiedBy.AGREEMENT, int(agreement[1]))
    if value in (VerifiedBy.SUBMITTED, VerifiedBy.GROUND_TRUTH):
        return VerificationRule(VerifiedBy(value))
    raise InvalidInput(
        f"verification rule {value!r:.80} is not known; "
        "use submitted, ground_truth or agreement:N with N annotators, 2 to 99"
    )


class ProjectSettings(BaseModel):
    """What can be set for each project; stored as JSON with it. Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    retrain_after: int = Field(50, ge=1, description="Newly verified texts, of any part, after which a run starts.")
    min_samples: int = Field(20, ge=1, description="Verified texts below which no run starts.")
    quiet_seconds: float = Field(20, ge=0, description="Seconds without a change before a run starts by itself.")
    min_interval_seconds: float = Field(60, ge=0, description="Seconds between two runs that start by themselves.")
    schedule: str = Field(
        "",
        description="Cron line by which runs start beside the policy, as 0 2 * * 0; empty: none.",
        examples=["0 2 * * 0"],
    )
    time_zone: str = Field(
        "UTC", description="Time zone of the cron line, as Europe/Berlin.", examples=["Europe/Berlin"]
    )
    auto_promote: bool = Field(False, description="Whether a candidate that passes its gate goes live by itself.")
    verification_rule: str = Field(
        "submitted", description="What verifies an annotation: submitted, ground_truth or agreement:N."
    )
    test_fraction: float = Field(0.2, ge=0, lt=1, description="Share of new groups of texts that go to the test part.")
    dev_fraction: float = Field(0.15, ge=0, lt=1, description="Share of new groups of texts that go to the dev part.")
    min_test_texts: int = Field(20, ge=1, description="Test texts below which the gate's verdict is provisional.")
    gate_margin: float = Field(
        0.05, ge=0, le=1, description="How much F1 a candidate may lose at worst, from min_test_texts on."
    )
    gate_confidence: float = Field(
        0.8, ge=0.5, lt=1, description="How sure it must be that a candidate loses no more than gate_margin."
    )
    gate_min_gain: float = Field(
        0.0, ge=0, le=1, description="How much F1 a candidate must gain; 0: it need not be better."
    )
    gate_max_label_loss: float = Field(
        0.2, ge=0, le=1, description="How much F1 a candidate may lose of one label, where that is beyond chance."
    )
    gate_recall_floors: dict[str, float] = Field(
        {},
        description="Recall that a candidate must reach, by label, e.g. SSN:0.9,IBAN:0.8.",
        examples=[{"SSN": 0.9, "IBAN": 0.8}],
    )
    gate_min_label_support: int = Field(
        10, ge=1, description="Test spans of a label below which its recall floor and its loss are not looked at."
    )
    gate_needs_ab: bool = Field(
        False, description="Whether a version must pass an A/B or shadow test before it goes live without a reason."
    )
    ab_fraction: float = Field(
        0.3, gt=0, lt=1, description="Share of the tasks that a challenger serves, unless a test says otherwise."
    )
    ab_min_texts: int = Field(30, ge=2, description="Annotated texts that a test wants of each of its versions.")
    max_epochs: int = Field(30, ge=1, le=1000, description="Epochs after which training stops at the latest.")
    recipe: str = Field(
        "auto",
        pattern="^(auto|blank|warm|finetune|continue|transformer)$",
        description="How a model is trained: auto, blank, warm, finetune, continue or transformer.",
    )
    transformer: str = Field(
        "distilbert-base-multilingual-cased",
        max_length=500,
        description="Name or folder of the transformer that the recipe of that name trains on.",
    )
    rehearse: bool = Field(True, description="Whether a base model that is trained on keeps its other labels.")
    seed: int = Field(0, ge=0, lt=2**32, description="Seed of the split and of training.")
    honest_share: float = Field(
        0.2,
        ge=0,
        le=0.9,
        description="Share of the labelling queue that is drawn at random, for an unbiased test part; 0: none.",
    )
    rank_by_cost: bool = Field(
        False,
        description="Whether a text's length counts in the queue: expected gain per second of work, not per text.",
    )
    record_results: bool = Field(True, description="Whether what the REST API classifies is kept as results.")
    record_texts: bool = Field(True, description="Whether results keep their text; feedback on one then needs none.")

    @field_validator("verification_rule")
    @classmethod
    def _known_rule(cls, value: str) -> str:
        try:
            parse_verification_rule(value)
        except InvalidInput as error:
            raise ValueError(error.message) from error
        return value

    @field_validator("gate_recall_floors", mode="before")
    @classmethod
    def _read_floors(cls, value: Any) -> Any:
        return _parse_floors(value) if isinstance(value, str) else value

    @field_validator("gate_recall_floors")
    @classmethod
    def _possible_floors(cls, value: dict[str, float]) -> dict[str, float]:
        for label, floor in value.items():
            if not 0 <= floor <= 1:
                raise ValueError(f"the floor of {label!r:.80} is {floor:g}; give 0 to 1")
        return value

    @field_validator("*")
    @classmethod
    def _storable(cls, value: Any) -> Any:
        texts = (value,) if isinstance(value, str) else value if isinstance(value, dict) else ()
        for text in texts:
            if fault := find_text_fault(text):
                raise ValueError(fault)
        return value

    @field_validator("schedule")
    @classmethod
    def _known_schedule(cls, value: str) -> str:
        line = " ".join(value.split())
        if line and (len(line.split(" ")) != CRON_FIELDS or not croniter.is_valid(line)):
            raise ValueError(
                f"{value!r:.80} is no cron line; give minute, hour, day of month, month and day of week, as 0 2 * * 0 "
                "for Sundays at two"
            )
        return line

    @field_validator("time_zone")
    @classmethod
    def _known_time_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ValueError, OSError, KeyError) as error:
            raise ValueError(f"{value!r:.80} is no time zone; give one as Europe/Berlin, or UTC") from error
        return value

    @model_validator(mode="after")
    def _leave_texts_to_train_on(self) -> ProjectSettings:
        share = self.test_fraction + self.dev_fraction
        if share >= LARGEST_EVALUATION_SHARE:
            raise ValueError(
                f"test_fraction {self.test_fraction:g} and dev_fraction {self.dev_fraction:g} leave too "
                f"little to train on; together they must stay below {LARGEST_EVALUATION_SHARE:g}"
            )
        return self

    @property
    def rule(self) -> VerificationRule:
        """The verification rule, parsed."""
        return parse_verification_rule(self.verification_rule)

    def with_changes(self, **changes: Any) -> ProjectSettings:
        """These settings with some of them changed, checked as a whole. Raises InvalidInput."""
        return parse_settings({**self.to_json(), **changes})

    def to_json(self) -> dict[str, Any]:
        """The settings as stored."""
        return self.model_dump(mode="json")


def _parse_floors(value: str) -> dict[str, float]:
    """`LABEL:RECALL,LABEL:RECALL`, as the command line gives it. Raises ValueError."""
    floors: dict[str, float] = {}
    for part in filter(None, (piece.strip() for piece in value.split(","))):
        label, _, floor = part.rpartition(":")
        try:
            floors[label.strip()] = float(floor)
        except ValueError as error:
            raise ValueError(f"{part!r:.80} is no floor; write LABEL:RECALL, e.g. SSN:0.9") from error
        if not label.strip():
            raise ValueError(f"{part!r:.80} names no label; write LABEL:RECALL, e.g. SSN:0.9")
    return floors


def parse_settings(values: Mapping[str, Any]) -> ProjectSettings:
    """A project's settings from stored or given values; what is missing takes its default.

    Raises InvalidInput that names each setting which is unknown or out of range.
    """
    try:
        return ProjectSettings.model_validate(dict(values))
    except ValidationError as error:
        wrong = [_describe(problem) for problem in error.errors(include_url=False)]
        known = ", ".join(ProjectSettings.model_fields)
        raise InvalidInput(f"project settings cannot be used: {'; '.join(wrong)} (known: {known})") from error


def _describe(problem: Any) -> str:
    name = ".".join(map(str, problem["loc"]))
    message = str(problem["msg"]).removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        return f"{name}: there is no such setting"
    if problem["type"] == "value_error":
        return f"{name}: {message}" if name else message
    return f"{name}: {message}, got {problem['input']!r:.80}"


def next_scheduled(settings: ProjectSettings, now: datetime) -> datetime | None:
    """The next time of the cron line after now, in UTC; None where there is no line, or it never comes."""
    if not settings.schedule:
        return None
    try:
        found: datetime = croniter(settings.schedule, now.astimezone(ZoneInfo(settings.time_zone))).get_next(datetime)
    except CroniterBadDateError:
        return None
    return found.astimezone(UTC)


def schedule_name(settings: ProjectSettings) -> str:
    """What the cron line is called in the store's due times; another line, or time zone, is another name."""
    return f"cron {hash_text(f'{settings.schedule} {settings.time_zone}')[:32]}"


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a run starts now, and why or why not, as a sentence for a team lead."""

    train: bool
    reason: str


def should_train(
    settings: ProjectSettings,
    *,
    newly_verified: int,
    verified: int,
    seconds_since_last_change: float,
    seconds_since_last_run: float | None,
    failures_in_a_row: int,
) -> Decision:
    """Decide by the retraining policy whether a run starts by itself.

    `newly_verified` counts the verified texts of all parts that no registered model has taken in; `verified`
    all of them; `seconds_since_last_run` is counted from the end of the last run, None where there was none.
    """
    if verified < settings.min_samples:
        return Decision(False, f"{verified} verified texts, a run needs {settings.min_samples}")
    if newly_verified < settings.retrain_after:
        return Decision(False, f"{newly_verified} newly verified texts, a run starts at {settings.retrain_after}")
    if seconds_since_last_change < settings.quiet_seconds:
        return Decision(
            False,
            f"somebody is annotating: the last change is {seconds_since_last_change:.0f} s old, "
            f"a run waits for {settings.quiet_seconds:g} s of quiet",
        )
    pause = pause_before_run(settings, failures_in_a_row=failures_in_a_row)
    if seconds_since_last_run is not None and seconds_since_last_run < pause:
        after = f" after {failures_in_a_row} failed in a row" if failures_in_a_row > 0 else ""
        return Decision(
            False,
            f"the last run ended {seconds_since_last_run:.0f} s ago, the next waits for {pause:g} s{after}",
        )
    return Decision(True, f"{newly_verified} newly verified texts, {verified} in all")


def pause_before_run(settings: ProjectSettings, *, failures_in_a_row: int) -> float:
    """Seconds between the last run and the next: the minimum interval, doubled for each failure in a row.

    After a failure it is at least 10 s and, the minimum interval aside, at most 6 h.
    """
    if failures_in_a_row <= 0:
        return settings.min_interval_seconds
    doubled = max(settings.min_interval_seconds, SMALLEST_BACK_OFF_SECONDS) * 2.0 ** min(failures_in_a_row, 30)
    return max(settings.min_interval_seconds, min(doubled, LARGEST_BACK_OFF_SECONDS))
