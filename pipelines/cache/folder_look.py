"""Looks at every folder that an index knows, and finds those that are not as they were.

    python -m cxr_vlp.pipelines.cache.folder_look INDEX INODE ROOT FIRST END PARENT

A scan with nothing changed spends most of its time here: one call of the system for each file, and
as much time in Python beside it. Threads do not help, because Python runs one at a time. So the
folders of a large tree are shared among processes. Each opens the index by itself, looks at a range
of its rows, and prints the numbers of those rows that differ; no path leaves a process.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from cxr_vlp.pipelines import interrupts
from cxr_vlp.pipelines.cache import tree_listing
from cxr_vlp.pipelines.cache.scan_index import DamagedError, ScanIndex
from cxr_vlp.pipelines.executor.progress import COUNTS

MODULE = "cxr_vlp.pipelines.cache.folder_look"
PROCESSES = 4  # at most; a file server answers several at once
SHARE = 20_000  # folders that one process looks at before another, which takes .2 s to start, helps
SEEN = 1000  # folders between two updates of the display
POLL_INTERVAL = 0.5  # seconds between two looks at whether the run was stopped
Rows = range  # numbers of rows of the table of folders


def differing(index: ScanIndex, path: Path, root: str) -> Iterator[tuple[str, str]]:
    """Yield (path, text) of the folders that are not as the index says; `path` is the index's.

    Raises DamagedError if rows of the index are lost or damaged.
    """
    own, *others = _shares(index.last_folder())
    number = 0
    with contextlib.ExitStack() as stack:
        started = [(rows, stack.enter_context(_started(path, root, rows))) for rows in others]
        for row, same in _looked(index, root, own):
            number += 1
            if not same:
                yield index.folder_of(row)
        for rows, child in started:
            seen, found = _answer(child) or _again(index, root, rows)
            number += seen
            yield from map(index.folder_of, found)
    if number != index.number_of_folders():
        raise DamagedError


def _shares(last: int) -> list[Rows]:
    """Return the rows for each process, the first for this one."""
    free = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    number = max(1, min(PROCESSES, free, last // SHARE))
    edges = [last * each // number + 1 for each in range(number + 1)]
    return [range(first, end) for first, end in itertools.pairwise(edges)]


def _looked(index: ScanIndex, root: str, rows: Rows) -> Iterator[tuple[int, bool]]:
    """Yield (row, whether the folder is as the index says)."""
    for number, (row, path, text) in enumerate(index.folders(rows), 1):
        if number % SEEN == 0:
            interrupts.check()
            COUNTS.add("seen", SEEN)
        yield row, tree_listing.is_same(f"{root}/{path}" if path else root, text)


def _again(index: ScanIndex, root: str, rows: Rows) -> tuple[int, list[int]]:
    """Do in this process what another one did not bring to its end."""
    looked = list(_looked(index, root, rows))
    return len(looked), [row for row, same in looked if not same]


@contextlib.contextmanager
def _started(index: Path, root: str, rows: Rows) -> Iterator[subprocess.Popen[str] | None]:
    """Start a process for some rows, which ends with the block; None if none can be started."""
    asked = (index.absolute(), index.stat().st_ino, root, rows.start, rows.stop, os.getpid())
    try:
        child = subprocess.Popen(
            [sys.executable, "-m", MODULE, *map(str, asked)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # what it cannot do, this process does
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            start_new_session=True,  # Ctrl-C is for the run, which ends its children
        )
    except OSError:  # this user may start no more of them
        yield None
        return
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


def _answer(child: subprocess.Popen[str] | None) -> tuple[int, list[int]] | None:
    """Return (rows seen, rows that differ); None if the process did not come to its end."""
    if child is None:
        return None
    while True:
        interrupts.check()
        with contextlib.suppress(subprocess.TimeoutExpired):
            text, _ = child.communicate(timeout=POLL_INTERVAL)
            break
    if child.returncode:
        return None
    seen, found = json.loads(text)
    COUNTS.add("seen", seen)
    return seen, found


def main(arguments: Sequence[str]) -> int:
    """Look at the rows that the arguments name; print [number of them, those that differ]."""
    path, inode, root, first, end, parent = arguments
    threading.Thread(target=_end_with, args=(int(parent),), daemon=True).start()
    index = ScanIndex.opened(Path(path))
    if index is None or Path(path).stat().st_ino != int(inode):  # another run has replaced it
        return 1
    sys.stdout.write(json.dumps(_again(index, root, range(int(first), int(end)))))
    return 0


def _end_with(parent: int) -> None:
    """End this process when the run ends, even if the run was killed."""
    while os.getppid() == parent:
        time.sleep(POLL_INTERVAL)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
