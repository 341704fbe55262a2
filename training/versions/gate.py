"""The gate: may a candidate serve in place of the live version? (rule 10) Both were scored on the same test texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from training.metrics.evaluate import LabelScores, Scores
from training.metrics.resample import Counts, Difference, compare_counts

# F1 is a quotient of counts: a difference below this is the arithmetic's, not the model's.
ROUNDING = 1e-9
# A label's loss must stand out from chance this clearly: with thirty labels, some always seem to lose.
LABEL_EVIDENCE = 0.95


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


@dataclass(frozen=True)
class GateRules:
    """What a candidate must hold to; the project's settings of the same names describe each."""

    min_test_texts: int = 20
    margin: float = 0.05
    confidence: float = 0.8
    min_gain: float = 0.0
    min_label_support: int = 10
    max_label_loss: float = 0.2
    recall_floors: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Measured:
    """A version on the test texts: its scores and its counts by text (metrics/resample.py), labels in one order."""

    scores: Scores
    counts: Counts


def judge(candidate: Measured, live: Measured, labels: Sequence[str], *, rules: GateRules, seed: int) -> Verdict:
    """Judge a candidate by the same test texts as the live version.

    Below the minimum number of texts a candidate passes, provisionally, whose F1 is not below the live version's.
    From the minimum on it must not be worse by more than the margin, at the wanted confidence (paired bootstrap by
    text). Whatever the number, it must have the wanted gain, keep the recall floors, and must not lose too much of a
    label; labels with too little support are left out. Without any test text the run waits and asks for no verdict.
    """
    texts = candidate.scores.texts
    few = texts < rules.min_test_texts
    differences = compare_counts(live.counts, candidate.counts, seed=seed)["f1"]
    overall = differences[-1]
    refusals = [
        *([] if few else _check_margin(overall, rules)),
        *(_check_estimate(overall) if few else []),
        *_check_gain(overall, rules),
        *_check_floors(candidate.scores, rules),
        *_check_losses(candidate.scores, live.scores, dict(zip(labels, differences, strict=False)), rules),
    ]
    kind = VerdictKind.REFUSED if refusals else VerdictKind.PROVISIONAL if few else VerdictKind.PASSED
    reasons = [_compare(candidate.scores, live.scores), *refusals]
    if not few and not refusals:
        reasons.append(_say_margin(overall, rules))
    if few:
        reasons.append(
            f"The comparison is provisional: {_count(texts, 'verified test text')}, "
            f"a firm verdict needs {rules.min_test_texts}."
        )
    if not candidate.scores.support:
        reasons.append("The test texts hold no labelled span, so the comparison says little.")
    figures = _figures(candidate.scores, live.scores, overall, rules)
    return Verdict(not refusals, kind, tuple(reasons), figures)


def _check_estimate(overall: Difference) -> Iterator[str]:
    if overall.value < -ROUNDING:
        yield "With so few test texts, a candidate whose F1 is below the live version's is refused."


def _check_margin(overall: Difference, rules: GateRules) -> Iterator[str]:
    if overall.lower_bound(rules.confidence) < -rules.margin - ROUNDING:
        yield f"It may be worse by more than the margin: {_say_bound(overall, rules)}"


def _say_margin(overall: Difference, rules: GateRules) -> str:
    return f"It is not worse by more than the margin: {_say_bound(overall, rules)}"


def _say_bound(overall: Difference, rules: GateRules) -> str:
    bound = overall.lower_bound(rules.confidence)
    return (
        f"with {rules.confidence:.0%} confidence its F1 is at worst {abs(bound):.3f} "
        f"{'above' if bound >= 0 else 'below'} the live version's, and {rules.margin:.3f} below is allowed."
    )


def _check_gain(overall: Difference, rules: GateRules) -> Iterator[str]:
    if rules.min_gain > 0 and overall.value < rules.min_gain - ROUNDING:
        yield f"Its gain in F1 of {overall.value:.3f} is under the {rules.min_gain:.3f} that the project wants."


def _check_floors(candidate: Scores, rules: GateRules) -> Iterator[str]:
    for label, floor in sorted(rules.recall_floors.items()):
        scores = candidate.per_label.get(label)
        if scores is not None and scores.support >= rules.min_label_support and scores.recall < floor - ROUNDING:
            yield (
                f"Its recall of {label} is {scores.recall:.3f}, under the floor of {floor:.3f} "
                f"({_count(scores.support, 'span')} in the test texts)."
            )


def _check_losses(
    candidate: Scores, live: Scores, differences: Mapping[str, Difference], rules: GateRules
) -> Iterator[str]:
    for label, before in sorted(live.per_label.items()):
        after = candidate.per_label.get(label, LabelScores(0.0, 0.0, 0.0, before.support, 0, 0))
        lost = before.f1 - after.f1
        if label not in differences or before.support < rules.min_label_support or lost <= rules.max_label_loss:
            continue
        if 1 - differences[label].better >= LABEL_EVIDENCE:
            yield (
                f"Its F1 of {label} fell by {lost:.3f} to {after.f1:.3f}, and {rules.max_label_loss:.3f} is allowed "
                f"({_count(before.support, 'span')} in the test texts)."
            )


def _compare(candidate: Scores, live: Scores) -> str:
    on = f"on the same {_count(candidate.texts, 'test text')} with {_count(candidate.support, 'labelled span')}"
    gain = candidate.f1 - live.f1
    if abs(gain) <= ROUNDING:
        return f"The candidate's F1 of {candidate.f1:.3f} equals the live version's {on}."
    side = "above" if gain > 0 else "below"
    return (
        f"The candidate's F1 of {candidate.f1:.3f} is {abs(gain):.3f} {side} the live version's {live.f1:.3f} {on}: "
        f"precision {candidate.precision:.3f} against {live.precision:.3f}, "
        f"recall {candidate.recall:.3f} against {live.recall:.3f}."
    )


def _figures(candidate: Scores, live: Scores, overall: Difference, rules: GateRules) -> dict[str, Any]:
    return {
        "test_texts": candidate.texts,
        "spans": candidate.support,
        "candidate": {"f1": candidate.f1, "precision": candidate.precision, "recall": candidate.recall},
        "live": {"f1": live.f1, "precision": live.precision, "recall": live.recall},
        "gain": candidate.f1 - live.f1,
        "gain_interval": overall.interval.to_json(),
        "lower_bound": round(overall.lower_bound(rules.confidence), 6),
        "probability_better": round(overall.better, 4),
        "rules": {**asdict(rules), "recall_floors": dict(rules.recall_floors)},
    }


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
