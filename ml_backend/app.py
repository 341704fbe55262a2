"""The web application: its routes, its errors, its start and its end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import structlog
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.middleware.base import RequestResponseEndpoint
from starlette.responses import Response

from config.errors import SpanloopError, Unauthorized
from config.log import get_logger, set_up_logging
from config.settings import load_settings
from ml_backend import protocol
from ml_backend.bootstrap import Services
from ml_backend.model_slot import ModelSlots

log = get_logger(__name__)


def create_app(services: Services | None = None) -> FastAPI:
    """The application, ready for uvicorn (`uvicorn --factory ml_backend.app:create_app`)."""
    if services is None:
        settings = load_settings()
        set_up_logging(level=settings.log_level, as_json=settings.log_json)
        services = Services(settings)
    app = FastAPI(title="spanloop", lifespan=_run_slots, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.services = services
    app.state.slots = ModelSlots(services.store, services.artefacts, poll_seconds=services.settings.slot_poll_seconds)
    app.middleware("http")(_name_request)
    app.add_exception_handler(SpanloopError, _answer_known)
    app.add_exception_handler(HTTPException, _answer_http)
    app.add_exception_handler(Exception, _answer_unknown)
    app.include_router(protocol.open_routes)
    app.include_router(protocol.routes)
    return app


@asynccontextmanager
async def _run_slots(app: FastAPI) -> AsyncIterator[None]:
    app.state.slots.start()
    yield
    app.state.slots.stop()


async def _name_request(request: Request, call_next: RequestResponseEndpoint) -> Response:
    request.state.request_id = uuid4().hex
    with structlog.contextvars.bound_contextvars(request_id=request.state.request_id):
        response = await call_next(request)
    response.headers["X-Request-ID"] = request.state.request_id
    return response


def _envelope(request: Request, status: int, code: str, message: str) -> JSONResponse:
    request_id = getattr(request.state, "request_id", "")
    error: dict[str, Any] = {"code": code, "message": message, "details": [], "request_id": request_id}
    return JSONResponse({"error": error}, status_code=status)


def _answer_known(request: Request, error: Exception) -> Response:
    assert isinstance(error, SpanloopError)
    response = _envelope(request, error.http_status, error.code, error.message)
    if isinstance(error, Unauthorized):
        response.headers["WWW-Authenticate"] = 'Basic realm="spanloop"'
    if error.http_status >= 500:
        log.error("request_failed", path=request.url.path, code=error.code, reason=error.message)
    return response


def _answer_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "invalid_input")
    return _envelope(request, error.status_code, code, str(error.detail))


def _answer_unknown(request: Request, error: Exception) -> Response:
    log.error("request_crashed", path=request.url.path, error=type(error).__name__, exc_info=error)
    return _envelope(request, 500, "internal", "something went wrong here; the log has it under this request_id")
