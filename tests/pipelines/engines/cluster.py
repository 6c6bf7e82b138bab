"""A Spark standalone cluster of this machine: one master and workers, each a process of its own.

It comes from PyPI's pyspark, which holds the whole of Spark. Everything listens at 127.0.0.1, at
ports that the system chooses. `Cluster.close` ends all of it: each process leads a group.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shlex
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from processes import PATIENCE

ROOT = Path(__file__).resolve().parents[3]
HERE = Path(__file__).resolve().parent
CODE = os.pathsep.join((str(ROOT / ".src"), str(HERE), str(HERE.parent)))  # what workers import


def needed() -> None:
    """Skip the test where Spark cannot run."""
    if shutil.which("java") is None or importlib.util.find_spec("pyspark") is None:
        pytest.skip("needs Java 17 and pyspark")


def home() -> Path:
    """Return the folder of Spark."""
    found = importlib.util.find_spec("pyspark")
    assert found
    assert found.origin
    return Path(found.origin).parent


def environment(folder: Path, **more: str) -> dict[str, str]:
    """Return the environment of a process of the cluster: its files are in `folder`."""
    return {
        **os.environ,
        "SPARK_HOME": str(home()),
        "SPARK_LOCAL_IP": "127.0.0.1",  # the pages of master and workers, too
        "SPARK_LOCAL_DIRS": str(folder),
        "SPARK_CONF_DIR": str(folder),  # no settings of this machine's user
        "SPARK_DAEMON_MEMORY": "256m",
        "PYTHONPATH": CODE,
        "OMP_NUM_THREADS": "1",
        **more,
    }


@dataclass
class Cluster:
    """A master, and workers with one core each."""

    folder: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    master: str = ""

    def start(self) -> None:
        """Start the master, and wait until it listens."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        words = ["org.apache.spark.deploy.master.Master", "--host", "127.0.0.1"]
        self._start("master", [*words, "--port", str(port), "--webui-port", "0"])
        self.master = f"spark://127.0.0.1:{port}"
        self._wait("master", "I have been elected leader")

    def add_worker(self, name: str, *, hidden: Sequence[Path] = (), **environment: str) -> None:
        """Start a worker; folders in `hidden` are empty for it and its executors."""
        words = ["org.apache.spark.deploy.worker.Worker", "--host", "127.0.0.1", "--port", "0"]
        words += ["--webui-port", "0", "--cores", "1", "--memory", "1g"]
        words += ["--work-dir", str(self.folder / f"{name}-work"), self.master]
        self._start(name, words, hidden, environment)
        self._wait(name, "Successfully registered with master")

    def close(self) -> None:
        """End every process."""
        for process in reversed(self.processes):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def logs(self) -> str:
        """Return all that master, workers and executors have written."""
        files = [path for path in self.folder.rglob("*") if path.name in ("stdout", "stderr")]
        files += sorted(self.folder.glob("*.log"))
        return "\n".join(path.read_text(errors="replace") for path in files)

    def _start(
        self,
        name: str,
        words: Sequence[str],
        hidden: Sequence[Path] = (),
        more: dict[str, str] | None = None,
    ) -> None:
        command = [str(home() / "bin" / "spark-class"), *words]
        if hidden:
            command = [*without(hidden), *command]
        with (self.folder / f"{name}.log").open("wb") as log:
            self.processes.append(
                subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder,
                    env=environment(self.folder, **(more or {})), start_new_session=True,
                )
            )  # fmt: skip

    def _wait(self, name: str, line: str) -> None:
        log, until = self.folder / f"{name}.log", time.monotonic() + PATIENCE
        while line not in log.read_text(errors="replace"):
            assert self.processes[-1].poll() is None, log.read_text(errors="replace")
            assert time.monotonic() < until, log.read_text(errors="replace")
            time.sleep(0.1)


@contextlib.contextmanager
def running(folder: Path, workers: Sequence[str] = ("one", "two")) -> Iterator[Cluster]:
    """Give a cluster with workers of these names; it ends with the block."""
    made = Cluster(folder)
    (folder / "spark-defaults.conf").write_text("spark.executor.memory 512m\n")
    try:
        made.start()
        for name in workers:
            made.add_worker(name)
        yield made
    finally:
        made.close()


def without(folders: Sequence[Path]) -> list[str]:
    """Return the words before a command that make folders empty for it alone."""
    mounts = " && ".join(f"mount -t tmpfs tmpfs {shlex.quote(str(each))}" for each in folders)
    return ["unshare", "--mount", "--map-root-user", "sh", "-c", f'{mounts} && exec "$@"', "sh"]


def can_hide() -> bool:
    """Return whether this user may hide folders from a process."""
    words = [*without([Path("/mnt")]), "true"]
    return (
        shutil.which("unshare") is not None
        and not subprocess.run(words, capture_output=True, check=False).returncode
    )


def executor_of(pid: int) -> int:
    """Return the process id of the executor to which a process belongs; 0 if to none."""
    while pid > 1:
        if b"org.apache.spark.executor.CoarseGrainedExecutorBackend" in words_of(pid):
            return pid
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return 0


def words_of(pid: int) -> list[bytes]:
    """Return the command line of a process."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")


def executors_at_work(module: str) -> set[int]:
    """Return the executors that have a child process which runs a module of ours."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if module.encode() in words_of(int(folder.name)):
                found.add(executor_of(int(folder.name)))
    return found - {0}
