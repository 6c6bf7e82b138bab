"""The results of parts, as they come, in; a log, and what people see of it, out.

Results arrive as files (crew.py), from processes of any runner, so watching is looking at a folder.
"""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cxr_vlp.pipelines.executor.progress import State, following
from cxr_vlp.pipelines.files import jsonl


@dataclass
class Watch:
    """One run of parts: which results were seen, since when, and where the log is."""

    folder: Path
    total: int
    what: str
    log: Path
    seen: set[str] = field(default_factory=set)
    pictures: int = 0

    def look(self) -> int:
        """Log the parts that are done since the last look; return how many are done in all."""
        paths = {path.stem: path for path in self.folder.glob("*.json")}
        for name in sorted(set(paths) - self.seen):
            result = jsonl.read_json(paths[name])
            self._line(name, result)
            self.seen.add(name)  # now that its line is written: else it is tried again
            self.pictures += result.get("decoded", 0) + result.get("copied", 0)
        return len(self.seen)

    def state(self) -> State:
        """Look, and return how far the run is."""
        done = self.look()
        return State(
            done, self.total, "parts", f"{self.pictures:,} images" if self.pictures else ""
        )

    def _line(self, name: str, result: Mapping[str, Any]) -> None:
        decoded, copied = result.get("decoded", 0), result.get("copied", 0)
        now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
        done = f"{len(self.seen) + 1}/{self.total}"
        how = result.get("how", "done")
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("a", encoding="utf-8") as stream:
            stream.write(f"{now} {name} {how} decoded={decoded} copied={copied} {done}\n")


@contextlib.contextmanager
def watching(folder: Path, total: int, what: str, log: Path) -> Iterator[None]:
    """Follow the parts while the block runs: always in the log, and where people look."""
    watch = Watch(folder, total, what, log)
    with following(what, watch.state):
        yield
    watch.look()
