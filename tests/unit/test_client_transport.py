"""Calls to Label Studio: what is tried again, and what errors say."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import httpx
import pytest

from config.errors import LabelStudioError, LabelStudioUnavailable
from sync.client import LabelStudio
from sync.transport import PAUSES, Transport, describe_refusal

TEXT = "Jane Doe, 536-22-8726"


class Server:
    """Answers in turn what it was given, the last for ever, and counts the calls."""

    def __init__(self, *answers: int | Callable[[httpx.Request], httpx.Response]) -> None:
        self.answers, self.calls, self.pauses = list(answers), 0, []  # type: ignore[var-annotated]

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.calls += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return httpx.Response(answer, json={"detail": "said"}) if isinstance(answer, int) else answer(request)

    def transport(self) -> Transport:
        http = httpx.MockTransport(self)
        return Transport("http://ls.test/", "a" * 40, timeout=1, http=http, sleep=self.pauses.append)


def refused(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused", request=request)


def broken_off(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadTimeout("too slow", request=request)


def test_thousands_of_tasks_are_asked_for_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids go into the address, for which a proxy has 8 KB: more than fit there are asked for piece by piece."""
    client = LabelStudio("http://ls.test", "a" * 40)
    asked: list[str] = []

    def answer(method: str, path: str, *, params: dict[str, str]) -> dict[str, list[object]]:
        asked.append(params["query"])
        return {"tasks": []}

    monkeypatch.setattr(client, "_transport", SimpleNamespace(request=answer))
    assert list(client.iter_tasks(1, only_ids=range(100_000, 101_200))) == []
    assert len(asked) == 3
    assert all(len(query) < 8_000 for query in asked)


@pytest.mark.parametrize("failure", [refused, broken_off, 500, 502, 503, 504, 429])
def test_a_look_is_tried_again_with_growing_pauses(failure: int | Callable[[httpx.Request], httpx.Response]) -> None:
    """A passing failure of a call that changes nothing is not noticed by the caller."""
    server = Server(failure, failure, 200)
    assert server.transport().request("GET", "api/version") == {"detail": "said"}
    assert server.pauses == list(PAUSES[:2])


@pytest.mark.parametrize("failure", [refused, 503, 429])
def test_a_submit_is_tried_again_where_nothing_was_done(
    failure: int | Callable[[httpx.Request], httpx.Response],
) -> None:
    """What never reached Label Studio, or found it busy, may be sent again."""
    server = Server(failure, 201)
    assert server.transport().request("POST", "api/x", json={}) == {"detail": "said"}


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (broken_off, LabelStudioUnavailable),
        (500, LabelStudioError),
        (502, LabelStudioUnavailable),
        (504, LabelStudioUnavailable),
    ],
)
def test_a_submit_that_may_have_been_done_is_not_sent_twice(
    failure: int | Callable[[httpx.Request], httpx.Response], error: type[Exception]
) -> None:
    """A submit that broke off half way is reported, never doubled."""
    server = Server(failure)
    with pytest.raises(error):
        server.transport().request("POST", "api/x", json={})
    assert server.calls == 1


@pytest.mark.parametrize("failure", [refused, 503])
def test_it_gives_up_after_few_tries_and_says_what_to_check(
    failure: int | Callable[[httpx.Request], httpx.Response],
) -> None:
    """A Label Studio that stays down is unavailable, after a bounded number of tries."""
    server = Server(failure)
    with pytest.raises(LabelStudioUnavailable):
        server.transport().request("GET", "api/version")
    assert server.calls == len(PAUSES) + 1


def test_a_refusal_is_not_tried_again_and_keeps_its_status() -> None:
    """What Label Studio refuses it would refuse again; the caller sees the status."""
    server = Server(404)
    with pytest.raises(LabelStudioError) as refusal:
        server.transport().request("GET", "api/tasks/5/")
    assert (server.calls, refusal.value.details["status"]) == (1, 404)
    assert not isinstance(refusal.value, LabelStudioUnavailable)


def test_a_wrong_key_names_the_setting() -> None:
    """A key that is not accepted leads to the setting, and is not shown."""
    with pytest.raises(LabelStudioError, match="LABEL_STUDIO_API_KEY") as refusal:
        Server(401).transport().request("GET", "api/projects/")
    assert "a" * 40 not in str(refusal.value)


def test_a_page_that_is_no_json_is_an_error_not_a_crash() -> None:
    """A proxy's page with status 500 is reported without its contents."""
    server = Server(lambda _: httpx.Response(500, text=f"<html>{TEXT}"))
    with pytest.raises(LabelStudioError) as refusal:
        server.transport().request("POST", "api/x", json={})
    assert TEXT not in str(refusal.value)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"detail": "No Task matches the given query."}, "No Task matches the given query."),
        ({"validation_errors": {"title": ["Too short.", "Too dull."]}}, "title: Too short. Too dull."),
        (
            {
                "validation_errors": {
                    "non_field_errors": [f'Error at item 0: "text" is expected :: {{"data": "{TEXT}"}}']
                }
            },
            'Error at item 0: "text" is expected',
        ),
        (
            {"validation_errors": {"non_field_errors": [f"{{'task': 9, 'x': '{TEXT}'}} contains invalid task"]}},
            "{…} contains invalid task",
        ),
        ({"validation_errors": ["a", "b"]}, "a; b"),
        ("<html>", ""),
        (None, ""),
        ({}, ""),
    ],
)
def test_a_reason_quotes_no_task(body: object, said: str) -> None:
    """The reason is what Label Studio said, without the data it quotes."""
    assert describe_refusal(body) == said
