"""One training: texts in, a model folder and its spec out, by spaCy's own config system and training loop."""

from __future__ import annotations

import io
import math
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import spacy
from spacy.training.batchers import minibatch_by_words
from spacy.training.initialize import init_nlp
from spacy.training.loop import train
from thinc.api import Config

from config.errors import NotEnoughData
from training.base import chosen_ops, fast_ops, find_recognizer, labels_of, load_base, load_folder
from training.corpus import Corpus, Example, build_corpus, sound_examples
from training.fitting import fit
from training.patterns import default_pattern_mapping
from training.pipeline import Pipeline, PipelineSpec, default_label_mapping, known_names
from training.recipes import check_recipe, choose_recipe, forget_paths, recipe_config
from training.rehearsal import add_own_labels, rehearse_on
from training.tokenizers import OWN, choose_tokenizer

__all__ = ["Example", "LiveModel", "Progress", "TrainingPlan", "train_pipeline"]

# Early stopping needs a steady figure, not every dev text: this many tokens cost about a second an evaluation.
DEV_TOKENS = 8_000
# Without dev texts there is nothing to stop by: this many updates, in whole epochs.
STEPS_WITHOUT_DEV = 200
# Recipes that go on with a recognizer as it is.
TRAINED_ON = ("finetune", "continue")
# An update takes so many words that an epoch has about so many updates, within limits: few texts need many small steps.
STEPS_AN_EPOCH = 16
FEWEST_WORDS, MOST_WORDS = 60, 600
# Evaluations without a better one before training stops.
PATIENCE = 8
DEFAULT_TRANSFORMER = "distilbert-base-multilingual-cased"
PROGRESS_LOGGER = "spanloop.Progress.v1"
_REPORT_SECONDS = 0.5


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
    """What to train: `recipe` is one of config/spacy/*.cfg, or "auto" (see training/recipes.py).

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
class _Job:
    """One training on its way: what each step of it needs and finds out."""

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


_current: ContextVar[_Job] = ContextVar("training job")


def train_pipeline(
    train: Sequence[Example],
    dev: Sequence[Example],
    *,
    plan: TrainingPlan,
    output: Path,
    on_progress: OnProgress,
) -> PipelineSpec:
    """Train on `train`, stop early by `dev`, and leave a complete spaCy pipeline in `output`, which must not exist yet.

    `on_progress` hears of every phase and, at most twice a second, of the updates; what it raises ends the training
    with nothing left in `output`. The spec returned holds label mapping, what serves each label, and calibration, the
    last two measured on `dev`. The same texts, plan and machine give the same model. Raises NotEnoughData where no
    text has a span, and ModelUnavailable for the base.
    """
    train, dev = sound_examples(train, plan.labels), sound_examples(dev, plan.labels)
    if not any(example.spans for example in train):
        raise NotEnoughData(f"none of the {len(train)} training texts has a span of the project's labels")
    output.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{output.name}-", dir=output.parent))
    try:
        with fast_ops():
            job = _Job(plan, on_progress, folder)
            job.report()
            _prepare(job, train, dev)
            with chosen_ops(plan.gpu):
                best = _run_loop(job)
            spec = _measure(job, best, train, dev)
        best.rename(output)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return spec


def _prepare(job: _Job, train: Sequence[Example], dev: Sequence[Example]) -> None:
    """Choose recipe and tokenizer, and write the corpora under the labels that are trained."""
    plan = job.plan
    _choose_start(job, train)
    if job.recipe in TRAINED_ON:
        job.names = _base_names(plan, job.base, job.base_mapping)
        job.kept = tuple(sorted(set(labels_of(job.base)) - set(job.names.values()))) if plan.rehearse else ()
    order = list(train)
    random.Random(plan.seed).shuffle(order)
    job.train = build_corpus(job.base, _as_trained(job, order))
    job.dev = build_corpus(job.base, _as_trained(job, _some_of(dev, plan.seed)))
    texts = plan.unlabelled[: len(train)]
    if job.kept and texts:
        more = rehearse_on(job.base, job.kept, texts)
        job.train, job.rehearsed = job.train.join(more), len(more.docs)
    job.train.write(job.folder / "train.spacy")
    # The loop wants something to evaluate; without dev texts nobody looks at that figure.
    (job.dev if job.dev.docs else job.train).write(job.folder / "dev.spacy")
    job.report()


def _choose_start(job: _Job, train: Sequence[Example]) -> None:
    """The recipe, the pipeline that it starts from, and the tokenizer of both."""
    plan = job.plan
    check_recipe(plan.recipe)
    job.base, job.base_mapping = load_base(plan.base), plan.base_mapping
    job.tokenizer = choose_tokenizer(job.base, train)
    job.recipe = choose_recipe(plan.recipe, job.base, hindrance=_why_not_continue(plan, job.tokenizer))
    if job.recipe == "continue" and plan.live:
        # With the tokenizer that it was trained with, which is the same.
        job.base, job.base_mapping = load_folder(plan.live.folder), plan.live.spec.label_mapping


def _why_not_continue(plan: TrainingPlan, tokenizer: str) -> str:
    """What keeps the live version from being trained on; empty where nothing does."""
    if plan.live is None or not plan.live.spec.training:
        return "no trained version is live"
    spec = plan.live.spec
    if foreign := sorted(set(spec.label_mapping.values()) - set(plan.labels)):
        return f"it knows labels that the project does not have any more: {', '.join(foreign)}"
    if spec.base != plan.base:
        return f"it grew from another base model, {spec.base}"
    if spec.training.get("tokenizer", OWN) != tokenizer:
        return "the labels need other tokens now"
    return ""


def _as_trained(job: _Job, examples: Sequence[Example]) -> list[Example]:
    """The examples under the labels that are trained, and with what the base says of the labels that it keeps."""
    renamed = [_renamed(example, job.names) for example in examples]
    return add_own_labels(job.base, job.kept, renamed) if job.kept else renamed


def _base_names(plan: TrainingPlan, base: Any, mapping: dict[str, str] | None) -> dict[str, str]:
    """For each leaf the base's label that means it, so that training starts from what the base knows."""
    labels = labels_of(base)
    if mapping is None:
        mapping = default_label_mapping(labels, known_names(plan.labels))
    names = {leaf: label for label, leaf in sorted(mapping.items(), reverse=True) if leaf in plan.labels}
    # A leaf that the base has no word for must not collide with a label that means something else there.
    taken = set(labels)
    return {leaf: names.get(leaf) or (leaf if leaf not in taken else f"{leaf}_") for leaf in plan.labels}


def _renamed(example: Example, names: dict[str, str]) -> Example:
    spans = (type(span)(span.start, span.end, names.get(span.label, span.label)) for span in example.spans)
    return Example(example.text, tuple(spans))


def _some_of(dev: Sequence[Example], seed: int) -> list[Example]:
    order = list(dev)
    random.Random(seed).shuffle(order)
    chosen: list[Example] = []
    chars = 0
    for example in order:
        if chosen and chars + len(example.text) > DEV_TOKENS * 5:
            continue
        chosen.append(example)
        chars += len(example.text)
    return chosen


def _run_loop(job: _Job) -> Path:
    """Train by spaCy's loop; the folder of the best model."""
    nlp = init_nlp(_config(job))
    if job.recipe in TRAINED_ON:
        _add_labels(nlp, job)
    job.report()
    results = job.folder / "results"
    results.mkdir()
    token = _current.set(job)
    try:
        train(nlp, results, stdout=io.StringIO(), stderr=io.StringIO())
    finally:
        _current.reset(token)
    best = results / ("model-best" if job.dev and job.dev.docs else "model-last")
    forget_paths(best / "config.cfg")
    return best


def _add_labels(nlp: Any, job: _Job) -> None:
    """Add new labels in order; spaCy would add them by the order of a set, and the seed would not decide the model."""
    assert job.train is not None
    for label in sorted({entity.label_ for doc in job.train.docs for entity in doc.ents}):
        find_recognizer(nlp).add_label(label)


def _config(job: _Job) -> Config:
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
    job.epochs = training["max_epochs"] = job.plan.max_epochs
    rate = training["optimizer"]["learn_rate"]
    if isinstance(rate, dict):
        rate["total_steps"] = job.epochs * job.steps_per_epoch
        rate["warmup_steps"] = rate["total_steps"] // 10
    training["eval_frequency"] = min(max(job.steps_per_epoch, 10), 100)
    training["patience"] = training["eval_frequency"] * PATIENCE
    if not (job.dev and job.dev.docs):
        job.epochs = min(job.epochs, math.ceil(STEPS_WITHOUT_DEV / job.steps_per_epoch))
        training.update(max_epochs=job.epochs, patience=0, eval_frequency=10**6)
    return config


def _words_an_update(job: _Job) -> int:
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
            if info is not None:
                job.epoch = int(info["epoch"])
                job.note_losses(info["losses"])
                job.dev_f1 = float(info["score"]) if job.dev and job.dev.docs else None
            if info is not None or time.monotonic() - job.last_report > _REPORT_SECONDS:
                job.report()

        return log_step, lambda: None

    return set_up


def _measure(job: _Job, best: Path, train: Sequence[Example], dev: Sequence[Example]) -> PipelineSpec:
    """The spec: on the dev part, which of model and patterns serves each label, and how scores are calibrated."""
    plan = job.plan
    nlp = load_folder(best)
    patterns = plan.pattern_mapping
    if patterns is None:
        patterns = default_pattern_mapping(plan.language, known_names(plan.labels))
    spec = PipelineSpec(
        base=plan.base,
        language=plan.language,
        labels=plan.labels,
        label_mapping=_label_mapping(job, nlp),
        pattern_mapping=patterns,
        training=_facts(job, train, dev),
    )
    return fit(Pipeline(spec, nlp), train, dev, on_step=job.report)


def _label_mapping(job: _Job, nlp: Any) -> dict[str, str]:
    """Trained labels to their leaves, and what else the base's labels mean."""
    leaves = set(job.plan.labels)
    labels = labels_of(nlp)
    if job.recipe not in TRAINED_ON:
        return {label: label for label in labels if label in leaves}
    kept = default_label_mapping(labels, known_names(job.plan.labels)) if job.base_mapping is None else {}
    mapping = {**kept, **(job.base_mapping or {}), **{label: leaf for leaf, label in job.names.items()}}
    return {label: leaf for label, leaf in sorted(mapping.items()) if label in labels and leaf in leaves}


def _facts(job: _Job, train: Sequence[Example], dev: Sequence[Example]) -> dict[str, Any]:
    assert job.train is not None
    support = Counter(span.label for example in train for span in example.spans)
    return {
        "recipe": job.recipe,
        "seed": job.plan.seed,
        "train_texts": len(train),
        "dev_texts": len(dev),
        "tokens": job.train.tokens,
        "steps": job.step,
        "epochs": job.epoch + 1,
        "final_loss": job.losses[-1] if job.losses else 0.0,
        "average_loss": sum(job.losses) / len(job.losses) if job.losses else 0.0,
        "stopped_by": "dev" if dev else "fixed number of epochs, for want of dev texts",
        "support": dict(sorted(support.items())),
        "spans": job.train.spans,
        "misaligned_spans": len(job.train.misaligned),
        "tokenizer": job.tokenizer,
        "kept_labels": list(job.kept),
        "rehearsed_texts": job.rehearsed,
    }
