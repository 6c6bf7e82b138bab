"""The engine `spark`: maps a stage's work over the executors of an Apache Spark cluster.

This is the only file that imports pyspark. One element is one task. Its outcome comes back through
one of Spark's accumulators: as soon as the task has ended, and once only, even where Spark did the
task twice. Spark does the elements of a lost worker again (spark.task.maxFailures).

Spark writes the exceptions of tasks to logs. So what leaves a task is a value, or the short message
of a fault of the machine, never an exception of another library, which may quote a report.
"""

from __future__ import annotations

import contextlib
import functools
import os
import pickle
import re
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cxr_vlp.pipelines import errors, interrupts
from cxr_vlp.pipelines.engines import attempt, handshake, spark_checks
from cxr_vlp.pipelines.engines.attempt import Task
from cxr_vlp.pipelines.engines.base import Element, Outcome, RunSettings, Work
from cxr_vlp.pipelines.engines.results_place import ResultsPlace, steps
from cxr_vlp.pipelines.engines.watch import Watch, ask
from cxr_vlp.pipelines.errors import EngineError

POLL_INTERVAL = 0.1  # seconds between two looks at what has arrived
LOOK_INTERVAL = 1.0  # seconds between two looks at what the workers do
BEAT = 60.0  # seconds between two signs of life of an element: most are shorter, and show none
PATIENCE = 60.0  # seconds without a worker after which a line says so
MARK = "machine: "  # begins the message of a fault of a worker's machine
LOOPBACK = re.compile(r"local\b|spark://(127\.|localhost\b|\[::1\])")
DEFAULTS = {  # where the user's own spark-defaults.conf says nothing else
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.log.level": "OFF",  # on this machine: what went wrong is in our own messages
    "spark.driver.maxResultSize": "0",  # no limit of the sum of all results: none is kept
}
# what Spark's long message holds -> what happened; the first that is found counts
REASONS = (
    ("PYTHON_VERSION_MISMATCH", "worker.differs: the workers have another version of Python"),
    ("Cannot run program", "a worker has no Python at the path of PYSPARK_PYTHON"),
    ("All masters are unresponsive|SparkContext (was|has been) (shut down|shutdown|stopped)",
     "the master does not answer, or has ended this run"),
    (r"^Connection\w+Error|Py4J(Network)?Error|Answer from Java side is empty",
     "Spark's Java process on this machine has ended, most likely out of memory"),
    ("ExecutorLostFailure|Python worker (exited|crashed)|EOFException",
     "each worker that did it ended before it was done, most likely out of memory"),
)  # fmt: skip


@dataclass(frozen=True)
class SparkEngine:
    """Maps work over the executors of the cluster whose master is at `master`."""

    master: str  # spark://HOST:PORT[,HOST:PORT], local[N], yarn, k8s://...
    name: str = "spark"

    def map(
        self, work: Work, elements: Sequence[Element], settings: RunSettings
    ) -> Generator[Outcome, None, None]:
        """Yield the outcome of each element as it ends.

        Raises EngineError if the cluster cannot be reached, makes no progress, or gives up.
        """
        task = attempt.task(work, settings)
        place = ResultsPlace(settings.results, task.digest)
        order = Order(task, place, min(BEAT, settings.stalled / 10))
        with _connected(self.master, settings.stage) as context:
            place.open(reuse=False)
            job = _Job(context, pickle.dumps(order), elements)
            watch = Watch(settings.stalled, len(elements))
            names = {element.name for element in elements}
            cluster = _Cluster.observed(context, self.master, order, names)
            yield from job.outcomes(watch, cluster)


@dataclass(frozen=True)
class Order:
    """What a worker gets with each element.

    Outcomes come back through Spark, which tells nothing of an element before its end. So a worker
    shows in the results' place that a long element goes on, if it sees the folder: all that write
    to --out do.
    """

    task: Task
    place: ResultsPlace
    beat: float  # seconds between two signs of life


@contextlib.contextmanager
def _connected(master: str, stage: str) -> Iterator[Any]:
    """Give a SparkContext while the block runs; the executors of the run end with it."""
    spark_checks.check_answers(master)
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # of the workers
    handler = signal.getsignal(signal.SIGINT)
    try:
        context = _context(master, stage)
    except errors.Stop:
        raise
    except Exception as error:
        why = _reason(error, "is a Spark master of this version at that address, and not paused?")
        raise EngineError(f"Spark did not start for {master}{_chosen()}: {why}") from None
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, handler)  # pyspark has set its own
    try:
        yield context
    finally:
        ask(context.cancelAllJobs)
        if not ask(context.stop):
            _gateway().proc.kill()  # else this process waits for it at its own end


def _context(master: str, stage: str) -> Any:
    from pyspark import SparkConf, SparkContext

    # of a package that is not used here
    warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)
    settings = SparkConf(_jvm=_gateway().jvm)  # has read spark-defaults.conf
    for name, value in DEFAULTS.items():
        settings.setIfMissing(name, value)
    if LOOPBACK.match(master):  # nothing leaves this machine
        settings.setIfMissing("spark.driver.host", "127.0.0.1")
        settings.setIfMissing("spark.driver.bindAddress", "127.0.0.1")
    return SparkContext(_retrying(master), f"cxr-vlp {stage}", conf=settings, gateway=_gateway())


def _retrying(master: str) -> str:
    """Return the master; `local` gets the four attempts at a task that a cluster makes."""
    return re.sub(r"^local(?:\[([\d*]+)\])?$", lambda found: f"local[{found[1] or 1},4]", master)


@functools.cache
def _gateway() -> Any:
    """Return the gateway to this process's Java process, which ends with it."""
    from pyspark.java_gateway import launch_gateway

    try:
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return launch_gateway(popen_kwargs=quiet)
    except Exception:
        raise EngineError(
            f"Spark's Java process ended at its start{_chosen()}: `python -m "
            "pyspark.find_spark_home` prints where Spark is, and `bin/spark-submit --version` "
            "there says why it does not start"
        ) from None


def _chosen() -> str:
    """Return which Spark the environment chooses, in place of that of pyspark; "" if none."""
    home = os.environ.get("SPARK_HOME")
    return f" (Spark is that of SPARK_HOME, {home}: unset it to use pyspark's own)" if home else ""


@dataclass
class _Job:
    """One job of Spark: each element is a task."""

    context: Any
    order: bytes
    elements: Sequence[Element]
    failed: list[Exception] = field(default_factory=list)  # at most one: why the job failed

    def outcomes(self, watch: Watch, workers: _Cluster) -> Iterator[Outcome]:
        """Yield the outcome of each element. Raises EngineError."""
        from pyspark.accumulators import AddingAccumulatorParam

        # a deque: Spark's thread adds at one end while this thread takes from the other
        arrived = self.context.accumulator(deque(), AddingAccumulatorParam(deque()))
        thread = threading.Thread(target=self._submit, args=(arrived,), daemon=True)
        thread.start()
        running = True
        while running:
            running = thread.is_alive()  # asked first: what arrived before the end is taken below
            while arrived.value:
                outcome = arrived.value.popleft()
                workers.awaited.discard(outcome["name"])
                watch.progress()
                yield outcome
            interrupts.check()
            workers.check(watch)
            thread.join(POLL_INTERVAL)
        if self.failed:
            raise self._failure(self.failed[0])

    def _submit(self, arrived: Any) -> None:
        """Run the job to its end, in a thread."""
        # bytes: a worker without this package could not read an Element, and so not say why
        rows = [(element.name, pickle.dumps(element)) for element in self.elements]
        try:
            spread = self.context.parallelize(rows, len(rows))
            versions = handshake.versions()
            spread.foreachPartition(_remote(self.order, arrived, versions, handshake.REMEDY))
        except Exception as error:
            self.failed.append(error)

    def _failure(self, error: Exception) -> EngineError:
        number = re.search(r"Task (\d+) in stage", _text(error))
        name = f"{self.elements[int(number[1])].name}: " if number else ""
        return EngineError(f"engine.failed: {name}{_reason(error)}; {errors.KEPT}")


def _remote(
    order: bytes, arrived: Any, versions: Mapping[str, str], remedy: str
) -> Callable[[Iterable[tuple[str, bytes]]], None]:
    """Return what a worker does with its element.

    A function inside a function is sent as a whole, not by its name: so a worker without this
    package, or with another version of it, can say that.
    """

    def do(rows: Iterable[tuple[str, bytes]]) -> None:
        for name, element in rows:
            try:
                from cxr_vlp.pipelines.engines import handshake, spark_engine

                refusal = handshake.refusal(versions)  # first: an order of another version differs
            except ImportError as error:
                refusal = f"worker.differs: a worker cannot import {error.name}: {remedy}"
            if refusal:
                arrived.add([{"name": name, "fault": ["EngineError", refusal]}])
            else:
                arrived.add([spark_engine.outcome(name, order, element)])

    return do


def outcome(name: str, order: bytes, element: bytes) -> dict[str, Any]:
    """Return what became of the element `name`; runs on a worker.

    Raises RuntimeError for a fault of the machine, so that Spark tries the element again. Spark
    logs it, so its message says nothing of the data.
    """
    try:
        given: Order = pickle.loads(order)
        with given.place.alive(name, given.beat, first=given.beat):
            return dict(attempt.attempt(given.task, pickle.loads(element)))
    except Exception as error:
        raise RuntimeError(f"{MARK}{name}: {attempt.told(error)}") from None


def _text(error: Exception) -> str:
    """Return the kind and the message of an exception; py4j asks Java for the message."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:
        return "Py4JNetworkError"  # Java does not answer any more


def _reason(error: Exception, otherwise: str = "the logs of the workers say more") -> str:
    """Return what went wrong, by Spark's message, which may be pages of Java's stack traces."""
    text = _text(error)
    own = re.search(rf"RuntimeError: {MARK}(.*)", text)
    if own:
        return own[1].strip()
    known = (reason for pattern, reason in REASONS if re.search(pattern, text))
    return next(known, f"{type(error).__name__}: {otherwise}")


@dataclass
class _Cluster:
    """What the workers do, by Spark's own counts and by their signs of life."""

    context: Any
    master: str
    order: Order
    awaited: set[str]  # names of the elements that have not come
    steps: dict[str, str] = field(default_factory=dict)  # of the elements, as of the last look
    known: dict[str, str] = field(default_factory=dict)  # of these, what `check` has seen
    running: int = 0  # tasks, as of the last look
    since: float = field(default_factory=time.monotonic)
    idle: bool = True  # no worker has begun anything yet, and no line has said so

    @classmethod
    def observed(cls, context: Any, master: str, order: Order, names: set[str]) -> _Cluster:
        """Return a cluster that threads look at, because Java or a store may not answer."""
        made = cls(context, master, order, names)
        for look in (made._look, made._listen):
            threading.Thread(target=look, daemon=True).start()
        return made

    def check(self, watch: Watch) -> None:
        """Raise EngineError if nothing has moved for too long; say once that nobody works."""
        if self.steps != self.known:
            self.known = self.steps
            watch.moved()
        watch.check(self._begun())
        self.idle = self.idle and not self.running
        if self.idle and time.monotonic() - self.since > PATIENCE:
            self.idle = False
            sys.stderr.write(
                f"waiting: no worker of {self.master} has begun anything yet: are workers started, "
                "and are they free?\n"
            )

    def _begun(self) -> list[str]:
        """Return what is begun: the names of long elements, else how many there are."""
        named = sorted(self.known.keys() & self.awaited)
        return named or ([f"{self.running} elements"] if self.running else [])

    def _look(self) -> None:
        with contextlib.suppress(Exception):  # the run has ended, or Java: the job says so
            while self.context._jsc is not None:
                self.running = self._tasks()
                time.sleep(LOOK_INTERVAL)

    def _listen(self) -> None:
        while self.context._jsc is not None:
            with contextlib.suppress(Exception):  # a fault of the store: its workers meet it too
                self.steps = steps(self.order.place.beats(self.awaited))
            time.sleep(self.order.beat / 2)

    def _tasks(self) -> int:
        """Return the number of tasks that run now."""
        status = self.context.statusTracker()
        stages = (status.getStageInfo(number) for number in status.getActiveStageIds())
        return sum(stage.numActiveTasks for stage in stages if stage is not None)
