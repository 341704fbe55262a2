"""How fast verified examples are exported, and in how much memory.

Makes a store of its own in a temporary folder: `python -m benchmarks.export_rows --rows 1000000`. Each format is
exported by a process of its own, whose memory is what the table shows.
"""

from __future__ import annotations

import argparse
import random
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from sqlalchemy import insert

from training.exports.export import export_project
from training.exports.writing import ExportFormat
from training.spans import hash_text
from training.store.database import open_engine
from training.store.migrate import upgrade
from training.store.tables.examples import TrainingDataset
from training.store.tables.projects import Project
from training.store.tables.texts import TextRow
from training.store.unit_of_work import Store

NOW = datetime(2030, 1, 1, tzinfo=UTC)
LABELS = ("PERSON", "SSN", "CITY")
CHUNK = 5_000
PARTS = ("train",) * 13 + ("dev",) * 3 + ("test",) * 4
WORDS = ("please", "note", "that", "the", "letter", "about", "your", "account", "was", "sent", "to", "this", "address")


def make_example(number: int, rng: random.Random) -> tuple[str, list[dict[str, Any]]]:
    """A text of about 100 characters with three spans, most of whose values stand nowhere else."""
    values = {
        "PERSON": f"Ada{number:x} Byron{rng.randrange(10**6):x}",
        "SSN": f"{rng.randrange(100, 900)}-{rng.randrange(10, 99)}-{rng.randrange(1000, 9999)}",
        "CITY": f"Town{rng.randrange(5000)}",
    }
    text, spans = "", []
    for label, value in values.items():
        text += " ".join(rng.choices(WORDS, k=4)) + " "
        spans.append({"start": len(text), "end": len(text) + len(value), "label": label})
        text += value + " "
    return text + "today.", spans


def make_rows(start: int, end: int) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """The columns of texts and of their examples."""
    rng = random.Random(start)
    for number in range(start, end):
        text, spans = make_example(number, rng)
        part = PARTS[number % len(PARTS)]
        yield (
            {
                "id": number + 1,
                "project_id": 1,
                "hash": hash_text(text),
                "text": text,
                "part": part,
                "bridged_groups": [],
                "first_seen_at": NOW,
            },
            {
                "project_id": 1,
                "text_id": number + 1,
                "entities": spans,
                "problems": [],
                "classification_type": "PII",
                "source": "label_studio",
                "verified": True,
                "verified_at": NOW,
                "revision": "1",
                "usage_count": 0,
                "created_at": NOW,
                "updated_at": NOW,
            },
        )


def fill(url: str, rows: int) -> None:
    """Make a project with so many verified examples."""
    upgrade(url)
    engine = open_engine(url)
    with engine.begin() as connection:
        project = {"id": 1, "title": "Benchmark", "language": "en", "base_model": "blank:en", "label_config": ""}
        names = {"from_name": "label", "to_name": "text", "text_key": "text", "settings": {}, "created_at": NOW}
        taxonomy = [{"name": label, "group": "PII"} for label in LABELS]
        connection.execute(insert(Project), [{**project, **names, "taxonomy": taxonomy}])
    for start in range(0, rows, CHUNK):
        texts, examples = zip(*make_rows(start, min(rows, start + CHUNK)), strict=True)
        with engine.begin() as connection:
            connection.execute(insert(TextRow), texts)
            connection.execute(insert(TrainingDataset), examples)
    engine.dispose()


def measure(url: str, to: str, folder: str) -> tuple[float, float, float, float, int]:
    """Seconds, seconds of CPU, peak memory before and after in MB, and bytes written, of one export."""
    before = peak_mb()
    store = Store(open_engine(url))
    started, busy = time.perf_counter(), time.process_time()
    export_project(store, 1, ExportFormat(to), Path(folder) / to, clock=lambda: NOW)
    seconds, busy = time.perf_counter() - started, time.process_time() - busy
    written = sum(path.stat().st_size for path in (Path(folder) / to).rglob("*") if path.is_file())
    return seconds, busy, before, peak_mb(), written


def peak_mb() -> float:
    """The most memory that this process has had resident, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def main() -> None:
    """Fill, export, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=1_000_000, help="examples to make")
    parser.add_argument("--formats", default=",".join(ExportFormat), help="formats to write, with commas between")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="spanloop-export-") as folder:
        url = f"sqlite:///{folder}/store.db"
        started = time.perf_counter()
        fill(url, arguments.rows)
        print(f"{arguments.rows:,} examples made in {time.perf_counter() - started:.0f} s", flush=True)  # noqa: T201
        print(f"{'format':<14}{'seconds':>9}{'CPU s':>8}{'rows/s':>9}{'MB before':>11}{'MB peak':>9}{'MB written':>12}")  # noqa: T201
        for to in arguments.formats.split(","):
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                seconds, busy, before, peak, written = pool.submit(measure, url, to, folder).result()
            rate = arguments.rows / seconds
            line = f"{to:<14}{seconds:>9.1f}{busy:>8.1f}{rate:>9,.0f}{before:>11.0f}{peak:>9.0f}{written / 1e6:>12.1f}"
            print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
