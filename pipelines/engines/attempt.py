"""One attempt at one element, on whatever machine the engine chose: what every engine calls.

A worker first compares its versions with those of the run, and looks whether it sees the folders
that its work reads. Then it does the work: in a child process if the work decodes images
(isolation.py). A fault of the data, or of the machine's set-up, is a value; a fault that another
attempt may not meet is raised.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import os
import pickle
import socket
from collections.abc import Mapping
from dataclasses import dataclass

from cxr_vlp.pipelines import errors
from cxr_vlp.pipelines.engines import handshake, isolation
from cxr_vlp.pipelines.engines.base import Element, Outcome, RunSettings, Work
from cxr_vlp.pipelines.engines.results_place import SAME_PLACE
from cxr_vlp.pipelines.errors import EngineError
from cxr_vlp.pipelines.storage.place import is_remote

# errors of the disk that a second attempt meets too
LASTING = errors.WRITE_ERRORS | {errno.EACCES, errno.EPERM}


@dataclass(frozen=True)
class Task:
    """What every element of a run needs: the versions of the run, its work, its limits."""

    versions: Mapping[str, str]
    work: bytes  # a pickled Work: it is opened only where the versions are the same
    image_timeout: float
    umask: int | None = None
    reads: tuple[tuple[str, str], ...] = ()  # (folder, digest of the names in it)

    @property
    def digest(self) -> str:
        """The digest of the versions and of the work."""
        text = repr((sorted(self.versions.items()), self.reads)).encode()
        return hashlib.sha256(text + self.work).hexdigest()


def task(work: Work, settings: RunSettings) -> Task:
    """Return the task of a run."""
    reads = tuple((folder, _names(folder)) for folder in settings.reads if not is_remote(folder))
    return Task(
        handshake.versions(),
        pickle.dumps(work),
        settings.image_timeout,
        settings.umask,
        reads,
    )


def attempt(task: Task, element: Element) -> Outcome:
    """Return the outcome of an element: its result, or its fault.

    Raises OSError, MemoryError or isolation.LostChildError for a fault of this machine.
    """
    try:
        _check(task)
        return _done(task, element)
    except errors.StorageError:  # of a store, after its own attempts
        raise
    except errors.Stop as stop:
        return _fault(element, stop)
    except ImportError as error:
        return _fault(element, EngineError(handshake.absent(error)))
    except OSError as error:
        if error.errno in LASTING:
            return _fault(element, errors.as_stop(error))
        raise
    except (MemoryError, isolation.LostChildError):
        raise
    except Exception as error:
        return _fault(element, errors.internal(error, f"part {element.name}"))


def _done(task: Task, element: Element) -> Outcome:
    if task.umask is not None:
        os.umask(task.umask)
    work: Work = pickle.loads(task.work)
    if not work.isolated:
        return {"name": element.name, "result": isolation.here(work, element)}
    return isolation.outcome(task.work, element, task.image_timeout, task.umask, task.versions)


def _check(task: Task) -> None:
    """Raise EngineError if this worker has other versions, or lacks a folder of the run."""
    refusal = handshake.refusal(task.versions)
    if refusal:
        raise EngineError(refusal)
    for folder, names in task.reads:
        _check_folder(folder, names)


@functools.lru_cache(maxsize=64)
def _check_folder(folder: str, names: str) -> None:
    if names != _names(folder):
        raise EngineError(
            f"worker.apart: a worker ({socket.gethostname()}) sees no {_shown(folder)} with the "
            f"same content as this machine: {SAME_PLACE}"
        )


def _names(folder: str) -> str:
    """Return the digest of the names directly in a folder; "" if there is no such folder."""
    try:
        names = sorted(entry.name for entry in os.scandir(folder))
    except OSError:
        return ""
    return hashlib.sha256("\0".join(names).encode(errors="surrogateescape")).hexdigest()


def _shown(folder: str) -> str:
    """Return a folder for a message, without what may be an id."""
    return str(errors.as_stop(OSError(0, "", folder))).partition("(")[2].rstrip(")") or folder


def told(error: Exception) -> str:
    """Return what may be said of a fault of a machine: no words of another library."""
    if isinstance(error, errors.Stop | isolation.LostChildError):
        return str(error)
    return str(errors.as_stop(error)) if isinstance(error, OSError) else type(error).__name__


def _fault(element: Element, stop: errors.Stop) -> Outcome:
    return {"name": element.name, "fault": [type(stop).__name__, str(stop)]}
