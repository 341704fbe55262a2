"""A workshop whose training is a pretence: all that a run does around its training, without the wait."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import spacy

from tests.integration.rows import Desk, later, span_of
from training.learning.trainer import Example, OnProgress, Progress, TrainingPlan
from training.prediction.pipeline import PipelineSpec
from training.runs.run import RunOutcome, Workshop, execute_run, reap_lost_runs, request_run
from training.spans import Prediction, ScoredSpan
from training.store.tables.models import MLModel
from training.store.tables.runs import TrainingBatch
from training.store.unit_of_work import Store
from training.versions.artefacts import ArtefactStore
from training.versions.registry import register_base, rollback

NAMES = ("Ada", "Ben", "Cleo", "Dora", "Emil", "Finn", "Greta", "Hugo", "Ines", "Jan", "Kira", "Lars", "Mona", "Nils")
WORDS = ("amber", "birch", "cedar", "delta", "ember", "flint", "grove", "heath", "inlet", "jetty", "kelp", "larch")
SPEC = PipelineSpec(base="blank:en", language="en", labels=("PERSON", "SSN", "CITY"), label_mapping={})
SETTINGS = {"min_samples": 3, "min_test_texts": 2, "test_fraction": 0.3, "dev_fraction": 0.2}


@dataclass
class Shop:
    """A project with version 0, a desk that annotates, and a worker. `during` runs in the middle of a training."""

    store: Store
    desk: Desk
    workshop: Workshop
    candidate_is_right: bool = True
    live_is_right: bool = False
    during: Callable[[OnProgress], None] = lambda _: None
    trained: list[tuple[list[Example], list[Example], TrainingPlan]] = field(default_factory=list)
    now: datetime = field(default_factory=lambda: later(1000))
    texts: dict[int, str] = field(default_factory=dict)

    @classmethod
    def open(cls, store: Store, folder: Path, patch: pytest.MonkeyPatch, **settings: Any) -> Shop:
        """Open the shop and let runs train in it."""
        desk = Desk(store, settings={**SETTINGS, **settings})
        with store.write() as uow:
            register_base(uow, uow.projects.lock(1), SPEC, now=later(0))
            uow.commit()
        workshop = Workshop(store, ArtefactStore(folder / "models"), folder / "work", lambda: shop.now)
        shop = cls(store, desk, workshop)
        patch.setattr("training.runs.run.train_pipeline", shop.train)
        patch.setattr("training.runs.run.load_pipeline", shop.load)
        patch.setattr("training.versions.registry.load_pipeline", shop.load)
        patch.setattr("training.runs.planning.base_spec", lambda *_: SPEC)
        return shop

    def train(
        self,
        train: Sequence[Example],
        dev: Sequence[Example],
        *,
        plan: TrainingPlan,
        output: Path,
        on_progress: OnProgress,
    ) -> PipelineSpec:
        """Pretend to train."""
        self.trained.append((list(train), list(dev), plan))
        output.mkdir(parents=True)
        (output / "model").write_text("a model")
        on_progress(Progress(epoch=3, step=30, loss=0.5, dev_f1=0.75, seconds=1.0, seconds_left=2.0))
        self.during(on_progress)
        return SPEC

    def load(self, _: PipelineSpec, folder: Path | None) -> Any:
        """Pretend to load: a candidate comes from a folder, version 0 from none."""
        return _Pretended(is_right=self.live_is_right if folder is None else self.candidate_is_right)

    def annotate(self, part: str, count: int, *, at: float = 1) -> list[int]:
        """Submit so many new texts of this part, each with a name in it; the annotations' ids, which are the tasks'."""
        made: list[int] = []
        number = len(self.texts)
        while len(made) < count:
            number += 1
            words = [f"{word}{chr(97 + number % 26)}{chr(97 + number // 26)}" for word in WORDS]
            self.texts[number] = f"{NAMES[number % len(NAMES)]} {' '.join(words)}"
            self.desk.task(number, self.texts[number])
            if self.desk.text(self.texts[number]).part == part:
                self.submit(number, at=at)
                made.append(number)
        return made

    def annotate_all_parts(self) -> list[int]:
        """Submit six train, two dev and three test texts; the annotations' ids."""
        return [*self.annotate("train", 6), *self.annotate("dev", 2), *self.annotate("test", 3)]

    def submit(self, number: int, *, label: str = "PERSON", at: float = 1) -> None:
        """Submit a text's name."""
        text = self.texts[number]
        self.desk.annotate(number, number, span_of(text, text.split()[0], label), at=at)

    def ask(self, *, promote: bool = False) -> str:
        """Ask for a run; its id."""
        with self.store.write() as uow:
            run = request_run(uow, 1, trigger="test", promote=promote, now=self.now)
            uow.commit()
        return run.id

    def execute(self, run_id: str, *, worker: str = "worker") -> RunOutcome:
        """Carry a run through."""
        return execute_run(run_id, self.workshop, worker=worker)

    def roll_back(self) -> None:
        """Put the version live that was live before."""
        with self.store.write() as uow:
            rollback(uow, 1, by="test", reason="", now=self.now)
            uow.commit()

    def reap(self, *, after: float) -> list[str]:
        """Reap lost runs so many seconds from now, with a patience of 60."""
        with self.store.write() as uow:
            reaped = reap_lost_runs(uow, timeout=timedelta(seconds=60), now=self.now + timedelta(seconds=after))
            uow.commit()
        return reaped

    def run(self, run_id: str) -> TrainingBatch:
        """A run as stored."""
        with self.store.read() as uow:
            return uow.runs.get(run_id)

    def models(self) -> list[MLModel]:
        """The versions, newest first."""
        with self.store.read() as uow:
            return list(uow.models.of_project(1))

    def live(self) -> str:
        """The live version."""
        return next(model.version for model in self.models() if model.is_production)

    def artefacts(self) -> list[str]:
        """What lies in the artefact store."""
        folder = Path(self.workshop.artefacts._root)
        return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


@dataclass
class _Pretended:
    is_right: bool
    spec: PipelineSpec = SPEC
    nlp: Any = field(default_factory=lambda: spacy.blank("en"))

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        """Every name, or nothing at all."""
        spans = [(ScoredSpan(0, len(text.split()[0]), "PERSON", 0.9),) if self.is_right else () for text in texts]
        return [Prediction(found, 0.9) for found in spans]
