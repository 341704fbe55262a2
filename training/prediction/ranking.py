"""Which text would teach the model most: ranking functions over what a version says of it.

Each gives a number from 0 to 1, the lowest first. They compare the same evidence and the same shown spans that
`Pipeline.predict` serves. Sources: Lewis and Gale 1994 (least confidence), Shen et al. 2017 (its mean over tokens,
MNLP), Scheffer et al. 2001 (margin), Culotta and McCallum 2005 (expected errors), Seung et al. 1992 (committee).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from training.prediction.compose import Choice, Evidence
from training.prediction.scoring import clip
from training.spans import Prediction


@dataclass(frozen=True)
class Seen:
    """One text as a version sees it; `others` are what the other members of a committee say of it."""

    evidence: Evidence
    choice: Choice
    prediction: Prediction
    others: tuple[Prediction, ...] = ()


Ranking = Callable[[Seen], float]


def least_confidence(seen: Seen) -> float:
    """The task's score: the confidence that no edit is needed."""
    return seen.prediction.score


def mean_log_probability(seen: Seen) -> float:
    """The geometric mean, over the tokens, of the probabilities of the decode's actions (MNLP)."""
    if not len(seen.evidence.missed):
        return seen.prediction.score
    spans = sum(math.log(clip(span.score)) for span in seen.evidence.model)
    outside = float(np.log1p(-np.clip(seen.evidence.missed.astype(np.float64), 0.0, 1 - 1e-6)).sum())
    return math.exp((spans + outside) / len(seen.evidence.missed))


def least_span(seen: Seen) -> float:
    """The lowest score of a shown span; without any, the probability that there is nothing to find."""
    nothing_missed = math.exp(seen.choice.log_nothing_missed)
    return min((span.score for span in seen.choice.shown), default=nothing_missed)


def expected_errors(seen: Seen) -> float:
    """1 / (1 + edits to be expected, of spans shown and of spans left out)."""
    choice = seen.choice
    wrong = sum(1 - span.score for span in choice.shown) + sum(span.score for span in choice.hidden)
    return 1 / (1 + wrong + float(choice.missed.sum()))


def least_margin(seen: Seen) -> float:
    """How close the closest decision was: a span against all else, or a token against the start of an entity."""
    decided = [*(span.score for span in seen.evidence.model), *seen.evidence.missed.tolist()]
    return min((abs(2 * p - 1) for p in decided), default=1.0)


def committee(seen: Seen) -> float:
    """The task's score / (1 + spans on which a committee's members differ)."""
    own = {span.span for span in seen.prediction.spans}
    differing = [len(own ^ {span.span for span in other.spans}) for other in seen.others]
    return seen.prediction.score / (1 + (sum(differing) / len(differing) if differing else 0.0))


RANKINGS: Mapping[str, Ranking] = {
    # What the labelling queue is ordered by: the score that goes with each prediction.
    "uncertainty": least_confidence,
    "mnlp": mean_log_probability,
    "span": least_span,
    "errors": expected_errors,
    "margin": least_margin,
    "committee": committee,
}


def rank(seen: Seen, ranking: Ranking) -> float:
    """The text's place by this function; what is no number comes up first, for nothing is known of the text."""
    value = ranking(seen)
    return 0.0 if math.isnan(value) else value
