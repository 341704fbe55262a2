"""No forgetting: a recognizer that is trained on keeps the labels that the project does not teach.

Texts of a project are annotated with its own labels only. Trained on these alone, a base model would learn that what
it knows besides is wrong. So its own predictions of those labels stand in the training texts beside the gold spans
(pseudo-rehearsal: Robins, "Catastrophic Forgetting, Rehearsal and Pseudorehearsal", Connection Science 7, 1995),
and in unlabelled texts, where nothing is said of the other tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from training.intervals import Taken
from training.learning.corpus import Corpus, Example, build_corpus
from training.prediction.pipeline import Pipeline, PipelineSpec
from training.spans import Span

CHUNK = 64


def predict_labels(
    nlp: Any, labels: Collection[str], texts: Sequence[str], *, on_step: Callable[[], None]
) -> list[tuple[Span, ...]]:
    """What a pipeline's recognizer says of texts under its own names of these labels; `on_step` may end it."""
    spec = PipelineSpec(
        base="",
        language=nlp.lang,
        labels=tuple(labels),
        label_mapping={label: label for label in labels},
        pattern_mapping={},
    )
    pipeline = Pipeline(spec, nlp)
    found: list[tuple[Span, ...]] = []
    for first in range(0, len(texts), CHUNK):
        on_step()
        predictions = pipeline.predict(texts[first : first + CHUNK])
        found += [tuple(one.span for one in prediction.spans) for prediction in predictions]
    return found


def add_own_labels(
    nlp: Any, labels: Collection[str], examples: Sequence[Example], *, on_step: Callable[[], None]
) -> list[Example]:
    """The examples with the pipeline's predictions of these labels beside their gold spans, which come first."""
    found = predict_labels(nlp, labels, [example.text for example in examples], on_step=on_step)
    return [
        Example(example.text, example.spans + tuple(_free_of(example.spans, spans)))
        for example, spans in zip(examples, found, strict=True)
    ]


def _free_of(gold: Iterable[Span], spans: Iterable[Span]) -> Iterable[Span]:
    taken = Taken()
    for span in gold:
        taken.take(span.start, span.end)
    return [span for span in spans if taken.take(span.start, span.end)]


def rehearse_on(nlp: Any, labels: Collection[str], texts: Sequence[str], *, on_step: Callable[[], None]) -> Corpus:
    """Unlabelled texts as training docs: the pipeline's predictions of these labels; other tokens are unknown."""
    found = predict_labels(nlp, labels, texts, on_step=on_step)
    examples = [Example(text, spans) for text, spans in zip(texts, found, strict=True) if spans]
    return build_corpus(nlp, examples, rest="missing")
