"""Whole stages on engines outside of this process: no common disk, lost workers, killed drivers.

Each compares the bytes of an output with those of a run on this machine.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import buckets
import cluster
import pools
import pytest
from pools import Services
from processes import until
from stages import build, params, tree_bytes

from cxr_vlp.pipelines import scan, shards, texts
from cxr_vlp.pipelines.engines import beam_engine, isolation, lanes
from cxr_vlp.pipelines.files import atomic_dir
from cxr_vlp.pipelines.format import manifest
from cxr_vlp.pipelines.stages import scan_update
from cxr_vlp.pipelines.storage import objects, publication
from cxr_vlp.pipelines.storage.place import place
from cxr_vlp.pipelines.synthetic.layouts import mimic

pytestmark = pytest.mark.slow
STAGES = {"scan": "inventory.json", "texts": "texts.json", "shards": manifest.NAME}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with raw/, and scan/, texts/ and shards/ of mimic, made in this process."""
    folder = tmp_path_factory.mktemp("built")
    mimic.write(folder / "raw", studies=24, seed=3, height=96)
    build(folder / "raw/mimic", "mimic", folder)
    return folder


@pytest.fixture
def chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a scan of a small tree have several elements; its driver may read no file."""
    monkeypatch.setattr(scan_update, "CHUNK", 6)
    monkeypatch.setattr(scan_update, "FEW", 0)

    def read(*_: object, **__: object) -> None:
        raise AssertionError("the driver reads files")

    monkeypatch.setattr(scan_update, "here", read)


@dataclass(frozen=True)
class InStore:
    """A raw tree in a store, and the outputs of the stages beside it."""

    base: str
    folder: Path  # of this machine

    def run(self, words: list[str]) -> None:
        """Run all stages."""
        common = ["mimic", "--root", f"{self.base}/raw", "--params", str(params(self.folder))]
        common += ["--state", str(self.folder / "state"), *words]
        at = {stage: ["--out", f"{self.base}/{stage}"] for stage in STAGES}
        read = {stage: [f"--{stage}", f"{self.base}/{stage}"] for stage in STAGES}
        assert scan.main([*common, *at["scan"]]) == 0
        assert texts.main([*common, *at["texts"], *read["scan"]]) == 0
        assert shards.main([*common, *at["shards"], *read["scan"], *read["texts"]]) == 0

    def output(self, stage: str) -> dict[str, bytes]:
        """Return the files of an output."""
        found = publication.folder_of(place(f"{self.base}/{stage}"), STAGES[stage])
        names = [each.name for each in objects.listing(found)]
        return {name: (found / name).read_bytes() for name in names if name != "index.sqlite"}

    def left(self, stage: str) -> list[str]:
        """Return what a run has left in its staging folder."""
        listed = objects.listing(place(f"{self.base}/{stage}/{publication.STAGING}"))
        return [each.name for each in listed]


def in_store(store: Path, name: str, built: Path, folder: Path) -> InStore:
    """Put the raw tree into the store."""
    address = os.environ["AWS_ENDPOINT_URL"]
    buckets.put(address, built / "raw/mimic", f"{name}/raw")
    return InStore(f"{store}/{name}".replace("//" + name, "/" + name), folder)


def test_pools_of_beam_that_share_nothing_with_the_driver(
    built, apart, store, tmp_path, chunks, monkeypatch
):
    """The pools see an empty disk where this test has its folders."""
    monkeypatch.chdir(tmp_path)
    made = in_store(store, "beam", built, tmp_path)
    made.run([*apart.words(), "--stalled", "300"])
    for stage in STAGES:
        assert made.output(stage) == tree_bytes(built / stage / "mimic"), stage
        assert made.left(stage) == []


def test_executors_of_spark_that_share_nothing_with_the_driver(
    built, store, tmp_path, chunks, monkeypatch
):
    """An executor is killed while it decodes."""
    cluster.needed()
    if not cluster.can_hide():
        pytest.skip("this user may not mount a folder for one process")
    monkeypatch.chdir(tmp_path)
    made = in_store(store, "spark", built, tmp_path)
    (tmp_path / "cluster").mkdir()
    for name, value in cluster.environment(tmp_path / "cluster").items():
        monkeypatch.setenv(name, value)
    with cluster.running(tmp_path / "cluster", workers=()) as two:
        for name in ("one", "two"):
            two.add_worker(name, hidden=[built])
        killed: list[int] = []
        busy = partial(cluster.executors_at_work, isolation.MODULE)
        killer = in_thread(partial(kill, busy, killed))
        made.run(["--engine", "spark", "--master", two.master, "--stalled", "300"])
        killer.join()
    assert killed
    for stage in STAGES:
        assert made.output(stage) == tree_bytes(built / stage / "mimic"), stage
        assert made.left(stage) == []


def in_thread(call: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=call)
    thread.start()
    return thread


def kill(find: Callable[[], object], killed: list[int]) -> None:
    """Kill one of the processes that `find` returns, as soon as there is one."""
    found: list[int] = []
    until(lambda: found.extend(list(find())[:1]) or found, "nobody was at work", 600)
    os.kill(found[0], signal.SIGKILL)
    killed += found


# ---- workers and drivers that die; they share a disk, which is quicker


@pytest.fixture
def own_services(tmp_path: Path) -> Iterator[Services]:
    """Services that a test may kill."""
    (tmp_path / "services").mkdir()
    with pools.serving(tmp_path / "services") as found:
        yield found


def words(built: Path, out: Path) -> list[str]:
    read = ["--scan", str(built / "scan/mimic"), "--texts", str(built / "texts/mimic")]
    common = ["--root", str(built / "raw/mimic"), "--params", str(params(out))]
    state = ["--state", str(out / "state"), "--out", str(out / "shards/mimic")]
    return ["mimic", *common, *read, *state, "--stalled", "240"]


def test_shards_though_one_pool_is_lost_for_good_and_a_worker_of_the_other_is_killed(
    built, own_services, tmp_path, monkeypatch, capfd
):
    monkeypatch.setattr(lanes, "LOST_AFTER", 15.0)
    monkeypatch.setattr(beam_engine, "BEAT", 1.0)
    killed: list[int] = []

    def kill_both() -> None:
        until(lambda: own_services.at_work(1), "nobody was at work", 600)
        os.killpg(own_services.processes[1].pid, signal.SIGKILL)
        kill(lambda: own_services.at_work(0), killed)

    killer = in_thread(kill_both)
    assert shards.main([*words(built, tmp_path), *own_services.words()]) == 0
    killer.join()
    assert tree_bytes(tmp_path / "shards/mimic") == tree_bytes(built / "shards/mimic")
    said = capfd.readouterr().err
    assert "what is left is done again" in said
    assert "Traceback" not in said


def test_shards_of_a_killed_driver_are_not_made_again_by_the_next(
    built, own_services, tmp_path, capfd
):
    command = [*words(built, tmp_path), *own_services.words()]
    program = [sys.executable, "-m", "cxr_vlp", "shards", *command]
    first = subprocess.Popen(program, env=pools.environment(), cwd=tmp_path)
    staging = atomic_dir.staging(tmp_path / "shards/mimic")
    # the driver has put one into the cache, and its result is still there for the next
    until((tmp_path / "state/logs/shards-mimic.log").exists, "nothing was finished")
    first.kill()
    first.wait()
    # its workers go on with the parts of their jobs, as on other machines
    finished = {path.stem for path in staging.glob(".results/*.json")}
    tars = [path for path in staging.glob("*/*.tar") if path.stem in finished]
    before = {path.relative_to(staging): path.stat() for path in tars}
    time.sleep(0.05)
    assert shards.main(command) == 0
    assert before
    for name, state in before.items():
        now = (tmp_path / "shards/mimic" / name).stat()
        assert (now.st_mtime_ns, now.st_ino) == (state.st_mtime_ns, state.st_ino), name
    assert tree_bytes(tmp_path / "shards/mimic") == tree_bytes(built / "shards/mimic")
