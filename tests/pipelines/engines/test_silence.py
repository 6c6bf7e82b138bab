"""Services and workers that stop answering: every run ends in the stated time, with a remedy."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cluster
import hazards
import pools
import pytest
from pools import Services
from processes import until
from works import Told

from cxr_vlp.pipelines.engines import driver
from cxr_vlp.pipelines.engines.base import Element, RunSettings
from cxr_vlp.pipelines.engines.spark_engine import SparkEngine
from cxr_vlp.pipelines.errors import EngineError

pytestmark = pytest.mark.slow
ELEMENTS = [Element(f"e{number}", number) for number in range(3)]
UNANSWERED = r"look at the job service and at the worker pools|engine\.stalled"
SILENT = r"is a Spark master of this version at that address|the master does not answer"
SLACK = 300.0  # seconds for a start, and for an end, on a busy machine


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Services]:
    """Services that a test may stop."""
    (tmp_path / "services").mkdir()
    with pools.serving(tmp_path / "services") as found:
        yield found


def settings(folder: Path, stalled: float = 20.0) -> RunSettings:
    return RunSettings("texts", "mimic", 1, folder / "state", folder / "results", stalled=stalled)


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """Fail if the block takes longer."""
    start = time.monotonic()
    yield
    assert time.monotonic() - start < seconds + SLACK


def when(true, act) -> threading.Thread:
    """Act in a thread as soon as something is true."""

    def wait() -> None:
        until(true, "nothing was begun")
        act()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def begun(folder: Path) -> list[Path]:
    return list((folder / "results").glob("*.alive"))


@contextlib.contextmanager
def listening() -> Iterator[str]:
    """Give the address of a service that accepts connections and says nothing."""
    with socket.socket() as quiet:
        quiet.bind(("127.0.0.1", 0))
        quiet.listen(50)
        yield f"localhost:{quiet.getsockname()[1]}"


def test_a_pool_that_accepts_and_never_answers(own, tmp_path, capfd):
    with (
        listening() as address,
        within(20),
        pytest.raises(EngineError, match=UNANSWERED),
    ):
        driver.run(hazards.Slow(), ELEMENTS, settings(tmp_path), own.choice(address))
    assert "Traceback" not in capfd.readouterr().err


def test_a_job_service_that_accepts_and_never_answers(tmp_path):
    with listening() as address, within(20), pytest.raises(
        EngineError, match=UNANSWERED
    ):  # fmt: skip
        quiet = Services(address, ("localhost:1",), ())
        driver.run(hazards.Slow(), ELEMENTS, settings(tmp_path), quiet.choice())


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGSTOP])
def test_a_job_service_that_dies_or_is_paused_during_a_run(own, tmp_path, sign, capfd):
    acting = when(lambda: begun(tmp_path), lambda: os.killpg(own.service.pid, sign))
    said = {
        signal.SIGKILL: f"no job service answers at {own.endpoint} .*is it started",
        signal.SIGSTOP: "engine.(stalled|failed)",
    }
    with within(30), pytest.raises(EngineError, match=said[sign]):
        driver.run(hazards.Slow(600.0), ELEMENTS, settings(tmp_path, 30.0), own.choice())
    acting.join()
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("rooms", "said"),
    [
        ((), r"worker\.differs: a worker cannot import cxr_vlp: install the wheel"),
        (("nlp", "pipelines"), r"worker\.differs: a worker has code \w+ \(the run has "),
    ],
    ids=["none", "another checkout"],
)
def test_a_worker_without_this_program_or_with_another_checkout(tmp_path, monkeypatch, rooms, said):
    other = tmp_path / "other" / "cxr_vlp"
    other.mkdir(parents=True)
    for room in rooms:
        shutil.copytree(pools.ROOT / room, other / room)
        (other / room / "added.py").touch()
    init = (pools.ROOT / ".src/cxr_vlp/__init__.py").read_text()
    (other / "__init__.py").write_text(init if rooms else "")
    path = os.pathsep.join((str(other.parent), str(pools.TESTS)))
    environment = {**pools.environment(), "PYTHONPATH": path}
    monkeypatch.setattr(pools, "environment", lambda: environment)
    (tmp_path / "services").mkdir()
    with (
        pools.serving(tmp_path / "services") as found,
        within(10),
        pytest.raises(EngineError, match=said),
    ):
        driver.run(hazards.Slow(), ELEMENTS, settings(tmp_path, 60.0), found.choice())


# ---- Spark


@pytest.fixture
def spark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[cluster.Cluster]:
    """A cluster with one worker."""
    cluster.needed()
    (tmp_path / "cluster").mkdir()
    for name, value in cluster.environment(tmp_path / "cluster").items():
        monkeypatch.setenv(name, value)
    with cluster.running(tmp_path / "cluster", workers=("one",)) as made:
        yield made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


def sleeping(folder: Path, master: str, stalled: float) -> None:
    element = Element("e", {"what": "sleep", "seconds": 600})
    driver.run(Told(str(folder)), [element], settings(folder.parent, stalled), SparkEngine(master))


def test_an_executor_that_is_paused(spark, folder):
    def pause() -> None:
        os.kill(cluster.executor_of(int((folder / "e").read_text())), signal.SIGSTOP)

    acting = when((folder / "e").exists, pause)
    with within(60), pytest.raises(EngineError, match=r"engine\.stalled: .* look at their workers"):
        sleeping(folder, spark.master, 60.0)
    acting.join()


def test_a_master_that_accepts_and_never_answers(folder, tmp_path, monkeypatch):
    cluster.needed()
    for name, value in cluster.environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    with listening() as address, within(90), pytest.raises(EngineError, match=SILENT):
        sleeping(folder, f"spark://{address.replace('localhost', '127.0.0.1')}", 20.0)


def test_a_cluster_whose_cores_are_taken(spark, folder, tmp_path):
    other = subprocess.Popen(
        [sys.executable, "-c", TAKES, str(folder), spark.master],
        env=cluster.environment(tmp_path / "cluster"),
    )
    try:
        until((folder / "other").exists, "the other run did not begin")
        with within(20), pytest.raises(EngineError, match="whether workers are started and free"):
            sleeping(folder, spark.master, 20.0)
    finally:
        other.kill()
        other.wait()


TAKES = """
import sys
from pathlib import Path
from works import Told
from cxr_vlp.pipelines.engines import driver
from cxr_vlp.pipelines.engines.base import Element, RunSettings
from cxr_vlp.pipelines.engines.spark_engine import SparkEngine
folder = Path(sys.argv[1])
settings = RunSettings("texts", "mimic", 1, folder, folder)
element = Element("other", {"what": "sleep", "seconds": 600})
driver.run(Told(str(folder)), [element], settings, SparkEngine(sys.argv[2]))
"""


@pytest.mark.parametrize(
    ("sign", "said"),
    [(signal.SIGKILL, "Spark's Java process on this machine has ended"),
     (signal.SIGSTOP, "engine.stalled")],
)  # fmt: skip
def test_java_of_this_machine_that_dies_or_is_paused(spark, folder, tmp_path, sign, said):
    """In a process of its own, whose Java process ends with it."""
    run = subprocess.Popen(
        [sys.executable, "-c", TAKES.replace("folder, folder)", "folder, folder, stalled=60)"),
         str(folder), spark.master],
        env=cluster.environment(tmp_path / "cluster"), stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    until((folder / "other").exists, "nothing was begun")
    java = pools.children(run.pid)
    assert java
    for process in java:
        os.kill(process, sign)
    try:
        with within(60):
            err = run.communicate(timeout=SLACK)[1]
    finally:
        for process in java:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
    assert said in err
    assert run.returncode != 0
