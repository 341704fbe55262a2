"""One call to Label Studio: what is tried again, and what an error may say."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import httpx
from label_studio_sdk.base_client import LabelStudioBase
from label_studio_sdk.core.api_error import ApiError
from label_studio_sdk.core.parse_error import ParsingError
from label_studio_sdk.core.request_options import RequestOptions

from config.errors import LabelStudioError, LabelStudioUnavailable

Answer = TypeVar("Answer")

PAUSES = (0.25, 1.0, 3.0)
"""Seconds before the second, third and fourth try."""

REFUSED = frozenset({429, 503})
"""What Label Studio or a proxy before it answers when it is busy or not at home; nothing was done."""

AWAY = REFUSED | {502, 504}
"""The same, and what a proxy answers when it lost Label Studio on the way, which may have done what was asked."""


class Transport:
    """Calls through the SDK, which knows both of Label Studio's kinds of API key and renews the short-lived one."""

    def __init__(
        self,
        url: str,
        api_key: str,
        *,
        timeout: float,
        http: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.url = url.rstrip("/")
        self._sleep = sleep
        self._client = httpx.Client(timeout=timeout, follow_redirects=True, transport=http)
        try:
            self.sdk = LabelStudioBase(base_url=self.url, api_key=api_key, max_retries=0, httpx_client=self._client)
        except ApiError as error:
            raise _refusal("use this API key", error.status_code, error.body) from error

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def clock(self, path: str) -> datetime | None:
        """What the server's clock says, to the second, where its answers carry a Date. Raises as `call` does."""

        def send() -> str | None:
            said: str | None = self._client.get(f"{self.url}/{path}").headers.get("date")
            return said

        said = self.call(f"GET {path}", send, repeatable=True)
        return None if said is None else parsedate_to_datetime(said)

    def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        params: dict[str, Any] | None = None,
        patience: float | None = None,
    ) -> Any:
        """The JSON answer to a raw request, waited for so many seconds; every method but POST is tried again.

        Raises LabelStudioError, LabelStudioUnavailable.
        """

        def send() -> Any:
            # The SDK offers no public way to send a request that it has no method for.
            raw = self.sdk._client_wrapper.httpx_client
            waiting: RequestOptions = {} if patience is None else {"timeout_in_seconds": math.ceil(patience)}
            response: httpx.Response = raw.request(
                path, method=method, json=json, params=params, request_options=waiting
            )
            if not response.is_success:
                raise ApiError(status_code=response.status_code, body=_json_or_none(response))
            return _json_or_none(response)

        return self.call(f"{method} {path}", send, repeatable=method != "POST")

    def call(self, act: str, send: Callable[[], Answer], *, repeatable: bool) -> Answer:
        """What `send` answers, tried again with growing pauses where that can do no harm.

        A refused connection or a busy answer is always tried again; a call that broke off half way, a proxy that gave
        up waiting, or a server's error, only where the call is `repeatable`. Raises LabelStudioError,
        LabelStudioUnavailable.
        """
        for pause in (*PAUSES, None):
            try:
                return send()
            except ApiError as error:
                again = error.status_code in REFUSED or (repeatable and (error.status_code or 0) >= 500)
                if not again or pause is None:
                    raise _refusal(act, error.status_code, error.body) from error
            except httpx.TransportError as error:
                if pause is None or not (repeatable or isinstance(error, httpx.ConnectError)):
                    raise LabelStudioUnavailable(
                        f"Label Studio at {self.url} does not answer ({type(error).__name__}): could not {act}; "
                        "check that it runs and that LABEL_STUDIO_URL is right"
                    ) from error
            except (ParsingError, httpx.InvalidURL) as error:
                raise LabelStudioError(f"what Label Studio at {self.url} answers cannot be read: {act}") from error
            self._sleep(pause)
        raise AssertionError("the last try returns or raises")


def _refusal(act: str, status: int | None, body: Any) -> LabelStudioError:
    reason = describe_refusal(body)
    if status in AWAY:
        return LabelStudioUnavailable(f"Label Studio is not ready ({status}): could not {act}", status=status)
    if status in (401, 403):
        reason = f"{reason or 'the API key is not accepted'}; check LABEL_STUDIO_API_KEY and its user's rights"
    return LabelStudioError(f"Label Studio refused to {act} ({status}): {reason or 'no reason given'}", status=status)


def describe_refusal(body: Any) -> str:
    """The reasons in Label Studio's error body, without what it quotes of tasks: texts stay out of errors and logs."""
    if not isinstance(body, dict):
        return ""
    found = []
    errors = body.get("validation_errors")
    if isinstance(errors, dict):
        for name, reasons in errors.items():
            said = " ".join(map(str, reasons)) if isinstance(reasons, list) else str(reasons)
            found.append(said if name == "non_field_errors" else f"{name}: {said}")
    elif isinstance(errors, list):
        found += [str(reason) for reason in errors]
    said = "; ".join(found) or str(body.get("detail") or "")
    return re.sub(r"\{.*\}", "{…}", said.partition(" :: ")[0], flags=re.DOTALL)[:300]


def _json_or_none(response: httpx.Response) -> Any:
    if not response.content:
        return None
    try:
        return response.json()
    except ValueError:
        return None
