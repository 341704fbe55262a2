"""The REST API as a whole: its resources under one path, and what its OpenAPI document says of it."""

from __future__ import annotations

import time
from importlib.metadata import version

from fastapi import APIRouter, FastAPI, Security

from ml_backend.api import (
    ab,
    classify,
    docs_page,
    exports,
    feedback,
    feedback_stats,
    imports,
    model_figures,
    models,
    projects,
    quality,
    runs,
    stats,
    training_data,
)
from ml_backend.api.guard import bearer_scheme
from ml_backend.bootstrap import Services
from ml_backend.rate_limit import open_limiter

PREFIX = "/api/discovery/ml"
TITLE = "spanloop"
DESCRIPTION = (
    "Entity spans, found by a model that learns from what people correct.\n\n"
    "Offsets count characters (Unicode code points) from 0, `end` is exclusive, times are UTC, scores go from 0 to 1. "
    'Every error has the shape `{"error": {"code", "message", "details", "request_id"}}`; unknown fields are '
    "refused. A token made by `spanloop tokens create` goes into the header `Authorization: Bearer TOKEN`; the headers "
    "`RateLimit-*` of each answer tell what is left of its requests a minute."
)
# In the order of the page.
RESOURCES = (
    classify,
    stats,
    feedback,
    feedback_stats,
    training_data,
    imports,
    exports,
    ab,
    models,
    model_figures,
    runs,
    projects,
    quality,
)


def include_api(app: FastAPI, services: Services) -> None:
    """Give the application the REST API and its page; sets what its routes look for in `app.state`."""
    settings = services.settings
    app.title, app.version, app.description = TITLE, version("spanloop"), DESCRIPTION
    app.state.limiter = open_limiter(settings.redis_url, processes=settings.web_workers)
    app.state.started_at = time.monotonic()
    api = APIRouter(prefix=PREFIX, dependencies=[Security(bearer_scheme)])
    for resource in RESOURCES:
        api.include_router(resource.routes)
    app.include_router(api)
    app.include_router(docs_page.routes)
