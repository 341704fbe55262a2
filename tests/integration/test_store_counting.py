"""The running counts: whatever happens to feedback and examples, they say what counting every row would."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

from sqlalchemy import delete, select

from tests.integration.rows import NOW, add_project, later
from training.examples.intake import Person, SeenAnnotation, SeenPrediction, SeenTask, record_annotation, record_task
from training.spans import ScoredSpan, Span
from training.store.counting import rebuild_counts
from training.store.tables.annotations import PredictionKind
from training.store.tables.examples import ExampleGroup, TrainingDataset
from training.store.tables.feedback import ClassificationFeedback, Tally
from training.store.tallies import TallyName
from training.store.unit_of_work import Store, UnitOfWork

TEXT = "Ada Byron lives in London."
ADA, LONDON = Span(0, 9, "PERSON"), Span(19, 25, "CITY")


def annotate(store: Store, number: int, *spans: Span, seconds: float = 0, proposal: bool = False) -> None:
    """Let an annotator correct a pre-label of one PERSON on a text of its own."""
    text = f"{number}: {TEXT}"
    moved = [Span(span.start + len(f"{number}: "), span.end + len(f"{number}: "), span.label) for span in spans]
    shown = ScoredSpan(len(f"{number}: "), len(f"{number}: ") + 9, "PERSON", 0.9)
    with store.write() as uow:
        project = uow.projects.lock(1)
        task = record_task(uow, project, SeenTask(number, text, None, True, later(seconds)), now=later(seconds))
        task.proposal = [shown.span.to_json()] if proposal else None
        seen = SeenAnnotation(
            id=number,
            task_id=number,
            spans=tuple(moved),
            problems=(),
            was_cancelled=False,
            ground_truth=False,
            lead_time=None,
            person=Person(f"person-{number % 2}", "a person"),
            parent_prediction=100 + number,
            parent=SeenPrediction(100 + number, "spanloop-v0", (shown,), 0.5, NOW),
            created_at=NOW - timedelta(days=number),
            updated_at=later(seconds),
        )
        record_annotation(uow, project, seen, now=later(seconds))
        uow.commit()


def read_all(uow: UnitOfWork) -> Counter[tuple[str, str, str]]:
    uow.tallies.write()
    rows = uow.session.execute(select(Tally.name, Tally.key, Tally.label, Tally.count).where(Tally.count != 0))
    return Counter({(name, key, label): count for name, key, label, count in rows})


def check_counts(store: Store) -> Counter[tuple[str, str, str]]:
    """The counts, after holding them against what counting every row comes to."""
    with store.write() as uow:
        running = read_all(uow)
        rebuild_counts(uow.session, 1)
        assert running == read_all(uow)
        for example in uow.session.scalars(select(TrainingDataset)):
            stored = select(ExampleGroup.name).where(ExampleGroup.example_id == example.id)
            assert sorted(uow.session.scalars(stored)) == example.groups
    return running


def test_store_counting_follows_feedback_as_it_comes_and_changes(store: Store) -> None:
    """A first submit, a changed one and a withdrawn one leave each count where it belongs."""
    add_project(store)
    annotate(store, 1, ADA)
    annotate(store, 2, ADA, LONDON)
    counts = check_counts(store)
    assert counts["feedback_version", "spanloop-v0", "correct"] == 1
    assert counts["feedback_version", "spanloop-v0", "incorrect"] == 1
    annotate(store, 2, ADA, seconds=5)
    counts = check_counts(store)
    assert counts["feedback_version", "spanloop-v0", "correct"] == 2
    assert ("feedback_version", "spanloop-v0", "incorrect") not in counts
    with store.write() as uow:
        row = uow.feedback.of_annotation(1, 2)
        assert row is not None
        row.withdrawn = True
        uow.commit()
    assert check_counts(store)["feedback_version", "spanloop-v0", "correct"] == 1


def test_store_counting_tells_how_each_label_fared(store: Store) -> None:
    """A shown span that is kept, one that is not, and one that was missing are told apart by label."""
    add_project(store)
    annotate(store, 1, ADA)
    annotate(store, 2, LONDON)
    counts = check_counts(store)
    version = "spanloop-v0"
    assert (counts["label_shown", version, "PERSON"], counts["label_kept", version, "PERSON"]) == (2, 1)
    assert (counts["label_wanted", version, "PERSON"], counts["label_wanted", version, "CITY"]) == (1, 1)


def test_store_counting_keeps_proposals_apart(store: Store) -> None:
    """What was said of a proposal never counts as right or wrong of a model."""
    add_project(store)
    annotate(store, 1, ADA, proposal=True)
    counts = check_counts(store)
    assert counts["feedback_version", "spanloop-v0", "proposal_correct"] == 1
    assert not any(name.startswith("label_") for name, _, _ in counts)


def test_store_counting_follows_incorporation(store: Store) -> None:
    """Marking feedback as incorporated, and clearing the mark, moves it from one state to the other."""
    add_project(store)
    annotate(store, 1, ADA)
    annotate(store, 2, LONDON)
    with store.write() as uow:
        text_id = uow.session.scalars(select(ClassificationFeedback.text_id)).first()
        assert text_id is not None
        uow.feedback.mark_incorporated(1, [text_id])
        uow.feedback.mark_incorporated(1, [text_id])
        uow.commit()
    assert sum(n for (name, _, state), n in check_counts(store).items() if name == "feedback_part") == 2
    assert sum(n for (_, _, label), n in check_counts(store).items() if label.endswith(".incorporated")) == 1
    with store.write() as uow:
        uow.feedback.clear_incorporated(1, text_id)
        uow.commit()
    assert not any(label.endswith("incorporated") for _, _, label in check_counts(store))


def test_store_counting_knows_the_groups_of_examples(store: Store) -> None:
    """An example counts under each group that its spans belong to, and no longer once it is gone."""
    add_project(store, taxonomy=[{"name": "PERSON", "group": "PII"}, {"name": "CITY", "group": "PLACE"}])
    annotate(store, 1, ADA, LONDON)
    assert check_counts(store)["example", "verified.label_studio", "PLACE"] == 1
    annotate(store, 1, ADA, seconds=5)
    counts = check_counts(store)
    assert counts["example", "verified.label_studio", "PII"] == 1
    assert counts["example", "verified.label_studio", "PLACE"] == 0
    with store.write() as uow:
        (example,) = uow.session.scalars(select(TrainingDataset))
        uow.examples.remove(example)
        uow.commit()
    assert not any(name == "example" for name, _, _ in check_counts(store))


def test_store_counting_rolls_back_with_its_rows(store: Store) -> None:
    """A unit of work that does not commit leaves the counts as they were."""
    add_project(store)
    annotate(store, 1, ADA)
    with store.write() as uow:
        row = uow.feedback.of_annotation(1, 1)
        assert row is not None
        row.is_correct = False
        uow.session.flush()
    assert check_counts(store)["feedback_version", "spanloop-v0", "correct"] == 1


def test_store_counting_finds_its_way_back(store: Store) -> None:
    """Counts that were lost are made anew from the rows."""
    add_project(store)
    annotate(store, 1, ADA)
    before = check_counts(store)
    with store.write() as uow:
        uow.session.execute(delete(Tally))
        rebuild_counts(uow.session, 1)
        assert read_all(uow) == before
        assert uow.tallies.read(1, TallyName.FEEDBACK_VERSION) == {("spanloop-v0", "correct"): 1}
        assert PredictionKind.MODEL == "model"
