"""Training examples: one a text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from training.store.counting import PENDING, UNVERIFIED, VERIFIED
from training.store.inserting import insert_row
from training.store.tables.examples import TrainingDataset
from training.store.tables.texts import TextRow
from training.store.tallies import Tallies, TallyName


@dataclass(frozen=True, slots=True)
class ExampleCounts:
    """How many verified examples stand in each part, and how many of all are new since the last run."""

    train: int
    dev: int
    test: int
    set_aside: int
    newly_verified: int
    unverified: int

    @property
    def verified(self) -> int:
        """All verified examples, whatever their part."""
        return self.train + self.dev + self.test + self.set_aside


class Examples:
    """What could be, and what may be trained on."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def of_text(self, project_id: int, text_id: int) -> TrainingDataset | None:
        """The example of a text."""
        return self._session.scalar(
            select(TrainingDataset).where(TrainingDataset.project_id == project_id, TrainingDataset.text_id == text_id)
        )

    def get(self, example_id: str) -> TrainingDataset:
        """The example by its id."""
        return self._session.get_one(TrainingDataset, example_id)

    def of_hash(self, project_id: int, text_hash: str) -> TrainingDataset | None:
        """The example of the text with this hash."""
        return self._session.scalar(
            select(TrainingDataset)
            .join(TextRow, TrainingDataset.text_id == TextRow.id)
            .where(TextRow.project_id == project_id, TextRow.hash == text_hash)
        )

    def settled_hashes(self, project_id: int, hashes: Collection[str], *, proposals: bool) -> set[str]:
        """Those of the hashes whose texts an annotator has settled, and with `proposals` those of proposals too."""
        found: set[str] = set()
        wanted = list(hashes)
        for at in range(0, len(wanted), 500):
            query = (
                select(TextRow.hash)
                .join(TrainingDataset, TrainingDataset.text_id == TextRow.id)
                .where(TextRow.project_id == project_id, TextRow.hash.in_(wanted[at : at + 500]))
            )
            if not proposals:
                query = query.where(TrainingDataset.annotation_id.is_not(None))
            found.update(self._session.scalars(query))
        return found

    def find(self, example_id: str) -> TrainingDataset | None:
        """The example by its id, or None."""
        return self._session.get(TrainingDataset, example_id)

    def add(self, example: TrainingDataset) -> TrainingDataset:
        """Put an example in."""
        insert_row(self._session, example)
        return example

    def remove(self, example: TrainingDataset) -> None:
        """Take an example out, where nothing speaks for it any more."""
        self._session.delete(example)

    def verified(self, project_id: int) -> Sequence[tuple[TrainingDataset, TextRow]]:
        """Every verified example with its text, in order of the texts' ids: the snapshot a run takes."""
        rows = self._session.execute(
            select(TrainingDataset, TextRow)
            .join(TextRow, TrainingDataset.text_id == TextRow.id)
            .where(TrainingDataset.project_id == project_id, TrainingDataset.verified)
            .order_by(TextRow.id)
        )
        return [(example, text) for example, text in rows]

    def newest_verified(self, project_id: int, *, limit: int) -> Sequence[TrainingDataset]:
        """The examples that were made last, of those that are verified."""
        return self._session.scalars(
            select(TrainingDataset)
            .where(TrainingDataset.project_id == project_id, TrainingDataset.verified)
            .order_by(TrainingDataset.created_at.desc(), TrainingDataset.id)
            .limit(limit)
        ).all()

    def count(self, project_id: int) -> ExampleCounts:
        """Count the project's examples by part."""
        counts = Tallies(self._session).read(project_id, TallyName.EXAMPLE_PART)
        parts = Counter[str]()
        for (part, label), number in counts.items():
            parts[part] += number if label.startswith(f"{VERIFIED}.") else 0
        return ExampleCounts(
            train=parts["train"],
            dev=parts["dev"],
            test=parts["test"],
            set_aside=parts["set_aside"],
            newly_verified=sum(n for (_, label), n in counts.items() if label == f"{VERIFIED}.{PENDING}"),
            unverified=sum(n for (_, label), n in counts.items() if label.startswith(f"{UNVERIFIED}.")),
        )

    def with_conflicts(self, project_id: int) -> Sequence[TrainingDataset]:
        """The examples whose annotators differ."""
        return self._session.scalars(
            select(TrainingDataset)
            .where(TrainingDataset.project_id == project_id, TrainingDataset.conflict.is_not(None))
            .order_by(TrainingDataset.text_id)
        ).all()
