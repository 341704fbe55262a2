from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import spacy

from config.errors import ModelUnavailable
from training.prediction.base import find_base, find_recognizer, load_base
from training.prediction.decode import decode, table_of
from training.prediction.pipeline import PipelineSpec, base_spec, default_label_mapping, load_pipeline
from training.spans import Prediction
from training.taxonomy import Label, Taxonomy, load_taxonomy

TEXTS = [
    "Angela Merkel met Barack Obama in Berlin on Tuesday.",
    "Apple is looking at buying a U.K. startup for $1 billion, said Tim Cook of Cupertino.",
    "no entity here",
    "",
    " \n\t ",
    "Paris",
    "Write to Dr. Jane Roe, 24 Elm Street, Springfield, IL 62704, before 5 May 2021!",
    "Naïve café owner Zoë Müller 😀 flew from São Paulo to 東京 with Lufthansa.",
    "line one\r\nJohn Smith\r\n\r\n  lives in New  York\tCity .",
    "The United Nations General Assembly of the 21st century and Marks & Spencer plc (London)",
]
PEOPLE = Taxonomy((Label("PERSON", "PII"), Label("PLACE", "PII", aliases=("GPE", "LOC", "FAC"))))


@pytest.fixture(scope="module")
def base() -> PipelineSpec:
    return base_spec("en_core_web_sm", "en", load_taxonomy(None))


def words(text: str, prediction: Prediction) -> list[tuple[str, str]]:
    return [(text[span.start : span.end], span.label) for span in prediction.spans]


def test_pipeline_decode_finds_what_nlp_pipe_finds() -> None:
    """The decode that yields the scores gives exactly the entities of spaCy's own greedy parse."""
    nlp = load_base("en_core_web_sm")
    recognizer = find_recognizer(nlp)
    expected = [[(e.start, e.end, e.label_) for e in doc.ents] for doc in nlp.pipe(TEXTS)]
    decoded = decode(recognizer, [nlp.make_doc(text) for text in TEXTS], table_of(recognizer))
    assert [[(e.first_token, e.end_token, e.label) for e in d.entities] for d in decoded] == expected
    assert sum(map(len, expected)) > 10
    assert all(0 < e.probability < 1 for d in decoded for e in d.entities)


def test_pipeline_decode_knows_where_it_may_have_missed_something() -> None:
    """Tokens outside of entities carry the probability that one begins there; tokens inside carry none."""
    nlp = load_base("en_core_web_sm")
    recognizer = find_recognizer(nlp)
    sure, odd = decode(
        recognizer,
        [nlp.make_doc("It is and was of the ."), nlp.make_doc("ask Brindlewort or Quux now")],
        table_of(recognizer),
    )
    assert sure.missed.max() < 0.2
    assert odd.missed.max() > sure.missed.max() or odd.entities
    for decoded in (sure, odd):
        for entity in decoded.entities:
            assert not decoded.missed[entity.first_token : entity.end_token].any()


def test_pipeline_maps_the_base_models_labels_to_the_projects() -> None:
    """Several labels of the base may become one leaf, and those without a leaf are not shown."""
    spec = base_spec("en_core_web_sm", "en", PEOPLE)
    assert spec.label_mapping == {"FAC": "PLACE", "GPE": "PLACE", "LOC": "PLACE", "PERSON": "PERSON"}
    [prediction] = load_pipeline(spec, None).predict([TEXTS[0]])
    assert words(TEXTS[0], prediction) == [
        ("Angela Merkel", "PERSON"),
        ("Barack Obama", "PERSON"),
        ("Berlin", "PLACE"),
    ]


def test_pipeline_mapping_needs_a_leaf_that_goes_by_the_name() -> None:
    """A label of the base that no leaf is named after has no place in the mapping."""
    assert default_label_mapping(["PERSON", "MONEY", "gpe"], PEOPLE) == {"PERSON": "PERSON", "gpe": "PLACE"}


def test_pipeline_merges_model_and_patterns(base: PipelineSpec) -> None:
    """One prediction holds names from the model and numbers from the patterns, scored, in order, apart."""
    text = "John Smith, jsmith@example.org, paid with 4012888888881881 in Berlin."
    [prediction] = load_pipeline(base, None).predict([text])
    assert words(text, prediction) == [
        ("John Smith", "PERSON"),
        ("jsmith@example.org", "EMAIL_ADDRESS"),
        ("4012888888881881", "CREDIT_CARD"),
        ("Berlin", "LOCATION"),
    ]
    assert [span.origin for span in prediction.spans] == ["model", "pattern", "pattern", "model"]


def test_pipeline_spans_are_sound_whatever_the_text(base: PipelineSpec) -> None:
    """Every text gets a prediction; spans lie within it, never overlap, hold no white space at their ends."""
    predictions = load_pipeline(base, None).predict(TEXTS)
    assert len(predictions) == len(TEXTS)
    for text, prediction in zip(TEXTS, predictions, strict=True):
        assert 0 < prediction.score < 1
        last = 0
        for span in prediction.spans:
            piece = text[span.start : span.end]
            assert last <= span.start < span.end <= len(text)
            assert piece == piece.strip() != ""
            assert 0 < span.score < 1
            last = span.end
    assert predictions[3].spans == predictions[4].spans == ()


def test_pipeline_gives_the_same_whatever_the_batch(base: PipelineSpec) -> None:
    """A prediction does not depend on which other texts are asked for with it."""
    pipeline = load_pipeline(base, None)
    together = pipeline.predict(TEXTS, batch_size=64)
    alone = [pipeline.predict([text], batch_size=1)[0] for text in TEXTS]
    for one, other in zip(together, alone, strict=True):
        assert [span.span for span in one.spans] == [span.span for span in other.spans]
        assert [span.score for span in one.spans] == pytest.approx([span.score for span in other.spans], rel=1e-3)
        assert one.score == pytest.approx(other.score, rel=1e-2)


def test_pipeline_without_recognizer_predicts_by_patterns_alone() -> None:
    """A blank pipeline has nothing but patterns, and its scores say that it knows little."""
    spec = base_spec("blank:de", "de", load_taxonomy(None))
    assert spec.label_mapping == {}
    text = "Mail an erika@example.org"
    [prediction] = load_pipeline(spec, None).predict([text])
    assert words(text, prediction) == [("erika@example.org", "EMAIL_ADDRESS")]
    assert prediction.score <= 0.5


def test_pipeline_joins_the_windows_of_a_long_text(base: PipelineSpec) -> None:
    """A text of many windows gives each entity at its own place, also far from the start."""
    sentence = "Angela Merkel wrote to press@example.org from Berlin. "
    text = sentence * 400
    [prediction] = load_pipeline(base, None).predict([text])
    starts = [s.start for s in prediction.spans if s.label == "EMAIL_ADDRESS"]
    assert starts == [n * len(sentence) + sentence.index("press") for n in range(400)]
    people = [text[s.start : s.end] for s in prediction.spans if s.label == "PERSON"]
    assert people.count("Angela Merkel") > 390


def test_pipeline_reads_a_megabyte_in_bounded_memory(base: PipelineSpec) -> None:
    """A text of a million characters without a seam, and a long one with some, take no memory by their length."""
    pipeline = load_pipeline(replace(base, pattern_mapping={}), None)
    pipeline.predict(["warm up"])
    before = psutil.Process().memory_info().rss
    prose, block = pipeline.predict(["Angela Merkel saw Berlin. " * 4_000, "x" * 1_000_000])
    assert len(prose.spans) > 6_000
    assert 0 < block.score < 1
    assert psutil.Process().memory_info().rss - before < 400 * 2**20


def test_pipeline_forgets_the_words_it_read() -> None:
    """A server that reads ever new words does not grow: what spaCy learns of them is freed after each batch."""
    pipeline = load_pipeline(base_spec("en_core_web_sm", "en", PEOPLE), None)
    strings = pipeline.nlp.vocab.strings
    pipeline.predict(["warm up"])
    before = len(strings)
    pipeline.predict([" ".join(f"wörd{n}x{m}" for m in range(50)) for n in range(20)])
    assert len(strings) == before
    assert "wörd7x7" not in strings


def test_pipeline_serves_several_threads_at_once(base: PipelineSpec) -> None:
    """Threads that share a pipeline all get what one alone would get."""
    pipeline = load_pipeline(base, None)
    expected = pipeline.predict(TEXTS)
    results: list[list[Prediction]] = []
    threads = [threading.Thread(target=lambda: results.append(pipeline.predict(TEXTS))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 4


def test_pipeline_spec_survives_being_stored(base: PipelineSpec) -> None:
    """What is stored beside a version loads the same version again."""
    assert PipelineSpec.from_json(json.loads(json.dumps(base.to_json()))) == base


def test_pipeline_finds_the_small_english_model_under_either_name() -> None:
    """The name en_core_web_sm works, whichever of its two packages is installed."""
    assert (find_base("en_core_web_sm") / "config.cfg").is_file()


def test_pipeline_of_a_folder_that_spacy_wrote_can_be_a_base(tmp_path: Path) -> None:
    """Whatever spacy.load takes can be a base model, a folder included, with only the parts needed."""
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    nlp.add_pipe("ner").add_label("THING")
    nlp.initialize()
    nlp.to_disk(tmp_path / "base")
    loaded = load_base(str(tmp_path / "base"))
    assert loaded.pipe_names == ["ner"]


@pytest.mark.parametrize("name", ["nosuch_model", "no/such/folder", "blank:qq", "../en", ""])
def test_pipeline_of_a_missing_base_names_it_and_the_way_out(name: str) -> None:
    """A base model that is not there is one clear sentence."""
    with pytest.raises(ModelUnavailable, match=r"blank:"):
        load_base(name)


def test_pipeline_made_for_another_spacy_is_refused(tmp_path: Path) -> None:
    """A model of another spaCy version is refused by name of both versions, before it can fail in strange ways."""
    spacy.blank("en").to_disk(tmp_path / "old")
    meta = json.loads((tmp_path / "old" / "meta.json").read_text("utf-8"))
    (tmp_path / "old" / "meta.json").write_text(json.dumps({**meta, "spacy_version": ">=2.3.0,<2.4.0"}), "utf-8")
    with pytest.raises(ModelUnavailable, match=r">=2\.3\.0,<2\.4\.0.*installed is 3\."):
        load_base(str(tmp_path / "old"))


def test_pipeline_with_broken_files_is_refused(tmp_path: Path) -> None:
    """A folder whose files are damaged is a named error, not a traceback of spaCy's."""
    nlp = spacy.blank("en")
    nlp.add_pipe("ner").add_label("THING")
    nlp.initialize()
    nlp.to_disk(tmp_path / "broken")
    (tmp_path / "broken" / "ner" / "model").write_bytes(b"not a model")
    with pytest.raises(ModelUnavailable, match="does not load"):
        load_base(str(tmp_path / "broken"))
