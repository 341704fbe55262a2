"""What is taken for what: gold labels against predicted ones, with what was missed and what was made up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence

from training.spans import Span

MISSED = "missed"
SPURIOUS = "spurious"

Table = dict[str, dict[str, int]]


def confuse(gold: Sequence[Collection[Span]], predicted: Sequence[Collection[Span]]) -> Table:
    """How many gold spans of each label were given which label; gold "spurious" and predicted "missed" stand for none.

    A gold span meets the predicted one at the same place, else the one that it shares most characters with; each
    meets one at most. What touches nothing is missed, or spurious. Pairs that do not occur are left out.
    """
    counts: Counter[tuple[str, str]] = Counter()
    for wanted, given in zip(gold, predicted, strict=True):
        counts.update(_pair(set(wanted), set(given)))
    table: Table = {}
    for (row, column), count in sorted(counts.items()):
        table.setdefault(row, {})[column] = count
    return table


def _pair(wanted: set[Span], given: set[Span]) -> Iterator[tuple[str, str]]:
    shared = [(_overlap(a, b), a, b) for a in wanted for b in given if _overlap(a, b) > 0]
    # The same place first, then the most characters in common; the rest of the key only makes the order certain.
    shared.sort(key=lambda pair: (_place(pair[1]) != _place(pair[2]), pair[1] != pair[2], -pair[0], pair[1], pair[2]))
    met_gold: set[Span] = set()
    met_given: set[Span] = set()
    for _, a, b in shared:
        if a not in met_gold and b not in met_given:
            met_gold.add(a)
            met_given.add(b)
            yield a.label, b.label
    yield from ((span.label, MISSED) for span in wanted - met_gold)
    yield from ((SPURIOUS, span.label) for span in given - met_given)


def _overlap(a: Span, b: Span) -> int:
    return min(a.end, b.end) - max(a.start, b.start)


def _place(span: Span) -> tuple[int, int]:
    return span.start, span.end
