"""Entities as applications write them, read as spans: found where their text stands, labels by leaf or alias.

An entity is {"text", "start", "end", "label" (group), "sublabel" (leaf), "score"}, as the REST API answers them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

from config.errors import InvalidInput, SpanInvalid
from training.spans import Span
from training.taxonomy import Taxonomy


@dataclass(frozen=True, slots=True)
class GivenEntity:
    """An entity as it was handed in."""

    start: int
    end: int
    text: str | None = None
    label: str | None = None
    sublabel: str | None = None
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Remark:
    """Something about one value of a request: where it stands (`corrected_entities.0`), and what about it."""

    path: str
    message: str

    def to_json(self) -> dict[str, str]:
        """The remark as answers and errors carry it."""
        return {"path": self.path, "message": self.message}


@dataclass(frozen=True, slots=True)
class ReadEntities:
    """The spans in order of place, each with its score if one was given, and what to say about them."""

    spans: tuple[Span, ...]
    scores: Mapping[Span, float]
    warnings: tuple[Remark, ...]
    problems: tuple[Remark, ...]

    def to_rows(self) -> list[dict[str, Any]]:
        """The spans as stored with a result."""
        return [
            {**span.to_json(), "score": self.scores[span]} if span in self.scores else span.to_json()
            for span in self.spans
        ]


def read_entities(text: str, given: Sequence[GivenEntity], taxonomy: Taxonomy, *, path: str) -> ReadEntities:
    """Read entities of one text, and find all that is wrong with them, each under `path` and its number.

    Where the offsets cut out another text than the entity says, its nearest occurrence is taken, with a warning; an
    entity whose text the document does not hold is wrong, as are overlaps and duplicates.
    """
    warnings: list[Remark] = []
    problems: list[Remark] = []
    found: list[tuple[Span, str, float | None]] = []
    for number, entity in enumerate(given):
        where = f"{path}.{number}"
        place = _find_place(text, entity, where, warnings, problems)
        leaf = _find_leaf(entity, taxonomy, where, warnings, problems)
        if place is not None and leaf is not None:
            found.append((Span(*place, leaf), where, entity.score))
    problems += _find_collisions(found)
    scores = {span: score for span, _, score in found if score is not None}
    return ReadEntities(tuple(sorted(span for span, _, _ in found)), scores, tuple(warnings), tuple(problems))


def check_text(text: str) -> None:
    """Raise InvalidInput for a text that holds nothing to label."""
    if not text.strip():
        message = "the text holds nothing but white space"
        raise InvalidInput(message, problems=[{"path": "text", "message": message}])


def refuse_problems(*read: ReadEntities) -> None:
    """Raise SpanInvalid with everything that is wrong in these entities."""
    problems = [problem for one in read for problem in one.problems]
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        first = problems[0]
        raise SpanInvalid(f"{first.path}: {first.message}{more}", problems=[p.to_json() for p in problems])


def name_left_out(shown: Iterable[Span], corrected: Iterable[Span]) -> list[Remark]:
    """A warning for each span that was shown and that the corrected set, which is the full one, does not hold."""
    left_out = sorted(set(shown) - set(corrected))
    return [
        Remark(
            "corrected_entities",
            f"{span.label} at {span.start} to {span.end} was predicted and is left out: it counts as wrong, since "
            "corrected_entities is the full set",
        )
        for span in left_out
    ]


def _find_place(
    text: str, entity: GivenEntity, where: str, warnings: list[Remark], problems: list[Remark]
) -> tuple[int, int] | None:
    start, end, said = entity.start, entity.end, entity.text
    if start >= end:
        problems.append(Remark(f"{where}.end", f"end {end} must be greater than start {start}"))
        return None
    if said is None:
        if end <= len(text) and not text[start:end].isspace():
            return start, end
        fault = f"{start} to {end} does not lie in the text of {len(text)} characters"
        problems.append(Remark(f"{where}.end", fault if end > len(text) else "there is only white space"))
        return None
    if not said.strip():
        problems.append(Remark(f"{where}.text", "the entity's text is empty"))
        return None
    if end <= len(text) and text[start:end] == said:
        return start, end
    nearest = _find_nearest(text, said, start)
    if nearest is None:
        problems.append(Remark(f"{where}.text", f"the text holds no such words, neither at {start} nor elsewhere"))
        return None
    moved = nearest, nearest + len(said)
    warnings.append(
        Remark(f"{where}.start", f"the entity's text stands at {moved[0]} to {moved[1]}, not at {start} to {end}")
    )
    return moved


def _find_nearest(text: str, words: str, start: int) -> int | None:
    before = text.rfind(words, 0, min(start + len(words), len(text)))
    after = text.find(words, start)
    places = [place for place in (before, after) if place >= 0]
    return min(places, key=lambda place: abs(place - start), default=None)


def _find_leaf(
    entity: GivenEntity, taxonomy: Taxonomy, where: str, warnings: list[Remark], problems: list[Remark]
) -> str | None:
    name, field = (entity.sublabel, "sublabel") if entity.sublabel is not None else (entity.label, "label")
    if name is None:
        problems.append(Remark(f"{where}.sublabel", f"give the leaf, one of {', '.join(taxonomy.names)}"))
        return None
    leaf = taxonomy.resolve(name)
    if leaf is None:
        problems.append(Remark(f"{where}.{field}", _name_choices(name, taxonomy)))
    elif field == "sublabel" and entity.label is not None and not _names_group(entity.label, leaf, taxonomy):
        group = taxonomy.group_of(leaf)
        warnings.append(Remark(f"{where}.label", f"{leaf} belongs to {group}, not to {entity.label!r:.100}"))
    return leaf


def _names_group(label: str, leaf: str, taxonomy: Taxonomy) -> bool:
    return label.casefold() == taxonomy.group_of(leaf).casefold() or taxonomy.resolve(label) == leaf


def _name_choices(name: str, taxonomy: Taxonomy) -> str:
    of_group = [leaf for leaf in taxonomy.names if taxonomy.group_of(leaf).casefold() == name.casefold()]
    if of_group:
        return f"{name!r:.100} is a group; give the leaf as sublabel, one of {', '.join(of_group)}"
    return f"{name!r:.100} is not a label of the project; known are {', '.join(taxonomy.names)}"


def _find_collisions(found: Sequence[tuple[Span, str, float | None]]) -> list[Remark]:
    ordered = sorted(found, key=lambda one: one[0])
    problems = []
    furthest = ordered[0] if ordered else None
    for one, other in pairwise(ordered):
        if furthest is None or one[0].end > furthest[0].end:
            furthest = one
        if other[0].start < furthest[0].end:
            same = other[0] == furthest[0]
            what = "is the same as" if same else "overlaps"
            span = other[0]
            problems.append(Remark(other[1], f"{span.label} at {span.start} to {span.end} {what} {furthest[1]}"))
    return problems


def read_taxonomy(rows: Sequence[Mapping[str, Any]]) -> Taxonomy:
    """A project's stored taxonomy; read once for as long as it stays the same."""
    return _parse_taxonomy(json.dumps(rows, sort_keys=True))


@lru_cache(maxsize=64)
def _parse_taxonomy(stored: str) -> Taxonomy:
    return Taxonomy.from_json(json.loads(stored))
