from __future__ import annotations

import logging
import socket
import time
from itertools import pairwise

import pytest

from training.prediction.patterns import PatternMatcher, default_pattern_mapping
from training.taxonomy import Label, Taxonomy, load_taxonomy

KNOWN = load_taxonomy(None)


@pytest.fixture(scope="module")
def matcher() -> PatternMatcher:
    return PatternMatcher("en", default_pattern_mapping("en", KNOWN))


def found(matcher: PatternMatcher, text: str) -> list[tuple[str, str]]:
    return [(text[span.start : span.end], span.label) for span in matcher.find(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("write to jane.roe+x@mail.example.co.uk!", [("jane.roe+x@mail.example.co.uk", "EMAIL_ADDRESS")]),
        ("my card is 4012 8888 8888 1881 thanks", [("4012 8888 8888 1881", "CREDIT_CARD")]),
        ("IBAN DE89 3704 0044 0532 0130 00.", [("DE89 3704 0044 0532 0130 00", "IBAN_CODE")]),
        ("from 192.168.17.4 and 2001:db8::1", [("192.168.17.4", "IP_ADDRESS"), ("2001:db8::1", "IP_ADDRESS")]),
        ("his SSN is 536-22-8726.", [("536-22-8726", "SSN")]),
        ("call me at (212) 555-0143 today", [("(212) 555-0143", "PHONE_NUMBER")]),
        ("ring +44 20 7946 0958", [("+44 20 7946 0958", "PHONE_NUMBER")]),
        ("born 1984-04-27 in", [("1984-04-27", "DATE_TIME")]),
        ("bitcoin 1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", [("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "CRYPTO")]),
        ("see https://www.example.com/a?b=1", [("https://www.example.com/a?b=1", "URL")]),
        ("my passport number is 912803456", [("912803456", "PASSPORT")]),
        ("device 00:1B:44:11:3A:B7", [("00:1B:44:11:3A:B7", "DEVICE_ID")]),
    ],
)
def test_patterns_find_what_follows_rules(matcher: PatternMatcher, text: str, expected: list[tuple[str, str]]) -> None:
    """Addresses, numbers and codes are found with their exact ends, under the project's leaf."""
    assert found(matcher, text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "card 4012888888881882",  # wrong checksum
        "IBAN DE89370400440532013001",  # wrong checksum
        "SSN 666-12-3456",  # a range that is never given out
        "mail jane@host.nosuchsuffix",  # no such domain
        "address 999.168.17.4",
        "order 536228726 has shipped",  # nine digits mean nothing by themselves
        "item 912803456",
        "row 2125550143, 2125550199",  # could be phone numbers, could be anything
        "invoice 100200300 of 3000 pieces",  # passes the checksum of an Australian tax number
        "",
        "no numbers here at all",
    ],
)
def test_patterns_leave_alone_what_a_check_or_its_words_speak_against(matcher: PatternMatcher, text: str) -> None:
    """A failed checksum, an impossible range, or a weak match without a word that explains it shows nothing."""
    assert found(matcher, text) == []


def test_patterns_weak_alone_are_found_beside_their_words(matcher: PatternMatcher) -> None:
    """A number that could be anything becomes a find where a context word stands shortly before it."""
    assert found(matcher, "social security number: 536228726") == [("536228726", "SSN")]
    assert found(matcher, "tax file number 100200300") == [("100200300", "TAX_ID")]
    assert found(matcher, "phone 2125550143") == [("2125550143", "PHONE_NUMBER")]
    far = "my social security card was lost in the big fire of the old house with order 536228726"
    assert found(matcher, far) == []


def test_patterns_take_no_phone_number_out_of_a_longer_one() -> None:
    """No card, social security number or longer run of digits holds a phone number, in a project without those too."""
    taxonomy = Taxonomy((Label("PHONE_NUMBER", "PII"),))
    phones = PatternMatcher("en", default_pattern_mapping("en", taxonomy))
    assert found(phones, "card 4012 8888 8888 1881, SSN 536-22-8726") == []
    assert found(phones, "serial 99-212-555-0143-77-1234567") == []
    assert found(phones, "phone 212-555-0143") == [("212-555-0143", "PHONE_NUMBER")]


def test_patterns_serve_only_what_the_taxonomy_names() -> None:
    """A recognizer works for a project when one of its leaves goes by the name of what it finds."""
    taxonomy = Taxonomy((Label("MAIL", "PII", aliases=("email_address",)), Label("US_SSN", "PII")))
    mapping = default_pattern_mapping("en", taxonomy)
    assert mapping == {"EMAIL_ADDRESS": "MAIL", "US_SSN": "US_SSN"}
    text = "a@example.com 4012888888881881 SSN 536-22-8726"
    assert [label for _, label in found(PatternMatcher("en", mapping), text)] == ["MAIL", "US_SSN"]


def test_patterns_of_a_country_come_with_its_language() -> None:
    """German projects have German recognizers, all have the international ones, and `xx` has everything."""
    german, many = default_pattern_mapping("de", KNOWN), default_pattern_mapping("xx", KNOWN)
    assert {"DE_TAX_ID", "IBAN_CODE", "PHONE_NUMBER"} <= set(german)
    assert "US_SSN" not in german
    assert {"DE_TAX_ID", "US_SSN", "ES_NIF"} <= set(many)
    matcher = PatternMatcher("de", german)
    assert found(matcher, "Telefon 030 901820") == [("030 901820", "PHONE_NUMBER")]


def test_patterns_ask_no_network_and_log_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Checking an e-mail address downloads no list of domains, and says nothing of it in the log."""

    def refuse(*_args: object, **_kwargs: object) -> None:
        raise AssertionError("a pattern went to the network")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with caplog.at_level(logging.DEBUG):
        matcher = PatternMatcher("en", default_pattern_mapping("en", KNOWN))
        assert found(matcher, "a@example.com") == [("a@example.com", "EMAIL_ADDRESS")]
    assert not [record for record in caplog.records if record.levelno >= logging.INFO]
    assert "a@example.com" not in caplog.text


def test_patterns_never_overlap_and_hold_no_white_space(matcher: PatternMatcher) -> None:
    """Where recognizers claim the same characters one of them wins, and spans end at their text."""
    text = "mail https://a@example.com/536-22-8726 4012888888881881 (212) 555-0143\n2001:db8::1 "
    spans = matcher.find(text)
    for one, other in pairwise(spans):
        assert one.end <= other.start
    assert all(text[span.start : span.end] == text[span.start : span.end].strip() for span in spans)
    assert all(0 < span.score <= 1 for span in spans)


def test_patterns_read_a_long_run_of_digits_in_time(matcher: PatternMatcher) -> None:
    """A window full of digits, the worst there is, takes seconds at most."""
    started = time.monotonic()
    matcher.find("1234567890 " * 360)
    matcher.find("1" * 4000)
    assert time.monotonic() - started < 20
