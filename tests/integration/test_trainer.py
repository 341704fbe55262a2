"""Training on labelled texts: what is learnt, told and left behind, whatever the texts are like."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest
import spacy
from thinc.util import gpu_is_available

from config.errors import ConfigurationError, NotEnoughData, RunCancelled
from tests.integration.lessons import LABELS, NAMES, f1_of, ignore, make_examples, plan
from training.learning.trainer import Example, Progress, train_pipeline
from training.prediction.base import labels_of, load_folder
from training.prediction.pipeline import PipelineSpec, load_pipeline
from training.prediction.windows import cut_reading_windows
from training.spans import Span


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
