"""Logs the parts of a run as they finish, and shows the progress of the run.

Results arrive as files (PartPool in pool.py) from processes of any Beam runner, so a
folder is polled to write the log.
"""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cxr_vlp.pipelines.executor.progress import State, showing
from cxr_vlp.pipelines.files import jsonl


@dataclass
class RunLog:
    """The log of one run of parts: where results appear, and which are logged already."""

    folder: Path
    total: int
    log: Path
    logged: set[str] = field(default_factory=set)
    images: int = 0

    def update(self) -> int:
        """Log the parts that finished since the last call; return how many are finished."""
        paths = {path.stem: path for path in self.folder.glob("*.json")}
        for name in sorted(set(paths) - self.logged):
            result = jsonl.read_json(paths[name])
            self._write(name, result)
            self.logged.add(
                name
            )  # only after the line is written, so that a failed write is tried again
            self.images += result.get("decoded", 0) + result.get("copied", 0)
        return len(self.logged)

    def state(self) -> State:
        """Update the log and return the state of the run."""
        done = self.update()
        return State(done, self.total, "parts", f"{self.images:,} images" if self.images else "")

    def _write(self, name: str, result: Mapping[str, Any]) -> None:
        decoded, copied = result.get("decoded", 0), result.get("copied", 0)
        now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
        done = f"{len(self.logged) + 1}/{self.total}"
        how = result.get("how", "done")
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("a", encoding="utf-8") as stream:
            stream.write(f"{now} {name} {how} decoded={decoded} copied={copied} {done}\n")


@contextlib.contextmanager
def logging_parts(folder: Path, total: int, title: str, log: Path) -> Iterator[None]:
    """Log the parts that finish, and show the progress, while the block runs."""
    run_log = RunLog(folder, total, log)
    with showing(title, run_log.state):
        yield
    run_log.update()
