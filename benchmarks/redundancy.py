"""How alike the texts are that come up one after the other: at random, by score alone, with clusters.

`python -m benchmarks.redundancy FILE.jsonl --language en`: scores are those of a new project's version 0, and Label
Studio's order is followed: least solved cluster first, within it the lowest score. For each of the first texts the
similarity to the most alike one before it is taken (cosine of hashed n-grams), and whether it is its near-duplicate
(their signatures share half of their features).
"""

from __future__ import annotations

import argparse
import heapq
import random
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ml_backend.projects import default_base
from training.formats.read import read_rows
from training.formats.rows import Row
from training.prediction.pipeline import base_spec, load_pipeline
from training.queue.clusters import find_centres, nearest, vectorize
from training.queue.order import CLUSTERS, Place, Waiting, order_queue
from training.spans import hash_text
from training.splits import SAME, Part, band_keys, sign, similarity
from training.taxonomy import load_taxonomy, taxonomy_of


def serve(places: Sequence[Place], count: int) -> list[int]:
    """The first tasks that Label Studio serves a single annotator."""
    lines: dict[int | None, list[tuple[float, int]]] = defaultdict(list)
    for place in places:
        heapq.heappush(lines[place.cluster], (place.queue_score, place.task_id))
    solved: dict[int | None, int] = defaultdict(int)
    served: list[int] = []
    while len(served) < count and any(lines.values()):
        cluster = min((c for c in lines if lines[c]), key=lambda c: (solved[c], lines[c][0]))
        served.append(heapq.heappop(lines[cluster])[1])
        solved[cluster] += 1
    return served


def measure(texts: Sequence[str]) -> tuple[float, float, float]:
    """Mean and 90th percentile of each text's similarity to the most alike one before it; share of near-duplicates."""
    rows = vectorize(texts)
    alike = np.asarray((rows @ rows.T).todense())
    best = [float(alike[n, :n].max()) for n in range(1, len(texts))]
    signatures = [sign(text) for text in texts]
    near = [any(similarity(signatures[n], other) >= SAME for other in signatures[:n]) for n in range(1, len(texts))]
    return float(np.mean(best)), float(np.percentile(best, 90)), float(np.mean(near))


def group(texts: Sequence[str]) -> list[int]:
    """Each text's near-duplicate group: that of the first text before it that it is a near-duplicate of."""
    groups: list[int] = []
    by_band: dict[str, list[int]] = defaultdict(list)
    signatures = [sign(text) for text in texts]
    for number, signature in enumerate(signatures):
        bands = band_keys(signature)
        near = sorted({other for band in bands for other in by_band[band]})
        found = (groups[other] for other in near if similarity(signatures[other], signature) >= SAME)
        groups.append(next(found, number))
        for band in bands:
            by_band[band].append(number)
    return groups


def main() -> None:
    """Score, order, serve, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("file", type=Path, help="texts (.jsonl with spans, of which the labels are taken)")
    parser.add_argument("--language", default="en", help="language of the texts (en)")
    parser.add_argument("--texts", type=int, default=3000, help="texts of the pool, drawn from the file (3000)")
    parser.add_argument("--served", type=int, nargs="+", default=[50, 200], help="how many are looked at (50 200)")
    arguments = parser.parse_args()
    rows = [row for row in read_rows(arguments.file, max_chars=10**6) if isinstance(row, Row)]
    random.Random(0).shuffle(rows)
    texts = list(dict.fromkeys(row.text for row in rows))[: arguments.texts]
    labels = sorted({span.label for row in rows for span in row.spans or ()})
    spec = base_spec(default_base(arguments.language), arguments.language, taxonomy_of(labels, load_taxonomy(None)))
    scores = [prediction.score for prediction in load_pipeline(spec, None).predict(texts)]
    clusters = nearest(texts, find_centres(texts, CLUSTERS, seed=0))

    groups = group(texts)

    def order(clustered: int, *, sink: bool = False) -> list[Place]:
        waiting = (
            Waiting(
                task_id=n,
                text_hash=hash_text(text),
                part=Part.TRAIN,
                score=scores[n],
                cluster=clusters[n] + 1 if clustered else None,
                group=groups[n] if sink else None,
            )
            for n, text in enumerate(texts)
        )
        return order_queue(waiting, share=0.0, seed=0, clustered=clustered)

    most = max(arguments.served)
    ways = {
        "at random": random.Random(1).sample(range(len(texts)), most),
        "by score alone": serve(order(0), most),
        "duplicates sunk": serve(order(0, sink=True), most),
        "with clusters": serve(order(most * 2), most),
        "with both": serve(order(most * 2, sink=True), most),
    }
    sys.stdout.write(f"{'served':<20}{'texts':>6}{'mean':>8}{'90th':>8}{'near-duplicates':>17}\n")
    for name, served in ways.items():
        for count in arguments.served:
            mean, high, near = measure([texts[n] for n in served[:count]])
            sys.stdout.write(f"{name:<20}{count:>6}{mean:>8.3f}{high:>8.3f}{near:>17.3f}\n")


if __name__ == "__main__":
    main()
