"""Bodies: read up to a limit, and as strict JSON, before anything else looks at them."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from fastapi import Request
from fastapi.concurrency import run_in_threadpool

from config.errors import MalformedBody, PayloadTooLarge, UnsupportedMediaType

# A client that is still sending when it is refused often never reads the answer: a bit over the limit is taken in.
DISCARDED_LIMITS = 4
IDENTITY = "identity"
LARGE_BYTES = 256 * 1024


class CheckedRequest(Request):
    """A request whose body was read and parsed by `load`."""

    _bytes: bytes = b""
    _parsed: Any = None

    async def load(self, limit: int) -> None:
        """Read and parse the body. Raises PayloadTooLarge, UnsupportedMediaType and MalformedBody."""
        self._bytes = await read_bounded(self, limit)
        if not self._bytes:
            return
        check_json_type(self.headers.get("content-type", ""))
        check_encoding(self.headers.get("content-encoding", IDENTITY))
        if len(self._bytes) > LARGE_BYTES:
            self._parsed = await run_in_threadpool(parse_json, self._bytes)
        else:
            self._parsed = parse_json(self._bytes)

    async def body(self) -> bytes:
        """The body as it came."""
        return self._bytes

    async def json(self) -> Any:
        """The body as parsed by `load`."""
        return self._parsed


async def read_bounded(request: Request, limit: int) -> bytes:
    """The request's body. Raises PayloadTooLarge."""
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size <= limit:
            parts.append(part)
        elif size > limit * DISCARDED_LIMITS:
            break
    if size > limit:
        raise PayloadTooLarge(
            f"the body is over {limit} bytes, the limit of this token; send less at a time (SPANLOOP_API_BODY_BYTES "
            "sets the limit, or --body-bytes that of a new token)"
        )
    return b"".join(parts)


def check_json_type(content_type: str) -> None:
    """Raise UnsupportedMediaType for what is not JSON."""
    kind = content_type.partition(";")[0].strip().lower()
    main, _, sub = kind.partition("/")
    if main != "application" or not (sub == "json" or sub.endswith("+json")):
        given = f"is {kind!r:.80}" if kind else "is missing"
        raise UnsupportedMediaType(f"the header Content-Type {given}; send application/json")


def check_encoding(encoding: str) -> None:
    """Raise UnsupportedMediaType for a body that is not sent as it is."""
    if encoding.strip().lower() != IDENTITY:
        raise UnsupportedMediaType(f"the header Content-Encoding is {encoding!r:.80}; send the body as it is")


def parse_json(body: bytes) -> Any:
    """The body as JSON in UTF-8. Raises MalformedBody.

    NaN, Infinity, numbers too large for a float, and names that stand twice in an object are refused.
    """
    try:
        return json.loads(
            body.decode("utf-8"),
            parse_constant=_refuse_constant,
            parse_float=_read_float,
            object_pairs_hook=_read_object,
        )
    except UnicodeDecodeError as error:
        raise MalformedBody(f"the body is not UTF-8 at byte {error.start}") from error
    except json.JSONDecodeError as error:
        raise MalformedBody(f"the body is not JSON: {error.msg} at character {error.pos}") from error
    except RecursionError as error:
        raise MalformedBody("the body is nested too deeply") from error
    except ValueError as error:
        # Of a number with thousands of digits Python also says how a programmer would let it in.
        reason = str(error).partition("; use ")[0]
        raise MalformedBody(f"the body holds a number that cannot be read: {reason}") from error


def _read_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise MalformedBody(f"the body names {twice!r:.80} twice in one object")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _read_float(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits[:40]} is too large")
    return number
