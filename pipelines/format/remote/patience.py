"""How long a store is waited for: the one policy for all requests to S3 in this program.

- An **attempt** is given up after `SILENCE` seconds in which no byte moved. The library's own limit
  begins when a request has been sent; a server that takes no byte of it would hold it for ever.
- After a fault that may pass it is **tried again**, after each of `WAITS`. Pauses are drawn between
  half and all of it, so that many workers do not come back at the same moment.
- No attempt begins `LONGEST` seconds after the first one. So the worst case of a request is
  LONGEST + SILENCE + CONNECT: 2 minutes 35 seconds. A store that answers 503 at once is asked seven
  times.
- A store that was given up gets one attempt for each further request, until it answers again: what
  a run cleans up at its end does not wait so long once more.

The libraries of Google's and Azure's stores try again by themselves.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from cxr_vlp.pipelines.format.remote import faults

CONNECT, SILENCE = 5.0, 30.0  # seconds until an attempt is given up
SILENCE_VARIABLE = "CXR_STORE_TIMEOUT"  # replaces SILENCE
ATTEMPTS_VARIABLE = "AWS_MAX_ATTEMPTS"  # may raise the number of attempts
LONGEST = 120.0  # seconds after the first attempt; four attempts that end in silence
_DRAWN = random.Random()  # of its own: the draws of a training depend on its seed alone

T = TypeVar("T")


@dataclass(frozen=True)
class Policy:
    """The limits of a request, in seconds: pauses between attempts, and silence in one."""

    waits: Sequence[float]
    silence: float

    @property
    def connect(self) -> float:
        """Seconds to connect."""
        return min(CONNECT, self.silence)

    @property
    def limit(self) -> float:
        """Seconds without a byte that end an attempt, where the library's own limits do not."""
        return self.silence + self.connect

    def pauses(self) -> Iterator[float]:
        """Return the pauses before further attempts, which end with the time; it begins now."""
        return self._until(time.monotonic() + max(LONGEST, 4 * self.silence))

    def _until(self, latest: float) -> Iterator[float]:
        for wait in self.waits:
            pause = wait * _DRAWN.uniform(0.5, 1)
            if time.monotonic() + pause > latest:
                return
            yield pause


def policy(waits: Sequence[float], *, once: bool = False) -> Policy:
    """Return the policy with these pauses and the environment's silence; `once`: without pauses.

    Raises ValueError for a variable that is no number.
    """
    attempts = int(min(number(ATTEMPTS_VARIABLE, 1), 1000))  # a smaller number is other tools'
    more = (attempts - 1 - len(waits)) * tuple(waits[-1:])
    return Policy(() if once else (*waits, *more), number(SILENCE_VARIABLE, SILENCE))


def number(variable: str, default: float) -> float:
    """Return the number in a variable of the environment. Raises ValueError, which names it."""
    text = os.environ.get(variable) or str(default)
    with contextlib.suppress(ValueError):
        if 0 < float(text) < float("inf"):
            return float(text)
    raise ValueError(f"{variable} must be a number above 0")


def again(ask: Callable[[], T], pauses: Iterator[float]) -> T:
    """Return what `ask` returns; ask again, after each pause, where that may help.

    Raises the last exception as it is.
    """
    while True:
        try:
            return ask()
        except Exception as error:  # every library of a store has errors of its own
            if not faults.may_pass(error) or (pause := next(pauses, None)) is None:
                raise
        time.sleep(pause)


async def awaited(ask: Callable[[], Awaitable[T]], pauses: Iterator[float]) -> T:
    """Return what `ask` returns, as `again` does."""
    while True:
        try:
            return await ask()
        except Exception as error:
            if not faults.may_pass(error) or (pause := next(pauses, None)) is None:
                raise
        await asyncio.sleep(pause)


class Moved:
    """Knows when the last byte of a request, or of its answer, moved."""

    def __init__(self) -> None:
        self.time = time.monotonic()

    def now(self) -> None:
        """Remember this moment."""
        self.time = time.monotonic()


class Sent(io.BytesIO):
    """The body of a request: bytes that are read as they are sent."""

    def __init__(self, data: bytes, moved: Moved) -> None:
        super().__init__(data)
        self._moved = moved

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next bytes, and remember the moment."""
        self._moved.now()
        return super().read(size)


class Body:
    """The body of an answer that has arrived as a whole, read as the library reads one."""

    def __init__(self, data: bytes) -> None:
        self._stream = io.BytesIO(data)

    async def read(self, size: int = -1) -> bytes:
        """Return the next bytes."""
        return self._stream.read(size)

    def close(self) -> None:
        """Do nothing: there is no connection."""


async def sent(
    call: Callable[..., Awaitable[Any]], moved: Moved, method: str, more: Any, asked: dict[str, Any]
) -> Any:
    """Return the answer to a request that the library's `call` sends, with its whole body."""
    if asked.get("Body"):
        asked = asked | {"Body": Sent(asked["Body"], moved)}
    answer = await call(method, *more, **asked)
    if method == "get_object":
        answer["Body"] = await arrived(answer["Body"], moved)
    return answer


async def arrived(stream: Any, moved: Moved) -> Body:
    """Return the whole body of an answer from its stream. Raises what the library raises."""
    pieces = []
    try:
        while piece := await stream.read(1 << 20):
            moved.now()
            pieces.append(piece)
    finally:
        stream.close()
    return Body(b"".join(pieces))


async def moving(work: Awaitable[T], moved: Moved, limit: float) -> T:
    """Return the result of some work. Raises TimeoutError `limit` seconds after the last byte."""
    task = asyncio.ensure_future(work)
    try:
        while not task.done():
            left = moved.time + limit - time.monotonic()
            if left <= 0:
                raise TimeoutError
            await asyncio.wait({task}, timeout=left)
        return task.result()
    finally:
        task.cancel()
