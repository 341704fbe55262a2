"""How long a version's predictions take for a large pool, and what annotators and the drain notice of it.

`python -m benchmarks.refresh --tasks 50000` starts the whole system. Tasks and texts are put into Label Studio and the
store in bulk, without webhooks. An annotator takes what comes next and submits it, and Label Studio's own question to
/predict is asked, over and over: first in peace, after a first refresh, then while the whole pool is refreshed for
another version. With `--kill` the worker is killed in the middle of that, and what it had done must not be done again.
With `--folder` a second call goes on with the pool of the first, which leaves out filling and the first refresh.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx
import psutil
from sqlalchemy import func, insert, select

from ml_backend.projects import connection_of
from tests.live.label_studio import MISSING, find_label_studio
from tests.live.project import LiveProject
from tests.live.system import RunningSystem, run_system, wait_for
from training.demo.texts import generate
from training.spans import hash_text
from training.store.tables.annotations import PushedPrediction
from training.store.tables.models import MLModel
from training.store.tables.texts import Task, TextRow
from training.versions.registry import activate

CHUNK = 1000
DISTINCT = 2000
PAUSE_SECONDS = 0.5
PATIENCE_SECONDS = 1800.0
TITLE = "Refresh"
LABELS = ("PERSON", "EMAIL_ADDRESS", "PHONE_NUMBER", "US_SSN")


@dataclass
class Work:
    """Seconds that each page, submit, way from a submit into the store, and request to /predict took."""

    pages: list[float] = field(default_factory=list)
    submits: list[float] = field(default_factory=list)
    ways: list[float] = field(default_factory=list)
    predicts: list[float] = field(default_factory=list)


def main() -> None:
    """Fill, refresh twice, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tasks", type=int, default=50_000, help="tasks that wait (50000)")
    parser.add_argument("--base-model", default="", help="base model of the project (the shipped default)")
    parser.add_argument("--peace", type=float, default=20.0, help="seconds of annotating without a refresh (20)")
    parser.add_argument("--once", action="store_true", help="only the first refresh, without an annotator")
    parser.add_argument("--workers", type=int, default=1, help="refresh workers (1)")
    parser.add_argument("--kill", action="store_true", help="kill the first worker once a third has been pushed")
    parser.add_argument("--folder", type=Path, help="data folder to keep, or to go on with (a new one)")
    arguments = parser.parse_args()
    executable = find_label_studio()
    if executable is None:
        sys.exit(MISSING)
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="spanloop-refresh-"))
    folder.mkdir(parents=True, exist_ok=True)
    with (
        run_system(folder, label_studio=executable, tick_seconds=2.0) as system,
        more_workers(folder, arguments.workers - 1) as workers,
    ):
        project = prepare(system, folder, base=arguments.base_model, tasks=arguments.tasks, workers=workers)
        if not arguments.once:
            compare(system, project, workers, peace=arguments.peace, kill=arguments.kill)


def prepare(
    system: RunningSystem, folder: Path, *, base: str, tasks: int, workers: list[psutil.Process]
) -> LiveProject:
    """The project with its pool refreshed once; made where the folder does not hold it yet."""
    with system.store.read() as uow:
        known = [one.id for one in uow.projects.all() if one.title == TITLE]
        there = uow.texts.count_tasks(known[0])[0] if known else 0
    if there >= tasks:
        project = LiveProject(system, known[0])
        wait_for_refresh(project)
        return project
    project = (
        LiveProject(system, known[0]) if known else LiveProject.create(system, TITLE, LABELS, folder=folder, base=base)
    )
    began = time.monotonic()
    fill(system, project, there, tasks)
    say(f"{tasks - there:,} tasks made in {time.monotonic() - began:.0f} s")
    with memory_of_refresh(system, workers) as peak:
        took = wait_for_refresh(project)
    say(f"first refresh: {took:.0f} s, {tasks / took:.0f} tasks/s, a job's peak {max(peak, default=0) / 2**20:.0f} MB")
    return project


def compare(
    system: RunningSystem, project: LiveProject, workers: list[psutil.Process], *, peace: float, kill: bool
) -> None:
    """Annotate in peace and during a refresh."""
    # A folder that was kept has the webhook of a system on another port.
    for old in system.label_studio.list_webhooks(project.id):
        system.label_studio.delete_webhook(old.id)
    system.label_studio.create_webhook(
        project.id, f"{system.url}/p/{project.id}/webhook", headers=connection_of(system.services).headers
    )
    with system.store.read() as uow:
        tasks, finished = uow.texts.count_tasks(project.id)
    with annotating(system, project) as quiet:
        time.sleep(peace)
    with annotating(system, project) as busy, memory_of_refresh(system, workers) as peak:
        began = time.monotonic()
        go_live(system, project)
        wait_for("the flip", lambda: project.shown().model_version == project.live().version, seconds=PATIENCE_SECONDS)
        flipped = time.monotonic() - began
        if kill:
            kill_in_the_middle(system, project, waiting=tasks - finished)
        wait_for_refresh(project)
        whole = time.monotonic() - began
    memory = max(peak, default=0) / 2**20
    say(
        f"second refresh: announced after {flipped:.1f} s, {tasks - finished:,} tasks done after {whole:.0f} s "
        f"({(tasks - finished) / whole:.0f} a second), a job's peak {memory:.0f} MB"
    )
    say(f"predictions of {project.live().version} in Label Studio beyond one a task: {count_doubled(project)}")
    say(f"{'':<32}{'number':>7}{'median':>9}{'95th':>9}{'worst':>9}")
    for name, work in (("in peace", quiet), ("during the refresh", busy)):
        for what, seconds in (
            ("next page", work.pages),
            ("submit", work.submits),
            ("into the store", work.ways),
            ("/predict", work.predicts),
        ):
            line = "".join(f"{quantile(seconds, q) * 1000:>7.0f}ms" for q in (0.5, 0.95, 1.0))
            say(f"{name + ', ' + what:<32}{len(seconds):>7}{line}")


def kill_in_the_middle(system: RunningSystem, project: LiveProject, *, waiting: int) -> None:
    """Kill the supervisor's refresh worker, job and all, once a third of the tasks was pushed."""
    wait_for("a third", lambda: count_pushed(project) > waiting / 3, seconds=PATIENCE_SECONDS)
    system.kill("worker-refresh")
    say(f"worker killed with {count_pushed(project):,} tasks in Label Studio")


def count_pushed(project: LiveProject) -> int:
    """Predictions of the live version that the store knows to be in Label Studio."""
    query = select(func.count()).select_from(PushedPrediction)
    query = query.where(PushedPrediction.project_id == project.id, PushedPrediction.version == project.live().version)
    with project.system.store.read() as uow:
        return uow.session.scalar(query) or 0


def count_doubled(project: LiveProject) -> int:
    """How many predictions of the live version stand beside another one of it; read from Label Studio's database,
    since its API takes minutes for so many tasks."""
    file = project.system.settings.data_dir / "label-studio" / "label_studio.sqlite3"
    query = "SELECT count(*) - count(DISTINCT task_id) FROM prediction WHERE project_id = ? AND model_version = ?"
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
        return int(database.execute(query, (project.id, project.live().version)).fetchone()[0])


@contextmanager
def more_workers(folder: Path, count: int) -> Iterator[list[psutil.Process]]:
    """Further workers for the queue refresh, as an operator starts them."""
    command = [sys.executable, "-m", "ml_backend.worker", "refresh"]
    settings = {**os.environ, "SPANLOOP_DATA_DIR": str(folder), "SPANLOOP_TICK_SECONDS": "2"}
    started = [subprocess.Popen(command, env=settings) for _ in range(count)]
    try:
        yield [psutil.Process(one.pid) for one in started]
    finally:
        for one in started:
            one.terminate()
        for one in started:
            one.wait()


def fill(system: RunningSystem, project: LiveProject, first: int, count: int) -> None:
    """Tasks with texts of the demo, numbered from `first` to `count`, in Label Studio and in the store."""
    for hook in system.label_studio.list_webhooks(project.id):
        system.label_studio.delete_webhook(hook.id)
    drawn = [one.text for one in generate(DISTINCT, seed=1)]
    now = datetime.now(UTC)
    with system.store.write() as uow:
        uow.projects.lock(project.id).reconcile_cursor = now
        uow.commit()
    for start in range(first, count, CHUNK):
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

    while not is_done():  # seldom, since counting takes time from what is measured
        if time.monotonic() - began > PATIENCE_SECONDS:
            sys.exit(f"the refresh was not done within {PATIENCE_SECONDS:.0f} s")
        time.sleep(1.0)
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
    """An annotator at work, and Label Studio asking for predictions, until the block ends."""
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

    def ask() -> None:
        tasks = [{"id": 1, "data": {"text": next(generate(1, seed=2)).text}}]
        with httpx.Client(base_url=system.url, auth=system.credential, timeout=100) as client:
            while not stop.wait(PAUSE_SECONDS):
                began = time.monotonic()
                client.post(f"/p/{project.id}/predict", json={"tasks": tasks}).raise_for_status()
                work.predicts.append(time.monotonic() - began)

    threads = [threading.Thread(target=act, name=act.__name__) for act in (annotate, ask)]
    for thread in threads:
        thread.start()
    try:
        yield work
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@contextmanager
def memory_of_refresh(system: RunningSystem, workers: list[psutil.Process]) -> Iterator[list[int]]:
    """Resident bytes of each refresh worker's job, looked at four times a second."""
    sizes: list[int] = []
    stop = threading.Event()

    def look() -> None:
        while not stop.wait(0.25):
            try:
                jobs = [job for one in (system.process("worker-refresh"), *workers) for job in one.children()]
                sizes.extend(job.memory_info().rss for job in jobs)
            except (psutil.Error, AssertionError):  # a worker that was killed
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
