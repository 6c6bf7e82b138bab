"""What is said of a job of a Beam runner that cannot start, or that failed.

A job fails with pages of stack traces, and they may quote a report. Only patterns that are known
here, and what our own workers marked, get into a message.
"""

from __future__ import annotations

import re
import socket

from cxr_vlp.pipelines.engines import beam_flags, handshake
from cxr_vlp.pipelines.errors import EngineError

MARK = "|machine|"  # around what our workers say of a fault of their machine
CONNECT_TIMEOUT = 5.0  # seconds
LASTING = ("worker.apart", "worker.differs", "worker.late")  # no other attempt ends better
NEEDS = {
    **beam_flags.REQUIREMENTS,
    "PortableRunner": "it needs a job service at --job_endpoint=HOST:PORT",
}


def check_answers(endpoint: str) -> None:
    """Raise EngineError if nobody listens at the address of a job service."""
    host, _, port = endpoint.rpartition(":")
    if not port.isdigit():  # none, or `embed`: in this process
        return
    try:
        socket.create_connection((host or "localhost", int(port)), CONNECT_TIMEOUT).close()
    except OSError as error:
        raise EngineError(
            f"no job service answers at {endpoint} ({error.strerror or type(error).__name__}): is "
            "it started, and is the port right (--job_endpoint)?"
        ) from None


def not_started(runner: str, error: BaseException) -> EngineError:
    """Return the error of a runner that could not take a job."""
    needs = f": {NEEDS[runner]}" if runner in NEEDS else ""
    return EngineError(
        f"--runner {runner} could not start ({type(error).__name__}){needs}. Without --runner "
        "everything runs in this process"
    )


def check_lasting(error: BaseException) -> None:
    """Raise EngineError if a job failed for a reason that every other attempt meets."""
    said = reason(error, "")
    if said.startswith(LASTING):
        raise EngineError(said)


def reason(error: BaseException, pool: str) -> str:
    """Return why a job failed, in words of our own."""
    text = str(error)
    own = re.search(f"{re.escape(MARK)}(.*?){re.escape(MARK)}", text, re.DOTALL)
    if own:
        return own[1]
    absent = re.search(r"No module named '([\w.]+)'", text)
    if absent:
        return handshake.absent(ImportError(name=absent[1]))
    if "StatusCode.UNAVAILABLE" in text:
        return f"no worker pool answers at {pool}" if pool else "a service does not answer"
    return f"the job failed ({type(error).__name__}): the runner's log says more"
