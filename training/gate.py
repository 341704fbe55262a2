"""The gate: may a candidate serve in place of the live version? (rule 10) Both were scored on the same test texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from training.evaluate import Scores

# F1 is a quotient of counts: a difference below this is the arithmetic's, not the model's.
ROUNDING = 1e-9


class VerdictKind(StrEnum):
    """Passed and refused rest on enough test texts; provisional lets a candidate pass on too few."""

    PASSED = "passed"
    PROVISIONAL = "provisional"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate decided, why, in sentences for a team lead, and the figures it rests on."""

    passed: bool
    kind: VerdictKind
    reasons: tuple[str, ...] = ()
    figures: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The verdict as stored with the model and its run."""
        return {
            "passed": self.passed,
            "kind": self.kind.value,
            "reasons": list(self.reasons),
            "figures": self.figures,
        }

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Verdict:
        """The verdict back from what `to_json` gave."""
        kind = VerdictKind(row["kind"])
        return cls(bool(row["passed"]), kind, tuple(row.get("reasons", ())), dict(row.get("figures", {})))


def judge(candidate: Scores, live: Scores, *, test_texts: int, minimum: int) -> Verdict:
    """Let a candidate pass whose F1 on the test part is not below the live version's.

    Below `minimum` test texts a candidate that passes does so provisionally. Without any test text the run waits
    and asks for no verdict.
    """
    gain = candidate.f1 - live.f1
    passed = gain >= -ROUNDING
    few = test_texts < minimum
    kind = VerdictKind.REFUSED if not passed else VerdictKind.PROVISIONAL if few else VerdictKind.PASSED
    reasons = [_compare(candidate, live, gain=gain, test_texts=test_texts)]
    if few:
        reasons.append(
            f"The comparison is provisional: {_count(test_texts, 'verified test text')}, "
            f"a firm verdict needs {minimum}."
        )
    if not candidate.support:
        reasons.append("The test texts hold no labelled span, so the comparison says little.")
    return Verdict(passed, kind, tuple(reasons), _figures(candidate, live, test_texts=test_texts, minimum=minimum))


def _compare(candidate: Scores, live: Scores, *, gain: float, test_texts: int) -> str:
    on = f"on the same {_count(test_texts, 'test text')} with {_count(candidate.support, 'labelled span')}"
    if abs(gain) <= ROUNDING:
        return f"The candidate's F1 of {candidate.f1:.3f} equals the live version's {on}."
    side = "above" if gain > 0 else "below"
    return (
        f"The candidate's F1 of {candidate.f1:.3f} is {abs(gain):.3f} {side} the live version's {live.f1:.3f} {on}: "
        f"precision {candidate.precision:.3f} against {live.precision:.3f}, "
        f"recall {candidate.recall:.3f} against {live.recall:.3f}."
    )


def _figures(candidate: Scores, live: Scores, *, test_texts: int, minimum: int) -> dict[str, Any]:
    return {
        "test_texts": test_texts,
        "minimum_test_texts": minimum,
        "spans": candidate.support,
        "candidate": {"f1": candidate.f1, "precision": candidate.precision, "recall": candidate.recall},
        "live": {"f1": live.f1, "precision": live.precision, "recall": live.recall},
        "gain": candidate.f1 - live.f1,
    }


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
