"""One training: texts in, a model folder and its spec out, by spaCy's own config system and training loop."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from config.errors import NotEnoughData
from training.learning.corpus import Corpus, Example, build_corpus, sound_examples
from training.learning.fitting import fit
from training.learning.job import TRAINED_ON, Job, LiveModel, OnProgress, Progress, TrainingPlan
from training.learning.loop import refit, run_loop
from training.learning.recipes import check_recipe, choose_recipe
from training.learning.rehearsal import add_spans, find_rivals, predict_labels, rehearse_on
from training.learning.tokenizers import OWN, choose_tokenizer
from training.prediction.base import chosen_ops, fast_ops, labels_of, load_base, load_folder
from training.prediction.patterns import default_pattern_mapping
from training.prediction.pipeline import Pipeline, PipelineSpec, default_label_mapping, known_names

__all__ = ["Example", "LiveModel", "OnProgress", "Progress", "TrainingPlan", "train_pipeline"]

# Early stopping needs a steady figure, not every dev text: this many tokens cost about a second an evaluation.
DEV_TOKENS = 8_000
FEW = 5
# A model's folder holds, beside the model, what it was before the dev texts trained it: a later training starts there,
# or its dev part would be no news to it.
BEFORE_REFIT = "before-refit"


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
    last two measured on `dev`, whose texts train at the very end, once nothing is measured on them any more. The same
    texts, plan and machine give the same model. Raises NotEnoughData where no text has a span, and ModelUnavailable
    for the base.
    """
    train, dev = sound_examples(train, plan.labels), sound_examples(dev, plan.labels)
    if not any(example.spans for example in train):
        raise NotEnoughData(f"none of the {len(train)} training texts has a span of the project's labels")
    output.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{output.name}-", dir=output.parent))
    try:
        with fast_ops():
            job = Job(plan, on_progress, folder)
            job.report()
            _prepare(job, train, dev)
            with chosen_ops(plan.gpu):
                best = run_loop(job)
            spec = _measure(job, best, train, dev)
            _finish(job, best).rename(output)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return spec


def _finish(job: Job, best: Path) -> Path:
    """The model as it will serve."""
    if job.recipe == "transformer" or not (job.dev and job.dev.docs):
        return best
    with chosen_ops(job.plan.gpu):
        final = refit(job, best)
    best.rename(final / BEFORE_REFIT)
    return final


def _prepare(job: Job, train: Sequence[Example], dev: Sequence[Example]) -> None:
    """Choose recipe and tokenizer, and write the corpora under the labels that are trained."""
    plan = job.plan
    _choose_start(job, train)
    if job.recipe in TRAINED_ON:
        job.names = _base_names(plan, job.base, job.base_mapping)
        job.kept = tuple(sorted(set(labels_of(job.base)) - set(job.names.values()))) if plan.rehearse else ()
    order = list(train)
    random.Random(plan.seed).shuffle(order)
    job.train, rivals = _as_trained(job, order)
    job.dev, _ = _as_trained(job, _some_of(dev, plan.seed))
    texts = plan.unlabelled[: len(train)]
    if texts and (certain := sorted(set(job.kept) - rivals)):
        more = rehearse_on(job.base, certain, texts, on_step=job.report)
        job.train, job.rehearsed = job.train.join(more), len(more.docs)
    job.train.write(job.folder / "train.spacy")
    # The loop wants something to evaluate; without dev texts nobody looks at that figure.
    # What the base says of its own labels must not count there: it is right from the first step on, and would choose a
    # model that has learnt nothing yet.
    (job.dev.hide(job.kept) if job.dev.docs else job.train.head(FEW)).write(job.folder / "dev.spacy")
    job.report()


def _choose_start(job: Job, train: Sequence[Example]) -> None:
    """The recipe, the pipeline that it starts from, and the tokenizer of both."""
    plan = job.plan
    check_recipe(plan.recipe)
    job.base, job.base_mapping = load_base(plan.base), plan.base_mapping
    job.tokenizer = choose_tokenizer(job.base, train, on_step=job.report)
    job.recipe = choose_recipe(plan.recipe, job.base, hindrance=_why_not_continue(plan, job.tokenizer))
    if job.recipe == "continue" and plan.live:
        # With the tokenizer that it was trained with, which is the same.
        start = plan.live.folder / BEFORE_REFIT
        job.base = load_folder(start if start.is_dir() else plan.live.folder)
        job.base_mapping = plan.live.spec.label_mapping


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


def _as_trained(job: Job, examples: Sequence[Example]) -> tuple[Corpus, frozenset[str]]:
    """The examples under the labels that are trained, with what the base says of those it keeps; and their rivals."""
    renamed = [_renamed(example, job.names) for example in examples]
    found = predict_labels(job.base, job.kept, [example.text for example in examples], on_step=job.report)
    return build_corpus(job.base, add_spans(renamed, found), on_step=job.report), find_rivals(renamed, found)


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


def _measure(job: Job, best: Path, train: Sequence[Example], dev: Sequence[Example]) -> PipelineSpec:
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


def _label_mapping(job: Job, nlp: Any) -> dict[str, str]:
    """Trained labels to their leaves, and what else the base's labels mean."""
    leaves = set(job.plan.labels)
    labels = labels_of(nlp)
    if job.recipe not in TRAINED_ON:
        return {label: label for label in labels if label in leaves}
    kept = default_label_mapping(labels, known_names(job.plan.labels)) if job.base_mapping is None else {}
    mapping = {**kept, **(job.base_mapping or {}), **{label: leaf for leaf, label in job.names.items()}}
    return {label: leaf for label, leaf in sorted(mapping.items()) if label in labels and leaf in leaves}


def _facts(job: Job, train: Sequence[Example], dev: Sequence[Example]) -> dict[str, Any]:
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
        "losses": [round(loss, 4) for loss in job.losses],
        "average_loss": sum(job.losses) / len(job.losses) if job.losses else 0.0,
        "stopped_by": "dev" if dev else "fixed number of epochs, for want of dev texts",
        "support": dict(sorted(support.items())),
        "spans": job.train.spans,
        "misaligned_spans": len(job.train.misaligned),
        "tokenizer": job.tokenizer,
        "kept_labels": list(job.kept),
        "rehearsed_texts": job.rehearsed,
    }
