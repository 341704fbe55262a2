"""Exports from a real store: what is written comes back, what does not fit is listed, and the card counts it all."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import spacy
import yaml
from spacy.tokens import DocBin

from config.errors import ConfigurationError, Conflict, InvalidInput, NotFound
from tests.integration.rows import LABELS, NOW, Desk, add_project, new_project, span_of
from training.examples.intake import Person
from training.exports import tokens
from training.exports.docbin import DocBinWriter
from training.exports.export import ExportReport, export_project
from training.exports.writing import Controls, ExportFormat
from training.formats.read import read_rows
from training.formats.rows import Row
from training.prediction.base import load_base
from training.spans import Span, hash_text
from training.store.tables.examples import TrainingDataset
from training.store.tables.texts import TextRow
from training.store.unit_of_work import Store
from training.store.verified import iter_verified

DATA = Path(__file__).parents[3] / "shared" / "data"
SHOWN = 250
TEXT = "Ada Byron met Bob in New York."
ADA = span_of(TEXT, "Ada Byron", "PERSON")
YORK = span_of(TEXT, "New York", "CITY")
Gold = dict[str, tuple[Span, ...]]


def put_verified(
    store: Store, gold: Gold, *, parts: tuple[str, ...] = ("train", "dev", "test"), **project: Any
) -> None:
    """A project of verified texts, with parts in turn."""
    with store.write() as uow:
        uow.session.add(new_project(1, **project))
        uow.session.flush()
        for number, (text, spans) in enumerate(gold.items()):
            row = TextRow(
                project_id=1,
                hash=hash_text(text),
                text=text,
                part=parts[number % len(parts)],
                bridged_groups=[],
                first_seen_at=NOW,
            )
            uow.session.add(row)
            uow.session.flush()
            uow.session.add(verified_row(row.id, spans))
        uow.commit()


def verified_row(text_id: int, spans: tuple[Span, ...]) -> TrainingDataset:
    """A verified example of a text."""
    return TrainingDataset(
        id=f"example-{text_id}",
        project_id=1,
        text_id=text_id,
        entities=[span.to_json() for span in spans],
        problems=[],
        classification_type="",
        source="label_studio",
        verified=True,
        verified_at=NOW,
        revision="r",
        usage_count=0,
        created_at=NOW,
        updated_at=NOW,
    )


def export(store: Store, to: str, folder: Path, **options: Any) -> ExportReport:
    """Export the project."""
    return export_project(store, 1, ExportFormat(to), folder, clock=lambda: NOW, **options)


def read_back(report: ExportReport) -> Gold:
    """Text and spans of every row of every file."""
    rows = [row for name in report.files for row in read_rows(report.folder / name, max_chars=10**7)]
    assert [row for row in rows if not isinstance(row, Row)] == []
    return {row.text: row.spans or () for row in rows if isinstance(row, Row)}


def not_held(report: ExportReport) -> list[dict[str, Any]]:
    """What the export lists as not held."""
    path = report.folder / "not-held.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def gold_of(name: str) -> Gold:
    """The first texts of a shared data set; skips where it is not there."""
    path = DATA / name / "dev.jsonl"
    if not path.is_file():
        pytest.skip("the shared data sets are not beside the repository")
    rows = [row for row in read_rows(path, max_chars=10**6) if isinstance(row, Row)][:SHOWN]
    return {row.text: tuple(sorted(set(row.spans or ()))) for row in rows}


@pytest.mark.parametrize("name", ["presidio_synth_en", "wnut17_en", "btc_en", "mobie_de"])
def test_export_and_import_lose_nothing(sqlite_store: Store, tmp_path: Path, name: str) -> None:
    """Texts and spans of real data come back from every format, character by character, but for what is listed."""
    gold = gold_of(name)
    labels = sorted({span.label for spans in gold.values() for span in spans})
    language = name.rpartition("_")[2]
    put_verified(sqlite_store, gold, language=language, taxonomy=[{"name": label} for label in labels])
    text_of = {f"example-{number}": text for number, text in enumerate(gold, 1)}
    hashes = set()
    for to in ("jsonl", "csv", "label-studio", "spacy", "conll"):
        report = export(sqlite_store, to, tmp_path / to)
        hashes.add(report.content_hash)
        missing = {(text_of[m["id"]], Span(**m["span"])) for m in not_held(report) if "but in" not in m["reason"]}
        expected = {text: tuple(s for s in spans if (text, s) not in missing) for text, spans in gold.items()}
        assert read_back(report) == expected, to
        assert len(missing) <= (0 if to in ("jsonl", "csv", "label-studio") else report.spans * 0.1), to
    report = export(sqlite_store, "huggingface", tmp_path / "huggingface")
    assert parquet_gold(report) == gold
    assert hashes == {report.content_hash}


def parquet_gold(report: ExportReport) -> Gold:
    """Text and spans of every row; the tags are checked to say the same as far as they can."""
    listed = Counter(entry["id"] for entry in not_held(report))
    found: Gold = {}
    for name in report.files:
        table = pq.read_table(report.folder / name)
        names = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]["ner_tags"]["feature"]["names"]
        for row in table.to_pylist():
            assert len(row["tokens"]) == len(row["ner_tags"])
            begun = sum(names[tag].startswith("B-") for tag in row["ner_tags"])
            assert begun == len(row["spans"]) - listed[row["id"]]
            found[row["text"]] = tuple(Span(**span) for span in row["spans"])
    return found


def test_export_lists_what_a_format_cannot_hold(sqlite_store: Store, tmp_path: Path) -> None:
    """Overlaps, cut tokens, several labels, white edges, spaced labels and spans outside are listed with the reason."""
    spans = (
        ADA,
        Span(0, 3, "PERSON"),  # within ADA
        Span(4, 6, "CITY"),  # cuts Byron
        span_of(TEXT, "Bob", "PERSON"),
        span_of(TEXT, "Bob", "SSN"),
        Span(20, 24, "CITY"),  # " New"
        Span(25, 29, "BIG CITY"),
        Span(29, 99, "CITY"),
    )
    put_verified(sqlite_store, {TEXT: spans})
    kept = {}
    for to in ("jsonl", "spacy", "conll", "huggingface"):
        report = export(sqlite_store, to, tmp_path / to)
        kept[to] = {(m["span"]["start"], m["span"]["end"], m["span"]["label"]): m["reason"] for m in not_held(report)}
        assert {m["id"] for m in not_held(report)} == {"example-1"}
        assert report.not_held_spans == len(kept[to])
    assert kept["jsonl"] == {(29, 99, "CITY"): "does not lie in the text"}
    assert kept["conll"] == {
        (29, 99, "CITY"): "does not lie in the text",
        (0, 3, "PERSON"): "overlaps a longer span",
        (4, 6, "CITY"): "its edges do not fall on the edges of tokens",
        (14, 17, "PERSON"): "one region with several labels",
        (14, 17, "SSN"): "one region with several labels",
        (20, 24, "CITY"): "begins or ends with white space",
        (25, 29, "BIG CITY"): "its label holds white space, which parts the columns",
    }
    assert set(kept["spacy"]) == set(kept["conll"]) - {(25, 29, "BIG CITY")}
    assert kept["spacy"][0, 3, "PERSON"] == "not in doc.ents, but in doc.spans['sc']: overlaps a longer span"
    assert kept["huggingface"][25, 29, "BIG CITY"].endswith("its label is not one of the project's")
    expected = {span for span in spans[:-1] if span not in (Span(4, 6, "CITY"), Span(20, 24, "CITY"))}
    assert set(next(iter(read_back_of(tmp_path / "spacy", "train.spacy").values()))) == expected


def read_back_of(folder: Path, name: str) -> Gold:
    """Text and spans of one file."""
    return {row.text: row.spans or () for row in read_rows(folder / name, max_chars=10**6) if isinstance(row, Row)}


def test_export_keeps_texts_exactly_whatever_white_space_they_hold(sqlite_store: Store, tmp_path: Path) -> None:
    """Line breaks of any kind, tabs, leading and trailing blanks, quotes, emoji and tag-like words come back."""
    texts = [
        " \tAda\r\n\r\nByron\u00a0 \u2028x ",
        "# O",
        '"a",b\n=1+1',
        "😀e\u0301\u200b -X- B-PERSON",
        "a\rb|c\\s",
        "end ",
    ]
    gold: Gold = {text: (Span(text.index(text.strip()), len(text.rstrip()), "PERSON"),) for text in texts}
    put_verified(sqlite_store, gold, parts=("train",))
    for to in ("jsonl", "csv", "label-studio", "spacy", "conll"):
        report = export(sqlite_store, to, tmp_path / to)
        assert (read_back(report), not_held(report)) == (gold, []), to


def test_export_names_texts_that_a_format_cannot_hold(sqlite_store: Store, tmp_path: Path) -> None:
    """A text that CoNLL would take for something else is listed as a whole."""
    put_verified(sqlite_store, {"an -DOCSTART- within": (), " \n ": (), "fine": ()}, parts=("test",))
    report = export(sqlite_store, "conll", tmp_path / "out")
    assert report.not_held_texts == 2
    assert [(entry["id"], entry["span"], entry["part"]) for entry in not_held(report)] == [
        ("example-1", None, "test"),
        ("example-2", None, "test"),
    ]
    assert read_back(report) == {"fine": ()}


def test_export_by_part_or_whole(sqlite_store: Store, tmp_path: Path) -> None:
    """Each part has files of its own unless one part, or all in one, is asked for; what is unverified stays out."""
    parts = ("train", "dev", "test", "set_aside")
    put_verified(sqlite_store, {f"Text number {n}": () for n in range(8)}, parts=parts)
    with sqlite_store.write() as uow:
        uow.examples.get("example-8").verified = False
        uow.commit()
    split = export(sqlite_store, "jsonl", tmp_path / "split")
    assert split.files == ("dev.jsonl", "set_aside.jsonl", "test.jsonl", "train.jsonl")
    assert split.parts == {"train": 2, "dev": 2, "test": 2, "set_aside": 1}
    whole = export(sqlite_store, "jsonl", tmp_path / "whole", part="all")
    assert (whole.files, whole.texts, whole.content_hash) == (("all.jsonl",), 7, split.content_hash)
    test = export(sqlite_store, "huggingface", tmp_path / "test", part="test")
    assert (test.files, test.texts) == (("data/test.parquet",), 2)
    rows = [json.loads(line) for line in (tmp_path / "whole" / "all.jsonl").read_text().splitlines()]
    assert rows[0]["meta"] == {"id": "example-1", "part": "train", "source": "label_studio"}


def test_export_card_counts_what_was_written(store: Store, tmp_path: Path) -> None:
    """The card has figures by label and part, sources, annotators by number, agreement, versions and checksums."""
    desk = Desk(store)
    other = "Nobody is named in this one, as far as anyone can see"
    for task_id, text in enumerate((TEXT, other), 1):
        desk.task(task_id, text)
    desk.annotate(1, 1, ADA, YORK)
    desk.annotate(2, 1, ADA, person=Person("8", "bob"), at=2)
    desk.annotate(3, 2)
    report = export(store, "huggingface", tmp_path / "out")
    card = json.loads((tmp_path / "out" / "data-card.json").read_text())
    assert (card["texts"], card["spans"], card["labels"]) == (2, 1, {"PERSON": 1})
    assert sum(part["texts"] for part in card["parts"].values()) == 2
    assert card["sources"] == {"label_studio": 2}
    assert card["annotators"] == {"1": 2, "2": 1}
    assert card["agreement"] == {"texts": 1, "identical": 0.0, "span_f1": round(2 / 3, 4)}
    assert (card["written_at"], card["licence"], card["content_hash"]) == (NOW.isoformat(), None, report.content_hash)
    assert card["project"]["verification_rule"] == "submitted"
    assert [file["name"] for file in card["files"]] == list(report.files)
    readme = (tmp_path / "out" / "README.md").read_text()
    header = yaml.safe_load(readme.split("---\n")[1])
    assert {file["path"] for file in header["configs"][0]["data_files"]} == set(report.files)
    assert "TO BE FILLED IN" in readme
    assert "bob" not in readme + json.dumps(card)


def test_export_writes_tasks_for_label_studio(sqlite_store: Store, tmp_path: Path) -> None:
    """A task has data under the project's key and one starred annotation in the config's names, and no prediction."""
    put_verified(sqlite_store, {TEXT: (ADA, YORK)})
    controls = Controls("doc.body", "shown", "names", {"CITY": "places"})
    export(sqlite_store, "label-studio", tmp_path / "out", controls=controls)
    (task,) = json.loads((tmp_path / "out" / "train.json").read_text())
    (annotation,) = task["annotations"]
    assert (task["data"], "predictions" in task) == ({"doc": {"body": TEXT}}, False)
    assert annotation["ground_truth"]
    assert [(r["from_name"], r["to_name"], r["type"], r["value"]["text"]) for r in annotation["result"]] == [
        ("names", "shown", "labels", "Ada Byron"),
        ("places", "shown", "labels", "New York"),
    ]


def test_export_for_spacy_trains_as_it_is(sqlite_store: Store, tmp_path: Path) -> None:
    """The docs hold the language's own tokens with entities, and outside is said where there are none."""
    put_verified(sqlite_store, {TEXT: (ADA,), "nothing": ()}, parts=("train",))
    export(sqlite_store, "spacy", tmp_path / "out")
    nlp = spacy.blank("en")
    first, second = DocBin().from_disk(tmp_path / "out" / "train.spacy").get_docs(nlp.vocab)
    assert [token.text for token in first] == [token.text for token in nlp.make_doc(TEXT)]
    assert [(ent.text, ent.label_) for ent in first.ents] == [("Ada Byron", "PERSON")]
    assert second.has_annotation("ENT_IOB")


def test_export_parts_large_docbins(sqlite_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one file would be too large, a folder of files takes its name, as spaCy takes one for the other."""
    monkeypatch.setattr(DocBinWriter.__init__, "__kwdefaults__", {"largest_file": 8})
    gold: Gold = {f"Text number {n} of them": () for n in range(3)}
    put_verified(sqlite_store, gold, parts=("train",))
    report = export(sqlite_store, "spacy", tmp_path / "out")
    assert report.files == ("train/0001.spacy", "train/0002.spacy", "train/0003.spacy")
    assert read_back(report) == gold


def test_export_begins_a_new_vocabulary_before_the_old_grows_large(
    sqlite_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many words there are, only those of some texts are in memory; what is written stays the same."""
    loaded: list[str] = []
    monkeypatch.setattr(tokens, "LARGEST_VOCABULARY", 25)
    monkeypatch.setattr(tokens, "load_base", lambda name: loaded.append(name) or load_base(name))
    monkeypatch.setattr("training.store.verified.FIRST_BATCH", 1)
    monkeypatch.setattr("training.store.verified.BATCH_CHARS", 20)
    gold: Gold = {f"Ada{n} wrote number {n}": (Span(0, 4, "PERSON"),) for n in range(6)}
    put_verified(sqlite_store, gold)
    assert read_back(export(sqlite_store, "conll", tmp_path / "out")) == gold
    assert loaded == ["blank:en"] * 3


def test_export_reads_the_store_in_batches_of_bounded_size(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long the texts, only a few are held at a time; all of them come, in order, each once."""
    monkeypatch.setattr("training.store.verified.FIRST_BATCH", 3)
    monkeypatch.setattr("training.store.verified.BATCH_CHARS", 60)
    put_verified(store, {f"{n:02} " + "x" * (17 if n < 10 else 97): () for n in range(14)})
    batches = [[found.text[:2] for found in batch] for batch in iter_verified(store.read, 1)]
    assert [len(batch) for batch in batches] == [3, 3, 3, 3, 1, 1]
    assert [number for batch in batches for number in batch] == [f"{n:02}" for n in range(14)]


def test_export_is_there_in_whole_or_not_at_all(
    sqlite_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An export that breaks off leaves no folder behind; one that is there already is not touched."""
    put_verified(sqlite_store, {TEXT: (ADA,)})

    def fail(*args: Any, **options: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("training.exports.export.render_card", fail)
        with pytest.raises(ConfigurationError, match="No space left"):
            export(sqlite_store, "jsonl", tmp_path / "new" / "out")
    assert list((tmp_path / "new").iterdir()) == []
    (tmp_path / "new" / "out").mkdir()
    export(sqlite_store, "jsonl", tmp_path / "new" / "out")
    with pytest.raises(Conflict, match="not an empty folder"):
        export(sqlite_store, "jsonl", tmp_path / "new" / "out")


def test_export_of_nothing_says_so(sqlite_store: Store, tmp_path: Path) -> None:
    """Without a verified text, with an unknown part or project there is one sentence and no folder."""
    add_project(sqlite_store)
    with pytest.raises(Conflict, match="no verified text in the part dev"):
        export(sqlite_store, "spacy", tmp_path / "out", part="dev")
    with pytest.raises(InvalidInput, match="'tset' is no part"):
        export(sqlite_store, "spacy", tmp_path / "out", part="tset")
    with pytest.raises(NotFound):
        export_project(sqlite_store, 9, ExportFormat.CSV, tmp_path / "out", clock=lambda: NOW)
    assert list(tmp_path.glob("*out*")) == []


def test_export_loads_as_a_hugging_face_data_set(sqlite_store: Store, tmp_path: Path) -> None:
    """`datasets` finds the splits through the card, and the tags' names in the files."""
    datasets = pytest.importorskip("datasets", reason="the package datasets is not installed")
    put_verified(sqlite_store, {TEXT: (ADA, YORK), "two": (), "three": ()})
    export(sqlite_store, "huggingface", tmp_path / "out")
    loaded = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert set(loaded) == {"train", "validation", "test"}
    names = loaded["train"].features["ner_tags"].feature.names
    assert names == ["O", *(f"{prefix}-{label}" for label in LABELS for prefix in "BI")]
    assert [names[tag] for tag in loaded["train"][0]["ner_tags"]].count("B-CITY") == 1
