"""Measured values come in, the files that `dvc metrics` and `dvc plots` read go out.

FOLDER/metrics.json holds the last values, FOLDER/plots/metrics/*.tsv a row a step. No clock and
no host is in them.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from dvclive.live import Live

from cxr_vlp.train.engine.checkpoints import Row


class _FilesOnly(Live):
    """dvclive's files, and nothing else of it.

    Left to itself, Live makes the surrounding git repository a DVC repository and stages what it
    wrote there (whatever `save_dvc_exp` says), fails in one without a commit, and talks to a server
    when a token is set. A training writes below its own folder alone.
    """

    def _init_dvc(self) -> None:
        """Look for no repository."""

    def _init_studio(self) -> None:
        """Talk to no server."""


class Curves:
    """The metrics of one training, written as they come; a resumed one keeps what was before."""

    def __init__(self, folder: Path, rows: Iterable[Row]) -> None:
        # No dvc.yaml of its own: the pipeline's names these files already.
        self._live = _FilesOnly(str(folder), save_dvc_exp=False, report=None, dvcyaml=None)
        self._rows = list(rows)
        self._write(self._rows)

    @property
    def rows(self) -> tuple[Row, ...]:
        """All rows so far, in the order they came."""
        return tuple(self._rows)

    def log(self, step: int, **values: float) -> None:
        """Write the values measured at a step."""
        rows = [(step, name, value) for name, value in values.items()]
        self._rows += rows
        self._write(rows)

    def _write(self, rows: Iterable[Row]) -> None:
        for step, name, value in rows:
            self._live.step = step
            self._live.log_metric(name, value)
            # In the order of the names: the file is then the same for a run that was interrupted.
            self._live.summary = dict(sorted({**self._live.summary, "step": step}.items()))
        self._live.make_summary()
