"""A function over parts in, one small result file a part out, on one process or several.

The parts of a bundle go to a pool of processes of our own, under any Beam runner: Beam's local
multi-process mode takes seconds to start and may hang for ever when a worker is killed, where this
pool fails at once. The first part that cannot be done stops the others.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines import faults, storage
from pipelines.faults import DataError, Stop

Work = Callable[[str], Mapping[str, Any]]


@dataclass(frozen=True)
class Crew:
    """Run `work` on parts and leave results/NAME.json of each."""

    work: Work
    results: str
    workers: int

    def run(self, names: Sequence[str]) -> None:
        """Do the parts. A Stop is left in results/FAULT instead, for the driver to raise."""
        try:
            if self.workers == 1 or len(names) == 1:
                for name in names:
                    self._one(name)
            else:
                self._many(names)
        except Stop as stop:
            self._leave(type(stop).__name__, str(stop))
        except OSError as error:
            self._leave("StorageError", str(faults.as_stop(error)))

    def _one(self, name: str) -> None:
        storage.write_json(Path(self.results) / f"{name}.json", self.work(name))

    def _many(self, names: Sequence[str]) -> None:
        # spawned, not forked: a fork of a process that runs Beam's threads may deadlock
        context = multiprocessing.get_context("spawn")
        workers = min(self.workers, len(names))
        with ProcessPoolExecutor(workers, mp_context=context) as pool:
            futures: list[Future[None]] = [pool.submit(self._one, name) for name in names]
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            failed = next((f for f in done if f.exception() is not None), None)
            if failed is None:
                return
            pool.shutdown(wait=True, cancel_futures=True)
        try:
            failed.result()
        except BrokenProcessPool:
            raise DataError(
                "worker.killed: a worker process died (out of memory, or a crash in a decoder); "
                "run again with fewer --workers to find out which"
            ) from None

    def _leave(self, name: str, message: str) -> None:
        storage.write_json(Path(self.results) / "FAULT", {"kind": name, "message": message})


def results(folder: Path, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the parts' results in the order of `names`. Raises the Stop a crew left behind."""
    fault = folder / "FAULT"
    if fault.exists():
        left = storage.read_json(fault)
        raise faults.BY_NAME.get(left["kind"], DataError)(left["message"])
    return [storage.read_json(folder / f"{name}.json") for name in names]
