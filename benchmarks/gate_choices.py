"""Measure what the gate's margin and confidence let through: candidates that are really better, and really worse.

    python -m benchmarks.gate_choices train.jsonl test.jsonl --sizes 50 100 150 200 300 --test-texts 20 43 100 200

Models are trained on growing parts of the training file, with two seeds each. Every pair of them is a live version
and a candidate, whose true difference is taken from the whole test file. Test parts of each size are drawn from that
file with replacement, and the gate judges each pair on them. One JSON object goes to standard output: for each size of
the test part and each pair of margin and confidence, the share that passes, by true difference of F1.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.training_and_prediction import read_examples
from training.learning.trainer import Example, TrainingPlan, train_pipeline
from training.metrics.resample import Counts, compare_counts, count_texts
from training.prediction.pipeline import load_pipeline

CHOICES = [(0.0, 0.5), (0.0, 0.8), (0.0, 0.95), (0.02, 0.5), (0.02, 0.8), (0.02, 0.95), (0.05, 0.8), (0.05, 0.95)]
BINS = (-1.0, -0.05, -0.02, 0.0, 0.02, 0.05, 1.0)


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("--sizes", type=int, nargs="+", default=[50, 100, 150, 200, 300])
    parser.add_argument("--test-texts", type=int, nargs="+", default=[20, 43, 100, 200])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--draws", type=int, default=20, help="test parts drawn for each pair and size")
    parser.add_argument("--base-model", default="en_core_web_sm")
    parser.add_argument("--max-epochs", type=int, default=30)
    parser.add_argument(
        "--keep", type=Path, help="folder for each model's counts, which the next call takes from there"
    )
    options = parser.parse_args(arguments)
    counts = measure_models(options)
    report = {
        "models": {name: round(float(overall(one)), 4) for name, one in counts.items()},
        "passed": judge_pairs(counts, options.test_texts, draws=options.draws),
    }
    json.dump(report, sys.stdout, indent=1)
    sys.stdout.write("\n")


def measure_models(options: argparse.Namespace) -> dict[str, Counts]:
    """Train a model for each size and seed, and count its spans on each text of the test file."""
    rows, test = read_examples(options.train), read_examples(options.test)
    labels = tuple(sorted({span.label for example in rows for span in example.spans}))
    found = {}
    for seed in range(options.seeds):
        order = list(rows)
        random.Random(seed).shuffle(order)
        for size in options.sizes:
            name = f"{size} texts, seed {seed}"
            kept = options.keep / f"{size}-{seed}.npy" if options.keep else None
            if kept and kept.is_file():
                found[name] = np.load(kept)
                continue
            found[name] = _measure(order, size, test, labels, seed, options)
            print(f"{name}: F1 {overall(found[name]):.3f}", file=sys.stderr, flush=True)  # noqa: T201 (a long wait)
            if kept:
                np.save(kept, found[name])
    return found


def _measure(
    order: Sequence[Example],
    size: int,
    test: Sequence[Example],
    labels: tuple[str, ...],
    seed: int,
    options: argparse.Namespace,
) -> Counts:
    train, dev = order[:size], order[size : size + max(15, size // 5)]
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "model"
        plan = TrainingPlan(options.base_model, "en", labels, seed, options.max_epochs)
        spec = train_pipeline(train, dev, plan=plan, output=output, on_progress=lambda _: None)
        predictions = load_pipeline(spec, output).predict([example.text for example in test])
    return count_texts([e.spans for e in test], [[s.span for s in p.spans] for p in predictions], labels)


def overall(counts: Counts) -> float:
    """F1 over all texts and labels."""
    gold, predicted, right = counts.sum(axis=(0, 1))
    return float(2 * right / (gold + predicted)) if gold + predicted else 0.0


def judge_pairs(counts: dict[str, Counts], sizes: Sequence[int], *, draws: int) -> list[dict[str, Any]]:
    """The share of drawn comparisons that pass, by size of the test part, choice and true difference."""
    rng = np.random.default_rng(0)
    passed: dict[tuple[int, float, float, int], list[bool]] = defaultdict(list)
    for live, candidate in permutations(counts.values(), 2):
        true = overall(candidate) - overall(live)
        place = int(np.searchsorted(BINS, true)) - 1
        for size in sizes:
            for _ in range(draws):
                drawn = rng.integers(0, len(live), size)
                # The overall figure alone matters here, so the labels are summed up.
                pair = (one[drawn].sum(axis=1, keepdims=True) for one in (live, candidate))
                difference = compare_counts(*pair, seed=0)["f1"][-1]
                for margin, confidence in CHOICES:
                    bound = difference.lower_bound(confidence)
                    passed[size, margin, confidence, place].append(bound >= -margin)
    return [
        {
            "test_texts": size,
            "margin": margin,
            "confidence": confidence,
            "true_difference": [BINS[place], BINS[place + 1]],
            "passed": round(float(np.mean(outcomes)), 3),
            "comparisons": len(outcomes),
        }
        for (size, margin, confidence, place), outcomes in sorted(passed.items())
    ]


if __name__ == "__main__":
    main()
