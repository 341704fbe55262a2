"""What every route of the REST API goes through: token, rate limit, role, and a body that is bounded and strict JSON.

All of it happens before FastAPI reads the body: what is not let in costs nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from pydantic import BaseModel
from starlette.responses import Response

from config.errors import TooManyRequests, Unauthorized
from config.log import get_logger
from ml_backend.api.body import CheckedRequest
from ml_backend.bootstrap import Services, utc_now
from ml_backend.model_slot import ModelSlots
from ml_backend.rate_limit import RateLimiter
from training.access import Act, check_allowed, roles_for
from training.admission import Caller, admit

log = get_logger(__name__)
Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])
Handler = Callable[[Request], Coroutine[Any, Any, Response]]
_ACT = "spanloop_act"

# Only declares the scheme in the OpenAPI document; `admit` does the work.
bearer_scheme = HTTPBearer(auto_error=False, description="A token of `spanloop tokens create`.")


def allow(act: Act) -> Callable[[Endpoint], Endpoint]:
    """Declare what an endpoint does, and thereby whom it lets in; a guarded route without it does not start."""

    def declare(endpoint: Endpoint) -> Endpoint:
        setattr(endpoint, _ACT, act)
        roles = ", ".join(roles_for(act))
        endpoint.__doc__ = f"{(endpoint.__doc__ or '').rstrip()}\n\n    Roles: {roles}.\n    "
        return endpoint

    return declare


class GuardedRoute(APIRoute):
    """A route of the REST API."""

    def get_route_handler(self) -> Handler:
        """The handler, behind the guard."""
        handle = super().get_route_handler()
        act: Act = getattr(self.endpoint, _ACT)
        takes_body = self.body_field is not None
        parameters = _names_of(self)

        async def guarded(request: Request) -> Response:
            await run_in_threadpool(_let_in, request, act)
            _check_parameters(request, parameters)
            checked = CheckedRequest(request.scope, request.receive)
            if takes_body:
                caller: Caller = request.state.caller
                await checked.load(caller.body_bytes or services_of(request).settings.api_body_bytes)
            response = await handle(checked)
            response.headers.update(request.state.rate_headers)
            return response

        return guarded


def _names_of(route: APIRoute) -> frozenset[str]:
    """The query parameters that a route takes."""
    names: set[str] = set()
    for field in route.dependant.query_params:
        annotation = field.field_info.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            names |= set(annotation.model_fields)
        else:
            names.add(field.alias)
    return frozenset(names)


def _check_parameters(request: Request, known: frozenset[str]) -> None:
    counts = Counter(name for name, _ in request.query_params.multi_items())
    choices = f"; known are {', '.join(sorted(known))}" if known else ""
    faults = {name: "stands there more than once" for name, count in counts.items() if count > 1}
    faults |= {name: f"there is no such parameter{choices}" for name in counts if name not in known}
    if faults:
        raise RequestValidationError(
            [{"type": "value_error", "loc": ("query", name), "msg": faults[name]} for name in sorted(faults)]
        )


def _let_in(request: Request, act: Act) -> None:
    services = services_of(request)
    caller = admit(services.store, _read_token(request), now=utc_now())
    limit = caller.requests_per_minute or services.settings.api_requests_per_minute
    limiter: RateLimiter = request.app.state.limiter
    allowance = limiter.take(caller.token_id, limit)
    request.state.rate_headers = allowance.to_headers()
    if not allowance.allowed:
        log.warning("rate_limited", token_name=caller.name, limit=limit)
        raise TooManyRequests(
            f"token {caller.name} may make {limit} requests a minute; try again in {allowance.retry_after} s",
            retry_after=allowance.retry_after,
        )
    check_allowed(caller.role, act)
    request.state.caller = caller


def _read_token(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthorized(
            "this call needs the header `Authorization: Bearer TOKEN`; `spanloop tokens create` makes a token"
        )
    return token.strip()


async def caller_of(request: Request) -> Caller:
    """Who makes the request."""
    caller: Caller = request.state.caller
    return caller


def services_of(request: Request) -> Services:
    """This process's services."""
    services: Services = request.app.state.services
    return services


async def _services(request: Request) -> Services:
    return services_of(request)


async def _slots(request: Request) -> ModelSlots:
    slots: ModelSlots = request.app.state.slots
    return slots


CallerDep = Annotated[Caller, Depends(caller_of)]
ServicesDep = Annotated[Services, Depends(_services)]
SlotsDep = Annotated[ModelSlots, Depends(_slots)]
