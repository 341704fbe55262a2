"""The figures of the loop: `python -m benchmarks.loop_figures` starts the whole system and prints them as a table."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.loop_measures import (
    MEGABYTE,
    finish,
    measure_acknowledgement,
    measure_activations,
    measure_predict,
    measure_run,
    measure_web_worker,
    start_run,
    wait_until_trains,
)
from tests.live.label_studio import MISSING, find_label_studio
from tests.live.project import LiveProject
from tests.live.system import RunningSystem, run_system
from training.demo.texts import generate
from training.taxonomy import load_taxonomy

MEASURES = ("predict", "run", "webhook", "page")
Row = tuple[str, str]


def main() -> None:
    """Measure what the arguments name, and print it."""
    arguments = read_arguments()
    executable = find_label_studio()
    if executable is None:
        sys.exit(MISSING)
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="spanloop-figures-"))
    say(f"Starting the system in {folder} …")
    with run_system(folder, label_studio=executable, tick_seconds=2.0) as system:
        figures = measure(system, arguments, folder)
    print_table(figures)
    if arguments.json:
        arguments.json.write_text(json.dumps({**machine(), **figures}, indent=2) + "\n")


def read_arguments() -> argparse.Namespace:
    """What to measure, and how much of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=MEASURES, default=MEASURES, help="measure these alone")
    parser.add_argument("--texts", type=int, default=100, help="verified texts that a run trains on (100)")
    parser.add_argument("--waiting", type=int, default=300, help="texts that wait for an annotator meanwhile (300)")
    parser.add_argument("--events", type=int, default=500, help="webhook events (500)")
    parser.add_argument("--repeats", type=int, default=15, help="how often /predict is asked (15)")
    parser.add_argument("--base-model", default="", help="base model of the project (the shipped default)")
    parser.add_argument("--folder", type=Path, help="data folder (a temporary one)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures into this file, too")
    return parser.parse_args()


def measure(system: RunningSystem, arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The figures by name, measured one after the other."""
    say("Setting up a project …")
    project = set_up(system, arguments, folder)
    wanted = set(arguments.only)
    figures: dict[str, Any] = {}
    if "predict" in wanted:
        say("Measuring /predict …")
        found = measure_predict(system, project, texts=100, repeats=arguments.repeats)
        figures["predict"] = {**asdict(found), "ratio": found.ratio}
        figures["web_worker_bytes"] = measure_web_worker(system)
    if "run" in wanted or "page" in wanted:
        say("Measuring a training run …")
        figures["run"] = asdict(measure_run(system, project))
    if "webhook" in wanted:
        say("Measuring webhook acknowledgement during a run …")
        figures["webhook"] = asdict(measure_webhook(system, project, arguments, folder))
    if "page" in wanted:
        say("Measuring activations …")
        figures["first_page_seconds"] = measure_activations(system, project, never_shown(project))
    return figures


def never_shown(project: LiveProject) -> list[str]:
    """The versions that were registered and never live, oldest first."""
    return [version for version in reversed(project.versions()) if version != project.live().version]


def set_up(system: RunningSystem, arguments: argparse.Namespace, folder: Path) -> LiveProject:
    """A project of the default labels with verified texts and waiting ones."""
    labels = load_taxonomy(None).names
    project = LiveProject.create(system, "Figures", labels, folder=folder, base=arguments.base_model)
    made = list(generate(arguments.texts + arguments.waiting, seed=11))
    verified = folder / "verified.jsonl"
    rows = ({"text": one.text, "spans": [span.to_json() for span in one.spans]} for one in made[: arguments.texts])
    verified.write_text("".join(json.dumps(row) + "\n" for row in rows))
    system.spanloop("import", verified, "--verified", "--project", project.id)
    project.import_texts([one.text for one in made[arguments.texts :]], folder=folder)
    return project


def measure_webhook(system: RunningSystem, project: LiveProject, arguments: argparse.Namespace, folder: Path) -> Any:
    """Events of a second project, while the first one trains."""
    inbox = LiveProject.create(system, "Inbox", ["PER"], folder=folder, base="blank:en")
    run_id = start_run(system, project)
    wait_until_trains(project, run_id)
    found = measure_acknowledgement(system, inbox, events=arguments.events)
    finish(project, run_id)
    return found


def print_table(figures: dict[str, Any]) -> None:
    """The figures as a markdown table."""
    write(" ".join(f"{name} {value}," for name, value in machine().items()).rstrip(",") + ".\n")
    write("| Figure | Measured |\n|---|---|")
    for name, value in table_rows(figures):
        write(f"| {name} | {value} |")


def table_rows(figures: dict[str, Any]) -> Iterator[Row]:
    """What the table says of each measure."""
    describe: dict[str, Callable[[Any], Iterator[Row]]] = {
        "predict": describe_predict,
        "web_worker_bytes": lambda size: iter([("resident memory of a web worker", megabytes(size))]),
        "run": describe_run,
        "webhook": describe_webhook,
        "first_page_seconds": describe_pages,
    }
    for name, value in figures.items():
        yield from describe[name](value)


def describe_predict(found: dict[str, Any]) -> Iterator[Row]:
    """The rows about /predict."""
    name = f"`/predict`, {found['texts']} tasks of {found['characters']:.0f} characters"
    yield f"{name}, median of {found['repeats']}", milliseconds(found["over_http"])
    yield "the same pipeline called in-process", milliseconds(found["in_process"])
    yield "ratio", f"{found['ratio']:.2f}"


def describe_run(found: dict[str, Any]) -> Iterator[Row]:
    """The rows about a run."""
    texts = found["train"] + found["dev"] + found["test"]
    parts = f"{found['train']} train, {found['dev']} dev, {found['test']} test"
    yield f"a run on {texts} texts ({parts}), wall time", f"{found['seconds']:.1f} s"
    yield "of which training", f"{found['training_seconds']:.1f} s"
    yield "resident memory of a training run, peak", megabytes(found["peak_bytes"])


def describe_webhook(found: dict[str, Any]) -> Iterator[Row]:
    """The rows about webhooks."""
    while_what = "while a run is on" if found["during_run"] else "the run ended meanwhile"
    name = f"webhook acknowledgement, {found['events']} events, {while_what}"
    yield f"{name}: median", milliseconds(found["median"])
    yield f"{name}: 99th percentile", milliseconds(found["p99"])


def describe_pages(seconds: list[float]) -> Iterator[Row]:
    """The row about the first page with a new version."""
    each = ", ".join(f"{one:.1f}" for one in seconds)
    yield "activation of a version to the first page with it, median", f"{median(seconds):.1f} s (each: {each})"


def milliseconds(seconds: float) -> str:
    """As milliseconds."""
    return f"{seconds * 1000:.0f} ms" if seconds >= 0.1 else f"{seconds * 1000:.1f} ms"


def megabytes(size: float) -> str:
    """As megabytes."""
    return f"{size / MEGABYTE:.0f} MB"


def machine() -> dict[str, Any]:
    """Where this was measured."""
    names = ("spacy", "label-studio-sdk", "fastapi")
    return {
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        **{name: version(name) for name in names},
    }


def say(sentence: str) -> None:
    """Tell what goes on, beside the output proper."""
    sys.stderr.write(f"{sentence}\n")


def write(line: str) -> None:
    """Write a line of the output."""
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    main()
