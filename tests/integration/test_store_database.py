"""The database underneath: migrations, transactions, moments, and what it refuses."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import IntegrityError, StatementError

from config.errors import ConfigurationError, NotFound
from tests.integration.rows import NOW, add_project, at_once, new_event, new_project
from training.store import database
from training.store.database import open_engine
from training.store.migrate import pending_revision, upgrade
from training.store.tables.every import METADATA
from training.store.tables.models import MLModel
from training.store.unit_of_work import Store


def test_store_migrations_bring_a_database_to_the_tables_of_the_code(store: Store) -> None:
    """After the migrations the database holds exactly the tables and columns that the code knows, and its indexes."""
    found = inspect(store.engine)
    for table in METADATA.sorted_tables:
        columns = {column["name"]: column["nullable"] for column in found.get_columns(table.name)}
        assert columns == {column.name: column.nullable for column in table.columns}
        indexes = {index["name"]: index["column_names"] for index in found.get_indexes(table.name)}
        assert indexes == indexes | {index.name: [column.name for column in index.columns] for index in table.indexes}
    assert set(found.get_table_names()) == {*METADATA.tables, "alembic_version"}


def test_store_migrations_may_run_again_and_at_the_same_moment(store: Store, database_url: str) -> None:
    """A second upgrade changes nothing, also when several processes start it together."""
    assert pending_revision(store.engine) is None
    add_project(store)
    at_once(3, lambda _: upgrade(database_url))
    with store.read() as uow:
        assert uow.projects.get(1).title == "Project 1"


def test_store_migrations_name_what_a_new_database_lacks() -> None:
    """A database without tables is known to lack the newest revision."""
    assert pending_revision(open_engine("sqlite:///:memory:")) is not None


def test_store_undoes_what_was_not_committed(store: Store) -> None:
    """A unit of work that ends without a commit leaves no trace."""
    with store.write() as uow:
        uow.projects.add(new_project())
    with store.read() as uow, pytest.raises(NotFound):
        uow.projects.get(1)


def test_store_undoes_everything_when_something_fails(store: Store) -> None:
    """An error within a unit of work undoes what came before it."""

    def fail_half_way() -> None:
        with store.write() as uow:
            uow.projects.add(new_project())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    with store.read() as uow:
        assert uow.projects.all() == []


def test_store_keeps_moments_in_utc(store: Store) -> None:
    """A moment from another zone comes back as the same moment, aware; one without a zone is refused."""
    elsewhere = datetime(2030, 6, 1, 14, 30, 0, 123456, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    add_project(store, last_change_at=elsewhere)
    with store.read() as uow:
        kept = uow.projects.get(1).last_change_at
    assert kept == elsewhere
    assert kept is not None
    assert kept.utcoffset() == timedelta(0)
    with pytest.raises(StatementError, match="naive"):
        add_project(store, 2, last_change_at=elsewhere.replace(tzinfo=None))


def test_store_lets_writers_wait_for_each_other(store: Store) -> None:
    """Writers that read and then write, all at once, lose nothing and never meet a locked database."""
    add_project(store, settings={"count": 0})

    def count_up(_: int) -> None:
        for _ in range(10):
            with store.write() as uow:
                project = uow.projects.lock(1)
                project.settings = {"count": project.settings["count"] + 1}
                uow.commit()

    at_once(4, count_up)
    with store.read() as uow:
        assert uow.projects.get(1).settings == {"count": 40}


def test_store_lets_one_thread_at_a_time_ask_for_its_turn(sqlite_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many waiting threads one asks SQLite and the others sleep; one that gives up lets the next one try."""
    add_project(sqlite_store)
    must_wait, asking, most = database._must_wait, [0], [0]

    def count(connection: Connection) -> bool:
        asking[0] += 1
        most[0] = max(most[0], asking[0])
        waits = must_wait(connection)
        asking[0] -= 1
        return waits

    monkeypatch.setattr(database, "_must_wait", count)

    def write(number: int) -> None:
        for _ in range(10):
            with sqlite_store.write() as uow:
                project = uow.projects.lock(1)
                project.title += "+"
                if number:
                    uow.commit()

    at_once(6, write)
    assert most == [1]
    with sqlite_store.read() as uow:
        assert uow.projects.get(1).title.count("+") == 50


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_store_goes_on_after_postgresql_closed_its_connections(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that was closed while it rested is noticed before it is used."""
    monkeypatch.setattr(database, "REST_SECONDS", 0.0)
    add_project(store)
    with store.read() as one, store.read() as other:
        own = text("SELECT pg_backend_pid()")
        victims = {unit.session.scalar(own) for unit in (one, other)}
    assert len(victims) == 2
    admin = open_engine(store.engine.url.render_as_string(hide_password=False))
    with admin.begin() as connection:
        for pid in victims:
            assert connection.scalar(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
    admin.dispose()
    with store.write() as uow:
        uow.projects.lock(1).title = "Still there"
        uow.commit()


def test_store_reads_while_somebody_writes(store: Store) -> None:
    """A look at the store does not wait for a writer, and sees only what was committed."""
    add_project(store)
    with store.write() as writing:
        writing.inbox.add(new_event("a"))
        with store.read() as uow:
            assert uow.inbox.count_by_status() == {}


def test_store_allows_one_live_version_a_project(store: Store) -> None:
    """The database itself refuses a second live version for a project."""

    def new_model(number: int, *, live: bool) -> MLModel:
        flags = {"is_active": live, "is_production": live, "spec": {}, "label_mapping": {}, "created_at": NOW}
        return MLModel(project_id=1, number=number, version=f"v{number}", **flags)

    add_project(store)
    with store.write() as uow:
        for number, live in enumerate([True, False, False]):
            uow.models.add(new_model(number, live=live))
        with pytest.raises(IntegrityError):
            uow.models.add(new_model(3, live=True))


def test_store_refuses_rows_of_a_project_that_is_not_there(store: Store) -> None:
    """Foreign keys are held on both databases."""
    with store.write() as uow, pytest.raises(IntegrityError):
        uow.models.add(
            MLModel(
                project_id=99,
                number=0,
                version="v0",
                is_active=False,
                is_production=False,
                spec={},
                label_mapping={},
                created_at=NOW,
            )
        )


@pytest.mark.parametrize("url", ["mysql://root@localhost/x", "not a url"])
def test_store_refuses_other_databases(url: str) -> None:
    """A database that is neither SQLite nor PostgreSQL is refused in one sentence, without its password."""
    with pytest.raises(ConfigurationError, match=r"PostgreSQL|postgresql"):
        open_engine(url)


def test_store_keeps_one_contributor_a_key(store: Store) -> None:
    """A person keeps one id, whatever the name is by now; annotators and token users may share a key."""
    with store.write() as uow:
        first = uow.projects.contributor("annotator", "7", "ada")
        again = uow.projects.contributor("annotator", "7", "ada@example.org")
        other = uow.projects.contributor("token", "7", "")
        uow.commit()
    assert first.id == again.id != other.id
    assert again.username == "ada@example.org"


def test_store_hides_a_deleted_project(store: Store) -> None:
    """A deleted project is neither listed nor found, and the answer names the list."""
    add_project(store, deleted_at=NOW)
    with store.read() as uow:
        assert uow.projects.all() == []
        with pytest.raises(NotFound, match=r"no project 1; .*spanloop project list"):
            uow.projects.get(1)
