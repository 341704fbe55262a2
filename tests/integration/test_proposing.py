"""Proposals on their way from outside to the annotators' queue."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from config.errors import LabelStudioError, LabelStudioUnavailable
from sync.importing import import_rows
from sync.marking import show_marks
from sync.proposing import Shown, show_proposals
from sync.push import push_predictions
from tests.integration.loop import TEXT, Loop, region
from tests.integration.rows import span_of
from tests.integration.test_sync_push import fresh
from training.examples.proposals import record_proposal
from training.formats.rows import Row
from training.spans import Span, parse_spans
from training.store.tables.annotations import PredictionKind
from training.store.tables.examples import Source
from training.store.tables.queue import PoolCluster
from training.store.unit_of_work import Store

ADA = span_of(TEXT, "Ada Byron", "PERSON")
LONDON = span_of(TEXT, "London", "CITY")
OTHER = "Another text altogether, of no one"


@pytest.fixture
def loop(store: Store) -> Loop:
    """A project that the store and a Label Studio know."""
    return Loop.start(store)


def propose(loop: Loop, *spans: Span, text: str = TEXT) -> None:
    """What an application's feedback comes to."""
    with loop.store.write() as uow:
        project = uow.projects.lock(loop.project_id)
        record_proposal(uow, project, text, spans, source=Source.USER_FEEDBACK, now=loop.now)
        uow.commit()


def show(loop: Loop, limit: int = 100) -> tuple[int, int, int]:
    client: Any = loop.fake
    shown: Shown = show_proposals(loop.store, client, loop.project_id, limit=limit, clock=loop.clock)
    return shown.made, shown.replaced, shown.refused


def waiting(loop: Loop) -> int:
    with loop.store.read() as uow:
        return uow.proposals.count(loop.project_id)


def shown_spans(loop: Loop, task_id: int) -> list[tuple[list[str], float | None, str]]:
    """Labels, score and version of each prediction that a task holds in Label Studio."""
    return [
        ([r["value"]["labels"][0] for r in p.result], p.score, p.model_version)
        for p in loop.fake.list_predictions(task_id)
    ]


def test_a_proposal_becomes_the_first_task_of_the_queue(loop: Loop) -> None:
    """Its task comes with the proposed spans under the announced version's string, before what a model is unsure of."""
    loop.add_task(OTHER, ("text", "CITY"))
    propose(loop, ADA)
    assert waiting(loop) == 1
    assert show(loop) == (1, 0, 0)
    first = loop.fake.next_task(loop.project_id)
    assert first is not None
    assert first.data == {"text": TEXT, "spanloop": "to_verify"}
    assert shown_spans(loop, first.id) == [(["PERSON"], 0.0, "spanloop-v0")]
    with loop.store.read() as uow:
        task = uow.texts.find_task(loop.project_id, first.id)
        assert task is not None
        assert (task.proposal, task.marks, task.shown_marks) == ([ADA.to_json()], "to_verify", "to_verify")
        assert uow.texts.count_unpushed(loop.project_id, "spanloop-v0") == 1
    assert waiting(loop) == 0
    assert show(loop) == (0, 0, 0)
    assert len(loop.fake.tasks) == 2


def test_a_submit_verifies_a_proposal_and_says_nothing_of_the_model(loop: Loop) -> None:
    """The annotator mends it: the example is verified with the mended spans, its feedback counts for no version."""
    propose(loop, ADA)
    show(loop)
    (task_id,) = loop.fake.tasks
    made = loop.annotate(task_id, ("Ada Byron", "PERSON"), ("London", "CITY"))
    loop.sync()
    example = loop.example()
    assert example is not None
    assert (example.verified, example.source) == (True, Source.USER_FEEDBACK)
    assert parse_spans(example.entities) == tuple(sorted((ADA, LONDON)))
    with loop.store.read() as uow:
        feedback = uow.feedback.of_annotation(loop.project_id, made.id)
        assert feedback is not None
        assert feedback.result_id is not None
        result = uow.feedback.get_result(feedback.result_id)
    assert (feedback.is_correct, result.kind) == (False, PredictionKind.PROPOSAL)
    assert parse_spans(result.entities) == (ADA,)


def test_a_text_that_a_task_holds_shows_the_proposal_in_place(loop: Loop) -> None:
    """The model's pre-label is replaced where it stands, so that a page that is open can still submit."""
    task_id = loop.add_task(TEXT, ("London", "CITY"))
    loop.sync()
    (before,) = loop.fake.list_predictions(task_id)
    propose(loop, ADA)
    assert show(loop) == (0, 1, 0)
    (after,) = loop.fake.list_predictions(task_id)
    assert after.id == before.id
    assert shown_spans(loop, task_id) == [(["PERSON"], 0.0, "spanloop-v0")]
    with loop.store.read() as uow:
        assert uow.texts.proposals(loop.project_id, [task_id]) == {task_id: [ADA.to_json()]}
        assert uow.texts.pushed_task_ids(loop.project_id, "spanloop-v0") == {task_id}
    client: Any = loop.fake
    show_marks(loop.store, client, loop.project_id, limit=10, now=loop.now)
    assert loop.fake.tasks[task_id].data["spanloop"] == "to_verify"
    assert len(loop.fake.tasks) == 1


def test_a_task_without_pre_label_gets_the_proposal(loop: Loop) -> None:
    """A task that no version has spoken of yet gets one under the announced version's string."""
    task_id = loop.add_task(TEXT)
    loop.sync()
    propose(loop, ADA)
    assert show(loop) == (0, 1, 0)
    assert shown_spans(loop, task_id) == [(["PERSON"], 0.0, "spanloop-v0")]


def test_a_mended_proposal_is_shown_anew_and_the_same_again_is_not(loop: Loop) -> None:
    """What is proposed last is shown; the same proposal a second time makes no work."""
    propose(loop, ADA)
    show(loop)
    (task_id,) = loop.fake.tasks
    propose(loop, ADA)
    assert waiting(loop) == 0
    propose(loop, LONDON)
    assert show(loop) == (0, 1, 0)
    assert shown_spans(loop, task_id) == [(["CITY"], 0.0, "spanloop-v0")]


def test_what_is_proposed_while_the_job_runs_comes_after_it(loop: Loop) -> None:
    """A proposal that changes between the claim and the import is shown by the next look, with no second task."""
    propose(loop, ADA)
    really = loop.fake.import_tasks

    def meanwhile(project_id: int, tasks: Any) -> list[int]:
        propose(loop, LONDON)
        return really(project_id, tasks)

    loop.fake.import_tasks = meanwhile  # type: ignore[method-assign]
    show(loop)
    loop.fake.import_tasks = really  # type: ignore[method-assign]
    show(loop)
    (task_id,) = loop.fake.tasks
    assert shown_spans(loop, task_id) == [(["CITY"], 0.0, "spanloop-v0")]
    assert waiting(loop) == 0


def test_a_label_studio_that_is_away_is_tried_again(loop: Loop) -> None:
    """Nothing is lost while it is down, and nothing comes twice after it."""
    propose(loop, ADA)
    loop.fake.down = True
    with pytest.raises(LabelStudioUnavailable):
        show(loop)
    loop.fake.down = False
    assert show(loop) == (1, 0, 0)


def test_a_job_that_broke_off_behind_the_import_makes_no_second_task(loop: Loop) -> None:
    """What got through to Label Studio is pulled before the next try, which only then comes up."""
    propose(loop, ADA)
    really = loop.fake.iter_tasks
    calls: list[int] = []

    def breaks(*args: Any, **options: Any) -> Any:
        if options.get("only_ids") is not None:
            calls.append(1)
            raise LabelStudioUnavailable("Label Studio does not answer")
        return really(*args, **options)

    loop.fake.iter_tasks = breaks  # type: ignore[method-assign]
    with pytest.raises(LabelStudioUnavailable):
        show(loop)
    loop.fake.iter_tasks = really  # type: ignore[method-assign]
    assert len(loop.fake.tasks) == 1
    assert sum(show(loop)) == 1
    assert len(loop.fake.tasks) == 1
    assert waiting(loop) == 0


def test_a_batch_that_somebody_holds_is_left_alone_until_its_lease_ends(loop: Loop) -> None:
    """A second job takes nothing of what the first one claimed; a dead one's claim runs out."""
    propose(loop, ADA)
    with loop.store.write() as uow:
        uow.projects.lock(loop.project_id)
        assert uow.proposals.claim(loop.project_id, limit=10, lease=timedelta(minutes=10), now=loop.now)
        uow.commit()
    assert show(loop) == (0, 0, 0)
    loop.now += timedelta(minutes=11)
    assert show(loop) == (1, 0, 0)


def test_one_refused_text_holds_up_no_other(loop: Loop) -> None:
    """Label Studio refuses a batch for one text: the others go in, that one waits for a while with its reason."""
    propose(loop, ADA)
    propose(loop, text=OTHER)
    really = loop.fake.import_tasks

    def refuses(project_id: int, tasks: Any) -> list[int]:
        if any(task["data"]["text"] == OTHER for task in tasks):
            raise LabelStudioError("data: not like this", status=400)
        return really(project_id, tasks)

    loop.fake.import_tasks = refuses  # type: ignore[method-assign]
    assert show(loop) == (1, 0, 1)
    assert show(loop) == (0, 0, 0)
    assert waiting(loop) == 1
    loop.fake.import_tasks = really  # type: ignore[method-assign]
    loop.now += timedelta(minutes=1)
    assert show(loop) == (1, 0, 0)


def test_a_text_that_annotators_have_settled_is_proposed_to_nobody(loop: Loop) -> None:
    """Spans from outside for a text that is verified change nothing that annotators see."""
    task_id = loop.add_task()
    loop.annotate(task_id, ("London", "CITY"))
    loop.sync()
    propose(loop, ADA)
    assert waiting(loop) == 0
    assert loop.fake.list_predictions(task_id) == []


def test_a_proposal_settled_before_its_turn_waits_no_more(loop: Loop) -> None:
    """An annotator who was faster than the job has the last word."""
    task_id = loop.add_task()
    loop.sync()
    propose(loop, ADA)
    loop.annotate(task_id, ("London", "CITY"))
    assert show(loop) == (0, 0, 0)
    assert waiting(loop) == 0
    example = loop.example()
    assert example is not None
    assert parse_spans(example.entities) == (LONDON,)


def test_a_task_somebody_else_makes_of_a_proposed_text_shows_the_proposal(loop: Loop) -> None:
    """A second task of the text, imported by hand, is given the proposal too."""
    propose(loop, ADA)
    show(loop)
    second = loop.add_task(TEXT, ("London", "CITY"))
    loop.sync()
    assert sum(show(loop)) == 1
    assert shown_spans(loop, second) == [(["PERSON"], 0.0, "spanloop-v0")]


def test_an_import_and_the_job_make_one_task_a_text(loop: Loop) -> None:
    """What an import has proposed is its own to bring in; the job beside it finds nothing to do."""
    client: Any = loop.fake
    rows = [Row(1, TEXT, (ADA,)), Row(2, OTHER, ())]
    really = loop.fake.import_tasks

    def beside(project_id: int, tasks: Any) -> list[int]:
        assert show(loop) == (0, 0, 0)
        return really(project_id, tasks)

    loop.fake.import_tasks = beside  # type: ignore[method-assign]
    import_rows(loop.store, client, loop.project_id, rows, clock=loop.clock)
    assert len(loop.fake.tasks) == 2
    assert waiting(loop) == 0


def test_an_import_that_died_is_finished_by_the_job(loop: Loop) -> None:
    """Proposals that an import left behind become tasks when its time is over."""
    client: Any = loop.fake
    loop.fake.import_tasks = _away  # type: ignore[method-assign, assignment]
    with pytest.raises(LabelStudioUnavailable):
        import_rows(loop.store, client, loop.project_id, [Row(1, TEXT, (ADA,))], clock=loop.clock)
    del loop.fake.import_tasks
    assert show(loop) == (0, 0, 0)
    loop.now += timedelta(minutes=11)
    assert show(loop) == (1, 0, 0)


def _away(*_: object) -> list[int]:
    raise LabelStudioUnavailable("Label Studio does not answer")


def test_a_submit_on_a_page_opened_before_the_proposal_counts_for_no_model(loop: Loop) -> None:
    """The page still shows the model's spans, and its prediction says something else by now: out of the rates."""
    task_id = loop.add_task(TEXT, ("London", "CITY"))
    loop.sync()
    (stored,) = loop.fake.list_predictions(task_id)
    propose(loop, ADA)
    show(loop)
    made = loop.fake.create_annotation(task_id, [region(TEXT, "London", "CITY")], parent_prediction=stored.id)
    loop.sync()
    with loop.store.read() as uow:
        row = uow.feedback.of_annotation(loop.project_id, made.id)
        assert row is not None
        assert row.kind == PredictionKind.PROPOSAL


def test_a_proposal_comes_before_every_cluster(loop: Loop) -> None:
    """Where the queue goes by clusters, each proposal has one of its own, of which nobody has done anything yet."""
    with loop.store.write() as uow:
        uow.queue.add_clusters([PoolCluster(project_id=loop.project_id, number=1, centre=b"")])
        uow.commit()
    propose(loop, ADA)
    show(loop)
    (task_id,) = loop.fake.tasks
    (stored,) = loop.fake.list_predictions(task_id)
    assert (stored.cluster, stored.score) == (-task_id, 0.0)


def test_a_push_under_way_leaves_a_proposal_alone(loop: Loop) -> None:
    """What a version was asked before the proposal came does not go in after it."""
    client: Any = loop.fake
    task_id = loop.add_task(TEXT)
    loop.sync()
    asked = fresh(task_id, 0.5)
    propose(loop, ADA)
    with loop.store.read() as uow:
        live = uow.models.live(loop.project_id)
    assert live is not None
    push_predictions(loop.store, client, live, [asked], chunk=10, clock=loop.clock)
    assert loop.fake.list_predictions(task_id) == []
    show(loop)
    assert shown_spans(loop, task_id) == [(["PERSON"], 0.0, "spanloop-v0")]
