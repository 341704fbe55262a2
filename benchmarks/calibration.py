"""Measure how well few dev texts calibrate a pipeline's scores: expected calibration error of spans and of tasks.

    python -m benchmarks.calibration test.jsonl --base-model en_core_web_sm --dev 20,60,150,400

Without --train the base model is looked at, as version 0 serves it; with it a version is trained on the first --texts
texts of that file. Of the test file so many texts are drawn for fitting, and the others are measured; the mean over
--draws drawings goes to standard output, for the default curve, Platt scaling (logistic regression on the log-odds) and
the curve of training/prediction/calibration.py.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean

import numpy as np
from sklearn.linear_model import LogisticRegression

from benchmarks.training_and_prediction import read_examples
from training.learning.trainer import Example, TrainingPlan, train_pipeline
from training.prediction.calibration import Curve, calibration_error, fit_curve
from training.prediction.compose import Evidence, choose
from training.prediction.pipeline import Pipeline, base_spec, known_names, load_pipeline
from training.prediction.scoring import DEFAULT_SPAN, DEFAULT_TASK, Calibration, log_odds, task_log_odds

Cases = tuple[list[float], list[bool]]
Fit = Callable[[Cases, Curve], Curve]


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("test", type=Path)
    parser.add_argument("--train", type=Path)
    parser.add_argument("--texts", type=int, default=200)
    parser.add_argument("--base-model", default="en_core_web_sm")
    parser.add_argument("--language", default="en")
    parser.add_argument("--dev", default="20,60,150,400")
    parser.add_argument("--draws", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    test = read_examples(options.test)
    pipeline = open_pipeline(options, test)
    evidence = pipeline.gather([example.text for example in test])
    pairs = list(zip(test, evidence, strict=True))
    found = {count: measure(pairs, pipeline, count, options) for count in map(int, options.dev.split(","))}
    json.dump(found, sys.stdout, indent=1)
    sys.stdout.write("\n")


def open_pipeline(options: argparse.Namespace, test: Sequence[Example]) -> Pipeline:
    """Version 0, or a version trained on the first texts of the shuffled training file, a fifth of them as dev part."""
    rows = read_examples(options.train) if options.train else list(test)
    labels = tuple(sorted({span.label for example in rows for span in example.spans}))
    if not options.train:
        return load_pipeline(base_spec(options.base_model, options.language, known_names(labels)), None)
    random.Random(options.seed).shuffle(rows)
    part = rows[: options.texts]
    plan = TrainingPlan(options.base_model, options.language, labels, options.seed)
    with tempfile.TemporaryDirectory() as folder:
        dev = part[: len(part) // 5]
        output = Path(folder) / "model"
        spec = train_pipeline(part[len(dev) :], dev, plan=plan, output=output, on_progress=lambda _: None)
        return load_pipeline(spec, output)


def measure(
    pairs: Sequence[tuple[Example, Evidence]], pipeline: Pipeline, count: int, options: argparse.Namespace
) -> dict[str, dict[str, float]]:
    """For each kind of curve the mean error of spans and tasks, fitted on `count` texts and measured on the others."""
    chance = random.Random(options.seed)
    drawn: dict[str, list[tuple[float, float]]] = {}
    for _ in range(options.draws):
        order = list(pairs)
        chance.shuffle(order)
        for name, fit in FITS.items():
            errors = errors_of(order[:count], order[count:], pipeline.spec.serving, fit)
            drawn.setdefault(name, []).append(errors)
    return {
        name: {"spans": round(mean(s for s, _ in errors), 3), "tasks": round(mean(t for _, t in errors), 3)}
        for name, errors in drawn.items()
    }


def errors_of(
    dev: Sequence[tuple[Example, Evidence]],
    rest: Sequence[tuple[Example, Evidence]],
    serving: Mapping[str, str],
    fit: Fit,
) -> tuple[float, float]:
    """The errors of spans and tasks in `rest` under curves fitted on `dev`."""
    calibration = Calibration(span=fit(span_cases(dev), DEFAULT_SPAN))
    calibration = replace(calibration, task=fit(task_cases(dev, serving, calibration), DEFAULT_TASK))
    return (
        _error(calibration.span, span_cases(rest)),
        _error(calibration.task, task_cases(rest, serving, calibration)),
    )


def span_cases(pairs: Sequence[tuple[Example, Evidence]]) -> Cases:
    """The log-odds of the model's spans, and which are right."""
    found = [(log_odds(s.score), s.span in example.spans) for example, evidence in pairs for s in evidence.model]
    return [x for x, _ in found], [right for _, right in found]


def task_cases(
    pairs: Sequence[tuple[Example, Evidence]], serving: Mapping[str, str], calibration: Calibration
) -> Cases:
    """The log-odds of whole tasks, and which need no edit."""
    choices = [choose(evidence, serving=serving, calibration=calibration) for _, evidence in pairs]
    right = [
        {s.span for s in choice.shown} == set(example.spans)
        for choice, (example, _) in zip(choices, pairs, strict=True)
    ]
    return [task_log_odds(choice.shown, choice.log_nothing_missed) for choice in choices], right


def _error(curve: Curve, cases: Cases) -> float:
    return calibration_error([curve.apply(x) for x in cases[0]], cases[1])


def _platt(cases: Cases, default: Curve) -> Curve:
    if len(set(cases[1])) < 2:
        return default
    found = LogisticRegression().fit(np.array(cases[0])[:, None], cases[1])
    slope = max(float(found.coef_[0, 0]), 0.01)
    return Curve(slope, slope, float(found.intercept_[0]))


FITS: Mapping[str, Fit] = {
    "default": lambda _cases, default: default,
    "platt": _platt,
    "beta": lambda cases, default: fit_curve(*cases, default=default),
}


if __name__ == "__main__":
    main()
