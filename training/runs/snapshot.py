"""What a run trains and measures on: the verified examples as they stood at one moment."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from config.errors import NotEnoughData
from training.spans import Span, parse_spans, trainable_spans
from training.splits import Part
from training.store.tables.projects import Project
from training.store.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class SnapshotExample:
    """One verified text: its part, and the spans that can be learnt from."""

    example_id: str
    text_id: int
    revision: str
    part: Part
    text: str
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All verified examples of a project; `content_hash` names exactly this state."""

    examples: tuple[SnapshotExample, ...]
    content_hash: str

    def part(self, part: Part) -> list[SnapshotExample]:
        """The examples of one part, in order of their texts' ids."""
        return [example for example in self.examples if example.part is part]


def take_snapshot(uow: UnitOfWork, project: Project) -> Snapshot:
    """Read the project's verified examples."""
    examples = tuple(
        SnapshotExample(
            example_id=example.id,
            text_id=text.id,
            revision=example.revision,
            part=Part(text.part),
            text=text.text,
            spans=trainable_spans(text.text, parse_spans(example.entities), project.labels),
        )
        for example, text in uow.examples.verified(project.id)
    )
    return Snapshot(examples, _hash(examples))


def _hash(examples: Sequence[SnapshotExample]) -> str:
    digest = hashlib.sha256()
    for example in examples:
        spans = [[span.start, span.end, span.label] for span in example.spans]
        digest.update(json.dumps([example.part, example.text, spans]).encode())
    return digest.hexdigest()


def check_enough(snapshot: Snapshot, *, min_samples: int) -> None:
    """Raise NotEnoughData, with the figures, where a run on this snapshot makes no sense."""
    usable = [example for example in snapshot.examples if example.part is not Part.SET_ASIDE]
    train = snapshot.part(Part.TRAIN)
    if len(usable) < min_samples:
        raise NotEnoughData(f"{len(usable)} verified texts, a run needs {min_samples}: annotate more and try again")
    if not train:
        raise NotEnoughData(f"none of the {len(usable)} verified texts is in the train part: annotate more")
    if not any(example.spans for example in train):
        raise NotEnoughData(f"none of the {len(train)} verified train texts holds a span: there is nothing to learn")
