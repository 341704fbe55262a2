"""No forgetting: a recognizer that is trained on keeps the labels that the project does not teach.

Texts of a project are annotated with its own labels only. Trained on these alone, a base model would learn that what
it knows besides is wrong. So its own predictions of those labels stand in the training texts beside the gold spans
(pseudo-rehearsal: Robins, "Catastrophic Forgetting, Rehearsal and Pseudorehearsal", Connection Science 7, 1995),
and in unlabelled texts, where nothing is said of the other tokens.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from training.corpus import Corpus, Example, build_corpus
from training.intervals import Taken
from training.pipeline import Pipeline, PipelineSpec
from training.spans import Span


def predict_labels(nlp: Any, labels: Collection[str], texts: Sequence[str]) -> list[tuple[Span, ...]]:
    """What a pipeline's recognizer says of texts under its own names of these labels."""
    spec = PipelineSpec(
        base="",
        language=nlp.lang,
        labels=tuple(labels),
        label_mapping={label: label for label in labels},
        pattern_mapping={},
    )
    predictions = Pipeline(spec, nlp).predict(texts)
    return [tuple(found.span for found in prediction.spans) for prediction in predictions]


def add_own_labels(nlp: Any, labels: Collection[str], examples: Sequence[Example]) -> list[Example]:
    """The examples with the pipeline's predictions of these labels beside their gold spans, which come first."""
    found = predict_labels(nlp, labels, [example.text for example in examples])
    return [
        Example(example.text, example.spans + tuple(_free_of(example.spans, spans)))
        for example, spans in zip(examples, found, strict=True)
    ]


def _free_of(gold: Iterable[Span], spans: Iterable[Span]) -> Iterable[Span]:
    taken = Taken()
    for span in gold:
        taken.take(span.start, span.end)
    return [span for span in spans if taken.take(span.start, span.end)]


def rehearse_on(nlp: Any, labels: Collection[str], texts: Sequence[str]) -> Corpus:
    """Unlabelled texts as training docs: the pipeline's predictions of these labels; other tokens are unknown."""
    found = predict_labels(nlp, labels, texts)
    examples = [Example(text, spans) for text, spans in zip(texts, found, strict=True) if spans]
    return build_corpus(nlp, examples, rest="missing")
