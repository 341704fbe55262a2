"""Reads for lists: whatever the filters, a page is found along an index that knows all of them."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from sqlalchemy import event, text

from tests.integration.rows import NOW, add_project
from training.examples.proposals import record_proposal
from training.spans import Span
from training.store.tables.examples import ExampleGroup, Source
from training.store.unit_of_work import Store, UnitOfWork
from training.store.views import ExampleFilter, FeedbackFilter, list_examples, list_feedback

COLUMNS = {"is_correct": "is_correct", "incorporated": "incorporated_in_training", "contributor_id": "contributor_id"}


def plan_of(uow: UnitOfWork, ask: Any) -> str:
    """How SQLite finds the ids of a page."""
    seen: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        seen.append((statement, parameters))

    event.listen(uow.session.get_bind(), "before_cursor_execute", note)
    ask()
    event.remove(uow.session.get_bind(), "before_cursor_execute", note)
    statement, parameters = next(one for one in seen if "LIMIT" in one[0])
    rows = uow.session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
    return "; ".join(str(row[3]) for row in rows)


@pytest.mark.parametrize("chosen", list(product((False, True), repeat=3)))
def test_store_views_find_feedback_by_all_filters_at_once(sqlite_store: Store, chosen: tuple[bool, ...]) -> None:
    """No combination of filters is looked for among all rows that only some of them let through."""
    add_project(sqlite_store)
    given: dict[str, Any] = {name: True for name, one in zip(COLUMNS, chosen, strict=True) if one}
    with sqlite_store.read() as uow:
        plan = plan_of(uow, lambda: list_feedback(uow, 1, FeedbackFilter(**given), count=9, limit=9, offset=0))
    assert all(f"{COLUMNS[name]}=?" in plan for name in given), plan
    assert "TEMP B-TREE" not in plan


@pytest.mark.parametrize("chosen", list(product((False, True), repeat=3)))
def test_store_views_find_examples_by_all_filters_at_once(sqlite_store: Store, chosen: tuple[bool, ...]) -> None:
    """The same of training examples, by group too."""
    add_project(sqlite_store)
    propose(sqlite_store, given_type="PII")
    values: dict[str, Any] = {"verified": False, "source": "manual", "group": "pii"}
    given = {name: values[name] for name, one in zip(values, chosen, strict=True) if one}
    with sqlite_store.read() as uow:
        plan = plan_of(uow, lambda: list_examples(uow, 1, ExampleFilter(**given), count=9, limit=9, offset=0))
    assert all(f"{'name' if name == 'group' else name}=?" in plan for name in given), plan
    assert "TEMP B-TREE" not in plan


def propose(store: Store, **changes: Any) -> None:
    """Propose a span for a text."""
    with store.write() as uow:
        project = uow.projects.lock(1)
        spans = [Span(0, 3, "PERSON")]
        record_proposal(uow, project, "Ada was here", spans, source=Source.MANUAL, now=NOW, **changes)
        uow.commit()


def test_store_views_spell_a_group_in_one_way(store: Store) -> None:
    """However a type is spelt, its examples stand together: counting them never takes a look at each."""
    add_project(store)
    for given in ("pii", "PII", "Letter", "LETTER"):
        propose(store, given_type=given)
        with store.read() as uow:
            names = uow.session.scalars(text("SELECT name FROM example_group ORDER BY name")).all()
        assert names == (["PII"] if given.lower() == "pii" else ["PII", "letter"])


def test_store_views_know_what_became_of_an_example(store: Store) -> None:
    """Verified later, an example is found by its group among the verified ones."""
    add_project(store)
    propose(store)
    with store.write() as uow:
        (line,) = list_examples(uow, 1, ExampleFilter(group="PII"), count=1, limit=1, offset=0)
        line.example.verified = True
        uow.commit()
    with store.read() as uow:
        assert [row.verified for row in uow.session.query(ExampleGroup)] == [True]
        assert list_examples(uow, 1, ExampleFilter(verified=True, group="PII"), count=1, limit=1, offset=0)
