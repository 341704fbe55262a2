"""Annotations that models which never saw them confidently contradict: likely label errors, most suspicious first.

A linear tagger is trained on the words of some texts and asked about the words of others, so that no text vouches for
itself (cross-validated probabilities, as in confident learning: Northcutt, Jiang, Chuang 2021,
https://arxiv.org/abs/1911.00068). Which label a span has, it is asked as if there were one; whether there is one at all
counts by half, since a tagger misses much that it has never seen. Pure: no store.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from training.spans import Span
from training.words import OUTSIDE, find_words, label_words, touched

FOLDS = 5
FEATURES = 2**18
EXISTENCE = 0.5
"""What it weighs that a model sees a span where there is none, or none where there is one."""

Probabilities = npt.NDArray[np.float64]


class DoubtKind(StrEnum):
    """What may be wrong: the label of a span, a span that should not be there, one that is missing."""

    LABEL = "label"
    EXTRA = "extra"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class AuditedText:
    """An annotated text; of a group, a model is asked about texts only where it saw none of the others.

    `trains` says whether models may learn from it: a test text is only asked about.
    """

    text: str
    spans: tuple[Span, ...]
    group: int
    trains: bool = True


@dataclass(frozen=True, slots=True)
class Doubt:
    """One likely error of a text (its place in what was given): the span, and what would stand there instead.

    `suspicion` goes from 0, where models and annotation weigh the same, to 1.
    """

    text: int
    kind: DoubtKind
    span: Span
    suggested: str | None
    suspicion: float


@dataclass(frozen=True, slots=True)
class _Read:
    """A text's words: where they stand, the label of each, and what the tagger sees of it."""

    words: list[tuple[int, int]]
    labels: list[str]
    features: list[list[str]]


def find_doubts(texts: Sequence[AuditedText], *, seed: int = 0) -> list[Doubt]:
    """Everything that the models contradict, most suspicious first; none where nothing could be learnt.

    The same texts and seed give the same doubts.
    """
    read = [_read(one) for one in texts]
    classes = sorted({label for one in read for label in one.labels})
    doubts = [
        doubt
        for number, probabilities in _ask_all(texts, read, classes, seed=seed)
        for doubt in _doubts_of(number, texts[number], read[number], probabilities, classes)
    ]
    return sorted(doubts, key=lambda d: (-d.suspicion, d.text, d.span))


def _read(one: AuditedText) -> _Read:
    words = find_words(one.text)
    written = [one.text[start:end] for start, end in words]
    features = [_features(written, place) for place in range(len(words))]
    return _Read(words, label_words(words, one.spans), features)


def _features(words: Sequence[str], place: int) -> list[str]:
    word = words[place]
    own = [f"w={word.casefold()}", f"p={word[:3]}", f"s={word[-3:]}", f"shape={_shape(word)}", f"f={word}"]
    near = []
    for step in (-2, -1, 1, 2):
        other = words[place + step] if 0 <= place + step < len(words) else "|"
        near += [f"{step}w={other.casefold()}", f"{step}shape={_shape(other)}"]
    return [*own, *near, f"{near[2]}&{own[3]}", f"{near[4]}&{own[3]}"]


def _shape(word: str) -> str:
    return re.sub(r"(.)\1{2,}", r"\1\1", "".join(_kind(character) for character in word[:20]))


def _kind(character: str) -> str:
    if character.isdigit():
        return "d"
    if character.isalpha():
        return "X" if character.isupper() else "x"
    return character


def _ask_all(
    texts: Sequence[AuditedText], read: Sequence[_Read], classes: Sequence[str], *, seed: int
) -> Iterator[tuple[int, Probabilities]]:
    """Each text's number with the probabilities (words, classes) by a model that saw neither it nor its group."""
    folds = _fold(texts, seed)
    for fold in range(FOLDS):
        asked = [n for n, one in enumerate(read) if folds[n] == fold and one.words]
        shown = [n for n, one in enumerate(texts) if one.trains and folds[n] != fold]
        if not asked or len({label for n in shown for label in read[n].labels}) < 2:
            continue
        model, hasher = _train([read[n] for n in shown], seed=seed)
        columns = [classes.index(str(label)) for label in model.classes_]
        for number in asked:
            probabilities = np.zeros((len(read[number].words), len(classes)))
            probabilities[:, columns] = _normalized(model.predict_proba(hasher.transform(read[number].features)))
            yield number, probabilities


def _normalized(given: Probabilities) -> Probabilities:
    # With two classes or more, one-against-rest answers may all be nil; then nothing is known.
    sums = given.sum(axis=1, keepdims=True)
    return np.where(sums > 0, given / np.where(sums > 0, sums, 1.0), 1.0 / given.shape[1])


def _fold(texts: Sequence[AuditedText], seed: int) -> list[int]:
    """Each text's fold, by its group; where there are few groups, as in a pool of one template, by the text itself."""
    apart = len({one.group for one in texts}) >= FOLDS * 2
    keys = (one.group if apart else number for number, one in enumerate(texts))
    return [(key * 2_654_435_761 + seed) % 2**32 % FOLDS for key in keys]


def _train(read: Sequence[_Read], *, seed: int) -> tuple[Any, Any]:
    from sklearn.feature_extraction import FeatureHasher  # takes seconds and 100 MB, which only an audit should pay
    from sklearn.linear_model import SGDClassifier

    hasher = FeatureHasher(FEATURES, input_type="string", alternate_sign=False)
    model = SGDClassifier(loss="log_loss", alpha=3e-6, average=True, max_iter=15, tol=None, random_state=seed)
    rows = [features for one in read for features in one.features]
    return model.fit(hasher.transform(rows), [label for one in read for label in one.labels]), hasher


def _doubts_of(
    number: int, one: AuditedText, read: _Read, probabilities: Probabilities, classes: Sequence[str]
) -> Iterator[Doubt]:
    taken: set[int] = set()
    for span in one.spans:
        places = touched(read.words, span)
        taken.update(places)
        found = _judge_span(probabilities[places].mean(axis=0), span, classes) if places else None
        if found is not None:
            kind, suggested, suspicion = found
            yield Doubt(number, kind, span, suggested, min(1.0, suspicion))
    yield from _missing(number, read, probabilities, classes, taken)


def _judge_span(mean: Probabilities, span: Span, classes: Sequence[str]) -> tuple[DoubtKind, str | None, float] | None:
    """What contradicts an annotated span more: another label, as if there were a span, or none at all."""
    of = dict(zip(classes, map(float, mean), strict=True))
    outside = of.pop(OUTSIDE, 0.0)
    given = of.pop(span.label, 0.0)
    other = max(of, key=lambda label: of[label], default=None)
    relabel = (of[other] - given) / max(1 - outside, 1e-6) if other is not None else 0.0
    remove = EXISTENCE * (outside - given)
    if max(relabel, remove) <= 0:
        return None
    return (DoubtKind.LABEL, other, relabel) if relabel >= remove else (DoubtKind.EXTRA, None, remove)


def _missing(
    number: int, read: _Read, probabilities: Probabilities, classes: Sequence[str], taken: set[int]
) -> Iterator[Doubt]:
    """Neighbouring words that no annotation holds and that one label would fit better than none."""
    if OUTSIDE not in classes:
        return
    outside = classes.index(OUTSIDE)
    best = np.where(np.arange(len(classes)) == outside, -np.inf, probabilities).argmax(axis=1)
    over = EXISTENCE * (probabilities[np.arange(len(best)), best] - probabilities[:, outside])
    run: list[int] = []
    for place in range(len(best) + 1):
        wanted = place < len(best) and place not in taken and over[place] > 0
        if run and not (wanted and best[place] == best[run[0]]):
            label = classes[best[run[0]]]
            span = Span(read.words[run[0]][0], read.words[run[-1]][1], label)
            yield Doubt(number, DoubtKind.MISSING, span, label, float(over[run].mean()))
            run = []
        if wanted:
            run.append(place)
