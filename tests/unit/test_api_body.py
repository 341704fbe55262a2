"""Bodies: strict JSON in UTF-8, or a refusal that says where."""

from __future__ import annotations

import pytest

from config.errors import MalformedBody, UnsupportedMediaType
from ml_backend.api.body import check_encoding, check_json_type, parse_json


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{", "not JSON"),
        (b"", "not JSON"),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b'{"a": [-Infinity]}', "-Infinity is not JSON"),
        (b'{"a": 1e999}', "too large"),
        (b'{"a": ' + b"1" * 5000 + b"}", "number that cannot be read: .* has 5000 digits$"),
        (b'"\xff"', "not UTF-8 at byte 1"),
        (b'"\xed\xa0\x80"', "not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b'\xef\xbb\xbf{"a": 1}', "not JSON"),
        (b'{"a": "\x01"}', "not JSON"),
        (b'[{"a": 1, "b": 2, "a": 3}]', "names 'a' twice"),
    ],
)
def test_api_body_that_is_not_json_is_refused(body: bytes, reason: str) -> None:
    """What is not JSON, holds NaN or is not UTF-8 is refused with the reason, and without its content."""
    with pytest.raises(MalformedBody, match=reason):
        parse_json(body)


def test_api_body_is_read_as_it_is() -> None:
    """Any other JSON is read, escapes and large whole numbers included."""
    assert parse_json(b'{"a": ["\\u00e9", 12345678901234567890, 1.5]}') == {"a": ["é", 12345678901234567890, 1.5]}


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8", "application/ld+json"])
def test_api_body_of_json_is_taken(kind: str) -> None:
    """JSON is JSON, with parameters and in any case."""
    check_json_type(kind)


def test_api_body_that_is_packed_is_refused() -> None:
    """A body is read as it comes, so that its size is what it says."""
    check_encoding("Identity")
    with pytest.raises(UnsupportedMediaType, match="'gzip'; send the body as it is"):
        check_encoding("gzip")


@pytest.mark.parametrize("kind", ["", "text/json", "application/x-www-form-urlencoded", "json"])
def test_api_body_of_another_type_is_refused(kind: str) -> None:
    """The refusal says what to send."""
    with pytest.raises(UnsupportedMediaType, match="application/json"):
        check_json_type(kind)
