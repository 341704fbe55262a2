"""Tokens that fit the labels: where gold spans cut through a language's tokens, a tokenizer that cuts finer.

A recognizer says yes or no to whole tokens, so a span inside of one can be neither learnt nor found. Rules of natural
language keep codes together ("ID:A-42x/7" is one token of English); the finer tokenizer parts them at every
boundary between letters, digits and punctuation. It is spaCy's own, with other rules, and is saved with the model.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from spacy.tokenizer import Tokenizer

from training.learning.corpus import Example, is_aligned

OWN = "own"
BOUNDARIES = "boundaries"
# More of the gold spans than this must lie on whole tokens, or the finer tokenizer is taken.
WANTED_SHARE = 0.995

_LETTER, _DIGIT, _OTHER = r"[^\W\d_]", r"\d", r"[\W_]"
_BOUNDARY = re.compile(
    rf"(?<={_OTHER})|(?={_OTHER})|(?<={_DIGIT})(?={_LETTER})|(?<={_LETTER})(?={_DIGIT})",
)
# None would be saved as nothing, and read back as the language's own rule.
_NEVER = re.compile(r"(?!)")


@dataclass(frozen=True, slots=True)
class Fit:
    """How many of the gold spans lie on whole tokens."""

    spans: int
    aligned: int

    @property
    def share(self) -> float:
        """The share of spans that lie on whole tokens; 1 where there are none."""
        return self.aligned / self.spans if self.spans else 1.0


def choose_tokenizer(nlp: Any, train: Sequence[Example], *, on_step: Callable[[], None] = lambda: None) -> str:
    """Give the pipeline the tokenizer that fits the training texts' spans, and say which: "own" or "boundaries".

    Its own stays where 99.5 % of the spans lie on whole tokens of it, where the finer one fits no better, and for
    languages whose tokens do not come from rules (Chinese, Japanese, Thai …). What `on_step` raises, text by text,
    ends it.
    """
    own = nlp.tokenizer
    if not isinstance(own, Tokenizer):
        return OWN
    before = measure_fit(nlp, train, on_step=on_step)
    if before.share >= WANTED_SHARE:
        return OWN
    nlp.tokenizer = cut_at_boundaries(nlp)
    if measure_fit(nlp, train, on_step=on_step).aligned > before.aligned:
        return BOUNDARIES
    nlp.tokenizer = own
    return OWN


def cut_at_boundaries(nlp: Any) -> Tokenizer:
    """A tokenizer that parts at white space, around each punctuation mark, and between letters and digits."""
    return Tokenizer(
        nlp.vocab,
        rules={},  # the languages' exceptions ("y.", ":/") would join again what was parted
        prefix_search=_NEVER.search,
        suffix_search=_NEVER.search,
        infix_finditer=_BOUNDARY.finditer,
        token_match=_NEVER.match,
        url_match=_NEVER.match,
    )


def measure_fit(nlp: Any, examples: Iterable[Example], *, on_step: Callable[[], None] = lambda: None) -> Fit:
    """Count the gold spans, and those of them that lie on whole tokens."""
    spans = aligned = 0
    for example in examples:
        on_step()
        if not example.spans:
            continue
        doc = nlp.tokenizer(example.text)
        spans += len(example.spans)
        aligned += sum(is_aligned(doc, span) for span in example.spans)
    return Fit(spans, aligned)
