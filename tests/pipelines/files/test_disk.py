"""Full, read-only or separate disks, and an output that another run is writing.

They use real file systems that only one launcher sees (`unshare -rm`); nothing of them is left.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from launching import ROOT, Launcher
from processes import until
from scenes import SOURCE, Scene
from stages import tree_bytes

# $1 is a folder: disk/ is 1 MB, readonly/ shows writable/, joined/ has lower/ beneath it
MOUNTS = """
mount -t tmpfs -o size=1m tmpfs "$1/disk" &&
mount --bind "$1/writable" "$1/readonly" && mount -o remount,ro,bind "$1/readonly" &&
mount -t tmpfs tmpfs "$1/layers" && mkdir "$1/layers/upper" "$1/layers/work" &&
mount -t overlay -o "lowerdir=$1/lower,upperdir=$1/layers/upper,workdir=$1/layers/work" \
    overlay "$1/joined" || exit 1
shift
exec "$@"
"""
FOLDERS = ("disk", "writable", "readonly", "layers", "lower", "joined")


@pytest.fixture(scope="module")
def mounted(tmp_path_factory, scenes) -> Iterator[tuple[Launcher, Path]]:
    """A launcher, and the folder with its mounts; see MOUNTS."""
    folder = tmp_path_factory.mktemp("mounted")
    for name in FOLDERS:
        (folder / name).mkdir()
    old = scenes["shards-again"]
    shutil.copytree(old.out(old.folder), folder / "lower" / SOURCE)
    shutil.copytree(old.out(old.folder), folder / "writable" / SOURCE)
    wrapped = ["unshare", "-rm", "sh", "-c", MOUNTS, "sh", str(folder)]
    if subprocess.run([*wrapped, "true"], capture_output=True, check=False).returncode:
        pytest.skip("mounting is not allowed here: unshare -rm, tmpfs and overlay are wanted")
    launcher = Launcher(tmp_path_factory.mktemp("launcher-mounted"), wrapped)
    yield launcher, folder
    launcher.close()


def seen_by(launcher: Launcher, path: Path) -> Path:
    return launcher.root / path.relative_to("/")


def full_but_for(disk: Path, size: int) -> None:
    """Fill a disk except for some bytes."""
    with (disk / "ballast").open("wb", buffering=0) as ballast:
        room = os.statvfs(disk)
        ballast.write(bytes(max(0, room.f_bavail * room.f_frsize - size)))


def some(*often: object, seldom: Sequence[object]) -> list:
    """Return the cases of a test; those that the default run leaves out are marked slow."""
    return [*often, *(pytest.param(*_tuple(case), marks=pytest.mark.slow) for case in seldom)]


def _tuple(case: object) -> tuple:
    return case if isinstance(case, tuple) else (case,)


FULL = some(
    ("shards-again", 0), ("shards-again", 40_000), ("texts-again", 30_000),
    seldom=[
        ("shards-first", 40_000), ("texts-again", 0), ("scan-again", 0), ("scan-again", 12_000),
    ],
)  # fmt: skip


@pytest.mark.sampled(3)
@pytest.mark.parametrize(("name", "room"), FULL)
def test_a_full_disk(mounted, scenes, tmp_path, name, room):
    launcher, folder = mounted
    scene = scenes[name]
    place, disk = scene.copy(tmp_path / "x"), seen_by(launcher, folder / "disk")
    out = folder / "disk" / SOURCE
    if scene.old:
        shutil.copytree(scene.out(place), disk / SOURCE)
    full_but_for(disk, room)
    try:
        run = launcher.run(scene.stage, scene.arguments(place, out))
        assert run.code == 74, run.said
        assert run.said.splitlines()[-1].startswith("error: No space left on device")
        # Beam's threads print what they stop at, so scan's answer is the last line and not the only
        assert ("Traceback" in run.said) <= (scene.stage == "scan")
        assert tree_bytes(disk / SOURCE) == scene.old
        (disk / "ballast").unlink()
        run = launcher.run(scene.stage, scene.arguments(place, out))
        assert run.code == 0, run.said
        assert tree_bytes(disk / SOURCE) == scene.new
    finally:
        for path in disk.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()


@pytest.mark.parametrize("name", some("shards-again", seldom=["texts-again"]))
def test_a_full_disk_below_the_state(mounted, scenes, tmp_path, name):
    launcher, folder = mounted
    scene = scenes[name]
    place, disk = scene.copy(tmp_path / "x"), seen_by(launcher, folder / "disk")
    arguments = [*scene.arguments(place), "--state", str(folder / "disk")]
    full_but_for(disk, 0)
    try:
        run = launcher.run(scene.stage, arguments)
        assert run.code == 74, run.said
        assert "error: No space left on device (" in run.said
        assert tree_bytes(scene.out(place)) == scene.old
        (disk / "ballast").unlink()
        assert launcher.run(scene.stage, arguments).code == 0
        assert tree_bytes(scene.out(place)) == scene.new
    finally:
        for path in disk.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()


@pytest.mark.parametrize("stage", some("texts", seldom=["scan", "shards"]))
def test_a_file_above_the_size_limit_of_the_process(launcher, scenes, tmp_path, stage):
    scene = scenes[f"{stage}-again"]
    place = scene.copy(tmp_path / "x")
    run = launcher.run(stage, scene.arguments(place), inline=True, file_limit=900)
    assert run.code == 74, run.said
    assert "error: File too large" in run.said
    assert "Traceback" not in run.said
    assert tree_bytes(scene.out(place)) == scene.old
    assert launcher.run(stage, scene.arguments(place)).code == 0
    assert tree_bytes(scene.out(place)) == scene.new


def test_a_read_only_output(mounted, scenes, tmp_path):
    launcher, folder = mounted
    scene = scenes["shards-again"]
    place = scene.copy(tmp_path / "x")
    run = launcher.run("shards", scene.arguments(place, folder / "readonly" / SOURCE))
    assert run.code == 74, run.said
    assert "error: Read-only file system (" in run.said
    assert tree_bytes(folder / "writable" / SOURCE) == scene.old
    run = launcher.run("shards", scene.arguments(place, folder / "writable" / SOURCE))
    assert run.code == 0, run.said
    assert tree_bytes(folder / "writable" / SOURCE) == scene.new


def test_a_rename_from_one_file_system_to_another(mounted, scenes, tmp_path):
    """In an overlay, as containers have it, a folder of a lower layer cannot be renamed."""
    launcher, folder = mounted
    scene = scenes["shards-again"]
    place, out = scene.copy(tmp_path / "x"), folder / "joined" / SOURCE
    run = launcher.run("shards", scene.arguments(place, out))
    assert run.code == 74, run.said
    assert "error: Invalid cross-device link (" in run.said
    assert tree_bytes(seen_by(launcher, out)) == scene.old
    run = launcher.run("shards", scene.arguments(place, folder / "layers" / SOURCE))
    assert run.code == 0, run.said
    assert tree_bytes(seen_by(launcher, folder / "layers" / SOURCE)) == scene.new


@pytest.mark.parametrize("number", some(errno.EXDEV, seldom=[errno.EIO]))
def test_a_last_rename_that_fails(launcher, scenes, tmp_path, number):
    scene = scenes["shards-again"]
    place = scene.copy(tmp_path / "x")
    run = launcher.run("shards", scene.arguments(place), inline=True, swap_error=number)
    assert run.code == 74, run.said
    assert f"error: {os.strerror(number)} (" in run.said
    assert tree_bytes(scene.out(place)) == scene.old
    assert launcher.run("shards", scene.arguments(place), inline=True).code == 0
    assert tree_bytes(scene.out(place)) == scene.new


def test_an_output_that_is_a_mount_point_is_refused_before_the_work(mounted, scenes, tmp_path):
    launcher, folder = mounted
    scene = scenes["shards-first"]
    run = launcher.run("shards", scene.arguments(scene.copy(tmp_path / "x"), folder / "disk"))
    assert run.code == 2, run.said
    assert "is a mount point: give a folder below it" in run.said


def test_an_output_that_is_a_link_stays_a_link(launcher, scenes, tmp_path):
    scene = scenes["shards-again"]
    place = scene.copy(tmp_path / "x")
    disk = tmp_path / "large" / "set"
    shutil.move(scene.out(place), disk)
    scene.out(place).symlink_to(disk)
    assert launcher.run("shards", scene.arguments(place), inline=True).code == 0
    assert scene.out(place).readlink() == disk
    assert tree_bytes(disk) == scene.new
    assert {path.name for path in disk.parent.iterdir()} == {"set", ".set.lock"}


@pytest.mark.parametrize("stage", some("shards", seldom=["scan", "texts"]))
def test_a_second_run_names_the_process_that_locks_the_output(launcher, scenes, tmp_path, stage):
    scene: Scene = scenes[f"{stage}-again"]
    place = scene.copy(tmp_path / "x")
    first = launcher.start(
        stage, scene.arguments(place), inline=True, below=str(place), stop_before=10
    )
    try:
        _until_stopped(first.pid)
        second = _command(stage, scene.arguments(place))
        assert second.returncode == 75, second.stderr
        assert f"another run (process {first.pid}) is writing it" in second.stderr
    finally:
        first.kill(sign=signal.SIGCONT)
    assert first.end() == 0, first.said
    assert tree_bytes(scene.out(place)) == scene.new
    third = launcher.run(stage, scene.arguments(place), inline=True)
    assert third.code == 0, third.said


def _until_stopped(pid: int) -> None:
    status = Path(f"/proc/{pid}/stat")
    until(lambda: status.read_text().rpartition(")")[2].split()[0] == "T")


def _command(stage: str, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", f"cxr_vlp.pipelines.{stage}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
