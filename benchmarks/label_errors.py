"""How many wrong labels an audit finds: some labels of a gold file are turned into others, and looked for.

`python -m benchmarks.label_errors FILE.jsonl`: rows of {"text", "spans": [{"start", "end", "label"}]}.
"""

from __future__ import annotations

import argparse
import random
import time
from pathlib import Path

from training.formats.read import read_rows
from training.formats.rows import Row
from training.quality.label_errors import AuditedText, Doubt, DoubtKind, find_doubts
from training.spans import Span

Wrong = set[tuple[int, Span]]


def flip(rows: list[Row], share: float, *, seed: int) -> tuple[list[AuditedText], Wrong]:
    """The texts with this share of their spans' labels turned into others, and which spans those are."""
    rng = random.Random(seed)
    spans = [[Span(s.start, s.end, s.label) for s in row.spans or ()] for row in rows]
    labels = sorted({span.label for some in spans for span in some})
    places = [(n, k) for n, some in enumerate(spans) for k in range(len(some))]
    wrong: Wrong = set()
    for number, place in rng.sample(places, round(len(places) * share)):
        old = spans[number][place]
        new = Span(old.start, old.end, rng.choice([label for label in labels if label != old.label]))
        spans[number][place] = new
        wrong.add((number, new))
    texts = [
        AuditedText(row.text, tuple(sorted(some)), n) for n, (row, some) in enumerate(zip(rows, spans, strict=True))
    ]
    return texts, wrong


def found_within(doubts: list[Doubt], wrong: Wrong, most: int) -> float:
    """The share of wrong spans among the first doubts."""
    return sum((doubt.text, doubt.span) in wrong for doubt in doubts[:most]) / len(wrong)


def texts_within(doubts: list[Doubt], wrong: Wrong, most: int) -> float:
    """The share of texts with a wrong span among the first texts of the ranking."""
    order = list(dict.fromkeys(doubt.text for doubt in doubts))[:most]
    wanted = {number for number, _ in wrong}
    return len(wanted & set(order)) / len(wanted)


def main() -> None:
    """Flip, audit, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("file", type=Path, help="gold file (.jsonl)")
    parser.add_argument("--share", type=float, default=0.05, help="share of the spans whose label is flipped")
    parser.add_argument("--seeds", type=int, default=2, help="how many times, each with a seed of its own")
    arguments = parser.parse_args()
    rows = [row for row in read_rows(arguments.file, max_chars=10**6) if isinstance(row, Row)]
    print("seed  texts  spans  flipped  doubts  of annotated  spans 10 %  texts 10 %  seconds")  # noqa: T201
    for seed in range(arguments.seeds):
        texts, wrong = flip(rows, arguments.share, seed=seed)
        spans = sum(len(one.spans) for one in texts)
        started = time.perf_counter()
        doubts = find_doubts(texts, seed=seed)
        seconds = time.perf_counter() - started
        on_spans = [doubt for doubt in doubts if doubt.kind is not DoubtKind.MISSING]
        print(  # noqa: T201
            f"{seed:>4} {len(texts):>6} {spans:>6} {len(wrong):>8} {len(doubts):>7} {len(on_spans):>13} "
            f"{found_within(doubts, wrong, spans // 10):>11.3f} {texts_within(doubts, wrong, len(texts) // 10):>11.3f} "
            f"{seconds:>8.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
