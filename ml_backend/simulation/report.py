"""What a simulation found: one row a version, kept on disk as it grows. docs/simulate.md defines every field."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from config.errors import ConfigurationError, InvalidInput
from ml_backend.simulation.summary import summarize
from sync.annotator import Submission
from training.metrics.evaluate import Scores

# What a later call with more strategies or seeds may say otherwise.
CHANGING = ("notes", "project_settings")
# The endings of the files that lie beside a report, under its name.
CURVES = (".html", ".png")


class RunState(StrEnum):
    """Where a simulated project stands."""

    RUNNING = "running"
    FINISHED = "finished"
    INTERRUPTED = "interrupted"
    STUCK = "stuck"


class Outcome(StrEnum):
    """What came of a training run. `superseded`: it was live, and the next was live before it could be scored."""

    BASE = "base"
    LIVE = "live"
    SUPERSEDED = "superseded"
    REFUSED = "refused"
    NOT_PROMOTED = "not_promoted"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Effort:
    """What some annotations cost: how many pre-labels could stay as they were, how many spans had to be changed."""

    texts: int
    spans: int
    edits: int
    prelabelled: int
    accepted: int

    @property
    def accepted_unchanged(self) -> float | None:
        """The share (0 to 1) of pre-labelled texts that needed no edit; None where none was pre-labelled."""
        return self.accepted / self.prelabelled if self.prelabelled else None

    @property
    def edits_per_text(self) -> float | None:
        """Edits a text; None where there was no text."""
        return self.edits / self.texts if self.texts else None

    def to_json(self) -> dict[str, Any]:
        """The effort as reported."""
        return {
            "texts": self.texts,
            "spans": self.spans,
            "edits": self.edits,
            "prelabelled": self.prelabelled,
            "accepted_unchanged": self.accepted_unchanged,
            "edits_per_text": self.edits_per_text,
        }


def count_effort(submissions: Sequence[Submission]) -> Effort:
    """Add up what these annotations cost."""
    return Effort(
        texts=len(submissions),
        spans=sum(one.spans for one in submissions),
        edits=sum(one.edits for one in submissions),
        prelabelled=sum(one.accepted is not None for one in submissions),
        accepted=sum(one.accepted is True for one in submissions),
    )


@dataclass(frozen=True, slots=True)
class VersionRow:
    """One training run (or version 0) with the scores of what was served after it.

    `effort` is that of the annotations since the row before, which were made with the version served then.
    """

    outcome: Outcome
    version: str | None
    served: str
    annotations: int
    scores: Scores
    effort: Effort
    wall_seconds: float
    training_seconds: float | None = None
    run_id: str | None = None
    reasons: tuple[str, ...] = ()
    gate: dict[str, Any] | None = None
    calibration: dict[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """The row as reported."""
        return {
            "version": self.version,
            "live": self.outcome in (Outcome.BASE, Outcome.LIVE, Outcome.SUPERSEDED),
            "annotations": self.annotations,
            "f1": self.scores.f1,
            "precision": self.scores.precision,
            "recall": self.scores.recall,
            "per_label": {name: asdict(label) for name, label in self.scores.per_label.items()},
            "accepted_unchanged": self.effort.accepted_unchanged,
            "edits_per_text": self.effort.edits_per_text,
            "spans": self.effort.spans,
            "training_seconds": self.training_seconds,
            "outcome": self.outcome.value,
            "served": self.served,
            "reasons": list(self.reasons),
            "gate": self.gate,
            "calibration": self.calibration,
            "run_id": self.run_id,
            "texts": self.effort.texts,
            "edits": self.effort.edits,
            "wall_seconds": round(self.wall_seconds, 1),
        }


@dataclass
class SimulatedRun:
    """One strategy with one seed, in a project of its own."""

    strategy: str
    seed: int
    title: str = ""
    project_id: int | None = None
    state: RunState = RunState.RUNNING
    versions: list[VersionRow] = field(default_factory=list)
    submissions: list[Submission] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    wall_seconds: float = 0.0

    @property
    def annotations(self) -> int:
        """How many texts have been annotated."""
        return len(self.submissions)

    @property
    def latest(self) -> VersionRow | None:
        """The last row."""
        return self.versions[-1] if self.versions else None

    def effort_since_last_row(self) -> Effort:
        """What the annotations since the last row cost."""
        return count_effort(self.submissions[self.latest.annotations if self.latest else 0 :])

    def shown(self) -> dict[str, Effort]:
        """What the annotations cost that started from each version."""
        versions = dict.fromkeys(one.version for one in self.submissions if one.version is not None)
        return {name: count_effort([one for one in self.submissions if one.version == name]) for name in versions}

    def to_json(self) -> dict[str, Any]:
        """The run as reported."""
        return {
            "strategy": self.strategy,
            "seed": self.seed,
            "versions": [row.to_json() for row in self.versions],
            "project": self.project_id,
            "title": self.title,
            "state": self.state.value,
            "annotations": self.annotations,
            "effort": count_effort(self.submissions).to_json(),
            "shown": {name: effort.to_json() for name, effort in self.shown().items()},
            "notes": self.notes,
            "wall_seconds": round(self.wall_seconds, 1),
        }


@dataclass
class Report:
    """All runs of a simulation; `about` says what it was asked for, `earlier` holds what an earlier call finished."""

    path: Path
    about: dict[str, Any]
    runs: list[SimulatedRun] = field(default_factory=list)
    earlier: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.path.suffix.lower() in CURVES:
            raise InvalidInput(
                f"--report {self.path} is what its curves would be called; give it another ending, such as .json"
            )

    def begin(self, strategy: str, seed: int) -> SimulatedRun:
        """A new run, which stands in the report from now on."""
        run = SimulatedRun(strategy, seed)
        self.runs.append(run)
        return run

    def replace(self, run: SimulatedRun) -> None:
        """Put a run's newest state in the place of the one with its strategy and seed."""
        rest = [one for one in self.runs if (one.strategy, one.seed) != (run.strategy, run.seed)]
        self.runs = [*rest, run]

    def stop(self, state: RunState, *, note: str = "") -> None:
        """Let the runs that are on their way end in this state, and write the report."""
        for run in self.runs:
            if run.state is RunState.RUNNING:
                run.state = state
                run.notes += [note] if note else []
        self.write()

    def resume(self) -> set[tuple[str, int]]:
        """Keep the finished runs of the report that lies there; which strategies and seeds they are.

        Raises InvalidInput where it is the report of something else, and ConfigurationError where it is none.
        """
        if not self.path.exists():
            return set()
        about, finished = self.read_held()
        same = json.loads(json.dumps(self.about))
        other = [key for key in same if key not in CHANGING and about.get(key) != same[key]]
        if other:
            raise InvalidInput(
                f"the report {self.path} is of another simulation ({', '.join(other)} differ); "
                "name another file with --report, or delete it"
            )
        self.earlier = list(finished.values())
        return set(finished)

    def read_held(self) -> tuple[dict[str, Any], dict[tuple[str, int], dict[str, Any]]]:
        """What the report that lies there is about, and its finished runs by strategy and seed; nothing without one.

        Raises ConfigurationError where it is no report, for nothing else is written over.
        """
        if not self.path.exists():
            return {}, {}
        try:
            found = json.loads(self.path.read_text("utf-8"))
            finished = [run for run in found["runs"] if run["state"] == RunState.FINISHED]
            return {**found["about"]}, {(run["strategy"], run["seed"]): run for run in finished}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(f"{self.path} is there and no report; name another file with --report") from error

    def to_json(self) -> dict[str, Any]:
        """The report as written."""
        runs = [*self.earlier, *(run.to_json() for run in self.runs)]
        return {
            "runs": runs,
            "about": self.about,
            "summary": summarize(runs, pool_texts=int(self.about.get("pool_texts", 0))),
        }

    def write(self) -> None:
        """Write the report whole: a reader sees the old one or the new one. Raises ConfigurationError."""
        fresh = self.path.with_name(f".{self.path.name}.new")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with fresh.open("w", encoding="utf-8") as file:
                json.dump(self.to_json(), file, indent=1, ensure_ascii=False)
                file.write("\n")
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self.path)
        except OSError as error:
            raise ConfigurationError(
                f"the report {self.path} cannot be written: {error.strerror}; name another file with --report"
            ) from error
