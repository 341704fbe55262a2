"""Which share of what annotators are served is of the honest slice, as Label Studio's own /next answers.

`python -m benchmarks.honest_share --shares 0.1 0.3` starts the whole system, makes a project for each share, imports
made-up texts, and works through the queue; halfway a further version goes live and is pushed, as after a training run.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.refresh import LABELS, go_live, say
from tests.live.label_studio import MISSING, find_label_studio
from tests.live.project import LiveProject
from tests.live.system import RunningSystem, run_system
from training.demo.texts import generate
from training.honest_slice import in_slice
from training.policy import parse_settings
from training.spans import hash_text
from training.splits import Part


def main() -> None:
    """Serve each project's queue, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--shares", type=float, nargs="+", default=[0.1, 0.3], help="wanted shares (0.1 0.3)")
    parser.add_argument("--tasks", type=int, default=1000, help="tasks of each project (1000)")
    parser.add_argument("--served", type=int, default=200, help="tasks that are served of them (200)")
    parser.add_argument("--base-model", default="blank:en", help="base model of the projects (blank:en)")
    arguments = parser.parse_args()
    executable = find_label_studio()
    if executable is None:
        sys.exit(MISSING)
    folder = Path(tempfile.mkdtemp(prefix="spanloop-share-"))
    texts = [one.text for one in generate(arguments.tasks, seed=3)]
    say(f"{'wanted':>6}{'served':>8}{'of the slice':>14}{'share':>8}{'first half':>12}{'test texts':>12}")
    with run_system(folder, label_studio=executable) as system:
        for share in arguments.shares:
            project = LiveProject.create(
                system, f"Share {share}", LABELS, folder=folder, base=arguments.base_model, honest_share=share
            )
            project.import_texts(texts, folder=folder)
            half = arguments.served // 2
            served = serve(project, half)
            go_live(system, project)
            project.wait_for_prelabels()
            served += serve(project, arguments.served - half)
            report(system, project, served, share=share)


def serve(project: LiveProject, count: int) -> list[str]:
    """Submit what comes up, so many times; the texts in their order."""
    annotator = project.system.annotator(project.id)
    served = []
    for _ in range(count):
        page = annotator.open_next()
        if page is None:
            break
        served.append(page.text)
        annotator.submit(page, page.shown)
    return served


def report(system: RunningSystem, project: LiveProject, served: list[str], *, share: float) -> None:
    """One line: how many of these texts came up by chance."""
    honest, tests = [], 0
    with system.store.read() as uow:
        seed = parse_settings(uow.projects.get(project.id).settings).seed
        for text in served:
            row = uow.texts.find_text(project.id, hash_text(text))
            part = Part(row.part) if row and row.part else Part.TRAIN
            honest.append(in_slice(hash_text(text), part, share=share, seed=seed))
            tests += part is Part.TEST
    half = honest[: len(honest) // 2]
    say(
        f"{share:>6.2f}{len(honest):>8}{sum(honest):>14}{sum(honest) / len(honest):>8.3f}"
        f"{sum(half) / len(half):>12.3f}{tests:>12}"
    )


if __name__ == "__main__":
    main()
