"""Marks in the tasks' data, and the tabs that filter by them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from config.errors import LabelStudioUnavailable
from sync.importing import import_rows
from sync.marking import show_marks
from sync.setup import adopt_project
from sync.tabs import TABS, ensure_tabs
from tests.integration.loop import CONNECTION, TEXT, Loop, plan, register
from tests.integration.rows import span_of
from training.examples.marks import Mark, mark_only, read_marks, write_marks
from training.formats.rows import Row
from training.store.unit_of_work import Store

ADA = span_of(TEXT, "Ada Byron", "PERSON")


@pytest.fixture
def loop(store: Store) -> Loop:
    """A project that the store and a Label Studio know."""
    return Loop.start(store)


def show(loop: Loop, limit: int = 100) -> int:
    client: Any = loop.fake
    return show_marks(loop.store, client, loop.project_id, limit=limit, now=loop.now)


def marks_in_label_studio(loop: Loop) -> list[str]:
    return [task.data.get("spanloop", "") for _, task in sorted(loop.fake.tasks.items())]


def propose(loop: Loop, text: str = TEXT) -> int:
    client: Any = loop.fake
    import_rows(loop.store, client, loop.project_id, [Row(1, text, (ADA,))], clock=loop.clock)
    return max(loop.fake.tasks)


def set_mark(loop: Loop, mark: Mark, *task_ids: int) -> None:
    with loop.store.write() as uow:
        mark_only(uow, loop.project_id, mark, task_ids)
        uow.commit()


def test_marks_are_words_of_which_none_holds_another() -> None:
    """A filter for one mark finds no task for another mark's sake, and foreign words in the field are left out."""
    assert not [(a, b) for a in Mark for b in Mark if a != b and a in b]
    assert read_marks("mine to_verify disagreement") == {Mark.TO_VERIFY, Mark.DISAGREEMENT}
    assert read_marks({"a": 1}) == frozenset()
    assert write_marks([Mark.TO_VERIFY, Mark.DISAGREEMENT]) == "disagreement to_verify"


def test_a_proposal_waits_for_verification_until_it_is_submitted(loop: Loop) -> None:
    """An imported proposal carries the mark from the start, without a write of its own, and loses it by the submit."""
    task_id = propose(loop)
    assert marks_in_label_studio(loop) == ["to_verify"]
    loop.sync()
    assert show(loop) == 0
    made = loop.annotate(task_id, ("Ada Byron", "PERSON"))
    loop.sync()
    assert show(loop) == 1
    assert marks_in_label_studio(loop) == [""]
    loop.fake.delete_annotation(made.id)
    loop.sync()
    show(loop)
    assert marks_in_label_studio(loop) == ["to_verify"]


def test_a_written_mark_is_no_news(loop: Loop) -> None:
    """The write moves the task's time in Label Studio; the next pull finds nothing changed, and nothing else does."""
    task_id = loop.add_task()
    loop.annotate(task_id, ("Ada Byron", "PERSON"))
    loop.sync()
    loop.reconcile()
    before = loop.snapshot()
    set_mark(loop, Mark.DISAGREEMENT, task_id)
    assert show(loop) == 1
    assert loop.fake.tasks[task_id].data == {"text": TEXT, "spanloop": "disagreement"}
    found = loop.reconcile()
    assert (found.tasks, found.annotations) == (0, 0)
    assert loop.snapshot() == before


def test_what_an_annotator_did_before_the_write_is_still_pulled(loop: Loop) -> None:
    """A write over a task whose news has not come in yet hides none of it."""
    task_id = loop.add_task()
    loop.sync()
    set_mark(loop, Mark.DISAGREEMENT, task_id)
    made = loop.annotate(task_id, ("London", "CITY"))
    show(loop)
    assert loop.reconcile().annotations == 1
    assert loop.annotation(made.id) is not None


def test_annotators_who_differ_bring_their_task_into_its_tab(store: Store) -> None:
    """Two answers under agreement:2 mark the task until a third one settles it."""
    loop = Loop.start(store, verification_rule="agreement:2")
    task_id = loop.add_task()
    first = loop.annotate(task_id, ("Ada Byron", "PERSON"))
    second = loop.annotate(task_id, ("London", "CITY"))
    task = loop.fake.tasks[task_id]
    by_two = tuple(replace(made, completed_by=who) for who, made in enumerate(task.annotations, 1))
    loop.fake.tasks[task_id] = replace(task, annotations=by_two)
    loop.reconcile(full=True)
    show(loop)
    assert marks_in_label_studio(loop) == ["disagreement"]
    assert first.id != second.id
    loop.fake.update_annotation(second.id, result=first.result)
    loop.reconcile()
    show(loop)
    assert marks_in_label_studio(loop) == [""]


def test_several_marks_stand_side_by_side_and_each_goes_by_itself(loop: Loop) -> None:
    """Setting one mark's tasks anew touches no other mark."""
    first, second = propose(loop), loop.add_task("Another text altogether, of no one")
    loop.sync()
    set_mark(loop, Mark.DISAGREEMENT, first, second)
    show(loop)
    assert marks_in_label_studio(loop) == ["disagreement to_verify", "disagreement"]
    set_mark(loop, Mark.DISAGREEMENT, second)
    assert show(loop) == 1
    assert marks_in_label_studio(loop) == ["to_verify", "disagreement"]


def test_marks_go_on_where_label_studio_broke_off(loop: Loop) -> None:
    """A Label Studio that is away loses no mark; a task that is gone there is gone here, and holds nothing up."""
    first, second = loop.add_task(), loop.add_task("Another text altogether, of no one")
    loop.sync()
    set_mark(loop, Mark.DISAGREEMENT, first, second)
    loop.fake.down = True
    with pytest.raises(LabelStudioUnavailable):
        show(loop)
    loop.fake.down = False
    loop.fake.delete_task(first)
    assert show(loop, limit=1) == 1
    assert show(loop) == 1
    assert marks_in_label_studio(loop) == ["disagreement"]


def test_setup_makes_the_tabs_once_behind_a_plain_one(loop: Loop) -> None:
    """The first tab has neither filter nor order, and setting up again adds none."""
    client: Any = loop.fake
    titles = [view.title for view in loop.fake.list_views(loop.project_id)]
    assert titles == ["All tasks", *(tab.title for tab in TABS)]
    adopt_project(loop.store, client, CONNECTION, loop.project_id, plan=plan(), register_base=register, now=loop.now)
    assert [view.title for view in loop.fake.list_views(loop.project_id)] == titles


def test_a_projects_own_tabs_stay_behind_a_plain_one(loop: Loop) -> None:
    """A filtered tab that stood first moves behind a plain one; a plain one that stands there is kept as it is."""
    client: Any = loop.fake
    loop.fake.views.clear()
    loop.fake.create_view(loop.project_id, {"title": "Mine", "ordering": ["tasks:id"]})
    ensure_tabs(client, loop.project_id, text_key="text")
    titles = [view.title for view in loop.fake.list_views(loop.project_id)]
    assert titles == ["All tasks", "Mine", *(tab.title for tab in TABS)]
    loop.fake.views.clear()
    loop.fake.create_view(loop.project_id, {"title": "Default"})
    ensure_tabs(client, loop.project_id, text_key="text")
    assert [view.title for view in loop.fake.list_views(loop.project_id)][:2] == ["Default", TABS[0].title]
