"""Measure recipes against a plain loop on the same texts: F1, seconds, peak memory.

    python -m benchmarks.recipes train.jsonl --test test.jsonl --texts 300 --ways warm plain --seeds 0 1

Each line of the files is {"text", "spans": [{"start", "end", "label"}]}. Of the shuffled training file the first
`--texts` train, a fifth as many after them are the dev part, and without `--test` the next `--test-texts` are the test
part. A way is a recipe (config/spacy/), `plain` (30 iterations of `nlp.update`, batches of 8, dropout 0.5, on the base
model as spacy.load gives it), `plain-blank` (the same from nothing), `plain-fast` or `plain-blank-fast` (the same with
our choice of BLAS); a plain loop has no use for a dev part and trains on those texts too. Each training has a process
of its own. One JSON object a line goes to standard output.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import resource
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import spacy
from spacy.training import Example as SpacyExample
from spacy.util import fix_random_seed, load_config, minibatch
from thinc.api import use_ops

from benchmarks.training_and_prediction import read_examples
from training.learning.tokenizers import measure_fit
from training.learning.trainer import Example, TrainingPlan, train_pipeline
from training.metrics.evaluate import score_spans
from training.prediction.base import BLANK, fast_ops, find_base, find_recognizer, needed_components
from training.prediction.pipeline import Pipeline, PipelineSpec, load_pipeline

ITERATIONS, BATCH, DROP = 30, 8, 0.5
PLAIN = ("plain", "plain-blank", "plain-fast", "plain-blank-fast")


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the arguments, measure each way with each seed, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", type=Path)
    parser.add_argument("--test", type=Path)
    parser.add_argument("--texts", type=int, default=300)
    parser.add_argument("--test-texts", type=int, default=500)
    parser.add_argument("--base-model", default="en_core_web_sm")
    parser.add_argument("--language", default="en")
    parser.add_argument("--ways", nargs="+", default=["warm", "finetune", "blank", "plain", "plain-blank"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    options = parser.parse_args(arguments)
    for seed in options.seeds:
        for way in options.ways:
            # A fresh process each, since memory once taken is never given back.
            with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
                json.dump(pool.submit(measure, options, way, seed).result(), sys.stdout)
            sys.stdout.write("\n")
            sys.stdout.flush()


def measure(options: argparse.Namespace, way: str, seed: int) -> dict[str, Any]:
    """The figures of one training."""
    labels, train, dev, test = cut_parts(options, seed)
    wall, cpu = time.monotonic(), time.process_time()
    figures: dict[str, Any]
    if way in PLAIN:
        base = f"blank:{options.language}" if "blank" in way else options.base_model
        with fast_ops() if way.endswith("fast") else use_ops("numpy"):
            pipeline = train_plainly([*train, *dev], base, labels, seed)
        figures = {"steps": ITERATIONS * -(-len([*train, *dev]) // BATCH)}
        served = pipeline
    else:
        plan = TrainingPlan(options.base_model, options.language, labels, seed, recipe=way)
        with tempfile.TemporaryDirectory() as folder:
            spec = train_pipeline(train, dev, plan=plan, output=Path(folder) / "m", on_progress=lambda _: None)
            served = load_pipeline(spec, Path(folder) / "m")
        pipeline = Pipeline(replace(spec, pattern_mapping={}), served.nlp)
        facts = ("recipe", "steps", "epochs", "spans", "misaligned_spans", "tokenizer")
        figures = {name: spec.training[name] for name in facts if name in spec.training}
    wall, cpu = time.monotonic() - wall, time.process_time() - cpu
    fit = measure_fit(pipeline.nlp, [*train, *dev, *test])
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "way": way,
        "seed": seed,
        "texts": [len(train), len(dev), len(test)],
        "f1": round(f1_of(pipeline, test), 3),
        "f1_with_patterns": round(f1_of(served, test), 3),
        "wall_seconds": round(wall, 1),
        "cpu_seconds": round(cpu, 1),
        "peak_mb": round(memory),
        "aligned_share": round(fit.share, 4),
        **figures,
    }


def cut_parts(
    options: argparse.Namespace, seed: int
) -> tuple[tuple[str, ...], list[Example], list[Example], list[Example]]:
    """The labels and the three parts."""
    rows = read_examples(options.train)
    labels = tuple(sorted({span.label for example in rows for span in example.spans}))
    random.Random(seed).shuffle(rows)
    count, extra = options.texts, max(15, options.texts // 5)
    train, dev, rest = rows[:count], rows[count : count + extra], rows[count + extra :]
    test = read_examples(options.test) if options.test else rest[: options.test_texts]
    return labels, train, dev, test


def train_plainly(examples: Sequence[Example], base: str, labels: Sequence[str], seed: int) -> Pipeline:
    """What a script does: so many passes of `nlp.update`, with spaCy's own defaults."""
    fix_random_seed(seed)
    nlp = _load_plainly(base)
    recognizer = find_recognizer(nlp) or nlp.add_pipe("ner")
    for label in labels:
        recognizer.add_label(label)
    gold = list(_gold(nlp, examples))
    optimizer = nlp.initialize(lambda: gold) if base.startswith("blank:") else nlp.resume_training()
    order = random.Random(seed)
    for _ in range(ITERATIONS):
        order.shuffle(gold)
        for batch in minibatch(gold, size=BATCH):
            nlp.update(batch, drop=DROP, sgd=optimizer)
    spec = PipelineSpec(base, nlp.lang, tuple(labels), {label: label for label in labels}, pattern_mapping={})
    return Pipeline(spec, nlp)


def _load_plainly(base: str) -> spacy.Language:
    if base.startswith(BLANK):
        return spacy.blank(base.removeprefix(BLANK))
    folder = find_base(base)
    config = load_config(folder / "config.cfg")
    needed = needed_components(config)
    return spacy.load(folder, exclude=[name for name in config["nlp"]["pipeline"] if name not in needed])


def _gold(nlp: spacy.Language, examples: Sequence[Example]) -> Iterator[SpacyExample]:
    for example in examples:
        entities = [(span.start, span.end, span.label) for span in example.spans]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of spans that do not fit the tokens, which a script leaves out
            yield SpacyExample.from_dict(nlp.make_doc(example.text), {"entities": entities})


def f1_of(pipeline: Pipeline, test: Sequence[Example]) -> float:
    """F1 of exact spans on raw characters."""
    predictions = pipeline.predict([example.text for example in test])
    return score_spans([e.spans for e in test], [[s.span for s in p.spans] for p in predictions]).f1


if __name__ == "__main__":
    main()
