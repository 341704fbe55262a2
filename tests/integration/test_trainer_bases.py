"""Training on top of something: a base model or the live version, and what the model keeps of it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import spacy
from spacy.tokens import DocBin

from config.errors import ConfigurationError, ModelUnavailable, RunCancelled
from tests.integration.lessons import LABELS, PLACES, f1_of, ignore, make_examples, plan
from training.learning.job import Job
from training.learning.trainer import Example, LiveModel, train_pipeline
from training.spans import Span


def test_trainer_with_a_missing_base_or_recipe_leaves_nothing(tmp_path: Path) -> None:
    """A base model that is not installed, or a recipe that it has no parts for, is named before anything is written."""
    for wrong, error in (
        (plan("nosuch_model"), ModelUnavailable),
        (plan(recipe="nosuch"), ConfigurationError),
        (plan(recipe="finetune"), ConfigurationError),
    ):
        with pytest.raises(error):
            train_pipeline(make_examples(5, 1), [], plan=wrong, output=tmp_path / "model", on_progress=ignore)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("recipe", ["auto", "warm"])
def test_trainer_builds_on_a_base_model(tmp_path: Path, recipe: str) -> None:
    """From a base with a recognizer the project's labels are learnt too, under whatever name the recipe trains them."""
    output = tmp_path / "model"
    spec = train_pipeline(
        make_examples(40, 1),
        make_examples(15, 2),
        plan=plan("en_core_web_sm", recipe=recipe, max_epochs=10),
        output=output,
        on_progress=ignore,
    )
    assert spec.training["recipe"] == {"auto": "finetune"}.get(recipe, recipe)
    assert set(spec.label_mapping.values()) == set(LABELS)
    assert spacy.load(output).pipe_names == ["ner"]
    assert str(tmp_path) not in (output / "config.cfg").read_text("utf-8")
    assert f1_of(spec, output, make_examples(30, 3)) > 0.7


def make_glued_examples(count: int, seed: int) -> list[Example]:
    """Texts with codes inside of what a language's tokenizer takes for one word."""
    chance = random.Random(seed)
    made = []
    for _ in range(count):
        age, number = str(chance.randrange(18, 99)), f"{chance.randrange(999):03}-{chance.randrange(99):02}"
        text = f"Age:{age}y tel.{number}x"
        at = text.index(number)
        made.append(Example(text, (Span(4, 6, "AGE"), Span(at, at + len(number), "CODE"))))
    return made


@pytest.mark.parametrize("base", ["blank:en", "en_core_web_sm"])
def test_trainer_finds_codes_glued_to_words(tmp_path: Path, base: str) -> None:
    """Spans inside of words are learnt exactly, with tokens that plain spaCy has after loading the model."""
    output = tmp_path / "model"
    spec = train_pipeline(
        make_glued_examples(40, 1),
        make_glued_examples(10, 2),
        plan=plan(base, labels=("AGE", "CODE"), max_epochs=10),
        output=output,
        on_progress=ignore,
    )
    assert (spec.training["tokenizer"], spec.training["misaligned_spans"]) == ("boundaries", 0)
    assert [token.text for token in spacy.load(output)("Age:45y")] == ["Age", ":", "45", "y"]
    assert f1_of(spec, output, make_glued_examples(20, 3)) > 0.9


def test_trainer_goes_on_with_the_live_version(tmp_path: Path) -> None:
    """The live version's recognizer is trained on, with a new label beside its own; where it can't be, it says why."""
    first = plan(labels=("PERSON", "CITY"), max_epochs=8)
    one = train_pipeline(make_examples(40, 1), [], plan=first, output=tmp_path / "one", on_progress=ignore)
    live = LiveModel(tmp_path / "one", one)
    two = train_pipeline(
        make_examples(30, 1),
        [],
        plan=plan(max_epochs=3, live=live),
        output=tmp_path / "two",
        on_progress=ignore,
    )
    assert two.training["recipe"] == "continue"
    assert set(two.label_mapping) == set(LABELS)
    assert f1_of(two, tmp_path / "two", make_examples(30, 3)) > 0.8
    for wrong, reason in (
        (plan(recipe="continue"), "no trained version is live"),
        (plan(labels=("CITY",), recipe="continue", live=live), "PERSON"),
        (plan("blank:de", recipe="continue", live=live), "another base model"),
    ):
        with pytest.raises(ConfigurationError, match=reason):
            train_pipeline(make_examples(5, 1), [], plan=wrong, output=tmp_path / "three", on_progress=ignore)
    anew = plan(labels=("CITY",), live=live, max_epochs=1)
    three = train_pipeline(make_examples(5, 1), [], plan=anew, output=tmp_path / "three", on_progress=ignore)
    assert three.training["recipe"] == "blank"


def test_trainer_rehearses_what_the_project_does_not_teach(tmp_path: Path) -> None:
    """A base model that is trained on keeps labels that are in no training text; without rehearsal it loses them."""
    texts = ["Paris is larger than Oslo.", "Germany and France met in June.", "It cost 20 dollars in London."]
    found = {}
    for rehearse in (True, False):
        output = tmp_path / str(rehearse)
        spec = train_pipeline(
            [Example(f"{text} Ref {n}-AX{n}.", ()) for n, text in enumerate(texts * 4)] + make_code_examples(40),
            [],
            plan=plan(
                "en_core_web_sm",
                labels=("CODE",),
                recipe="finetune",
                max_epochs=6,
                unlabelled=tuple(texts),
                rehearse=rehearse,
            ),
            output=output,
            on_progress=ignore,
        )
        assert ("GPE" in spec.training["kept_labels"]) is rehearse
        found[rehearse] = [e.text for text in texts for e in spacy.load(output)(text).ents if e.label_ == "GPE"]
    assert len(found[True]) >= 4
    assert len(found[False]) < len(found[True])


def test_trainer_leaves_open_what_the_base_calls_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody annotated, the base's label for spans that the project labels otherwise is not taught."""
    texts = ("Germany and France met in 2019.", "Paris was larger than Oslo in 1987.")
    docs: list[Any] = []

    def look(job: Job) -> Path:
        docs.extend(DocBin().from_disk(job.folder / "train.spacy").get_docs(job.base.vocab))
        raise RunCancelled("that was all")

    monkeypatch.setattr("training.learning.trainer.run_loop", look)
    years = [f"London and Rome met in {year}." for year in range(1990, 2000)]
    with pytest.raises(RunCancelled):
        train_pipeline(
            [Example(text, (Span(len(text) - 5, len(text) - 1, "YEAR"),)) for text in years],
            [],
            plan=plan("en_core_web_sm", labels=("YEAR",), recipe="finetune", unlabelled=texts),
            output=tmp_path / "model",
            on_progress=ignore,
        )
    annotated, waiting = docs[: len(years)], docs[len(years) :]
    assert {"YEAR", "GPE"} <= {ent.label_ for doc in annotated for ent in doc.ents}
    assert [doc.text for doc in waiting] == list(texts)
    assert "GPE" in {ent.label_ for doc in waiting for ent in doc.ents}
    assert "DATE" not in {ent.label_ for doc in waiting for ent in doc.ents}
    assert all(token.ent_iob == 0 for doc in waiting for token in doc if token.is_digit)


def test_trainer_stops_by_the_projects_labels_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the base says of its own labels, right from the start, must not choose a model that has learnt nothing."""
    docs: list[Any] = []

    def look(job: Job) -> Path:
        docs.extend(DocBin().from_disk(job.folder / "dev.spacy").get_docs(job.base.vocab))
        raise RunCancelled("that was all")

    monkeypatch.setattr("training.learning.trainer.run_loop", look)
    with pytest.raises(RunCancelled):
        train_pipeline(
            make_code_examples(5),
            make_code_examples(5),
            plan=plan("en_core_web_sm", labels=("CODE",), recipe="finetune"),
            output=tmp_path / "model",
            on_progress=ignore,
        )
    assert {ent.label_ for doc in docs for ent in doc.ents} == {"CODE"}
    assert all(any(token.ent_iob == 0 for token in doc) for doc in docs)


def make_code_examples(count: int) -> list[Example]:
    """Texts with a code, in places that the base model knows."""
    texts = (f"In {PLACES[n % 7]} the code QX{n:03} was sent to France." for n in range(count))
    return [Example(text, (Span(text.index("QX"), text.index("QX") + 5, "CODE"),)) for text in texts]
