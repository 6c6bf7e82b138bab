"""Draws the charts of the site as inline SVG: the same values give the same bytes.

Colours are classes of site.css, so a chart follows the page's light or dark colours. Every chart
has a title and a description for a screen reader; its numbers stand in a table beside it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

Points = Sequence[tuple[float, float]]
SERIES = 6  # classes s1 .. s6 of site.css; a further series begins again, with dashes
LEFT, RIGHT, TOP, BOTTOM = 34.0, 8.0, 22.0, 34.0  # around the plot, for the words of the axes


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a chart. band: its lower and upper points. dots: marks instead of a line."""

    name: str
    points: Points
    band: tuple[Points, Points] | None = None
    dots: bool = False
    thin: bool = False


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis: its words, its ends, and the values that are written beside it."""

    words: str
    low: float
    high: float
    ticks: tuple[float, ...]

    def share(self, value: float) -> float:
        """Return where a value lies between the ends, 0 to 1."""
        return (value - self.low) / (self.high - self.low)


UNIT = (0.0, 0.25, 0.5, 0.75, 1.0)


def share(words: str) -> Axis:
    """Return an axis from 0 to 1."""
    return Axis(words, 0.0, 1.0, UNIT)


def fitted(words: str, values: Sequence[float], *, zero: bool = False) -> Axis:
    """Return an axis around the values, with three to six round ticks."""
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    low = 0.0 if zero else low
    if high <= low:
        low, high = low - 0.5, high + 0.5
    step = _step((high - low) / 4)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = tuple(round(place * step, 10) for place in range(first, last + 1))
    return Axis(words, ticks[0], ticks[-1], ticks)


def mini(value: float, low: float | None, high: float | None, span: tuple[float, float]) -> Markup:
    """Return an interval as a small bar for a cell; the cell beside it holds its numbers."""
    axis = Axis("", *span, ())
    x = 100 * min(max(axis.share(value), 0), 1)
    parts = ['<path class="axis" d="M0 8H100"/>']
    if span[0] < 0.5 < span[1]:
        middle = _n(100 * axis.share(0.5))
        parts.append(f'<path class="chance" d="M{middle} 1V15"/>')
    if low is not None and high is not None:
        left, right = (100 * min(max(axis.share(end), 0), 1) for end in (low, high))
        wide = _n(max(right - left, 0.5))
        parts.append(
            f'<rect class="f1" opacity=".3" x="{_n(left)}" y="5" width="{wide}" height="6"/>'
        )
    parts.append(f'<rect class="f1" x="{_n(x - 1)}" y="2" width="2" height="12"/>')
    inside = "".join(parts)
    return Markup(
        '<svg class="mini" viewBox="0 0 100 16" preserveAspectRatio="none" aria-hidden="true" '
        f'focusable="false">{inside}</svg>'
    )


def lines(
    title: str,
    about: str,
    series: Sequence[Series],
    across: Axis,
    up: Axis,
    *,
    chance: Points = (),
    marks: Sequence[tuple[str, float, float]] = (),
    size: tuple[float, float] = (300, 300),
) -> Markup:
    """Return a chart of lines. chance: a dashed line; marks: (name, x, y) of single points."""
    plot = _Plot(size, across, up)
    drawn = [plot.frame()]
    if chance:
        drawn.append(f'<path class="chance" d="{plot.path(chance)}"/>')
    drawn += [plot.band(each, i) for i, each in enumerate(series) if each.band]
    drawn += [plot.series(each, i) for i, each in enumerate(series)]
    drawn += [plot.mark(*each) for each in marks]
    return _svg(title, about, size, drawn)


def histogram(
    title: str,
    about: str,
    edges: Sequence[float],
    above: Sequence[float],
    below: Sequence[float],
    threshold: float | None = None,
) -> Markup:
    """Return shares of positives upwards and of negatives downwards; edges: one more than bins."""
    top = max([*above, *below, 0.01])
    ticks = _inside(fitted("", edges).ticks, edges[0], edges[-1])
    size = (300, 300)
    plot = _Plot(size, Axis("score", edges[0], edges[-1], ticks), Axis("", -top, top, (0.0,)))
    drawn = [plot.frame(up_words=False)]
    for i, (more, less) in enumerate(zip(above, below, strict=True)):
        drawn.append(plot.bar(edges[i], edges[i + 1], 0, more, "f1"))
        drawn.append(plot.bar(edges[i], edges[i + 1], -less, 0, "grey"))
    if threshold is not None and edges[0] <= threshold <= edges[-1]:
        x = _n(plot.x(threshold))
        drawn.append(f'<path class="chance" d="M{x} {_n(TOP)}V{_n(size[1] - BOTTOM)}"/>')
    for words, y in (("positive", TOP - 11), ("negative", size[1] - BOTTOM - 6)):
        drawn.append(_text(0, y, words, "start", "ink"))
    return _svg(title, about, size, drawn)


def key(place: int) -> Markup:
    """Return the piece of line that stands for a series in a legend."""
    style = _style(place)
    return Markup(
        f'<svg class="key" viewBox="0 0 24 10" aria-hidden="true" focusable="false">'
        f'<path class="line {style}" d="M0 5H24"/></svg>'
    )


@dataclass(frozen=True, slots=True)
class _Plot:
    size: tuple[float, float]
    across: Axis
    up: Axis

    def x(self, value: float) -> float:
        return LEFT + self.across.share(value) * (self.size[0] - LEFT - RIGHT)

    def y(self, value: float) -> float:
        return self.size[1] - BOTTOM - self.up.share(value) * (self.size[1] - TOP - BOTTOM)

    def path(self, points: Points) -> str:
        """Return the path through the points; those that fall on the same place are one."""
        places = [f"{_n(self.x(x))} {_n(self.y(y))}" for x, y in points]
        kept = [p for i, p in enumerate(places) if i == 0 or p != places[i - 1]]
        return "M" + "L".join(kept) if kept else ""

    def frame(self, *, up_words: bool = True) -> str:
        width, height = self.size
        bottom = height - BOTTOM
        parts = []
        for tick in self.up.ticks:
            y = _n(self.y(tick))
            parts.append(f'<path class="grid" d="M{_n(LEFT)} {y}H{_n(width - RIGHT)}"/>')
            if up_words:
                parts.append(_text(LEFT - 5, self.y(tick) + 4, _tick(tick), "end"))
        parts += [
            _text(self.x(tick), bottom + 14, _tick(tick), "middle") for tick in self.across.ticks
        ]
        parts.append(f'<path class="axis" d="M{_n(LEFT)} {_n(bottom)}H{_n(width - RIGHT)}"/>')
        middle = (LEFT + width - RIGHT) / 2
        parts.append(_text(middle, height - 5, self.across.words, "middle"))
        if self.up.words:
            parts.append(_text(0, TOP - 11, self.up.words, "start"))
        return "".join(parts)

    def series(self, series: Series, place: int) -> str:
        style = _style(place)
        if series.dots:
            fill = f"f{place % SERIES + 1}"
            dots = [
                f'<circle class="{fill}" cx="{_n(self.x(x))}" cy="{_n(self.y(y))}" r="3"/>'
                for x, y in series.points
            ]
            joined = f'<path class="line thin {style}" d="{self.path(series.points)}"/>'
            return joined + "".join(dots)
        kind = " thin" if series.thin else ""
        name = escape(series.name)
        return (
            f'<path class="line{kind} {style}" d="{self.path(series.points)}">'
            f"<title>{name}</title></path>"
        )

    def band(self, series: Series, place: int) -> str:
        low, high = series.band or ((), ())
        around = [*low, *reversed(high)]
        return f'<path class="band f{place % SERIES + 1}" d="{self.path(around)}Z"/>'

    def mark(self, name: str, x: float, y: float) -> str:
        at = f'cx="{_n(self.x(x))}" cy="{_n(self.y(y))}"'
        return f'<circle class="mark" {at} r="3.5"><title>{escape(name)}</title></circle>'

    def bar(self, left: float, right: float, low: float, high: float, fill: str) -> str:
        if high <= low:
            return ""
        x, y = self.x(left) + 0.5, self.y(high)
        wide, tall = max(self.x(right) - x - 0.5, 0.5), self.y(low) - y
        at = f'x="{_n(x)}" y="{_n(y)}" width="{_n(wide)}" height="{_n(tall)}"'
        return f'<rect class="{fill}" {at}/>'


def _svg(title: str, about: str, size: tuple[float, float], drawn: Sequence[str]) -> Markup:
    # Two charts of one page never have one title and one content, so the digest is a good id.
    name = "c" + hashlib.sha256("".join([title, about, *drawn]).encode()).hexdigest()[:10]
    inside = "".join(drawn)
    return Markup(
        f'<svg class="chart" role="img" aria-labelledby="{name}t {name}d" '
        f'viewBox="0 0 {_n(size[0])} {_n(size[1])}">'
        f'<title id="{name}t">{escape(title)}</title><desc id="{name}d">{escape(about)}</desc>'
        f"{inside}</svg>"
    )


def _text(x: float, y: float, words: str, anchor: str, style: str = "") -> str:
    kind = f' class="{style}"' if style else ""
    return f'<text{kind} x="{_n(x)}" y="{_n(y)}" text-anchor="{anchor}">{escape(words)}</text>'


def _style(place: int) -> str:
    dashed = " dash" if place >= SERIES else ""
    return f"s{place % SERIES + 1}{dashed}"


def _step(rough: float) -> float:
    """Return the round step (1, 2 or 5 times a power of ten) at or above a rough one."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * times for times in (1, 2, 5, 10) if power * times >= rough * 0.999)


def _inside(ticks: Sequence[float], low: float, high: float) -> tuple[float, ...]:
    return tuple(tick for tick in ticks if low <= tick <= high)


def _tick(value: float) -> str:
    return f"{value:,.10g}"


def _n(value: float) -> str:
    """Return a coordinate with one digit after the point."""
    return f"{value + 0.0:.1f}".removesuffix(".0")
