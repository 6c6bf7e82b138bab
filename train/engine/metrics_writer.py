"""Writes a training's metrics as the plain files that `dvc metrics` and `dvc plots` read.

FOLDER/metrics.json holds the last value of each metric, FOLDER/METRIC.tsv a row (step, value) for
each logged step. No time and no host name is in them.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from pathlib import Path

from cxr_vlp.train.engine.checkpoints import Row

LAST = "metrics.json"


class MetricsWriter:
    """The metrics of one training; a resumed training keeps the earlier `rows`."""

    def __init__(self, folder: Path, rows: Iterable[Row]) -> None:
        self._folder = folder
        self._rows = list(rows)
        self._last: dict[str, float] = {}
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.glob("*.tsv"):  # may hold steps after the last checkpoint
            path.unlink()
        self._write(self._rows)

    @property
    def rows(self) -> tuple[Row, ...]:
        """All rows so far, in the order in which they were logged."""
        return tuple(self._rows)

    def log(self, step: int, **values: float) -> None:
        """Add the values of some metrics at a step, and write them."""
        rows = [(step, name, value) for name, value in values.items()]
        self._rows += rows
        self._write(rows)

    def _write(self, rows: Iterable[Row]) -> None:
        for step, name, value in rows:
            path = self._folder / f"{name}.tsv"
            header = [] if path.exists() else [("step", name)]
            with path.open("a", encoding="utf-8", newline="") as file:
                lines = csv.writer(file, delimiter="\t", lineterminator="\n")
                lines.writerows([*header, (step, value)])
            self._last |= {name: value, "step": step}
        text = json.dumps(self._last, indent=2, sort_keys=True) + "\n"
        (self._folder / LAST).write_text(text, encoding="utf-8")
