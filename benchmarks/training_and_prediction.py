"""Measure training and prediction on a data set: F1, seconds, calibration error, cost of scores, memory.

    python -m benchmarks.training_and_prediction train.jsonl test.jsonl --texts 100 --base-model en_core_web_sm

Each line of the files is {"text", "spans": [{"start", "end", "label"}]}. The first `--texts` of the shuffled training
file train, a fifth as many after them are the dev part. One JSON object goes to standard output.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import spacy

from training.learning.trainer import Example, Progress, TrainingPlan, train_pipeline
from training.metrics.evaluate import score_spans
from training.prediction.base import find_base, load_base, needed_components
from training.prediction.calibration import calibration_error
from training.prediction.pipeline import Pipeline, base_spec, known_names, load_pipeline
from training.spans import Prediction, parse_spans


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("--texts", type=int, default=100)
    parser.add_argument("--base-model", default="en_core_web_sm")
    parser.add_argument("--language", default="en")
    parser.add_argument("--recipe", default="auto")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--max-epochs", type=int, default=30)
    json.dump(measure(parser.parse_args(arguments)), sys.stdout, indent=1)
    sys.stdout.write("\n")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All figures of one training."""
    rows = read_examples(options.train)
    test = read_examples(options.test)
    labels = tuple(sorted({span.label for example in rows for span in example.spans}))
    random.Random(options.seed).shuffle(rows)
    train, dev = rows[: options.texts], rows[options.texts : options.texts + max(15, options.texts // 5)]
    plan = TrainingPlan(
        options.base_model, options.language, labels, options.seed, options.max_epochs, recipe=options.recipe
    )
    told: list[float] = []

    def listen(_progress: Progress) -> None:
        told.append(time.monotonic())

    with tempfile.TemporaryDirectory() as folder:
        cpu, wall = time.process_time(), time.monotonic()
        spec = train_pipeline(train, dev, plan=plan, output=Path(folder) / "model", on_progress=listen)
        cpu, wall = time.process_time() - cpu, time.monotonic() - wall
        trained = load_pipeline(spec, Path(folder) / "model")
    first = base_spec(options.base_model, options.language, known_names(labels))
    return {
        "train_texts": len(train),
        "dev_texts": len(dev),
        "training": {
            "recipe": spec.training["recipe"],
            "steps": spec.training["steps"],
            "wall_seconds": round(wall, 1),
            "cpu_seconds": round(cpu, 1),
            "longest_silence_seconds": round(max(b - a for a, b in pairwise(told)), 1),
            "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        },
        "serving": {leaf: way for leaf, way in spec.serving.items() if way != "model"},
        "version_0": quality(load_pipeline(first, None), test),
        "trained": quality(trained, test),
        "model_alone": quality(Pipeline(replace(spec, pattern_mapping={}), trained.nlp), test),
        "cost": cost(options.base_model, [example.text for example in test]),
    }


def read_examples(path: Path) -> list[Example]:
    """The texts of a JSONL file with their spans."""
    rows = map(json.loads, path.read_text("utf-8").splitlines())
    return [Example(row["text"], parse_spans(row["spans"])) for row in rows]


def quality(pipeline: Pipeline, test: Sequence[Example]) -> dict[str, Any]:
    """F1 and how honest the scores are, on the test texts."""
    predictions = pipeline.predict([example.text for example in test])
    scores = score_spans([e.spans for e in test], [[s.span for s in p.spans] for p in predictions])
    spans = [(s.score, s.span in set(e.spans)) for e, p in zip(test, predictions, strict=True) for s in p.spans]
    tasks = [(p.score, _unedited(e, p)) for e, p in zip(test, predictions, strict=True)]
    return {
        "f1": round(scores.f1, 3),
        "precision": round(scores.precision, 3),
        "recall": round(scores.recall, 3),
        "texts_without_edit": round(sum(right for _, right in tasks) / len(tasks), 3),
        "span_calibration_error": round(calibration_error([s for s, _ in spans], [r for _, r in spans]), 3),
        "task_calibration_error": round(calibration_error([s for s, _ in tasks], [r for _, r in tasks]), 3),
        "span_ranking_auc": round(ranking(spans), 3),
        "task_ranking_auc": round(ranking(tasks), 3),
    }


def _unedited(example: Example, prediction: Prediction) -> bool:
    return {span.span for span in prediction.spans} == set(example.spans)


def ranking(cases: Sequence[tuple[float, bool]]) -> float:
    """The chance that a right case scores above a wrong one (area under the ROC curve)."""
    right = [score for score, truth in cases if truth]
    wrong = [score for score, truth in cases if not truth]
    wins = sum((a > b) + 0.5 * (a == b) for a in right for b in wrong)
    return wins / (len(right) * len(wrong)) if right and wrong else 0.5


def cost(base: str, texts: Sequence[str]) -> dict[str, float]:
    """Seconds of processor time for the texts: spaCy's own pipe, ours with scores, ours with scores and patterns."""
    if base.startswith("blank:"):
        return {}
    folder = find_base(base)
    config = spacy.util.load_config(folder / "config.cfg")
    unneeded = [name for name in config["nlp"]["pipeline"] if name not in needed_components(config)]
    plain = spacy.load(folder, exclude=unneeded)
    labels = plain.get_pipe("ner").labels
    spec = base_spec(base, plain.lang, known_names(labels))
    bare = Pipeline(replace(spec, pattern_mapping={}), load_base(base))
    whole = Pipeline(
        base_spec(
            base,
            plain.lang,
            known_names([*labels, "EMAIL_ADDRESS", "PHONE_NUMBER", "SSN", "CREDIT_CARD", "IBAN_CODE", "IP_ADDRESS"]),
        ),
        bare.nlp,
    )
    seconds = {
        "nlp_pipe_seconds": _fastest(lambda: [doc.ents for doc in plain.pipe(texts)]),
        "scored_seconds": _fastest(lambda: bare.predict(texts)),
        "scored_with_patterns_seconds": _fastest(lambda: whole.predict(texts)),
    }
    return {**seconds, "scored_to_unscored": round(seconds["scored_seconds"] / seconds["nlp_pipe_seconds"], 2)}


def _fastest(work: Callable[[], object], *, repeats: int = 3) -> float:
    times = []
    for _ in range(repeats):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return round(min(times), 2)


if __name__ == "__main__":
    main()
