"""Beam's portable job service and two worker pools, each a process of its own; all really run.

The pools have mounts of their own where that is permitted, so that they share no folder with the
driver except the one that a test gives them.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import hazards
import pytest

from cxr_vlp.pipelines.engines import driver, lanes
from cxr_vlp.pipelines.engines.base import Element, RunSettings
from cxr_vlp.pipelines.engines.beam_flags import BeamFlags
from cxr_vlp.pipelines.engines.flags import Choice
from cxr_vlp.pipelines.errors import DataError, EngineError

HERE = Path(__file__).resolve().parents[1]
PATIENCE = 120.0
ELEMENTS = [Element(f"e{number}", number) for number in range(6)]
SQUARES = {f"e{number}": number**2 for number in range(6)}


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def started(command: list[str], folder: Path) -> subprocess.Popen:
    """Start a service in a session of its own."""
    path = os.pathsep.join((str(HERE), str(HERE.parents[1] / ".src")))
    programs = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    environment = {**os.environ, "PYTHONPATH": path, "PATH": programs, "OMP_NUM_THREADS": "1"}
    log = (folder / f"{len(list(folder.iterdir()))}.log").open("wb")
    return subprocess.Popen(
        command, stdout=log, stderr=log, env=environment, start_new_session=True
    )


def until(true, what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.1)


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

    def choice(self, *pools: str) -> Choice:
        flags = (
            f"--job_endpoint={self.endpoint}", "--environment_type=EXTERNAL",
            "--runner=PortableRunner",
        )  # fmt: skip
        return Choice(beam=BeamFlags(flags, "PortableRunner", self.endpoint, pools or self.pools))

    def harnesses(self, number: int) -> list[int]:
        """Return the processes of the workers that a pool has started."""
        pid = self.processes[number].pid
        found = Path(f"/proc/{pid}/task").glob("*/children")
        return [int(word) for path in found for word in path.read_text().split()]


@pytest.fixture(scope="module")
def services(tmp_path_factory) -> Iterator[Services]:
    folder = tmp_path_factory.mktemp("services")
    ports = [free_port() for _ in range(3)]
    module = "apache_beam.runners."
    job = [sys.executable, "-m", f"{module}portability.local_job_service_main"]
    pool = [sys.executable, "-m", f"{module}worker.worker_pool_main"]
    running = [started([*job, "--port", str(ports[0])], folder)]
    running += [started([*pool, f"--service_port={port}"], folder) for port in ports[1:]]
    try:
        until(lambda: all(map(listens, ports)), "a service did not start")
        names = [f"localhost:{port}" for port in ports]
        yield Services(names[0], tuple(names[1:]), tuple(running[1:]))
    finally:
        for process in running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture
def settings(tmp_path) -> RunSettings:
    return RunSettings("shards", "mimic", 2, tmp_path / "state", tmp_path / "results", stalled=150)


def squares(found: dict) -> dict[str, int]:
    return {name: result["square"] for name, result in found.items()}


def test_nobody_at_the_address_of_the_job_service_ends_in_seconds(settings):
    choice = Services("localhost:1", ("localhost:2",), ()).choice()
    with pytest.raises(
        EngineError, match=r"no job service answers at localhost:1 .*--job_endpoint"
    ):
        driver.run(hazards.Slow(), ELEMENTS, settings, choice)


@pytest.mark.slow
def test_two_pools_share_the_elements(services, settings):
    found = driver.run(hazards.Slow(), ELEMENTS, settings, services.choice())
    assert squares(found) == SQUARES
    assert len({result["seconds"] for result in found.values()}) > 1  # processes


@pytest.mark.slow
def test_a_wrong_address_of_a_pool_ends_with_the_address(services, settings, capfd):
    with pytest.raises(EngineError, match="no worker pool answers at localhost:1"):
        driver.run(hazards.Slow(), ELEMENTS, settings, services.choice("localhost:1"))
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.slow
def test_the_elements_of_a_pool_that_is_lost_for_good_are_done_by_the_other(services, settings):
    choice = services.choice(services.pools[0], "localhost:1")
    assert squares(driver.run(hazards.Slow(), ELEMENTS, settings, choice)) == SQUARES


@pytest.mark.slow
def test_a_worker_that_is_killed_in_mid_part_has_its_elements_done_again(
    services, settings, monkeypatch, capfd
):
    monkeypatch.setattr(lanes, "LOST_AFTER", 8.0)

    def kill() -> None:
        until(lambda: list(settings.results.glob("*.alive")), "nothing was begun")
        for harness in services.harnesses(0):
            os.kill(harness, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    choice = services.choice(services.pools[0])
    found = driver.run(hazards.Slow(2.0), ELEMENTS[:3], settings, choice)
    killer.join()
    assert squares(found) == {name: SQUARES[name] for name in ("e0", "e1", "e2")}
    assert "is silent for" in capfd.readouterr().err


@pytest.mark.slow
def test_a_fault_of_the_data_ends_the_run_with_its_message(services, settings):
    work = hazards.FiveImages(hazards.stop, isolated=False)
    with pytest.raises(DataError, match=r"source\.changed: as expected"):
        driver.run(work, [Element("bad"), Element("good")], settings, services.choice())


@pytest.mark.slow
def test_results_of_a_killed_run_of_the_same_task_are_used(services, settings):
    import dataclasses

    sure = dataclasses.replace(settings, inputs="digest")
    first = driver.run(hazards.Slow(), ELEMENTS[:4], sure, services.choice())
    again = driver.run(hazards.Slow(), ELEMENTS, sure, services.choice())
    assert squares(again) == SQUARES
    same = [name for name in first if first[name]["seconds"] == again[name]["seconds"]]
    assert same == ["e0", "e1", "e2", "e3"]
    other = dataclasses.replace(settings, inputs="another digest")
    changed = driver.run(hazards.Slow(), ELEMENTS[:1], other, services.choice())
    assert changed["e0"]["seconds"] != again["e0"]["seconds"]
