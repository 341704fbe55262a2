"""The passes over the texts, by spaCy's own training loop (`spacy.training.loop.train`)."""

from __future__ import annotations

import io
import math
import time
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import spacy
from spacy.training.batchers import minibatch_by_words
from spacy.training.initialize import init_nlp
from spacy.training.loop import train
from thinc.api import Config

from training.learning.job import TRAINED_ON, Job
from training.learning.recipes import forget_paths, recipe_config, refit_config
from training.prediction.base import find_recognizer

# Without dev texts there is nothing to stop by: this many updates, in whole epochs.
STEPS_WITHOUT_DEV, STEPS_BETWEEN_LOSSES = 200, 20
# An update takes so many words that an epoch has about so many updates, within limits: few texts need many small steps.
STEPS_AN_EPOCH = 40
FEWEST_WORDS, MOST_WORDS = 60, 600
# Evaluations without a better one before training stops.
PATIENCE = 6
# A training with a dev part ends after so many updates at the latest, but not within so few epochs.
ENOUGH_STEPS, FEWEST_EPOCHS = 400, 10
# At the end the dev texts train too, in so many passes at a rate that changes little.
REFIT_EPOCHS, REFIT_RATE = 3, 0.0005
NEVER = 10**6
PROGRESS_LOGGER = "spanloop.Progress.v1"
_REPORT_SECONDS = 0.5

_current: ContextVar[Job] = ContextVar("training job")


def run_loop(job: Job) -> Path:
    """Train by spaCy's loop; the folder of the best model."""
    config = _config(job)
    if job.recipe in TRAINED_ON:
        nlp = _load_to_train(job.folder / "base", config)
        _add_labels(nlp, job)
    else:
        nlp = init_nlp(config)
    job.report()
    return _train(job, nlp, "results", keep="model-best" if job.dev and job.dev.docs else "model-last")


def refit(job: Job, best: Path) -> Path:
    """A copy of the best model that has trained on the dev texts too: every text counts, where texts are few.

    What is measured on the dev part must be measured before.
    """
    assert job.train is not None
    assert job.dev is not None
    job.is_refit = True
    job.train.join(job.dev).write(job.folder / "all.spacy")
    config = refit_config(job.folder)
    config["system"]["seed"] = job.plan.seed
    config["training"]["batcher"]["size"] = _words_an_update(job)
    config["training"]["logger"] = {"@loggers": PROGRESS_LOGGER}
    config["training"]["optimizer"].update(learn_rate=REFIT_RATE, use_averages=False)
    config["training"].update(max_epochs=REFIT_EPOCHS, patience=0, eval_frequency=NEVER)
    return _train(job, _load_to_train(best, config), "refit", keep="model-last")


def _load_to_train(folder: Path, config: Config) -> Any:
    """A trained pipeline as it is, to be trained on by this config; to initialize it anew would load it twice more."""
    nlp = spacy.load(folder)
    for section in ("paths", "system", "corpora", "training", "initialize"):
        nlp.config[section] = config[section]
    return nlp


def _train(job: Job, nlp: Any, name: str, *, keep: str) -> Path:
    results = job.folder / name
    results.mkdir()
    token = _current.set(job)
    try:
        train(nlp, results, stdout=io.StringIO(), stderr=io.StringIO())
    finally:
        _current.reset(token)
    forget_paths(results / keep / "config.cfg")
    return results / keep


def _add_labels(nlp: Any, job: Job) -> None:
    """Add new labels in order; spaCy would add them by the order of a set, and the seed would not decide the model."""
    assert job.train is not None
    for label in sorted({entity.label_ for doc in job.train.docs for entity in doc.ents}):
        find_recognizer(nlp).add_label(label)


def _config(job: Job) -> Config:
    assert job.train is not None
    config = recipe_config(job.recipe, job.base, job.folder, transformer=job.plan.transformer)
    config["system"]["seed"] = job.plan.seed
    training = config["training"]
    words = _words_an_update(job)
    training["batcher"]["size"] = words
    if job.plan.dropout is not None:
        training["dropout"] = job.plan.dropout
    job.steps_per_epoch = sum(1 for _ in minibatch_by_words(job.train.docs, size=words))
    training["logger"] = {"@loggers": PROGRESS_LOGGER}
    enough = max(FEWEST_EPOCHS, math.ceil(ENOUGH_STEPS / job.steps_per_epoch))
    job.epochs = training["max_epochs"] = min(job.plan.max_epochs, enough)
    rate = training["optimizer"]["learn_rate"]
    if isinstance(rate, dict):
        rate["total_steps"] = job.epochs * job.steps_per_epoch
        rate["warmup_steps"] = rate["total_steps"] // 10
    training["eval_frequency"] = min(max(job.steps_per_epoch, 10), 100)
    training["patience"] = training["eval_frequency"] * PATIENCE
    if not (job.dev and job.dev.docs):
        job.epochs = min(job.epochs, math.ceil(STEPS_WITHOUT_DEV / job.steps_per_epoch))
        # The losses are told at evaluations alone; what stands in for the dev part is too small to cost time.
        training.update(
            max_epochs=job.epochs, patience=0, eval_frequency=max(job.steps_per_epoch, STEPS_BETWEEN_LOSSES)
        )
    return config


def _words_an_update(job: Job) -> int:
    assert job.train is not None
    if job.plan.batch_texts is not None:
        return max(1, job.plan.batch_texts * job.train.tokens // max(1, len(job.train.docs)))
    return min(max(job.train.tokens // STEPS_AN_EPOCH, FEWEST_WORDS), MOST_WORDS)


@spacy.registry.loggers(PROGRESS_LOGGER)  # type: ignore[untyped-decorator]  # spaCy has no types
def _progress_logger() -> Callable[..., tuple[Callable[[dict[str, Any] | None], None], Callable[[], None]]]:
    """A logger for spaCy's loop, which calls it after every update: it passes the news on."""

    def set_up(_nlp: Any, _stdout: Any, _stderr: Any) -> tuple[Any, Any]:
        job = _current.get()

        def log_step(info: dict[str, Any] | None) -> None:
            job.step += 1
            job.epoch = min((job.step - 1) // job.steps_per_epoch, job.epochs - 1)
            if info is not None and not job.is_refit:
                job.epoch = int(info["epoch"])
                job.note_losses(info["losses"])
                job.dev_f1 = float(info["score"]) if job.dev and job.dev.docs else None
            if info is not None or time.monotonic() - job.last_report > _REPORT_SECONDS:
                job.report()

        return log_step, lambda: None

    return set_up
