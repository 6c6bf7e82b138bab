"""The contract of an engine: it maps a function over elements, and knows nothing of images.

A stage has one element for each part (or for each piece of a scan). `Work` is called with one
element, in any process of any machine, and returns its result, a mapping of JSON values. The result
comes back through the engine: an engine uses no folder of the machine that started the run.

A fault of the data (a `Stop`: too many rejects, a damaged table) is a value, and ends the run. A
fault of the machines (a lost worker, a cut connection, a full disk) is raised, so that the engine
tries the element again; what a failed attempt reported is dropped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from cxr_vlp.pipelines.executor.worker import WorkerState

STALLED = 1800.0  # seconds without progress after which a run ends with a message
IMAGE_TIMEOUT = 120.0  # seconds for one image; a valid 64-megapixel JPEG 2000 takes about 30


class Element(NamedTuple):
    """One piece of a stage's work: its name, unique in the run, and what its work needs to know."""

    name: str
    payload: Any = None  # small, picklable: paths, digests, rows; never the bytes of an image


Result = Mapping[str, Any]  # JSON values


class Work(Protocol):
    """What is done with one element; picklable, and the same on every machine."""

    isolated: bool  # it decodes untrusted files with C code: a child process does the element

    def __call__(self, element: Element, worker: WorkerState) -> Result:
        """Do one element; return its result.

        Raises a Stop for a fault of the data, any other exception for a fault of the machine.
        """


@dataclass(frozen=True)
class RunSettings:
    """How a stage runs; nothing here changes the bytes of its output."""

    stage: str  # for messages and the log
    source: str
    workers: int
    state: Path  # its folder `logs` gets one line for each finished element
    results: (
        Path  # in the staging folder of the output: an engine without another way puts them here
    )
    image_timeout: float = IMAGE_TIMEOUT
    stalled: float = STALLED
    umask: int | None = None  # for files that the workers write; None: unchanged


class Engine(Protocol):
    """One way to map a function over elements."""

    name: str  # as in --engine

    def map(
        self, work: Work, elements: Sequence[Element], settings: RunSettings
    ) -> Iterator[tuple[str, Result]]:
        """Yield (name of the element, its result) once for each element, in any order.

        Raises the Stop of an element that returned one, and EngineError if the engine cannot start,
        makes no progress, or gives up.
        """
