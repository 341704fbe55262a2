"""From evidence to the prediction that is shown: which spans win, and how sure we are of each and of the whole.

Where two candidates overlap, one backed by a checksum wins; else the higher score; else the longer; else the pattern;
else the earlier. The order is total, so the outcome never depends on chance.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from training.intervals import Taken
from training.scoring import BLIND_CONFIDENCE, Calibration, clip
from training.spans import Prediction, ScoredSpan

VALIDATED = 1.0


@dataclass(frozen=True)
class Evidence:
    """All that a pipeline says of one text, before anything is chosen.

    `model` are the decode's spans with raw probabilities, `patterns` the recognizers' with their own scores; both
    under the project's leaves and free of overlaps among themselves. `missed` holds for each token (characters
    `token_starts` to `token_ends`) the probability that the decode left an entity out there; `blind` says that there
    is no trained recognizer.
    """

    model: tuple[ScoredSpan, ...]
    patterns: tuple[ScoredSpan, ...]
    missed: npt.NDArray[np.float32]
    token_starts: npt.NDArray[np.int64]
    token_ends: npt.NDArray[np.int64]
    blind: bool


def compose(evidence: Evidence, *, serving: Mapping[str, str], calibration: Calibration) -> Prediction:
    """The prediction: for each label what `serving` says (model, pattern or both; both where it says nothing)."""
    shown, log_nothing_missed = choose(evidence, serving=serving, calibration=calibration)
    return Prediction(tuple(shown), calibration.task_score(shown, log_nothing_missed))


def choose(
    evidence: Evidence, *, serving: Mapping[str, str], calibration: Calibration
) -> tuple[list[ScoredSpan], float]:
    """The spans to show, and the log-probability that none is missing beside them.

    What was found but is not served casts doubt on the text where nothing else is shown.
    """
    candidates = _candidates(evidence, calibration)
    served = [c for c in candidates if serving.get(c.span.label, "both") in ("both", c.span.origin)]
    taken = Taken()
    ranked = sorted(served, key=lambda candidate: candidate.rank)
    shown = sorted(c.span for c in ranked if taken.take(c.span.start, c.span.end))
    hidden = [c.span for c in candidates if taken.is_free(c.span.start, c.span.end)]
    doubt = sum(math.log1p(-clip(span.score)) for span in hidden) + _log_nothing_missed(evidence, shown)
    return shown, doubt


@dataclass(frozen=True, slots=True)
class _Candidate:
    span: ScoredSpan
    validated: bool

    @property
    def rank(self) -> tuple[bool, float, int, bool, int, str]:
        span = self.span
        return (
            not self.validated,
            -span.score,
            span.start - span.end,
            span.origin != "pattern",
            span.start,
            span.label,
        )


def _candidates(evidence: Evidence, calibration: Calibration) -> list[_Candidate]:
    model = [_Candidate(replace(s, score=calibration.span_score(s.score)), False) for s in evidence.model]
    patterns = [
        _Candidate(replace(s, score=calibration.pattern_score(s.label, s.score)), s.score >= VALIDATED)
        for s in evidence.patterns
    ]
    return [*model, *patterns]


def _log_nothing_missed(evidence: Evidence, shown: Sequence[ScoredSpan]) -> float:
    if evidence.blind:
        return math.log(BLIND_CONFIDENCE)
    missed = evidence.missed
    if shown:
        starts, ends = (np.array(edge) for edge in zip(*((span.start, span.end) for span in shown), strict=True))
        before = np.searchsorted(starts, evidence.token_ends, side="left") - 1
        covered = (before >= 0) & (ends[before] > evidence.token_starts)
        missed = missed[~covered]
    return float(np.log1p(-np.clip(missed.astype(np.float64), 0.0, 1 - 1e-6)).sum())
