"""The folder where workers put results that have no other way back to the driver.

`PLACE/NAME.json` is an outcome with the digest of its task, `PLACE/NAME.alive` a sign of life of
the worker that does the element, `PLACE/TASK` the digest of the task that the driver runs now. A
sign of life has the host, the number of the sign, and how many steps the worker has taken: so the
driver sees that a long element goes on. The folder is in the staging folder of the output, so on a
store it is reached by address.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from cxr_vlp.pipelines.engines.base import Outcome
from cxr_vlp.pipelines.errors import EngineError
from cxr_vlp.pipelines.executor import worker
from cxr_vlp.pipelines.files import jsonl
from cxr_vlp.pipelines.storage.place import is_remote

TOKEN = "TASK"
RESULT, ALIVE = ".json", ".alive"
BEAT = 10.0  # seconds between two signs of life
SAME_PLACE = "give s3://... for it, or a disk that all workers and this machine share"


@dataclass(frozen=True)
class ResultsPlace:
    """The results of one task; a worker and the driver have equal ones."""

    folder: Path
    task: str  # the digest

    def open(self, *, reuse: bool) -> list[Outcome]:
        """Prepare the folder for the task; return the results of a killed run of the same task.

        Without `reuse` there are none, because it is unknown whether the inputs are the same.
        """
        # first: it ends the workers of earlier runs, and a folder of a store exists with its files
        jsonl.write_lines(self.folder / TOKEN, [self.task])
        found = []
        for path in [path for path in self.folder.iterdir() if path.name != TOKEN]:
            outcome = self._read(path) if reuse and path.suffix == RESULT else None
            if outcome is not None and "result" in outcome:
                found.append(outcome)
            else:
                path.unlink(missing_ok=True)
        return found

    def check(self) -> None:
        """Raise EngineError in a worker that does not see the driver's folder, or is too late."""
        try:
            token = self._token()
        except FileNotFoundError:
            where = "the staging folder of the output"
            raise EngineError(
                f"worker.apart: a worker ({socket.gethostname()}) does not see {where}: "
                f"{SAME_PLACE} (--out)"
            ) from None
        if token != self.task:
            raise EngineError("worker.late: this worker belongs to a run that was ended")

    def put(self, outcome: Outcome) -> None:
        """Put the outcome of an element there."""
        text = json.dumps({"task": self.task, "outcome": outcome}, sort_keys=True)
        jsonl.write_lines(self.folder / f"{outcome['name']}{RESULT}", [text])

    @contextlib.contextmanager
    def alive(self, name: str, seconds: float, first: float = 0.0) -> Iterator[None]:
        """Show every some seconds that this worker does the element, while the block runs.

        `first`: seconds before the first time. A worker that does not see the folder shows nothing.
        """
        over = threading.Event()

        def beat() -> None:
            number, pause = 0, first
            while not over.wait(pause):
                number, pause = number + 1, seconds
                with contextlib.suppress(Exception):  # the element itself meets the same fault
                    if self._token() == self.task:
                        text = f"{socket.gethostname()} {number} {worker.steps()}"
                        jsonl.write_lines(self.folder / f"{name}{ALIVE}", [text])

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def new(self, awaited: Collection[str]) -> Iterator[Outcome]:
        """Yield the outcomes of awaited elements; a worker of an earlier run may put others."""
        for path in list(self.folder.iterdir()):
            if path.suffix == RESULT and path.name[: -len(RESULT)] in awaited:
                outcome = self._read(path)
                if outcome is not None:
                    yield outcome

    def beats(self, awaited: Collection[str]) -> dict[str, str]:
        """Return name -> the last sign of life, of the awaited elements that were begun."""
        found = {}
        for path in list(self.folder.iterdir()):
            name = path.name.removesuffix(ALIVE)
            if path.suffix == ALIVE and name in awaited:
                with contextlib.suppress(FileNotFoundError):
                    found[name] = path.read_text(encoding="utf-8")
        return found

    def forget(self, name: str) -> None:
        """Remove the sign of life of an element that will be begun again."""
        (self.folder / f"{name}{ALIVE}").unlink(missing_ok=True)

    def _token(self) -> str:
        """Return the digest of the task that the driver runs now. Raises FileNotFoundError."""
        return (self.folder / TOKEN).read_text(encoding="utf-8").strip()

    def _read(self, path: Path) -> Outcome | None:
        """Return the outcome in a file; None if it is of another task, or damaged."""
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None
        if not isinstance(found, dict) or found.get("task") != self.task:
            return None
        outcome: Outcome = found["outcome"]
        return outcome


def steps(beats: Mapping[str, str]) -> dict[str, str]:
    """Return name -> the number of steps that its worker had taken, of signs of life."""
    return {name: beat.split()[-1] for name, beat in beats.items()}


def shared(folder: Path) -> str:
    """Return what to check if a job is done and no result has come."""
    what = "the address" if is_remote(folder) else "the disk"
    return f"its workers may not write to {what} of --out: {SAME_PLACE}"
