"""What a trained pipeline's dev part decides: who serves each label, and what its scores mean."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from training.learning.corpus import Example
from training.metrics.evaluate import LabelScores, score_spans
from training.prediction.calibration import Curve, fit_curve
from training.prediction.compose import Evidence, choose
from training.prediction.pipeline import Pipeline, PipelineSpec
from training.prediction.scoring import DEFAULT_SPAN, DEFAULT_TASK, Calibration, log_odds, task_log_odds
from training.prediction.windows import in_portions

# With fewer training spans than this a label's patterns are kept beside the model where neither is better.
SMALL_SUPPORT = 30


def fit(
    pipeline: Pipeline, train: Sequence[Example], dev: Sequence[Example], *, on_step: Callable[[], None]
) -> PipelineSpec:
    """The pipeline's spec with `serving` and `calibration` measured on the dev part.

    Patterns learn nothing from training texts, so these count for them too. `on_step` is called every now and then.
    """
    dev_evidence = _gather(pipeline, dev, on_step)
    patterns = _pattern_counts(pipeline, [*train, *dev], on_step)
    support = Counter(span.label for example in train for span in example.spans)
    calibration = Calibration(
        span=fit_curve(*_model_cases(dev, dev_evidence), default=DEFAULT_SPAN),
        patterns=patterns,
    )
    serving = _choose_serving(pipeline, dev, dev_evidence, calibration, support)
    calibration = replace(calibration, task=_fit_task(dev, dev_evidence, serving, calibration))
    return replace(pipeline.spec, serving=serving, calibration=calibration.to_json())


def _gather(pipeline: Pipeline, examples: Sequence[Example], on_step: Callable[[], None]) -> list[Evidence]:
    found: list[Evidence] = []
    for portion in in_portions(examples, lambda example: example.text):
        found += pipeline.gather([example.text for example in portion])
        on_step()
    return found


def _pattern_counts(
    pipeline: Pipeline, examples: Sequence[Example], on_step: Callable[[], None]
) -> dict[str, tuple[int, int]]:
    """For each leaf how many of its patterns' spans were right, and how many there were."""
    found: Counter[str] = Counter()
    right: Counter[str] = Counter()
    for example in examples:
        on_step()
        spans = [span.span for span in pipeline.find_patterns(example.text)]
        gold = set(example.spans)
        found.update(span.label for span in spans)
        right.update(span.label for span in spans if span in gold)
    return {leaf: (right[leaf], found[leaf]) for leaf in sorted(found)}


def _model_cases(examples: Sequence[Example], evidence: Sequence[Evidence]) -> tuple[list[float], list[bool]]:
    cases: list[tuple[float, bool]] = []
    for example, seen in zip(examples, evidence, strict=True):
        gold = set(example.spans)
        cases += [(log_odds(span.score), span.span in gold) for span in seen.model]
    return [x for x, _ in cases], [y for _, y in cases]


def _fit_task(
    examples: Sequence[Example],
    evidence: Sequence[Evidence],
    serving: Mapping[str, str],
    calibration: Calibration,
) -> Curve:
    """How often nothing was to be edited, against the log-odds that the uncalibrated task score is made of."""
    cases: list[float] = []
    right: list[bool] = []
    for example, seen in zip(examples, evidence, strict=True):
        choice = choose(seen, serving=serving, calibration=calibration)
        cases.append(task_log_odds(choice.shown, choice.log_nothing_missed))
        right.append({span.span for span in choice.shown} == set(example.spans))
    return fit_curve(cases, right, default=DEFAULT_TASK)


def _choose_serving(
    pipeline: Pipeline,
    dev: Sequence[Example],
    evidence: Sequence[Evidence],
    calibration: Calibration,
    support: Counter[str],
) -> dict[str, str]:
    """For each leaf that patterns know: what finds it best. All others are the model's."""
    leaves = pipeline.spec.labels
    ways = {
        way: _scores_of(dev, evidence, dict.fromkeys(leaves, way), calibration) for way in ("both", "model", "pattern")
    }
    serving = {}
    for leaf in leaves:
        if leaf not in pipeline.pattern_leaves:
            serving[leaf] = "model"
            continue
        scores = {way: found[leaf] for way, found in ways.items() if leaf in found}
        right, found = calibration.patterns.get(leaf, (0, 0))
        serving[leaf] = choose_way(scores, train_support=support[leaf], pattern_right=right, pattern_found=found)
    return serving


def choose_way(
    dev_scores: Mapping[str, LabelScores], *, train_support: int, pattern_right: int, pattern_found: int
) -> str:
    """What serves a label: "model", "pattern" or "both".

    The best F1 on the dev part decides where the label occurs there. Among equals, and where it does not occur, it
    is both while the model has seen few examples and the patterns were right at least as often as wrong; else the
    model.
    """
    usual = "both" if train_support < SMALL_SUPPORT and 2 * pattern_right >= pattern_found else "model"
    if not any(scores.support for scores in dev_scores.values()):
        return usual
    best = max(scores.f1 for scores in dev_scores.values())
    winners = [way for way, scores in dev_scores.items() if scores.f1 >= best - 1e-9]
    return usual if usual in winners else winners[0]


def _scores_of(
    examples: Sequence[Example], evidence: Sequence[Evidence], serving: Mapping[str, str], calibration: Calibration
) -> dict[str, LabelScores]:
    predictions = (choose(seen, serving=serving, calibration=calibration).shown for seen in evidence)
    shown = [[span.span for span in spans] for spans in predictions]
    return score_spans([example.spans for example in examples], shown).per_label
