"""Import files: what is read, and how each row that cannot be used is reported while the rest goes on."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.errors import InvalidInput, NotFound
from training.formats.csv_table import read_csv_table
from training.formats.json_lines import read_json_lines
from training.formats.read import READERS, collect_labels, read_rows
from training.formats.rows import RejectedRow, Row
from training.formats.text_lines import read_text_lines
from training.spans import Span

MAX_CHARS = 1000


def read(content: bytes | str, suffix: str = ".jsonl") -> list[Row | RejectedRow]:
    """The rows of a file with this content."""
    raw = content.encode() if isinstance(content, str) else content
    return list(READERS[suffix](io.BytesIO(raw), MAX_CHARS))


def line(**record: Any) -> str:
    """A JSON line."""
    return json.dumps(record) + "\n"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, bytes], Path]:
    """A path that opens as this content, whatever lies on disk."""

    def put(name: str, content: bytes) -> Path:
        def open_it(path: Path, mode: str) -> io.BufferedReader:
            return io.BufferedReader(io.BytesIO(content))  # type: ignore[arg-type]

        monkeypatch.setattr(Path, "open", open_it)
        return Path(name)

    return put


def test_formats_text_has_one_text_a_line() -> None:
    """Each line that is not blank is a text; its number, inner and outer spaces stay."""
    assert read("\ufefffirst\r\n\n   \n  second \U0001f600 ", ".txt") == [
        Row(1, "first"),
        Row(4, "  second \U0001f600 "),
    ]


def test_formats_csv_has_a_text_column_and_meta() -> None:
    """The text column is the text, filled other columns are meta; quoted fields may hold line breaks."""
    rows = read('id,text\n7,"one, two\nthree ""four"""\n\n,plain\n', ".csv")
    assert rows == [Row(2, 'one, two\nthree "four"', meta={"id": "7"}), Row(5, "plain")]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_formats_csv_finds_its_delimiter_and_takes_a_byte_order_mark(delimiter: str) -> None:
    """Spreadsheets write semicolons or tabs, and a byte order mark; all are read."""
    assert read(f"\ufefftext{delimiter}id\nhello{delimiter}1\n", ".csv") == [Row(2, "hello", meta={"id": "1"})]


def test_formats_csv_reads_spans_from_json() -> None:
    """A column of spans holds JSON as JSON lines do; an empty one says nothing of spans."""
    rows = read('text,spans\nAda,"[{""start"": 0, ""end"": 3, ""label"": ""PERSON""}]"\nBo,\nCy,[]\n', ".csv")
    assert [row.spans for row in rows if isinstance(row, Row)] == [(Span(0, 3, "PERSON"),), None, ()]


@pytest.mark.parametrize("header", ["", "id,body\n", "text,text\n"])
def test_formats_csv_without_a_text_column_is_refused(header: str) -> None:
    """A table without exactly one text column is refused as a whole."""
    with pytest.raises(InvalidInput, match="header"):
        read(header + "1,2\n", ".csv")


def test_formats_jsonl_reads_texts_spans_and_meta() -> None:
    """Spans come sorted; a file may leave spans and meta out."""
    spans = [{"start": 8, "end": 14, "label": "CITY"}, {"start": 0, "end": 3, "label": "PERSON"}]
    rows = read(line(text="Ada in London", spans=[], meta={"id": 1}) + "\n" + line(text="Ada and London", spans=spans))
    assert rows[0] == Row(1, "Ada in London", (), {"id": 1})
    assert rows[1] == Row(3, "Ada and London", (Span(0, 3, "PERSON"), Span(8, 14, "CITY")))
    assert read(line(text="bare")) == [Row(1, "bare", None)]


def test_formats_jsonl_takes_what_prodigy_writes() -> None:
    """Prodigy's other fields are left alone, and what its annotator rejected or ignored is left out."""
    span = {"start": 0, "end": 3, "label": "PERSON", "token_start": 0, "token_end": 0, "source": "en", "input_hash": 9}
    task = {"text": "Ada", "spans": [span], "tokens": [], "_task_hash": 4, "_view_id": "ner_manual"}
    rows = read(line(**task, answer="accept") + line(**task, answer="reject") + line(**task, answer="ignore"))
    assert rows[0] == Row(1, "Ada", (Span(0, 3, "PERSON"),))
    assert [row.reason for row in rows[1:] if isinstance(row, RejectedRow)] == [
        "its annotator answered reject",
        "its annotator answered ignore",
    ]


def test_formats_jsonl_takes_entities_as_the_rest_api_writes_them() -> None:
    """The leaf is the sublabel whatever the field; spans count before what was corrected, and that before the shown."""
    ada = {"text": "Ada", "start": 0, "end": 3, "label": "PII", "sublabel": "PERSON", "score": None}
    bad = {**ada, "sublabel": "CITY"}
    person, record = (Span(0, 3, "PERSON"),), {"text": "Ada"}
    lines = [
        record | {"entities": [ada]},
        record | {"spans": [ada]},
        record | {"spans": None, "corrected_entities": [ada], "entities": [bad], "is_correct": False},
        record | {"spans": [ada], "corrected_entities": [bad]},
        record | {"corrected_entities": [], "entities": [bad]},
        record | {"entities": [{**ada, "sublabel": None, "label": "PERSON"}], "is_correct": True},
    ]
    rows = read("".join(line(**one) for one in lines))
    assert [row.spans if isinstance(row, Row) else row for row in rows] == [person, person, person, person, (), person]


def test_formats_jsonl_rejects_feedback_that_says_wrong_and_not_what_is_right() -> None:
    """Entities that somebody called wrong are no proposal."""
    (row,) = read(line(text="Ada", entities=[{"start": 0, "end": 3, "label": "PERSON"}], is_correct=False))
    assert isinstance(row, RejectedRow)
    assert row.reason == "is_correct is false: give the right spans in corrected_entities, [] for none"


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ("nonsense", "line is not JSON"),
        ("[" * 100_000, "line is not JSON"),
        ('{"text": ' + "9" * 5000 + "}", "line is not JSON"),
        ("[1]", "line must hold a JSON object"),
        ("{}", "text must be a string"),
        ('{"text": 5}', "text must be a string"),
        ('{"text": " \\n"}', "text is empty"),
        ('{"text": "a\\u0000b"}', "text holds a NUL character"),
        ('{"text": "a\\ud800b"}', "text holds half a character (a lone surrogate) at 1"),
        (line(text="x" * 1001), "text of 1,001 characters is longer than 1,000"),
        (line(text="Ada", spans={}), "spans must be a list"),
        (line(text="Ada", spans=[1]), "span 0 must be an object"),
        (line(text="Ada", entities=[[0, 3, "P"]]), "span 0 must be an object"),
        (line(text="Ada", spans=[{"start": 0, "end": 3, "label": "P", "sublabel": 5}]), "span 0 needs a label"),
        (line(text="Ada", spans=[{"start": 0, "end": 3}]), "span 0 needs a label"),
        (line(text="Ada", spans=[{"start": 0, "end": 3, "label": " "}]), "span 0 needs a label"),
        (line(text="Ada", spans=[{"start": 0, "end": "3", "label": "P"}]), "span 0 needs start and end"),
        (line(text="Ada", spans=[{"start": False, "end": 3, "label": "P"}]), "span 0 needs start and end"),
        (line(text="Ada", spans=[{"start": 0, "end": 4, "label": "P"}]), "span 0 (0 to 4) does not lie in the text"),
        (line(text="Ada", spans=[{"start": 2, "end": 2, "label": "P"}]), "span 0 (2 to 2) does not lie in the text"),
        (line(text="Ada", spans=[{"start": -1, "end": 2, "label": "P"}]), "span 0 (-1 to 2) does not lie"),
        (line(text="Ada", spans=[{"start": 0, "end": 2, "label": "P", "text": "Ada"}]), "says another text"),
        (line(text="Ada", meta=3), "meta must be an object"),
        ('{"text": "Ada", "meta": {"score": NaN}}', "meta holds what cannot be stored"),
        (line(text="Ada", meta={"id": "a\x00"}), "meta holds a NUL character"),
    ],
)
def test_formats_jsonl_rejects_a_bad_row_and_goes_on(record: str, reason: str) -> None:
    """A bad row comes with its number, its reason and the value, shortened; the next one is read."""
    rows = read(line(text="before") + record.strip() + "\n" + line(text="after"))
    rejected = rows[1]
    assert isinstance(rejected, RejectedRow)
    assert rejected.line == 2
    assert reason in rejected.reason
    assert len(rejected.value) <= 200
    assert [rows[0], rows[2]] == [Row(1, "before"), Row(3, "after")]


def test_formats_jsonl_takes_a_backslash_before_u0000() -> None:
    """What only looks like an escaped NUL is kept."""
    assert read(line(text="Ada", meta={"path": "C:\\u0000"})) == [Row(1, "Ada", meta={"path": "C:\\u0000"})]


@pytest.mark.parametrize("suffix", [".txt", ".csv", ".jsonl"])
def test_formats_reject_what_is_not_utf8_and_go_on(suffix: str) -> None:
    """A line in another encoding is rejected by number, and does not end the import."""
    good, bad = (b'{"text": "ok"}', b'{"text": "caf\xe9"}') if suffix == ".jsonl" else (b"ok", b"caf\xe9")
    header = [b"text"] if suffix == ".csv" else []
    rows = read(b"\n".join([*header, good, bad, good]), suffix)
    at = len(header) + 1
    assert [row.line for row in rows] == [at, at + 1, at + 2]
    assert isinstance(rows[1], RejectedRow)
    assert "not UTF-8" in rows[1].reason
    assert [type(row) for row in rows] == [Row, RejectedRow, Row]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ("a,b,c", "record has 3 fields, the header 2"),
        ('"a"b,1', "cannot be read"),
        (",1", "text is empty"),
        ("a\x00,1", "text holds a NUL character"),
    ],
)
def test_formats_csv_rejects_a_bad_record_and_goes_on(record: str, reason: str) -> None:
    """A bad record comes with its line and reason, and the next one is read."""
    rows = read(f"text,id\nbefore,1\n{record}\nafter,2\n", ".csv")
    assert isinstance(rows[1], RejectedRow)
    assert (rows[1].line, reason in rows[1].reason) == (3, True)
    assert rows[2] == Row(4, "after", meta={"id": "2"})


def test_formats_csv_lists_every_line_of_a_record_that_cannot_be_read() -> None:
    """A quote that is never closed takes the lines after it along; each is listed with what it says."""
    rows = read('text\nbefore\n"open\nlost\nlost too\n', ".csv")
    assert rows[0] == Row(2, "before")
    rejected = [(row.line, row.value) for row in rows[1:] if isinstance(row, RejectedRow)]
    assert rejected == [(3, '"open'), (4, "lost"), (5, "lost too")]
    (broken, after) = read('text\n"a"b\nafter\n', ".csv")
    assert isinstance(broken, RejectedRow)
    assert (broken.value, after) == ('"a"b', Row(3, "after"))


def test_formats_csv_rejects_spans_that_are_no_json() -> None:
    """A spans column that is not JSON is a reason to reject its record."""
    rejected = read("text,spans\nAda,PERSON\n", ".csv")[0]
    assert isinstance(rejected, RejectedRow)
    assert rejected.reason == "column spans is not JSON"


def test_formats_hold_no_more_of_a_line_than_a_text_may_have() -> None:
    """A line far beyond the longest text is rejected without being held, and the next one is read."""
    rows = list(read_text_lines(io.BytesIO(b"x" * 10_000_000 + b"\nok\n"), 100))
    assert isinstance(rows[0], RejectedRow)
    assert rows[1] == Row(2, "ok")


def test_formats_take_a_text_of_exactly_the_longest_length() -> None:
    """The longest text that is allowed is allowed in every format, in four-byte characters too."""
    text = "\U0001f600" * 1000
    assert read(text + "\n", ".txt") == [Row(1, text)]
    assert read("text\n" + text, ".csv") == [Row(2, text)]
    assert read(line(text=text)) == [Row(1, text)]


@given(st.binary(max_size=200))
@settings(deadline=None)
def test_formats_never_fail_on_a_row(content: bytes) -> None:
    """Whatever bytes a file holds, each row is read or rejected with a reason."""
    for reader in (read_text_lines, read_json_lines):
        for row in reader(io.BytesIO(content), MAX_CHARS):
            assert isinstance(row, Row) or row.reason
    for row in read_csv_table(io.BytesIO(b"text\n" + content), MAX_CHARS):
        assert isinstance(row, Row) or row.reason


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=60))
@settings(deadline=None)
def test_formats_jsonl_gives_texts_back_unchanged(text: str) -> None:
    """A text comes out of a file as it went in, character by character."""
    rows = read(line(text=text))
    assert rows == [Row(1, text)] if text.strip() else isinstance(rows[0], RejectedRow)


def test_formats_of_an_unknown_suffix_are_refused() -> None:
    """A file that no reader takes is refused with the suffixes that are known."""
    with pytest.raises(InvalidInput, match=r"texts\.docx cannot be read: .* \.txt, \.csv, \.jsonl"):
        read_rows(Path("texts.docx"), max_chars=10)


def test_formats_of_a_missing_file_are_not_found() -> None:
    """A missing file is named before anything is read."""
    with pytest.raises(NotFound, match=r"nowhere\.txt"):
        read_rows(Path("nowhere.txt"), max_chars=10)


def test_formats_in_utf16_are_refused_as_a_whole(opened: Callable[[str, bytes], Path]) -> None:
    """A file in UTF-16 is refused with the way out, not row by row."""
    with pytest.raises(InvalidInput, match="save it as UTF-8"):
        read_rows(opened("texts.TXT", "hello".encode("utf-16")), max_chars=10)


def test_formats_labels_come_the_most_frequent_first(opened: Callable[[str, bytes], Path]) -> None:
    """The labels of a file are those of its usable rows, by frequency, then by name."""

    def labelled(*labels: str) -> str:
        return line(text="x" * 9, spans=[{"start": n, "end": n + 1, "label": label} for n, label in enumerate(labels)])

    content = labelled("B", "C") + labelled("C", "A") + "broken\n"
    assert collect_labels(opened("gold.jsonl", content.encode())) == ("C", "A", "B")


def test_formats_labels_of_a_file_without_spans_are_refused(opened: Callable[[str, bytes], Path]) -> None:
    """A file without spans has no labels to take."""
    with pytest.raises(InvalidInput, match="no labels can be taken"):
        collect_labels(opened("plain.txt", b"hello\n"))
