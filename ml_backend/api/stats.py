"""Statistics of classification: how much, by which version, which labels, and how fast."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from ml_backend.api.envelope import responses
from ml_backend.api.fields import EXAMPLE_ID, EXAMPLE_VERSION, ProjectQuery
from ml_backend.api.guard import GuardedRoute, ServicesDep, allow
from training.access import Act
from training.classification import UsageFigures, read_usage
from training.entities import read_taxonomy
from training.policy import parse_settings

routes = APIRouter(route_class=GuardedRoute, tags=["classification"])


class LatencyFigures(BaseModel):
    """How long a text took, in milliseconds; a text of a batch counts with its share. Off by 1 % at most."""

    median: float | None = Field(description="Half of the texts took no longer; null without any.", examples=[3.8])
    p95: float | None = Field(description="95 of 100 texts took no longer; null without any.", examples=[9.1])
    p99: float | None = Field(description="99 of 100 texts took no longer; null without any.", examples=[14.0])


class VersionUse(BaseModel):
    """How much a version classified."""

    model_version: str = Field(description="The version.", examples=[EXAMPLE_VERSION])
    texts: int = Field(description="Texts that it classified.", examples=[1200])
    entities: int = Field(description="Entities that it found in them.", examples=[3400])


class LabelUse(BaseModel):
    """How often a label was found."""

    label: str = Field(description="Group of the label.", examples=["PII"])
    sublabel: str = Field(description="Leaf of the label.", examples=["SSN"])
    entities: int = Field(description="Entities of this label.", examples=[310])


class LiveModel(BaseModel):
    """The version that classifies now."""

    id: str = Field(description="Id of the version.", examples=[EXAMPLE_ID])
    version: str = Field(description="The version.", examples=[EXAMPLE_VERSION])
    f1_score: float | None = Field(
        description="F1 on the test texts when it was trained, 0 to 1; null for version 0.", examples=[0.93]
    )


class EngineStatistics(BaseModel):
    """What was classified over the REST API, and how fast."""

    project: int = Field(description="Id of the project.", examples=[1])
    total_classifications: int = Field(description="Texts classified.", examples=[1200])
    total_entities: int = Field(description="Entities found in them.", examples=[3400])
    by_model: list[VersionUse] = Field(description="The same by version, newest first.")
    by_label: list[LabelUse] = Field(description="Entities by label, most frequent first.")
    latency_ms: LatencyFigures = Field(description="How long a text took.")
    model: LiveModel | None = Field(description="The live version; null where the project has none.")
    uptime_seconds: float = Field(
        description="Seconds since the web process that answers was started.", examples=[86400.0]
    )
    record_results: bool = Field(description="Whether what is classified is kept as results.", examples=[True])
    record_texts: bool = Field(description="Whether results keep their text.", examples=[True])


@routes.get("/stats/", responses=responses())
@allow(Act.READ_FIGURES)
def statistics(
    request: Request, services: ServicesDep, project: Annotated[ProjectQuery, Query()] = None
) -> EngineStatistics:
    """What was classified over the REST API, counted since the project was made, and how fast."""
    with services.store.read() as uow:
        chosen = uow.projects.choose(project)
        live = uow.models.live(chosen.id)
        usage = read_usage(uow, chosen.id)
    settings = parse_settings(chosen.settings)
    taxonomy = read_taxonomy(chosen.taxonomy)
    return EngineStatistics(
        project=chosen.id,
        total_classifications=sum(texts for _, texts, _ in usage.versions),
        total_entities=sum(entities for _, _, entities in usage.versions),
        by_model=[
            VersionUse(model_version=version, texts=texts, entities=entities)
            for version, texts, entities in usage.versions
        ],
        by_label=[
            LabelUse(label=taxonomy.group_of(leaf), sublabel=leaf, entities=entities) for leaf, entities in usage.labels
        ],
        latency_ms=_show_latency(usage),
        model=LiveModel(id=live.id, version=live.version, f1_score=live.f1_score) if live else None,
        uptime_seconds=round(time.monotonic() - request.app.state.started_at, 3),
        record_results=settings.record_results,
        record_texts=settings.record_texts,
    )


def _show_latency(usage: UsageFigures) -> LatencyFigures:
    return LatencyFigures(median=usage.latency(0.5), p95=usage.latency(0.95), p99=usage.latency(0.99))
