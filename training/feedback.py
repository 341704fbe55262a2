"""What annotations say: was the pre-label right, which spans hold, is the text verified. Pure rules (4 and 5)."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from training.spans import Span


@dataclass(frozen=True, slots=True)
class Vote:
    """One standing annotation of a text: neither deleted nor a skip."""

    annotation_id: int
    contributor_id: int | None
    spans: tuple[Span, ...]
    ground_truth: bool
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Resolution:
    """What a text's annotations come to; `conflict` is a sentence where annotators differ."""

    verified: bool
    chosen: Vote
    conflict: str | None


def judge_correct(submitted: Collection[Span], shown: Collection[Span] | None, *, was_cancelled: bool) -> bool | None:
    """Whether the annotator left the shown spans as they were; None where nothing was shown or the task was skipped.

    Compares sets of (start, end, leaf).
    """
    if was_cancelled or shown is None:
        return None
    return set(submitted) == set(shown)


def count_edits(submitted: Collection[Span], shown: Collection[Span]) -> int:
    """How many spans the annotator added or took away; a moved or relabelled span counts as one."""
    added, removed = set(submitted) - set(shown), set(shown) - set(submitted)
    return max(len(added), len(removed))


def revision_of(spans: Collection[Span], *, was_cancelled: bool, ground_truth: bool) -> str:
    """A hash of what an annotation says; it changes when, and only when, its content does."""
    content = [sorted([s.start, s.end, s.label] for s in spans), was_cancelled, ground_truth]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def example_revision(spans: Collection[Span], *, verified: bool) -> str:
    """A hash of what would be trained on; incorporation is recorded against it."""
    content = [sorted([s.start, s.end, s.label] for s in spans), verified]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def resolve(votes: Sequence[Vote], *, needed: int | None) -> Resolution | None:
    """The spans a text's annotations come to, and whether they count as verified.

    `needed` is how many annotators must submit the same spans; None: only the star of a ground truth verifies.
    Conflicts go by ground truth, then by the number of annotators who agree on the exact spans, then to the newest.
    None where nobody stands by the text.
    """
    if not votes:
        return None
    backers = _count_backers(votes)
    chosen = max(votes, key=lambda v: (v.ground_truth, backers[frozenset(v.spans)], v.updated_at, v.annotation_id))
    verified = _is_verified(chosen, backers[frozenset(chosen.spans)], needed)
    return Resolution(verified, chosen, _describe_conflict(chosen, backers))


def _count_backers(votes: Sequence[Vote]) -> Counter[frozenset[Span]]:
    # A person who annotated a text twice backs it once.
    people = {(frozenset(v.spans), v.contributor_id or -v.annotation_id) for v in votes}
    return Counter(spans for spans, _ in people)


def _is_verified(chosen: Vote, backers: int, needed: int | None) -> bool:
    return chosen.ground_truth or (needed is not None and backers >= needed)


def _describe_conflict(chosen: Vote, backers: Counter[frozenset[Span]]) -> str | None:
    if len(backers) < 2:
        return None
    why = "it is starred" if chosen.ground_truth else f"{backers[frozenset(chosen.spans)]} stand by it"
    return f"{len(backers)} different answers; annotation {chosen.annotation_id} is taken, since {why} or it is newest"
