"""Presidio's pattern recognizers, made ready to run offline: one for each entity that a language has one for."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any

# Regions whose national numbers are understood without a country code; numbers with one are found in any region.
_PHONE_REGIONS = {
    "en": ("US", "GB", "CA", "AU", "IN", "IE", "NZ", "ZA"),
    "de": ("DE", "AT", "CH"),
    "es": ("ES", "MX", "AR", "CO", "CL"),
    "fr": ("FR", "BE", "CH", "CA"),
    "it": ("IT", "CH"),
    "nl": ("NL", "BE"),
    "pt": ("PT", "BR"),
    "sv": ("SE", "FI"),
    "da": ("DK",),
    "el": ("GR",),
    "ja": ("JP",),
    "ko": ("KR",),
    "uk": ("UA",),
    "zh": ("CN", "TW", "HK", "SG"),
}
BARE_DIGITS = 0.3
_ENOUGH_DIGITS = re.compile(r"\d(?:[^\w\n]{0,3}\d){6}")
_DIGITS_BEFORE = re.compile(r"\d[-.\s/]?$")
_DIGITS_AFTER = re.compile(r"^[-.\s/]?\d")


@lru_cache(maxsize=16)
def load_recognizers(language: str) -> Mapping[str, Any]:
    """Entity name to recognizer: the international ones, and those of the countries where the language is spoken.

    A multi-language project (`xx`) has them all. The import takes a second or two and happens at the first call.
    """
    from presidio_analyzer import PatternRecognizer, predefined_recognizers

    found: dict[str, Any] = {}
    for name in sorted(vars(predefined_recognizers)):
        kind = getattr(predefined_recognizers, name)
        if not (isinstance(kind, type) and issubclass(kind, PatternRecognizer) and kind is not PatternRecognizer):
            continue
        recognizer = kind()
        if _fits(recognizer, language):
            found[recognizer.supported_entities[0]] = recognizer
    found["EMAIL_ADDRESS"].validate_result = _suffix_check()
    found["PHONE_NUMBER"] = PhoneNumbers(language)
    return MappingProxyType(found)


def _fits(recognizer: Any, language: str) -> bool:
    international = recognizer.COUNTRY_CODE is None
    return bool(international or language in ("xx", recognizer.supported_language))


def _suffix_check() -> Callable[[str], bool]:
    """Checks an address's domain by the suffix list inside the package; presidio's own would download one."""
    import tldextract

    extract = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)

    def has_known_suffix(address: str) -> bool:
        return bool(extract(address).fqdn)

    return has_known_suffix


class PhoneNumbers:
    """Presidio's phone recognizer for the regions of one language, kept from biting into longer runs of digits."""

    def __init__(self, language: str) -> None:
        from phonenumbers import SUPPORTED_REGIONS
        from presidio_analyzer.predefined_recognizers import PhoneRecognizer

        own = (
            (language.upper(),) if language.upper() in SUPPORTED_REGIONS else PhoneRecognizer.DEFAULT_SUPPORTED_REGIONS
        )
        self._inner = PhoneRecognizer(supported_regions=_PHONE_REGIONS.get(language, own))
        self.context = self._inner.context

    def analyze(self, text: str, entities: list[str]) -> list[Any]:
        """The recognizer's results, in presidio's form."""
        if not _ENOUGH_DIGITS.search(text):
            return []
        results = [result for result in self._inner.analyze(text, entities) if _stands_alone(text, result)]
        for result in results:
            # A bare run of digits is a phone number no more often than an order number: it needs a context word.
            if text[result.start : result.end].isdigit():
                result.score = BARE_DIGITS
        return results


def _stands_alone(text: str, result: Any) -> bool:
    before, after = text[max(0, result.start - 2) : result.start], text[result.end : result.end + 2]
    return not (_DIGITS_BEFORE.search(before) or _DIGITS_AFTER.search(after))
