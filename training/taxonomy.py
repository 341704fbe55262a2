"""The labels of a project: leaves with group, colour, hotkey and the other names they go by."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from colorsys import hls_to_rgb
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from importlib.resources import files
from itertools import count
from pathlib import Path
from typing import Any

import yaml

from config.errors import NotFound, TaxonomyInvalid

NO_GROUP = "OTHER"
# In the order of Label Studio's own assignment, which leaves out the keys that its labelling page uses.
HOTKEYS = "1234567890qwetasdfgzxcvbyiopjklnm"
# Farthest-first picks in CIELAB among colours that stand out from white and still carry dark text.
PALETTE = (  # noqa: SIM905 -- as a list of literals it would take sixty lines
    "#e02938 #1fd61f #5a24f9 #38c9fa #e0b329 #ed82e4 #206f3a #ca9a91 #1959b3 #f924f9 #35606e #8b5304 "
    "#73a117 #b31966 #7a37be #41c8b1 #f97110 #aec383 #a79fd1 #1cc470 #84428a #f924b2 #eb707a #8a4842 "
    "#fba060 #605c2e #246bf9 #24a1f9 #9d82ed #8b8004 #f91071 #bd7599 #91c0ca #b33f05 #a11795 #049f11 "
    "#af935a #f91010 #d460fb #048b8b #327aae #fb74ac #a506db #76c705 #b31940 #c77605 #b6c41c #104af9 "
    "#728a42 #5aaf76 #cd7051 #2d7d12 #1085f9 #fa784c #d61fc7 #7575bd #8a4260 #cd51a3 #70cd51 #1fc7d6"
).split()
LONGEST_NAME = 100

_COLOR = re.compile(r"#(?:[0-9a-fA-F]{3}|[0-9a-fA-F]{6})")


@dataclass(frozen=True, slots=True)
class Label:
    """A leaf. `aliases` are other names of the same thing, `covers` narrower names that it takes in."""

    name: str
    group: str
    color: str = ""
    hotkey: str = ""
    description: str = ""
    aliases: tuple[str, ...] = ()
    covers: tuple[str, ...] = ()

    @property
    def other_names(self) -> tuple[str, ...]:
        """Every name that resolves to this leaf, its own left out."""
        return self.aliases + self.covers


@dataclass(frozen=True)
class Taxonomy:
    """A project's leaves in the order that annotators see."""

    labels: tuple[Label, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The leaves' names."""
        return tuple(label.name for label in self.labels)

    def resolve(self, name: str) -> str | None:
        """The leaf that goes by this name: exactly, else in any case, else as an alias; None where there is none."""
        if name in self._by_name:
            return name
        return self._by_other_name.get(name.casefold())

    def label_of(self, name: str) -> Label | None:
        """The leaf that goes by this name, whole."""
        leaf = self.resolve(name)
        return None if leaf is None else self._by_name[leaf]

    def group_of(self, leaf: str) -> str:
        """The leaf's group; OTHER for a leaf that the taxonomy does not hold."""
        label = self._by_name.get(leaf)
        return label.group if label else NO_GROUP

    @cached_property
    def _by_name(self) -> dict[str, Label]:
        return {label.name: label for label in self.labels}

    @cached_property
    def _by_other_name(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for label in self.labels:
            found.setdefault(label.name.casefold(), label.name)
        for label in self.labels:
            for other in label.other_names:
                found.setdefault(other.casefold(), label.name)
        return found

    def to_json(self) -> list[dict[str, Any]]:
        """The leaves as stored."""
        return [{**asdict(label), "aliases": [*label.aliases], "covers": [*label.covers]} for label in self.labels]

    @classmethod
    def from_json(cls, rows: Iterable[Mapping[str, Any]]) -> Taxonomy:
        """A taxonomy from stored leaves. Raises TaxonomyInvalid as a file does."""
        return _read_labels(list(rows), source="the stored taxonomy")


def load_taxonomy(path: Path | None) -> Taxonomy:
    """The taxonomy of a YAML (or JSON) file: `labels:` and one entry a leaf; None means the shipped default.

    Raises NotFound where there is no such file, and TaxonomyInvalid with file, entry and reason.
    """
    source = str(path) if path else "the default taxonomy"
    try:
        text = (
            path.read_text("utf-8-sig")
            if path
            else files("config").joinpath("taxonomy/default.yaml").read_text("utf-8")
        )
        content = yaml.safe_load(text)
    except OSError as error:
        raise NotFound(f"taxonomy file {source} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise TaxonomyInvalid(f"{source} is not a YAML file in UTF-8: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict) or set(content) != {"labels"} or not isinstance(content["labels"], list):
        raise TaxonomyInvalid(f"{source} must hold one key, labels, with a list of entries")
    taxonomy = _read_labels(content["labels"], source=source)
    _refuse_twins(taxonomy.labels, [[n.casefold()] for n in taxonomy.names], what="leaf", source=source)
    return taxonomy


def taxonomy_of(labels: Iterable[str], known: Taxonomy) -> Taxonomy:
    """A taxonomy of plain leaf names, in their order; group, colour, hotkey and other names from `known` where it can.

    A leaf that `known` holds as a narrower name, or under a leaf that is taken, takes over the group only.
    """
    names = tuple(dict.fromkeys(_read_name(label, "label", "the list of labels") for label in labels))
    claimed = {name.casefold() for name in names}
    taken: set[str] = set()
    leaves: list[Label] = []
    # The leaf that bears the known name itself comes before those that bear one of its aliases.
    for name in sorted(names, key=lambda n: (n not in known.names, names.index(n))):
        kin = known.label_of(name)
        leaf = Label(name, kin.group if kin else NO_GROUP)
        if kin and kin.name not in taken and name.casefold() not in {other.casefold() for other in kin.covers}:
            taken.add(kin.name)
            leaf = _take_over(leaf, kin, claimed)
            claimed |= {other.casefold() for other in leaf.other_names}
        leaves.append(leaf)
    leaves.sort(key=lambda leaf: names.index(leaf.name))
    return _build(_with_hotkeys(leaves), source="the list of labels")


def _take_over(leaf: Label, kin: Label, claimed: set[str]) -> Label:
    def free(others: Iterable[str]) -> tuple[str, ...]:
        return tuple(other for other in others if other.casefold() not in claimed)

    return replace(kin, name=leaf.name, aliases=free((kin.name, *kin.aliases)), covers=free(kin.covers))


def _with_hotkeys(labels: list[Label]) -> list[Label]:
    free = iter([key for key in HOTKEYS if key not in {label.hotkey for label in labels}])
    return [label if label.hotkey else replace(label, hotkey=next(free, "")) for label in labels]


def _with_colors(labels: list[Label]) -> list[Label]:
    taken = {label.color for label in labels}
    free = (color for color in _colors() if color not in taken)
    return [label if label.color else replace(label, color=next(free)) for label in labels]


def _colors() -> Iterator[str]:
    """The palette, and after it ever new colours, a golden angle of hue apart."""
    yield from PALETTE
    for step in count():
        red, green, blue = hls_to_rgb(step * 0.381966 % 1, 0.35 + 0.05 * (step % 7), 0.6)
        yield f"#{round(255 * red):02x}{round(255 * green):02x}{round(255 * blue):02x}"


def _read_labels(rows: list[Any], *, source: str) -> Taxonomy:
    return _build([_read_label(row, f"{source}, entry {number}") for number, row in enumerate(rows, 1)], source=source)


def _read_label(row: Any, where: str) -> Label:
    if not isinstance(row, Mapping):
        raise TaxonomyInvalid(f"{where}: must be a mapping with a name, got {row!r:.80}")
    known = [field.name for field in fields(Label)]
    if unknown := [str(key) for key in row if key not in known]:
        raise TaxonomyInvalid(f"{where}: unknown key {', '.join(unknown)}; known are {', '.join(known)}")
    name = _read_name(row.get("name"), "name", where)
    where = f"{where} ({name})"
    return Label(
        name=name,
        group=_read_name(row.get("group", NO_GROUP), "group", where),
        color=_read_color(row.get("color", ""), where),
        hotkey=_read_hotkey(row.get("hotkey", ""), where),
        description=_read_description(row.get("description", ""), where),
        aliases=_read_names(row.get("aliases", ()), "aliases", where),
        covers=_read_names(row.get("covers", ()), "covers", where),
    )


def _read_name(value: Any, key: str, where: str) -> str:
    if not isinstance(value, str):
        raise TaxonomyInvalid(
            f"{where}: {key} must be text (in quotes where YAML takes it for more), got {value!r:.80}"
        )
    if not value.strip() or value != value.strip() or not value.isprintable() or len(value) > LONGEST_NAME:
        raise TaxonomyInvalid(
            f"{where}: {key} {value!r:.120} must be 1 to {LONGEST_NAME} printable characters without white space "
            "at its ends"
        )
    return value


def _read_names(value: Any, key: str, where: str) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise TaxonomyInvalid(f"{where}: {key} must be a list of names, got {value!r:.80}")
    return tuple(_read_name(name, key, where) for name in value)


def _read_color(value: Any, where: str) -> str:
    if value == "":
        return ""
    if not isinstance(value, str) or not _COLOR.fullmatch(value):
        raise TaxonomyInvalid(f'{where}: color {value!r:.80} must be like "#1959b3"')
    digits = value[1:].lower()
    return "#" + (digits if len(digits) == 6 else "".join(digit * 2 for digit in digits))


def _read_hotkey(value: Any, where: str) -> str:
    key = str(value) if type(value) is int else value
    if not isinstance(key, str) or len(key) > 1 or key not in HOTKEYS:
        raise TaxonomyInvalid(f"{where}: hotkey {value!r:.80} must be one of {HOTKEYS}")
    return key


def _read_description(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise TaxonomyInvalid(f"{where}: description must be text, got {value!r:.80}")
    return " ".join(value.split())


def _build(labels: list[Label], *, source: str) -> Taxonomy:
    if not labels:
        raise TaxonomyInvalid(f"{source} holds no label")
    names = [label.name for label in labels]
    _refuse_twins(labels, [[name] for name in names], what="leaf", source=source)
    _refuse_twins(labels, [[label.hotkey] for label in labels], what="hotkey", source=source)
    labels = [_without_own_name(label) for label in labels]
    # Data may hold leaves that differ in case alone; a file may not.
    spelt = Counter(name.casefold() for name in names)
    keys = [
        [name if spelt[name.casefold()] > 1 else name.casefold(), *(o.casefold() for o in label.other_names)]
        for name, label in zip(names, labels, strict=True)
    ]
    _refuse_twins(labels, keys, what="name", source=source)
    return Taxonomy(tuple(_with_colors(labels)))


def _without_own_name(label: Label) -> Label:
    seen = {label.name.casefold()}

    def fresh(others: tuple[str, ...]) -> tuple[str, ...]:
        kept = []
        for other in others:
            if other.casefold() not in seen:
                seen.add(other.casefold())
                kept.append(other)
        return tuple(kept)

    return replace(label, aliases=fresh(label.aliases), covers=fresh(label.covers))


def _refuse_twins(labels: Sequence[Label], keys: list[list[str]], *, what: str, source: str) -> None:
    first: dict[str, int] = {}
    for number, (label, own) in enumerate(zip(labels, keys, strict=True), 1):
        for key in filter(None, own):
            if key in first:
                other = labels[first[key] - 1].name
                raise TaxonomyInvalid(
                    f"{source}, entry {number} ({label.name}): {what} {key!r} is taken by entry {first[key]} ({other})"
                )
            first[key] = number
