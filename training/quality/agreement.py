"""How far annotators agree, overall, label by label and pair by pair, and whom to ask again. Pure rules.

Span F1 counts spans that are exactly the same; between two people it does not matter who is taken for right (Hripcsak
and Rothschild 2005, https://doi.org/10.1197/jamia.M1733). Krippendorff's alpha counts words by their labels, and takes
off what chance would agree on: 1 is perfect, 0 is chance (Krippendorff 2011, "Computing Krippendorff's
Alpha-Reliability", nominal data; words that one person saw are left out).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from training.metrics.evaluate import LabelScores, label_scores
from training.spans import Span
from training.words import OUTSIDE, find_words, label_words

RELIABLE, TENTATIVE = 0.8, 2 / 3


@dataclass(frozen=True, slots=True)
class AnsweredText:
    """A text with what each annotator (by id) said of it."""

    text_id: int
    text: str
    answers: Mapping[int, frozenset[Span]]


@dataclass(frozen=True, slots=True)
class PairAgreement:
    """Two annotators: their common texts, span F1 and alpha; None where there is nothing to agree on."""

    first: int
    second: int
    texts: int
    f1: float | None
    alpha: float | None


@dataclass(frozen=True, slots=True)
class LabelAgreement:
    """A label: the spans of it that either of two annotators gave, span F1 and alpha."""

    label: str
    spans: int
    f1: float | None
    alpha: float | None


@dataclass(frozen=True, slots=True)
class AskAgain:
    """A text whose annotators differ: its span F1 over all pairs, and those who stand alone against a majority."""

    text_id: int
    f1: float
    outvoted: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Agreement:
    """The agreement on all texts that two or more people annotated; the worst of `ask_again` come first."""

    texts: int
    annotators: int
    f1: float | None
    alpha: float | None
    pairs: tuple[PairAgreement, ...]
    labels: tuple[LabelAgreement, ...]
    ask_again: tuple[AskAgain, ...]


def measure_agreement(texts: Iterable[AnsweredText]) -> Agreement:
    """Compare everybody with everybody on the texts that they have in common."""
    shared = [one for one in texts if len(one.answers) > 1]
    units = [unit for one in shared for unit in _units(one)]
    names = sorted({label for one in shared for spans in one.answers.values() for label in (s.label for s in spans)})
    return Agreement(
        texts=len(shared),
        annotators=len({person for one in shared for person in one.answers}),
        f1=_f1(shared),
        alpha=krippendorff_alpha([list(unit.values()) for unit in units]),
        pairs=tuple(_pairs(shared, units)),
        labels=tuple(_label(label, shared, units) for label in names),
        ask_again=tuple(_ask_again(shared)),
    )


def krippendorff_alpha(units: Iterable[Sequence[str]]) -> float | None:
    """Alpha for nominal values: each unit holds the values that its observers gave, in any order.

    None where fewer than two values can be compared, or where all are the same, for then chance explains everything.
    """
    totals: Counter[str] = Counter()
    disagreed = 0.0
    for values in units:
        counts, seen = Counter(values), len(values)
        if seen < 2:
            continue
        totals.update(counts)
        same = sum(number * (number - 1) for number in counts.values()) / (seen - 1)
        disagreed += seen - same
    pairable = totals.total()
    expected = (pairable**2 - sum(number**2 for number in totals.values())) / (pairable - 1) if pairable > 1 else 0.0
    return 1 - disagreed / expected if expected else None


def judge_alpha(alpha: float) -> str:
    """What an alpha means for those who rely on the annotations (Krippendorff 2004, "Content Analysis", page 241)."""
    if alpha >= RELIABLE:
        return f"reliable ({RELIABLE:g} or more)"
    if alpha >= TENTATIVE:
        return f"good enough for careful conclusions only ({TENTATIVE:.2f} to {RELIABLE:g})"
    return f"not reliable (below {TENTATIVE:.2f}): agree on what each label means before going on"


def _units(one: AnsweredText) -> list[dict[int, str]]:
    """For each word what each annotator called it."""
    words = find_words(one.text)
    by_person = {person: label_words(words, sorted(spans)) for person, spans in one.answers.items()}
    return [{person: labels[place] for person, labels in by_person.items()} for place in range(len(words))]


def _f1(texts: Iterable[AnsweredText], *, label: str | None = None) -> float | None:
    counts = _count(texts, label=label)
    return counts.f1 if counts.support + counts.predicted else None


def _count(texts: Iterable[AnsweredText], *, label: str | None = None) -> LabelScores:
    """The spans of all pairs: how many either of the two gave, and how many both did."""
    first_spans = second_spans = both = 0
    for one in texts:
        wanted = [{s for s in spans if label in (None, s.label)} for _, spans in sorted(one.answers.items())]
        for first, second in combinations(wanted, 2):
            first_spans, second_spans = first_spans + len(first), second_spans + len(second)
            both += len(first & second)
    return label_scores(support=first_spans, predicted=second_spans, correct=both)


def _pairs(shared: Sequence[AnsweredText], units: Sequence[Mapping[int, str]]) -> Iterable[PairAgreement]:
    texts_of: dict[tuple[int, int], list[AnsweredText]] = defaultdict(list)
    for one in shared:
        for pair in combinations(sorted(one.answers), 2):
            texts_of[pair].append(one)
    for (first, second), texts in sorted(texts_of.items()):
        only = [AnsweredText(one.text_id, one.text, {p: one.answers[p] for p in (first, second)}) for one in texts]
        both = [[unit[first], unit[second]] for unit in units if first in unit and second in unit]
        yield PairAgreement(first, second, len(texts), _f1(only), krippendorff_alpha(both))


def _label(label: str, shared: Sequence[AnsweredText], units: Sequence[Mapping[int, str]]) -> LabelAgreement:
    counts = _count(shared, label=label)
    given = [[value if value == label else OUTSIDE for value in unit.values()] for unit in units]
    spans = sum(len({s for spans in one.answers.values() for s in spans if s.label == label}) for one in shared)
    return LabelAgreement(label, spans, counts.f1, krippendorff_alpha(given))


def _ask_again(shared: Sequence[AnsweredText]) -> list[AskAgain]:
    found = []
    for one in shared:
        backers = Counter(one.answers.values())
        if len(backers) > 1:
            f1 = _f1([one])
            most = max(backers.values())
            majority = [spans for spans, number in backers.items() if number == most]
            outvoted = () if len(majority) > 1 else tuple(p for p, s in sorted(one.answers.items()) if s != majority[0])
            found.append(AskAgain(one.text_id, f1 or 0.0, outvoted))
    return sorted(found, key=lambda ask: (ask.f1, ask.text_id))
