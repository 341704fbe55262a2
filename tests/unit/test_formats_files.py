"""Import formats beside plain lines: spans a row in CSV, CoNLL-2003, DocBin, Label Studio's JSON."""

from __future__ import annotations

import io
import json
import zlib
from typing import Any

import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.tokens import DocBin
from spacy.tokens import Span as DocSpan
from srsly import msgpack_dumps, msgpack_loads

from config.errors import InvalidInput
from training.formats import docbin as docbin_format
from training.formats.conll import Spacing
from training.formats.read import READERS
from training.formats.rows import RejectedRow, Row
from training.spans import Span

MAX_CHARS = 1000
ADA = Span(0, 3, "PERSON")


def read(content: bytes | str, suffix: str) -> list[Row | RejectedRow]:
    """The rows of a file with this content."""
    raw = content.encode() if isinstance(content, str) else content
    return list(READERS[suffix](io.BytesIO(raw), MAX_CHARS))


def reasons(rows: list[Row | RejectedRow]) -> list[tuple[int, str]]:
    """Line and reason of each rejected row."""
    return [(row.line, row.reason) for row in rows if isinstance(row, RejectedRow)]


def test_formats_csv_gathers_the_rows_of_a_text() -> None:
    """With columns start, end and label the rows of one text count together, wherever they stand in the file."""
    rows = read("\ufefftext,start,end,label,id\nAda in Rome,0,3,PERSON,1\nBo,,,,2\nAda in Rome,7.0,11,CITY,3\n", ".csv")
    assert rows == [
        Row(3, "Bo", (), {"id": "2"}),
        Row(2, "Ada in Rome", (ADA, Span(7, 11, "CITY")), {"id": "1"}),
    ]


def test_formats_csv_leaves_out_a_text_of_which_one_row_is_bad() -> None:
    """A text without one of its spans would be wrong, so each of its rows is rejected, and the rest goes in."""
    rows = read("text,start,end,label\nAda,0,3,PERSON\nAda,0,x,CITY\nBo,0,2,PERSON\nAda,0,9,CITY\n ,0,1,A\n", ".csv")
    assert [row for row in rows if isinstance(row, Row)] == [Row(4, "Bo", (Span(0, 2, "PERSON"),))]
    assert reasons(rows) == [
        (2, "left out with its text, since line 3 cannot be used"),
        (3, "column end must hold a whole number"),
        (5, "span 0 (0 to 9) does not lie in the text of 3 characters"),
        (6, "text is empty"),
    ]


def test_formats_csv_refuses_spans_given_twice() -> None:
    """A table that names its spans in both ways is refused as a whole."""
    with pytest.raises(InvalidInput, match="names spans twice"):
        read("text,start,end,label,spans\n", ".csv")


@pytest.mark.parametrize("header", ["text,start,end", "text,start,label", "text,Start,End,Label", "text,end,sublabel"])
def test_formats_csv_refuses_columns_that_say_spans_by_half(header: str) -> None:
    """Spans whose columns are not all there are not dropped in silence: the file is refused."""
    with pytest.raises(InvalidInput, match="one span a row takes the columns start, end, and label or sublabel"):
        read(f"{header}\nAda{',0' * header.count(',')}\n", ".csv")
    assert read("text,start,spans\nAda,9:00,\n", ".csv") == [Row(2, "Ada", None, {"start": "9:00"})]


def test_formats_csv_takes_entities_as_the_rest_api_writes_them() -> None:
    """The leaf of an entity is its sublabel; what somebody corrected counts before what was predicted."""
    entity = {"text": "Ada", "start": 0, "end": 3, "label": "PII", "sublabel": "PERSON", "score": 0.9}
    quoted = json.dumps([entity]).replace('"', '""')
    rows = read(f'text,entities,corrected_entities\nAda,"{quoted}",\nAda B,"{quoted}",[]\n', ".csv")
    assert rows == [Row(2, "Ada", (ADA,)), Row(3, "Ada B", ())]


def test_formats_csv_takes_group_and_leaf_in_columns() -> None:
    """Beside a column `sublabel`, which has the leaf, `label` is the group; where it is empty, or alone, the leaf."""
    head = "text,start,end,label,sublabel\n"
    rows = read(f"{head}Ada in Rome,0,3,PII,PERSON\nAda in Rome,7,11,CITY,\nBo,,,,\n", ".csv")
    assert rows == [Row(2, "Ada in Rome", (ADA, Span(7, 11, "CITY"))), Row(4, "Bo", ())]
    assert read("text,start,end,sublabel\nAda,0,3,PERSON\n", ".csv") == [Row(2, "Ada", (ADA,))]


def test_formats_csv_rejects_feedback_that_says_wrong_and_not_what_is_right() -> None:
    """Entities that somebody called wrong are no proposal; those that are right, or corrected, are."""
    shown = '"[{""start"": 0, ""end"": 3, ""label"": ""PERSON""}]"'
    head = "text,is_correct,entities,corrected_entities\n"
    rows = read(f"{head}Ada,False,{shown},\nAda,true,{shown},\nAda B,false,{shown},[]\n", ".csv")
    assert reasons(rows) == [(2, "is_correct is false: give the right spans in corrected_entities, [] for none")]
    assert rows[1:] == [Row(3, "Ada", (ADA,), {"is_correct": "true"}), Row(4, "Ada B", (), {"is_correct": "false"})]


@pytest.mark.parametrize(
    "tags",
    [
        "O B-PERSON I-PERSON B-PERSON O B-CITY",  # IOB2
        "O I-PERSON I-PERSON B-PERSON O I-CITY",  # IOB1
        "O B-PERSON E-PERSON S-PERSON O S-CITY",  # BIOES
        "O B-PERSON L-PERSON U-PERSON O U-CITY",  # BILOU
    ],
)
def test_formats_conll_reads_every_tag_scheme(tags: str) -> None:
    """Spans are the same in each scheme; a neighbour of the same label is a span of its own."""
    words = ["Dear", "Ada", "Byron", "Bo", "from", "Rome"]
    lines = "\n".join(f"{word} NN X {tag}" for word, tag in zip(words, tags.split(), strict=True))
    assert read(f"-DOCSTART- -X- -X- O\n\n{lines}\n", ".conll") == [
        Row(3, " ".join(words), (Span(5, 14, "PERSON"), Span(15, 17, "PERSON"), Span(23, 27, "CITY")))
    ]


def test_formats_conll_has_one_text_a_sentence() -> None:
    """Blank lines and documents part texts; comments are left alone, a # with a tag is a token."""
    content = "# id = 1\nAda\tI-PERSON\n\n\n-DOCSTART-\tO\nwins O\n# O\n1 O\n"
    assert read(content, ".iob") == [Row(2, "Ada", (ADA,)), Row(6, "wins # 1", ())]


def test_formats_conll_names_the_line_that_spoils_a_sentence() -> None:
    """A bad line leaves out its sentence, with number and value; the next sentence is read."""
    rows = read(b"Ada B-PERSON\nand\nBo B-PERSON\n\nHi O\n\nx Q-PER\n\ncaf\xe9 O\n\nBo B-PERSON", ".conll")
    assert [row for row in rows if isinstance(row, Row)] == [Row(5, "Hi", ()), Row(11, "Bo", (Span(0, 2, "PERSON"),))]
    assert [(line, reason[:24]) for line, reason in reasons(rows)] == [
        (2, "line needs a token and a"),
        (7, "line needs a token and a"),
        (9, "line is not UTF-8 at byt"),
    ]


def test_formats_conll_rejects_a_sentence_without_end() -> None:
    """A file without blank lines does not fill the memory."""
    (row,) = read("word O\n" * 400, ".conll")
    assert isinstance(row, RejectedRow)
    assert "longer than 1,000" in row.reason


def test_formats_conll_takes_white_space_from_the_column_before_the_tag() -> None:
    """Where the file says what stood between tokens, the text is exact."""
    lines = [
        r"Ada X SpacesBefore=\s|SpaceAfter=No B-PERSON",
        r", X _ O",
        r"Rome X SpacesAfter=\n\u00a0\s B-CITY",
        r". X SpacesAfter=\s O",
    ]
    assert read("\n".join(lines), ".conll") == [
        Row(1, " Ada, Rome\n\u00a0 . ", (Span(1, 4, "PERSON"), Span(6, 10, "CITY")))
    ]


@given(st.text(" \t\n\r\x0b\u00a0\u2003\u2028", max_size=4), st.text(" \n\x85", max_size=3), st.booleans())
@settings(deadline=None)
def test_formats_conll_spacing_comes_back(after: str, before: str, last: bool) -> None:
    """White space of any kind survives its column."""
    column = Spacing(before, after).to_column(last=last)
    found = Spacing.from_column(column)
    assert len(column.split()) == 1
    assert (found.before, found.after if found.after is not None else ("" if last else " ")) == (before, after)


def docbin(*docs: Any, **options: Any) -> bytes:
    """A DocBin's bytes."""
    content: bytes = DocBin(docs=docs, **options).to_bytes()
    return content


def test_formats_docbin_reads_text_and_spans_exactly() -> None:
    """Text and spans come on characters, overlapping ones of the span group too, and simple user data as meta."""
    nlp = spacy.blank("en")
    doc = nlp.make_doc("  Ada\n\nin New York! 😀")
    doc.set_ents([DocSpan(doc, 1, 2, label="PERSON")])
    doc.spans["sc"] = [DocSpan(doc, 4, 6, label="CITY"), DocSpan(doc, 5, 6, label="CITY"), doc.ents[0]]
    doc.user_data["id"] = "7"
    plain = nlp.make_doc("nobody looked")
    empty = nlp.make_doc("nothing here")
    empty.set_ents([], default="outside")
    assert read(docbin(doc, plain, empty, store_user_data=True), ".spacy") == [
        Row(1, doc.text, (Span(2, 5, "PERSON"), Span(10, 18, "CITY"), Span(14, 18, "CITY")), {"id": "7"}),
        Row(2, "nobody looked", None),
        Row(3, "nothing here", ()),
    ]


def test_formats_docbin_rejects_a_bad_doc_and_goes_on() -> None:
    """A doc that cannot be used is named by its number."""
    nlp = spacy.blank("en")
    rows = read(docbin(nlp.make_doc(" "), nlp.make_doc("fine")), ".spacy")
    assert reasons(rows) == [(1, "text is empty")]
    assert rows[1] == Row(2, "fine", None)


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04zip", docbin()[:-9]])
def test_formats_docbin_refuses_another_file(content: bytes) -> None:
    """A file that spaCy did not write is refused as a whole."""
    with pytest.raises(InvalidInput, match="no DocBin"):
        read(content, ".spacy")


def test_formats_docbin_refuses_what_would_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small file that unpacks to a huge one is refused before anything of it is held."""
    monkeypatch.setattr(docbin_format, "LARGEST_UNPACKED", 100_000)
    with pytest.raises(InvalidInput, match="save it as several"):
        read(zlib.compress(bytes(1_000_000)), ".spacy")
    assert len(read(docbin(spacy.blank("en").make_doc("fine")), ".spacy")) == 1


def test_formats_docbin_rejects_docs_whose_words_are_missing() -> None:
    """A file that was tampered with is a reason for each doc, never a crash."""
    content = msgpack_loads(zlib.decompress(docbin(spacy.blank("en").make_doc("zyxwv"))))
    rows = read(zlib.compress(msgpack_dumps(content | {"strings": []})), ".spacy")
    assert [row.line for row in rows if isinstance(row, RejectedRow)] == [1]


def region(start: int, end: int, *labels: str, text: str | None = None, **fields: Any) -> dict[str, Any]:
    """A region as Label Studio writes it."""
    value = {"start": start, "end": end, "labels": list(labels), **({"text": text} if text is not None else {})}
    return {"id": "x", "from_name": "label", "to_name": "text", "type": "labels", "value": value, **fields}


def task(data: dict[str, Any], *annotations: Any, **fields: Any) -> dict[str, Any]:
    """A task as Label Studio exports it."""
    return {"id": 1, "data": data, "annotations": list(annotations), "predictions": [], **fields}


def annotation(*regions: Any, at: str = "2030-01-01T00:00:00Z", **fields: Any) -> dict[str, Any]:
    """An annotation of a task."""
    return {"id": 2, "result": list(regions), "updated_at": at, "was_cancelled": False, **fields}


def read_tasks(*tasks: Any) -> list[Row | RejectedRow]:
    """The rows of these tasks."""
    return read(json.dumps(tasks), ".json")


def test_formats_label_studio_reads_tasks_and_annotations() -> None:
    """The text with the annotation's spans; one region with two labels is two spans; the other data is meta."""
    found = annotation(region(0, 3, "PERSON", "HERO", text="Ada"), {"type": "choices", "value": {"choices": ["a"]}})
    rows = read_tasks(task({"text": "Ada", "n": 1.5}, found, meta={"id": "e"}), task({"text": "Bo"}))
    assert rows == [Row(1, "Ada", (Span(0, 3, "HERO"), ADA), {"n": 1.5, "id": "e"}), Row(2, "Bo", None)]


def test_formats_label_studio_takes_the_star_then_the_newest() -> None:
    """Of several annotations the starred one counts, else the newest; skipped ones never do."""
    old = annotation(region(0, 1, "A"))
    new = annotation(region(0, 2, "A"), at="2031-01-01T00:00:00Z")
    skipped = annotation(region(0, 3, "A"), at="2032-01-01T00:00:00Z", was_cancelled=True)
    starred = annotation(at="2029-01-01T00:00:00Z", ground_truth=True)
    rows = read_tasks(*(task({"text": "Ada"}, *given) for given in ((new, old, skipped), (new, starred), (skipped,))))
    assert [row.spans for row in rows if isinstance(row, Row)] == [(Span(0, 2, "A"),), (), None]


def test_formats_label_studio_finds_the_text_under_any_name() -> None:
    """The text is the field that the regions quote, also within an object; where two could be, the row is rejected."""
    found = annotation(region(0, 3, "PERSON", text="Ada"))
    rows = read_tasks(
        task({"title": "On A.", "body": {"raw": "Ada wins"}}, found),
        task({"title": "Ada", "body": "Ada wins"}, found),
        task({"n": 5}),
    )
    assert rows[0] == Row(1, "Ada wins", (ADA,), {"title": "On A."})
    assert reasons(rows) == [
        (2, "any of title, body could be the text; name it text"),
        (3, "the task's data holds no text"),
    ]


def test_formats_label_studio_reads_the_flat_form() -> None:
    """JSON_MIN has the regions' values under the name of their control."""
    value = {"start": 0, "end": 3, "text": "Ada", "labels": ["PERSON"]}
    flat = {"id": 4, "annotator": 1, "annotation_id": 9, "created_at": "", "updated_at": "", "lead_time": 1.5}
    rows = read_tasks({"text": "Ada", "label": [value], "src": "a", **flat}, {"text": "Bo", **flat}, {"text": "Cy"})
    assert rows == [Row(1, "Ada", (ADA,), {"src": "a"}), Row(2, "Bo", ()), Row(3, "Cy", None)]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (3, "task must be a JSON object"),
        (task({"text": "Ada"}, annotation(region(0, 9, "A"))), "span 0 (0 to 9) does not lie"),
        (task({"text": "Ada"}, annotation(region(0, 2, "A", text="Bo"))), "says another text"),
        (task({"text": "Ada"}, annotation(region(0, 3))), "region 0 carries no label"),
        (task({"text": "Ada"}, annotation(region(0, 3, "A", type="hypertextlabels"))), "type hypertextlabels"),
        (task({"text": ""}), "text is empty"),
        ({"data": {"text": "Ada"}, "annotations": {"result": []}}, "annotations must be a list"),
        ({"data": {"text": "Ada"}, "annotations": [7]}, "annotations must be a list of objects"),
    ],
)
def test_formats_label_studio_rejects_a_bad_task_and_goes_on(bad: Any, reason: str) -> None:
    """A task that cannot be used is named by its number and reason, and the next one is read."""
    rows = read_tasks(bad, task({"text": "fine"}))
    (rejected,) = reasons(rows)
    assert (rejected[0], reason in rejected[1]) == (1, True)
    assert rows[1] == Row(2, "fine", None)


def test_formats_label_studio_says_from_where_a_file_is_broken() -> None:
    """What comes before the break is read; a file of anything else is refused as a whole."""
    rows = read('\ufeff[{"data": {"text": "Ada"}}, {"data": ', ".json")
    assert rows[0] == Row(1, "Ada", None)
    assert "not JSON from this task on" in reasons(rows)[0][1]
    (not_utf8,) = reasons(read(b'[{"data": {"text": "Ad\xff"}}]', ".json"))
    assert "invalid bytes in UTF8 string" in not_utf8[1]
    assert "b'" not in not_utf8[1]
    assert read('{"data": {"text": "Ada"}}', ".json") == [Row(1, "Ada", None)]
    with pytest.raises(InvalidInput, match="list of Label Studio's tasks"):
        read("text,label", ".json")
