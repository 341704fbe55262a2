"""The honest slice: texts that come up by chance and not by their scores, so that figures from them can be trusted."""

from __future__ import annotations

from hashlib import blake2b

from training.splits import Part


def draw(text_hash: str, seed: int) -> float:
    """A number (0 to 1, 1 exclusive) that a text draws; the same for the same seed, for ever."""
    drawn = blake2b(f"queue:{seed}:{text_hash}".encode(), digest_size=8).digest()
    return int.from_bytes(drawn, "little") / 2**64


def in_slice(text_hash: str, part: Part, *, share: float, seed: int) -> bool:
    """Whether a text comes up by chance and not by its score: every test text, and a random share of the others."""
    if share <= 0 or part is Part.SET_ASIDE:
        return False
    return part is Part.TEST or draw(text_hash, seed) < share
