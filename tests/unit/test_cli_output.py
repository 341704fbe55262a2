"""What commands say of a run's model, and how their tables look on a narrow terminal."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from ml_backend.cli.figures import COMPARED, comparison_rows
from ml_backend.cli.runs import describe_progress, describe_run
from ml_backend.cli.session import Session
from ml_backend.cli.train import say_state
from training.metrics.evaluation import GoldText, evaluate
from training.runs.judging import Comparison, compare_evaluations
from training.spans import Span
from training.store.tables.models import MLModel
from training.store.tables.runs import RunStatus, TrainingBatch

LABELS = ("EMAIL_ADDRESS",)


@pytest.mark.parametrize(
    ("model", "verdict", "said"),
    [
        ({"is_production": True, "is_active": True}, {"passed": True}, "is ACTIVE."),
        ({}, {"passed": True}, "NOT active by default"),
        (
            {},
            {"passed": False},
            "its gate refused it. To put it live all the same: spanloop models activate v1 --reason",
        ),
        ({"is_active": True}, {"passed": True}, "spanloop models ab status"),
    ],
)
def test_train_says_whether_the_model_is_live_and_what_to_do(
    model: dict[str, Any], verdict: dict[str, Any], said: str
) -> None:
    """Live, waiting for somebody, refused or under test: each is said with the command that comes next."""
    found = MLModel(**{"version": "v1", "is_production": False, "is_active": False, **model})
    assert said in say_state(TrainingBatch(verdict=verdict), found)


def test_table_never_shows_a_cut_figure_as_a_whole_one() -> None:
    """Where even figures do not fit, an ellipsis stands for what is cut; where they fit, they are whole."""
    row = {f"figure_{number}": 0.488 for number in range(12)}
    for width, whole in ((60, False), (160, True)):
        out = io.StringIO()
        Session(out=Console(file=out, width=width)).show([row], as_json=False, nothing="")
        figures = out.getvalue().splitlines()[1].split()
        assert len(figures) == 12
        assert all(figure == "0.488" if whole else figure.endswith("…") for figure in figures)


def test_comparison_shows_every_figure_in_tables_that_fit_a_narrow_terminal() -> None:
    """Two tables hold all that is compared, and none of their figures is cut at 80 columns."""
    gold = [GoldText(number, "Ada", (Span(0, 3, "EMAIL_ADDRESS"),)) for number in range(7)]
    a, b = (
        evaluate(gold, [one.spans if number < right else () for number, one in enumerate(gold)], LABELS, seed=0)
        for right in (3, 6)
    )
    rows = comparison_rows(Comparison(a, b, compare_evaluations(a, b, seed=0), len(gold)))
    assert {name for columns in COMPARED for name in columns} == set(rows[0])
    for columns in COMPARED:
        out = io.StringIO()
        shown = [{name: row[name] for name in columns} for row in rows]
        Session(out=Console(file=out, width=80)).show(shown, as_json=False, nothing="")
        assert "…" not in out.getvalue()


def test_a_run_shows_its_whole_progress() -> None:
    """Epoch, step, loss, F1 and the seconds left stand in the bar's line and in `runs show`."""
    run = TrainingBatch(status=RunStatus.RUNNING, epoch=3, step=120, loss=12.5, dev_f1=0.75, seconds_left=42.0)
    assert describe_progress(run) == "epoch 3, step 120, loss 12.500, dev F1 0.750, 42 s left"
    shown = {"epoch": 3, "step": 120, "loss": 12.5, "dev_f1": 0.75, "seconds_left": 42.0}
    assert describe_run(run)["progress"] == shown
    run.status = RunStatus.COMPLETED
    assert "seconds_left" not in describe_run(run)["progress"]
    early = TrainingBatch(status=RunStatus.RUNNING, epoch=0, step=0)
    assert describe_progress(early) == "epoch 0, step 0, loss 0.000"
