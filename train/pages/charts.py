"""Draws the page's charts as SVG; the same values give the same bytes."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK, GREY, BLUE, ORANGE = "#1c2430", "#9aa4b2", "#2563eb", "#d97706"
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "cxr-vlp",  # without it ids are random and the page differs at every run
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "xtick.color": INK,
    "ytick.color": INK,
}

Points = Sequence[tuple[float, float]]


def loss_curve(train: Points, validate: Points) -> str:
    """Return the training and validation loss over the steps as SVG."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.2, 2.7), layout="constrained")
        axes = figure.subplots()
        axes.plot(*_columns(train), color=BLUE, linewidth=1.4, label="train")
        axes.plot(*_columns(validate), "o-", color=ORANGE, markersize=4, label="validation")
        axes.set(xlabel="step", ylabel="contrastive loss")
        axes.grid(axis="y", color="#e5e9ef", linewidth=0.8)
        axes.legend(frameon=False)
        return _svg(figure)


def auroc_chart(rows: Sequence[Mapping[str, float | str]]) -> str:
    """Return the AUROC and interval of every label as SVG, the highest at the top."""
    rows = sorted(rows, key=lambda row: float(row["auroc"]))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.2, 0.6 + 0.27 * len(rows)), layout="constrained")
        axes = figure.subplots()
        for place, row in enumerate(rows):
            axes.plot([float(row["low"]), float(row["high"])], [place, place], color=GREY)
            axes.plot(float(row["auroc"]), place, "o", color=BLUE, markersize=5)
            axes.text(1.02, place, f"{float(row['auroc']):.2f}", va="center", fontsize=8)
        _frame(axes, [str(row["label"]) for row in rows])
        return _svg(figure)


def _frame(axes: Axes, labels: Sequence[str]) -> None:
    axes.set_yticks(range(len(labels)), labels)
    axes.axvline(0.5, color=ORANGE, linewidth=1, linestyle="--")
    axes.set(xlim=(0, 1), ylim=(-0.7, len(labels) - 0.3), xlabel="AUROC (dashed: chance)")
    axes.tick_params(axis="y", length=0)


def _columns(points: Points) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]


def _svg(figure: Figure) -> str:
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return text.getvalue()[text.getvalue().index("<svg") :]
