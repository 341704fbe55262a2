"""How long a version's predictions take for a large pool, and what annotators and the drain notice of it.

`python -m benchmarks.refresh --tasks 50000` starts the whole system. Tasks and texts are put into Label Studio and the
store in bulk, without webhooks. An annotator takes what comes next and submits it, over and over: first in peace, after
a first refresh, then while the whole pool is refreshed for another version.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psutil
from sqlalchemy import insert

from ml_backend.projects import connection_of
from tests.live.label_studio import MISSING, find_label_studio
from tests.live.project import LiveProject
from tests.live.system import RunningSystem, run_system, wait_for
from training.demo_texts import generate
from training.registry import activate
from training.spans import hash_text
from training.store.tables.models import MLModel
from training.store.tables.texts import Task, TextRow

CHUNK = 1000
DISTINCT = 2000
PAUSE_SECONDS = 0.5
PATIENCE_SECONDS = 1800.0
LABELS = ("PERSON", "EMAIL_ADDRESS", "PHONE_NUMBER", "US_SSN")


@dataclass
class Work:
    """Seconds that each page, each submit, and each way from a submit into the store took."""

    pages: list[float] = field(default_factory=list)
    submits: list[float] = field(default_factory=list)
    ways: list[float] = field(default_factory=list)


def main() -> None:
    """Fill, refresh twice, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tasks", type=int, default=50_000, help="tasks that wait (50000)")
    parser.add_argument("--base-model", default="", help="base model of the project (the shipped default)")
    parser.add_argument("--peace", type=float, default=20.0, help="seconds of annotating without a refresh (20)")
    parser.add_argument("--once", action="store_true", help="only the first refresh, without an annotator")
    arguments = parser.parse_args()
    executable = find_label_studio()
    if executable is None:
        sys.exit(MISSING)
    folder = Path(tempfile.mkdtemp(prefix="spanloop-refresh-"))
    with run_system(folder, label_studio=executable, tick_seconds=2.0) as system:
        project = LiveProject.create(system, "Refresh", LABELS, folder=folder, base=arguments.base_model)
        began = time.monotonic()
        fill(system, project, arguments.tasks)
        say(f"{arguments.tasks:,} tasks made in {time.monotonic() - began:.0f} s")
        with memory_of_refresh(system) as peak:
            say(
                f"first refresh: {wait_for_refresh(project):.0f} s, worker's peak {max(peak, default=0) / 2**20:.0f} MB"
            )
        if not arguments.once:
            compare(system, project, peace=arguments.peace)


def compare(system: RunningSystem, project: LiveProject, *, peace: float) -> None:
    """Annotate in peace and during a refresh."""
    system.label_studio.create_webhook(
        project.id, f"{system.url}/p/{project.id}/webhook", headers=connection_of(system.services).headers
    )
    with annotating(system, project) as quiet:
        time.sleep(peace)
    with annotating(system, project) as busy, memory_of_refresh(system) as peak:
        began = time.monotonic()
        go_live(system, project)
        wait_for("the flip", lambda: project.shown().model_version == project.live().version, seconds=PATIENCE_SECONDS)
        flipped = time.monotonic() - began
        wait_for_refresh(project)
        whole = time.monotonic() - began
    memory = max(peak, default=0) / 2**20
    say(f"second refresh: announced after {flipped:.1f} s, done after {whole:.0f} s, worker's peak {memory:.0f} MB")
    say(f"{'':<28}{'pages':>7}{'median':>9}{'95th':>9}{'worst':>9}")
    for name, work in (("in peace", quiet), ("during the refresh", busy)):
        for what, seconds in (("next page", work.pages), ("submit", work.submits), ("into the store", work.ways)):
            line = "".join(f"{quantile(seconds, q) * 1000:>7.0f}ms" for q in (0.5, 0.95, 1.0))
            say(f"{name + ', ' + what:<28}{len(seconds):>7}{line}")


def fill(system: RunningSystem, project: LiveProject, count: int) -> None:
    """Tasks with texts of the demo, each with a number of its own, in Label Studio and in the store."""
    for hook in system.label_studio.list_webhooks(project.id):
        system.label_studio.delete_webhook(hook.id)
    drawn = [one.text for one in generate(DISTINCT, seed=1)]
    now = datetime.now(UTC)
    with system.store.write() as uow:
        uow.projects.lock(project.id).reconcile_cursor = now
        uow.commit()
    for start in range(0, count, CHUNK):
        texts = [f"{drawn[n % len(drawn)]} ({n})" for n in range(start, min(count, start + CHUNK))]
        ids = system.label_studio.import_tasks(project.id, [{"data": {"text": text}} for text in texts])
        keep(system, project, texts, ids, now=now)


def keep(system: RunningSystem, project: LiveProject, texts: list[str], ids: list[int], *, now: datetime) -> None:
    """Mirror tasks, their texts without near-duplicate groups, every fifth a test text."""
    rows = [
        {
            "project_id": project.id,
            "hash": hash_text(text),
            "text": text,
            "part": "test" if number % 5 == 0 else "train",
            "bridged_groups": [],
            "first_seen_at": now,
        }
        for number, text in enumerate(texts)
    ]
    with system.store.write() as uow:
        uow.session.execute(insert(TextRow), rows)
        found = [uow.texts.find_text(project.id, hash_text(text)) for text in texts]
        tasks = [
            {
                "project_id": project.id,
                "id": task_id,
                "text_id": row.id if row else None,
                "is_labeled": False,
                "updated_at": now,
                "marks": "",
                "shown_marks": "",
            }
            for task_id, row in zip(ids, found, strict=True)
        ]
        uow.session.execute(insert(Task), tasks)
        uow.commit()


def wait_for_refresh(project: LiveProject) -> float:
    """Seconds until every waiting task has a prediction of the live version."""
    began = time.monotonic()

    def is_done() -> bool:
        with project.system.store.read() as uow:
            return uow.texts.count_unpushed(project.id, project.live().version) == 0

    wait_for("the refresh", is_done, seconds=PATIENCE_SECONDS)
    return time.monotonic() - began


def go_live(system: RunningSystem, project: LiveProject) -> None:
    """Put a version live that says what the one before said, under another name."""
    old = project.live()
    with system.store.write() as uow:
        number = uow.models.next_number(project.id)
        model = uow.models.add(
            MLModel(
                project_id=project.id,
                number=number,
                version=f"spanloop-v{number}",
                is_active=False,
                is_production=False,
                spec=old.spec,
                label_mapping=old.label_mapping,
                created_at=datetime.now(UTC),
            )
        )
        activate(uow, project.id, model.id, by="benchmark", reason="", now=datetime.now(UTC))
        uow.commit()


@contextmanager
def annotating(system: RunningSystem, project: LiveProject) -> Iterator[Work]:
    """An annotator at work until the block ends."""
    work, stop = Work(), threading.Event()
    annotator = system.annotator(project.id)

    def annotate() -> None:
        while not stop.wait(PAUSE_SECONDS):
            began = time.monotonic()
            page = annotator.open_next()
            if page is None:
                return
            opened = time.monotonic()
            submitted = annotator.submit(page, page.shown)
            done = time.monotonic()
            wait_for("the annotation", lambda: project.annotation(submitted.annotation_id), seconds=120)  # noqa: B023
            work.pages.append(opened - began)
            work.submits.append(done - opened)
            work.ways.append(time.monotonic() - done)

    thread = threading.Thread(target=annotate, name="annotator")
    thread.start()
    try:
        yield work
    finally:
        stop.set()
        thread.join()


@contextmanager
def memory_of_refresh(system: RunningSystem) -> Iterator[list[int]]:
    """Resident bytes of the refresh worker's job, looked at four times a second."""
    sizes: list[int] = []
    stop = threading.Event()

    def look() -> None:
        while not stop.wait(0.25):
            try:
                sizes.extend(child.memory_info().rss for child in system.process("worker-refresh").children())
            except psutil.Error:
                continue

    thread = threading.Thread(target=look, name="memory")
    thread.start()
    try:
        yield sizes
    finally:
        stop.set()
        thread.join()


def quantile(seconds: list[float], share: float) -> float:
    """The value below which this share lies; nil without values."""
    return sorted(seconds)[min(len(seconds) - 1, int(len(seconds) * share))] if seconds else 0.0


def say(line: str) -> None:
    """Write a line of the output."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
