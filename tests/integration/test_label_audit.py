"""An audit of a real data set finds labels that were turned into others."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.label_errors import flip, found_within, texts_within
from training.formats.read import read_rows
from training.formats.rows import Row
from training.quality.label_errors import find_doubts

TRAIN = Path(__file__).parents[3] / "shared" / "data" / "btc_en" / "train.jsonl"


def test_label_audit_finds_half_of_the_flipped_labels_first() -> None:
    """With 5 % of the labels wrong, most of these stand in the first tenth, by spans and by texts."""
    if not TRAIN.is_file():
        pytest.skip("the shared data sets are not beside the repository")
    rows = [row for row in read_rows(TRAIN, max_chars=10**6) if isinstance(row, Row)]
    texts, wrong = flip(rows, 0.05, seed=0)
    doubts = find_doubts(texts, seed=0)
    spans = sum(len(one.spans) for one in texts)
    assert found_within(doubts, wrong, spans // 10) > 0.5
    assert texts_within(doubts, wrong, len(texts) // 10) > 0.5
