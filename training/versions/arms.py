"""Two versions at work: which of them speaks for a task, and which of them annotators had less to do with. Pure rules.

Significance is that of a permutation test by text (Good, Permutation, Parametric and Bootstrap Tests of Hypotheses,
2005): how often chance alone, dealing the same texts out to the versions anew, gives a difference at least as large.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.feedback import count_edits
from training.spans import Span

PERMUTATIONS = 5_000
SIGNIFICANT = 0.05
_AT_A_TIME = 2_000_000


class Arm(StrEnum):
    """Who speaks for a task while two versions are compared."""

    LIVE = "live"
    CHALLENGER = "challenger"


def arm_of(test_id: str, task_id: int, fraction: float) -> Arm:
    """The arm of a task, for as long as the test runs: the challenger's with a chance of `fraction`."""
    drawn = blake2b(f"{test_id}:{task_id}".encode(), digest_size=8).digest()
    return Arm.CHALLENGER if int.from_bytes(drawn, "little") / 2**64 < fraction else Arm.LIVE


@dataclass(frozen=True, slots=True)
class Answer:
    """What a version said of a text and what an annotator then submitted; `honest`: the text came up by chance."""

    text_id: int
    arm: Arm
    shown: tuple[Span, ...]
    submitted: tuple[Span, ...]
    honest: bool = False


@dataclass(frozen=True, slots=True)
class ArmFigures:
    """How a version's pre-labels fared: texts, answers, the share that was left as it was, and edits per answer.

    Precision, recall and F1 (0 to 1) compare its spans with what was submitted.
    """

    texts: int
    answers: int
    accepted: int
    acceptance_rate: float | None
    edits_per_text: float | None
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, slots=True)
class Contrast:
    """The challenger's figure less the live version's, and the chance of as large a difference without any cause."""

    difference: float
    p_value: float


@dataclass(frozen=True)
class ArmsCompared:
    """Both versions at work; `contrasts` is empty while one of them has no answer. `basis`: all texts, or honest."""

    basis: str
    live: ArmFigures
    challenger: ArmFigures
    contrasts: dict[str, Contrast] = field(default_factory=dict)

    @property
    def lost(self) -> bool:
        """Whether the challenger is worse beyond chance, by acceptance or by F1."""
        wanted = (self.contrasts[name] for name in ("acceptance_rate", "f1") if name in self.contrasts)
        return any(one.difference < 0 and one.p_value < SIGNIFICANT for one in wanted)

    def to_json(self) -> dict[str, Any]:
        """The comparison as stored and shown."""
        return asdict(self)


def compare_arms(answers: Sequence[Answer], *, paired: bool, min_texts: int, seed: int) -> ArmsCompared:
    """Compare the versions on the honest answers where each has `min_texts` texts of them, else on all.

    `paired`: both versions answered each text (shadow), and the others are left out; else each text has one arm.
    """
    honest = [one for one in answers if one.honest]
    chosen, basis = (honest, "honest") if _fewest_texts(honest, paired=paired) >= min_texts else (answers, "all")
    if paired:
        chosen = _in_both(chosen)
    live, challenger = (_sum_up([one for one in chosen if one.arm is arm]) for arm in Arm)
    contrasts = {}
    if live.answers and challenger.answers:
        contrasts = _contrast(*_tables(chosen), paired=paired, seed=seed)
    return ArmsCompared(basis, live, challenger, contrasts)


def _fewest_texts(answers: Sequence[Answer], *, paired: bool) -> int:
    answers = _in_both(answers) if paired else answers
    return min(len({one.text_id for one in answers if one.arm is arm}) for arm in Arm)


def _in_both(answers: Sequence[Answer]) -> list[Answer]:
    by_arm = [{one.text_id for one in answers if one.arm is arm} for arm in Arm]
    both = by_arm[0] & by_arm[1]
    return [one for one in answers if one.text_id in both]


def _sum_up(answers: Collection[Answer]) -> ArmFigures:
    total = sum((_row(one) for one in answers), np.zeros(6))
    figures = {name: float(value[0]) for name, value in _figures(total[None]).items()}
    count = len(answers)
    return ArmFigures(
        texts=len({one.text_id for one in answers}),
        answers=count,
        accepted=int(total[1]),
        acceptance_rate=figures["acceptance_rate"] if count else None,
        edits_per_text=figures["edits_per_text"] if count else None,
        precision=float(total[5] / total[4]) if total[4] else 0.0,
        recall=float(total[5] / total[3]) if total[3] else 0.0,
        f1=figures["f1"],
    )


def _row(one: Answer) -> NDArray[np.float64]:
    """Answers, accepted ones, edits, submitted spans, shown spans, and those that are both."""
    shown, submitted = set(one.shown), set(one.submitted)
    edits = count_edits(submitted, shown)
    return np.array([1, shown == submitted, edits, len(submitted), len(shown), len(shown & submitted)], dtype=float)


def _tables(answers: Sequence[Answer]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Each arm's sums by text, shape (texts, 6); the n-th rows speak of the same text."""
    place = {text_id: at for at, text_id in enumerate(sorted({one.text_id for one in answers}))}
    tables = {arm: np.zeros((len(place), 6)) for arm in Arm}
    for one in answers:
        tables[one.arm][place[one.text_id]] += _row(one)
    return tables[Arm.LIVE], tables[Arm.CHALLENGER]


def _contrast(
    live: NDArray[np.float64], challenger: NDArray[np.float64], *, paired: bool, seed: int
) -> dict[str, Contrast]:
    observed = _differences(live.sum(axis=0)[None], challenger.sum(axis=0)[None])
    as_large = dict.fromkeys(observed, 0)
    texts = len(live)
    rng = np.random.default_rng(seed)
    shares = challenger[:, 0] > 0
    step = max(1, _AT_A_TIME // texts)
    for first in range(0, PERMUTATIONS, step):
        size = min(step, PERMUTATIONS - first)
        if paired:
            kept = rng.integers(0, 2, (size, texts)).astype(float)
            sums_b = kept @ challenger + (1 - kept) @ live
        else:
            dealt = rng.permuted(np.tile(shares, (size, 1)), axis=1).astype(float)
            sums_b = dealt @ (live + challenger)
        found = _differences((live + challenger).sum(axis=0) - sums_b, sums_b)
        for name, differences in found.items():
            as_large[name] += int(np.sum(np.abs(differences) >= abs(observed[name][0]) - 1e-12))
    return {
        name: Contrast(round(float(value[0]), 6), round((1 + as_large[name]) / (1 + PERMUTATIONS), 4))
        for name, value in observed.items()
    }


def _differences(live: NDArray[np.float64], challenger: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    before, after = _figures(live), _figures(challenger)
    return {name: after[name] - before[name] for name in before}


def _figures(sums: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Each of shape (rows,); what divides by zero is 0."""
    answers, accepted, edits, submitted, shown, right = sums.T
    return {
        "acceptance_rate": _divide(accepted, answers),
        "edits_per_text": _divide(edits, answers),
        "f1": _divide(2 * right, submitted + shown),
    }


def _divide(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
