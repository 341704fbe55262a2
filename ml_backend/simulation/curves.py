"""The curves of a report as a person looks at them: a page that works offline, and a picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from config.errors import ConfigurationError
from ml_backend.simulation.report import CURVES
from ml_backend.simulation.summary import FULL, Point, curve

# Okabe and Ito's colours, which people who see colours differently can tell apart.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7F7F7F")
TITLE = "What annotations bring"
X_TITLE, Y_TITLE = "annotated texts", "F1 on the test file (bold: mean of the seeds)"
FAINT = 0.3
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<style>html, body {{ height: 100%; margin: 0; overflow: hidden }}</style>
</head>
<body>{figure}</body>
</html>
"""


def draw(report: Mapping[str, Any], path: Path) -> tuple[Path, Path]:
    """Write page and picture beside the report, which is at `path`. Raises ConfigurationError where it cannot."""
    page, picture = (path.with_suffix(ending) for ending in CURVES)
    found = mean_curves(report["runs"])
    full = report["summary"]["full_data_f1"]["mean"]
    try:
        page.write_text(draw_page(found, report["runs"], full), encoding="utf-8")
        draw_picture(found, report["runs"], full, picture)
    except OSError as error:
        raise ConfigurationError(f"the curves {page} cannot be written: {error.strerror}") from error
    return page, picture


def mean_curves(runs: Sequence[Mapping[str, Any]]) -> dict[str, list[Point]]:
    """For each strategy the mean of its seeds, at the annotations where all of them have a row."""
    points: dict[str, list[dict[float, Point]]] = {}
    for run in runs:
        if run["strategy"] != FULL and run["versions"]:
            points.setdefault(run["strategy"], []).append({point.annotations: point for point in curve(run)})
    return {name: _mean_of(seeds) for name, seeds in points.items()}


def _mean_of(seeds: Sequence[Mapping[float, Point]]) -> list[Point]:
    shared = sorted(set.intersection(*(set(points) for points in seeds)))
    return [
        Point(
            place,
            mean(points[place].spans for points in seeds),
            mean(points[place].edits for points in seeds),
            mean(points[place].f1 for points in seeds),
        )
        for place in shared
    ]


def draw_page(curves: Mapping[str, Sequence[Point]], runs: Sequence[Mapping[str, Any]], full: float | None) -> str:
    """The page's HTML, plotly's JavaScript in it."""
    # Half a second that only those who draw should wait for.
    from plotly import graph_objects

    figure = graph_objects.Figure()
    for (name, points), color in zip(curves.items(), _colors(len(curves)), strict=True):
        for seed, one in _seeds_of(name, runs):
            figure.add_scatter(
                x=[point.annotations for point in one],
                y=[point.f1 for point in one],
                mode="lines",
                line={"color": color, "width": 1},
                opacity=FAINT,
                showlegend=False,
                name=f"{name}, seed {seed}",
            )
        figure.add_scatter(
            x=[point.annotations for point in points],
            y=[point.f1 for point in points],
            mode="lines+markers",
            line={"color": color, "width": 3},
            name=name,
            customdata=[[round(point.spans), round(point.edits)] for point in points],
            hovertemplate="%{x} texts: F1 %{y:.3f}, %{customdata[0]} spans, %{customdata[1]} edits",
        )
    for height, text in _levels(full):
        figure.add_hline(y=height, line={"dash": "dot", "color": "#7F7F7F"}, annotation={"text": text})
    figure.update_layout(
        title=TITLE, xaxis_title=X_TITLE, yaxis_title=Y_TITLE, template="plotly_white", hovermode="x unified"
    )
    drawn = figure.to_html(
        include_plotlyjs=True, full_html=False, default_height="100vh", config={"displaylogo": False}
    )
    return PAGE.format(title=TITLE, figure=drawn)


def draw_picture(
    curves: Mapping[str, Sequence[Point]], runs: Sequence[Mapping[str, Any]], full: float | None, path: Path
) -> None:
    """Write the picture as PNG."""
    # Plotly would need a browser for that.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for (name, points), color in zip(curves.items(), _colors(len(curves)), strict=True):
        for _, one in _seeds_of(name, runs):
            axes.plot([p.annotations for p in one], [p.f1 for p in one], color=color, linewidth=1, alpha=FAINT)
        axes.plot([p.annotations for p in points], [p.f1 for p in points], marker="o", color=color, label=name)
    for height, text in _levels(full):
        axes.axhline(height, linestyle=":", color="#7F7F7F")
        axes.text(0, height, text, color="#7F7F7F", va="bottom")
    axes.set_title(TITLE)
    axes.set_xlabel(X_TITLE)
    axes.set_ylabel(Y_TITLE)
    axes.grid(alpha=0.3)
    if curves:
        axes.legend()
    figure.savefig(path)


def _seeds_of(strategy: str, runs: Sequence[Mapping[str, Any]]) -> Iterator[tuple[int, list[Point]]]:
    """Each seed of a strategy with its own curve."""
    return ((run["seed"], curve(run)) for run in runs if run["strategy"] == strategy)


def _levels(full: float | None) -> list[tuple[float, str]]:
    return [] if full is None else [(full, "the whole pool"), (0.95 * full, "95 % of it")]


def _colors(count: int) -> list[str]:
    return [COLORS[number % len(COLORS)] for number in range(count)]
