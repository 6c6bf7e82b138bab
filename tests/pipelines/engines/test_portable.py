"""Beam's portable job service and two worker pools, each a process of its own; all really run.

The pools have mounts of their own where that is permitted, so that they share no folder with the
driver except the one that a test gives them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import hazards
import pytest
import s3fs
from moto.server import ThreadedMotoServer
from stages import build, params, tree_bytes

from cxr_vlp.pipelines import shards, texts
from cxr_vlp.pipelines.engines import driver, lanes
from cxr_vlp.pipelines.engines.base import Element, RunSettings
from cxr_vlp.pipelines.engines.beam_flags import BeamFlags
from cxr_vlp.pipelines.engines.flags import Choice
from cxr_vlp.pipelines.errors import DataError, EngineError
from cxr_vlp.pipelines.files import atomic_dir
from cxr_vlp.pipelines.format import manifest
from cxr_vlp.pipelines.storage import objects, publication
from cxr_vlp.pipelines.storage.place import place
from cxr_vlp.pipelines.synthetic.layouts import mimic

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
        yield Services(names[0], tuple(names[1:]), tuple(running[1:]))
    finally:
        for process in running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture(scope="module")
def services(tmp_path_factory) -> Iterator[Services]:
    """Pools that share the disk with the driver."""
    with serving(tmp_path_factory.mktemp("services")) as found:
        yield found


@pytest.fixture(scope="module")
def store() -> Iterator[Path]:
    """A folder of an S3 server on this machine, to which the environment leads."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        for name, value in {"ACCESS_KEY_ID": "key", "SECRET_ACCESS_KEY": "secret",
                            "DEFAULT_REGION": "us-east-1"}.items():  # fmt: skip
            environment.setenv(f"AWS_{name}", value)
        boto3.client("s3").create_bucket(Bucket="sets")
        s3fs.S3FileSystem.clear_instance_cache()
        yield place("s3://sets/shards")
    server.stop()


@pytest.fixture(scope="module")
def apart(store, tmp_path_factory) -> Iterator[Services]:
    """Pools that see an empty disk where the driver has its folders."""
    base = str(tmp_path_factory.getbasetemp())
    wrapped = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"', base]
    allowed = subprocess.run([*wrapped, "true"], capture_output=True, check=False)
    if allowed.returncode:
        pytest.skip("this machine does not permit mounts of a process's own (unshare -m)")
    with serving(tmp_path_factory.mktemp("apart"), *wrapped) as found:
        yield found


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
    sure = dataclasses.replace(settings, inputs="digest")
    first = driver.run(hazards.Slow(), ELEMENTS[:4], sure, services.choice())
    again = driver.run(hazards.Slow(), ELEMENTS, sure, services.choice())
    assert squares(again) == SQUARES
    same = [name for name in first if first[name]["seconds"] == again[name]["seconds"]]
    assert same == ["e0", "e1", "e2", "e3"]
    other = dataclasses.replace(settings, inputs="another digest")
    changed = driver.run(hazards.Slow(), ELEMENTS[:1], other, services.choice())
    assert changed["e0"]["seconds"] != again["e0"]["seconds"]


@pytest.mark.slow
def test_pools_that_lack_the_driver_s_disk_put_results_into_a_store(apart, store, settings):
    away = dataclasses.replace(settings, results=store / ".staging/.results")
    found = driver.run(hazards.Slow(), ELEMENTS, away, apart.choice())
    assert squares(found) == SQUARES


@pytest.mark.slow
def test_pools_that_lack_the_driver_s_disk_say_so(apart, settings):
    with pytest.raises(EngineError, match=r"worker\.apart: .* does not see the staging folder"):
        driver.run(hazards.Slow(), ELEMENTS, settings, apart.choice())


@pytest.mark.slow
def test_pools_that_lack_the_raw_tree_say_so(apart, store, settings, tmp_path):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/table.csv").write_text("")
    away = dataclasses.replace(
        settings, results=store / "other/.results", reads=(str(tmp_path / "raw"),)
    )
    with pytest.raises(EngineError, match=r"worker\.apart: .*raw"):
        driver.run(hazards.Slow(), ELEMENTS, away, apart.choice())


@pytest.mark.slow
def test_a_driver_that_was_killed_is_run_again(services, settings, tmp_path):
    """Its workers go on, or are lost; the rerun uses what they have put there."""
    script = tmp_path / "driver.py"
    script.write_text(DRIVER)
    flags = services.choice().beam
    path = os.pathsep.join((str(HERE), str(HERE.parents[1] / ".src")))
    command = [sys.executable, str(script), str(tmp_path), flags.endpoint, ",".join(flags.pools)]
    first = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path})
    until(lambda: list(settings.results.glob("e*.json")), "nothing was finished")
    first.kill()
    first.wait()
    sure = dataclasses.replace(settings, inputs="digest")
    done = {path.stem for path in settings.results.glob("e*.json")}
    found = driver.run(hazards.Slow(1.0), ELEMENTS, sure, services.choice())
    assert squares(found) == SQUARES
    assert done <= set(found)


DRIVER = """
import sys
from pathlib import Path

import hazards
from cxr_vlp.pipelines.engines import driver
from cxr_vlp.pipelines.engines.base import Element, RunSettings
from cxr_vlp.pipelines.engines.beam_flags import BeamFlags
from cxr_vlp.pipelines.engines.flags import Choice

here, endpoint, pools = Path(sys.argv[1]), sys.argv[2], tuple(sys.argv[3].split(","))
flags = (
    f"--job_endpoint={endpoint}", "--environment_type=EXTERNAL", "--runner=PortableRunner",
)
choice = Choice(beam=BeamFlags(flags, "PortableRunner", endpoint, pools))
settings = RunSettings(
    "shards", "mimic", 2, here / "state", here / "results", stalled=150, inputs="digest"
)
elements = [Element(f"e{number}", number) for number in range(6)]
driver.run(hazards.Slow(1.0), elements, settings, choice)
"""


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that the pools see too; that of pytest they do not see."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def flags_of(services: Services) -> list[str]:
    pools = ",".join(services.pools)
    return [
        "--runner=PortableRunner", f"--job_endpoint={services.endpoint}",
        "--environment_type=EXTERNAL", f"--environment_config={pools}", "--stalled", "150",
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_texts_and_shards_by_pools_without_the_driver_s_disk_have_the_same_bytes(
    apart, store, shared, tmp_path, monkeypatch
):
    """The raw tree is on a disk that all share; the inventory, texts and shards are in a store."""
    monkeypatch.chdir(tmp_path)
    mimic.write(shared / "raw", studies=8, seed=3, height=96)
    raw = shared / "raw/mimic"
    local = build(raw, "mimic", tmp_path)
    base = str(store.parent / "whole")
    with atomic_dir.publishing(place(f"{base}/scan"), "inventory.json") as staging:
        for each in objects.listing(tmp_path / "scan/mimic"):
            objects.copy(tmp_path / "scan/mimic" / each.name, staging / each.name)
    common = ["mimic", "--root", str(raw), "--params", str(params(tmp_path)), *flags_of(apart)]
    common += ["--state", str(tmp_path / "state"), "--scan", f"{base}/scan"]
    assert texts.main([*common, "--out", f"{base}/texts"]) == 0
    read = ["--texts", f"{base}/texts", "--out", f"{base}/shards"]
    assert shards.main([*common, *read]) == 0
    found = publication.folder_of(place(f"{base}/shards"), manifest.NAME)
    stored = {each.name: (found / each.name).read_bytes() for each in objects.listing(found)}
    assert stored == tree_bytes(local)
