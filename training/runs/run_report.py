"""What a run says beside its scores: whether the labels fit the tokens, and what the model forgot."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from training.learning.corpus import Example, build_corpus
from training.learning.rehearsal import predict_labels
from training.metrics.evaluate import Scores, score_spans
from training.prediction.base import load_base
from training.prediction.pipeline import Pipeline
from training.runs.judging import Judgement
from training.runs.snapshot import Snapshot
from training.spans import Span
from training.splits import Part
from training.store.tables.projects import Project
from training.store.unit_of_work import Store

# So many are listed; beyond that only their number is said.
MOST_LISTED = 1_000


def report_tokens(
    pipeline: Pipeline, project: Project, snapshot: Snapshot, store: Store, *, on_step: Callable[[], None]
) -> dict[str, Any]:
    """How the project's gold spans lie on the model's tokens, and each that does not, with its tasks.

    `trained_as` is the stretch that a span of the train or dev part was trained as; None: it shares a token with a
    longer span, and was left out.
    """
    taken = [example for example in snapshot.examples if example.part is not Part.SET_ASIDE]
    corpus = build_corpus(pipeline.nlp, (Example(one.text, one.spans) for one in taken), on_step=on_step)
    listed = corpus.misaligned[:MOST_LISTED]
    with store.read() as uow:
        tasks = uow.texts.task_ids_by_text(project.id, [taken[found.example].text_id for found in listed])
    return {
        "tokenizer": pipeline.spec.training.get("tokenizer"),
        "spans": corpus.spans,
        "misaligned": len(corpus.misaligned),
        "aligned_share": 1 - len(corpus.misaligned) / corpus.spans if corpus.spans else 1.0,
        "listed": [
            {
                "task_ids": list(tasks.get(taken[found.example].text_id, ())),
                "part": taken[found.example].part,
                **found.span.to_json(),
                "trained_as": [found.trained_as.start, found.trained_as.end] if found.trained_as else None,
            }
            for found in listed
        ],
    }


def report_memory(
    pipeline: Pipeline,
    judgement: Judgement,
    snapshot: Snapshot,
    *,
    known: Collection[str],
    on_step: Callable[[], None],
) -> dict[str, Any]:
    """How well labels that the base model did not know were learnt, and what became of those that it knew.

    `known` are the project's leaves that the base model has a label for; they are measured against gold. Labels of
    the base that the project has not are measured by the agreement (F1) of the model's raw output with the base's on
    the test texts; None where the recipe does not keep them.
    """
    scores, live_scores = judgement.candidate.scores, judgement.live.scores
    old = set(known) & set(scores.per_label)
    kept = pipeline.spec.training.get("kept_labels") or []
    test = [example.text for example in snapshot.part(Part.TEST)]
    return {
        "new_label_f1": f1_over(scores, set(scores.per_label) - old),
        "old_label_f1": f1_over(scores, old),
        "old_label_f1_live": f1_over(live_scores, old & set(live_scores.per_label)),
        "kept_labels": kept,
        "agreement": measure_agreement(pipeline.nlp, load_base(pipeline.spec.base), kept, test, on_step=on_step)
        if kept
        else None,
        "rehearsed_texts": pipeline.spec.training.get("rehearsed_texts", 0),
    }


def f1_over(scores: Scores, labels: set[str]) -> float | None:
    """F1 over some of the labels together; None where no gold span has one of them."""
    found = [scores.per_label[label] for label in sorted(labels)]
    support = sum(label.support for label in found)
    right = sum(label.correct for label in found)
    predicted = sum(label.predicted for label in found)
    return 2 * right / (support + predicted) if support else None


def measure_agreement(
    nlp: Any, base: Any, labels: Sequence[str], texts: Sequence[str], *, on_step: Callable[[], None] = lambda: None
) -> float:
    """F1 of a pipeline's output of these labels with the base's output as gold."""
    gold: list[tuple[Span, ...]] = predict_labels(base, labels, texts, on_step=on_step)
    return score_spans(gold, predict_labels(nlp, labels, texts, on_step=on_step)).f1
