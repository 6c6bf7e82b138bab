"""Independent tasks in, their results in order out, made on one process or several."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any

from pebble import ProcessExpired, ProcessPool
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pipelines.faults import DataError
from pipelines.workers.desk import sit_down

# imported once, for all workers
PRELOAD = ["pipelines.checking.contract", "pipelines.checking.rederive"]
LONGEST = 3600  # seconds for one tar; the worker of one that takes longer was lost
Task = Callable[[], Any]  # picklable: a functools.partial of a function of a module


def results(tasks: Sequence[Task], workers: int, what: str) -> Iterator[Any]:
    """Yield every task's result, in the order of the tasks; a bar shows them to a person.

    Raises what a task raised, and DataError where a worker process died.
    """
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    bar = Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty())
    with bar:
        yield from bar.track(_run(tasks, min(workers, len(tasks))), total=len(tasks))


def _run(tasks: Sequence[Task], workers: int) -> Iterator[Any]:
    if workers <= 1:
        for task in tasks:
            yield task()
        return
    # forked from a clean server, not from us: a fork copies locks that other threads hold
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    # not concurrent.futures: its shutdown may wait for ever for a worker that was killed
    with ProcessPool(workers, context=context, initializer=sit_down) as pool:
        try:
            for future in [pool.schedule(task) for task in tasks]:
                yield future.result(timeout=LONGEST)
        except (ProcessExpired, FutureTimeout):
            raise DataError(
                "worker.killed: a worker process died (out of memory, or a crash in a decoder); "
                "run again with --workers 1 and one set at a time to find out which"
            ) from None
        finally:
            pool.stop()
