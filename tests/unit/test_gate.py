"""The gate: what lets a candidate pass, and what holds it back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.metrics.evaluate import score_spans
from training.metrics.resample import count_texts
from training.spans import Span
from training.versions.gate import GateRules, Measured, Verdict, VerdictKind, judge

LABELS = ("PERSON", "SSN")
RULES = GateRules(min_test_texts=20)


def measured(right: int, texts: int, *, label: str = "PERSON", rare_right: int = 0, rare: int = 0) -> Measured:
    """A version that finds the span of so many texts, of which `rare` hold an SSN, and `rare_right` are found."""
    gold = [[Span(0, 3, label)] for _ in range(texts)] + [[Span(0, 3, "SSN")] for _ in range(rare)]
    found = [one if at < right else [] for at, one in enumerate(gold[:texts])]
    found += [one if at < rare_right else [] for at, one in enumerate(gold[texts:])]
    return Measured(score_spans(gold, found), count_texts(gold, found, LABELS))


def decide(candidate: Measured, live: Measured, **rules: Any) -> Verdict:
    """The verdict under the usual rules but for these."""
    return judge(candidate, live, LABELS, rules=replace(RULES, **rules), seed=0)


def test_gate_passes_a_better_candidate() -> None:
    """A better candidate passes, and the reasons hold both figures, the number of texts and the certainty."""
    verdict = decide(measured(32, 40), measured(24, 40))
    assert (verdict.passed, verdict.kind) == (True, VerdictKind.PASSED)
    assert "0.889 is 0.139 above the live version's 0.750 on the same 40 test texts" in verdict.reasons[0]
    assert "not worse by more than the margin: with 80% confidence" in verdict.reasons[1]
    assert verdict.figures["candidate"]["f1"] == pytest.approx(0.889, abs=1e-3)
    low, high = verdict.figures["gain_interval"]
    assert low < verdict.figures["gain"] < high
    assert verdict.figures["probability_better"] > 0.99


def test_gate_passes_an_equal_candidate() -> None:
    """Not worse is good enough."""
    verdict = decide(measured(30, 40), measured(30, 40))
    assert verdict.kind is VerdictKind.PASSED
    assert "equals" in verdict.reasons[0]


def test_gate_lets_a_loss_within_the_margin_pass() -> None:
    """What a few test texts cannot tell from chance, and is small, does not hold progress up."""
    verdict = decide(measured(38, 43), measured(39, 43))
    assert verdict.figures["gain"] < 0
    assert verdict.kind is VerdictKind.PASSED


def test_gate_refuses_a_loss_beyond_the_margin() -> None:
    """A candidate that may be much worse is refused, with the bound that says so."""
    verdict = decide(measured(24, 40), measured(32, 40))
    assert (verdict.passed, verdict.kind) == (False, VerdictKind.REFUSED)
    assert "may be worse by more than the margin" in verdict.reasons[1]
    assert verdict.figures["lower_bound"] < -RULES.margin


def test_gate_judges_strictly_without_a_margin() -> None:
    """With a margin of 0 a candidate must be surely no worse."""
    assert not decide(measured(39, 43), measured(40, 43), margin=0.0).passed
    assert decide(measured(40, 43), measured(40, 43), margin=0.0).passed


def test_gate_is_provisional_below_the_minimum() -> None:
    """On too few test texts a candidate that is not worse passes provisionally, and the reasons say what is missing."""
    verdict = decide(measured(1, 1), measured(0, 1))
    assert (verdict.passed, verdict.kind) == (True, VerdictKind.PROVISIONAL)
    assert "1 verified test text, a firm verdict needs 20" in verdict.reasons[-1]


def test_gate_refuses_any_loss_on_few_texts() -> None:
    """Below the minimum the point estimate decides, and no margin helps."""
    assert decide(measured(9, 12), measured(10, 12)).kind is VerdictKind.REFUSED


def test_gate_wants_the_gain_that_the_project_wants() -> None:
    """A candidate whose gain is too small is refused, however sure it is."""
    assert decide(measured(33, 40), measured(32, 40), min_gain=0.01).passed
    verdict = decide(measured(33, 40), measured(32, 40), min_gain=0.05)
    assert not verdict.passed
    assert "under the 0.050 that the project wants" in verdict.reasons[1]


def test_gate_holds_the_recall_floor_of_a_label_with_enough_support() -> None:
    """Below its floor a label refuses the candidate, even where the live version is no better."""
    candidate, live = (measured(40, 40, rare=12, rare_right=right) for right in (6, 3))
    verdict = decide(candidate, live, recall_floors={"SSN": 0.9})
    assert not verdict.passed
    assert "recall of SSN is 0.500, under the floor of 0.900 (12 spans" in verdict.reasons[1]
    assert decide(candidate, live, recall_floors={"SSN": 0.9}, min_label_support=13).passed
    assert decide(candidate, live, recall_floors={"CITY": 0.9}).passed


def test_gate_refuses_a_candidate_that_gives_up_a_label() -> None:
    """A gain elsewhere does not make up for a label that is lost beyond chance."""
    candidate, live = measured(95, 100, rare=12, rare_right=2), measured(80, 100, rare=12, rare_right=11)
    verdict = decide(candidate, live)
    assert not verdict.passed
    assert "F1 of SSN fell by" in verdict.reasons[1]
    assert decide(candidate, live, max_label_loss=0.9).passed
    assert decide(candidate, live, min_label_support=13).passed


def test_gate_says_when_the_test_texts_hold_no_span() -> None:
    """A comparison without a single labelled span says so."""
    empty = Measured(score_spans([[]] * 30, [[]] * 30), count_texts([[]] * 30, [[]] * 30, LABELS))
    verdict = decide(empty, empty)
    assert verdict.passed
    assert "no labelled span" in verdict.reasons[-1]


def test_gate_survives_a_test_part_of_a_single_label() -> None:
    """A label without any test text, and one that is predicted but never right, are no obstacle."""
    gold = [[Span(0, 3, "PERSON")]] * 25
    noise = [[Span(0, 3, "SSN")]] * 25
    candidate = Measured(score_spans(gold, gold), count_texts(gold, gold, LABELS))
    live = Measured(score_spans(gold, noise), count_texts(gold, noise, LABELS))
    assert decide(candidate, live, recall_floors={"SSN": 0.9}).kind is VerdictKind.PASSED


@given(st.integers(0, 30), st.integers(0, 30), st.integers(1, 60))
def test_gate_verdict_survives_its_storage(candidate: int, live: int, minimum: int) -> None:
    """A stored verdict comes back as it was, and passes whenever it is not a refusal."""
    verdict = decide(measured(candidate, 30), measured(live, 30), min_test_texts=minimum)
    assert Verdict.from_json(verdict.to_json()) == verdict
    assert verdict.passed == (verdict.kind is not VerdictKind.REFUSED)
