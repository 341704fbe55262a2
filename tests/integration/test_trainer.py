from __future__ import annotations

import json
import random
import warnings
from pathlib import Path
from typing import Any

import pytest
import spacy
from spacy.tokens import DocBin
from thinc.util import gpu_is_available

from config.errors import ConfigurationError, ModelUnavailable, NotEnoughData, RunCancelled
from training.learning.job import Job
from training.learning.trainer import Example, LiveModel, Progress, TrainingPlan, train_pipeline
from training.metrics.evaluate import score_spans
from training.prediction.base import labels_of, load_folder
from training.prediction.pipeline import PipelineSpec, load_pipeline
from training.prediction.windows import cut_reading_windows
from training.spans import Span

NAMES = ["Ada Brandt", "Wim Okoro", "Lucy Farrow", "Tarik Holm", "Ines Petrov", "Noor Salgado", "Otto Lindqvist"]
PLACES = ["Quellstadt", "Norvale", "Port Amble", "Grimsbek", "Vellora", "San Tarin", "Ostwick"]
FORMS = [
    "{name} moved to {place} last year.",
    "Please ask {name} about it.",
    "In {place} it rained when {name} came.",
    "Send it to {place}, care of {name}!",
    "There is nothing to see here.",
    "The office in {place} is closed; write to {mail}.",
]
LABELS = ("PERSON", "CITY", "EMAIL_ADDRESS")


def make_examples(count: int, seed: int) -> list[Example]:
    """Texts that a small model learns within seconds."""
    chance = random.Random(seed)
    examples = []
    for _ in range(count):
        text, spans = "", []
        rest = chance.choice(FORMS)
        fillings = {
            "name": ("PERSON", chance.choice(NAMES)),
            "place": ("CITY", chance.choice(PLACES)),
            "mail": ("EMAIL_ADDRESS", f"{chance.choice('abcdef')}{chance.randrange(99)}@example.org"),
        }
        while "{" in rest:
            before, _, rest = rest.partition("{")
            slot, _, rest = rest.partition("}")
            label, value = fillings[slot]
            text += before
            spans.append(Span(len(text), len(text) + len(value), label))
            text += value
        examples.append(Example(text + rest, tuple(spans)))
    return examples


def plan(base: str = "blank:en", labels: tuple[str, ...] = LABELS, **settings: Any) -> TrainingPlan:
    return TrainingPlan(base=base, language="en", labels=labels, **settings)


def ignore(_progress: Progress) -> None:
    """Listens to nothing."""


def f1_of(spec: PipelineSpec, folder: Path, examples: list[Example]) -> float:
    predictions = load_pipeline(spec, folder).predict([example.text for example in examples])
    return score_spans([e.spans for e in examples], [[s.span for s in p.spans] for p in predictions]).f1


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[PipelineSpec, Path, list[Progress]]:
    """One training from blank, looked at by several tests."""
    told: list[Progress] = []
    output = tmp_path_factory.mktemp("trained") / "model"
    spec = train_pipeline(
        make_examples(60, 1), make_examples(25, 2), plan=plan(), output=output, on_progress=told.append
    )
    return spec, output, told


def test_trainer_learns_what_the_texts_show(trained: tuple[PipelineSpec, Path, list[Progress]]) -> None:
    """A model from a few dozen texts finds the spans of texts that it has not seen."""
    spec, output, _ = trained
    assert f1_of(spec, output, make_examples(40, 3)) > 0.85


def test_trainer_leaves_a_folder_that_spacy_loads(trained: tuple[PipelineSpec, Path, list[Progress]]) -> None:
    """The output is a plain spaCy pipeline, which names no folder of the machine that trained it."""
    _, output, _ = trained
    assert spacy.load(output).pipe_names == ["ner"]
    assert str(output.parent) not in (output / "config.cfg").read_text("utf-8")
    assert [path.name for path in output.parent.iterdir()] == [output.name]


def test_trainer_lets_dev_texts_train_at_the_end(trained: tuple[PipelineSpec, Path, list[Progress]]) -> None:
    """What serves has trained on the dev texts too; what it was before lies beside it, for a later training."""
    _, output, _ = trained
    before, after = load_folder(output / "before-refit"), load_folder(output)
    assert labels_of(before) == labels_of(after)
    assert before.get_pipe("ner").to_bytes() != after.get_pipe("ner").to_bytes()
    assert str(output.parent) not in (output / "before-refit" / "config.cfg").read_text("utf-8")


def test_trainer_returns_a_spec_that_serves(trained: tuple[PipelineSpec, Path, list[Progress]]) -> None:
    """The spec maps each trained label to itself, says who serves each leaf, and survives being stored."""
    spec, _, _ = trained
    assert spec.label_mapping == {label: label for label in sorted(LABELS)}
    assert set(spec.serving) == set(LABELS)
    assert spec.serving["PERSON"] == "model"
    assert spec.serving["EMAIL_ADDRESS"] in ("pattern", "both")
    assert PipelineSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


def test_trainer_tells_how_far_it_is(trained: tuple[PipelineSpec, Path, list[Progress]]) -> None:
    """Progress comes from the first moment on, only ever grows, and carries the dev part's F1 and the time left."""
    _, _, told = trained
    steps = [progress.step for progress in told]
    assert steps[0] == 0
    assert steps == sorted(steps)
    assert told[-1].dev_f1 is not None
    assert told[-1].dev_f1 > 0.8
    assert told[-1].seconds_left is not None
    assert all(0 <= progress.epoch <= 30 for progress in told)


def test_trainer_stops_early(trained: tuple[PipelineSpec, Path, list[Progress]]) -> None:
    """Once the dev part gains no more, the planned epochs are not all spent."""
    spec, _, _ = trained
    assert spec.training["epochs"] < 30
    assert spec.training["stopped_by"] == "dev"


def test_trainer_gives_the_same_model_for_the_same_seed(tmp_path: Path) -> None:
    """Texts, plan and seed decide the model; another seed gives another."""
    weights = []
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        train_pipeline(
            make_examples(12, 1),
            make_examples(6, 2),
            plan=plan(seed=seed, max_epochs=2),
            output=tmp_path / name,
            on_progress=ignore,
        )
        weights.append((tmp_path / name / "ner" / "model").read_bytes())
    assert weights[0] == weights[1] != weights[2]


@pytest.mark.parametrize("after_step", [0, 3])
def test_trainer_cancelled_leaves_nothing(tmp_path: Path, after_step: int) -> None:
    """What the listener raises ends the training at once, and neither output nor temporary files stay."""

    def cancel(progress: Progress) -> None:
        if progress.step >= after_step:
            raise RunCancelled("enough")

    with pytest.raises(RunCancelled, match="enough"):
        train_pipeline(
            make_examples(30, 1),
            make_examples(5, 2),
            plan=plan(),
            output=tmp_path / "out" / "model",
            on_progress=cancel,
        )
    assert list((tmp_path / "out").iterdir()) == []


def test_trainer_without_dev_texts_trains_a_fixed_number_of_epochs(tmp_path: Path) -> None:
    """No dev text is no failure: the number of passes is fixed, the spec says so, no F1 is made up, the loss falls."""
    told: list[Progress] = []
    output = tmp_path / "model"
    spec = train_pipeline(make_examples(40, 1), [], plan=plan(max_epochs=12), output=output, on_progress=told.append)
    assert spec.training["stopped_by"].startswith("fixed number of epochs")
    assert {progress.dev_f1 for progress in told} == {None}
    assert spec.training["epochs"] in (11, 12)
    assert spec.training["losses"][0] > 2 * spec.training["final_loss"] > 0
    assert f1_of(spec, output, make_examples(20, 3)) > 0.5


def test_trainer_copes_with_odd_data(tmp_path: Path) -> None:
    """Labels without example, unknown labels, empty texts, white space, spans through tokens, overlaps: all train."""
    examples = [
        *make_examples(10, 1),
        Example("", ()),
        Example(" \n ", (Span(0, 2, "CITY"),)),
        Example("ID:Vellora42x/7 and  Grimsbek ", (Span(3, 10, "CITY"), Span(20, 30, "CITY"), Span(0, 1, "NOSUCH"))),
        Example("Ada Brandt", (Span(0, 10, "PERSON"), Span(4, 10, "CITY"), Span(7, 99, "CITY"))),
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        spec = train_pipeline(
            examples,
            [Example("", ())],
            plan=plan(labels=("PERSON", "CITY", "IBAN_CODE"), max_epochs=1),
            output=tmp_path / "model",
            on_progress=ignore,
        )
    assert spec.training["misaligned_spans"] >= 1
    assert "IBAN_CODE" not in spec.label_mapping
    assert (
        load_pipeline(spec, tmp_path / "model").predict(["IBAN DE89370400440532013000"])[0].spans[0].label
        == "IBAN_CODE"
    )


def test_trainer_with_one_label_and_one_text_works(tmp_path: Path) -> None:
    """The least there can be is one text with one span."""
    spec = train_pipeline(
        [Example("Ada Brandt called", (Span(0, 10, "PERSON"),))],
        [],
        plan=plan(labels=("PERSON",), max_epochs=2),
        output=tmp_path / "model",
        on_progress=ignore,
    )
    assert spec.label_mapping == {"PERSON": "PERSON"}


@pytest.mark.parametrize("examples", [[], [Example("nothing", ())], [Example("odd", (Span(0, 3, "OTHER"),))]])
def test_trainer_without_any_span_says_so(tmp_path: Path, examples: list[Example]) -> None:
    """Texts without a span of the project's labels teach nothing, which is a named error."""
    with pytest.raises(NotEnoughData, match="none of the"):
        train_pipeline(examples, [], plan=plan(), output=tmp_path / "model", on_progress=ignore)
    assert not (tmp_path / "model").exists()


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


@pytest.mark.parametrize(("gpu", "works"), [("off", True), ("auto", True), ("7", False)])
def test_trainer_takes_a_gpu_where_there_is_one(tmp_path: Path, gpu: str, works: bool) -> None:
    """ "auto" falls back to the processor; a GPU that is named and not there is an error that says what to do."""
    if gpu_is_available():
        pytest.skip("this machine has a GPU")
    train = {"plan": plan(max_epochs=1, gpu=gpu), "output": tmp_path / "model", "on_progress": ignore}
    if works:
        train_pipeline(make_examples(5, 1), [], **train)
        return
    with pytest.raises(ConfigurationError, match="GPU 7"):
        train_pipeline(make_examples(5, 1), [], **train)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("chars", "joint"), [(5_000, " "), (20_000, "\n\n"), (50_000, " ")])
def test_trainer_and_prediction_take_long_documents(
    trained: tuple[PipelineSpec, Path, list[Progress]], chars: int, joint: str
) -> None:
    """In a document of many windows the same spans are found as in its sentences one by one: no seam error."""
    spec, folder, _ = trained
    pipeline = load_pipeline(spec, folder)
    sentences = [example.text for example in make_examples(chars // 30, 5)]
    text, expected = "", []
    for sentence, alone in zip(sentences, pipeline.predict(sentences), strict=True):
        expected += [(s.start + len(text), s.end + len(text), s.label) for s in alone.spans]
        text += sentence + joint
    assert len(text) > chars
    found = [(s.start, s.end, s.label) for s in pipeline.predict([text])[0].spans]
    # Neighbouring sentences are context too, so that a few differ; a lost or doubled window would be hundreds.
    assert len(set(found) ^ set(expected)) <= 0.04 * len(expected)


def test_prediction_joins_names_that_a_seam_would_part(trained: tuple[PipelineSpec, Path, list[Progress]]) -> None:
    """Where a text has no sentences, and cuts fall between words, names at the cuts are found whole."""
    spec, folder, _ = trained
    pipeline = load_pipeline(spec, folder)
    names = [f"Please ask {NAMES[n % 7]} about it" for n in range(900)]
    text = " ".join(names)
    starts = [cut.start for cut in cut_reading_windows(text)]
    assert len(starts) > 5
    found = [text[s.start : s.end] for s in pipeline.predict([text])[0].spans if s.label == "PERSON"]
    assert len(found) >= 0.98 * len(names)
    assert sum(name in NAMES for name in found) >= 0.98 * len(names)


def test_trainer_cuts_long_texts(tmp_path: Path) -> None:
    """A document of many windows trains, with every gold span inside one of them."""
    parts = make_examples(200, 5)
    text, spans = "", []
    for part in parts:
        spans += [Span(s.start + len(text), s.end + len(text), s.label) for s in part.spans]
        text += part.text + " "
    spec = train_pipeline(
        [Example(text, tuple(spans))], [], plan=plan(max_epochs=8), output=tmp_path / "model", on_progress=ignore
    )
    assert spec.training["misaligned_spans"] == 0
    assert f1_of(spec, tmp_path / "model", make_examples(20, 3)) > 0.5
