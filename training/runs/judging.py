"""Two versions on the test part: what each finds there, and what the gate says of the second."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from config.errors import NotEnoughData
from training.metrics.evaluation import Evaluation, GoldText, evaluate
from training.metrics.resample import Difference, compare_counts
from training.policy import ProjectSettings, parse_settings
from training.prediction.calibration import measure_calibration
from training.prediction.pipeline import Pipeline
from training.prediction.windows import in_portions
from training.runs.snapshot import Snapshot, take_snapshot
from training.spans import Prediction
from training.splits import Part
from training.store.tables.models import MLModel
from training.store.tables.projects import Project
from training.store.unit_of_work import Store
from training.versions.artefacts import ArtefactStore
from training.versions.gate import GateRules, Measured, Verdict, judge
from training.versions.registry import open_version


@dataclass(frozen=True, slots=True)
class Judgement:
    """Both versions' figures on the same test texts, and the verdict on the candidate."""

    candidate: Evaluation
    live: Evaluation
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two versions on the same test texts; `differences` are b less a: by figure, then by label, overall under "".

    `test_texts` is the size of the whole test part, of which they may have been measured on a sample.
    """

    a: Evaluation
    b: Evaluation
    differences: Mapping[str, Mapping[str, Difference]]
    test_texts: int = 0


def read_test_part(store: Store, project: Project, snapshot: Snapshot) -> list[GoldText]:
    """The snapshot's test texts with the tasks that show them."""
    test = snapshot.part(Part.TEST)
    with store.read() as uow:
        tasks = uow.texts.task_ids_by_text(project.id, [example.text_id for example in test])
    return [GoldText(one.text_id, one.text, one.spans, tuple(tasks.get(one.text_id, ()))) for one in test]


def judge_candidate(
    candidate: Pipeline,
    live: Pipeline,
    test: Sequence[GoldText],
    labels: Sequence[str],
    settings: ProjectSettings,
    *,
    on_step: Callable[[], None],
) -> Judgement:
    """Measure both on the test texts, on raw characters (rule 9), and let the gate judge.

    `on_step` is called between some texts and the next; what it raises ends the measurement.
    """
    found = evaluate_pipeline(candidate, test, labels, seed=settings.seed, on_step=on_step)
    before = evaluate_pipeline(live, test, labels, seed=settings.seed, on_step=on_step)
    verdict = judge(_measured(found), _measured(before), labels, rules=gate_rules(settings), seed=settings.seed)
    return Judgement(found, before, verdict)


def evaluate_pipeline(
    pipeline: Pipeline,
    test: Sequence[GoldText],
    labels: Sequence[str],
    *,
    seed: int,
    on_step: Callable[[], None] = lambda: None,
) -> Evaluation:
    """Measure a served pipeline on texts whose spans are known; labels that the project has no more do not count."""
    known = set(labels)
    predicted: list[Prediction] = []
    for portion in in_portions(test, lambda one: one.text):
        on_step()
        said = pipeline.predict([one.text for one in portion])
        predicted += [Prediction(tuple(s for s in one.spans if s.label in known), one.score) for one in said]
    found = evaluate(test, [[span.span for span in one.spans] for one in predicted], labels, seed=seed)
    return replace(found, calibration=measure_calibration([one.spans for one in test], predicted))


def compare_versions(
    store: Store, artefacts: ArtefactStore, a: MLModel, b: MLModel, *, most_chars: int | None = None
) -> Comparison:
    """Measure two versions of one project on its present test part, and how they differ (paired bootstrap by text).

    Of a test part of more than `most_chars` characters a random sample is read, drawn by the project's seed. Raises
    NotEnoughData where no verified text is in the test part, and what opening a version raises.
    """
    with store.read() as uow:
        project = uow.projects.get(a.project_id)
        snapshot = take_snapshot(uow, project)
    test, seed = read_test_part(store, project, snapshot), parse_settings(project.settings).seed
    if not test:
        raise NotEnoughData(f"project {project.id} has no verified text in its test part to compare versions on")
    read = test if most_chars is None else _draw(test, most_chars=most_chars, seed=seed)
    found_a, found_b = (
        evaluate_pipeline(open_version(model, artefacts), read, project.labels, seed=seed) for model in (a, b)
    )
    return Comparison(found_a, found_b, compare_evaluations(found_a, found_b, seed=seed), len(test))


def _draw(test: Sequence[GoldText], *, most_chars: int, seed: int) -> list[GoldText]:
    """Texts at random, up to the first one with which they would be longer together; one at least."""
    order = list(test)
    random.Random(seed).shuffle(order)
    ends = accumulate(len(one.text) for one in order)
    return order[: max(1, sum(end <= most_chars for end in ends))]


def compare_evaluations(a: Evaluation, b: Evaluation, *, seed: int) -> Mapping[str, Mapping[str, Difference]]:
    """For precision, recall and f1 the differences b less a, by label, overall under "" (paired bootstrap by text)."""
    assert a.counts is not None
    assert b.counts is not None
    names = (*b.labels, "")
    return {
        figure: dict(zip(names, differences, strict=True))
        for figure, differences in compare_counts(a.counts, b.counts, seed=seed).items()
    }


def gate_rules(settings: ProjectSettings) -> GateRules:
    """The gate's rules as the project sets them."""
    return GateRules(
        min_test_texts=settings.min_test_texts,
        margin=settings.gate_margin,
        confidence=settings.gate_confidence,
        min_gain=settings.gate_min_gain,
        min_label_support=settings.gate_min_label_support,
        max_label_loss=settings.gate_max_label_loss,
        recall_floors=settings.gate_recall_floors,
    )


def _measured(evaluation: Evaluation) -> Measured:
    assert evaluation.counts is not None
    return Measured(evaluation.scores, evaluation.counts)
