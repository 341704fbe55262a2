"""What a killed worker leaves in the work folder."""

from __future__ import annotations

from pathlib import Path

from tests.integration.rows import NOW, add_project
from training.runs.run import Workshop, clear_remains, fail_run, request_run
from training.store.tables.runs import RunStatus
from training.store.unit_of_work import Store
from training.versions.artefacts import ArtefactStore


def test_run_remains_are_cleared_once_the_run_is_over(sqlite_store: Store, tmp_path: Path) -> None:
    """Folders of runs that are over go, since they hold texts; those of a run that is on, and others, stay."""
    store, work = sqlite_store, tmp_path / "work"
    workshop = Workshop(store, ArtefactStore(str(tmp_path / "models")), work, lambda: NOW)
    lost, on = (ask(store, add_project(store, project_id)) for project_id in (1, 2))
    with store.write() as uow:
        fail_run(uow, lost, code="run_lost", message="its worker died", now=NOW)
        uow.runs.move(on, RunStatus.RUNNING)
        uow.commit()
    kept = {f"run-{on}", f".run-{on}-1a2b3c", "notes"}
    for name in (*kept, f"run-{lost}", f".run-{lost}-x_y8z9"):
        (work / name).mkdir(parents=True)
        (work / name / "train.spacy").write_text("texts")
    clear_remains(workshop)
    assert {folder.name for folder in work.iterdir()} == kept


def ask(store: Store, project_id: int) -> str:
    """A pending run of the project."""
    with store.write() as uow:
        run = request_run(uow, project_id, trigger="cli", promote=False, now=NOW)
        uow.commit()
    return run.id
