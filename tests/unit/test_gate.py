"""The gate in its first form: not worse by the point estimate."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from training.evaluate import Scores
from training.gate import Verdict, VerdictKind, judge


def scores(f1: float, *, support: int = 40) -> Scores:
    """Scores with this F1 and as much precision and recall."""
    return Scores(precision=f1, recall=f1, f1=f1, support=support, texts=30)


def test_gate_passes_a_better_candidate() -> None:
    """A better candidate passes, and the reason holds both figures and the number of texts."""
    verdict = judge(scores(0.8), scores(0.7), test_texts=30, minimum=20)
    assert (verdict.passed, verdict.kind) == (True, VerdictKind.PASSED)
    assert "0.800 is 0.100 above the live version's 0.700 on the same 30 test texts" in verdict.reasons[0]
    assert verdict.figures["candidate"]["f1"] == 0.8


def test_gate_passes_an_equal_candidate() -> None:
    """Not worse is good enough."""
    verdict = judge(scores(0.1 + 0.2), scores(0.3), test_texts=30, minimum=20)
    assert verdict.passed
    assert "equals" in verdict.reasons[0]


def test_gate_refuses_a_worse_candidate_with_its_figures() -> None:
    """A worse candidate is refused, however small the loss."""
    verdict = judge(scores(0.699), scores(0.7), test_texts=30, minimum=20)
    assert (verdict.passed, verdict.kind) == (False, VerdictKind.REFUSED)
    assert "0.001 below" in verdict.reasons[0]


def test_gate_is_provisional_below_the_minimum() -> None:
    """On too few test texts a candidate passes provisionally, and the reasons say what a firm verdict needs."""
    verdict = judge(scores(0.8), scores(0.7), test_texts=1, minimum=20)
    assert (verdict.passed, verdict.kind) == (True, VerdictKind.PROVISIONAL)
    assert "1 verified test text, a firm verdict needs 20" in verdict.reasons[1]


def test_gate_refuses_on_few_texts_too() -> None:
    """Too few test texts do not help a worse candidate."""
    assert judge(scores(0.5), scores(0.7), test_texts=3, minimum=20).kind is VerdictKind.REFUSED


def test_gate_says_when_the_test_texts_hold_no_span() -> None:
    """A comparison without a single labelled span says so."""
    verdict = judge(scores(0.0, support=0), scores(0.0, support=0), test_texts=30, minimum=20)
    assert verdict.passed
    assert "no labelled span" in verdict.reasons[-1]


@given(st.floats(0, 1), st.floats(0, 1), st.integers(1, 100), st.integers(1, 100))
def test_gate_verdict_survives_its_storage(candidate: float, live: float, texts: int, minimum: int) -> None:
    """A stored verdict comes back as it was, and passes whenever it is not a refusal."""
    verdict = judge(scores(candidate), scores(live), test_texts=texts, minimum=minimum)
    assert Verdict.from_json(verdict.to_json()) == verdict
    assert verdict.passed == (verdict.kind is not VerdictKind.REFUSED)
