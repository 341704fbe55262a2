"""The one shape of every error: {"error": {"code", "message", "details", "request_id"}}."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match

from config.errors import (
    Conflict,
    Forbidden,
    InvalidInput,
    MalformedBody,
    MethodNotAllowed,
    NotFound,
    PayloadTooLarge,
    SpanloopError,
    StoreUnavailable,
    TooManyRequests,
    Unauthorized,
    UnsupportedMediaType,
)
from config.log import get_logger
from ml_backend.api.request_id import HEADER
from training.store.database import StoreFault
from training.store.migrate import explain_fault

log = get_logger(__name__)
API_PATH = "/api/"
METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
_HTTP_CODES = {404: NotFound.code, 405: MethodNotAllowed.code}
_PLAINER = {"extra_forbidden": "there is no such field", "missing": "is missing"}


class ErrorDetail(BaseModel):
    """What is wrong with one value."""

    path: str = Field(
        description="Where the value stands: names and list positions joined by dots, `query.` or `path.` before "
        "those that stand in the address.",
        examples=["entities.0.start"],
    )
    message: str = Field(description="What is wrong with it.", examples=["Input should be greater than or equal to 0"])


class ErrorBody(BaseModel):
    """What went wrong, and the way out."""

    code: str = Field(
        description="Stays the same between versions; docs/errors.md lists the codes.", examples=["invalid_input"]
    )
    message: str = Field(
        description="What went wrong, for a person; may change.", examples=["entities.0.start: is missing"]
    )
    details: list[ErrorDetail] = Field(description="Every value that is wrong; empty where the request as a whole is.")
    request_id: str = Field(
        description="Names this request in the log; also in the header X-Request-ID.",
        examples=["0f8f6a1c9e9b4a51a6c0f7a2d6b3c1e4"],
    )


class ErrorEnvelope(BaseModel):
    """The body of every answer with a status of 400 or more."""

    error: ErrorBody = Field(description="The error.")


def responses(*errors: type[SpanloopError]) -> dict[int | str, dict[str, Any]]:
    """The errors that any route may answer, and these, for the OpenAPI document."""
    always: tuple[type[SpanloopError], ...] = (Unauthorized, Forbidden, TooManyRequests, InvalidInput, NotFound)
    found: dict[int, list[str]] = {}
    for error in (*always, *errors):
        found.setdefault(error.http_status, []).append(error.__doc__ or "")
    return {
        status: {"model": ErrorEnvelope, "description": " ".join(dict.fromkeys(texts))}
        for status, texts in found.items()
    }


BODY_ERRORS = (MalformedBody, PayloadTooLarge, UnsupportedMediaType)
CHANGE_ERRORS = (*BODY_ERRORS, Conflict)


def add_error_handlers(app: FastAPI) -> None:
    """Let every error of the application leave in the envelope."""
    app.add_exception_handler(SpanloopError, _answer_known)
    app.add_exception_handler(RequestValidationError, _answer_invalid)
    app.add_exception_handler(HTTPException, _answer_http)
    app.add_exception_handler(StoreFault, _answer_fault)
    app.add_exception_handler(Exception, _answer_unknown)


def _answer(
    request: Request,
    status: int,
    code: str,
    message: str,
    *,
    details: Sequence[Mapping[str, str]] = (),
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    body = {
        "code": code,
        "message": _writable(message),
        "details": [{"path": _writable(one["path"]), "message": _writable(one["message"])} for one in details],
        "request_id": getattr(request.state, "request_id", ""),
    }
    of_rate = getattr(request.state, "rate_headers", {})
    return JSONResponse({"error": body}, status_code=status, headers={**of_rate, **(headers or {})})


def _writable(text: str) -> str:
    # What was sent may hold half a surrogate pair, which no answer could be encoded with.
    return text.encode("utf-8", "backslashreplace").decode()


def _answer_known(request: Request, error: Exception) -> Response:
    assert isinstance(error, SpanloopError)
    if error.http_status >= 500:
        log.error("request_failed", path=request.url.path, code=error.code, reason=error.message)
    return _answer(
        request,
        error.http_status,
        error.code,
        error.message,
        details=error.details.get("problems", ()),
        headers=_headers_of(request, error),
    )


def _headers_of(request: Request, error: SpanloopError) -> dict[str, str]:
    if isinstance(error, Unauthorized):
        scheme = "Bearer" if request.url.path.startswith(API_PATH) else "Basic"
        return {"WWW-Authenticate": f'{scheme} realm="spanloop"'}
    if isinstance(error, TooManyRequests):
        return {"Retry-After": str(error.details.get("retry_after", 1))}
    return {}


def _answer_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    details = [{"path": _path_of(problem["loc"]), "message": _plain(problem)} for problem in error.errors()]
    more = f" (and {len(details) - 1} more)" if len(details) > 1 else ""
    first = details[0] if details else {"path": "body", "message": "cannot be used"}
    message = f"{first['path']}: {first['message']}{more}"
    return _answer(request, InvalidInput.http_status, InvalidInput.code, message, details=details)


def _path_of(place: Iterable[str | int]) -> str:
    steps = [str(step) for step in place]
    if len(steps) > 1 and steps[0] == "body":
        steps = steps[1:]
    return ".".join(steps)


def _plain(problem: Mapping[str, Any]) -> str:
    kind, context = problem["type"], problem.get("ctx", {})
    if kind == "too_long" and isinstance(problem.get("input"), str):
        # Pydantic speaks of items where a check of our own stands before the length's.
        return f"holds {context['actual_length']} characters, at most {context['max_length']} are allowed"
    return _PLAINER.get(kind) or str(problem["msg"]).removeprefix("Value error, ")


def _answer_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = _HTTP_CODES.get(error.status_code, InvalidInput.code)
    if error.status_code == 404:
        return _answer(request, 404, code, f"there is no page at {request.url.path}; /api/docs/ lists the routes")
    if error.status_code == 405:
        allowed = ", ".join(_methods_at(request))
        message = f"{request.method} is not allowed here; allowed: {allowed}"
        return _answer(request, 405, code, message, headers={"Allow": allowed})
    return _answer(request, error.status_code, code, str(error.detail), headers=error.headers)


def _methods_at(request: Request) -> list[str]:
    """The methods that some route takes at the request's path."""
    return [
        method
        for method in METHODS
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in request.app.routes)
    ]


def _answer_fault(request: Request, error: Exception) -> Response:
    told = explain_fault(request.app.state.services.store.engine)
    if told is None:
        return _answer_unknown(request, error)
    return _answer_known(request, StoreUnavailable(told))


def _answer_unknown(request: Request, error: Exception) -> Response:
    log.error("request_crashed", path=request.url.path, error=type(error).__name__, exc_info=error)
    message = "something went wrong here; the log has it under this request_id"
    # A crash is answered outside the middleware that would add the id. The server closes such a connection: a client
    # that is not told would send its next request into it, and lose that one.
    headers = {HEADER: getattr(request.state, "request_id", ""), "Connection": "close"}
    return _answer(request, SpanloopError.http_status, SpanloopError.code, message, headers=headers)
