"""Count how many test texts come from a template that training texts come from too, under two ways to split.

    python -m benchmarks.near_duplicates train.jsonl dev.jsonl test.jsonl --seeds 5

Each line of the files is {"text", "meta": {"template_id"}}. All texts are pooled, shuffled by the seed and split anew:
by near-duplicate group, as a project does with what comes in, and by a plain hash of the text. Templates are only
looked at for counting. One JSON object goes to standard output.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from training.spans import hash_text
from training.splits import Group, Part, assign, band_keys, part_of, sign

TEST, DEV = 0.2, 0.15
Row = tuple[str, Any]
"""A text and its template."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the arguments, count, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args(arguments)
    rows = [row for file in options.files for row in read_rows(file)]
    ways: dict[str, Callable[[Sequence[str], int], list[Part]]] = {
        "near_duplicate_groups": split_by_group,
        "plain_text_hash": split_by_hash,
    }
    found = {
        name: [count_shared(shuffled(rows, seed), way, seed=seed) for seed in range(options.seeds)]
        for name, way in ways.items()
    }
    report = {
        "texts": len(rows),
        "templates": len({template for _, template in rows}),
        **{
            name: {"mean_share": round(mean(one["share"] for one in seeds), 4), "seeds": seeds}
            for name, seeds in found.items()
        },
    }
    json.dump(report, sys.stdout, indent=1)
    sys.stdout.write("\n")


def read_rows(path: Path) -> list[Row]:
    """The texts of a JSONL file with their templates."""
    rows = map(json.loads, path.read_text("utf-8").splitlines())
    return [(row["text"], row["meta"]["template_id"]) for row in rows]


def shuffled(rows: Iterable[Row], seed: int) -> list[Row]:
    """The rows in an order drawn by the seed."""
    order = list(rows)
    random.Random(seed).shuffle(order)
    return order


def split_by_group(texts: Sequence[str], seed: int) -> list[Part]:
    """The part of each text, as a project gives it at first sight, one text after the other."""
    groups: list[Group] = []
    banded: dict[str, list[int]] = {}
    known: dict[str, Part] = {}
    parts = []
    for text in texts:
        text_hash = hash_text(text)
        if text_hash not in known:
            signature = sign(text)
            bands = band_keys(signature)
            near = sorted({at for band in bands for at in banded.get(band, ())})
            found = assign(
                signature,
                [groups[at] for at in near],
                group_key=text_hash,
                seed=seed,
                test_fraction=TEST,
                dev_fraction=DEV,
            )
            known[text_hash] = found.part
            if found.group_id is None and found.part is not Part.SET_ASIDE:
                for band in bands:
                    banded.setdefault(band, []).append(len(groups))
                groups.append(Group(len(groups), found.part, signature))
        parts.append(known[text_hash])
    return parts


def split_by_hash(texts: Sequence[str], seed: int) -> list[Part]:
    """The part of each text by its own hash alone."""
    return [part_of(hash_text(text), seed=seed, test_fraction=TEST, dev_fraction=DEV) for text in texts]


def count_shared(
    rows: Sequence[Row], split: Callable[[Sequence[str], int], list[Part]], *, seed: int
) -> dict[str, float]:
    """How many test texts share a template with a training text."""
    parts = split([text for text, _ in rows], seed)
    trained = {template for (_, template), part in zip(rows, parts, strict=True) if part is Part.TRAIN}
    tested = [template for (_, template), part in zip(rows, parts, strict=True) if part is Part.TEST]
    shared = sum(template in trained for template in tested)
    sizes = Counter(parts)
    return {
        "test_texts": len(tested),
        "sharing_a_template_with_training": shared,
        "share": round(shared / len(tested), 4) if tested else 0.0,
        "train_texts": sizes[Part.TRAIN],
        "set_aside": sizes[Part.SET_ASIDE],
    }


if __name__ == "__main__":
    main()
