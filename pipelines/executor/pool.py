"""The process pool: runs calls on worker processes that may die.

`in_order` runs independent calls and yields their results; verify and the synthetic collections use
it. `PartPool` runs a stage's work on parts and writes one result file a part. Both use `Pool`.

The parts of a Beam bundle go to this pool under any Beam runner, because Beam's local multi-process
mode takes seconds to start and hangs when a worker is killed. An image that crashes its worker, or
takes too long, is excluded with a reject code, and its part is done again. If the system kills a
worker (out of memory), no image is to blame and the run ends.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from pebble import ProcessExpired, ProcessPool

from cxr_vlp.pipelines import errors, interrupts
from cxr_vlp.pipelines.errors import DataError, Stop
from cxr_vlp.pipelines.executor import worker
from cxr_vlp.pipelines.executor.progress import State, showing
from cxr_vlp.pipelines.executor.worker import CurrentImage, WorkerState
from cxr_vlp.pipelines.files import jsonl

Call = Callable[[], Any]  # picklable: a functools.partial of a module's function
Work = Callable[[str, WorkerState], Mapping[str, Any]]

IMAGE_TIMEOUT = 120.0  # seconds for one image; a valid 64-megapixel JPEG 2000 takes about 30
CALL_TIMEOUT = 3600.0  # seconds for one call of `in_order`, such as the check of a tar
POLL_INTERVAL = 0.5  # seconds between two checks of the workers
IDLE_TIMEOUT = (
    180.0  # seconds without a working worker; they start in a few, on a cold disk in many
)
PART_MODULES = (  # imported once, for all workers
    "cxr_vlp.pipelines.stages.shard_part",
    "cxr_vlp.pipelines.stages.text_part",
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
    """One run of calls on worker processes. `blame`, if any, decides what to do after a death."""

    calls: list[Call]
    workers: int
    preload: Sequence[str]
    remedy: str  # what the user can do about a dead worker
    blame: ImageBlame | None = None
    timeout: float | None = None  # seconds for one call
    last_progress: float = field(default_factory=time.monotonic)

    def results(self) -> Iterator[Any]:
        """Yield every call's result, in the order of the calls.

        Raises what a call raised, DataError if a worker died, StoppedError in a stopped run.
        """
        context = interrupts.start_server(list(self.preload))
        # concurrent.futures is not used: its shutdown may wait forever for a worker that was killed
        with ProcessPool(self.workers, context=context, initializer=worker.set_up) as processes:
            try:
                yield from self._results(processes)
            finally:
                processes.stop()

    def _results(self, processes: ProcessPool) -> Iterator[Any]:
        pending = {self._schedule(processes, i): i for i in range(len(self.calls))}
        finished: dict[int, Any] = {}
        following = 0
        while pending:
            done, _ = wait(pending, timeout=POLL_INTERVAL, return_when=FIRST_COMPLETED)
            interrupts.check()
            for future in done:
                number = pending.pop(future)
                try:
                    finished[number] = self._result(future)
                except ProcessExpired as death:
                    self.calls[number] = self._again(number, death)
                    pending[self._schedule(processes, number)] = number
            if self.blame:
                self.blame.end_slow_workers(pending.values())
            self._check_alive(processes, pending, bool(done))
            while following in finished:
                yield finished.pop(following)
                following += 1

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
        again = self.blame.again(number, death) if self.blame else None
        if again is None:
            code = death.exitcode
            raise self._killed(f"signal {-code}" if code < 0 else f"exit {code}")
        return again

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

    def _killed(self, how: str) -> DataError:
        return DataError(f"worker.killed: a worker process died ({how}), {self.remedy}")


@dataclass(frozen=True)
class PartPool:
    """Runs `work` on parts and writes results/NAME.json for each part."""

    work: Work
    results: str
    workers: int
    image_timeout: float = IMAGE_TIMEOUT
    umask: int | None = None  # for files that the workers write; None: unchanged

    def run(self, names: Sequence[str]) -> None:
        """Do the parts. A Stop is written to results/FAULT, for the driver process to raise."""
        try:
            self.run_all(list(names))
        except Stop as stop:
            self._write_fault(type(stop).__name__, str(stop))
        except OSError as error:
            self._write_fault("StorageError", str(errors.as_stop(error)))

    def run_all(self, names: Sequence[str]) -> None:
        """Do the parts in worker processes. Raises the first Stop or OSError of a part."""
        blame = ImageBlame(self, names)
        calls: list[Call] = [partial(self.run_one, name, {}) for name in names]
        workers = max(1, min(self.workers, len(names)))
        for _ in Pool(calls, workers, PART_MODULES, RUN_PARTS_AGAIN, blame).results():
            pass

    def run_one(self, name: str, excluded: Mapping[str, str]) -> None:
        """Do one part, in a worker process; `excluded`: key hash -> code of images to reject."""
        if self.umask is not None:  # the server that forked this worker may have another umask
            os.umask(self.umask)
        state = WorkerState(self.record(name), excluded)
        try:
            result = self.work(name, state)
        except (Stop, OSError):
            raise
        except Exception as error:
            raise errors.internal(error, f"part {name}") from None
        state.close()
        jsonl.write_json(Path(self.results) / f"{name}.json", result)

    def record(self, name: str) -> Path:
        """Return the file in which the worker of a part records its current image."""
        return Path(self.results) / f"{name}.note"

    def _write_fault(self, name: str, message: str) -> None:
        jsonl.write_json(Path(self.results) / "FAULT", {"kind": name, "message": message})


@dataclass
class ImageBlame:
    """Finds the image that a dead or stuck worker was decoding, and excludes it from its part."""

    pool: PartPool
    names: Sequence[str]  # of the parts, in the order of the pool's calls
    excluded: dict[str, dict[str, str]] = field(default_factory=dict)  # part -> key hash -> code
    seen: dict[str, tuple[CurrentImage, float]] = field(
        default_factory=dict
    )  # part -> image, since
    ended: set[str] = field(
        default_factory=set
    )  # parts whose worker was killed because it was slow

    def again(self, number: int, death: ProcessExpired) -> Call | None:
        """Return the part's call without the image to blame; None if no image is to blame."""
        part = self.names[number]
        image = CurrentImage.read(self.pool.record(part))
        slow = part in self.ended
        self.ended.discard(part)
        self.seen.pop(part, None)
        killed = death.exitcode in (-signal.SIGKILL, -signal.SIGTERM) and not slow
        if image is None or killed:
            return None
        excluded = self.excluded.setdefault(part, {})
        excluded[image.name] = "decode.timeout" if slow else "decode.crash"
        self.pool.record(part).unlink(missing_ok=True)
        return partial(self.pool.run_one, part, dict(excluded))

    def end_slow_workers(self, numbers: Iterable[int]) -> None:
        """Kill the workers that have been decoding one image for longer than the timeout."""
        now = time.monotonic()  # unlike file times, it does not advance while the machine sleeps
        for part in (self.names[number] for number in numbers):
            image = CurrentImage.read(self.pool.record(part))
            if image is None:
                self.seen.pop(part, None)
                continue
            last, since = self.seen.get(part, (None, now))
            if image != last:
                self.seen[part] = (image, now)
            elif now - since > self.pool.image_timeout:
                self.ended.add(part)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(image.worker, signal.SIGKILL)


def read_results(folder: Path, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the results of parts, in the order of `names`.

    Raises the Stop that a PartPool wrote, and DataError if parts have no result.
    """
    fault = folder / "FAULT"
    if fault.exists():
        found = jsonl.read_json(fault)
        raise errors.BY_NAME.get(found["kind"], DataError)(found["message"])
    lost = sum(not (folder / f"{name}.json").exists() for name in names)
    if lost:
        raise DataError(f"runner.lost: {lost} of {len(names)} parts have no result: run again")
    return [jsonl.read_json(folder / f"{name}.json") for name in names]
