"""Imports and exports that somebody asks for over the API, and a worker carries out.

Files go through the artefact store, so that web process and worker may stand on different machines.
"""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

from config.errors import LabelStudioUnavailable, SpanloopError
from config.log import get_logger
from ml_backend.bootstrap import Services, utc_now
from sync.importing import ImportReport, check_rows, import_rows
from sync.labelling import parse_config
from training.exports.export import ExportReport, OnProgress, export_project
from training.exports.writing import Controls, ExportFormat
from training.formats.read import read_rows
from training.formats.rejects import RejectsFile
from training.formats.rows import RejectedRow
from training.store.tables.projects import Project
from training.store.tables.transfers import Transfer, TransferKind, TransferStatus

log = get_logger(__name__)

LEASE = timedelta(minutes=10)
"""So long without a sign of progress, and another worker takes it up."""
PAUSE = timedelta(seconds=30)
KEPT = timedelta(days=7)
"""How long the files of a finished transfer are kept."""
SOURCE_STEM, REJECTS, ARCHIVE = "import", "rejects.jsonl", "export.zip"

Move = Callable[[int], None]


def request_import(
    services: Services, project_id: int, suffix: str, content: bytes, *, options: dict[str, Any], contributor_id: int
) -> Transfer:
    """Keep a file for import; `suffix` names its format as `training.formats.read` does."""
    with _folder() as folder:
        (folder / f"{SOURCE_STEM}{suffix}").write_bytes(content)
        source = asdict(services.artefacts.save(folder, f"import-{project_id}"))
    return _keep(
        services,
        _new(project_id, TransferKind.IMPORT, suffix.removeprefix("."), options, contributor_id),
        source=source,
    )


def request_export(
    services: Services, project_id: int, to: ExportFormat, *, part: str | None, contributor_id: int
) -> Transfer:
    """Note that verified texts are wanted as files."""
    return _keep(services, _new(project_id, TransferKind.EXPORT, to.value, {"part": part}, contributor_id))


def _new(
    project_id: int, kind: TransferKind, format_name: str, options: dict[str, Any], contributor_id: int
) -> Transfer:
    now = utc_now()
    return Transfer(
        project_id=project_id,
        kind=kind,
        status=TransferStatus.PENDING,
        format=format_name,
        options=options,
        contributor_id=contributor_id,
        done=0,
        available_at=now,
        created_at=now,
    )


def _keep(services: Services, transfer: Transfer, *, source: dict[str, Any] | None = None) -> Transfer:
    transfer.source = source
    with services.store.write() as uow:
        uow.transfers.add(transfer)
        uow.commit()
    return transfer


def carry_out(services: Services, transfer_id: str) -> int | None:
    """Import or export, and note what came of it; nothing where it is done, or somebody else has it.

    Safe to run twice: an import leaves out what is there, an export is written anew. Where Label Studio is away it
    is tried again after a pause. Returns the project whose tasks it may have added to.
    """
    with services.store.write() as uow:
        transfer = uow.transfers.claim(transfer_id, lease=LEASE, now=utc_now())
        uow.commit()
    if transfer is None:
        return None
    work = _import if transfer.kind == TransferKind.IMPORT else _export
    try:
        report, outcome = work(services, transfer, lambda done: _move(services, transfer_id, done))
    except LabelStudioUnavailable as error:
        _note(services, transfer, status=TransferStatus.PENDING, error=error, available_at=utc_now() + PAUSE)
    except SpanloopError as error:
        _note(services, transfer, status=TransferStatus.FAILED, error=error, finished_at=utc_now())
    except Exception as error:
        crash = SpanloopError(f"{type(error).__name__}: see the log")
        _note(services, transfer, status=TransferStatus.FAILED, error=crash, finished_at=utc_now())
        raise
    else:
        done = {"report": report, "outcome": outcome, "finished_at": utc_now()}
        _note(services, transfer, status=TransferStatus.COMPLETED, error=None, **done)
    return transfer.project_id if transfer.kind == TransferKind.IMPORT else None


def _import(services: Services, transfer: Transfer, move: Move) -> tuple[dict[str, Any], dict[str, Any] | None]:
    source, options = transfer.source or {}, transfer.options
    file = services.artefacts.fetch(source["path"], source["checksum"]) / f"{SOURCE_STEM}.{transfer.format}"
    rows = read_rows(file, max_chars=services.settings.max_text_chars)
    verified = bool(options.get("verified"))
    with _folder() as folder:
        rejects = folder / REJECTS
        with RejectsFile(rejects) as kept:

            def tell(rejected: RejectedRow) -> None:
                kept.write(rejected)

            if options.get("dry_run"):
                report = check_rows(
                    services.store, transfer.project_id, rows, verified=verified, clock=utc_now, on_rejected=tell
                )
            else:
                report = import_rows(
                    services.store,
                    services.label_studio,
                    transfer.project_id,
                    rows,
                    verified=verified,
                    contributor_id=transfer.contributor_id,
                    clock=utc_now,
                    on_progress=move,
                    on_rejected=tell,
                )
        outcome = asdict(services.artefacts.save(folder, "rejects")) if rejects.exists() else None
    return _count(report), outcome


def _count(report: ImportReport) -> dict[str, Any]:
    return {
        "imported": report.imported,
        "proposals": report.proposals,
        "verified": report.verified,
        "known": report.known,
        "spans_added": report.spans_added,
        "rejected": len(report.rejected),
    }


def _export(services: Services, transfer: Transfer, move: Move) -> tuple[dict[str, Any], dict[str, Any] | None]:
    with services.store.read() as uow:
        project = uow.projects.get(transfer.project_id)
    with _folder() as folder:
        out, archive = folder / "files", folder / "archive" / ARCHIVE
        report = export_texts(
            services, project, ExportFormat(transfer.format), out, part=transfer.options.get("part"), on_progress=move
        )
        archive.parent.mkdir()
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
            for path in sorted(path for path in out.rglob("*") if path.is_file()):
                packed.write(path, path.relative_to(out))
                move(report.texts)
        outcome = asdict(services.artefacts.save(archive.parent, f"export-{project.id}"))
    kept = ("texts", "spans", "parts", "not_held_spans", "not_held_texts", "content_hash", "files")
    return {name: value for name, value in asdict(report).items() if name in kept}, outcome


def export_texts(
    services: Services, project: Project, to: ExportFormat, out: Path, *, part: str | None, on_progress: OnProgress
) -> ExportReport:
    """Export under the names that the project's own labelling config has. Raises as `export_project` does."""
    config = parse_config(project.label_config)
    controls = Controls(config.text_key, config.to_name, config.from_name, dict(config.elsewhere))
    return export_project(
        services.store, project.id, to, out, part=part, controls=controls, clock=utc_now, on_progress=on_progress
    )


def find_file(services: Services, transfer: Transfer) -> Path | None:
    """The file that a transfer left to be downloaded, None where there is none."""
    if transfer.outcome is None:
        return None
    name = REJECTS if transfer.kind == TransferKind.IMPORT else ARCHIVE
    return services.artefacts.fetch(transfer.outcome["path"], transfer.outcome["checksum"]) / name


def drop_old_files(services: Services) -> None:
    """Delete the files of transfers that ended long ago; what was counted stays."""
    with services.store.write() as uow:
        old = uow.transfers.outdated(utc_now() - KEPT)
        paths = [kept["path"] for row in old for kept in (row.source, row.outcome) if kept]
        for row in old:
            row.source, row.outcome = None, None
        uow.commit()
    for path in paths:
        services.artefacts.delete(path)


def _move(services: Services, transfer_id: str, done: int) -> None:
    with services.store.write() as uow:
        uow.transfers.progress(transfer_id, done=done, until=utc_now() + LEASE)
        uow.commit()


def _note(
    services: Services, transfer: Transfer, *, status: TransferStatus, error: SpanloopError | None, **changes: Any
) -> None:
    with services.store.write() as uow:
        row = uow.transfers.get(TransferKind(transfer.kind), transfer.id)
        row.status = status
        row.error_code, row.error = (error.code, error.message) if error is not None else (None, None)
        for name, value in changes.items():
            setattr(row, name, value)
        uow.commit()
    log.info("transfer_ended", transfer_id=transfer.id, kind=transfer.kind, status=status)


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="spanloop-") as folder:
        yield Path(folder)
