"""The engine `beam`: Beam's in-memory runner in this process, or any other runner of Beam.

In memory, a DoFn hands each element to worker processes of this machine (executor/pool.py) and
yields the outcomes as they finish. Elsewhere `process` of a DoFn does its element where it runs.
Only elements and outcomes go through Beam; image bytes never do (1 GB through a GroupByKey needs 2
to 7 GB of memory).
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import logging
import pickle
import queue
import threading
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

# Beam logs on import that a Google package is absent, which is not needed here
logging.getLogger().addFilter(lambda record: "apitools" not in record.getMessage())

# ruff: noqa: E402 - the filter must be set before the import
import apache_beam as beam
from apache_beam.options import pipeline_options
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.timestamp import MIN_TIMESTAMP
from apache_beam.utils.windowed_value import WindowedValue

from cxr_vlp.pipelines import errors, interrupts
from cxr_vlp.pipelines.engines.base import Element, Outcome, RunSettings, Work
from cxr_vlp.pipelines.engines.flags import BeamFlags
from cxr_vlp.pipelines.executor.pool import PartPool

SILENCED = ("common", "worker")  # they print an exception's message, which may quote a report
QUEUE_INTERVAL = 0.2  # seconds between two looks at a signal


def options(workers: int, chosen: BeamFlags) -> PipelineOptions:
    """Return Beam's options: the runner, and the number of its threads."""
    flags = [] if chosen.flags else [f"--runner={chosen.runner}"]
    if workers > 1 and chosen.local:
        flags += ["--direct_running_mode=multi_threading", f"--direct_num_workers={workers}"]
    logging.getLogger("apache_beam").setLevel(logging.WARNING)
    for name in SILENCED:
        logging.getLogger(f"apache_beam.runners.{name}").setLevel(logging.CRITICAL)
    return PipelineOptions([*flags, *chosen.flags])


def known_flags() -> set[str]:
    """Return the names of all flags that Beam has."""
    # Beam's own parser: its subclasses need methods that argparse's parser does not have
    parser = pipeline_options._BeamArgumentParser(add_help=False, allow_abbrev=False)
    for kind in dict.fromkeys(PipelineOptions.__subclasses__()):
        with contextlib.suppress(argparse.ArgumentError):  # two of them have the same flag
            kind._add_argparse_args(parser)
    return {name for action in parser._actions for name in action.option_strings}


@dataclass(frozen=True)
class BeamEngine:
    """Maps a function over elements with a runner of Beam."""

    flags: BeamFlags
    name: str = "beam"

    def map(
        self, work: Work, elements: Sequence[Element], settings: RunSettings
    ) -> Generator[Outcome, None, None]:
        """Yield the outcome of each element as it finishes."""
        yield from in_memory(work, elements, settings, self.flags)


def in_memory(
    work: Work, elements: Sequence[Element], settings: RunSettings, flags: BeamFlags
) -> Generator[Outcome, None, None]:
    """Run the pipeline in a thread of this process, and yield the outcomes as they leave it."""
    pool = PartPool(settings.workers, settings.preload, settings.image_timeout, settings.umask)
    with Exchange.opened(pool, work) as exchange:
        thread = threading.Thread(target=exchange.fill, args=(elements, flags), daemon=True)
        thread.start()
        try:
            yield from exchange.outcomes()
        finally:
            exchange.over.set()
            thread.join(interrupts.GRACE_PERIOD)


@dataclass(frozen=True)
class Exchange:
    """What the DoFns of an in-memory run reach in this process: Beam pickles a DoFn itself."""

    number: int
    pool: PartPool
    work: Work
    finished: queue.SimpleQueue[Outcome | BaseException | None] = field(
        default_factory=queue.SimpleQueue
    )
    over: threading.Event = field(default_factory=threading.Event)  # nobody waits for outcomes

    @classmethod
    @contextlib.contextmanager
    def opened(cls, pool: PartPool, work: Work) -> Iterator[Exchange]:
        """Yield an exchange that DoFns find by its number while the block runs."""
        made = cls(next(_numbers), pool, work)
        _exchanges[made.number] = made
        try:
            yield made
        finally:
            del _exchanges[made.number]

    def fill(self, elements: Sequence[Element], flags: BeamFlags) -> None:
        """Run the pipeline; its end, or the exception that ended it, is the last that comes."""
        try:
            with beam.Pipeline(options=options(1, flags)) as pipeline:
                (
                    pipeline
                    | "Elements" >> beam.Create(list(map(pickle.dumps, elements)))
                    | "Work" >> beam.ParDo(PooledPart(self.number))
                    | "Collect" >> beam.ParDo(Collect(self.number))
                )
        except BaseException as error:
            self.finished.put(error)
        else:
            self.finished.put(None)

    def outcomes(self) -> Iterator[Outcome]:
        """Yield the outcomes as they come. Raises the Stop of what ended the pipeline."""
        while True:
            with contextlib.suppress(queue.Empty):
                found = self.finished.get(timeout=QUEUE_INTERVAL)
                if found is None:
                    return
                if isinstance(found, BaseException):
                    interrupts.check()  # if a signal stopped the run, nothing is wrong
                    raise errors.unwrapped(found) from None
                yield found
            interrupts.check()


_exchanges: dict[int, Exchange] = {}
_numbers = itertools.count()


@dataclass
class PooledPart(beam.DoFn):
    """Hands elements to worker processes of this machine, and yields the outcomes.

    All elements of a bundle are handed over before the first outcome is awaited, so the processes
    are busy until the last element.
    """

    exchange: int

    def start_bundle(self) -> None:
        """Begin to collect elements."""
        self._elements: list[Element] = []

    def process(self, element: bytes) -> None:
        """Hand over an element."""
        self._elements.append(pickle.loads(element))

    def finish_bundle(self) -> Iterator[WindowedValue]:
        """Yield the outcome of each element as it finishes."""
        exchange = _exchanges[self.exchange]
        ordered = sorted(self._elements, key=lambda element: element.name)
        calls = {each.name: partial(exchange.work, each) for each in ordered}
        for outcome in exchange.pool.outcomes(calls, exchange.over.is_set):
            yield WindowedValue(outcome, MIN_TIMESTAMP, (GlobalWindow(),))


@dataclass
class Collect(beam.DoFn):
    """Passes outcomes on to the process that waits for them, which is this one."""

    exchange: int

    def process(self, outcome: Outcome) -> None:
        """Pass an outcome on."""
        _exchanges[self.exchange].finished.put(outcome)
