"""Scores are those of what the web process really serves, or there are none."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from config.errors import ConfigurationError, ModelUnavailable
from config.settings import Settings
from ml_backend.simulation.gold import GoldText
from ml_backend.simulation.served import CHUNK_TEXTS, ServedPipelines
from sync.convert import to_regions
from sync.labelling import parse_config
from training.spans import ScoredSpan, Span

CONFIG = parse_config(
    '<View><Labels name="label" toName="text"><Label value="PERSON"/></Labels><Text name="text" value="$body"/></View>'
)
GOLD = [GoldText(n, f"Ada {n}", (Span(0, 3, "PERSON"),)) for n in range(CHUNK_TEXTS + 5)]

Answer = Callable[[httpx.Request], httpx.Response]


def served(answer: Answer) -> ServedPipelines:
    settings = Settings(backend_password="secret", backend_url="http://web.test")
    return ServedPipelines(settings, transport=httpx.MockTransport(answer))


def results(request: httpx.Request, version: str = "v1") -> list[dict[str, Any]]:
    """Finds Ada in every text but the first one of a request."""
    tasks = json.loads(request.content)["tasks"]
    found = [ScoredSpan(0, 3, "PERSON", 0.9)]
    return [
        {"result": to_regions(found[: number > 0], CONFIG, task["data"]["body"]), "model_version": version}
        for number, task in enumerate(tasks)
    ]


def test_the_answers_of_predict_are_scored() -> None:
    """Every text is asked for once, under the project's address and field, with the credential."""
    requests: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(200, json={"results": results(request)})

    with served(answer) as pipelines:
        found = pipelines.score(7, GOLD, CONFIG)
    assert {str(request.url) for request in requests} == {"http://web.test/p/7/predict"}
    assert all(request.headers["authorization"].startswith("Basic ") for request in requests)
    assert found.version == "v1"
    assert (found.scores.texts, found.scores.support, found.scores.correct) == (len(GOLD), len(GOLD), len(GOLD) - 2)
    assert found.calibration is not None
    assert found.calibration["spans"] == {"error": pytest.approx(0.1), "cases": len(GOLD) - 2}


def test_scores_of_two_versions_are_never_mixed() -> None:
    """A version that changes between two requests gives no scores."""
    versions = iter(["v1", "v2"])
    with (
        served(lambda request: httpx.Response(200, json={"results": results(request, next(versions))})) as pipelines,
        pytest.raises(ModelUnavailable, match="v1, v2"),
    ):
        pipelines.score(7, GOLD, CONFIG)


def unreachable(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused", request=request)


@pytest.mark.parametrize(
    ("answer", "error", "said"),
    [
        (unreachable, ConfigurationError, "http://web.test does not answer.*make up"),
        (lambda _: httpx.Response(401, json={}), ConfigurationError, "SPANLOOP_BACKEND_PASSWORD"),
        (lambda _: httpx.Response(200, json={"results": []}), ModelUnavailable, "0 results for 100 texts"),
        (lambda _: httpx.Response(503, json={"error": {"message": "it cannot be loaded"}}), ModelUnavailable, "loaded"),
        (lambda _: httpx.Response(502, text="Bad Gateway"), ModelUnavailable, "502: no reason given"),
    ],
)
def test_no_answer_is_said_with_the_way_out(answer: Answer, error: type[Exception], said: str) -> None:
    """A web process that is away, refuses or fails is named, never scored as an empty answer."""
    with served(answer) as pipelines, pytest.raises(error, match=said):
        pipelines.score(7, GOLD, CONFIG)
