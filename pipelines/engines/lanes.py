"""Gives elements to worker pools, one job at a time each, and gives lost ones to another pool.

A runner may hang for ever when a worker is killed, or cannot start. So a job is watched from
outside: its elements must show a sign of life (results_place.py) and come back. If they do not, the
job is cancelled and what is left of it is submitted again, at most `RESUBMITS` times an element.
"""

from __future__ import annotations

import math
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from cxr_vlp.pipelines import interrupts
from cxr_vlp.pipelines.engines.base import Element, Outcome
from cxr_vlp.pipelines.engines.results_place import ResultsPlace, shared, steps
from cxr_vlp.pipelines.engines.watch import Watch
from cxr_vlp.pipelines.errors import KEPT, EngineError

RESUBMITS = 2  # of one element, and of a pool without a finished element
LEAST = 2  # elements in a job: a worker starts anew for each job, in a few seconds
LOST_AFTER = 120.0  # seconds without a sign of life after which a worker counts as lost
POLL_INTERVAL = 1.0  # seconds between two looks


class Job(Protocol):
    """A job that was submitted to a runner."""

    def running(self) -> bool:
        """Return whether the job has not ended. Raises EngineError if it can never run."""

    def reason(self) -> str:
        """Return why the job failed; "" if it did not."""

    def cancel(self) -> None:
        """Ask the runner to end the job; do not wait for it."""


Submit = Callable[[str, Sequence[Element]], Job]


@dataclass
class Lane:
    """One worker pool, and the job that it does now."""

    pool: str  # its address; "" for the only one of a runner
    job: Job | None = None
    held: dict[str, Element] = field(default_factory=dict)  # elements of the job, unfinished
    beats: dict[str, str] = field(default_factory=dict)  # the last signs of life of these
    heard: float = 0.0  # when something of the job was heard
    failures: int = 0  # jobs in a row that ended with nothing finished
    size: int = 0  # number of elements of the present job
    finished: int = 0  # of these
    reason: str = ""  # of the last failure

    def start(self, job: Job, elements: Sequence[Element]) -> None:
        """Note a job."""
        self.job, self.heard, self.finished = job, time.monotonic(), 0
        self.held, self.size = {element.name: element for element in elements}, len(elements)
        self.beats = {}

    def listen(self, beats: dict[str, str]) -> bool:
        """Note the signs of life of the job's elements; return whether a worker took a step."""
        mine = {name: beat for name, beat in beats.items() if name in self.held}
        if mine == self.beats:
            return False
        moved = steps(mine) != steps(self.beats)
        self.beats, self.heard = mine, time.monotonic()
        return moved

    def silent(self, stalled: float) -> bool:
        """Return whether the workers of the job are lost: begun elements are silent, or none is."""
        # a worker may have to fetch its container first; two other attempts fit into `stalled`
        patience = min(LOST_AFTER, stalled) if self.beats else stalled / (RESUBMITS + 1)
        return time.monotonic() - self.heard > patience


@dataclass
class Lanes:
    """One run over worker pools."""

    place: ResultsPlace
    submit: Submit
    stalled: float
    lanes: list[Lane]
    waiting: deque[Element]
    wanted: int
    awaited: set[str]  # names of the elements that have not come
    tries: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(
        cls, pools: Sequence[str], elements: Sequence[Element], place: ResultsPlace,
        submit: Submit, stalled: float, wanted: int,
    ) -> Lanes:  # fmt: skip
        """Return a run; `wanted` is the number of elements with those that are done already."""
        lanes = [Lane(pool) for pool in pools]
        names = {element.name for element in elements}
        return cls(place, submit, stalled, lanes, deque(elements), wanted, names)

    def outcomes(self) -> Generator[Outcome, None, None]:
        """Yield the outcome of each element as it comes. Raises EngineError."""
        watch = Watch(self.stalled, self.wanted, self.wanted - len(self.waiting))
        try:
            while True:
                ended = [lane for lane in self.lanes if lane.job and not lane.job.running()]
                for outcome in self._new():  # after the look at the jobs: nothing comes later
                    watch.progress()
                    yield outcome
                for lane in ended:
                    self._end(lane)
                self._watch(watch)
                self._give()
                if not self.waiting and not any(lane.job for lane in self.lanes):
                    return
                interrupts.check()
                time.sleep(POLL_INTERVAL)
        finally:
            for lane in self.lanes:
                if lane.job:
                    lane.job.cancel()

    def _new(self) -> Iterator[Outcome]:
        for outcome in self.place.new(self.awaited):
            name = outcome["name"]
            self.awaited.discard(name)
            for lane in self.lanes:
                if lane.held.pop(name, None):
                    lane.finished += 1
                    lane.heard = time.monotonic()
            yield outcome

    def _give(self) -> None:
        """Give a job to each pool that has none. Raises EngineError if no pool is left."""
        # a worker that was given up, or one of a killed run, may have done some after all
        self.waiting = deque(each for each in self.waiting if each.name in self.awaited)
        usable = [lane for lane in self.lanes if lane.failures <= RESUBMITS]
        if self.waiting and not usable:
            why = next((lane.reason for lane in self.lanes if lane.reason), "no reason was given")
            raise EngineError(
                f"engine.failed: no workers are left ({why}): look at the job service and at "
                f"the worker pools; {KEPT}"
            )
        for lane in usable:
            if lane.job is None and self.waiting:
                # the less is left, the smaller the jobs: all pools end at about the same time
                alone = len(self.lanes) == 1
                share = 1.0 if alone else 0.5 / len(usable)
                size = max(LEAST, math.ceil(len(self.waiting) * share))
                taken = [self.waiting.popleft() for _ in range(min(size, len(self.waiting)))]
                lane.start(self.submit(lane.pool, taken), taken)

    def _watch(self, watch: Watch) -> None:
        """Note signs of life, and take elements back from jobs whose workers are lost."""
        busy = [lane for lane in self.lanes if lane.job]
        beats = self.place.beats(self.awaited) if busy else {}
        for lane in busy:
            if lane.listen(beats):
                watch.moved()
            if lane.silent(self.stalled):
                self._lose(lane)
        if busy:
            watch.check(sorted(beats))

    def _lose(self, lane: Lane) -> None:
        """Cancel a job that is silent."""
        assert lane.job is not None
        began = "is silent" if lane.beats else "has begun nothing"
        lane.job.cancel()
        self._take_back(lane, f"its worker {began} for {time.monotonic() - lane.heard:.0f} seconds")

    def _end(self, lane: Lane) -> None:
        """Note that a job has ended; take back what it has not done."""
        assert lane.job is not None
        reason = lane.job.reason()
        lane.held = {name: each for name, each in lane.held.items() if name in self.awaited}
        if not lane.held:
            lane.job, lane.failures = None, 0
            return
        if not reason and not lane.finished:
            reason = f"the job is done and no result came: {shared(self.place.folder)}"
        self._take_back(lane, reason or "the job ended before all was done")

    def _take_back(self, lane: Lane, reason: str) -> None:
        """Let another job do what is left. Raises EngineError for an element that is lost often."""
        for name, element in reversed(lane.held.items()):
            self.tries[name] += name in lane.beats or lane.size == 1
            if self.tries[name] > RESUBMITS:
                raise EngineError(
                    f"engine.failed: {name} was begun {self.tries[name]} times and never done "
                    f"({reason}): most likely out of memory; {KEPT}"
                )
            self.place.forget(name)
            self.waiting.appendleft(element)
        lane.failures = 0 if lane.finished else lane.failures + 1
        lane.job, lane.reason, lane.held = None, reason, {}
        where = f"worker pool {lane.pool}" if lane.pool else "the runner"
        sys.stderr.write(f"warning: {where}: {reason}; what is left is done again\n")
