"""Beam's portable job service and worker pools, each a process of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from processes import until

from cxr_vlp.pipelines.engines.beam_flags import BeamFlags
from cxr_vlp.pipelines.engines.flags import Choice

ROOT = Path(__file__).resolve().parents[3]
TESTS = Path(__file__).resolve().parents[1]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def environment() -> dict[str, str]:
    """Return the environment of a process that runs our code, and that of the tests."""
    path = os.pathsep.join((str(TESTS), str(ROOT / ".src")))
    programs = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    return {**os.environ, "PYTHONPATH": path, "PATH": programs, "OMP_NUM_THREADS": "1"}


def started(command: list[str], folder: Path) -> subprocess.Popen:
    """Start a service in a session of its own."""
    log = (folder / f"{len(list(folder.iterdir()))}.log").open("wb")
    return subprocess.Popen(
        command, stdout=log, stderr=log, env=environment(), start_new_session=True
    )


def listens(port: int) -> bool:
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    return False


@dataclass(frozen=True)
class Services:
    """A job service, and its worker pools."""

    endpoint: str
    pools: tuple[str, ...]
    processes: tuple[subprocess.Popen, ...]  # of the pools
    service: subprocess.Popen | None = None

    def choice(self, *pools: str) -> Choice:
        flags = (
            f"--job_endpoint={self.endpoint}", "--environment_type=EXTERNAL",
            "--runner=PortableRunner",
        )  # fmt: skip
        return Choice(beam=BeamFlags(flags, "PortableRunner", self.endpoint, pools or self.pools))

    def words(self, *pools: str) -> list[str]:
        """Return the words of a command line that choose these pools, or all."""
        return [
            "--runner=PortableRunner", f"--job_endpoint={self.endpoint}",
            "--environment_type=EXTERNAL",
            f"--environment_config={','.join(pools or self.pools)}",
        ]  # fmt: skip

    def harnesses(self, number: int) -> list[int]:
        """Return the processes of the workers that a pool has started."""
        return children(self.processes[number].pid)

    def at_work(self, number: int) -> list[int]:
        """Return those of them that have a child, which does a part now."""
        return [harness for harness in self.harnesses(number) if children(harness)]


def children(pid: int) -> list[int]:
    """Return the children of a process."""
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found += map(int, path.read_text().split())
    return found


@contextlib.contextmanager
def serving(folder: Path, *wrapped: str) -> Iterator[Services]:
    """Start a job service and two worker pools; `wrapped` is a command that starts a pool."""
    ports = [free_port() for _ in range(3)]
    module = "apache_beam.runners."
    job = [sys.executable, "-m", f"{module}portability.local_job_service_main"]
    pool = [sys.executable, "-m", f"{module}worker.worker_pool_main"]
    running = [started([*job, "--port", str(ports[0])], folder)]
    for port in ports[1:]:
        running.append(started([*wrapped, *pool, f"--service_port={port}"], folder))
    try:
        until(lambda: all(map(listens, ports)), "a service did not start")
        names = [f"localhost:{port}" for port in ports]
        yield Services(names[0], tuple(names[1:]), tuple(running[1:]), running[0])
    finally:
        for process in running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def apart(base: Path) -> list[str]:
    """Return the words before a command that hide a folder from it. Skips where that is denied."""
    wrapped = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"', str(base)]
    allowed = subprocess.run([*wrapped, "true"], capture_output=True, check=False)
    if allowed.returncode:
        pytest.skip("this machine does not permit mounts of a process's own (unshare -m)")
    return wrapped
