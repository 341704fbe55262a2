"""Exports of verified data: one pass over the store, every format from the same examples and the same tokens.

Everything is written into a folder aside, which takes its name when it is complete.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from config.errors import ConfigurationError, Conflict, InvalidInput
from training.exports.parts import PartWriters
from training.exports.readme import render_card
from training.exports.writing import Controls, ExportFormat, Layout
from training.policy import parse_settings
from training.splits import Part
from training.store.tables.models import MLModel
from training.store.tables.projects import Project
from training.store.unit_of_work import Store, UnitOfWork
from training.store.verified import iter_verified

WHOLE = "all"
CARD_FILE = "data-card.json"
README_FILE = "README.md"
# What the Hugging Face hub calls them; `all` is a word of its own there.
SPLIT_NAMES = {"dev": "validation", WHOLE: "full"}

OnProgress = Callable[[int], None]
"""Called with the number of texts that are written."""


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What was written: files, texts by part, and how much the format could not hold."""

    folder: Path
    files: tuple[str, ...]
    texts: int
    spans: int
    parts: dict[str, int]
    not_held_spans: int
    not_held_texts: int
    content_hash: str


def export_project(
    store: Store,
    project_id: int,
    to: ExportFormat,
    folder: Path,
    *,
    part: str | None = None,
    controls: Controls | None = None,
    clock: Callable[[], datetime],
    on_progress: OnProgress = lambda _: None,
) -> ExportReport:
    """Write the project's verified texts in one format into a new folder, with a data card and what is not held.

    `part` names one part, or "all" for everything in one; None gives each part files of its own. `controls` are
    Label Studio's, the project's own where left out. Raises NotFound, Conflict where the folder is not empty or there
    is nothing verified, InvalidInput for an unknown part, ModelUnavailable where spaCy lacks the language, and
    ConfigurationError where the folder cannot be written.
    """
    _check_part(part)
    with store.read() as uow:
        project = uow.projects.get(project_id)
        about = _describe(uow, project)
    layout = Layout(project.labels, controls or Controls(project.text_key, project.to_name, project.from_name))
    with _new_folder(folder) as aside:
        writers = PartWriters(aside, to, layout, language=project.language, whole=WHOLE if part == WHOLE else None)
        with writers:
            for batch in iter_verified(store.read, project_id, part=None if part == WHOLE else part):
                writers.write(batch)
                on_progress(writers.tally.texts)
        if not writers.tally.texts:
            raise Conflict(f"project {project_id} has no verified text{_of(part)} to export yet")
        _write_card(aside, writers, {**about, "format": to.value, "written_at": clock().isoformat()}, to)
    return _report(folder, aside, writers)


def _check_part(part: str | None) -> None:
    if part is not None and part not in (WHOLE, *(str(known) for known in Part)):
        raise InvalidInput(f"{part!r} is no part: there are {', '.join(Part)}, and {WHOLE} for everything in one")


def _of(part: str | None) -> str:
    return "" if part in (None, WHOLE) else f" in the part {part}"


@contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    """A folder aside that becomes this one at the end, or leaves nothing behind."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Conflict(f"{folder} is there already and is not an empty folder; name another one")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            yield aside
            if folder.exists():
                folder.rmdir()
            aside.rename(folder)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    except OSError as error:
        raise ConfigurationError(f"the export cannot be written to {folder}: {error.strerror or error}") from error


def _report(folder: Path, aside: Path, writers: PartWriters) -> ExportReport:
    return ExportReport(
        folder=folder,
        files=tuple(path.relative_to(aside).as_posix() for _, path in writers.files),
        texts=writers.tally.texts,
        spans=writers.tally.spans,
        parts={name: figures.texts for name, figures in writers.tally.parts.items()},
        not_held_spans=writers.not_held.spans,
        not_held_texts=writers.not_held.texts,
        content_hash=writers.tally.content_hash,
    )


def _describe(uow: UnitOfWork, project: Project) -> dict[str, Any]:
    """What the card says of project and models."""
    labels = [{"name": row["name"], "group": row.get("group", "")} for row in project.taxonomy]
    return {
        "project": {
            "id": project.id,
            "title": project.title,
            "language": project.language,
            "verification_rule": parse_settings(project.settings).verification_rule,
            "labels": labels,
        },
        "licence": None,
        "models": [_describe_model(model) for model in uow.models.of_project(project.id)],
    }


def _describe_model(model: MLModel) -> dict[str, Any]:
    return {
        "version": model.version,
        "live": model.is_production,
        "trained_at": model.trained_at.isoformat() if model.trained_at else None,
        "f1": model.f1_score,
    }


def _write_card(folder: Path, writers: PartWriters, about: dict[str, Any], to: ExportFormat) -> None:
    missing = writers.not_held
    card = {
        **about,
        **writers.tally.to_json(),
        "files": [_describe_file(folder, part, path) for part, path in writers.files],
        "not_held": {
            "file": missing.path.name if missing.reasons else None,
            "spans": missing.spans,
            "texts": missing.texts,
            "reasons": dict(missing.reasons.most_common()),
        },
    }
    (folder / CARD_FILE).write_text(json.dumps(card, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    header = _hub_header(card) if to is ExportFormat.HUGGINGFACE else None
    (folder / README_FILE).write_text(render_card(card, header=header), encoding="utf-8")


def _describe_file(folder: Path, part: str, path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        checksum = hashlib.file_digest(file, "sha256").hexdigest()
    name = path.relative_to(folder).as_posix()
    return {"name": name, "part": part, "bytes": path.stat().st_size, "sha256": checksum}


def _hub_header(card: dict[str, Any]) -> dict[str, Any]:
    """The YAML above a card of the hub (https://huggingface.co/docs/hub/datasets-cards)."""
    files = [{"split": SPLIT_NAMES.get(f["part"], f["part"]), "path": f["name"]} for f in card["files"]]
    return {
        "pretty_name": card["project"]["title"],
        "language": [card["project"]["language"]],
        "license": "unknown",
        "task_categories": ["token-classification"],
        "configs": [{"config_name": "default", "data_files": files}],
    }
