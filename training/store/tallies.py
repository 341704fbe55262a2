"""Running counts: written in the transaction of the rows they count, read instead of counting a million rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from functools import cache

from sqlalchemy import Insert, bindparam, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from training.store.tables.feedback import Tally


class TallyName(StrEnum):
    """What is counted; each name says what its `key` and its `label` are."""

    FEEDBACK = "feedback"  # contributor's id (0: nobody), verdict.state
    FEEDBACK_DAY = "feedback_day"  # day in UTC, verdict
    FEEDBACK_VERSION = "feedback_version"  # model version, verdict
    FEEDBACK_PART = "feedback_part"  # part of the text, state
    LABEL_SHOWN = "label_shown"  # model version, leaf
    LABEL_KEPT = "label_kept"  # model version, leaf
    LABEL_WANTED = "label_wanted"  # model version, leaf
    EXAMPLE = "example"  # verified.source, group or "" for all
    EXAMPLE_PART = "example_part"  # part of the text, verified.state
    CLASSIFIED = "classified"  # model version, "texts" or "spans"
    CLASSIFIED_LABEL = "classified_label"  # model version, leaf
    LATENCY = "latency"  # bucket of milliseconds, ""


Entry = tuple[int, TallyName, str, str]
"""What one count stands for: project, name, key, label."""

_WAITING = "spanloop_tallies"
_KEY = ("project_id", "name", "key", "label")
_COLUMNS = (*_KEY, "count")


class Tallies:
    """The counts of all projects."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, counts: Mapping[Entry, int]) -> None:
        """Add to the counts; they are written with the commit, or before the next look at them."""
        waiting: Counter[Entry] = self._session.info.setdefault(_WAITING, Counter())
        for entry, count in counts.items():
            waiting[entry] += count

    def write(self) -> None:
        """Write what was added, in one order for all writers: two of them never wait for each other in a ring."""
        waiting: Counter[Entry] = self._session.info.pop(_WAITING, Counter())
        rows = [
            (project_id, name.value, key, label, count)
            for (project_id, name, key, label), count in sorted(waiting.items())
            if count
        ]
        if not rows:
            return
        if self._session.get_bind().dialect.name == "postgresql":
            columns = zip(_COLUMNS, map(list, zip(*rows, strict=True)), strict=True)
            self._session.connection().execute(_upsert_all(), dict(columns))
        else:
            self._session.connection().execute(_upsert_each(), [dict(zip(_COLUMNS, row, strict=True)) for row in rows])

    def drop(self) -> None:
        """Forget what was added and not written: its rows were rolled back."""
        self._session.info.pop(_WAITING, None)

    def read(self, project_id: int, name: TallyName, *, since: str = "") -> Counter[tuple[str, str]]:
        """The counts under a name by key and label, from the key `since` on; what came down to nothing is left out."""
        self._settle()
        rows = self._session.execute(
            select(Tally.key, Tally.label, Tally.count).where(
                Tally.project_id == project_id, Tally.name == name, Tally.key >= since, Tally.count != 0
            )
        )
        return Counter({(key, label): count for key, label, count in rows})

    def sum_labels(self, project_id: int, name: TallyName, *, key: str | None = None) -> Counter[str]:
        """The counts under a name by label, of one key or of all."""
        self._settle()
        query = select(Tally.label, func.sum(Tally.count)).where(Tally.project_id == project_id, Tally.name == name)
        if key is not None:
            query = query.where(Tally.key == key)
        return Counter({label: int(count) for label, count in self._session.execute(query.group_by(Tally.label))})

    def top_keys(self, project_id: int, name: TallyName, *, limit: int) -> list[tuple[str, int]]:
        """The keys with the highest counts, and these, highest first."""
        self._settle()
        total = func.sum(Tally.count)
        rows = self._session.execute(
            select(Tally.key, total)
            .where(Tally.project_id == project_id, Tally.name == name)
            .group_by(Tally.key)
            .having(total > 0)
            .order_by(total.desc(), Tally.key)
            .limit(limit)
        )
        return [(key, int(count)) for key, count in rows]

    def clear(self, project_id: int, names: frozenset[TallyName]) -> None:
        """Forget the counts under these names, to count anew."""
        self._settle()
        self._session.execute(delete(Tally).where(Tally.project_id == project_id, Tally.name.in_(sorted(names))))

    def _settle(self) -> None:
        self._session.flush()
        self.write()


@cache
def _upsert_each() -> Insert:
    """For SQLite: executed with a mapping for each row."""
    insert = sqlite.insert(Tally)
    return insert.on_conflict_do_update(index_elements=_KEY, set_={"count": Tally.count + insert.excluded.count})


@cache
def _upsert_all() -> Insert:
    """For PostgreSQL, which would plan it for each row: executed with a list for each column."""
    table = Tally.__table__
    lists = (bindparam(name, type_=postgresql.ARRAY(table.c[name].type)) for name in _COLUMNS)
    given = func.unnest(*lists).table_valued(*_COLUMNS).render_derived()
    insert = postgresql.insert(Tally).from_select(_COLUMNS, select(given))
    return insert.on_conflict_do_update(index_elements=_KEY, set_={"count": Tally.count + insert.excluded.count})
