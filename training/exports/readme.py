"""The data card as README.md, from the figures of data-card.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

Json = Mapping[str, Any]

PART_ORDER = ("train", "dev", "test", "set_aside")
PARTS = """\
A text's part is settled when it is first seen, and texts that nearly repeat each other share one. `test` texts have
never been trained on; keep it so. `set_aside` texts resemble texts of several parts, and belong to none."""
CONTENT_HASH = "SHA-256 over part, text and spans of every example in order; the same data gives it in every format."


def render_card(card: Json, *, header: Json | None = None) -> str:
    """The card in Markdown; `header` stands above it as YAML, as the Hugging Face hub reads it."""
    above = f"---\n{yaml.safe_dump(dict(header), sort_keys=False, allow_unicode=True)}---\n\n" if header else ""
    sections = [_title(card), _licence(), _labels(card), _sources(card), _annotators(card), _models(card), _files(card)]
    return above + "\n\n".join(section for section in sections if section) + "\n"


def _title(card: Json) -> str:
    project = card["project"]
    lines = [
        f"# {project['title']}",
        f"{card['texts']:,} verified texts ({project['language']}) with {card['spans']:,} labelled spans, exported "
        f"from spanloop as {card['format']}.",
        _table(
            ("what", "value"),
            [
                ("project", project["id"]),
                ("written", card["written_at"]),
                ("verification rule", project["verification_rule"]),
                ("content hash", f"`{card['content_hash']}`"),
            ],
        ),
        CONTENT_HASH,
    ]
    return "\n\n".join(lines)


def _licence() -> str:
    return "## Licence\n\nTO BE FILLED IN: under what terms may texts and spans be used, and whom to name."


def _labels(card: Json) -> str:
    parts = sorted(card["parts"], key=lambda p: PART_ORDER.index(p) if p in PART_ORDER else len(PART_ORDER))
    groups = {row["name"]: row["group"] for row in card["project"]["labels"]}
    names = [*groups, *(name for name in card["labels"] if name not in groups)]
    rows: list[Sequence[Any]] = [("texts", "", *(card["parts"][p]["texts"] for p in parts), card["texts"])]
    rows.append(("spans", "", *(card["parts"][p]["spans"] for p in parts), card["spans"]))
    for name in names:
        counts = [card["parts"][part]["labels"].get(name, 0) for part in parts]
        rows.append((name, groups.get(name, "not one of the project's"), *counts, sum(counts)))
    return f"## Spans by label and part\n\n{_table(('label', 'group', *parts, 'all'), rows)}\n\n{PARTS}"


def _sources(card: Json) -> str:
    return "## Where the texts come from\n\n" + _table(("source", "texts"), list(card["sources"].items()))


def _annotators(card: Json) -> str:
    agreement = card["agreement"]
    told = "No text was labelled by more than one annotator, so there is no agreement to measure."
    if agreement:
        told = (
            f"{agreement['texts']:,} texts were labelled by several: {agreement['identical']:.1%} of them with "
            f"identical spans; F1 of exact spans between pairs of annotators is {agreement['span_f1']:.3f} on average."
        )
    rows = list(card["annotators"].items())
    return "\n\n".join(
        ["## Annotators", _table(("annotator (number)", "texts"), rows) if rows else "None known.", told]
    )


def _models(card: Json) -> str:
    rows = [
        (m["version"], "live" if m["live"] else "", m["trained_at"] or "not trained", _rounded(m["f1"]))
        for m in card["models"]
    ]
    if not rows:
        return ""
    about = (
        "Versions of the project's model at the time of writing; their predictions are what annotators started from."
    )
    return f"## Model versions\n\n{about}\n\n{_table(('version', '', 'trained', 'F1 on test'), rows)}"


def _files(card: Json) -> str:
    rows = [(f["name"], f["part"], f["bytes"], f"`{f['sha256']}`") for f in card["files"]]
    files = f"## Files\n\n{_table(('file', 'part', 'bytes', 'SHA-256'), rows)}"
    missing = card["not_held"]
    if not missing["file"]:
        return f"{files}\n\nThe format holds every span of every text."
    reasons = _table(("reason", "times"), list(missing["reasons"].items()))
    return (
        f"{files}\n\n## What this format could not hold in full\n\nListed in {missing['file']} by example id; "
        f"spans: {missing['spans']:,}, whole texts: {missing['texts']:,}.\n\n{reasons}"
    )


def _rounded(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(_cell(value) for value in line) + " |" for line in lines)


def _cell(value: Any) -> str:
    return f"{value:,}" if type(value) is int else " ".join(str(value).replace("|", "\\|").split())
