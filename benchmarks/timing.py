"""Times several candidates side by side. All speed figures of this project are measured with it.

All candidates take turns over the same inputs in one process, so a machine that slows down slows
all of them. Which one goes first changes from round to round. Time is the CPU time of this process
and of the children it waited for; `WALL` is for comparisons of several processes. A ratio is the
median of the pairwise ratios: candidate / reference on the same input in the same round. Quote
ratios: milliseconds are valid only for the machine that printed them.

    import timing

    times = timing.race({"ours": ours, "theirs": theirs}, inputs)
    rows = timing.compare("raw DICOM", times, to="ours", bounds={"theirs": (10, None)})
    timing.publish("image_speed", rows, packages=("numpy", "pydicom"))

`ratio` says how many times as long as the reference a candidate took. `bounds` are the (least,
most) that a ratio should have, None for no bound. Where one call handles several items (a shard, a
batch), `items` is their number; the table then shows milliseconds an item, and items a second.
`publish` prints a table and writes benchmarks/results/NAME.json and NAME.png. It returns whether
every bound was met; a missed bound is shown.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).resolve().parent / "results"
Input = TypeVar("Input")
Clock = Callable[[], float]
Times = Mapping[str, Sequence[float]]  # seconds of each candidate, in the same order for all
Bounds = tuple[float | None, float | None]  # least and most of a ratio
WALL: Clock = time.perf_counter


def cpu() -> float:
    """Return the CPU seconds of this process, all its threads, and of finished children."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


@dataclass(frozen=True)
class Row:
    """One candidate on one kind of input; `ratio` is its time over the reference's."""

    group: str
    name: str
    ms: float  # median, an item
    per_second: float  # items
    ratio: float
    runs: int
    least: float | None = None
    most: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the ratio is within its bounds; None where there are none."""
        if self.least is None and self.most is None:
            return None
        return (self.least or 0) <= self.ratio <= (self.most or float("inf"))


def race(
    candidates: Mapping[str, Callable[[Input], Any]],
    inputs: Sequence[Input],
    *,
    seconds: float = 10.0,
    least: int = 3,
    most: int = 50,
    clock: Clock = cpu,
    warm: bool = True,
) -> dict[str, list[float]]:
    """Return the seconds each candidate took, one figure for each (round, input).

    A round is every candidate on every input. There are rounds until `seconds` of wall time are
    over, at least `least` and at most `most`. With `warm`, each candidate runs once before, not
    measured.
    """
    names = list(candidates)
    if warm:
        for work in candidates.values():
            work(inputs[0])
    times: dict[str, list[float]] = {name: [] for name in names}
    end = time.monotonic() + seconds
    for turn in range(most):
        if turn >= least and time.monotonic() > end:
            break
        for place, given in enumerate(inputs):
            first = (turn + place) % len(names)
            for name in names[first:] + names[:first]:
                start = clock()
                candidates[name](given)
                times[name].append(clock() - start)
    return times


def compare(
    group: str,
    times: Times,
    *,
    to: str,
    items: int = 1,
    bounds: Mapping[str, Bounds] | None = None,
) -> list[Row]:
    """Return a row for each candidate, its ratio taken to candidate `to`, input by input."""
    rows = []
    for name, taken in times.items():
        ratios = [a / b for a, b in zip(taken, times[to], strict=True) if b > 0]
        least, most = (bounds or {}).get(name, (None, None))
        middle = median(taken) / items
        ratio = median(ratios) if ratios else float("nan")
        speed = 1 / middle if middle > 0 else float("nan")
        rows.append(Row(group, name, 1000 * middle, speed, ratio, len(taken), least, most))
    return rows


def publish(
    name: str, rows: Sequence[Row], *, packages: Sequence[str] = (), note: str = ""
) -> bool:
    """Print the rows, write results/NAME.json and NAME.png; return whether all bounds are met."""
    Console(width=110).print(_table(name, rows))
    RESULTS.mkdir(exist_ok=True)
    content = {
        "name": name,
        "note": note,
        "machine": machine(),
        "versions": {package: _version(package) for package in packages},
        "rows": [asdict(row) | {"met": row.met} for row in rows],
    }
    (RESULTS / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    _plot(RESULTS / f"{name}.png", name, rows)
    return all(row.met is not False for row in rows)


def machine() -> dict[str, Any]:
    """Return what the figures depend on: processor, cores, how busy they are, the interpreter."""
    model = ""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
        model = next((x.partition(":")[2].strip() for x in lines if x.startswith("model name")), "")
    return {
        "processor": model or platform.processor(),
        "cores": os.cpu_count(),
        "load_1min": round(os.getloadavg()[0], 2),
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _table(title: str, rows: Sequence[Row]) -> Table:
    table = Table(title=title)
    for column in ("", "ms", "a second", "x", "target", ""):
        table.add_column(column, justify="left" if not column else "right", no_wrap=True)
    group = None
    for row in rows:
        if row.group != group:
            group = row.group
            table.add_section()
            table.add_row(f"[bold]{group}[/bold]")
        met = {None: "", True: "met", False: "[red]short[/red]"}[row.met]
        cells = (f"{row.ms:,.3f}", f"{row.per_second:,.1f}", f"{row.ratio:.2f}", _bound(row), met)
        table.add_row(f"  {row.name}", *cells)
    return table


def _bound(row: Row) -> str:
    least = "" if row.least is None else f">= {row.least:g}"
    most = "" if row.most is None else f"<= {row.most:g}"
    return " ".join(filter(None, (least, most)))


def _plot(path: Path, title: str, rows: Sequence[Row]) -> None:
    """Draw the ratios as bars on a logarithmic axis, a panel for each kind of input."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    groups = list(dict.fromkeys(row.group for row in rows))
    sizes = [sum(row.group == group for row in rows) for group in groups]
    figure, panels = pyplot.subplots(
        len(groups), 1, figsize=(8, 0.6 * len(groups) + 0.3 * sum(sizes) + 0.6), sharex=True,
        squeeze=False, height_ratios=sizes, layout="constrained",
    )  # fmt: skip
    for panel, group in zip(panels[:, 0], groups, strict=True):
        chosen = [row for row in rows if row.group == group][::-1]
        bars = panel.barh([row.name for row in chosen], [row.ratio for row in chosen])
        panel.bar_label(bars, fmt="%.2f", padding=3)
        panel.set_title(group, loc="left", fontsize=10)
        panel.set_xscale("log")
        panel.spines[["top", "right"]].set_visible(False)
        panel.margins(x=0.15)
        panel.axvline(1, color="black", linewidth=0.8)
    panels[-1, 0].set_xlabel(f"{title}: time in units of the reference's")
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
