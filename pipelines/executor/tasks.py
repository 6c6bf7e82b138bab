"""Independent tasks in, their results in order out, made on one process or several."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any

from pebble import ProcessExpired, ProcessPool

from cxr_vlp.pipelines import interrupts
from cxr_vlp.pipelines.errors import DataError
from cxr_vlp.pipelines.executor.progress import State, following
from cxr_vlp.pipelines.executor.worker import sit_down

# imported once, for all workers
PRELOAD = ("cxr_vlp.pipelines.validate.shard", "cxr_vlp.pipelines.validate.rederive")
LONGEST = 3600  # seconds for one tar; the worker of one that takes longer was lost
Task = Callable[[], Any]  # picklable: a functools.partial of a function of a module


def results(tasks: Sequence[Task], workers: int, what: str) -> Iterator[Any]:
    """Yield every task's result, in the order of the tasks; people see how many are done.

    Raises what a task raised, and DataError where a worker process died.
    """
    done = 0
    with following(what, lambda: State(done, len(tasks), "tasks")):
        for result in in_order(tasks, workers, PRELOAD):
            done += 1
            yield result


def in_order(tasks: Sequence[Task], workers: int, preload: Sequence[str]) -> Iterator[Any]:
    """Yield every task's result, in the order of the tasks; `preload` are the workers' modules.

    Raises what a task raised, and DataError where a worker process died.
    """
    workers = min(workers, len(tasks))
    if workers <= 1:
        for task in tasks:
            yield task()
        return
    context = interrupts.start_server(list(preload))
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
