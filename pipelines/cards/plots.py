"""Draws the plots of a card with matplotlib; the same numbers give the same bytes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cxr_vlp.pipelines.cards.facts import LEFT_OUT, TEXTS, Facts
from cxr_vlp.pipelines.cards.subject import Subject
from cxr_vlp.pipelines.errors import ConfigError
from cxr_vlp.pipelines.format.sample import VIEWS

_POSITIVE, _UNCERTAIN, _NEGATIVE, _PLAIN = "#b42318", "#e0a33e", "#9fb4cf", "#2456a6"
_WIDTH, _DPI = 7.0, 110  # inches, dots per inch
_STYLE: Mapping[str, Any] = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#e3e7ee",
    "svg.hashsalt": "cxr-vlp",
}
_NAMES = {"": "unknown", "F": "female", "M": "male"}
_BARS = len(VIEWS)  # of views; there are fewer sexes
_LONGEST = 99.5  # percentile of a length at which its axis ends


def write(subject: Subject, facts: Facts, folder: Path) -> dict[str, str]:
    """Draw the plots into a folder; return file name -> what it shows.

    A plot without data (lengths of reports in a set without reports) is left out. Raises
    ConfigError where matplotlib is not installed.
    """
    plt = _pyplot()
    made = {}
    with plt.rc_context({**plt.rcParamsDefault, **_STYLE}):
        for name, says, draw in (
            ("plot-labels.png", "Labels by value, images", _labels),
            ("plot-people.png", "Views, sexes and ages, images", _people),
            ("plot-texts.png", "Lengths of the texts", _texts),
            ("plot-flow.png", "From the listed images to the samples", _flow),
        ):
            figure = draw(plt, subject, facts)
            if figure is not None:
                # without the version of matplotlib, which is no fact of the set
                figure.savefig(folder / name, dpi=_DPI, metadata={"Software": None})
                plt.close(figure)
                made[name] = says
    return made


def _pyplot() -> Any:
    try:
        import matplotlib
    except ImportError:
        raise ConfigError(
            'the plots need matplotlib: pip install "cxr-vlp[share]", or give --no-plots'
        ) from None
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt


def _labels(plt: Any, _subject: Subject, facts: Facts) -> Any:
    rows = sorted(facts.labels.items(), key=lambda row: (row[1]["positive"], row[0]))
    if not rows:
        return None
    height = 1.1 + 0.24 * len(rows)
    figure, axes = plt.subplots(figsize=(_WIDTH, height), layout="constrained")
    names, left = [name for name, _ in rows], np.zeros(len(rows))
    for word, colour in (
        ("positive", _POSITIVE), ("uncertain", _UNCERTAIN), ("negative", _NEGATIVE),
    ):  # fmt: skip
        values = np.array([counts[word] for _, counts in rows])
        axes.barh(names, values, left=left, color=colour, label=word, height=0.75)
        left = left + values
    axes.set_title("Labels: images in which the label is mentioned", pad=24)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False, borderpad=0.1)
    axes.margins(y=0.01)
    axes.set_xlim(0, 1.05 * max(sum(counts.values()) for _, counts in rows))
    _counted(axes, "x")
    return figure


def _people(plt: Any, subject: Subject, facts: Facts) -> Any:
    figure, (views, sexes, ages) = plt.subplots(
        1, 3, figsize=(_WIDTH, 2.2), layout="constrained", width_ratios=(3, 3, 5)
    )
    for axes, counts, title in ((views, facts.views, "View"), (sexes, facts.sexes, "Sex")):
        names = [_NAMES.get(name, name) for name in counts]
        axes.barh(names, list(counts.values()), color=_PLAIN, height=0.65)
        axes.set_ylim(_BARS - 0.5, -0.5)  # bars of one thickness in every card
        axes.set_title(title)
        _counted(axes, "x", most=3)
    known = subject.table.column("age").drop_null().to_numpy()
    ages.set_title("Age in years")
    if len(known):
        ages.hist(np.clip(known, 0, 100), bins=range(0, 106, 5), color=_PLAIN, rwidth=0.9)
        _counted(ages, "y")
    else:
        ages.text(0.5, 0.5, "not known", ha="center", va="center", transform=ages.transAxes)
        ages.set_axis_off()
    return figure


def _texts(plt: Any, subject: Subject, facts: Facts) -> Any:
    found = [name for name in TEXTS if facts.with_text[name]]
    if not found:
        return None
    columns = min(3, len(found))
    lines = -(-len(found) // columns)
    figure, grid = plt.subplots(
        lines, columns, figsize=(_WIDTH, 0.4 + 2.0 * lines), layout="constrained", squeeze=False
    )
    for axes in grid.flat[len(found) :]:
        axes.set_axis_off()
    for axes, name in zip(grid.flat, found, strict=False):
        lengths = subject.table.column(f"{name}_chars").to_numpy()
        lengths = lengths[lengths > 0]
        most = max(10, int(np.percentile(lengths, _LONGEST)))
        axes.hist(np.minimum(lengths, most), bins=24, range=(0, most), color=_PLAIN, rwidth=0.9)
        axes.set_title(name)
        axes.set_xlabel("characters")
        _counted(axes, "y")
    return figure


def _flow(plt: Any, _subject: Subject, facts: Facts) -> Any:
    total: dict[str, int] = {}
    for rows in facts.flow.values():
        for name, number in rows:
            total[name] = total.get(name, 0) + number
    # what the selection left out and the samples come last, whichever set has the first of a reason
    ends = {"images listed": -1, LEFT_OUT: 1, "samples written": 2}
    names = sorted(total, key=lambda name: ends.get(name, 0))
    colours = [
        _NEGATIVE if name == LEFT_OUT else _POSITIVE if name.startswith("- ") else _PLAIN
        for name in names
    ]
    figure, axes = plt.subplots(figsize=(_WIDTH, 0.7 + 0.3 * len(names)), layout="constrained")
    shown = ["left out" if name == LEFT_OUT else name.removeprefix("- ") for name in names]
    bars = axes.barh(shown, [total[name] for name in names], color=colours, height=0.7)
    axes.bar_label(bars, labels=[f"{total[name]:,}" for name in names], padding=4)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_title("Images: listed, lost by code, written")
    axes.xaxis.set_visible(False)
    axes.spines["bottom"].set_visible(False)
    return figure


def _counted(axes: Any, which: str, most: int = 5) -> None:
    """Format the axis of the counts."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(MaxNLocator(nbins=most, integer=True))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.grid(axis=which)
