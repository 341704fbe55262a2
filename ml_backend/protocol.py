"""Label Studio's ML backend protocol, for one project under /p/ID and, for backends connected by hand, at the root.

Contract: https://labelstud.io/guide/ml_create (health, setup, predict, versions, webhook).
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import secrets
import threading
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, BackgroundTasks, Depends, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import Field

from config.errors import InvalidInput, PayloadTooLarge, SpanloopError, Unauthorized
from config.log import get_logger
from ml_backend import projects
from ml_backend.bootstrap import Services, utc_now
from ml_backend.model import SpanloopModel
from ml_backend.model_slot import ModelSlots
from ml_backend.queues import QueueName
from sync.labelling import parse_config
from sync.receive import receive
from sync.records import LARGEST_ID, is_id
from training.versions.ab_testing import speaker_of
from training.versions.arms import Arm

log = get_logger(__name__)
ProjectId = Annotated[int, Field(ge=0, le=LARGEST_ID)]
_ID = re.compile("[0-9]{1,18}")
_ringing = threading.Lock()


async def check_credential(request: Request) -> None:
    """Let in who carries our basic credential. Raises Unauthorized; the log says who was refused, never the secret."""
    settings = request.app.state.services.settings
    given = request.headers.get("authorization", "")
    wanted = (settings.backend_user, settings.backend_password.get_secret_value())
    if wanted[1] and _matches(given, wanted):
        return
    reason = "a wrong credential" if given else "no credential"
    log.warning(
        "credential_refused",
        path=request.url.path,
        reason=reason,
        remedy="run `spanloop project adopt ID`, which gives the project's webhook and backend theirs",
    )
    raise Unauthorized(f"this call carries {reason}; Label Studio gets the right one by `spanloop project adopt ID`")


def _matches(header: str, wanted: tuple[str, str]) -> bool:
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return False
    try:
        user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return False
    same_user = secrets.compare_digest(user.encode(), wanted[0].encode())
    return secrets.compare_digest(password.encode(), wanted[1].encode()) and same_user


async def read_body(request: Request) -> bytes:
    """The request's body. Raises PayloadTooLarge as soon as it passes the limit."""
    limit: int = request.app.state.services.settings.max_event_bytes
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise PayloadTooLarge(f"the body is over {limit} bytes; SPANLOOP_MAX_EVENT_BYTES sets the limit")
        parts.append(part)
    return b"".join(parts)


def parse_body(body: bytes) -> dict[str, Any]:
    """The body as a JSON object. Raises InvalidInput."""
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"the body of {len(body)} bytes is not JSON") from error
    if not isinstance(parsed, dict):
        raise InvalidInput(f"the body is a JSON {type(parsed).__name__}, not an object")
    return parsed


open_routes = APIRouter()
routes = APIRouter(dependencies=[Depends(check_credential)])


@open_routes.get("/health")
@open_routes.get("/p/{project_id}/health")
def health() -> dict[str, str]:
    """Say that this process serves."""
    return {"status": "UP", "model_class": SpanloopModel.__name__}


@routes.post("/setup")
@routes.post("/p/{project_id}/setup")
async def setup(request: Request, project_id: ProjectId | None = None) -> dict[str, str]:
    """Answer the version whose predictions Label Studio is to show; a project seen for the first time is taken in."""
    body = parse_body(await read_body(request))
    return await run_in_threadpool(_set_up, request.app.state.services, request.app.state.slots, body, project_id)


def _set_up(services: Services, slots: ModelSlots, body: Mapping[str, Any], project_id: int | None) -> dict[str, str]:
    project_id = project_id if project_id is not None else _project_of(body)
    try:
        projects.ensure(services, project_id, str(body.get("schema") or ""))
        return {"model_version": slots.announced_version(project_id)}
    except SpanloopError as error:
        # Label Studio shows "400 Client Error" and drops the body: the reason has to stand here.
        log.warning("setup_refused", project_id=project_id, code=error.code, reason=error.message)
        raise


def _project_of(body: Mapping[str, Any]) -> int:
    named = str(body.get("project") or "").partition(".")[0]
    if not _ID.fullmatch(named):
        raise InvalidInput(
            "the body names no project; connect the backend at /p/ID, as `spanloop project adopt ID` does"
        )
    return int(named)


@routes.post("/predict")
@routes.post("/p/{project_id}/predict")
async def predict(request: Request, project_id: ProjectId | None = None) -> dict[str, Any]:
    """Pre-label tasks: one result for each, in order."""
    body = parse_body(await read_body(request))
    tasks = body.get("tasks")
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise InvalidInput("'tasks' is not a list of tasks")
    wanted = project_id if project_id is not None else _project_of(body)
    results = await run_in_threadpool(_predict, request.app.state.services, request.app.state.slots, wanted, tasks)
    return {"results": results}


def _predict(
    services: Services, slots: ModelSlots, project_id: int, tasks: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    model = slots.announced(project_id)
    ids = [task["id"] for task in tasks if is_id(task.get("id"))]
    with services.store.read() as uow:
        config = parse_config(uow.projects.get(project_id).label_config)
        proposals = uow.texts.proposals(project_id, ids)
        test = uow.ab_tests.running(project_id)
    ours = test is not None and test.live_id == model.model_id
    answer = SpanloopModel(
        config=config,
        model=model,
        proposals=proposals,
        max_text_chars=services.settings.max_text_chars,
        challenger=slots.challenger(test.challenger_id) if test is not None and ours else None,
        challenged={task_id for task_id in ids if speaker_of(test, task_id) is Arm.CHALLENGER},
    )
    return answer.predict(tasks)


@routes.get("/versions")
@routes.get("/p/{project_id}/versions")
def versions(request: Request, project_id: ProjectId | None = None) -> dict[str, list[str]]:
    """The project's versions, newest first; without a project nobody can say."""
    if project_id is None:
        return {"versions": []}
    with request.app.state.services.store.read() as uow:
        return {"versions": [model.version for model in uow.models.of_project(project_id)]}


@routes.post("/webhook", status_code=201)
@routes.post("/p/{project_id}/webhook", status_code=201)
async def webhook(request: Request, later: BackgroundTasks, project_id: ProjectId | None = None) -> dict[str, Any]:
    """Keep an event: one insert, and 2xx at once (rule 1). All else is done by jobs."""
    services: Services = request.app.state.services
    body = await read_body(request)
    received = await run_in_threadpool(receive, services.store, body, project_id, now=utc_now())
    later.add_task(ring_drain, services)
    return {"event": received.event_id, "duplicate": received.duplicate}


def ring_drain(services: Services) -> None:
    """Ring for the drain, after the answer went out; without Redis the event waits for the scheduler.

    One ring at a time: where Redis hangs, the others would take up every thread that answers Label Studio.
    """
    if not _ringing.acquire(blocking=False):
        return
    try:
        services.doorbell.ring("drain", queue=QueueName.SYNC, timeout=services.settings.sync_timeout_seconds)
    except SpanloopError as error:
        log.warning("drain_not_rung", code=error.code, reason=error.message)
    finally:
        _ringing.release()
