"""The engine: SQLite in WAL mode, or PostgreSQL, with the same behaviour seen from above."""

from __future__ import annotations

import sqlite3
import threading
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, Dialect, Engine, Integer, create_engine, event, make_url, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Connection
from sqlalchemy.exc import ArgumentError, DisconnectionError, SQLAlchemyError
from sqlalchemy.types import TypeDecorator

from config.errors import ConfigurationError

BIG_ID = BigInteger().with_variant(Integer(), "sqlite")
JSON_DOCUMENT = JSON().with_variant(JSONB(), "postgresql")
READ_ONLY = "spanloop_read_only"
TURN = "spanloop_turn"
USED = "spanloop_used"
# A connection that has rested so long is asked whether it is still there, before it is used again.
REST_SECONDS = 1.0
# How long a writer waits for its turn on SQLite, and how often it asks for it.
BUSY_MS = 30_000
TURN_SECONDS = 0.001
# 32 MB of log. Whose commit reaches it moves the log into the file, 25 ms and more; SQLite's own 1000 pages are full
# after thirty submissions of feedback.
CHECKPOINT_PAGES = 8_000

StoreFault = SQLAlchemyError
"""Whatever the database may raise, for those who go on without it for a while."""


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC, aware on both databases; SQLite itself forgets the zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse naive datetimes, which would mean another moment on another machine."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"naive datetime {value.isoformat()}: the store takes aware ones")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give back the moment in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def open_engine(url: str) -> Engine:
    """An engine for the store's URL. Raises ConfigurationError for a URL that is not SQLite or PostgreSQL."""
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ConfigurationError(
            "SPANLOOP_DATABASE_URL is not a database URL such as postgresql://user:password@host/name"
        ) from error
    if parsed.drivername in ("postgresql", "postgres"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    backend = parsed.get_backend_name()
    # hide_parameters: an error of the database would otherwise carry texts into the log.
    if backend == "postgresql":
        # Statements are planned each time: a plan that was kept from when a table was empty reads all of it later.
        engine = create_engine(
            parsed, pool_size=5, max_overflow=10, connect_args={"prepare_threshold": None}, hide_parameters=True
        )
        # Many rows go in as one statement: psycopg's own way plans it for each of them.
        engine.dialect.use_insertmanyvalues_wo_returning = True
        event.listen(engine, "checkin", _note_use)
        event.listen(engine, "checkout", partial(_ping_after_rest, engine.dialect))
        return engine
    if backend != "sqlite":
        raise ConfigurationError(f"the store runs on SQLite and PostgreSQL, not on {backend}")
    engine = create_engine(parsed, connect_args={"timeout": BUSY_MS / 1000}, hide_parameters=True)
    event.listen(engine, "connect", _set_up_sqlite)
    turns = _Turns()
    event.listen(engine, "begin", turns.begin)
    event.listen(engine, "commit", turns.end)
    event.listen(engine, "rollback", turns.end)
    return engine


def sqlite_file(engine: Engine) -> Path | None:
    """The file of a SQLite database; None for any other."""
    url = engine.url
    if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        return None
    return Path(url.database).absolute()


def _note_use(_connection: Any, record: Any) -> None:
    record.info[USED] = time.monotonic()


def _ping_after_rest(dialect: Dialect, connection: Any, record: Any, _proxy: object) -> None:
    # SQLAlchemy's own `pool_pre_ping` asks each time, which was every sixth round trip of a busy web process.
    if time.monotonic() - record.info.get(USED, time.monotonic()) < REST_SECONDS:
        return
    try:
        dialect.do_ping(connection)
    except dialect.loaded_dbapi.Error as error:
        raise DisconnectionError("the connection was closed while it rested") from error


def for_looks(engine: Engine) -> Engine:
    """The engine for statements that change nothing.

    On PostgreSQL each stands by itself, which saves two round trips: by default it sees what others have committed
    meanwhile in a transaction, too.
    """
    alone = {"isolation_level": "AUTOCOMMIT"} if engine.dialect.name == "postgresql" else {}
    return engine.execution_options(**{READ_ONLY: True}, **alone)


def _set_up_sqlite(connection: Any, _record: object) -> None:
    # pysqlite would begin transactions by itself, deferred; we begin them below.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        f"wal_autocheckpoint={CHECKPOINT_PAGES}",
        "synchronous=NORMAL",
        "foreign_keys=ON",
        f"busy_timeout={BUSY_MS}",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


class _Turns:
    """Whose turn it is to write, among the threads of this process.

    Asking SQLite costs a processor as much as it does to write: of many threads at once only one asks, and the others
    sleep. Sixteen threads that all asked took five times as long for their writes.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def begin(self, connection: Connection) -> None:
        """Begin a transaction: at once where it only reads, else when it may write."""
        if connection.get_execution_options().get(READ_ONLY, False):
            connection.exec_driver_sql("BEGIN")
            return
        deadline = time.monotonic() + BUSY_MS / 1000
        connection.info[TURN] = self._lock.acquire(timeout=BUSY_MS / 1000)
        try:
            _begin_to_write(connection, deadline)
        except BaseException:
            self.end(connection)
            raise

    def end(self, connection: Connection) -> None:
        """Let the next thread try."""
        if connection.info.pop(TURN, False):
            self._lock.release()


def _begin_to_write(connection: Connection, deadline: float) -> None:
    # A deferred read-then-write transaction fails with "database is locked" when another writer came between. The
    # turn is asked for often: SQLite itself soon looks every 100 ms only, and misses the gaps of a busy drain.
    connection.exec_driver_sql("PRAGMA busy_timeout=0")
    try:
        while _must_wait(connection) and time.monotonic() < deadline:
            time.sleep(TURN_SECONDS)
        if not connection.connection.in_transaction:
            connection.exec_driver_sql("BEGIN IMMEDIATE")  # raises what went wrong as SQLAlchemy's error
    finally:
        connection.exec_driver_sql(f"PRAGMA busy_timeout={BUSY_MS}")


def _must_wait(connection: Connection) -> bool:
    """Begin to write; whether somebody else writes now. What else goes wrong is left to the caller."""
    cursor = connection.connection.cursor()
    try:
        cursor.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        return error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
    finally:
        cursor.close()
    return False


def describe_failure(engine: Engine) -> str | None:
    """Why the database cannot be used, in a sentence without its URL; None where it can."""
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
    except SQLAlchemyError as error:
        cause = str(getattr(error, "orig", None) or type(error).__name__)
        return " ".join(cause.split())[:300]
    return None
