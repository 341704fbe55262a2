"""Pattern recognizers for what follows rules: e-mail addresses, card numbers, IBANs, social security numbers.

They are presidio-analyzer's, driven one by one, without its engine: offline, checksums in force, each found entity
mapped to a leaf of the project. What a recognizer itself calls weak needs one of its context words near by, as in
presidio's own engine, which would want a whole NLP pipeline for that.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from training.intervals import Taken
from training.prediction.recognizers import load_recognizers
from training.spans import ScoredSpan
from training.taxonomy import Taxonomy

# presidio's own figures for its context enhancer.
CONTEXT_BOOST = 0.35
CONTEXT_FLOOR = 0.4
CONTEXT_WORDS = 5
# What scores lower needs a context word: nine digits in a row are no social security number by themselves.
THRESHOLD = 0.4
VALIDATED = 1.0
# Of nine digits in a row one in ten passes a checksum by chance: what its author calls weaker than this, or a run of
# fewer digits than a card number has, needs a context word all the same.
WEAK_SHAPE = 0.3
LONG_NUMBER = 13
# Looked for whether or not the project has a leaf for them, so that no other pattern takes a part of them.
BLOCKERS = ("CREDIT_CARD", "IBAN_CODE", "US_SSN", "EMAIL_ADDRESS", "IP_ADDRESS")

_WORD = re.compile(r"[^\W_]+")
_CONTEXT_REACH = 120


@dataclass(frozen=True, slots=True)
class PatternMatch:
    """A stretch of text that a recognizer claims, with its own score (0 to 1) for it."""

    start: int
    end: int
    entity: str
    score: float

    @property
    def validated(self) -> bool:
        """Whether a checksum or a like proof backs the match."""
        return self.score >= VALIDATED

    @property
    def rank(self) -> tuple[float, int, int, str]:
        """Sort key, best first: score, length, place, name."""
        return (-self.score, self.start - self.end, self.start, self.entity)


def default_pattern_mapping(language: str, taxonomy: Taxonomy) -> dict[str, str]:
    """Which entity of which recognizer is which leaf: by the leaf's name or one of its other names."""
    leaves = {entity: taxonomy.resolve(entity) for entity in load_recognizers(language)}
    return {entity: leaf for entity, leaf in sorted(leaves.items()) if leaf is not None}


class PatternMatcher:
    """Finds the spans of the mapped entities in texts of one language."""

    def __init__(self, language: str, mapping: Mapping[str, str]) -> None:
        """`mapping` goes from a recognizer's entity to a leaf; entities that no recognizer knows are left alone."""
        self._mapping = dict(mapping)
        known = load_recognizers(language) if mapping else {}
        wanted = [name for name in known if name in mapping]
        self._recognizers = {
            name: known[name] for name in dict.fromkeys([*wanted, *BLOCKERS]) if wanted and name in known
        }
        self.leaves = frozenset(mapping[name] for name in wanted)

    def find(self, text: str) -> tuple[ScoredSpan, ...]:
        """The spans found, in order, without overlaps; scores are the recognizers' own."""
        matches: list[PatternMatch] = []
        for entity, recognizer in self._recognizers.items():
            matches += _matches(text, entity, recognizer)
        kept = _best_of_overlapping(matches)
        return tuple(
            ScoredSpan(match.start, match.end, self._mapping[match.entity], match.score, "pattern")
            for match in sorted(kept, key=lambda m: m.start)
            if match.entity in self._mapping
        )


def _matches(text: str, entity: str, recognizer: Any) -> list[PatternMatch]:
    context = _context_pattern(tuple(recognizer.context or ()))
    found = []
    for result in recognizer.analyze(text, [entity]):
        start, end = _trim(text, result.start, result.end)
        if start >= end or _cuts_a_word(text, start) or _cuts_a_word(text, end):
            continue
        bare = text[start:end].isdigit() and end - start < LONG_NUMBER
        score = _score(result, bare=bare, in_context=_has_context(text, start, context))
        if score >= THRESHOLD:
            found.append(PatternMatch(start, end, entity, score))
    return found


def _score(result: Any, *, bare: bool, in_context: bool) -> float:
    """The recognizer's score, raised by a context word; a checksum on a weak shape proves nothing without one."""
    score = float(result.score)
    if score < VALIDATED:
        return min(max(score + CONTEXT_BOOST, CONTEXT_FLOOR), 0.99) if in_context else score
    shape = float(result.analysis_explanation.original_score) if result.analysis_explanation else VALIDATED
    weak = bare or shape < WEAK_SHAPE
    return min(shape, WEAK_SHAPE) if weak and not in_context else VALIDATED


def _cuts_a_word(text: str, place: int) -> bool:
    return 0 < place < len(text) and text[place - 1].isalnum() and text[place].isalnum()


@lru_cache(maxsize=256)
def _context_pattern(words: tuple[str, ...]) -> re.Pattern[str] | None:
    """Matches the beginning of a context word of four letters or more, and shorter ones whole."""
    forms = [re.escape(word.strip()) + ("" if len(word.strip()) >= 4 else r"\b") for word in words if word.strip()]
    return re.compile(rf"\b(?:{'|'.join(forms)})", re.IGNORECASE) if forms else None


def _has_context(text: str, start: int, pattern: re.Pattern[str] | None) -> bool:
    if pattern is None:
        return False
    before = text[max(0, start - _CONTEXT_REACH) : start]
    words = list(_WORD.finditer(before))
    if not words:
        return False
    return pattern.search(before, words[max(0, len(words) - CONTEXT_WORDS)].start()) is not None


def _trim(text: str, start: int, end: int) -> tuple[int, int]:
    piece = text[start:end]
    return start + len(piece) - len(piece.lstrip()), end - len(piece) + len(piece.rstrip())


def _best_of_overlapping(matches: Iterable[PatternMatch]) -> list[PatternMatch]:
    taken = Taken()
    return [match for match in sorted(set(matches), key=lambda m: m.rank) if taken.take(match.start, match.end)]
