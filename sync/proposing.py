"""Proposals, brought to annotators: their texts become tasks, or the tasks that hold them show it (rule 4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from config.errors import LabelStudioError, LabelStudioUnavailable
from config.log import get_logger
from sync.client import LabelStudio
from sync.reconcile import reconcile
from sync.task_making import Clock, TaskMaker, find_announced
from training.examples.intake import record_task_deletions
from training.formats.rows import Row
from training.spans import parse_spans
from training.store.tables.models import MLModel
from training.store.tables.projects import Project
from training.store.tables.proposals import WaitingProposal
from training.store.unit_of_work import Store, UnitOfWork

log = get_logger(__name__)

BATCH = 100
LEASE = timedelta(minutes=10)
"""How long a batch is left to the job that took it."""
FIRST_PAUSE = timedelta(seconds=30)
LONGEST_PAUSE = timedelta(hours=1)


@dataclass(slots=True)
class Shown:
    """How many texts became tasks, how many tasks show a proposal now, and what Label Studio refused."""

    made: int = 0
    replaced: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class _Taken:
    """A text with what is proposed for it; its row's line is the text's id."""

    row: Row
    revision: str
    attempts: int
    task_ids: tuple[int, ...]


def show_proposals(store: Store, client: LabelStudio, project_id: int, *, limit: int, clock: Clock) -> Shown:
    """Show up to about `limit` waiting proposals in Label Studio, longest waiting first.

    Safe to run twice, and beside another: a batch is claimed, and what an earlier try got through is pulled first.
    What Label Studio refuses waits for a growing pause with its reason. Raises LabelStudioUnavailable; what is left
    of the batch then waits on.
    """
    shown = Shown()
    if not _is_due(store, project_id, clock):
        return shown
    if reconcile(store, client, project_id, full=False, clock=clock).project_deleted:
        return shown
    while shown.made + shown.replaced + shown.refused < limit:
        with store.write() as uow:
            project = uow.projects.lock(project_id)
            version = find_announced(uow, project)
            claimed = uow.proposals.claim(project_id, limit=BATCH, lease=LEASE, now=clock())
            taken = [one for row in claimed if (one := _take(uow, project, row)) is not None]
            uow.commit()
        if not claimed:
            break
        try:
            _Work(store, client, project, version, clock, shown).show(taken)
        except LabelStudioError:
            _give_back(store, project_id, taken, clock)
            raise
    log.info("proposals_shown", project_id=project_id, made=shown.made, replaced=shown.replaced, refused=shown.refused)
    return shown


def _is_due(store: Store, project_id: int, clock: Clock) -> bool:
    with store.read() as uow:
        return uow.proposals.is_due(project_id, clock())


def _take(uow: UnitOfWork, project: Project, waiting: WaitingProposal) -> _Taken | None:
    """What is to be shown for a claimed text; None, and it waits no more, where nothing is."""
    example = uow.examples.of_text(project.id, waiting.text_id)
    tasks = uow.texts.tasks_of_text(waiting.text_id)
    if example is None or example.annotation_id is not None or example.verified:
        uow.proposals.drop(waiting.text_id)
        return None
    row = Row(waiting.text_id, uow.texts.get_text(waiting.text_id).text, parse_spans(example.entities))
    return _Taken(row, waiting.revision, waiting.attempts, tuple(task.id for task in tasks if not task.is_labeled))


def _give_back(store: Store, project_id: int, taken: Sequence[_Taken], clock: Clock) -> None:
    with store.write() as uow:
        uow.projects.lock(project_id)
        for one in taken:
            uow.proposals.put_off(one.row.line, until=clock(), error=None)
        uow.commit()


class _Work:
    """One claimed batch."""

    def __init__(
        self, store: Store, client: LabelStudio, project: Project, version: MLModel, clock: Clock, shown: Shown
    ) -> None:
        self._store, self._project, self._version, self._clock = store, project, version, clock
        self._maker = TaskMaker(store, client, project, clock=clock)
        with store.read() as uow:
            self._clustered = bool(uow.queue.clusters(project.id))
        self._shown = shown

    def show(self, taken: Sequence[_Taken]) -> None:
        """Show every proposal of the batch."""
        self._make([one for one in taken if not one.task_ids])
        for one in taken:
            if one.task_ids:
                self._replace(one)

    def _make(self, taken: Sequence[_Taken]) -> None:
        try:
            made = self._maker.make_tasks([one.row for one in taken], self._version)
        except LabelStudioUnavailable:
            raise
        except LabelStudioError as error:
            # One text that Label Studio does not take makes it refuse all of them.
            if len(taken) > 1:
                for one in taken:
                    self._make([one])
            else:
                self._put_off(taken[0], error)
            return
        with self._store.write() as uow:
            uow.projects.lock(self._project.id)
            uow.texts.note_made_for_proposals(self._project.id, made)
            uow.commit()
        self._shown.made += len(made)
        if self._clustered:
            self._maker.bring_forward(made, self._version)

    def _replace(self, one: _Taken) -> None:
        try:
            gone = [
                task_id
                for task_id in one.task_ids
                if not self._maker.show_proposal(task_id, one.row.text, one.row.spans or (), self._version)
            ]
        except LabelStudioUnavailable:
            raise
        except LabelStudioError as error:
            self._put_off(one, error)
            return
        with self._store.write() as uow:
            project = uow.projects.lock(self._project.id)
            record_task_deletions(uow, project, gone, now=self._clock())
            if len(gone) < len(one.task_ids):
                uow.proposals.settle(one.row.line, revision=one.revision, now=self._clock())
            else:
                uow.proposals.put_off(one.row.line, until=self._clock(), error=None)
            uow.commit()
        self._shown.replaced += 1

    def _put_off(self, one: _Taken, error: LabelStudioError) -> None:
        pause = min(FIRST_PAUSE * 2**one.attempts, LONGEST_PAUSE)
        with self._store.write() as uow:
            uow.projects.lock(self._project.id)
            uow.proposals.put_off(one.row.line, until=self._clock() + pause, error=error.message)
            uow.commit()
        self._shown.refused += 1
        log.warning("proposal_refused", project_id=self._project.id, text_id=one.row.line, reason=error.message)
