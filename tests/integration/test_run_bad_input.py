"""Data that a run cannot use as it stands: each has its name, and the live version goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.rows import span_of
from tests.integration.shop import Shop
from training.intake import Person
from training.spans import Span
from training.store.tables.runs import RunStatus
from training.store.unit_of_work import Store


@pytest.fixture
def shop(sqlite_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """A shop whose version 0 finds nothing."""
    return Shop.open(sqlite_store, tmp_path, monkeypatch)


def fill(shop: Shop) -> dict[str, list[int]]:
    """Verified texts in every part, with a name in each."""
    return {part: shop.annotate(part, count) for part, count in (("train", 6), ("dev", 2), ("test", 3))}


def test_run_of_a_single_label_goes_through(shop: Shop) -> None:
    """Where only one of the labels occurs, the run judges by it and names those that nothing was learnt of."""
    fill(shop)
    outcome = shop.execute(run_id := shop.ask(promote=True))
    assert (outcome.status, outcome.activated) == (RunStatus.COMPLETED, True)
    metrics = shop.run(run_id).metrics or {}
    assert metrics["labels_without_training_texts"] == metrics["labels_without_test_texts"] == ["SSN", "CITY"]
    assert set(metrics["candidate"]["per_label"]) == {"PERSON"}


def test_run_with_a_label_that_only_the_test_part_shows_counts_it_as_missed(shop: Shop) -> None:
    """A label without training texts counts against the candidate, and the run names it."""
    numbers = fill(shop)
    shop.submit(numbers["test"][0], label="SSN", at=50)
    shop.execute(run_id := shop.ask())
    metrics = shop.run(run_id).metrics or {}
    assert "SSN" in metrics["labels_without_training_texts"]
    assert metrics["candidate"]["per_label"]["SSN"]["recall"] == 0.0
    assert metrics["candidate"]["confusion"]["SSN"] == {"PERSON": 1}


def test_run_with_a_label_that_only_training_texts_show_judges_by_the_others(shop: Shop) -> None:
    """A label without test texts neither helps nor hurts a candidate, and the run names it."""
    numbers = fill(shop)
    shop.submit(numbers["train"][0], label="CITY", at=50)
    outcome = shop.execute(run_id := shop.ask(promote=True))
    metrics = shop.run(run_id).metrics or {}
    assert outcome.activated
    assert "CITY" not in metrics["labels_without_training_texts"]
    assert "CITY" in metrics["labels_without_test_texts"]


def test_run_leaves_out_spans_that_hold_nothing(shop: Shop) -> None:
    """Empty spans, white space and places outside the text are reported with their annotation, and never train."""
    numbers = fill(shop)
    spoilt = numbers["train"][0]
    text = shop.texts[spoilt]
    name = span_of(text, text.split()[0], "PERSON")
    odd = [Span(2, 2, "CITY"), Span(text.index(" "), text.index(" ") + 1, "SSN"), Span(5, len(text) + 9, "CITY")]
    shop.desk.annotate(spoilt, spoilt, name, *odd, at=50)
    shop.execute(shop.ask())
    ((train, _, _),) = shop.trained
    assert next(example.spans for example in train if example.text == text) == (name,)
    with shop.store.read() as uow:
        row = uow.annotations.find(1, spoilt)
    assert row is not None
    assert sorted(problem["problem"] for problem in row.problems) == ["empty", "out_of_text", "whitespace"]


def test_run_takes_one_answer_where_annotators_contradict_each_other(shop: Shop) -> None:
    """Of contradicting annotations the newest trains, and the conflict is reported with what was taken."""
    numbers = fill(shop)
    text = shop.texts[numbers["train"][0]]
    other = span_of(text, text.split()[1], "CITY")
    shop.desk.annotate(900, numbers["train"][0], other, at=60, person=Person("8", "ben"))
    shop.execute(shop.ask())
    ((train, _, _),) = shop.trained
    assert next(example.spans for example in train if example.text == text) == (other,)
    example = shop.desk.example(text)
    assert example is not None
    assert "annotation 900 is taken" in (example.conflict or "")


def test_run_against_a_live_version_with_damaged_files_fails_before_it_trains(shop: Shop) -> None:
    """A damaged live version is named with the way out, nothing is trained, and after a rollback runs go on."""
    fill(shop)
    assert shop.execute(shop.ask(promote=True)).activated
    (place,) = shop.artefacts()
    folder = Path(shop.workshop.artefacts._root) / place
    (folder / "model").write_text("rotten")
    shop.trained.clear()
    outcome = shop.execute(run_id := shop.ask())
    assert outcome.status == RunStatus.FAILED
    run = shop.run(run_id)
    assert run.error_code == "artefact_corrupt"
    assert "spanloop-v1, which is live, cannot be compared with" in (run.error or "")
    assert "spanloop models rollback" in (run.error or "")
    assert (shop.trained, shop.live()) == ([], "spanloop-v1")
    shop.roll_back()
    assert shop.execute(shop.ask(promote=True)).activated
    assert shop.live() == "spanloop-v2"
