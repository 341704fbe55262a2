from __future__ import annotations

import json
import random
import warnings
from pathlib import Path
from typing import Any

import pytest
import spacy

from config.errors import ConfigurationError, ModelUnavailable, NotEnoughData, RunCancelled
from training.evaluate import score_spans
from training.pipeline import PipelineSpec, load_pipeline
from training.spans import Span
from training.trainer import Example, Progress, TrainingPlan, train_pipeline

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
    """No dev text is no failure: the number of passes is fixed, the spec says so, no F1 is made up."""
    told: list[Progress] = []
    output = tmp_path / "model"
    spec = train_pipeline(make_examples(40, 1), [], plan=plan(max_epochs=12), output=output, on_progress=told.append)
    assert spec.training["stopped_by"].startswith("fixed number of epochs")
    assert {progress.dev_f1 for progress in told} == {None}
    assert spec.training["epochs"] in (11, 12)
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


@pytest.mark.parametrize("recipe", ["auto", "finetune"])
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
    assert spec.training["recipe"] == {"auto": "warm"}.get(recipe, recipe)
    assert set(spec.label_mapping.values()) == set(LABELS)
    assert spacy.load(output).pipe_names == ["ner"]
    assert str(tmp_path) not in (output / "config.cfg").read_text("utf-8")
    assert f1_of(spec, output, make_examples(30, 3)) > 0.7


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
