"""No forgetting: a recognizer that is trained on keeps the labels that the project does not teach.

Texts of a project are annotated with its own labels only. Trained on these alone, a base model would learn that what
it knows besides is wrong. So its own predictions of those labels stand in the training texts beside the gold spans
(pseudo-rehearsal: Robins, "Catastrophic Forgetting, Rehearsal and Pseudorehearsal", Connection Science 7, 1995),
and in unlabelled texts, where nothing is said of the other tokens. Nor is anything said there under labels that the
base gives to spans which the project labels otherwise: card numbers that it takes for dates would be untaught.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from training.intervals import Taken
from training.learning.corpus import Corpus, Example, build_corpus
from training.prediction.pipeline import Pipeline, PipelineSpec
from training.prediction.windows import in_portions
from training.spans import Span

# A label that the base gives to this share of a project label's gold spans, or more, is a rival of it.
RIVAL_SHARE = 0.05


def predict_labels(
    nlp: Any, labels: Collection[str], texts: Sequence[str], *, on_step: Callable[[], None]
) -> list[tuple[Span, ...]]:
    """What a pipeline's recognizer says of texts under its own names of these labels; `on_step` may end it."""
    if not labels:
        return [() for _ in texts]
    spec = PipelineSpec(
        base="",
        language=nlp.lang,
        labels=tuple(labels),
        label_mapping={label: label for label in labels},
        pattern_mapping={},
    )
    pipeline = Pipeline(spec, nlp)
    found: list[tuple[Span, ...]] = []
    for portion in in_portions(texts, str):
        on_step()
        predictions = pipeline.predict(portion)
        found += [tuple(one.span for one in prediction.spans) for prediction in predictions]
    return found


def add_spans(examples: Sequence[Example], found: Sequence[Sequence[Span]]) -> list[Example]:
    """The examples with what was found in each beside its gold spans, which come first."""
    return [
        Example(example.text, example.spans + tuple(_free_of(example.spans, spans)))
        for example, spans in zip(examples, found, strict=True)
    ]


def _free_of(gold: Iterable[Span], spans: Iterable[Span]) -> Iterable[Span]:
    taken = Taken()
    for span in gold:
        taken.take(span.start, span.end)
    return [span for span in spans if taken.take(span.start, span.end)]


def find_rivals(examples: Sequence[Example], found: Sequence[Sequence[Span]]) -> frozenset[str]:
    """The labels whose found spans touch a twentieth or more of the gold spans of any one label."""
    gold = Counter(span.label for example in examples for span in example.spans)
    touched: Counter[tuple[str, str]] = Counter()
    for example, spans in zip(examples, found, strict=True):
        places: defaultdict[str, Taken] = defaultdict(Taken)
        for span in spans:
            places[span.label].take(span.start, span.end)
        for span in example.spans:
            touched.update((span.label, rival) for rival in places if not places[rival].is_free(span.start, span.end))
    return frozenset(rival for (label, rival), count in touched.items() if count >= RIVAL_SHARE * gold[label])


def rehearse_on(nlp: Any, labels: Collection[str], texts: Sequence[str], *, on_step: Callable[[], None]) -> Corpus:
    """Unlabelled texts as training docs: the pipeline's predictions of these labels; other tokens are unknown."""
    found = predict_labels(nlp, labels, texts, on_step=on_step)
    examples = [Example(text, spans) for text, spans in zip(texts, found, strict=True) if spans]
    return build_corpus(nlp, examples, rest="missing")
