"""Fetches the tars that come next while one is read, if they are on an object store."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

from cxr_vlp.train.data.shards import Shard

if TYPE_CHECKING:
    from cxr_vlp.train.data.mixing import ShardPass

DEPTH = 2  # tars that a process fetches beside the one that it reads

T = TypeVar("T")


def shards(flow: Iterable[Shard]) -> Iterator[Shard]:
    """Yield shards in their order; the next ones are fetched meanwhile."""
    return _ahead(flow, lambda shard: shard)


def passes(flow: Iterable[ShardPass]) -> Iterator[ShardPass]:
    """Yield passes in their order; the shards of the next ones are fetched meanwhile."""
    return _ahead(flow, lambda each: each.shard)


class _Fetch(threading.Thread):
    """Fetches one tar. A thread of its own ends with the process, and never keeps it."""

    def __init__(self, shard: Shard) -> None:
        super().__init__(daemon=True)
        self._shard = shard
        self._error: Exception | None = None
        self.start()

    def run(self) -> None:
        """Fetch it; `wait` raises what went wrong."""
        try:
            self._shard.fetch()
        except Exception as error:
            self._error = error

    def wait(self) -> None:
        """Return when the tar is there. Raises what kept it from being fetched."""
        self.join()
        if self._error is not None:
            raise self._error


def _ahead(flow: Iterable[T], shard_of: Callable[[T], Shard]) -> Iterator[T]:
    waiting: deque[tuple[T, _Fetch]] = deque()
    for each in flow:
        shard = shard_of(each)
        if shard.remote is None:  # nothing to fetch: what comes next is not asked for early
            yield from _drained(waiting)
            yield each
            continue
        waiting.append((each, _Fetch(shard)))
        if len(waiting) > DEPTH:
            yield _next(waiting)
    yield from _drained(waiting)


def _drained(waiting: deque[tuple[T, _Fetch]]) -> Iterator[T]:
    while waiting:
        yield _next(waiting)


def _next(waiting: deque[tuple[T, _Fetch]]) -> T:
    each, fetch = waiting.popleft()
    fetch.wait()
    return each
