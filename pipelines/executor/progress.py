"""Shows the progress of a run: a bar on a terminal, otherwise a line on stderr every 30 seconds.

The display only reads: what an engine has finished, or the counts below, which a scan increases in
the process of the command.
"""

from __future__ import annotations

import contextlib
import datetime
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

POLL_INTERVAL = 0.3  # seconds between two readings
LOG_INTERVAL = 30.0  # seconds between two lines if there is no terminal


class State(NamedTuple):
    """How much is done; `total` is 0 while it is unknown."""

    done: int
    total: int
    unit: str
    more: str = ""  # further text


class Counts:
    """Numbers by name, of this process; safe between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers: Counter[str] = Counter()

    def add(self, name: str, number: int = 1) -> None:
        """Add to a number."""
        with self._lock:
            self._numbers[name] += number

    def of(self, name: str) -> int:
        """Return a number."""
        with self._lock:
            return self._numbers[name]

    def clear(self) -> None:
        """Set all numbers to 0."""
        with self._lock:
            self._numbers.clear()

    def of_scan(self) -> State:
        """Return the state of the step that a scan has reached."""
        with self._lock:
            found = self._numbers.copy()
        if found["files"]:  # files are read after all studies are joined, so the total is final
            return State(found["files"], found["images"], "images read")
        for name, unit in (("studies", "studies joined"), ("rows", "rows read")):
            if found[name]:
                return State(found[name], 0, unit)
        return State(found["seen"], 0, "files seen")


COUNTS = Counts()


@dataclass
class Rate:
    """The speed of the current step."""

    unit: str = ""
    since: float = 0.0
    first: int = 0

    def describe(self, state: State, now: float) -> tuple[str, float]:
        """Return "1,234 of 5,678 files, 12 a second" and the seconds left; 0 if unknown."""
        if state.unit != self.unit:
            self.unit, self.since, self.first = state.unit, now, state.done
        rate = (state.done - self.first) / max(now - self.since, 1e-6)
        of = f" of {state.total:,}" if state.total else ""
        text = f"{state.done:,}{of} {state.unit}" + (f", {state.more}" if state.more else "")
        if rate > 0:
            text += f", {rate:,.0f} a second" if rate >= 10 else f", {rate * 60:,.0f} a minute"
        left = (state.total - state.done) / rate if state.total and rate > 0 else 0.0
        return text, left


@contextlib.contextmanager
def showing(title: str, read: Callable[[], State]) -> Iterator[None]:
    """Show the state that `read` returns, under a title, while the block runs."""
    over = threading.Event()
    with _bar(title) if sys.stderr.isatty() else contextlib.nullcontext(LogLines(title)) as show:

        def poll() -> None:
            while not over.wait(POLL_INTERVAL):
                with contextlib.suppress(OSError):  # the run gets the same error and reports it
                    show(read())

        thread = threading.Thread(target=poll, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


@dataclass
class LogLines:
    """Writes a line to stderr every `LOG_INTERVAL` seconds, for logs and for DVC."""

    title: str
    rate: Rate = field(default_factory=Rate)
    last: float = field(default_factory=time.monotonic)

    def __call__(self, state: State) -> None:
        """Write a line if `LOG_INTERVAL` seconds have passed."""
        now = time.monotonic()
        text, left = self.rate.describe(state, now)
        if now - self.last < LOG_INTERVAL:
            return
        self.last = now
        rest = f", about {datetime.timedelta(seconds=round(left))} left" if left else ""
        sys.stderr.write(f"{self.title}: {text}{rest}\n")
        sys.stderr.flush()


@contextlib.contextmanager
def _bar(title: str) -> Iterator[Callable[[State], None]]:
    columns: Sequence[Any] = (
        TextColumn(title), BarColumn(), TextColumn("{task.fields[text]}"), TimeRemainingColumn(),
    )  # fmt: skip
    rate = Rate()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None, text="")

        def show(state: State) -> None:
            if state.unit != rate.unit:
                bar.reset(task)
            text, _ = rate.describe(state, time.monotonic())
            bar.update(task, completed=state.done, total=state.total or None, text=text)

        yield show
