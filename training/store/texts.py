"""Texts, their near-duplicate groups, and the tasks that hold them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime

from sqlalchemy import Row, bindparam, delete, func, insert, select, update
from sqlalchemy.orm import Session

from training.store.inserting import insert_row
from training.store.tables.annotations import PushedPrediction
from training.store.tables.examples import TrainingDataset
from training.store.tables.texts import GroupBand, Task, TextClaim, TextGroup, TextRow

_INSERT_BANDS = insert(GroupBand)
# Built once: these are asked for each text that comes in.
_TEXT_OF_HASH = select(TextRow).where(TextRow.project_id == bindparam("project_id"), TextRow.hash == bindparam("hash"))
_GROUPS_WITH_BANDS = (
    select(TextGroup.id, TextGroup.part, TextGroup.signature)
    .where(
        TextGroup.id.in_(
            select(GroupBand.group_id).where(
                GroupBand.project_id == bindparam("project_id"), GroupBand.band.in_(bindparam("bands", expanding=True))
            )
        )
    )
    .order_by(TextGroup.id)
)


class Texts:
    """What is there to be labelled."""

    def __init__(self, session: Session) -> None:
        self._session = session
        # Held, so that the session does not ask for it again: it forgets rows that nobody holds.
        self._last: TextRow | None = None

    def find_text(self, project_id: int, text_hash: str) -> TextRow | None:
        """The project's text with this hash."""
        self._last = self._session.scalar(_TEXT_OF_HASH, {"project_id": project_id, "hash": text_hash})
        return self._last

    def get_text(self, text_id: int) -> TextRow:
        """The text by its id."""
        return self._session.get_one(TextRow, text_id)

    def claim(self, project_id: int, text_hash: str, *, until: datetime, now: datetime) -> bool:
        """Claim a text, which may be a new one, to verify it; False where somebody else has it. Needs the lock."""
        row = self._session.get(TextClaim, (project_id, text_hash), populate_existing=True)
        if row is not None and row.until > now:
            return False
        self._session.merge(TextClaim(project_id=project_id, hash=text_hash, until=until))
        self._session.flush()
        return True

    def release(self, project_id: int, text_hash: str) -> None:
        """Let go of a claimed text."""
        self._session.execute(delete(TextClaim).where(TextClaim.project_id == project_id, TextClaim.hash == text_hash))

    def known_hashes(self, project_id: int, hashes: Collection[str]) -> set[str]:
        """Those of the hashes that stand for texts of tasks that are still there."""
        found: set[str] = set()
        wanted = list(hashes)
        for at in range(0, len(wanted), 500):
            query = (
                select(TextRow.hash)
                .join(Task, Task.text_id == TextRow.id)
                .where(TextRow.project_id == project_id, TextRow.hash.in_(wanted[at : at + 500]))
                .where(Task.deleted_at.is_(None))
            )
            found.update(self._session.scalars(query))
        return found

    def add_text(self, text: TextRow) -> TextRow:
        """Put a new text in."""
        insert_row(self._session, text)
        self._last = text
        return text

    def groups_with(self, project_id: int, bands: Sequence[str]) -> Sequence[Row[int, str, bytes]]:
        """Id, part and signature of the groups that share a band with these, oldest first."""
        wanted = {"project_id": project_id, "bands": bands}
        return self._session.connection().execute(_GROUPS_WITH_BANDS, wanted).all()

    def add_group(self, group: TextGroup, bands: Iterable[str]) -> TextGroup:
        """Put a new near-duplicate group in, found by these bands from now on."""
        insert_row(self._session, group)
        rows = [{"project_id": group.project_id, "band": band, "group_id": group.id} for band in sorted(set(bands))]
        self._session.connection().execute(_INSERT_BANDS, rows)
        return group

    def groups_of(self, text_ids: Sequence[int]) -> dict[int, int]:
        """The near-duplicate groups of texts, by the texts' ids; those without one are left out."""
        found: dict[int, int] = {}
        for at in range(0, len(text_ids), 500):
            query = select(TextRow.id, TextRow.group_id).where(TextRow.id.in_(text_ids[at : at + 500]))
            found.update({row[0]: row[1] for row in self._session.execute(query) if row[1] is not None})
        return found

    def set_aside(self, project_id: int) -> Sequence[TextRow]:
        """The texts that would have bridged two parts, by id."""
        return self._session.scalars(
            select(TextRow).where(TextRow.project_id == project_id, TextRow.part == "set_aside").order_by(TextRow.id)
        ).all()

    def find_task(self, project_id: int, task_id: int) -> Task | None:
        """The mirrored task, also a deleted one."""
        return self._session.get(Task, (project_id, task_id))

    def add_task(self, task: Task) -> Task:
        """Mirror a new task."""
        self._session.add(task)
        self._session.flush()
        return task

    def tasks_of_text(self, text_id: int) -> Sequence[Task]:
        """The tasks that hold this text and are still there."""
        return self._session.scalars(
            select(Task).where(Task.text_id == text_id, Task.deleted_at.is_(None)).order_by(Task.id)
        ).all()

    def tasks(self, project_id: int, task_ids: Collection[int]) -> Iterator[Task]:
        """Those of these tasks that are still there, by id."""
        wanted = sorted(task_ids)
        for at in range(0, len(wanted), 500):
            query = select(Task).where(Task.project_id == project_id, Task.id.in_(wanted[at : at + 500]))
            yield from self._session.scalars(query.where(Task.deleted_at.is_(None)).order_by(Task.id))

    def with_mark(self, project_id: int, mark: str) -> Sequence[Task]:
        """The tasks that are to carry a mark."""
        query = select(Task).where(Task.project_id == project_id, Task.marks.contains(mark, autoescape=True))
        return self._session.scalars(query.where(Task.deleted_at.is_(None)).order_by(Task.id)).all()

    def with_outdated_marks(self, project_id: int, *, limit: int) -> Sequence[Task]:
        """Up to `limit` tasks whose data in Label Studio shows other marks than they are to carry, by id."""
        query = select(Task).where(Task.project_id == project_id, Task.marks != Task.shown_marks)
        return self._session.scalars(query.where(Task.deleted_at.is_(None)).order_by(Task.id).limit(limit)).all()

    def task_ids_by_text(self, project_id: int, text_ids: Collection[int]) -> dict[int, list[int]]:
        """For each of these texts the tasks that hold it and are still there, by id."""
        found: dict[int, list[int]] = {}
        wanted = list(text_ids)
        for at in range(0, len(wanted), 500):
            query = (
                select(Task.text_id, Task.id)
                .where(Task.project_id == project_id, Task.text_id.in_(wanted[at : at + 500]))
                .where(Task.deleted_at.is_(None))
                .order_by(Task.id)
            )
            for text_id, task_id in self._session.execute(query):
                found.setdefault(int(text_id or 0), []).append(task_id)
        return found

    def task_ids(self, project_id: int) -> set[int]:
        """The ids of all tasks that are still there."""
        return set(
            self._session.scalars(select(Task.id).where(Task.project_id == project_id, Task.deleted_at.is_(None)))
        )

    def proposals(self, project_id: int, task_ids: Collection[int]) -> dict[int, list[dict[str, object]]]:
        """The proposed spans of those of these tasks that have some."""
        query = select(Task.id, Task.proposal).where(
            Task.project_id == project_id, Task.id.in_(list(task_ids)), Task.deleted_at.is_(None)
        )
        return {task_id: proposal for task_id, proposal in self._session.execute(query) if proposal is not None}

    def unverified(self, project_id: int, *, part: str, limit: int) -> Sequence[str]:
        """Up to `limit` texts of a part that are no verified example, by id."""
        verified = select(TrainingDataset.text_id).where(
            TrainingDataset.project_id == project_id, TrainingDataset.verified
        )
        return self._session.scalars(
            select(TextRow.text)
            .where(TextRow.project_id == project_id, TextRow.part == part, TextRow.id.not_in(verified))
            .order_by(TextRow.id)
            .limit(limit)
        ).all()

    def count_tasks(self, project_id: int) -> tuple[int, int]:
        """How many tasks there are, and how many of them are finished."""
        total, finished = self._session.execute(
            select(func.count(), func.count().filter(Task.is_labeled)).where(
                Task.project_id == project_id, Task.deleted_at.is_(None)
            )
        ).one()
        return int(total), int(finished)

    def tasks_with_problems(self, project_id: int) -> Sequence[Task]:
        """The tasks without a usable text, by id."""
        return self._session.scalars(
            select(Task)
            .where(Task.project_id == project_id, Task.problem.is_not(None), Task.deleted_at.is_(None))
            .order_by(Task.id)
        ).all()

    def count_unpushed(self, project_id: int, version: str) -> int:
        """How many tasks wait for an annotator without a prediction of this version."""
        pushed = select(PushedPrediction.task_id).where(
            PushedPrediction.project_id == project_id, PushedPrediction.version == version
        )
        query = select(func.count()).where(
            Task.project_id == project_id,
            Task.deleted_at.is_(None),
            Task.is_labeled.is_(False),
            Task.text_id.is_not(None),
            Task.id.not_in(pushed),
        )
        return self._session.scalar(query) or 0

    def pushed_task_ids(self, project_id: int, version: str, *, among: Sequence[int] | None = None) -> set[int]:
        """The tasks, of all or `among` these few, that got a prediction of this version."""
        query = select(PushedPrediction.task_id).where(
            PushedPrediction.project_id == project_id, PushedPrediction.version == version
        )
        return set(self._session.scalars(query if among is None else query.where(PushedPrediction.task_id.in_(among))))

    def find_pushed(self, project_id: int, task_id: int, version: str) -> PushedPrediction | None:
        """The prediction of this version that a task got."""
        return self._session.scalar(
            select(PushedPrediction).where(
                PushedPrediction.project_id == project_id,
                PushedPrediction.task_id == task_id,
                PushedPrediction.version == version,
            )
        )

    def add_pushed(self, rows: Iterable[PushedPrediction]) -> None:
        """Note predictions that were put into Label Studio."""
        self._session.add_all(rows)
        self._session.flush()

    def old_pushed(self, project_id: int, *, keep: Collection[str], before: datetime) -> set[str]:
        """The versions whose predictions were all pushed before this moment and that are not to be kept."""
        query = (
            select(PushedPrediction.version)
            .where(PushedPrediction.project_id == project_id, PushedPrediction.version.not_in(list(keep)))
            .group_by(PushedPrediction.version)
            .having(func.max(PushedPrediction.pushed_at) < before)
        )
        return set(self._session.scalars(query))

    def note_made_for_proposals(self, project_id: int, task_ids: Collection[int]) -> None:
        """Note that these tasks are there for their proposals alone."""
        tasks = update(Task).where(Task.project_id == project_id, Task.id.in_(list(task_ids)))
        self._session.execute(tasks.values(made_for_proposal=True))

    def forget_pushed(self, project_id: int, task_id: int, version: str | None = None) -> None:
        """Note that a version's prediction for a task, or every version's, is gone from Label Studio."""
        gone = delete(PushedPrediction).where(
            PushedPrediction.project_id == project_id, PushedPrediction.task_id == task_id
        )
        self._session.execute(gone if version is None else gone.where(PushedPrediction.version == version))
