"""Where a text belongs: its near-duplicate group and its part, settled at first sight and never again (rule 6)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from training.policy import parse_settings
from training.spans import hash_text
from training.splits import Group, Part, Signature, assign, band_keys, sign
from training.store.tables.projects import Project
from training.store.tables.texts import TextGroup, TextRow
from training.store.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class PlacedText:
    """A project's row for a text, and whether this is its first sight, so that nothing can speak of it yet."""

    row: TextRow
    is_new: bool


def ensure_text(uow: UnitOfWork, project: Project, text: str, *, now: datetime) -> PlacedText:
    """The project's row for this text; at first sight it gets its group and its part, for ever."""
    text_hash = hash_text(text)
    known = uow.texts.find_text(project.id, text_hash)
    if known is not None:
        return PlacedText(known, is_new=False)
    settings = parse_settings(project.settings)
    signature = sign(text)
    bands = band_keys(signature)
    near = [
        Group(group_id, Part(part), Signature.from_bytes(signature))
        for group_id, part, signature in uow.texts.groups_with(project.id, bands)
    ]
    found = assign(
        signature,
        near,
        group_key=text_hash,
        seed=settings.seed,
        test_fraction=settings.test_fraction,
        dev_fraction=settings.dev_fraction,
    )
    group_id = found.group_id
    if group_id is None and found.part is not Part.SET_ASIDE:
        row = TextGroup(project_id=project.id, part=found.part, signature=signature.to_bytes())
        group_id = uow.texts.add_group(row, bands).id
    added = uow.texts.add_text(
        TextRow(
            project_id=project.id,
            hash=text_hash,
            text=text,
            group_id=group_id,
            part=found.part,
            bridged_groups=list(found.bridges),
            first_seen_at=now,
        )
    )
    return PlacedText(added, is_new=True)
