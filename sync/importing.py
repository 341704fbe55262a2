"""Texts from outside, brought into Label Studio as tasks and mirrored in the same breath.

What is proposed stands in the store before Label Studio hears of the text, so that neither a webhook nor a refresh
that comes in between ever takes such a task for a plain one. Where an import breaks off between Label Studio and the
store, the pull at the beginning of the next one finds what got through: nothing goes in twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from config.errors import LabelStudioError, NotFound
from config.log import get_logger
from sync.client import LabelStudio
from sync.reconcile import reconcile
from sync.task_making import TaskMaker, find_announced
from sync.verifying import verify_text
from training.examples.proposals import record_proposal
from training.formats.rows import LONGEST_VALUE, RejectedRow, Row
from training.spans import Span, find_problems, hash_text
from training.store.tables.examples import Source
from training.store.tables.models import MLModel
from training.store.unit_of_work import Store
from training.taxonomy import Taxonomy

log = get_logger(__name__)

Clock = Callable[[], datetime]
OnProgress = Callable[[int], None]
"""Called with the number of the line up to which everything is done."""
OnRejected = Callable[[RejectedRow], None]
"""Called with each row that is left out, as soon as it is met."""

BATCH = 500
LARGEST_BATCH_CHARS = 4_000_000
"""Texts of one request; Label Studio takes 250 MB, and holds a request in memory several times over."""
OURS_FOR = timedelta(minutes=10)
"""How long the proposals of a batch are left to the import; after that, `sync.proposing` makes their tasks."""
SHOWN_LABELS = 30


@dataclass(slots=True)
class ImportReport:
    """What became of the rows: imported (with proposed spans, verified), known before, or left out with the reason.

    Of the known texts, `spans_added` had no spans that the import could not better: they are proposed or verified now.
    """

    imported: int = 0
    proposals: int = 0
    verified: int = 0
    known: int = 0
    rejected: list[RejectedRow] = field(default_factory=list)
    spans_added: int = 0


@dataclass(slots=True)
class _Batch:
    """Usable rows up to a line: texts that are new, and spans for tasks that are there already."""

    new: list[Row]
    added: list[Row]
    line: int


def import_rows(
    store: Store,
    client: LabelStudio,
    project_id: int,
    rows: Iterable[Row | RejectedRow],
    *,
    verified: bool = False,
    contributor_id: int | None = None,
    clock: Clock,
    on_progress: OnProgress = lambda _: None,
    on_rejected: OnRejected = lambda _: None,
) -> ImportReport:
    """Import rows as tasks, in their order; a text that is a task of the project already makes no second one.

    Spans come in as proposals, or with `verified` as annotations. A task that is there already gets them where nobody
    has said anything of its text yet, and with `verified` also in place of a proposal. A row with a label that the
    project does not have is rejected. What is verified counts as `contributor_id`'s, or with None as that of the user
    whose key we use. Raises NotFound for an unknown project; where Label Studio fails on the way, its
    error says how many texts went in, and the same import run again goes on from there.
    """
    _pull(store, client, project_id, clock)
    work = _Import(store, client, project_id, verified=verified, clock=clock, on_rejected=on_rejected)
    for batch in work.sort_out(rows):
        try:
            work.bring_in(batch, contributor_id)
        except LabelStudioError as error:
            raise type(error)(
                f"{error.message}. {work.report.imported} texts went in before; run the same import again, and it "
                "goes on with the rest",
                **error.details,
            ) from error
        on_progress(batch.line)
    log.info("imported", project_id=project_id, imported=work.report.imported, known=work.report.known)
    return work.report


def check_rows(
    store: Store,
    project_id: int,
    rows: Iterable[Row | RejectedRow],
    *,
    verified: bool = False,
    clock: Clock,
    on_rejected: OnRejected = lambda _: None,
) -> ImportReport:
    """What an import of these rows would do, as far as the store can tell; nothing is changed."""
    work = _Import(store, None, project_id, verified=verified, clock=clock, on_rejected=on_rejected)
    for batch in work.sort_out(rows):
        work.count(batch)
    return work.report


def _pull(store: Store, client: LabelStudio, project_id: int, clock: Clock) -> None:
    with store.read() as uow:
        uow.projects.get(project_id)
    found = reconcile(store, client, project_id, full=False, clock=clock)
    if found.project_deleted:
        raise NotFound(
            f"Label Studio has no project {project_id} any more; `spanloop project list` shows those there are"
        )


class _Import:
    """One import on its way."""

    def __init__(
        self,
        store: Store,
        client: LabelStudio | None,
        project_id: int,
        *,
        verified: bool,
        clock: Clock,
        on_rejected: OnRejected,
    ) -> None:
        self._store, self._client, self._clock = store, client, clock
        self._verified, self._on_rejected = verified, on_rejected
        with store.read() as uow:
            self._project = uow.projects.get(project_id)
        self._taxonomy = Taxonomy.from_json(self._project.taxonomy)
        # Where each text stands first, and the hash of its spans there.
        self._first: dict[str, tuple[int, int]] = {}
        self.report = ImportReport()

    def sort_out(self, rows: Iterable[Row | RejectedRow]) -> Iterator[_Batch]:
        """Batches of rows that are usable and bring something new; the others are counted."""
        batch: list[Row] = []
        characters = 0
        for row in rows:
            usable = self._resolve_labels(row) if isinstance(row, Row) else row
            if isinstance(usable, RejectedRow):
                self._reject(usable)
                continue
            if batch and (len(batch) >= BATCH or characters + len(usable.text) > LARGEST_BATCH_CHARS):
                yield from self._keep_new(batch)
                batch, characters = [], 0
            batch.append(usable)
            characters += len(usable.text)
        yield from self._keep_new(batch)

    def _resolve_labels(self, row: Row) -> Row | RejectedRow:
        if row.spans is None:
            return row
        leaves = {span.label: self._taxonomy.resolve(span.label) for span in row.spans}
        if unknown := sorted(label for label, leaf in leaves.items() if leaf is None):
            return RejectedRow(row.line, f"{_unknown_labels(unknown)}{_allowed(self._project.labels)}", unknown[0])
        found = {Span(span.start, span.end, leaves[span.label] or span.label) for span in row.spans}
        return replace(row, spans=tuple(sorted(found)))

    def _keep_new(self, batch: list[Row]) -> Iterator[_Batch]:
        hashes = {row.line: hash_text(row.text) for row in batch}
        wanted = set(hashes.values())
        with self._store.read() as uow:
            known = uow.texts.known_hashes(self._project.id, wanted)
            settled = uow.examples.settled_hashes(self._project.id, wanted & known, proposals=not self._verified)
        found = _Batch([], [], batch[-1].line if batch else 0)
        for row in batch:
            text_hash = hashes[row.line]
            line, spans = self._first.setdefault(text_hash, (row.line, hash(row.spans)))
            again = line != row.line
            if again and row.spans is not None and hash(row.spans) != spans:
                reason = f"repeats the text of row {line} with other spans; those of row {line} are taken"
                self._reject(RejectedRow(row.line, reason, row.text[:LONGEST_VALUE]))
                continue
            if text_hash not in known and not again:
                found.new.append(row)
                continue
            self.report.known += 1
            if not again and text_hash not in settled and self._can_add(row):
                found.added.append(row)
        if found.new or found.added:
            yield found

    def bring_in(self, batch: _Batch, contributor_id: int | None) -> None:
        """Put a batch into the store as proposals, into Label Studio as tasks or annotations, and mirror those."""
        assert self._client is not None, "only a check works without Label Studio"
        version = self._keep_proposals(batch)
        if batch.new:
            maker = TaskMaker(self._store, self._client, self._project, clock=self._clock)
            maker.make_tasks(batch.new, version, verified=self._verified, contributor_id=contributor_id)
        self.count(batch)
        if self._verified:
            for row in batch.added:
                self._verify(self._client, row, contributor_id)

    def _verify(self, client: LabelStudio, row: Row, contributor_id: int | None) -> None:
        verify_text(
            self._store,
            client,
            self._project.id,
            row.text,
            row.spans or (),
            contributor_id=contributor_id,
            starred=True,
            clock=self._clock,
        )

    def _can_add(self, row: Row) -> bool:
        """Whether the row has spans for a task that is there; a reviewer's must be fit to train on."""
        faults = find_problems(row.text, row.spans or (), self._project.labels) if self._verified else ()
        if faults:
            self._reject(RejectedRow(row.line, f"{faults[0].problem}: {faults[0].detail}", row.text[:LONGEST_VALUE]))
        return row.spans is not None and not faults

    def _reject(self, row: RejectedRow) -> None:
        self.report.rejected.append(row)
        self._on_rejected(row)

    def count(self, batch: _Batch) -> None:
        """Count a batch as imported."""
        with_spans = sum(row.spans is not None for row in batch.new)
        self.report.imported += len(batch.new)
        self.report.proposals += 0 if self._verified else with_spans
        self.report.verified += with_spans if self._verified else 0
        self.report.spans_added += len(batch.added)

    def _keep_proposals(self, batch: _Batch) -> MLModel:
        """Note what is proposed; gives the version that Label Studio is told of at this moment."""
        # Tasks that are there already show their proposals by `sync.proposing`, at once.
        holds = [(row, OURS_FOR) for row in batch.new]
        holds += [(row, OURS_FOR if self._verified else timedelta(0)) for row in batch.added]
        with self._store.write() as uow:
            project = uow.projects.lock(self._project.id)
            for row, hold in holds:
                if row.spans is not None:
                    record_proposal(
                        uow, project, row.text, row.spans, source=Source.IMPORTED, now=self._clock(), hold=hold
                    )
            version = find_announced(uow, project)
            uow.commit()
        return version


def _unknown_labels(labels: list[str]) -> str:
    quoted = ", ".join(repr(label) for label in labels)
    return f"label{'s' if len(labels) > 1 else ''} {quoted} {'are' if len(labels) > 1 else 'is'} not the project's; "


def _allowed(labels: tuple[str, ...]) -> str:
    more = f" and {len(labels) - SHOWN_LABELS} more" if len(labels) > SHOWN_LABELS else ""
    return f"it has {', '.join(labels[:SHOWN_LABELS])}{more}"
