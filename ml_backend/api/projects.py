"""Projects: listed, shown with their figures, and their settings changed."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ml_backend.api.bells import ring_later
from ml_backend.api.envelope import CHANGE_ERRORS, responses
from ml_backend.api.fields import EXAMPLE_TIME, EXAMPLE_VERSION, QueryNumber, RequestBody
from ml_backend.api.guard import GuardedRoute, ServicesDep, allow
from ml_backend.api.label_studio import LABEL_STUDIO_ERRORS, label_studio_of
from ml_backend.api.paging import Page, PageQuery, cut, links
from ml_backend.projects import change_settings
from training.access import Act
from training.entities import read_taxonomy
from training.policy import ProjectSettings, parse_settings
from training.store.tables.projects import Project as ProjectRow
from training.store.unit_of_work import UnitOfWork

routes = APIRouter(route_class=GuardedRoute, tags=["projects"])
ProjectId = Annotated[QueryNumber, Path(description="Id of the project.", examples=[1])]


class Label(BaseModel):
    """A label of a project."""

    label: str = Field(description="Group of the label.", examples=["PII"])
    sublabel: str = Field(description="Leaf of the label.", examples=["SSN"])
    aliases: list[str] = Field(description="Other names that it is matched by.", examples=[["US_SSN"]])
    description: str = Field(description="What it is.", examples=["US social security number"])


class Counts(BaseModel):
    """What a project holds."""

    tasks: int = Field(description="Tasks in Label Studio.", examples=[1000])
    finished_tasks: int = Field(description="Those that are labelled.", examples=[300])
    verified: int = Field(description="Verified training examples.", examples=[300])
    unverified: int = Field(description="Training examples that wait for an annotator.", examples=[12])
    newly_verified: int = Field(description="Verified ones that no run has taken in yet.", examples=[30])
    train: int = Field(description="Verified ones of the train part.", examples=[200])
    dev: int = Field(description="Verified ones that steer training and join its last passes.", examples=[40])
    test: int = Field(description="Verified ones that judge models.", examples=[60])
    set_aside: int = Field(
        description="Verified ones that stand aside, since they are too like texts of two parts.", examples=[0]
    )


class Project(BaseModel):
    """A project in Label Studio, and how its loop is set."""

    id: int = Field(description="Id of the project, the same as in Label Studio.", examples=[1])
    title: str = Field(description="Its title.", examples=["Support mails"])
    language: str = Field(description="Its texts' language, as ISO 639 code.", examples=["en"])
    base_model: str = Field(description="The base model of version 0.", examples=["en_core_web_sm"])
    live_version: str | None = Field(
        description="The live version; null where there is none.", examples=[EXAMPLE_VERSION]
    )
    created_at: datetime = Field(description="When it was taken in, in UTC.", examples=[EXAMPLE_TIME])


class ProjectDetails(Project):
    """A project with its labels, its settings and its figures."""

    labels: list[Label] = Field(description="Its labels, in the order that annotators see.")
    settings: ProjectSettings = Field(description="Its settings; docs/settings.md describes them.")
    counts: Counts = Field(description="What it holds.")


class ProjectPage(Page):
    """A page of the projects, by id."""

    results: list[Project] = Field(description="The projects of this page.")


class SettingsChanges(ProjectSettings):
    """Settings to change; those left out stay. Strict, where stored ones are read leniently."""

    model_config = ConfigDict(strict=True)

    @model_validator(mode="after")
    def _leave_texts_to_train_on(self) -> SettingsChanges:
        # Checked on all settings together, once the changes have been taken over.
        return self


class SettingsRequest(RequestBody):
    """What to change of a project."""

    settings: SettingsChanges = Field(
        description="Settings to change; docs/settings.md describes them.", examples=[{"retrain_after": 100}]
    )


@routes.get("/projects/", responses=responses())
@allow(Act.READ_FIGURES)
def list_projects(request: Request, services: ServicesDep, query: Annotated[PageQuery, Query()]) -> ProjectPage:
    """The projects, by id."""
    with services.store.read() as uow:
        projects = uow.projects.all()
        found = [_show(uow, project) for project in cut(projects, query)]
    return ProjectPage(**links(request, query, count=len(projects)), results=found)


@routes.get("/projects/{project_id}/", responses=responses())
@allow(Act.READ_FIGURES)
def show_project(project_id: ProjectId, services: ServicesDep) -> ProjectDetails:
    """A project with its labels, its settings and its figures."""
    with services.store.read() as uow:
        return _details(uow, uow.projects.get(project_id))


@routes.patch("/projects/{project_id}/", responses=responses(*CHANGE_ERRORS, *LABEL_STUDIO_ERRORS))
@allow(Act.ADMINISTER)
def change_project(
    project_id: ProjectId, body: SettingsRequest, services: ServicesDep, later: BackgroundTasks
) -> ProjectDetails:
    """Change settings of a project.

    A changed verification rule settles every annotated text anew, and how many annotators Label Studio gives a task.
    """
    changes = body.settings.model_dump(exclude_unset=True)
    change_settings(services.store, project_id, changes, label_studio=lambda: label_studio_of(services))
    later.add_task(ring_later, services, "tick")
    with services.store.read() as uow:
        return _details(uow, uow.projects.get(project_id))


def _show(uow: UnitOfWork, project: ProjectRow) -> Project:
    live = uow.models.live(project.id)
    return Project(
        id=project.id,
        title=project.title,
        language=project.language,
        base_model=project.base_model,
        live_version=live.version if live else None,
        created_at=project.created_at,
    )


def _details(uow: UnitOfWork, project: ProjectRow) -> ProjectDetails:
    total, finished = uow.texts.count_tasks(project.id)
    counts = uow.examples.count(project.id)
    return ProjectDetails(
        **_show(uow, project).model_dump(),
        labels=[
            Label(label=one.group, sublabel=one.name, aliases=list(one.aliases), description=one.description)
            for one in read_taxonomy(project.taxonomy).labels
        ],
        settings=parse_settings(project.settings),
        counts=Counts(
            tasks=total,
            finished_tasks=finished,
            verified=counts.verified,
            unverified=counts.unverified,
            newly_verified=counts.newly_verified,
            train=counts.train,
            dev=counts.dev,
            test=counts.test,
            set_aside=counts.set_aside,
        ),
    )
