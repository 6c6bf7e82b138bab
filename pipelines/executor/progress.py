"""What has been done so far, shown while it is done: a bar on a terminal, else a line at times.

Looking is all this does: what it looks at are result files, or the counts below, to which the
threads of Beam's local runner add. Under another runner those counts stay 0 and nothing breaks.
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

LOOK = 0.3  # seconds between two looks
EVERY = 30.0  # seconds between two lines where no terminal shows a bar


class State(NamedTuple):
    """How far something is; `total` 0 where nobody knows yet."""

    done: int
    total: int
    unit: str
    more: str = ""  # what else there is to say


Look = Callable[[], State]


class Counts:
    """Numbers by name, of this process; threads may add at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers: Counter[str] = Counter()

    def add(self, name: str, number: int = 1) -> None:
        """Add to a number."""
        with self._lock:
            self._numbers[name] += number

    def clear(self) -> None:
        """Begin again."""
        with self._lock:
            self._numbers.clear()

    def of_scan(self) -> State:
        """Return how far a scan is, in the step that it has come to."""
        with self._lock:
            found = self._numbers.copy()
        if found["files"]:  # begun when all studies are joined: then their number is the last word
            return State(found["files"], found["images"], "images read")
        for name, unit in (("studies", "studies joined"), ("rows", "rows read")):
            if found[name]:
                return State(found[name], 0, unit)
        return State(found["seen"], 0, "files seen")


COUNTS = Counts()


@dataclass
class Pace:
    """How fast the present step goes."""

    unit: str = ""
    since: float = 0.0
    first: int = 0

    def words(self, state: State, now: float) -> tuple[str, float]:
        """Return "1,234 of 5,678 files, 12 a second" and the seconds that are left; 0: unknown."""
        if state.unit != self.unit:
            self.unit, self.since, self.first = state.unit, now, state.done
        rate = (state.done - self.first) / max(now - self.since, 1e-6)
        of = f" of {state.total:,}" if state.total else ""
        said = f"{state.done:,}{of} {state.unit}" + (f", {state.more}" if state.more else "")
        if rate > 0:
            said += f", {rate:,.0f} a second" if rate >= 10 else f", {rate * 60:,.0f} a minute"
        left = (state.total - state.done) / rate if state.total and rate > 0 else 0.0
        return said, left


@contextlib.contextmanager
def following(what: str, look: Look) -> Iterator[None]:
    """Show what `look` returns, under the name `what`, while the block runs."""
    over = threading.Event()
    with _bar(what) if sys.stderr.isatty() else contextlib.nullcontext(Lines(what)) as show:

        def follow() -> None:
            while not over.wait(LOOK):
                with contextlib.suppress(OSError):  # the run itself will meet it, and say so
                    show(look())

        follower = threading.Thread(target=follow, daemon=True)
        follower.start()
        try:
            yield
        finally:
            over.set()
            follower.join()


@dataclass
class Lines:
    """For logs, and for DVC: a line on stderr every `EVERY` seconds."""

    what: str
    pace: Pace = field(default_factory=Pace)
    last: float = field(default_factory=time.monotonic)

    def __call__(self, state: State) -> None:
        """Take a look; write a line when it is time."""
        now = time.monotonic()
        said, left = self.pace.words(state, now)
        if now - self.last < EVERY:
            return
        self.last = now
        rest = f", about {datetime.timedelta(seconds=round(left))} left" if left else ""
        sys.stderr.write(f"{self.what}: {said}{rest}\n")
        sys.stderr.flush()


@contextlib.contextmanager
def _bar(what: str) -> Iterator[Callable[[State], None]]:
    columns: Sequence[Any] = (
        TextColumn(what), BarColumn(), TextColumn("{task.fields[words]}"), TimeRemainingColumn(),
    )  # fmt: skip
    pace = Pace()
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(what, total=None, words="")

        def show(state: State) -> None:
            if state.unit != pace.unit:
                shown.reset(task)
            words, _ = pace.words(state, time.monotonic())
            shown.update(task, completed=state.done, total=state.total or None, words=words)

        yield show
