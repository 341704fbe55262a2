"""What was measured of a version, as tables: figures by label, what was taken for what, and the worst texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ml_backend.cli.session import Session
from training.metrics.confusion import MISSED, SPURIOUS
from training.metrics.evaluate import LabelScores, Scores
from training.runs.judging import Comparison

Metrics = Mapping[str, Any]
Row = dict[str, Any]
SHOWN_CELLS = 30
WIDEST_TABLE = 8
# The columns of a comparison, as tables that fit a narrow terminal.
COMPARED = (
    ("label", "f1_a", "f1_b", "b_less_a", "interval", "b_is_better", "spans"),
    ("label", "precision_a", "precision_b", "recall_a", "recall_b"),
)


def overall_figures(metrics: Metrics) -> Row:
    """The figures over all labels, with the interval of F1 and the near misses."""
    if "f1" not in metrics:
        return {}
    partial = metrics.get("partial", {})
    return {
        "f1": metrics["f1"],
        "f1_interval": _interval(metrics, ""),
        "precision": metrics["precision"],
        "recall": metrics["recall"],
        "partial_f1": partial.get("boundaries", {}).get("f1"),
        "type_f1": partial.get("type", {}).get("f1"),
        **{f"{name}_calibration_error": error for name, error in calibration_errors(metrics).items()},
        "texts": metrics["texts"],
        "spans": metrics["support"],
    }


def calibration_errors(metrics: Metrics) -> dict[str, float | None]:
    """How far the scores of shown spans and of whole tasks are off; None where that was not measured."""
    found = metrics.get("calibration") or {}
    return {name: found.get(f"{name}s", {}).get("error") for name in ("span", "task")}


def label_rows(metrics: Metrics) -> list[Row]:
    """The figures label by label."""
    partial = metrics.get("partial", {}).get("per_label", {})
    return [
        {
            "label": name,
            "f1": scores["f1"],
            "f1_interval": _interval(metrics, name),
            "precision": scores["precision"],
            "recall": scores["recall"],
            "partial_f1": partial.get(name, {}).get("f1"),
            "spans": scores["support"],
        }
        for name, scores in metrics.get("per_label", {}).items()
    ]


def confusion_rows(metrics: Metrics) -> list[Row]:
    """What gold spans were taken for, most frequent mistakes first; what was right is left out."""
    rows = [
        {"gold": gold, "predicted": predicted, "spans": count}
        for gold, row in metrics.get("confusion", {}).items()
        for predicted, count in row.items()
        if gold != predicted
    ]
    return sorted(rows, key=lambda row: (-row["spans"], row["gold"], row["predicted"]))


def confusion_table(metrics: Metrics) -> list[Row]:
    """Gold labels down, predicted ones across, with what was missed and what was made up; none for many labels."""
    table = metrics.get("confusion", {})
    columns = sorted({predicted for row in table.values() for predicted in row} - {MISSED})
    if not table or len(columns) > WIDEST_TABLE:
        return []
    return [
        {"gold": gold, **{column: table[gold].get(column, 0) for column in (*columns, MISSED)}}
        for gold in sorted(table, key=lambda name: (name == SPURIOUS, name))
    ]


def worst_rows(metrics: Metrics, link: Callable[[int], str]) -> list[Row]:
    """The texts with the most wrong spans, by their tasks; `link` gives a task's page."""
    return [
        {
            "missed": _labels(text["missed"]),
            "spurious": _labels(text["spurious"]),
            "text": text["text_id"],
            "tasks": ", ".join(map(link, text["task_ids"])),
        }
        for text in metrics.get("worst", ())
    ]


def show_figures(session: Session, metrics: Metrics, link: Callable[[int], str]) -> None:
    """Show all that was measured; nothing where nothing was."""
    overall = overall_figures(metrics)
    if overall:
        session.show_pairs("on the test texts", overall)
    tables = (
        ("by label", label_rows(metrics)),
        ("what was taken for what", confusion_table(metrics) or confusion_rows(metrics)[:SHOWN_CELLS]),
        ("texts with the most wrong spans", worst_rows(metrics, link)),
    )
    for title, rows in tables:
        if rows:
            session.say(f"\n{title}")
            session.show(rows, as_json=False, nothing="")


def figures_as_json(metrics: Metrics, link: Callable[[int], str]) -> Row:
    """All that was measured, for programs."""
    return {
        "overall": overall_figures(metrics),
        "labels": label_rows(metrics),
        "mistakes": confusion_rows(metrics),
        "confusion": metrics.get("confusion", {}),
        "worst": worst_rows(metrics, link),
    }


def comparison_rows(found: Comparison) -> list[Row]:
    """Both versions' figures, overall first and then by label, with the difference B less A."""
    labels = sorted({*found.a.scores.per_label, *found.b.scores.per_label})
    rows = []
    for label in ("", *labels):
        a, b = (_scores(one, label) for one in (found.a.scores, found.b.scores))
        difference = found.differences["f1"][label]
        rows.append(
            {
                "label": label or "all",
                "f1_a": a.f1,
                "f1_b": b.f1,
                "b_less_a": round(difference.value, 6),
                "interval": f"{difference.interval.low:+.3f} to {difference.interval.high:+.3f}",
                "b_is_better": round(difference.better, 4),
                "precision_a": a.precision,
                "precision_b": b.precision,
                "recall_a": a.recall,
                "recall_b": b.recall,
                "spans": a.support,
            }
        )
    return rows


def judge_in_words(found: Comparison, a: str, b: str) -> str:
    """What the comparison comes to, as a sentence."""
    difference = found.differences["f1"][""]
    ends = f"{difference.interval.low:+.3f} to {difference.interval.high:+.3f}"
    chance = f"{b} is better than {a} with probability {difference.better:.2f}"
    if difference.interval.low > 0 or difference.interval.high < 0:
        return f"{chance}; the difference in F1 lies between {ends} (0.95, paired bootstrap by text)."
    return f"{chance}; the difference in F1 ({ends}, 0.95, paired bootstrap by text) may be chance."


def _scores(scores: Scores, label: str) -> Scores | LabelScores:
    nothing = LabelScores(0.0, 0.0, 0.0, 0, 0, 0)
    return scores.per_label.get(label, nothing) if label else scores


def _interval(metrics: Metrics, label: str) -> str:
    ends = metrics.get("intervals", {}).get("f1", {}).get(label)
    return "" if ends is None else f"{ends[0]:.3f}–{ends[1]:.3f}"


def _labels(spans: list[Mapping[str, Any]]) -> str:
    return " ".join(f"{span['label']}@{span['start']}" for span in spans)
