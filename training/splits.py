"""Which part a text belongs to, settled by the text alone: near-duplicates share one, for ever (rule 6).

A signature is stored and compared for as long as its project lives. Whatever changes the bytes that `sign` returns
for a text, or the keys of `band_keys`, needs a new VERSION and reading of the old one.
"""

from __future__ import annotations

import re
import struct
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from hashlib import blake2b
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from config.errors import InvalidInput

VERSION = 1
SAME = 0.5
SKETCH_SIZE = 128
BANDS, ROWS = 32, 4
LONGEST_READ = 100_000
LONGEST_NORMALIZED = 1_000

# Scripts that put no space between words: kana and Han, where two characters say about as much as a word; and Thai,
# Lao, Myanmar and Khmer, where it takes four.
_DENSE = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_SPARSE = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
_LETTERS = rf"[^\W_{_DENSE}{_SPARSE}]+"
_WORD = re.compile(rf"([{_DENSE}]+)|([{_SPARSE}]+)|({_LETTERS}(?:['’]{_LETTERS})*)(\s*:)?")
_DIGIT = re.compile(r"\d")


class Part(StrEnum):
    """What a text may be used for: to train, to steer training and join its end, to judge a model, or nothing."""

    TRAIN = "train"
    DEV = "dev"
    TEST = "test"
    SET_ASIDE = "set_aside"


@dataclass(frozen=True, slots=True)
class Signature:
    """What two texts have in common without their fillings: up to 128 of the smallest 32-bit hashes, ascending."""

    hashes: tuple[int, ...]

    def to_bytes(self) -> bytes:
        """A byte of version, then the hashes as little-endian 32-bit numbers: at most 513 bytes."""
        return struct.pack(f"<B{len(self.hashes)}I", VERSION, *self.hashes)

    @classmethod
    def from_bytes(cls, stored: bytes) -> Signature:
        """The signature of these bytes. Raises InvalidInput where another version wrote them."""
        if not stored or stored[0] != VERSION or len(stored) % 4 != 1:
            raise InvalidInput(f"{len(stored)} bytes are no signature of version {VERSION}; was a newer spanloop here?")
        return cls(struct.unpack_from(f"<{len(stored) // 4}I", stored, 1))


@dataclass(frozen=True, slots=True)
class Group:
    """A group of near-duplicates as the store holds it, with the signature of its first text."""

    id: int
    part: Part
    signature: Signature


@dataclass(frozen=True, slots=True)
class Assignment:
    """A new text's group (None: a new one, or none where set aside), its part, and the groups that it bridges."""

    group_id: int | None
    part: Part
    bridges: tuple[int, ...] = ()


def sign(text: str) -> Signature:
    """The signature of a text, in any language; texts of one template have similar ones whatever fills it.

    Features are the words in lower case and the pairs of successive ones. Numbers, codes, addresses of mail and web
    are left out; of capitalized words, which are the likely fillings, only a few count; scripts without spaces give
    pieces of a few characters for words. A text with too little besides counts all its words, or else stands for
    itself.
    """
    text = text[:LONGEST_READ]
    words, pieces, capitalized = _read_words(text)
    if len(words) + len(pieces) > 1:
        features = _pair_up(words) | pieces
        room = -(-len(features) // 4)
        few = sorted(_hash(word) for word in set(capitalized))[:room]
        return Signature(tuple(sorted({*map(_hash, features), *few})[:SKETCH_SIZE]))
    every = re.findall(r"[^\W\d_]+", text.casefold())
    if len(every) > 2:
        return Signature(tuple(sorted(map(_hash, _pair_up(every)))[:SKETCH_SIZE]))
    return Signature((_hash("=" + " ".join(text.casefold().split())),))


def _read_words(text: str) -> tuple[list[str], set[str], list[str]]:
    """The words in lower case, the pieces of scripts without spaces, and the capitalized words.

    A word before a colon names a field and is no filling, however it is written.
    """
    words: list[str] = []
    pieces: set[str] = set()
    capitalized: list[str] = []
    for dense, sparse, word, colon in _WORD.findall(" ".join(_readable(text))):
        if dense:
            pieces.update(_cut(dense, 2))
        elif sparse:
            pieces.update(_cut(sparse, 4))
        elif not _DIGIT.search(word):
            (capitalized if word[0].isupper() and not colon else words).append(word.casefold())
    return words, pieces, capitalized


def _cut(run: str, width: int) -> Iterator[str]:
    return (run[at : at + width] for at in range(max(1, len(run) - width + 1)))


def _readable(text: str) -> Iterator[str]:
    for chunk in text.split():
        # Sorting long runs of combining marks takes quadratic time.
        if not chunk.isascii() and len(chunk) <= LONGEST_NORMALIZED:
            chunk = unicodedata.normalize("NFKC", chunk)
        if not (("@" in chunk and len(chunk) > 1) or "://" in chunk):
            yield chunk


def _pair_up(words: Sequence[str]) -> set[str]:
    return {*words, *(f"{first} {second}" for first, second in pairwise(words))}


def _hash(feature: str) -> int:
    return int.from_bytes(blake2b(feature.encode("utf-8", "surrogatepass"), digest_size=4).digest(), "little")


def band_keys(signature: Signature) -> list[str]:
    """32 keys; similar signatures share at least one (in 87 of 100 cases at 0.5, in 99 at 0.6), others hardly ever.

    Each key is four minima of random orders over the hashes (Broder 1997; Leskovec et al., Mining of Massive
    Datasets, 3.4).
    """
    factors, terms = _orders()
    hashes = np.array(signature.hashes, dtype=np.uint64)
    mixed = factors[:, None] * hashes[None, :] + terms[:, None]
    mixed ^= mixed >> np.uint64(29)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    minima = mixed.min(axis=1).astype("<u8").tobytes()
    width = 8 * ROWS
    return [
        f"{VERSION}.{band}.{blake2b(minima[band * width : (band + 1) * width], digest_size=8).hexdigest()}"
        for band in range(BANDS)
    ]


@lru_cache(maxsize=1)
def _orders() -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """The constants of the random orders, drawn from a hash, so that they stay whatever numpy does."""
    drawn = b"".join(blake2b(f"spanloop order {n}".encode(), digest_size=16).digest() for n in range(BANDS * ROWS))
    numbers = np.frombuffer(drawn, dtype="<u8").reshape(-1, 2).astype(np.uint64)
    return numbers[:, 0] | np.uint64(1), numbers[:, 1]


def similarity(first: Signature, second: Signature) -> float:
    """The share (0 to 1) of features that the two have in common, of all that either has (Jaccard).

    Exact up to 128 features, beyond them estimated from the smallest hashes (Bar-Yossef et al. 2002).
    """
    one, two = set(first.hashes), set(second.hashes)
    either = one | two
    if max(len(one), len(two)) == SKETCH_SIZE:
        either = set(sorted(either)[:SKETCH_SIZE])
    return len(one & two & either) / len(either) if either else 1.0


def part_of(group_key: str, *, seed: int, test_fraction: float, dev_fraction: float) -> Part:
    """The part of a new group, drawn by a hash of its key and the seed; the same arguments give the same part."""
    drawn = blake2b(f"{seed}:{group_key}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    place = int.from_bytes(drawn, "little") / 2**64
    if place < test_fraction:
        return Part.TEST
    return Part.DEV if place >= 1 - dev_fraction else Part.TRAIN


def assign(
    signature: Signature,
    candidates: Iterable[Group],
    *,
    group_key: str,
    seed: int,
    test_fraction: float,
    dev_fraction: float,
) -> Assignment:
    """Where a text that was never seen before belongs.

    `candidates` are the groups that share a band with it. Unlike all of them it starts a group of its own, whose
    part is drawn from `group_key`; like some of one part it joins the most similar, the first of equals; like groups
    of several parts it is set aside, since in either part it would carry the other over.
    """
    alike = [(similarity(signature, group.signature), group) for group in candidates]
    near = sorted((pair for pair in alike if pair[0] >= SAME), key=lambda pair: (-pair[0], pair[1].id))
    parts = {group.part for _, group in near if group.part is not Part.SET_ASIDE}
    if len(parts) > 1:
        return Assignment(None, Part.SET_ASIDE, tuple(sorted(group.id for _, group in near)))
    if not parts:
        part = part_of(group_key, seed=seed, test_fraction=test_fraction, dev_fraction=dev_fraction)
        return Assignment(None, part)
    best = next(group for _, group in near if group.part in parts)
    return Assignment(best.id, best.part)
