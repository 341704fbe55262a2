"""The web application: its routes, its errors, its start and its end."""

from __future__ import annotations

import gc
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from config.log import set_up_logging
from config.settings import load_settings
from ml_backend import protocol
from ml_backend.api.envelope import add_error_handlers
from ml_backend.api.request_id import NameRequests
from ml_backend.api.routes import include_api
from ml_backend.bootstrap import Services
from ml_backend.model_slot import ModelSlots

# Who waits for a database or a socket comes up as soon as it answers, also while a pipeline is at work beside it.
SWITCH_SECONDS = 0.0005


def create_app(services: Services | None = None) -> FastAPI:
    """The application, ready for uvicorn (`uvicorn --factory ml_backend.app:create_app`)."""
    if services is None:
        settings = load_settings()
        set_up_logging(level=settings.log_level, as_json=settings.log_json)
        services = Services(settings)
    app = FastAPI(title="spanloop", lifespan=_run_slots, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.services = services
    app.state.slots = ModelSlots(services.store, services.artefacts, poll_seconds=services.settings.slot_poll_seconds)
    app.add_middleware(NameRequests)
    add_error_handlers(app)
    app.include_router(protocol.open_routes, include_in_schema=False)
    app.include_router(protocol.routes, include_in_schema=False)
    include_api(app, services)
    return app


@asynccontextmanager
async def _run_slots(app: FastAPI) -> AsyncIterator[None]:
    sys.setswitchinterval(SWITCH_SECONDS)
    app.state.slots.start()
    # What stands from the start on need not be looked at again: a full collection took a tenth of a second.
    gc.collect()
    gc.freeze()
    yield
    app.state.slots.stop()
