"""`spanloop demo`: the loop on made-up texts, against the system that `make up` started."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from config.errors import ConfigurationError
from ml_backend.cli.session import session_of
from ml_backend.cli.simulate import read_list, read_numbers, run_simulation
from ml_backend.simulation.plan import make_plan
from training.demo.texts import DemoText, generate

POOL_SEED, POOL_TEXTS, TEST_TEXTS = 1, 600, 200


def demo(
    context: typer.Context,
    budget: Annotated[int, typer.Option(help="Annotations to make in each project.", min=1)] = 150,
    batch: Annotated[int, typer.Option(help="Annotations after which a training run starts.", min=1)] = 50,
    strategies: Annotated[str, typer.Option(help="uncertainty, random, or both.")] = "uncertainty,random",
    seeds: Annotated[str, typer.Option(help="Whole numbers: order of the pool, split and training.")] = "1",
    project: Annotated[str, typer.Option(help="Name of the projects.")] = "Demo",
) -> None:
    """Watch the loop learn from generated texts: their right spans are known, so an annotator can be played."""
    session = session_of(context)
    services = session.services
    folder = services.settings.data_dir / "demo"
    pool, test = write_demo_files(folder)
    plan = make_plan(
        name=project,
        pool=pool,
        test=test,
        labels=None,
        budget=budget,
        batch=batch,
        strategies=read_list(strategies),
        seeds=read_numbers(seeds),
        language="en",
        base_model="",
        max_text_chars=services.settings.max_text_chars,
    )
    run_simulation(services, plan, folder / "report.json", console=session.out)


def write_demo_files(folder: Path) -> tuple[Path, Path]:
    """Write the pool and the test file, the same ones each time; a text stands in one of them only.

    Raises ConfigurationError where the folder cannot be written.
    """
    texts = list(generate(POOL_TEXTS + TEST_TEXTS, seed=POOL_SEED))
    pool, test = folder / "pool.jsonl", folder / "test.jsonl"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write(pool, texts[:POOL_TEXTS])
        _write(test, texts[POOL_TEXTS:])
    except OSError as error:
        raise ConfigurationError(f"the demo's texts cannot be written to {folder}: {error.strerror}") from error
    return pool, test


def _write(file: Path, texts: Sequence[DemoText]) -> None:
    with file.open("w", encoding="utf-8") as lines:
        for made in texts:
            row = {"text": made.text, "spans": [span.to_json() for span in made.spans]}
            lines.write(json.dumps(row, ensure_ascii=False) + "\n")
