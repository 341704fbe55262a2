"""Imports between a store and Label Studio: nothing twice, nothing lost, proposals and annotations."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, cast

import pytest

from config.errors import Conflict, LabelStudioUnavailable, NotFound
from sync.importing import ImportReport, check_rows, import_rows
from sync.proposing import show_proposals
from tests.integration.loop import Loop
from tests.integration.rows import span_of
from training.formats.rows import RejectedRow, Row
from training.spans import Span, hash_text, parse_spans
from training.store.tables.annotations import PredictionKind
from training.store.tables.texts import Task
from training.store.unit_of_work import Store

TEXT = "Ada Byron lives in Turin."
ADA = span_of(TEXT, "Ada Byron", "PERSON")
PROPOSED = Row(1, TEXT, (ADA,))
PLAIN = Row(2, "Nothing to see in this one.")


@pytest.fixture
def loop(store: Store) -> Loop:
    """A project that the store and a Label Studio know."""
    return Loop.start(store)


def bring_in(loop: Loop, rows: Iterable[Row | RejectedRow], **options: Any) -> ImportReport:
    """Import rows."""
    client: Any = loop.fake
    return import_rows(loop.store, client, loop.project_id, rows, clock=loop.clock, **options)


def figures(report: ImportReport) -> tuple[int, int, int, int, int]:
    """Imported, proposals, verified, known, rejected."""
    return report.imported, report.proposals, report.verified, report.known, len(report.rejected)


def task_of(loop: Loop, text: str) -> Task:
    """The mirrored task of a text."""
    with loop.store.read() as uow:
        row = uow.texts.find_text(loop.project_id, hash_text(text))
        assert row is not None
        (task,) = uow.texts.tasks_of_text(row.id)
    return task


def test_importing_makes_mirrored_tasks_in_order(loop: Loop) -> None:
    """Texts become tasks in their order, and the store knows them without any webhook."""
    texts = [f"Text number {word} stands by itself" for word in ("one", "two", "three")]
    seen: list[int] = []
    report = bring_in(loop, [Row(n, text) for n, text in enumerate(texts, 1)], on_progress=seen.append)
    assert figures(report) == (3, 0, 0, 0, 0)
    assert [task.data["text"] for task in loop.fake.tasks.values()] == texts
    with loop.store.read() as uow:
        assert uow.texts.task_ids(loop.project_id) == set(loop.fake.tasks)
        assert uow.texts.count_unpushed(loop.project_id, "spanloop-v0") == 3
    assert seen == [3]


def test_importing_leaves_out_what_is_there(loop: Loop) -> None:
    """A text that stands twice in the file, or is a task already, goes in once; the same file again changes nothing."""
    rows = [PROPOSED, PLAIN, Row(3, PLAIN.text), Row(4, TEXT)]
    assert figures(bring_in(loop, rows)) == (2, 1, 0, 2, 0)
    assert figures(bring_in(loop, rows)) == (0, 0, 0, 4, 0)
    assert len(loop.fake.tasks) == 2


def test_importing_lists_a_text_that_comes_again_with_other_spans(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first row's spans are taken; one with others is rejected by its line, in whatever batch, now and again."""
    monkeypatch.setattr("sync.importing.BATCH", 2)
    turin = span_of(TEXT, "Turin", "CITY")
    rows = [PROPOSED, PLAIN, Row(3, TEXT, (turin,)), Row(4, TEXT, (ADA,)), Row(5, TEXT), Row(6, PLAIN.text, ())]
    first = bring_in(loop, rows)
    assert figures(first) == (2, 1, 0, 2, 2)
    assert [(row.line, row.reason, row.value) for row in first.rejected] == [
        (line, f"repeats the text of row {of} with other spans; those of row {of} are taken", text)
        for line, of, text in ((3, 1, TEXT), (6, 2, PLAIN.text))
    ]
    assert figures(bring_in(loop, rows)) == (0, 0, 0, 4, 2)
    assert parse_spans(task_of(loop, TEXT).proposal or []) == (ADA,)


def test_importing_leaves_out_tasks_that_the_store_had_not_heard_of(loop: Loop) -> None:
    """A task whose webhook was lost is found before the import, so that its text does not go in twice."""
    loop.add_task(TEXT)
    assert figures(bring_in(loop, [PROPOSED, PLAIN])) == (1, 0, 0, 1, 0)
    assert len(loop.fake.tasks) == 2


def test_importing_brings_spans_to_tasks_that_had_none(loop: Loop) -> None:
    """A task that nobody has spoken of shows the file's spans as a proposal; what was proposed once stays."""
    bring_in(loop, [Row(1, TEXT), PLAIN])
    task = task_of(loop, TEXT)
    dry = check_rows(loop.store, loop.project_id, [PROPOSED, PLAIN], clock=loop.clock)
    report = bring_in(loop, [PROPOSED, PLAIN])
    assert figures(report) == figures(dry) == (0, 0, 0, 2, 0)
    assert report.spans_added == dry.spans_added == 1
    show_proposals(loop.store, cast("Any", loop.fake), loop.project_id, limit=10, clock=loop.clock)
    assert parse_spans(task_of(loop, TEXT).proposal or []) == (ADA,)
    assert ADA.start in [region["value"]["start"] for region in loop.fake.list_predictions(task.id)[0].result]
    assert bring_in(loop, [Row(1, TEXT, ())]).spans_added == 0
    assert parse_spans(task_of(loop, TEXT).proposal or []) == (ADA,)


def test_importing_verifies_tasks_that_are_there(loop: Loop) -> None:
    """A reviewer's import verifies what was proposed, or not spoken of, on its own task; an annotator's word stays."""
    other = Row(3, "Ada Byron wrote this one.", (Span(0, 9, "PERSON"),))
    mine = Row(4, "Ada Byron knows that.", ())
    bring_in(loop, [PROPOSED, Row(3, other.text), mine])
    loop.annotate(task_of(loop, mine.text).id, ("Ada Byron", "PERSON"))
    loop.sync()
    overlapping = replace(PLAIN, spans=(Span(0, 7, "PERSON"), Span(0, 10, "PERSON")))
    bring_in(loop, [PLAIN])
    report = bring_in(loop, [PROPOSED, other, mine, overlapping], verified=True)
    assert (report.known, report.spans_added, [row.line for row in report.rejected]) == (4, 2, [PLAIN.line])
    assert len(loop.fake.tasks) == 4
    with loop.store.read() as uow:
        assert uow.examples.count(loop.project_id).verified == 3
        example = uow.examples.of_hash(loop.project_id, hash_text(mine.text))
    assert example is not None
    assert parse_spans(example.entities) == (Span(0, 9, "PERSON"),)
    assert bring_in(loop, [PROPOSED, other, mine], verified=True).spans_added == 0


def test_importing_takes_a_text_again_whose_task_was_deleted(loop: Loop) -> None:
    """What an annotator threw away can be brought in again."""
    bring_in(loop, [PLAIN])
    loop.fake.delete_task(task_of(loop, PLAIN.text).id)
    loop.sync()
    assert figures(bring_in(loop, [PLAIN])) == (1, 0, 0, 0, 0)


def test_importing_shows_proposed_spans_before_any_model_output(loop: Loop) -> None:
    """Proposed spans come with their task, under the announced version's string, first in the queue, unverified."""
    report = bring_in(loop, [PROPOSED, PLAIN])
    assert figures(report) == (2, 1, 0, 0, 0)
    task = task_of(loop, TEXT)
    (shown,) = loop.fake.list_predictions(task.id)
    assert (shown.model_version, shown.score) == ("spanloop-v0", 0.0)
    assert [(r["value"]["start"], r["value"]["end"], r["value"]["labels"]) for r in shown.result] == [
        (ADA.start, ADA.end, ["PERSON"])
    ]
    assert parse_spans(task.proposal or []) == (ADA,)
    with loop.store.read() as uow:
        assert uow.texts.pushed_task_ids(loop.project_id, "spanloop-v0") == {task.id}
        (example,) = [uow.examples.of_text(loop.project_id, task.text_id or 0)]
    assert example is not None
    assert (example.source, example.verified, parse_spans(example.entities)) == ("imported", False, (ADA,))


def test_importing_lets_the_annotators_submit_verify_a_proposal(loop: Loop) -> None:
    """The submit verifies a proposed text, and what it says of the proposal is no model's merit."""
    bring_in(loop, [PROPOSED])
    loop.annotate(task_of(loop, TEXT).id, ("Ada Byron", "PERSON"))
    loop.sync()
    with loop.store.read() as uow:
        counts = uow.examples.count(loop.project_id)
        (feedback,) = uow.feedback.of_project(loop.project_id)
        result = uow.feedback.get_result(feedback.result_id or "")
    assert (counts.verified, counts.unverified) == (1, 0)
    assert (feedback.is_correct, result.kind) == (True, PredictionKind.PROPOSAL)


def test_importing_knows_a_proposal_whoever_mirrors_its_task_first(loop: Loop) -> None:
    """A webhook that is drained between Label Studio's import and ours makes no plain task of a proposed one."""
    made = loop.fake.import_tasks

    def import_and_drain(*args: Any) -> list[int]:
        ids = made(*args)
        loop.sync()
        return ids

    loop.fake.import_tasks = import_and_drain  # type: ignore[method-assign]
    bring_in(loop, [PROPOSED])
    assert parse_spans(task_of(loop, TEXT).proposal or []) == (ADA,)


def test_importing_goes_on_after_a_crash_between_label_studio_and_the_store(loop: Loop) -> None:
    """Tasks that Label Studio made and the store did not hear of are found by the next try, proposals included."""
    listed = loop.fake.iter_tasks

    def crash(*args: Any, **options: Any) -> Any:
        if options.get("only_ids"):
            raise ZeroDivisionError
        return listed(*args, **options)

    loop.fake.iter_tasks = crash  # type: ignore[method-assign]
    with pytest.raises(ZeroDivisionError):
        bring_in(loop, [PROPOSED, PLAIN])
    loop.fake.iter_tasks = listed  # type: ignore[method-assign]
    assert figures(bring_in(loop, [PROPOSED, PLAIN, Row(3, "And one more.")])) == (1, 0, 0, 2, 0)
    assert len(loop.fake.tasks) == 3
    assert parse_spans(task_of(loop, TEXT).proposal or []) == (ADA,)


def test_importing_verified_makes_annotations(loop: Loop) -> None:
    """With --verified the annotation comes with its task, is verified at once, and a later pull has nothing to add."""
    empty = Row(3, "Verified to hold nothing at all.", ())
    report = bring_in(loop, [PROPOSED, PLAIN, empty], verified=True)
    assert figures(report) == (3, 0, 2, 0, 0)
    assert loop.fake.list_predictions(task_of(loop, TEXT).id) == []
    with loop.store.read() as uow:
        counts = uow.examples.count(loop.project_id)
        example = uow.examples.of_text(loop.project_id, task_of(loop, TEXT).text_id or 0)
        standing = uow.annotations.standing_ids(loop.project_id)
    assert example is not None
    assert (counts.verified, parse_spans(example.entities), example.source) == (2, (ADA,), "imported")
    assert [task_of(loop, row.text).is_labeled for row in (PROPOSED, PLAIN, empty)] == [True, False, True]
    before = loop.snapshot()
    loop.reconcile(full=True)
    assert loop.snapshot() == before
    assert len(standing) == 2


@pytest.mark.parametrize("rule", ["submitted", "ground_truth", "agreement:2"])
def test_importing_verified_verifies_under_every_rule(store: Store, rule: str) -> None:
    """What a reviewer brings in as verified counts, whatever the project asks of its annotators."""
    loop = Loop.start(store, verification_rule=rule)
    bring_in(loop, [PROPOSED], verified=True)
    with loop.store.read() as uow:
        assert uow.examples.count(loop.project_id).verified == 1


def test_importing_resolves_other_names_of_a_label(store: Store) -> None:
    """A span under an alias comes in under the project's leaf."""
    loop = Loop.start(store)
    with store.write() as uow:
        project = uow.projects.lock(loop.project_id)
        project.taxonomy = [{**row, "aliases": ["PER"] if row["name"] == "PERSON" else []} for row in project.taxonomy]
        uow.commit()
    bring_in(loop, [Row(1, TEXT, (Span(0, 9, "PER"), Span(0, 9, "person")))])
    assert parse_spans(task_of(loop, TEXT).proposal or []) == (ADA,)


def test_importing_rejects_a_row_with_a_label_that_the_project_lacks(loop: Loop) -> None:
    """A row with an unknown label is left out with the allowed labels, and the rest goes in."""
    strange = Row(7, TEXT, (ADA, Span(0, 3, "DRAGON")))
    broken = RejectedRow(8, "line is not JSON", "{")
    report = bring_in(loop, [strange, broken, PLAIN])
    assert figures(report) == (1, 0, 0, 0, 2)
    assert [(row.line, row.reason) for row in report.rejected] == [
        (7, "label 'DRAGON' is not the project's; it has PERSON, SSN, CITY"),
        (8, "line is not JSON"),
    ]


def test_importing_says_how_far_it_came_when_label_studio_goes_down(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When Label Studio goes down in the middle the error says how many texts went in; again, the rest goes in."""
    monkeypatch.setattr("sync.importing.BATCH", 2)
    rows = [Row(n, f"Text {n} of a longer row of them") for n in range(1, 6)]

    def go_down(line: int) -> None:
        loop.fake.down = line >= 4

    with pytest.raises(LabelStudioUnavailable, match=r"4 texts went in before; run the same import again"):
        bring_in(loop, rows, on_progress=go_down)
    loop.fake.down = False
    assert figures(bring_in(loop, rows)) == (1, 0, 0, 4, 0)
    assert len(loop.fake.tasks) == 5


def test_importing_names_a_project_that_is_not_there(loop: Loop) -> None:
    """An unknown project, or one that was deleted in Label Studio, is one sentence, and nothing goes in."""
    client: Any = loop.fake
    with pytest.raises(NotFound, match="no project 99"):
        import_rows(loop.store, client, 99, [PLAIN], clock=loop.clock)
    loop.fake.delete_project(loop.project_id)
    with pytest.raises(NotFound, match="no project"):
        bring_in(loop, [PLAIN])


def test_importing_refuses_a_project_without_a_version(loop: Loop) -> None:
    """Without a version there is nothing a proposal could be shown under; the answer names the way out."""
    with loop.store.write() as uow:
        uow.projects.lock(loop.project_id).announced_model_id = None
        uow.commit()
    with pytest.raises(Conflict, match="spanloop project adopt"):
        bring_in(loop, [PROPOSED])


def test_importing_sends_large_texts_in_requests_of_their_own(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    """However large the texts, no request grows beyond its bound."""
    monkeypatch.setattr("sync.importing.LARGEST_BATCH_CHARS", 1000)
    sizes: list[int] = []
    made = loop.fake.import_tasks

    def measure(project_id: int, tasks: Any) -> list[int]:
        sizes.append(len(tasks))
        return made(project_id, tasks)

    loop.fake.import_tasks = measure  # type: ignore[method-assign]
    bring_in(loop, [Row(n, f"{n} " * 200) for n in range(1, 6)])
    assert sizes == [2, 2, 1]


def test_importing_keeps_what_else_a_row_says(loop: Loop) -> None:
    """Other columns stand beside the text in the task's data, and never in its place."""
    bring_in(loop, [Row(1, TEXT, None, {"source": "letters", "text": "something else"})])
    (task,) = loop.fake.tasks.values()
    assert task.data == {"source": "letters", "text": TEXT}


def test_importing_check_changes_nothing(loop: Loop) -> None:
    """A dry run counts what an import would do, and neither Label Studio nor the store is touched."""
    bring_in(loop, [PLAIN])
    strange = Row(7, "Another one", (Span(0, 3, "DRAGON"),))
    report = check_rows(loop.store, loop.project_id, [PROPOSED, PLAIN, strange], clock=loop.clock)
    assert figures(report) == (1, 1, 0, 1, 1)
    assert len(loop.fake.tasks) == 1
    with loop.store.read() as uow:
        assert uow.texts.find_text(loop.project_id, hash_text(TEXT)) is None
