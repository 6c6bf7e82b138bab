"""The contract of an engine: it maps a function over elements, and knows no stage.

A stage has one element for each part (or for each piece of a scan). `Work` is called with one
element, in any process of any machine, and returns its result, a mapping of JSON values. The result
comes back through the engine: an engine needs no folder of the machine that started the run. What a
result says is the stage's; an engine asks the work for all that it must know of it.

A fault of the data (a `Stop`: too many rejects, a damaged table) is a value, and ends the run. A
fault of the machines (a lost worker, a cut connection) is raised, so that the engine tries the
element again; what a failed attempt reported is dropped. A full or read-only disk does not get
better, so it is a value too.

Stages call `driver.results` or `driver.run`; engines call `attempt.attempt` for one element.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from cxr_vlp.pipelines.executor.pool import IMAGE_TIMEOUT
from cxr_vlp.pipelines.executor.worker import WorkerState
from cxr_vlp.pipelines.storage.place import is_remote

STALLED = 1800.0  # seconds without progress after which a run ends with a message


class Element(NamedTuple):
    """One piece of a stage's work: its name, unique in the run, and what its work needs to know."""

    name: str
    payload: Any = None  # small, picklable: paths, digests, rows; never the content of a raw file


Result = Mapping[str, Any]  # JSON values
# one element as it leaves an engine: {"name", "result"}, or {"name", "fault": [kind, message]},
# where kind is the name of a Stop (errors.BY_NAME)
Outcome = Mapping[str, Any]


class Work(Protocol):
    """What is done with one element; picklable, and the same on every machine."""

    @property
    def isolated(self) -> bool:
        """Whether it decodes untrusted files with C code: a child process does the element."""

    @property
    def spent(self) -> Collection[str]:
        """The keys of a result in which two attempts at one element may differ.

        Such as the seconds that an attempt took, and the times of the file that it wrote.
        """

    def __call__(self, element: Element, worker: WorkerState) -> Result:
        """Do one element; return its result. `worker.step` is called often: it is seen elsewhere.

        Raises a Stop for a fault of the data, any other exception for a fault of the machine.
        """


@dataclass(frozen=True)
class RunSettings:
    """How a stage runs; nothing here changes the bytes of its output."""

    stage: str  # for messages and the log
    source: str
    workers: int
    state: Path  # its folder `logs` gets one line for each finished element
    results: Path  # in the staging folder: where results are put if there is no other way
    image_timeout: float = IMAGE_TIMEOUT
    stalled: float = STALLED
    umask: int | None = None  # for files that the workers write; None: unchanged
    preload: tuple[str, ...] = ()  # modules that the workers need, imported once on one machine
    reads: tuple[str, ...] = ()  # folders that the workers read; workers elsewhere check them
    inputs: str = ""  # digest of all that decides the results; "": unknown

    @property
    def log(self) -> Path:
        """The log's path: STATE/logs/STAGE-SOURCE.log; on this machine, wherever the state is."""
        state = Path(".cxr") if is_remote(self.state) else self.state
        return state / "logs" / f"{self.stage}-{self.source}.log"


class Engine(Protocol):
    """One way to map a function over elements."""

    @property
    def name(self) -> str:
        """The name of the engine, as in --engine."""

    def map(
        self, work: Work, elements: Sequence[Element], settings: RunSettings
    ) -> Generator[Outcome, None, None]:
        """Yield the outcome of each element as it finishes, in any order.

        An element that was tried twice may come twice. What the engine started ends with the
        iterator, also if it is closed early.
        Raises EngineError if the engine cannot start, makes no progress, or gives up.
        """
