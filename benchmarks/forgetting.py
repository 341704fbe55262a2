"""Measure what a base model forgets when it learns one new label, with and without rehearsal.

    python -m benchmarks.forgetting train.jsonl --test test.jsonl --label CREDIT_CARD --texts 200

Each line of the files is {"text", "spans": [{"start", "end", "label"}]}. The texts are annotated with the new label
alone, as a project that has only this one would have them; as many of the file's other texts are the ones that nobody
has annotated yet. Agreement is the F1 of the trained model's output of the base's labels with the base's own output, on
the test texts; before the training it is 1. One JSON object a line goes to standard output.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.recipes import cut_parts, f1_of
from benchmarks.training_and_prediction import read_examples
from training.learning.trainer import Example, TrainingPlan, train_pipeline
from training.prediction.base import labels_of, load_base
from training.prediction.pipeline import Pipeline, load_pipeline
from training.runs.run_report import measure_agreement

WAYS = ("without", "annotated", "all")
"""No rehearsal, rehearsal on the annotated texts, or on these and on as many that nobody has annotated."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the arguments, measure each way, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", type=Path)
    parser.add_argument("--test", type=Path)
    parser.add_argument("--label", required=True)
    parser.add_argument("--texts", type=int, default=200)
    parser.add_argument("--test-texts", type=int, default=300)
    parser.add_argument("--base-model", default="en_core_web_sm")
    parser.add_argument("--language", default="en")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    options = parser.parse_args(arguments)
    for way in options.ways:
        json.dump(measure(options, way), sys.stdout)
        sys.stdout.write("\n")
        sys.stdout.flush()


def measure(options: argparse.Namespace, way: str) -> dict[str, Any]:
    """The figures of one training."""
    _, train, dev, test = cut_parts(options, options.seed)
    taken = {example.text for example in (*train, *dev, *test)}
    others = [example.text for example in read_examples(options.train) if example.text not in taken]
    train, dev, test = (_with_one_label(part, options.label) for part in (train, dev, test))
    plan = TrainingPlan(
        options.base_model,
        options.language,
        (options.label,),
        options.seed,
        recipe="finetune",
        base_mapping={},
        pattern_mapping={},
        rehearse=way != "without",
        unlabelled=tuple(others) if way == "all" else (),
    )
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        spec = train_pipeline(train, dev, plan=plan, output=Path(folder) / "m", on_progress=lambda _: None)
        pipeline = load_pipeline(spec, Path(folder) / "m")
    seconds = time.monotonic() - started
    base = load_base(options.base_model)
    return {
        "label": options.label,
        "rehearsal": way,
        "rehearsed_texts": spec.training["rehearsed_texts"],
        "texts": [len(train), len(dev), len(test)],
        "tokenizer": spec.training["tokenizer"],
        "new_label_f1": round(f1_of(Pipeline(replace(spec, pattern_mapping={}), pipeline.nlp), test), 3),
        "agreement": round(measure_agreement(pipeline.nlp, base, labels_of(base), [e.text for e in test]), 3),
        "wall_seconds": round(seconds, 1),
    }


def _with_one_label(examples: Sequence[Example], label: str) -> list[Example]:
    return [Example(e.text, tuple(span for span in e.spans if span.label == label)) for e in examples]


if __name__ == "__main__":
    main()
