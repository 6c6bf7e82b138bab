"""The results of parts, as they come, in; a bar with rate and time left, and a log, out.

Results arrive as files (crew.py), from processes of any runner, so watching is looking at a folder.
"""

from __future__ import annotations

import contextlib
import datetime
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pipelines import storage

LOOK = 0.3  # seconds between two looks


@dataclass
class Watch:
    """One run of parts: which results were seen, since when, and where the log is."""

    folder: Path
    total: int
    what: str
    log: Path
    started: float = field(default_factory=time.monotonic)
    seen: set[str] = field(default_factory=set)
    pictures: int = 0

    def look(self) -> int:
        """Log the parts that are done since the last look; return how many are done in all."""
        paths = {path.stem: path for path in self.folder.glob("*.json")}
        for name in sorted(set(paths) - self.seen):
            self.seen.add(name)
            self._line(name, storage.read_json(paths[name]))
        return len(self.seen)

    def rate(self) -> str:
        """Return how fast it goes, in words."""
        seconds = max(time.monotonic() - self.started, 1e-6)
        if self.pictures:
            return f"{self.pictures / seconds:,.0f} pictures/s"
        return f"{len(self.seen) / seconds:,.1f} parts/s"

    def _line(self, name: str, result: Mapping[str, Any]) -> None:
        decoded, copied = result.get("decoded", 0), result.get("copied", 0)
        self.pictures += decoded + copied
        now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
        done = f"{len(self.seen)}/{self.total}"
        how = result.get("how", "done")
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("a", encoding="utf-8") as stream:
            stream.write(f"{now} {name} {how} decoded={decoded} copied={copied} {done}\n")


@contextlib.contextmanager
def watching(folder: Path, total: int, what: str, log: Path) -> Iterator[None]:
    """Follow the parts while the block runs: always in the log, on a terminal with a bar."""
    watch = Watch(folder, total, what, log)
    with _looking(what, total, lambda: (watch.look(), watch.rate())):
        yield
    watch.look()


@contextlib.contextmanager
def counting(folder: Path, pattern: str, total: int, what: str) -> Iterator[None]:
    """Show how many files of a pattern a folder holds, while the block runs and a person looks."""
    with _looking(what, total, lambda: (sum(1 for _ in folder.glob(pattern)), "")):
        yield


@contextlib.contextmanager
def _looking(what: str, total: int, look: Callable[[], tuple[int, str]]) -> Iterator[None]:
    done = threading.Event()
    with _bar(what, total) as move:

        def follow() -> None:
            while not done.wait(LOOK):
                move(*look())

        follower = threading.Thread(target=follow, daemon=True)
        follower.start()
        try:
            yield
        finally:
            done.set()
            follower.join()


@contextlib.contextmanager
def _bar(what: str, total: int) -> Iterator[Callable[[int, str], None]]:
    """Yield move(done, words), which moves a progress bar where stderr is a terminal."""
    if not sys.stderr.isatty():
        yield lambda _done, _words: None
        return
    columns: Sequence[Any] = (
        TextColumn(what), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[words]}"),
        TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(what, total=total, words="")
        yield lambda done, words: shown.update(task, completed=done, words=words)
