"""The process pool: runs calls on worker processes that may die.

`in_order` runs independent calls and yields their results; verify and the synthetic collections use
it. `PartPool` runs a stage's work on parts and yields the outcomes as they finish. Both use `Pool`.

On one machine the parts of an engine go to this pool, because Beam's local multi-process mode takes
seconds to start and hangs when a worker is killed. An image that crashes its worker, or takes too
long, is excluded with a reject code, and its part is done again (blame.py). If the system kills a
worker (out of memory), no image is to blame and the run ends.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from pebble import ProcessExpired, ProcessPool

from cxr_vlp.pipelines import errors, interrupts
from cxr_vlp.pipelines.errors import DataError, EngineError, Stop
from cxr_vlp.pipelines.executor import worker
from cxr_vlp.pipelines.executor.blame import ImageBlame
from cxr_vlp.pipelines.executor.progress import State, showing
from cxr_vlp.pipelines.executor.worker import WorkerState

Call = Callable[[], Any]  # picklable: a functools.partial of a module's function
PartCall = Callable[[WorkerState], Mapping[str, Any]]  # the work on one part
Outcome = Mapping[str, Any]  # {"name", "result"}, or {"name", "fault": [type of the Stop, message]}

IMAGE_TIMEOUT = 120.0  # seconds for one image; a valid 64-megapixel JPEG 2000 takes about 30
CALL_TIMEOUT = 3600.0  # seconds for one call of `in_order`, such as the check of a tar
POLL_INTERVAL = 0.5  # seconds between two checks of the workers
IDLE_TIMEOUT = (
    180.0  # seconds without a working worker; they start in a few, on a cold disk in many
)
VERIFY_MODULES = ("cxr_vlp.pipelines.validate.shard", "cxr_vlp.pipelines.validate.rederive")
RUN_PARTS_AGAIN = (
    "most likely out of memory; finished parts are kept: run again, with fewer --workers"
)
FIND_THE_CALL = (
    "out of memory, or a crash in a decoder: run again with --workers 1 and one set at a time to "
    "find out which"
)


def with_progress(calls: Sequence[Call], workers: int, title: str) -> Iterator[Any]:
    """Yield the results of `in_order` and show how many calls are done."""
    done = 0
    with showing(title, lambda: State(done, len(calls), "tasks")):
        for result in in_order(calls, workers, VERIFY_MODULES):
            done += 1
            yield result


def in_order(calls: Sequence[Call], workers: int, preload: Sequence[str]) -> Iterator[Any]:
    """Yield every call's result, in the order of the calls.

    `preload` names modules that are imported once for all workers. With one worker or one call
    everything runs in this process. Raises what a call raised, and DataError if a worker died.
    """
    workers = min(workers, len(calls))
    if workers <= 1:
        for call in calls:
            yield call()
        return
    yield from Pool(list(calls), workers, preload, FIND_THE_CALL, timeout=CALL_TIMEOUT).results()


@dataclass
class Pool:
    """One run of calls on worker processes."""

    calls: list[Call]
    workers: int
    preload: Sequence[str]
    remedy: str  # what the user can do about a dead worker
    attempts: Sequence[PartAttempts] = ()  # for each call, what follows the death of its worker
    timeout: float | None = None  # seconds for one call
    over: Callable[[], bool] = bool  # whether nobody waits for results any more
    stalled: float | None = None  # seconds without a result or another step; None: no limit
    last_progress: float = field(default_factory=time.monotonic)
    moved: float = field(default_factory=time.monotonic)  # the last result, or step of a worker
    steps: int = 0  # of all workers until then

    def results(self) -> Iterator[Any]:
        """Yield every call's result, in the order of the calls. Raises as `finished`."""
        ready: dict[int, Any] = {}
        following = 0
        for number, result in self.finished():
            ready[number] = result
            while following in ready:
                yield ready.pop(following)
                following += 1

    def finished(self) -> Iterator[tuple[int, Any]]:
        """Yield (number of the call, its result) as the calls finish.

        Raises what a call raised, DataError if a worker died, StoppedError in a stopped run.
        """
        context = interrupts.start_server(list(self.preload))
        # concurrent.futures is not used: its shutdown may wait forever for a worker that was killed
        # a worker starts with the environment of the server, which may be older than a variable of
        # this process, such as the endpoint of a store
        with ProcessPool(
            self.workers,
            context=context,
            initializer=worker.set_up,
            initargs=(dict(os.environ),),
        ) as processes:
            try:
                yield from self._results(processes)
            finally:
                processes.stop()

    def _results(self, processes: ProcessPool) -> Iterator[tuple[int, Any]]:
        pending = {self._schedule(processes, i): i for i in range(len(self.calls))}
        while pending:
            done, _ = wait(pending, timeout=POLL_INTERVAL, return_when=FIRST_COMPLETED)
            interrupts.check()
            if self.over():
                return
            for future in done:
                number = pending.pop(future)
                try:
                    result = self._result(future)
                except ProcessExpired as death:
                    self.calls[number] = self._again(number, death)
                    pending[self._schedule(processes, number)] = number
                else:
                    yield number, result
            if self.attempts:
                for number in pending.values():
                    self.attempts[number].blame.end_slow_worker()
            self._check_alive(processes, pending, bool(done))
            self._check_progress(pending, bool(done))

    def _schedule(self, processes: ProcessPool, number: int) -> Future[Any]:
        future: Future[Any] = processes.schedule(self.calls[number], timeout=self.timeout)
        return future

    def _result(self, future: Future[Any]) -> Any:
        try:
            return future.result()
        except BrokenProcessPool:
            raise self._killed("before it began") from None
        except TimeoutError as error:
            if error.errno:  # an error of the disk, not of the pool
                raise
            raise self._killed(f"not finished in {self.timeout:.0f} seconds") from None

    def _again(self, number: int, death: ProcessExpired) -> Call:
        """Return the call that replaces the call of a dead worker. Raises DataError."""
        code = death.exitcode
        if not self.attempts or not self.attempts[number].blame.exclude(code):
            raise self._killed(f"signal {-code}" if code < 0 else f"exit {code}")
        return self.attempts[number].next()

    def _check_alive(
        self, processes: ProcessPool, pending: Collection[Future[Any]], progress: bool
    ) -> None:
        """Raise DataError if no worker will ever run the remaining calls.

        A worker that is killed as it takes a call loses the call, and the pool would wait forever.
        """
        now = time.monotonic()
        if progress or any(future.running() for future in pending):
            self.last_progress = now
        if pending and (not processes.active or now - self.last_progress > IDLE_TIMEOUT):
            raise self._killed("before it began")

    def _check_progress(self, pending: Mapping[Future[Any], int], progress: bool) -> None:
        """Raise EngineError if nothing has finished for too long, and no worker took a step."""
        now, steps = time.monotonic(), worker.steps()
        if progress or steps != self.steps:
            self.steps, self.moved = steps, now
        if self.stalled is None or not pending or now - self.moved <= self.stalled:
            return
        begun = [self.attempts[n].name for future, n in pending.items() if future.running()]
        done = len(self.calls) - len(pending)
        raise EngineError(
            f"engine.stalled: nothing finished for {now - self.moved:.0f} seconds, {done} of "
            f"{len(self.calls)} done; {', '.join(begun[:3])} are begun: look at the disks they "
            f"read and write, or give more time with --stalled; {errors.KEPT}"
        )

    def _killed(self, how: str) -> DataError:
        return DataError(f"worker.killed: a worker process died ({how}), {self.remedy}")


@dataclass(frozen=True)
class PartPool:
    """Runs the work on parts in processes of this machine."""

    workers: int
    preload: Sequence[str] = ()  # modules that are imported once, for all workers
    image_timeout: float = IMAGE_TIMEOUT
    umask: int | None = None  # for files that the workers write; None: unchanged
    stalled: float | None = None  # seconds without progress after which the run ends

    def outcomes(
        self, calls: Mapping[str, PartCall], over: Callable[[], bool] = bool
    ) -> Iterator[Outcome]:
        """Yield the outcome of every part as it finishes; `calls`: name of the part -> its work.

        It ends early when `over` returns True.
        Raises DataError if a worker died and no image is to blame.
        """
        with tempfile.TemporaryDirectory(prefix="cxr-vlp-") as folder:
            # by number: a record's name says nothing about the part
            attempts = [
                PartAttempts(name, call, ImageBlame(Path(folder, str(n)), self.image_timeout))
                for n, (name, call) in enumerate(calls.items())
            ]
            yield from self.run(attempts, over)

    def run(
        self, attempts: Sequence[PartAttempts], over: Callable[[], bool] = bool
    ) -> Iterator[Outcome]:
        """Yield the outcome of every part as it finishes."""
        calls = [partial(_with_umask, self.umask, each.next()) for each in attempts]
        workers = max(1, min(self.workers, len(attempts)))
        pool = Pool(
            list(calls),
            workers,
            self.preload,
            RUN_PARTS_AGAIN,
            attempts,
            over=over,
            stalled=self.stalled,
        )
        for _, outcome in pool.finished():
            yield outcome


@dataclass(frozen=True)
class PartAttempts:
    """The attempts at one part: each excludes the images that ended an earlier one."""

    name: str
    call: PartCall
    blame: ImageBlame

    def next(self) -> Call:
        """Return the call for the next attempt; it returns an outcome."""
        return partial(outcome, self.name, self.call, self.blame.record, dict(self.blame.excluded))


def outcome(name: str, call: PartCall, record: Path, excluded: Mapping[str, str]) -> Outcome:
    """Do one part, in a worker process; `excluded`: key hash -> code of images to reject."""
    state = WorkerState(record, excluded)
    try:
        result = call(state)
    except Stop as stop:
        return {"name": name, "fault": [type(stop).__name__, str(stop)]}
    except OSError as error:
        return {"name": name, "fault": ["StorageError", str(errors.as_stop(error))]}
    except Exception as error:
        return {"name": name, "fault": ["DataError", str(errors.internal(error, f"part {name}"))]}
    finally:
        state.close()
    return {"name": name, "result": result}


def _with_umask(umask: int | None, call: Call) -> Any:
    if umask is not None:  # the server that forked this worker may have another umask
        os.umask(umask)
    return call()
