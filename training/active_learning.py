"""Active learning in three classes: convert what was corrected, train on it, run the whole cycle.

    from training.active_learning import ActiveLearningPipeline, ModelTrainer, TrainingDataConverter

    result = ActiveLearningPipeline(model_name="en_core_web_sm").run_training_cycle(n_iter=30, min_samples=10)

They are faces of the store, the trainer and the run, for scripts and notebooks. What a class is not given it takes from
the settings (docs/settings.md): the database, the folder of models, and the project where there is only one.
Test texts of a project are never among the training data.
"""

from __future__ import annotations

import random
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from config.errors import InvalidInput, NotFound, RunLost, SpanInvalid
from config.settings import Settings, load_settings
from training.learning.trainer import BEFORE_REFIT, Example, TrainingPlan, train_pipeline
from training.metrics.evaluate import score_spans
from training.policy import parse_settings
from training.prediction.base import load_base
from training.prediction.pipeline import Pipeline, base_spec, known_names, load_pipeline
from training.project_settings import change_settings
from training.runs.run import Workshop, execute_run, fail_run, reap_lost_runs, request_run
from training.spans import find_problems, parse_spans, trainable_spans
from training.splits import Part
from training.store.database import open_engine
from training.store.tables.examples import Source, TrainingDataset
from training.store.tables.runs import RunStatus, TrainingBatch
from training.store.tables.texts import TextRow
from training.store.unit_of_work import Store
from training.versions.artefacts import ArtefactStore

# What spaCy's users know as training data: the text, and {"entities": [(start, end, label)]}.
TrainingData = list[tuple[str, dict[str, list[tuple[int, int, str]]]]]
DEFAULT_MODEL = "en_core_web_sm"
TRIGGER = "python"
FEEDBACK = frozenset({Source.LABEL_STUDIO, Source.USER_FEEDBACK})
# Of training data handed in, so much stops the training early; below so many texts none does.
DEV_SHARE, FEWEST_FOR_DEV = 0.15, 20
# A run gives a sign of life every two seconds.
LOST_AFTER = timedelta(minutes=5)


def open_workshop(settings: Settings | None = None) -> Workshop:
    """Store, models and work folder of an installation, by default the one that the settings name."""
    settings = settings or load_settings()
    work_dir = settings.data_dir.absolute() / "work"
    work_dir.mkdir(parents=True, exist_ok=True)
    store = Store(open_engine(settings.resolved_database_url))
    return Workshop(
        store, ArtefactStore(settings.resolved_artefacts_url), work_dir, lambda: datetime.now(UTC), gpu=settings.gpu
    )


class TrainingDataConverter:
    """Verified texts of a project's train part in spaCy's training format, spans that cannot be learnt left out."""

    @staticmethod
    def feedback_to_training_data(
        limit: int | None = None, *, store: Store | None = None, project_id: int | None = None
    ) -> TrainingData:
        """What annotators verified and no registered model has taken in yet, newest first."""
        return _convert(store, project_id, lambda e: e.source in FEEDBACK and e.counted_run_id is None, limit)

    @staticmethod
    def training_dataset_to_spacy_format(*, store: Store | None = None, project_id: int | None = None) -> TrainingData:
        """Every verified text, wherever it came from, newest first."""
        return _convert(store, project_id, lambda _: True, None)


def _convert(
    store: Store | None, project_id: int | None, wanted: Callable[[TrainingDataset], bool], limit: int | None
) -> TrainingData:
    with (store or open_workshop().store).read() as uow:
        project = uow.projects.choose(project_id)
        rows = [row for row in uow.examples.verified(project.id) if row[1].part == Part.TRAIN and wanted(row[0])]
    rows.sort(key=lambda row: (row[0].updated_at, row[1].id), reverse=True)
    return [_as_pair(example, text, project.labels) for example, text in rows[:limit]]


def _as_pair(
    example: TrainingDataset, text: TextRow, labels: Sequence[str]
) -> tuple[str, dict[str, list[tuple[int, int, str]]]]:
    spans = trainable_spans(text.text, parse_spans(example.entities), labels)
    return text.text, {"entities": [(span.start, span.end, span.label) for span in spans]}


class ModelTrainer:
    """Trains one model on training data, outside of any run: nothing is registered, no version changes."""

    def __init__(
        self,
        model_name: str = DEFAULT_MODEL,
        *,
        store: Store | None = None,
        project_id: int | None = None,
        recipe: str = "auto",
        seed: int = 0,
    ) -> None:
        """`model_name` is what spacy.load takes, or `blank:LANG`."""
        self.model_name, self.recipe, self.seed = model_name, recipe, seed
        self._store, self._project_id = store, project_id
        self._folder = tempfile.mkdtemp(prefix="spanloop-trainer-")
        weakref.finalize(self, shutil.rmtree, self._folder, True)
        self._trained: Pipeline | None = None

    def prepare_training_data(self, include_feedback: bool = True, include_datasets: bool = True) -> TrainingData:
        """The project's verified train texts, each once: new feedback, all verified ones, or both."""
        store, project_id = self._store or open_workshop().store, self._project_id
        found: TrainingData = []
        if include_feedback:
            found += TrainingDataConverter.feedback_to_training_data(store=store, project_id=project_id)
        if include_datasets:
            found += TrainingDataConverter.training_dataset_to_spacy_format(store=store, project_id=project_id)
        return list({text: (text, annotations) for text, annotations in found}.values())

    def train(
        self, training_data: TrainingData, n_iter: int = 30, batch_size: int | None = None, drop: float | None = None
    ) -> dict[str, Any]:
        """Train on the data, in at most `n_iter` passes: some of it is held back, and ends the training early.

        `batch_size` (texts) and `drop` are the recipe's own unless given. Returns training_samples, iterations,
        losses (mean of an update, about one for each pass), final_loss, average_loss and recipe. Raises NotEnoughData
        where no text has an entity, InvalidInput for numbers out of range and for entities that cannot be learnt.
        """
        _check_numbers(n_iter, batch_size, drop)
        examples = _read_examples(training_data)
        _check_learnable(examples)
        random.Random(self.seed).shuffle(examples)
        held = int(len(examples) * DEV_SHARE) if len(examples) >= FEWEST_FOR_DEV else 0
        labels = tuple(sorted({span.label for example in examples for span in example.spans}))
        plan = TrainingPlan(
            base=self.model_name,
            language=load_base(self.model_name).lang,
            labels=labels,
            seed=self.seed,
            max_epochs=n_iter,
            recipe=self.recipe,
            batch_texts=batch_size,
            dropout=drop,
        )
        output = Path(tempfile.mkdtemp(dir=self._folder)) / "model"
        spec = train_pipeline(examples[held:], examples[:held], plan=plan, output=output, on_progress=lambda _: None)
        self._trained = load_pipeline(spec, output)
        self._output = output
        facts = spec.training
        return {
            "training_samples": len(examples),
            "iterations": facts["epochs"],
            "losses": facts["losses"],
            "final_loss": facts["final_loss"],
            "average_loss": facts["average_loss"],
            "recipe": facts["recipe"],
        }

    def evaluate(self, test_data: TrainingData) -> dict[str, Any]:
        """Exact-span precision, recall and F1 on raw characters, of the base model while nothing was trained."""
        examples = _read_examples(test_data)
        pipeline = self._trained or self._base(examples)
        predicted = pipeline.predict([example.text for example in examples])
        scores = score_spans([e.spans for e in examples], [[span.span for span in p.spans] for p in predicted])
        return {
            "precision": scores.precision,
            "recall": scores.recall,
            "f1_score": scores.f1,
            "test_samples": scores.texts,
        }

    def save_model(self, path: str | Path) -> str:
        """Copy the trained pipeline, which spacy.load reads, into a new folder. Raises NotFound, InvalidInput."""
        if self._trained is None:
            raise NotFound("there is no trained model to save yet; call train() first")
        if Path(path).exists():
            raise InvalidInput(f"{path} is there already; name a folder that is not")
        shutil.copytree(self._output, path, ignore=shutil.ignore_patterns(BEFORE_REFIT))
        return str(path)

    def _base(self, examples: Iterable[Example]) -> Pipeline:
        labels = sorted({span.label for example in examples for span in example.spans})
        spec = base_spec(self.model_name, load_base(self.model_name).lang, known_names(labels))
        return load_pipeline(spec, None)


def _check_numbers(n_iter: int, batch_size: int | None, drop: float | None) -> None:
    parse_settings({"max_epochs": n_iter})
    if batch_size is not None and batch_size < 1:
        raise InvalidInput(f"batch_size {batch_size} is no number of texts; give 1 or more")
    if drop is not None and not 0 <= drop < 1:
        raise InvalidInput(f"drop {drop:g} is no share that can be left out; give 0 or more, and less than 1")


def _read_examples(data: TrainingData) -> list[Example]:
    return [_read_example(number, item) for number, item in enumerate(data)]


def _read_example(number: int, item: Any) -> Example:
    try:
        text, annotations = item
        rows = [{"start": start, "end": end, "label": label} for start, end, label in annotations["entities"]]
        if not isinstance(text, str):
            raise TypeError(f"the text is of type {type(text).__name__}")
    except (TypeError, ValueError, KeyError) as error:
        raise InvalidInput(f'item {number} is no (text, {{"entities": [(start, end, label)]}})') from error
    try:
        return Example(text, parse_spans(rows))
    except SpanInvalid as error:
        raise SpanInvalid(f"item {number}: {error.message}") from error


def _check_learnable(examples: Sequence[Example]) -> None:
    """Raise SpanInvalid for the first span that training would have to drop."""
    for number, example in enumerate(examples):
        for problem in find_problems(example.text, example.spans, {span.label for span in example.spans}):
            raise SpanInvalid(f"item {number}: {problem.detail}; take the span out or correct it")


class ActiveLearningPipeline:
    """A project's whole training cycle in this process: collect, train, evaluate, judge, register."""

    def __init__(
        self, model_name: str | None = None, *, project_id: int | None = None, workshop: Workshop | None = None
    ) -> None:
        """`model_name` is the base model; None: the project's own."""
        self.model_name, self._project_id = model_name, project_id
        self._workshop = workshop or open_workshop()

    def run_training_cycle(
        self, n_iter: int = 30, test_split: float | None = None, min_samples: int = 10, *, promote: bool = False
    ) -> dict[str, Any]:
        """Carry a run through and say how it ended; the model is not live unless `promote` lets its gate decide.

        Texts keep the part they got at first sight: another `test_split` becomes the project's, for texts to come.
        The result holds status (completed, failed, cancelled or waiting), batch_id, model_id, metrics (precision,
        recall, f1_score, training_samples, test_samples), model_path, activated, and error where there is one.
        Raises Conflict where the project has a run under way.
        """
        store = self._workshop.store
        with store.read() as uow:
            project = uow.projects.choose(self._project_id)
        if test_split is not None:
            change_settings(store, project.id, {"test_fraction": test_split}, clock=self._workshop.clock)
        configuration = run_configuration(base_model=self.model_name, max_epochs=n_iter, min_samples=min_samples)
        with store.write() as uow:
            # Where no scheduler looks after runs, a killed process would hold its project for ever.
            reap_lost_runs(uow, timeout=LOST_AFTER, now=self._workshop.clock(), project_id=project.id)
            run = request_run(
                uow,
                project.id,
                trigger=TRIGGER,
                promote=promote,
                configuration=configuration,
                now=self._workshop.clock(),
            )
            uow.commit()
        try:
            outcome = execute_run(run.id, self._workshop, worker=TRIGGER)
        finally:
            self._let_go(run.id)
        return {**self._describe(run.id), "activated": outcome.activated}

    def _let_go(self, run_id: str) -> None:
        """Mark a run that is broken off, by Ctrl-C or an error that nobody foresaw, as failed."""
        with self._workshop.store.write() as uow:
            run = uow.runs.get(run_id)
            # Another process's worker may have taken it first.
            if run.status == RunStatus.RUNNING and run.worker == TRIGGER:
                message = "its process was interrupted"
                fail_run(uow, run_id, code=RunLost.code, message=message, now=self._workshop.clock())
                uow.commit()

    def _describe(self, run_id: str) -> dict[str, Any]:
        with self._workshop.store.read() as uow:
            run = uow.runs.get(run_id)
            model = uow.models.get(run.model_id) if run.model_id else None
        path = self._workshop.artefacts.fetch(model.path, model.checksum or "") if model and model.path else None
        return {
            "status": run.status,
            "batch_id": run.id,
            "model_id": run.model_id,
            "metrics": run_metrics(run) if run.status == RunStatus.COMPLETED else None,
            "model_path": str(path) if path else None,
            "error": run.error,
        }


def run_configuration(
    *,
    base_model: str | None = None,
    max_epochs: int | None = None,
    min_samples: int | None = None,
    recipe: str | None = None,
) -> dict[str, Any]:
    """What a run is asked to do otherwise than its project's settings say. Raises InvalidInput."""
    given = {"max_epochs": max_epochs, "min_samples": min_samples, "recipe": recipe}
    settings = {name: value for name, value in given.items() if value is not None}
    parse_settings(settings)
    return {**({"base_model": base_model} if base_model else {}), **({"settings": settings} if settings else {})}


def run_metrics(run: TrainingBatch) -> dict[str, Any]:
    """A completed run's figures on the test part, and the number of texts that it trained and tested on."""
    names = ("precision", "recall", "f1_score", "training_samples", "test_samples")
    return {name: (run.metrics or {})[name] for name in names}
