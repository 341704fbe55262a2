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
from training.prediction.scoring import BLIND_CONFIDENCE, Calibration, clip
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


@dataclass(frozen=True)
class Choice:
    """What is shown of a text's evidence, and what is not.

    `hidden` are spans that were found too: not served, or in the place of a shown one that no checksum backs; `missed`
    holds for each token outside of shown spans the probability that an entity was left out there.
    """

    shown: tuple[ScoredSpan, ...]
    hidden: tuple[ScoredSpan, ...]
    missed: npt.NDArray[np.float64]
    blind: bool

    @property
    def log_nothing_missed(self) -> float:
        """The log-probability that nothing is missing, beside the shown spans or in the place of one."""
        doubt = sum(math.log1p(-clip(span.score)) for span in self.hidden)
        return doubt + (math.log(BLIND_CONFIDENCE) if self.blind else float(np.log1p(-self.missed).sum()))


def compose(evidence: Evidence, *, serving: Mapping[str, str], calibration: Calibration) -> Prediction:
    """The prediction: for each label what `serving` says (model, pattern or both; both where it says nothing)."""
    return conclude(choose(evidence, serving=serving, calibration=calibration), calibration)


def conclude(choice: Choice, calibration: Calibration) -> Prediction:
    """The prediction that a choice comes to, with the task's score."""
    return Prediction(choice.shown, calibration.task_score(choice.shown, choice.log_nothing_missed))


def choose(evidence: Evidence, *, serving: Mapping[str, str], calibration: Calibration) -> Choice:
    """Which spans are shown; whatever else was found casts doubt on the text, except where a checksum holds."""
    candidates = _candidates(evidence, calibration)
    served = [c for c in candidates if serving.get(c.span.label, "both") in ("both", c.span.origin)]
    taken, certain = Taken(), Taken()
    winners = [c for c in sorted(served, key=lambda c: c.rank) if taken.take(c.span.start, c.span.end)]
    for winner in winners:
        if winner.validated:
            certain.take(winner.span.start, winner.span.end)
    shown = tuple(sorted(winner.span for winner in winners))
    known = {span.span for span in shown}
    hidden = tuple(c.span for c in candidates if c.span.span not in known and certain.is_free(c.span.start, c.span.end))
    return Choice(shown, hidden, _missed_beside(evidence, shown), evidence.blind)


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


def _missed_beside(evidence: Evidence, shown: Sequence[ScoredSpan]) -> npt.NDArray[np.float64]:
    missed = evidence.missed
    if shown and len(missed):
        starts, ends = (np.array(edge) for edge in zip(*((span.start, span.end) for span in shown), strict=True))
        before = np.searchsorted(starts, evidence.token_ends, side="left") - 1
        covered = (before >= 0) & (ends[before] > evidence.token_starts)
        missed = missed[~covered]
    return np.clip(missed.astype(np.float64), 0.0, 1 - 1e-6)
