"""What is measured of a version beside its exact scores: confusion, near misses, intervals, the worst texts."""

from __future__ import annotations

import json

import pytest

from training.metrics.confusion import confuse
from training.metrics.evaluate import Scores
from training.metrics.evaluation import GoldText, evaluate, list_metrics
from training.metrics.partial_match import PartialMatch, score_partially
from training.spans import Span

LABELS = ("PERSON", "CITY", "SSN")
ADA, LONDON = Span(0, 9, "PERSON"), Span(20, 26, "CITY")


def test_confusion_pairs_each_gold_span_with_what_stands_in_its_place() -> None:
    """The same place comes before more characters in common, and what touches nothing is missed or spurious."""
    gold = [[ADA, LONDON], [Span(0, 4, "SSN")]]
    found = [[Span(0, 9, "CITY"), Span(18, 26, "CITY")], [Span(10, 14, "PERSON")]]
    assert confuse(gold, found) == {
        "PERSON": {"CITY": 1},
        "CITY": {"CITY": 1},
        "SSN": {"missed": 1},
        "spurious": {"PERSON": 1},
    }


def test_confusion_lets_a_span_meet_one_other_at_most() -> None:
    """One prediction over two gold spans leaves one of them missed."""
    assert confuse([[Span(0, 4, "PERSON"), Span(5, 12, "PERSON")]], [[Span(0, 12, "PERSON")]]) == {
        "PERSON": {"PERSON": 1, "missed": 1}
    }


def test_partial_match_counts_a_near_miss_half() -> None:
    """A span with one wrong end counts half by its boundaries, and whole by its type."""
    found = score_partially([[ADA], [LONDON]], [[Span(4, 9, "PERSON")], [Span(20, 26, "PERSON")]])
    assert (found.boundaries.correct, found.boundaries.partial, found.boundaries.f1) == (1, 1, 0.75)
    assert (found.type.correct, found.type.incorrect) == (1, 1)
    assert found.per_label["PERSON"].partial == 1
    assert PartialMatch.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_partial_match_takes_ends_as_exclusive() -> None:
    """Spans that only touch do not overlap."""
    found = score_partially([[Span(0, 4, "CITY")]], [[Span(4, 8, "CITY")]])
    assert (found.boundaries.missed, found.boundaries.spurious, found.boundaries.f1) == (1, 1, 0.0)


def test_partial_match_without_any_span_is_zero() -> None:
    """Where nothing is gold and nothing is found every figure is 0."""
    assert score_partially([[], []], [[], []]).boundaries.f1 == 0.0


def test_evaluation_names_the_worst_texts_with_their_tasks() -> None:
    """The texts with the most wrong spans come first, twenty at most, with what was missed and what made up."""
    gold = [GoldText(n, "…", (ADA, LONDON), (n + 100,)) for n in range(30)]
    found = [[ADA, LONDON]] * 5 + [[ADA]] * 24 + [[Span(1, 9, "PERSON")]]
    worst = evaluate(gold, found, LABELS, seed=0).worst
    assert len(worst) == 20
    assert (worst[0].text_id, worst[0].task_ids) == (29, (129,))
    assert (worst[0].missed, worst[0].spurious) == ((ADA, LONDON), (Span(1, 9, "PERSON"),))
    assert [one.text_id for one in worst[1:3]] == [5, 6]


def test_evaluation_is_stored_beside_its_scores() -> None:
    """What is stored is JSON, gives the scores back, and holds intervals of the labels that occur and overall."""
    evaluation = evaluate([GoldText(1, "…", (ADA,))] * 4, [[ADA]] * 3 + [[LONDON]], LABELS, seed=0)
    stored = json.loads(json.dumps(evaluation.to_json()))
    assert Scores.from_json(stored) == evaluation.scores
    assert set(stored["intervals"]["f1"]) == {"PERSON", "CITY", ""}
    low, high = stored["intervals"]["f1"][""]
    assert low <= stored["f1"] <= high
    assert stored["confusion"] == {"PERSON": {"PERSON": 3, "missed": 1}, "spurious": {"CITY": 1}}


def test_evaluation_keeps_its_figures_over_time() -> None:
    """Each figure is a row: exact, partial, by type, interval and kinds of error, overall and by label."""
    evaluation = evaluate([GoldText(1, "…", (ADA, LONDON))], [[ADA, Span(20, 25, "SSN")]], LABELS, seed=0)
    rows = {(name, label): (value, support) for name, label, value, support in list_metrics(evaluation)}
    assert rows["f1_score", "PERSON"] == (1.0, 1)
    assert rows["partial_f1", ""] == (0.75, 2)
    assert rows["type_f1", ""] == (0.5, 2)
    assert rows["mislabelled", "CITY"] == (1, 1)
    assert rows["f1_high", ""][0] >= rows["f1_score", ""][0] >= rows["f1_low", ""][0]


@pytest.mark.parametrize("found", [[], [ADA]])
def test_evaluation_of_one_text_and_one_label_works(found: list[Span]) -> None:
    """One text with one label is enough to be measured, found or not."""
    evaluation = evaluate([GoldText(1, "…", (ADA,))], [found], ("PERSON",), seed=0)
    assert evaluation.scores.support == 1
    assert len(evaluation.worst) == 1 - len(found)
