"""Does one element in one child process, so that a decoder that crashes or hangs costs one image.

The child is a plain process, `python -m cxr_vlp.pipelines.engines.child`: the processes of engines
are often daemons, which may have no children of multiprocessing, and a fork of a process with
threads may deadlock. The image that ended the child is excluded and the element is done again, as
in the pool of one machine (executor/pool.py).
"""

from __future__ import annotations

import contextlib
import errno
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from cxr_vlp.pipelines.engines.base import Element, Outcome, Result, Work
from cxr_vlp.pipelines.executor.blame import ImageBlame
from cxr_vlp.pipelines.executor.worker import WorkerState

MODULE = "cxr_vlp.pipelines.engines.child"
POLL_INTERVAL = 0.1  # seconds between two looks at the child
NO_CHILDREN = (errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOSYS, errno.ENOEXEC)


class LostChildError(Exception):
    """The child ended and no image is to blame: another attempt may succeed."""


class Order(NamedTuple):
    """What the child gets: its element, and the files that it writes."""

    work: bytes
    element: Element
    record: str
    answer: str  # the file of the pickled outcome
    excluded: dict[str, str]  # key hash -> code of images to reject
    umask: int | None
    versions: Mapping[str, str]  # of the run: the child reads its code from the disk anew


def here(work: Work, element: Element) -> Result:
    """Do an element in this process."""
    with tempfile.TemporaryDirectory(prefix="cxr-vlp-") as folder:
        state = WorkerState(Path(folder, "record"))
        try:
            return work(element, state)
        finally:
            state.close()


def outcome(
    work: bytes,
    element: Element,
    timeout: float,
    umask: int | None,
    versions: Mapping[str, str],
) -> Outcome:
    """Do an element in a child process; `timeout` is that of one image, in seconds.

    Raises OSError of the child's work, and LostChildError.
    """
    with tempfile.TemporaryDirectory(prefix="cxr-vlp-") as folder:
        record, answer = Path(folder, "record"), Path(folder, "answer")
        blame = ImageBlame(record, timeout)
        while True:
            order = Order(work, element, str(record), str(answer), blame.excluded, umask, versions)
            try:
                child = _started(order)
            except OSError as error:
                if error.errno not in NO_CHILDREN:
                    raise
                return {"name": element.name, "result": here(pickle.loads(work), element)}
            code = _ended(child, blame)
            if code == 0:
                return _answer(answer)
            if not blame.exclude(code):
                how = f"signal {-code}" if code < 0 else f"exit {code}"
                raise LostChildError(f"worker.killed: a worker process died ({how})")


def _started(order: Order) -> subprocess.Popen[bytes]:
    """Start the child. It ends when this process ends: it watches its stdin."""
    child = subprocess.Popen(
        [sys.executable, "-m", MODULE],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        # an engine may have found this package in an archive that only this process knows
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        start_new_session=True,  # Ctrl-C is for the run, which ends its children
    )
    data = pickle.dumps(order)
    assert child.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # it has ended already: its exit code says more
        child.stdin.write(len(data).to_bytes(8, "big") + data)
        child.stdin.flush()
    return child


def _ended(child: subprocess.Popen[bytes], blame: ImageBlame) -> int:
    """Wait for the end of the child; return its exit code."""
    try:
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return child.wait(POLL_INTERVAL)
            blame.end_slow_worker()
    finally:
        child.kill()
        child.wait()
        assert child.stdin is not None
        with contextlib.suppress(OSError):
            child.stdin.close()


def _answer(path: Path) -> Outcome:
    """Return the outcome that the child wrote. Raises the OSError that its work raised."""
    found = pickle.loads(path.read_bytes())
    if isinstance(found, OSError | MemoryError):
        raise found
    answer: Outcome = found
    return answer
