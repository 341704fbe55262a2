"""Ranking functions put first what the model is least sure of, and never fail."""

from __future__ import annotations

import math

import numpy as np
import pytest

from training.prediction.compose import Evidence, choose, conclude
from training.prediction.ranking import RANKINGS, Seen, rank
from training.prediction.scoring import Calibration
from training.spans import Prediction, ScoredSpan


def seen(*scores: float, missed: tuple[float, ...] = (0.0,) * 10, others: tuple[Prediction, ...] = ()) -> Seen:
    """A text of ten tokens with a span of one token for each probability."""
    starts = np.arange(0, 2 * len(missed), 2)
    spans = tuple(ScoredSpan(2 * n, 2 * n + 1, "A", score) for n, score in enumerate(scores))
    evidence = Evidence(spans, (), np.array(missed, np.float32), starts, starts + 1, blind=False)
    calibration = Calibration()
    choice = choose(evidence, serving={}, calibration=calibration)
    return Seen(evidence, choice, conclude(choice, calibration), others)


@pytest.mark.parametrize("name", [name for name in RANKINGS if name != "committee"])
def test_ranking_puts_a_doubtful_span_before_a_sure_one(name: str) -> None:
    """Of two texts with one span the one whose span is less sure comes up first."""
    assert rank(seen(0.6), RANKINGS[name]) < rank(seen(0.999), RANKINGS[name])


@pytest.mark.parametrize("name", [name for name in RANKINGS if name != "committee"])
def test_ranking_knows_of_spans_that_may_be_missing(name: str) -> None:
    """Of two texts without a span the one where an entity may have been left out comes up first."""
    doubtful = seen(missed=(0.0,) * 9 + (0.4,))
    assert rank(doubtful, RANKINGS[name]) < rank(seen(), RANKINGS[name])


def test_ranking_by_committee_puts_disagreement_first() -> None:
    """Where former versions found other spans the text comes up before one on which all agree."""
    agreed = seen(0.9, others=(Prediction((ScoredSpan(0, 1, "A", 0.2),), 0.5),))
    disputed = seen(0.9, others=(Prediction((), 0.5),))
    assert rank(disputed, RANKINGS["committee"]) < rank(agreed, RANKINGS["committee"])
    assert math.isfinite(rank(seen(0.9), RANKINGS["committee"]))


@pytest.mark.parametrize("name", RANKINGS)
def test_ranking_of_scores_that_are_no_numbers_has_an_order(name: str) -> None:
    """A model whose probabilities are NaN leaves a queue that can be sorted."""
    place = rank(seen(math.nan, missed=(math.nan,) * 3), RANKINGS[name])
    assert not math.isnan(place)


def test_ranking_of_nothing_says_nothing() -> None:
    """A text without tokens, and a project without a recognizer, get a place too."""
    nothing = np.zeros(0, np.int64)
    evidence = Evidence((), (), np.zeros(0, np.float32), nothing, nothing, blind=True)
    choice = choose(evidence, serving={}, calibration=Calibration())
    empty = Seen(evidence, choice, conclude(choice, Calibration()))
    assert all(math.isfinite(rank(empty, ranking)) for ranking in RANKINGS.values())
