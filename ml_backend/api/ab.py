"""Tests of a challenger against the live version: begun, shown and ended."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, BackgroundTasks, Query
from pydantic import BaseModel, Field

from ml_backend.api.bells import ring_later
from ml_backend.api.envelope import CHANGE_ERRORS, responses
from ml_backend.api.fields import (
    EXAMPLE_ID,
    EXAMPLE_TIME,
    EXAMPLE_VERSION,
    ProjectField,
    ProjectQuery,
    QueryName,
    RequestBody,
    Storable,
)
from ml_backend.api.guard import CallerDep, GuardedRoute, ServicesDep, allow
from ml_backend.bootstrap import utc_now
from training.access import Act
from training.policy import parse_settings
from training.store.tables.ab_tests import ChallengeMode
from training.versions.ab_testing import ChallengeState, read_state, start_test, stop_test

routes = APIRouter(route_class=GuardedRoute, tags=["models"])
Mode = Literal["ab", "shadow"]


class ArmFigures(BaseModel):
    """How a version's pre-labels fared with annotators."""

    version: str = Field(description="Name of the version.", examples=[EXAMPLE_VERSION])
    texts: int = Field(description="Texts that were annotated from its spans.", examples=[60])
    answers: int = Field(description="Annotations of them.", examples=[61])
    accepted: int = Field(description="Those that left its spans as they were.", examples=[40])
    acceptance_rate: float | None = Field(description="Their share, 0 to 1; null without any.", examples=[0.66])
    edits_per_text: float | None = Field(
        description="Spans added, removed or changed, for an annotation; null without any.", examples=[0.5]
    )
    precision: float = Field(description="Share of its spans that were submitted, 0 to 1.", examples=[0.9])
    recall: float = Field(description="Share of the submitted spans that it had, 0 to 1.", examples=[0.85])
    f1: float = Field(description="Harmonic mean of both, 0 to 1.", examples=[0.87])


class Contrast(BaseModel):
    """The challenger's figure less the live version's."""

    difference: float = Field(description="The difference.", examples=[0.05])
    p_value: float = Field(
        description="How often chance alone gives as much (permutation test by text), 0 to 1.", examples=[0.03]
    )


class AbTest(BaseModel):
    """A test of a challenger against the live version."""

    id: str = Field(description="Id of the test.", examples=[EXAMPLE_ID])
    project: int = Field(description="Id of the project.", examples=[1])
    mode: Mode = Field(description="ab: the challenger serves tasks; shadow: it predicts unseen.", examples=["ab"])
    fraction: float = Field(description="Share of the tasks that the challenger serves.", examples=[0.3])
    promote: bool = Field(
        description="Whether the challenger goes live by itself once it has passed.", examples=[False]
    )
    running: bool = Field(description="Whether the test is on.", examples=[True])
    started_at: datetime = Field(description="When it began, in UTC.", examples=[EXAMPLE_TIME])
    started_by: str = Field(description="By whom or what.", examples=["api:ops"])
    stopped_at: datetime | None = Field(description="When it ended, in UTC; null before.", examples=[EXAMPLE_TIME])
    stopped_by: str | None = Field(description="By whom or what; null before.", examples=["api:ops"])
    reason: str = Field(description="Why it ended.", examples=["enough seen"])
    basis: Literal["honest", "all"] = Field(
        description="honest: only texts of the honest slice are compared; all: every text.", examples=["all"]
    )
    wanted_texts: int = Field(description="Texts that each version wants.", examples=[30])
    live: ArmFigures = Field(description="The live version.")
    challenger: ArmFigures = Field(description="The challenger.")
    contrasts: dict[str, Contrast] = Field(
        description="acceptance_rate, edits_per_text and f1; empty without answers.",
        examples=[{"f1": {"difference": 0.05, "p_value": 0.03}}],
    )
    passed: bool = Field(
        description="Whether the challenger has enough texts and is not worse beyond chance.", examples=[False]
    )


class AbStatus(BaseModel):
    """The running test, or the last one."""

    test: AbTest | None = Field(description="The test; null where there was none.")


class StartRequest(RequestBody):
    """A challenger to test."""

    challenger: QueryName = Field(description="Its id, name or number.", examples=[EXAMPLE_VERSION])
    mode: Mode = Field("ab", description="ab: it serves tasks; shadow: it predicts unseen.", examples=["ab"])
    fraction: float | None = Field(
        None, gt=0, lt=1, description="Share of the tasks it serves; unset: the project's ab_fraction.", examples=[0.3]
    )
    promote: bool = Field(False, description="Whether it goes live by itself once it has passed.", examples=[False])
    project: ProjectField = None


class StopRequest(RequestBody):
    """A test to end."""

    reason: Annotated[Storable, Field(max_length=1_000)] = Field("", description="Why.", examples=["enough seen"])
    project: ProjectField = None


@routes.get("/models/ab/", responses=responses())
@allow(Act.READ_FIGURES)
def show_test(services: ServicesDep, project: Annotated[ProjectQuery, Query()] = None) -> AbStatus:
    """The project's running test, or the last one."""
    with services.store.read() as uow:
        chosen = uow.projects.choose(project)
        tests = uow.ab_tests.of_project(chosen.id)
        state = read_state(uow, tests[0]) if tests else None
    return AbStatus(test=None if state is None else _show(state))


@routes.post("/models/ab/", status_code=201, responses=responses(*CHANGE_ERRORS))
@allow(Act.ADMINISTER)
def start(body: StartRequest, caller: CallerDep, services: ServicesDep, later: BackgroundTasks) -> AbTest:
    """Put a challenger beside the live version; one test at a time in a project."""
    with services.store.write() as uow:
        project = uow.projects.choose(body.project)
        share = parse_settings(project.settings).ab_fraction if body.fraction is None else body.fraction
        challenger = uow.models.resolve(project.id, body.challenger)
        test = start_test(
            uow,
            project.id,
            challenger,
            mode=ChallengeMode(body.mode),
            fraction=share,
            by=f"api:{caller.name}",
            promote=body.promote,
            now=utc_now(),
        )
        state = read_state(uow, test)
        uow.commit()
    later.add_task(ring_later, services, "challenge", project.id)
    return _show(state)


@routes.post("/models/ab/stop/", responses=responses(*CHANGE_ERRORS))
@allow(Act.ADMINISTER)
def stop(body: StopRequest, caller: CallerDep, services: ServicesDep, later: BackgroundTasks) -> AbTest:
    """End the running test; the live version speaks for all tasks again."""
    with services.store.write() as uow:
        project = uow.projects.choose(body.project)
        test = stop_test(uow, project.id, by=f"api:{caller.name}", reason=body.reason, now=utc_now())
        state = read_state(uow, test)
        uow.commit()
    later.add_task(ring_later, services, "challenge", project.id)
    return _show(state)


def _show(state: ChallengeState) -> AbTest:
    test = state.test
    figures: dict[str, Any] = test.figures if test.figures is not None else state.compared.to_json()
    return AbTest.model_validate(
        {
            **{name: getattr(test, name) for name in AbTest.model_fields if hasattr(test, name)},
            "project": test.project_id,
            "running": test.stopped_at is None,
            "basis": figures["basis"],
            "wanted_texts": state.wanted_texts,
            "live": {"version": state.live.version, **figures["live"]},
            "challenger": {"version": state.challenger.version, **figures["challenger"]},
            "contrasts": figures["contrasts"],
            "passed": state.passed if test.stopped_at is None else bool(test.passed),
        }
    )
