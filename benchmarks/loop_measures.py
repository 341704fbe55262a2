"""What the figures of the loop are measured by; each function measures one thing on a running system."""

from __future__ import annotations

import base64
import copy
import http.client
import json
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil

from tests.live.project import LiveProject
from tests.live.system import RunningSystem, wait_for
from training.demo.texts import generate
from training.store.tables.runs import RunStatus, TrainingBatch
from training.versions.registry import open_version

PAYLOAD = Path(__file__).parents[1] / "tests" / "payloads" / "annotation_created.json"
MEGABYTE = 1024 * 1024
SAMPLE_SECONDS = 0.05
AWAIT_SECONDS = 900.0


@dataclass(frozen=True, slots=True)
class PredictFigures:
    """Medians over so many repeats, in seconds, for so many texts of so many characters on average."""

    texts: int
    characters: float
    repeats: int
    over_http: float
    in_process: float

    @property
    def ratio(self) -> float:
        """How many times as long the request takes."""
        return self.over_http / self.in_process


@dataclass(frozen=True, slots=True)
class AckFigures:
    """How long the sender of an event waits for its answer, in seconds."""

    events: int
    median: float
    p99: float
    longest: float
    during_run: bool


@dataclass(frozen=True, slots=True)
class RunFigures:
    """A run as its project meets it: seconds, texts by part, and the largest resident memory of its process."""

    seconds: float
    training_seconds: float
    train: int
    dev: int
    test: int
    peak_bytes: int
    f1: float


def texts_of_about(characters: int, count: int, *, seed: int) -> list[str]:
    """Made-up texts whose length is near this."""
    near = (made.text for made in generate(count * 20, seed=seed) if abs(len(made.text) - characters) <= characters / 5)
    return [text for _, text in zip(range(count), near, strict=False)]


def measure_predict(system: RunningSystem, project: LiveProject, *, texts: int, repeats: int) -> PredictFigures:
    """`POST /predict` of these texts against the same version's pipeline, called here, by turns."""
    chosen = texts_of_about(100, texts, seed=7)
    tasks = [{"id": -number, "data": {"text": text}} for number, text in enumerate(chosen, 1)]
    pipeline = open_version(project.live(), system.services.artefacts)
    with httpx.Client(base_url=system.url, auth=system.credential, timeout=300, trust_env=False) as client:

        def ask() -> None:
            answer = client.post(f"/p/{project.id}/predict", json={"tasks": tasks})
            answer.raise_for_status()
            assert len(answer.json()["results"]) == len(chosen)

        for _ in range(3 * system.settings.web_workers):  # each worker has loaded and warmed up by then
            ask()
        pipeline.predict(chosen)
        pairs = [(seconds_of(ask), seconds_of(lambda: pipeline.predict(chosen))) for _ in range(repeats)]
    return PredictFigures(
        texts=len(chosen),
        characters=statistics.mean(map(len, chosen)),
        repeats=repeats,
        over_http=statistics.median(http for http, _ in pairs),
        in_process=statistics.median(here for _, here in pairs),
    )


def seconds_of(work: Callable[[], object]) -> float:
    """How long the work takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def measure_acknowledgement(system: RunningSystem, project: LiveProject, *, events: int) -> AckFigures:
    """Send events one after the other, each on a connection of its own, as Label Studio does.

    `during_run` says whether a training run was on from the first to the last.
    """
    bodies = list(make_events(project, events))
    before = is_training(system)
    waits = sorted(seconds_of(lambda: post(system, project, body)) for body in bodies)  # noqa: B023
    return AckFigures(
        events=events,
        median=statistics.median(waits),
        p99=waits[min(len(waits) - 1, int(len(waits) * 0.99))],
        longest=waits[-1],
        during_run=before and is_training(system),
    )


def make_events(project: LiveProject, count: int) -> Iterator[bytes]:
    """Bodies as Label Studio sends them for annotations of tasks that nobody has seen before."""
    recorded = json.loads(PAYLOAD.read_text())
    for number in range(1, count + 1):
        body = copy.deepcopy(recorded)
        body["project"]["id"] = body["task"]["project"] = body["annotation"]["project"] = project.id
        body["task"]["id"] = body["annotation"]["task"] = 1_000_000 + number
        body["annotation"].update(id=1_000_000 + number, parent_prediction=None)
        yield json.dumps(body).encode()


def post(system: RunningSystem, project: LiveProject, body: bytes) -> None:
    """Send one event; raises where it is not answered with 2xx."""
    address = urlsplit(system.url)
    credential = base64.b64encode(":".join(system.credential).encode()).decode()
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)
    headers = {"Authorization": f"Basic {credential}", "Content-Type": "application/json"}
    connection.request("POST", f"/p/{project.id}/webhook", body=body, headers=headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    if answer.status >= 300:
        raise RuntimeError(f"an event was answered with {answer.status}")


def is_training(system: RunningSystem) -> bool:
    """Whether a run is on."""
    with system.store.read() as uow:
        return any(run.status == RunStatus.RUNNING for run in uow.runs.all_active())


def measure_web_worker(system: RunningSystem) -> int:
    """The resident memory of the largest web worker, in bytes."""
    return max(child.memory_info().rss for child in system.process("web").children(recursive=True))


@contextmanager
def watch_training_memory(system: RunningSystem) -> Iterator[list[int]]:
    """Collect the resident memory, in bytes, of the process that carries a run through, until the end."""
    samples: list[int] = []
    stop = threading.Event()
    worker = system.process("worker-training")

    def sample() -> None:
        while not stop.wait(SAMPLE_SECONDS):
            for job in worker.children():
                try:
                    samples.append(job.memory_info().rss)
                except psutil.Error:
                    continue

    thread = threading.Thread(target=sample, name="memory")
    thread.start()
    try:
        yield samples
    finally:
        stop.set()
        thread.join()


def measure_run(system: RunningSystem, project: LiveProject) -> RunFigures:
    """Carry a run through; its version does not go live."""
    with watch_training_memory(system) as samples:
        run = finish(project, start_run(system, project))
    assert run.started_at is not None
    assert run.finished_at is not None
    return RunFigures(
        seconds=(run.finished_at - run.started_at).total_seconds(),
        training_seconds=run.training_seconds or 0.0,
        train=run.train_texts or 0,
        dev=run.dev_texts or 0,
        test=run.test_texts or 0,
        peak_bytes=max(samples),
        f1=float((run.metrics or {}).get("f1_score", 0.0)),
    )


def start_run(system: RunningSystem, project: LiveProject) -> str:
    """Ask for a run; its id."""
    system.spanloop("train", "--project", project.id, "--no-wait")
    return project.runs()[0].id


def wait_until_trains(project: LiveProject, run_id: str) -> None:
    """Return once the run has made its first step."""
    wait_for("the run to train", lambda: any(run.id == run_id and run.step for run in project.runs()))


def finish(project: LiveProject, run_id: str) -> TrainingBatch:
    """The run, once it is over; raises where it has no model."""
    run = wait_for(
        "the run to end",
        lambda: next((r for r in project.runs() if r.id == run_id and r.finished_at), None),
        seconds=AWAIT_SECONDS,
    )
    if run.model_id is None:
        raise RuntimeError(f"the run ended without a model: {run.error}")
    return run


class FirstPage:
    """Asks for the next page over and over, as a labelling page does, and notes when a version is on it first."""

    def __init__(self, project: LiveProject) -> None:
        self._project = project
        self.seen: dict[str, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, name="first-page")

    def __enter__(self) -> FirstPage:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stop.wait(SAMPLE_SECONDS):
            task = self._project.label_studio.next_task(self._project.id)
            for prediction in task.predictions if task else ():
                self.seen.setdefault(prediction.model_version, time.time())


def measure_activations(system: RunningSystem, project: LiveProject, versions: Sequence[str]) -> list[float]:
    """Seconds from each activation to the first page with that version, activating these one after the other."""
    seconds = []
    for version in versions:
        with FirstPage(project) as page:
            wait_for("a first look", lambda: page.seen)
            page.seen.clear()
            system.spanloop("models", "activate", version, "--project", project.id, "--reason", "a measurement")
            shown = wait_for(f"a page with {version}", lambda: page.seen.get(version))  # noqa: B023
        with system.store.read() as uow:
            activated = max(change.activated_at for change in uow.models.activations(project.id))
        seconds.append(shown - activated.timestamp())
        project.wait_for_prelabels()
    return seconds
