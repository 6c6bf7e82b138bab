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

# Beam logs with the root logger: on import that a Google package is absent, and later the stack
# traces of jobs that failed, which may quote a report
logging.getLogger().addFilter(lambda record: "apache_beam" not in record.pathname)

# ruff: noqa: E402 - the filter must be set before the import
import apache_beam as beam
from apache_beam.options import pipeline_options
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.runner import PipelineResult
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.timestamp import MIN_TIMESTAMP
from apache_beam.utils.windowed_value import WindowedValue

from cxr_vlp.pipelines import errors, interrupts
from cxr_vlp.pipelines.engines import attempt, jobs, watch
from cxr_vlp.pipelines.engines.attempt import Task
from cxr_vlp.pipelines.engines.base import Element, Outcome, RunSettings, Work
from cxr_vlp.pipelines.engines.beam_flags import BeamFlags
from cxr_vlp.pipelines.engines.lanes import Lanes
from cxr_vlp.pipelines.engines.results_place import BEAT, ResultsPlace
from cxr_vlp.pipelines.executor.pool import PartPool

SILENCED = (
    "common",
    "worker",
    "portability",
)  # they print an exception's message, which may quote a report
CANCEL_TIMEOUT = 5.0  # seconds to wait for the answer to a cancellation
QUEUE_INTERVAL = 0.2  # seconds between two looks at a signal


def options(chosen: BeamFlags, pool: str = "") -> PipelineOptions:
    """Return Beam's options: the runner, and the worker pool."""
    flags = [] if chosen.flags else [f"--runner={chosen.runner}"]
    logging.getLogger("apache_beam").setLevel(logging.WARNING)
    for name in SILENCED:
        logging.getLogger(f"apache_beam.runners.{name}").setLevel(logging.CRITICAL)
    flags += [f"--environment_config={pool}"] if pool else []
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
        if self.flags.local:
            yield from in_memory(work, elements, settings, self.flags)
        else:
            yield from elsewhere(work, elements, settings, self.flags)


def in_memory(
    work: Work, elements: Sequence[Element], settings: RunSettings, flags: BeamFlags
) -> Generator[Outcome, None, None]:
    """Run the pipeline in a thread of this process, and yield the outcomes as they leave it."""
    pool = PartPool(
        settings.workers, settings.preload, settings.image_timeout, settings.umask, settings.stalled
    )
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
            with beam.Pipeline(options=options(flags)) as pipeline:
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


def elsewhere(
    work: Work, elements: Sequence[Element], settings: RunSettings, flags: BeamFlags
) -> Generator[Outcome, None, None]:
    """Run jobs on a runner's workers; the outcomes come back through the results' place."""
    jobs.check_answers(flags.endpoint)  # first: what follows may take a while
    task = attempt.task(work, settings)
    place = ResultsPlace(settings.results, f"{task.digest}-{settings.inputs}")
    kept = place.open(reuse=bool(settings.inputs))
    names = {element.name for element in elements}
    earlier = {outcome["name"]: outcome for outcome in kept if outcome["name"] in names}
    yield from earlier.values()
    left = [element for element in elements if element.name not in earlier]
    beat = min(BEAT, settings.stalled / 6)

    def submit(pool: str, taken: Sequence[Element]) -> PipelineJob:
        jobs.check_answers(flags.endpoint)  # the service of the jobs before may have ended
        try:
            pipeline = beam.Pipeline(options=options(flags, pool))
        except Exception as error:  # flags that the runner needs are missing
            raise jobs.not_started(flags.runner, error) from None
        (
            pipeline
            | "Elements" >> beam.Create(list(map(pickle.dumps, taken)))
            | "Spread" >> beam.Reshuffle()
            | "Work" >> beam.ParDo(Part(task, place, beat))
            | "Put" >> beam.ParDo(Put(place))
        )
        return PipelineJob(pipeline, flags, pool).start()

    lanes = Lanes.of(flags.pools or ("",), left, place, submit, settings.stalled, len(elements))
    yield from lanes.outcomes()


@dataclass
class Part(beam.DoFn):
    """Does an element where this DoFn runs, and yields its outcome."""

    task: Task
    place: ResultsPlace
    beat: float  # seconds between two signs of life

    def process(self, element: bytes) -> Iterator[Outcome]:
        """Yield the outcome. Raises RuntimeError for a fault of the machine, without its message.

        Beam logs what is raised, and a message may quote a report.
        """
        found: Element = pickle.loads(element)
        with _told():
            self.place.check()
            with self.place.alive(found.name, self.beat):
                outcome = attempt.attempt(self.task, found)
        yield outcome


@dataclass
class Put(beam.DoFn):
    """Puts outcomes where the driver finds them."""

    place: ResultsPlace

    def process(self, outcome: Outcome) -> None:
        """Put an outcome there."""
        with _told():
            self.place.put(outcome)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Raise what may be said of an exception, in a form that the driver finds in Beam's message."""
    try:
        yield
    except Exception as error:
        raise RuntimeError(f"{jobs.MARK}{attempt.told(error)}{jobs.MARK}") from None


@dataclass
class PipelineJob:
    """A pipeline that was given to a runner; a thread waits for its end."""

    pipeline: beam.Pipeline
    flags: BeamFlags
    pool: str
    _result: PipelineResult | None = None
    _error: BaseException | None = None
    _thread: threading.Thread | None = None

    def start(self) -> PipelineJob:
        """Submit the pipeline, and return."""
        if self.flags.runner != "PortableRunner":  # such a runner sets a handler of signals
            self._submit()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def running(self) -> bool:
        """Return whether the job has not ended. Raises EngineError if it can never run."""
        if self._thread is not None and self._thread.is_alive():
            return True
        if self._error is not None:
            if self._result is None:
                raise jobs.not_started(self.flags.runner, self._error)
            jobs.check_lasting(self._error)
        return False

    def reason(self) -> str:
        """Return why the job failed; "" if it did not. Raises EngineError if no other can run."""
        if self._error is None:
            return ""
        jobs.check_answers(self.flags.endpoint)  # a pool is not to blame for what its service did
        return jobs.reason(self._error, self.pool)

    def cancel(self) -> None:
        """Ask the runner to end the job; do not wait for it."""
        if self._result is not None:
            watch.ask(self._result.cancel, CANCEL_TIMEOUT)

    def _submit(self) -> None:
        try:
            self._result = self.pipeline.run()
        except Exception as error:
            self._error = error

    def _run(self) -> None:
        if self._result is None and self._error is None:
            self._submit()
        try:
            if self._result is not None:
                self._result.wait_until_finish()
        except Exception as error:
            self._error = error
