"""New rows past the flush: the session and the counts know them as they know any other."""

from __future__ import annotations

from sqlalchemy import event

from tests.integration.rows import NOW, add_project, later
from training.examples.partition import ensure_text
from training.examples.verification import new_example
from training.store.tables.examples import Source, TrainingDataset
from training.store.unit_of_work import Store


def test_store_inserting_gives_a_row_that_is_held(store: Store) -> None:
    """What was put in is there at once, is found without being asked for again, and its later changes are written."""
    add_project(store)
    with store.write() as uow:
        project = uow.projects.lock(1)
        text = ensure_text(uow, project, "Ada was here", now=NOW).row
        example = uow.examples.add(new_example(project, text.id, Source.MANUAL, now=NOW))
        statements: list[str] = []
        event.listen(store.engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
        assert uow.examples.find(example.id) is example
        assert (example.annotation_id, example.groups, example.part) == (None, [], text.part)
        assert statements == []
        example.conflict, example.updated_at = "two answers", later(1)
        uow.commit()
    with store.read() as uow:
        found = uow.session.get_one(TrainingDataset, example.id)
        assert (found.conflict, found.updated_at, found.given_type) == ("two answers", later(1), None)
        assert uow.examples.count(1).unverified == 1


def test_store_inserting_is_undone_with_its_unit_of_work(store: Store) -> None:
    """A row and its counts are gone where the unit of work was not committed."""
    add_project(store)
    with store.write() as uow:
        project = uow.projects.lock(1)
        text = ensure_text(uow, project, "Ada was here", now=NOW).row
        uow.examples.add(new_example(project, text.id, Source.MANUAL, now=NOW))
    with store.read() as uow:
        assert uow.examples.count(1).unverified == 0
        assert uow.texts.find_text(1, text.hash) is None
