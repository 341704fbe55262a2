"""What a project's annotators are really served: the web process's own answers, and their scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx

from config.errors import ConfigurationError, ModelUnavailable
from config.settings import Settings
from ml_backend.simulation.gold import GoldText
from sync.labelling import LabellingConfig
from sync.mirror import read_scored_spans
from training.metrics.evaluate import Scores, score_spans
from training.prediction.calibration import measure_calibration
from training.prediction.windows import in_portions
from training.spans import Prediction

# What one request carries.
CHUNK_TEXTS = 100
CHUNK_CHARACTERS = 1_000_000


@dataclass(frozen=True, slots=True)
class ServedScores:
    """The scores of what is served, its version, and how far its confidence is off (docs/simulate.md)."""

    version: str
    scores: Scores
    calibration: dict[str, Any] | None = None


def score_predictions(version: str, gold: Sequence[GoldText], predicted: Sequence[Prediction]) -> ServedScores:
    """Score a version's predictions of these texts, and its confidence in them."""
    right = [one.spans for one in gold]
    scores = score_spans(right, [[span.span for span in one.spans] for one in predicted])
    return ServedScores(version, scores, measure_calibration(right, predicted))


class ServedPipelines:
    """Asks the running web process, as Label Studio does; `transport` stands in for the network in tests."""

    def __init__(
        self, settings: Settings, *, timeout: float = 300.0, transport: httpx.BaseTransport | None = None
    ) -> None:
        self._url = settings.resolved_backend_url
        auth = (settings.backend_user, settings.backend_password.get_secret_value())
        self._client = httpx.Client(base_url=self._url, auth=auth, timeout=timeout, transport=transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def check(self) -> None:
        """Raise ConfigurationError where nothing answers."""
        self._ask("GET", "/health")

    def score(self, project_id: int, gold: Sequence[GoldText], config: LabellingConfig) -> ServedScores:
        """Score what is served for the project on these texts, on raw characters.

        Raises ModelUnavailable where the version changed meanwhile or a text got no answer.
        """
        predicted: list[Prediction] = []
        versions: set[str] = set()
        for chunk in in_portions(gold, lambda one: one.text, most=CHUNK_TEXTS, chars=CHUNK_CHARACTERS):
            results = self._predict(project_id, [one.text for one in chunk], config)
            versions |= {str(result.get("model_version")) for result in results}
            predicted += [
                _read_prediction(result, config, one.text) for result, one in zip(results, chunk, strict=True)
            ]
        if len(versions) != 1:
            raise ModelUnavailable(
                f"project {project_id} was served by {', '.join(sorted(versions)) or 'nothing'} while it was scored"
            )
        return score_predictions(versions.pop(), gold, predicted)

    def _predict(self, project_id: int, texts: Sequence[str], config: LabellingConfig) -> list[dict[str, Any]]:
        tasks = [{"id": -number, "data": {config.text_key: text}} for number, text in enumerate(texts, 1)]
        results: list[dict[str, Any]] = self._ask("POST", f"/p/{project_id}/predict", {"tasks": tasks})["results"]
        if len(results) != len(texts):
            raise ModelUnavailable(f"/predict answered {len(results)} results for {len(texts)} texts")
        return results

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        try:
            response = self._client.request(method, path, json=body)
        except httpx.TransportError as error:
            raise ConfigurationError(
                f"the web process at {self._url} does not answer ({type(error).__name__}); start the system with "
                "`make up`, or set SPANLOOP_BACKEND_URL to its address"
            ) from error
        if response.status_code == httpx.codes.UNAUTHORIZED:
            raise ConfigurationError(
                f"the web process at {self._url} refuses our credential: is SPANLOOP_BACKEND_PASSWORD that of the "
                "running system, and SPANLOOP_DATA_DIR its data folder?"
            )
        if not response.is_success:
            raise ModelUnavailable(f"{method} {path} was answered with {response.status_code}: {_reason(response)}")
        return response.json()


def _read_prediction(result: dict[str, Any], config: LabellingConfig, text: str) -> Prediction:
    score = result.get("score")
    sound = float(score) if isinstance(score, int | float) else 0.0
    return Prediction(read_scored_spans(result.get("result") or [], sound, config, text), sound)


def _reason(response: httpx.Response) -> str:
    try:
        return str(response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return "no reason given"
