"""The log of a run: one line for each element that finished, and the state for the display."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxr_vlp.pipelines.executor.progress import State


@dataclass
class RunLog:
    """The log of one run, and how much of the run is done."""

    path: Path
    total: int
    done: int = 0
    images: int = 0

    def add(self, name: str, result: Mapping[str, Any]) -> None:
        """Add the line of an element that finished."""
        self.done += 1
        self.images += result.get("decoded", 0) + result.get("copied", 0)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(self._line(name, result))

    def state(self) -> State:
        """Return the state of the run."""
        more = f"{self.images:,} images" if self.images else ""
        return State(self.done, self.total, "parts", more)

    def _line(self, name: str, result: Mapping[str, Any]) -> str:
        now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
        spent = f"decoded={result.get('decoded', 0)} copied={result.get('copied', 0)}"
        return f"{now} {name} {result.get('how', 'done')} {spent} {self.done}/{self.total}\n"
