"""One training on its way: what it is to do, what its steps find out, and how it tells how far it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from training.learning.corpus import Corpus
from training.learning.tokenizers import OWN
from training.prediction.pipeline import PipelineSpec

DEFAULT_TRANSFORMER = "distilbert-base-multilingual-cased"
# Recipes that go on with a recognizer as it is.
TRAINED_ON = ("finetune", "continue")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a training is: passes over the texts, updates, mean loss, newest F1 on the dev part, seconds."""

    epoch: int
    step: int
    loss: float
    dev_f1: float | None
    seconds: float
    seconds_left: float | None


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True)
class LiveModel:
    """The version that serves now: its files and its spec."""

    folder: Path
    spec: PipelineSpec


@dataclass(frozen=True)
class TrainingPlan:
    """What to train: `recipe` is one of config/spacy/*.cfg, or "auto" (see training/learning/recipes.py).

    `base_mapping` says which label of the base pipeline is which leaf, `pattern_mapping` the same of pattern
    recognizers; None: by the names that the default taxonomy knows for the leaves. `live` is the version that recipe
    "continue" trains on. `unlabelled` are texts without gold spans, on which a recognizer that is trained on rehearses
    what it knew besides; with `rehearse` off it may forget that. `gpu` is "off", "auto" or the number of a GPU.
    `transformer` is the name or the folder of the one that recipe "transformer" trains on. `batch_texts` is the mean
    number of texts an update, `dropout` a share; None: the recipe's own.
    """

    base: str
    language: str
    labels: tuple[str, ...]
    seed: int = 0
    max_epochs: int = 30
    recipe: str = "auto"
    base_mapping: dict[str, str] | None = None
    pattern_mapping: dict[str, str] | None = None
    live: LiveModel | None = None
    unlabelled: tuple[str, ...] = ()
    rehearse: bool = True
    gpu: str = "off"
    transformer: str = DEFAULT_TRANSFORMER
    batch_texts: int | None = None
    dropout: float | None = None


@dataclass
class Job:
    """What each step of one training needs and finds out."""

    plan: TrainingPlan
    on_progress: OnProgress
    folder: Path
    started: float = field(default_factory=time.monotonic)
    recipe: str = "blank"
    base: Any = None
    tokenizer: str = OWN
    base_mapping: dict[str, str] | None = None
    kept: tuple[str, ...] = ()  # labels of the base that the project does not teach, and that are rehearsed
    rehearsed: int = 0
    names: dict[str, str] = field(default_factory=dict)  # leaf to the label it is trained under
    train: Corpus | None = None
    dev: Corpus | None = None
    epoch: int = 0
    step: int = 0
    steps_per_epoch: int = 1
    epochs: int = 1
    losses: list[float] = field(default_factory=list)  # mean of an update, from each evaluation to the next
    counted_steps: int = 0
    dev_f1: float | None = None
    is_refit: bool = False
    last_report: float = 0.0

    def report(self) -> None:
        """Tell how far it is; the listener may raise to cancel."""
        self.last_report = time.monotonic()
        seconds = self.last_report - self.started
        planned = self.steps_per_epoch * self.epochs
        left = seconds / self.step * max(0, planned - self.step) if self.step else None
        loss = self.losses[-1] if self.losses else 0.0
        self.on_progress(Progress(self.epoch, self.step, loss, self.dev_f1, seconds, left))

    def note_losses(self, losses: Mapping[str, float]) -> None:
        """Take the losses since the last time, summed up."""
        self.losses.append(float(sum(losses.values())) / max(1, self.step - self.counted_steps))
        self.counted_steps = self.step
