"""Texts that a small model learns within seconds, and what a training of it needs."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from training.learning.trainer import Example, Progress, TrainingPlan
from training.metrics.evaluate import score_spans
from training.prediction.pipeline import PipelineSpec, load_pipeline
from training.spans import Span

NAMES = ["Ada Brandt", "Wim Okoro", "Lucy Farrow", "Tarik Holm", "Ines Petrov", "Noor Salgado", "Otto Lindqvist"]
PLACES = ["Quellstadt", "Norvale", "Port Amble", "Grimsbek", "Vellora", "San Tarin", "Ostwick"]
FORMS = [
    "{name} moved to {place} last year.",
    "Please ask {name} about it.",
    "In {place} it rained when {name} came.",
    "Send it to {place}, care of {name}!",
    "There is nothing to see here.",
    "The office in {place} is closed; write to {mail}.",
]
LABELS = ("PERSON", "CITY", "EMAIL_ADDRESS")


def make_examples(count: int, seed: int) -> list[Example]:
    """Texts that a small model learns within seconds."""
    chance = random.Random(seed)
    examples = []
    for _ in range(count):
        text, spans = "", []
        rest = chance.choice(FORMS)
        fillings = {
            "name": ("PERSON", chance.choice(NAMES)),
            "place": ("CITY", chance.choice(PLACES)),
            "mail": ("EMAIL_ADDRESS", f"{chance.choice('abcdef')}{chance.randrange(99)}@example.org"),
        }
        while "{" in rest:
            before, _, rest = rest.partition("{")
            slot, _, rest = rest.partition("}")
            label, value = fillings[slot]
            text += before
            spans.append(Span(len(text), len(text) + len(value), label))
            text += value
        examples.append(Example(text + rest, tuple(spans)))
    return examples


def plan(base: str = "blank:en", labels: tuple[str, ...] = LABELS, **settings: Any) -> TrainingPlan:
    """A plan to train a base model on labels."""
    return TrainingPlan(base=base, language="en", labels=labels, **settings)


def ignore(_progress: Progress) -> None:
    """Listens to nothing."""


def f1_of(spec: PipelineSpec, folder: Path, examples: list[Example]) -> float:
    """How well the pipeline in a folder finds the spans of these examples."""
    predictions = load_pipeline(spec, folder).predict([example.text for example in examples])
    return score_spans([e.spans for e in examples], [[s.span for s in p.spans] for p in predictions]).f1
