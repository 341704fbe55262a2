"""The three faces, as a script uses them."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import spacy

from config.errors import Conflict, InvalidInput, NotFound
from tests.integration.rows import Desk, later, new_project, new_run
from tests.integration.shop import NAMES, WORDS
from training.active_learning import ActiveLearningPipeline, ModelTrainer, TrainingData, TrainingDataConverter
from training.prediction.pipeline import PipelineSpec
from training.runs.run import RunOutcome, Workshop, execute_run, request_run
from training.spans import Span
from training.store.tables.runs import RunStatus
from training.store.unit_of_work import Store
from training.versions.artefacts import ArtefactStore
from training.versions.registry import register_base

SETTINGS = {"test_fraction": 0.3, "dev_fraction": 0.0, "min_test_texts": 2}
SPEC = PipelineSpec(base="blank:en", language="en", labels=("PERSON", "SSN", "CITY"), label_mapping={})


def make_data(count: int) -> TrainingData:
    """Texts with a name at a place that varies."""
    chance = random.Random(3)
    data: TrainingData = []
    for _ in range(count):
        words = chance.sample(WORDS, 6)
        name, at = chance.choice(NAMES), chance.randrange(6)
        text = " ".join([*words[:at], name, *words[at:]])
        data.append((text, {"entities": [(text.index(name), text.index(name) + len(name), "PERSON")]}))
    return data


@pytest.fixture
def desk(sqlite_store: Store) -> Desk:
    """A project with thirty annotated texts."""
    desk = Desk(sqlite_store, settings=SETTINGS)
    with sqlite_store.write() as uow:
        register_base(uow, uow.projects.lock(1), SPEC, now=later(0))
        uow.commit()
    for number, (text, gold) in enumerate(make_data(30), start=1):
        [(start, end, label)] = gold["entities"]
        desk.task(number, text)
        desk.annotate(number, number, Span(start, end, label), at=number)
    return desk


@pytest.fixture
def workshop(desk: Desk, tmp_path: Path) -> Workshop:
    """A workshop on that project."""
    return Workshop(desk.store, ArtefactStore(tmp_path / "models"), tmp_path / "work", lambda: later(1000))


def test_converter_gives_train_texts_in_spacys_format(desk: Desk) -> None:
    """Verified texts come as pairs of text and entities, newest first, and no test text is among them."""
    found = TrainingDataConverter.feedback_to_training_data(store=desk.store)
    assert {desk.text(text).part for text, _ in found} == {"train"}
    assert all(dict(make_data(30))[text] == gold for text, gold in found)
    assert TrainingDataConverter.feedback_to_training_data(limit=3, store=desk.store) == found[:3]
    assert TrainingDataConverter.training_dataset_to_spacy_format(store=desk.store) == found


def test_pipeline_runs_a_whole_cycle(desk: Desk, workshop: Workshop) -> None:
    """A cycle trains, evaluates and registers; the model is not live, and what it took is no new feedback any more."""
    result = ActiveLearningPipeline(model_name="blank:en", workshop=workshop).run_training_cycle(
        n_iter=4, test_split=0.3, min_samples=10
    )
    assert (result["status"], result["error"], result["activated"]) == ("completed", None, False)
    assert set(result["metrics"]) == {"precision", "recall", "f1_score", "training_samples", "test_samples"}
    assert result["metrics"]["training_samples"] + result["metrics"]["test_samples"] == 30
    assert spacy.load(result["model_path"]).pipe_names == ["ner"]
    with desk.store.read() as uow:
        model, run = uow.models.get(result["model_id"]), uow.runs.get(result["batch_id"])
        live = uow.models.live(1)
    assert (run.model_id, model.is_production) == (model.id, False)
    assert (live.version if live else "") == "spanloop-v0"
    assert TrainingDataConverter.feedback_to_training_data(store=desk.store) == []
    assert TrainingDataConverter.training_dataset_to_spacy_format(store=desk.store) != []


def test_pipeline_with_too_few_samples_says_so(workshop: Workshop) -> None:
    """Below the minimum the cycle fails with the figures, and no model is made."""
    result = ActiveLearningPipeline(workshop=workshop).run_training_cycle(min_samples=31)
    assert (result["status"], result["model_id"], result["metrics"]) == ("failed", None, None)
    assert "30 verified texts, a run needs 31" in result["error"]


def test_pipeline_refuses_a_second_run(desk: Desk, workshop: Workshop) -> None:
    """While the project has a run, no other cycle starts; wrong numbers are named."""
    with pytest.raises(InvalidInput, match="max_epochs"):
        ActiveLearningPipeline(workshop=workshop).run_training_cycle(n_iter=0)
    with desk.store.write() as uow:
        request_run(uow, 1, trigger="test", promote=False, now=later(0))
        uow.commit()
    with pytest.raises(Conflict):
        ActiveLearningPipeline(workshop=workshop).run_training_cycle()


def test_pipeline_that_was_broken_off_holds_no_place(
    desk: Desk, workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After Ctrl-C, or a process that was killed, the next cycle starts, also where no scheduler looks after runs."""

    def press(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    pipeline = ActiveLearningPipeline(workshop=workshop)
    monkeypatch.setattr("training.runs.run.train_pipeline", press)
    with pytest.raises(KeyboardInterrupt):
        pipeline.run_training_cycle()
    with desk.store.write() as uow:
        [run] = uow.runs.of_project(1)
        assert (run.status, run.error_code) == ("failed", "run_lost")
        assert uow.runs.add(new_run(status=RunStatus.RUNNING, worker="killed", heartbeat_at=later(0)))
        uow.commit()
    assert "31" in pipeline.run_training_cycle(min_samples=31)["error"]


def test_pipeline_leaves_other_projects_runs_to_their_own_patience(desk: Desk, workshop: Workshop) -> None:
    """How long a worker may be silent is the running system's to say; a cycle looks at its own project alone."""
    with desk.store.write() as uow:
        uow.session.add(new_project(2))
        uow.session.flush()
        assert uow.runs.add(new_run(2, RunStatus.RUNNING, worker="slow", heartbeat_at=later(0)))
        uow.commit()
    ActiveLearningPipeline(workshop=workshop, project_id=1).run_training_cycle(min_samples=31)
    with desk.store.read() as uow:
        [run] = uow.runs.of_project(2)
    assert run.status == "running"


def test_pipeline_leaves_alone_what_a_worker_took_before_it(
    desk: Desk, workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside a running system its worker may be quicker: the cycle says so, and that worker's run goes on."""

    def come_late(run_id: str, workshop: Workshop, *, worker: str) -> RunOutcome:
        with desk.store.write() as uow:
            uow.runs.move(run_id, RunStatus.RUNNING).worker = "quicker"
            uow.commit()
        return execute_run(run_id, workshop, worker=worker)

    monkeypatch.setattr("training.active_learning.execute_run", come_late)
    with pytest.raises(Conflict):
        ActiveLearningPipeline(workshop=workshop).run_training_cycle()
    with desk.store.read() as uow:
        [run] = uow.runs.of_project(1)
        assert (run.status, run.worker) == ("running", "quicker")


def test_trainer_trains_evaluates_and_saves(desk: Desk, tmp_path: Path) -> None:
    """A trainer by hand: data from the store, figures of the training, exact-span scores, a folder for spacy.load."""
    trainer = ModelTrainer(model_name="blank:en", store=desk.store)
    data = trainer.prepare_training_data(include_feedback=True, include_datasets=True)
    with pytest.raises(NotFound):
        trainer.save_model(tmp_path / "none")
    before: dict[str, Any] = trainer.evaluate(data)
    metrics = trainer.train(data, n_iter=8, batch_size=4, drop=0.2)
    assert metrics["training_samples"] == len(data)
    assert 1 <= metrics["iterations"] <= 8
    assert metrics["final_loss"] == pytest.approx(metrics["losses"][-1], abs=1e-3)
    assert 0 < metrics["final_loss"] < metrics["average_loss"] * 3
    after = trainer.evaluate(data)
    assert set(after) == {"precision", "recall", "f1_score", "test_samples"}
    assert after["f1_score"] > before["f1_score"] == 0.0
    assert spacy.load(trainer.save_model(tmp_path / "model")).pipe_names == ["ner"]
    with pytest.raises(InvalidInput, match="is there already"):
        trainer.save_model(tmp_path / "model")


ENTITY = [(0, 3, "PERSON")]


@pytest.mark.parametrize(
    ("item", "named"),
    [
        (("Ada", {"entities": [(0, 30, "PERSON")]}), "item 12: 0 to 30 in a text of 3 characters"),
        (("Ada Bo", {"entities": [(3, 4, "PERSON")]}), "item 12: only white space"),
        (("Ada Bo", {"entities": [(0, 3, "PERSON"), (0, 6, "CITY")]}), "item 12: overlaps a longer span"),
        (("Ada", {"entities": [("0", "3", "PERSON")]}), "item 12: span 0 needs integers"),
        (("Ada", {"entities": [(0, 3)]}), "item 12 is no"),
        (("Ada", {"entites": ENTITY}), "item 12 is no"),
        (("Ada", ENTITY), "item 12 is no"),
        ((None, {"entities": ENTITY}), "item 12 is no"),
    ],
)
def test_trainer_names_data_that_it_cannot_learn(item: Any, named: str) -> None:
    """What cannot be trained as it stands is refused with its place, since a dropped span would teach the opposite."""
    trainer = ModelTrainer(model_name="blank:en")
    with pytest.raises(InvalidInput, match=named):
        trainer.train([*make_data(12), item], n_iter=1)


@pytest.mark.parametrize("wrong", [{"n_iter": 0}, {"n_iter": -1}, {"batch_size": 0}, {"drop": 1.0}, {"drop": -0.1}])
def test_trainer_refuses_numbers_that_make_no_training(wrong: dict[str, Any]) -> None:
    """No pass, no text an update, or nothing left of the network: spaCy takes a zero for no limit at all."""
    with pytest.raises(InvalidInput, match=r"max_epochs|batch_size|drop"):
        ModelTrainer(model_name="blank:en").train(make_data(12), **wrong)
