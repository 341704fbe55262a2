"""Who speaks for a task in a test, and which version fared better with annotators."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.spans import Span
from training.versions.arms import Answer, Arm, arm_of, compare_arms

ADA, CITY = Span(0, 3, "PERSON"), Span(10, 14, "CITY")


def answers(arm: Arm, right: int, texts: int, *, first: int = 0, honest: bool = False) -> list[Answer]:
    """So many texts, each with one name; the version found it in the first `right` of them."""
    return [Answer(first + n, arm, (ADA,) if n < right else (), (ADA,), honest) for n in range(texts)]


def test_arms_give_each_task_the_same_arm_for_ever() -> None:
    """A task's arm follows from the test and the task alone, and another test deals anew."""
    first = [arm_of("one", task, 0.3) for task in range(200)]
    assert first == [arm_of("one", task, 0.3) for task in range(200)]
    assert first != [arm_of("two", task, 0.3) for task in range(200)]


@given(st.floats(0.01, 0.99))
def test_arms_share_tasks_as_told(fraction: float) -> None:
    """The challenger gets about its fraction of the tasks, and never loses one when the fraction grows."""
    mine = {task for task in range(2000) if arm_of("test", task, fraction) is Arm.CHALLENGER}
    assert abs(len(mine) / 2000 - fraction) < 0.06
    assert mine <= {task for task in range(2000) if arm_of("test", task, min(1, fraction + 0.1)) is Arm.CHALLENGER}


def test_arms_count_what_annotators_left_and_changed() -> None:
    """A version's figures: the share left as it was, edits per text, and its spans against what was submitted."""
    shown = [
        Answer(1, Arm.LIVE, (ADA, CITY), (ADA, CITY)),
        Answer(2, Arm.LIVE, (ADA,), (Span(0, 4, "PERSON"),)),
        Answer(3, Arm.LIVE, (), ()),
    ]
    live = compare_arms(shown, paired=False, min_texts=1, seed=0).live
    assert (live.texts, live.accepted, live.acceptance_rate) == (3, 2, pytest.approx(2 / 3))
    assert live.edits_per_text == pytest.approx(1 / 3)
    assert (live.precision, live.recall) == (pytest.approx(2 / 3), pytest.approx(2 / 3))


def test_arms_tell_a_clear_loss_from_chance() -> None:
    """A challenger that is much worse has lost; one that is a little worse on few texts has not."""
    clear = compare_arms(
        answers(Arm.LIVE, 36, 40) + answers(Arm.CHALLENGER, 10, 40, first=100), paired=False, min_texts=30, seed=0
    )
    assert clear.lost
    assert clear.contrasts["acceptance_rate"].difference == pytest.approx(-0.65)
    assert clear.contrasts["f1"].p_value < 0.01
    slight = compare_arms(
        answers(Arm.LIVE, 36, 40) + answers(Arm.CHALLENGER, 35, 40, first=100), paired=False, min_texts=30, seed=0
    )
    assert not slight.lost
    assert slight.contrasts["acceptance_rate"].p_value > 0.5
    json.dumps(clear.to_json())


def test_arms_are_paired_where_both_answered_the_same_texts() -> None:
    """In a shadow test a few texts tell much, and texts that only one version answered are left out."""
    live, shadow = answers(Arm.LIVE, 12, 22), answers(Arm.CHALLENGER, 20, 20)
    found = compare_arms([*live, *shadow], paired=True, min_texts=10, seed=0)
    assert (found.live.texts, found.challenger.texts) == (20, 20)
    assert found.contrasts["f1"].difference > 0
    assert found.contrasts["acceptance_rate"].p_value < 0.05


def test_arms_are_compared_on_the_honest_slice_where_it_is_large_enough() -> None:
    """Texts that came up by chance count alone once each version has enough of them."""
    ordered = answers(Arm.LIVE, 0, 50) + answers(Arm.CHALLENGER, 50, 50, first=100)
    honest = answers(Arm.LIVE, 10, 10, first=200, honest=True) + answers(Arm.CHALLENGER, 10, 10, first=300, honest=True)
    found = compare_arms(ordered + honest, paired=False, min_texts=10, seed=0)
    assert (found.basis, found.live.texts, found.contrasts["f1"].difference) == ("honest", 10, 0)
    assert compare_arms(ordered + honest, paired=False, min_texts=11, seed=0).basis == "all"


def test_arms_without_an_answer_are_no_error() -> None:
    """Before anybody has annotated there are no contrasts, and nobody has lost."""
    found = compare_arms([], paired=True, min_texts=10, seed=0)
    assert (found.contrasts, found.lost, found.live.acceptance_rate) == ({}, False, None)


def test_arms_permutation_test_is_right_about_chance() -> None:
    """Where both versions are the same, about one test in twenty finds a difference at 0.05."""
    found = 0
    for seed in range(40):
        dealt = [
            Answer(n, arm_of(f"{seed}", n, 0.5), (ADA,) if (n * 7919 + seed * 104729) % 10 < 6 else (), (ADA,))
            for n in range(60)
        ]
        found += compare_arms(dealt, paired=False, min_texts=1, seed=seed).contrasts["acceptance_rate"].p_value < 0.05
    assert found <= 6
