"""Killed runs: the output is the old set or the new one, and a second run completes it.

Changes to the disk are counted in a run that does its parts in its own process; the next runs are
killed before the first of them, before the second, ... A second kind of test kills runs with
worker processes at moments spread over their time, and workers in place of runs. The default run
takes a few points of each, the slow one every point.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from concurrent.futures import Future
from pathlib import Path

import pytest
from launching import Launcher, Run
from scenes import SOURCE, Scene
from stages import tree_bytes

from cxr_vlp.pipelines.errors import DataError
from cxr_vlp.pipelines.executor import pool

LEAST = 100  # points, at least, of a slow test


def check(scene: Scene, place: Path, launcher: Launcher, *, inline: bool) -> bool:
    """Check the output after a killed run; return whether it had published."""
    found = tree_bytes(scene.out(place))
    assert found in (scene.old, scene.new), "a mixed set"
    again = launcher.run(scene.stage, scene.arguments(place), inline=inline)
    assert again.code == 0, again.said
    assert tree_bytes(scene.out(place)) == scene.new
    beside = {path.name for path in scene.out(place).parent.iterdir()}
    assert beside == {SOURCE, f".{SOURCE}.lock"}
    shutil.rmtree(place)
    return found == scene.new


def killed_before(scene: Scene, place: Path, launcher: Launcher, number: int) -> tuple[Run, bool]:
    scene.copy(place)
    run = launcher.run(
        scene.stage, scene.arguments(place), inline=True, below=str(place), die_before=number
    )
    return run, check(scene, place, launcher, inline=True)


def changes(scene: Scene, place: Path, launcher: Launcher) -> int:
    """Return how many changes to the disk the whole run makes."""
    scene.copy(place)
    run = launcher.run(scene.stage, scene.arguments(place), inline=True, below=str(place))
    assert run.code == 0, run.said
    assert run.points > 20
    shutil.rmtree(place)
    return run.points


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", ["shards-first", "shards-again", "texts-again"])
def test_a_run_killed_before_one_of_its_changes(scenes, launcher, tmp_path, name):
    scene = scenes[name]
    number = changes(scene, tmp_path / "x", launcher)
    chance = random.Random(name)
    for point in (chance.randrange(1, number), number - chance.randrange(1, 12)):
        run, _ = killed_before(scene, tmp_path / "x", launcher, point)
        assert run.code == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("stage", ["shards", "texts"])
@pytest.mark.parametrize("kind", ["first", "again"])
def test_a_run_killed_before_every_one_of_its_changes(scenes, launcher, tmp_path, stage, kind):
    scene = scenes[f"{stage}-{kind}"]
    number = changes(scene, tmp_path / "x", launcher)
    runs = [killed_before(scene, tmp_path / "x", launcher, n + 1) for n in range(number)]
    killed = sum(run.code == -signal.SIGKILL for run, _ in runs)
    published = sum(new for _, new in runs)
    print(f"\n{stage} {kind}: {killed} points, {published} of them after the publishing")
    assert killed > number - 5  # another thread's log line may come at another place
    assert 0 < published < number / 2


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("kind", ["first", "again"])
def test_a_scan_killed_before_many_of_its_changes(scenes, launcher, tmp_path, kind):
    scene = scenes[f"scan-{kind}"]
    number = changes(scene, tmp_path / "x", launcher)
    for point in range(1, number + 1, max(1, number // 30)):
        killed_before(scene, tmp_path / "x", launcher, point)


def test_a_scan_killed_after_it_published_leaves_nothing_for_ever(scenes, launcher, tmp_path):
    scene = scenes["scan-again"]
    scene.copy(tmp_path / "x")
    done = launcher.run(scene.stage, scene.arguments(tmp_path / "x"), inline=True)
    assert done.code == 0, done.said
    left = scene.out(tmp_path / "x").with_name(f".{SOURCE}.staging")
    left.mkdir()  # the old output, which the run had no time to remove
    (left / "inventory.json").touch()
    assert check(scene, tmp_path / "x", launcher, inline=True)


def seconds(scene: Scene, place: Path, launcher: Launcher) -> float:
    """Return how long a run takes."""
    scene.copy(place)
    run = launcher.run(scene.stage, scene.arguments(place))
    taken = time.monotonic() - run.started
    assert run.code == 0, run.said
    shutil.rmtree(place)
    return taken


def killed_at(scene: Scene, place: Path, launcher: Launcher, moment: float) -> tuple[int, bool]:
    scene.copy(place)
    run = launcher.start(scene.stage, scene.arguments(place))
    run.kill(after=moment)
    run.end()
    # its workers end with it, but may write for a moment more
    return run.code, check(scene, place, launcher, inline=False)


def test_a_run_with_workers_killed_halfway(scenes, launcher, tmp_path):
    scene = scenes["shards-again"]
    taken = seconds(scene, tmp_path / "x", launcher)
    ends = [killed_at(scene, tmp_path / "x", launcher, taken / part) for part in (2, 3)]
    while (-signal.SIGKILL, False) not in ends and taken > 0.01:
        taken /= 2  # a run may take half the time of the one before, or less
        ends.append(killed_at(scene, tmp_path / "x", launcher, taken / 3))
    assert (-signal.SIGKILL, False) in ends


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_runs_with_workers_killed_at_a_hundred_moments(scenes, launcher, tmp_path):
    names = ("shards-first", "shards-again", "texts-first", "texts-again")
    killed = [moments_survived(scenes[name], tmp_path / "x", launcher) for name in names]
    print(f"\n{sum(killed)} runs with workers killed")
    assert sum(killed) >= LEAST


def moments_survived(scene: Scene, place: Path, launcher: Launcher) -> int:
    """Kill runs at moments spread over their duration; return how many were killed in time."""
    taken = seconds(scene, place, launcher)
    killed = 0
    for number in range(LEAST):
        moment = taken * (number * 0.618 % 1)  # the golden section: evenly spread however many
        code, _ = killed_at(scene, place, launcher, moment)
        killed += code == -signal.SIGKILL
        taken = taken if code else moment  # it was over by then: this machine is quicker now
        if killed == LEAST // 4 + 5:
            break
    return killed


def worker_killed(scene: Scene, place: Path, launcher: Launcher, moment: float) -> Run:
    """Kill one worker, the first that is found after a moment."""
    scene.copy(place)
    run = launcher.start(scene.stage, scene.arguments(place))
    time.sleep(moment)
    end = time.monotonic() + 5
    while not launcher.workers() and time.monotonic() < end and _runs(run.pid):
        time.sleep(0.001)
    for worker in launcher.workers()[:1]:
        os.kill(worker, signal.SIGKILL)
    run.end()
    assert run.code in (0, 65), run.said
    assert run.code == 0 or "error: worker.killed" in run.said
    assert "Traceback" not in run.said
    check(scene, place, launcher, inline=False)
    return run


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_killed_worker_ends_the_run_and_leaves_the_old_set(scenes, launcher, tmp_path):
    worker_killed(scenes["shards-again"], tmp_path / "x", launcher, 0.0)


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_workers_killed_at_many_moments(scenes, launcher, tmp_path):
    codes = []
    for name in ("shards-first", "texts-first"):
        taken = seconds(scenes[name], tmp_path / "x", launcher)
        for number in range(20):
            moment = taken * number / 20
            codes.append(worker_killed(scenes[name], tmp_path / "x", launcher, moment).code)
    print(f"\n{codes.count(65)} runs ended by a killed worker, {codes.count(0)} not disturbed")
    assert codes.count(65) >= 3


class NoWorkers:
    """A pool whose tasks no worker has any more."""

    def __init__(self, active: bool) -> None:
        self.active = active

    def schedule(self, *_: object, **__: object) -> Future:
        return Future()


@pytest.mark.parametrize("active", [True, False])
def test_a_part_lost_with_its_worker_ends_the_run(monkeypatch, active):
    """Observed: a worker was killed between taking a part from the queue and reporting it."""
    monkeypatch.setattr(pool, "IDLE_TIMEOUT", 1.0)
    calls = pool.Pool([str, str], 2, (), "run again")
    with pytest.raises(DataError, match=r"worker\.killed"):
        list(calls._results(NoWorkers(active)))
