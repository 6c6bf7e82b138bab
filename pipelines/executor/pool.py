"""A function over parts in, one small result file a part out, on processes that may die.

The parts of a bundle go to a pool of processes of our own, under any Beam runner: Beam's local
multi-process mode takes seconds to start and hangs for ever when a worker is killed. A picture
that crashes its worker, or holds it up too long, is set aside with a code and its part is done
again; a worker that the system kills (memory) ends the run, for that is no picture's fault.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pebble import ProcessExpired, ProcessPool

from cxr_vlp.pipelines import errors, interrupts
from cxr_vlp.pipelines.errors import DataError, Stop
from cxr_vlp.pipelines.executor.worker import Desk, Note, sit_down
from cxr_vlp.pipelines.files import jsonl

Work = Callable[[str, Desk], Mapping[str, Any]]

PATIENCE = 120.0  # seconds for one picture; a sound 64 Mpx JPEG 2000 takes about 30
LOOK = 0.5  # seconds between two looks at what the workers hold
LONELY = 180.0  # seconds without a worker at work; they take a few to start, a cold disk many
PRELOAD = [
    "cxr_vlp.pipelines.stages.shard_part",
    "cxr_vlp.pipelines.stages.text_part",
]  # imported once, for all workers


@dataclass(frozen=True)
class Crew:
    """Run `work` on parts and leave results/NAME.json of each."""

    work: Work
    results: str
    workers: int
    patience: float = PATIENCE
    umask: int | None = None  # for the files of its workers; None: as it is

    def run(self, names: Sequence[str]) -> None:
        """Do the parts. A Stop is left in results/FAULT instead, for the driver to raise."""
        try:
            Shift(self, list(names)).run()
        except Stop as stop:
            self._leave(type(stop).__name__, str(stop))
        except OSError as error:
            self._leave("StorageError", str(errors.as_stop(error)))

    def one(self, name: str, aside: Mapping[str, str]) -> None:
        """Do one part, in a worker process."""
        if self.umask is not None:  # the server that forked this worker may be older than it
            os.umask(self.umask)
        desk = Desk(self.note(name), aside)
        try:
            result = self.work(name, desk)
        except (Stop, OSError):
            raise
        except Exception as error:
            raise errors.internal(error, f"part {name}") from None
        desk.clear()
        jsonl.write_json(Path(self.results) / f"{name}.json", result)

    def note(self, name: str) -> Path:
        """Return where the worker of a part notes what it has in hand."""
        return Path(self.results) / f"{name}.note"

    def _leave(self, name: str, message: str) -> None:
        jsonl.write_json(Path(self.results) / "FAULT", {"kind": name, "message": message})


@dataclass
class Shift:
    """One run of a crew: which part is being done, what was set aside, who takes too long."""

    crew: Crew
    names: list[str]
    aside: dict[str, dict[str, str]] = field(default_factory=dict)  # part -> name -> code
    seen: dict[str, tuple[Note, float]] = field(default_factory=dict)  # part -> note, since when
    slow: set[str] = field(default_factory=set)  # parts whose worker was ended for its slowness
    alive: float = field(default_factory=time.monotonic)  # when a worker was last seen at work

    def run(self) -> None:
        """Do all parts; raise the first Stop or OSError of one."""
        context = interrupts.start_server(PRELOAD)
        workers = max(1, min(self.crew.workers, len(self.names)))
        with ProcessPool(workers, context=context, initializer=sit_down) as pool:
            try:
                self._watch(pool)
            except BaseException:
                pool.stop()
                raise

    def _watch(self, pool: ProcessPool) -> None:
        doing = {self._schedule(pool, name): name for name in self.names}
        while doing:
            done, _ = wait(doing, timeout=LOOK, return_when=FIRST_COMPLETED)
            interrupts.check()
            for future in done:
                name = doing.pop(future)
                try:
                    future.result()
                except BrokenProcessPool:
                    raise _killed("before it had begun") from None
                except ProcessExpired as death:
                    self._set_aside(name, death)
                    doing[self._schedule(pool, name)] = name
            self._end_slow(doing.values())
            self._see_life(pool, doing, bool(done))

    def _see_life(self, pool: ProcessPool, doing: Collection[Any], moved: bool) -> None:
        """Raise DataError where nobody will ever do what is left.

        A worker killed as it took a part takes that part with it, and the pool waits for ever.
        """
        now = time.monotonic()
        if moved or any(future.running() for future in doing):
            self.alive = now
        if doing and (not pool.active or now - self.alive > LONELY):
            raise _killed("before it had begun")

    def _schedule(self, pool: ProcessPool, name: str) -> Any:
        return pool.schedule(self.crew.one, args=(name, self.aside.get(name, {})))

    def _set_aside(self, part: str, death: ProcessExpired) -> None:
        """Blame the picture that was in hand. Raises DataError where it was not the picture."""
        note = Note.read(self.crew.note(part))
        slow = part in self.slow
        self.slow.discard(part)
        self.seen.pop(part, None)
        killed = death.exitcode in (-signal.SIGKILL, -signal.SIGTERM) and not slow
        if note is None or killed:
            how = f"signal {-death.exitcode}" if death.exitcode < 0 else f"exit {death.exitcode}"
            raise _killed(how)
        code = "decode.timeout" if slow else "decode.crash"
        self.aside.setdefault(part, {})[note.name] = code
        self.crew.note(part).unlink(missing_ok=True)

    def _end_slow(self, parts: Any) -> None:
        """End the workers that have held one picture for too long."""
        now = time.monotonic()  # stands still while the machine sleeps, unlike the files' times
        for part in parts:
            note = Note.read(self.crew.note(part))
            if note is None:
                self.seen.pop(part, None)
                continue
            last, since = self.seen.get(part, (None, now))
            if note != last:
                self.seen[part] = (note, now)
            elif now - since > self.crew.patience:
                self.slow.add(part)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(note.worker, signal.SIGKILL)


def _killed(how: str) -> DataError:
    return DataError(
        f"worker.killed: a worker process died ({how}), most likely out of memory; what is "
        "finished is kept: run again, with fewer --workers"
    )


def results(folder: Path, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the parts' results in the order of `names`.

    Raises the Stop a crew left behind, and DataError where a runner dropped parts silently.
    """
    fault = folder / "FAULT"
    if fault.exists():
        left = jsonl.read_json(fault)
        raise errors.BY_NAME.get(left["kind"], DataError)(left["message"])
    lost = sum(not (folder / f"{name}.json").exists() for name in names)
    if lost:
        raise DataError(f"runner.lost: {lost} of {len(names)} parts did not come back: run again")
    return [jsonl.read_json(folder / f"{name}.json") for name in names]
