"""Ctrl-C and SIGTERM: every command prints that it was stopped, and no process is left.

Real commands run in their own sessions and are slowed down at every file they open. They get real
signals: sent to the whole group, as a terminal does, or to the command alone, as `kill` and DVC do.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from launching import ROOT
from processes import PATIENCE
from stages import build, params, tree_bytes

# every process of a run, also a worker, opens files slowly
SLOW = """
import os, pathlib, time
opened = pathlib.Path.open
slow = {".tar", ".dcm", ".txt", ".jsonl", ".jpg", ".csv", ".gz"}
def slowly(self, *arguments, **options):
    # not what Python opens of the installed packages, some hundred entry_points.txt
    if self.suffix in slow and "site-packages" not in self.parts:
        with open(os.environ["OPENED"], "a") as log:
            log.write(str(self) + "\\n")
        time.sleep(0.2)
    return opened(self, *arguments, **options)
pathlib.Path.open = slowly
"""


@pytest.fixture(scope="module")
def done(raw, tmp_path_factory) -> Path:
    """A finished build, and the parameters it was made with."""
    folder = tmp_path_factory.mktemp("done")
    build(raw / "mimic", "mimic", folder)
    return folder


def command(name: str, done: Path, raw: Path, out: Path) -> list[str]:
    """Return a command line with much work."""
    common = ["--root", str(raw / "mimic"), "--params", str(params(out)), "--state", str(out / "s")]
    scan, texts = ["--scan", str(done / "scan/mimic")], ["--texts", str(done / "texts/mimic")]
    where = ["--out", str(out / "out")]
    return {
        "scan": ["mimic", *common, *where],
        "texts": ["mimic", *common, *scan, *where, "--workers", "2"],
        "shards": ["mimic", *common, *scan, *texts, *where, "--workers", "2"],
        "plan": ["mimic", *common, *scan],
        "verify": [str(done / "shards"), "--deep", "--workers", "2"],
        "synthetic": [*where, "--studies", "400", "--height", "64", "--workers", "2"],
    }[name]


class Started:
    """A command that runs, in a session of its own."""

    def __init__(
        self, name: str, arguments: list[str], folder: Path, *, ignoring: bool = False
    ) -> None:
        (folder / "slow").mkdir(parents=True, exist_ok=True)
        (folder / "slow/sitecustomize.py").write_text(SLOW)
        self.opened = folder / "opened.log"
        path = os.pathsep.join((str(folder / "slow"), str(ROOT / ".src")))
        # the tests themselves may have been started with `&`, and SIGINT be ignored
        handler = signal.SIG_IGN if ignoring else signal.SIG_DFL
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cxr_vlp.cli", name, *arguments],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=folder,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, handler),
            env={**os.environ, "PYTHONPATH": path, "OPENED": str(self.opened)},
        )  # fmt: skip

    def opens(self) -> int:
        """Return how many files it has opened so far."""
        return self.opened.read_text().count("\n") if self.opened.exists() else 0

    def until(self, true: Callable[[], bool]) -> None:
        """Wait until the condition is true."""
        end = time.monotonic() + PATIENCE
        while not true():
            assert self.process.poll() is None, self.process.communicate()[1]
            assert time.monotonic() < end, "timed out"
            time.sleep(0.01)

    def members(self) -> set[int]:
        """Return the processes of its session, without zombies."""
        found = set()
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                state, _, _, session = path.read_text().rpartition(")")[2].split()[:4]
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(session) == self.process.pid and state != "Z":
                found.add(int(path.parent.name))
        return found

    def stop(self, number: int, whole_group: bool) -> tuple[int, str]:
        """Send the signal; return the exit code and the output."""
        send = os.killpg if whole_group else os.kill
        send(self.process.pid, number)
        said = self.process.communicate(timeout=PATIENCE)[1]
        end = time.monotonic() + PATIENCE
        while self.members():
            assert time.monotonic() < end, "a process is left"
            time.sleep(0.05)
        return self.process.returncode, said


def check_stopped(code: int, said: str, number: int) -> None:
    """Check the exit code and the output of a stopped command."""
    lines = [line for line in said.splitlines() if line.strip() and ": making " not in line]
    assert code == 128 + number, said
    assert [line for line in lines if line.startswith("stopped: ")] == lines, said


NAMES = ("scan", "texts", "shards", "verify", "plan", "synthetic")
WAYS = {
    "int-all": (signal.SIGINT, True),
    "int": (signal.SIGINT, False),
    "term-all": (signal.SIGTERM, True),
    "term": (signal.SIGTERM, False),
}
FEW = {("scan", "int-all"), ("shards", "int"), ("texts", "term"), ("synthetic", "int-all")}
CASES = [
    pytest.param(
        name, *WAYS[way], id=f"{name}-{way}",
        marks=() if (name, way) in FEW else pytest.mark.slow,
    )
    for name in NAMES
    for way in WAYS
]  # fmt: skip


@pytest.mark.sampled(3)
@pytest.mark.parametrize(("name", "number", "whole_group"), CASES)
def test_a_stopped_command_prints_that_it_was_stopped(
    done, raw, tmp_path, name, number, whole_group
):
    started = Started(name, command(name, done, raw, tmp_path), tmp_path)
    wanted = 3 if name == "verify" else 12
    started.until(lambda: started.opens() > wanted)
    check_stopped(*started.stop(number, whole_group), number)
    assert not (tmp_path / "out/inventory.json").exists()


def test_a_command_stopped_during_import_prints_that_it_was_stopped(done, raw, tmp_path):
    for moment in (0.1, 0.5):
        folder = tmp_path / str(moment)
        started = Started("shards", command("shards", done, raw, folder), folder)
        maps = Path(f"/proc/{started.process.pid}/maps")
        started.until(lambda: "numpy" in maps.read_text())  # noqa: B023 - called before it changes
        time.sleep(moment)
        check_stopped(*started.stop(signal.SIGINT, True), signal.SIGINT)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["scan", "texts", "shards"])
def test_the_next_run_completes_a_stopped_run(done, raw, tmp_path, name):
    arguments = command(name, done, raw, tmp_path)
    started = Started(name, arguments, tmp_path)
    started.until(lambda: started.opens() > 12)
    check_stopped(*started.stop(signal.SIGINT, True), signal.SIGINT)
    again = subprocess.run(
        [sys.executable, "-m", "cxr_vlp.cli", name, *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert again.returncode == 0, again.stderr
    assert tree_bytes(tmp_path / "out") == tree_bytes(done / name / "mimic")
    beside = {path.name for path in tmp_path.iterdir() if path.name.startswith(".")}
    assert beside == {".out.lock"}


@pytest.mark.slow
def test_a_signal_that_is_ignored_at_the_start_stays_ignored(done, raw, tmp_path):
    """As by `nohup`, or `&` in a script: Ctrl-C at the terminal does not stop such a run."""
    started = Started("plan", command("plan", done, raw, tmp_path), tmp_path, ignoring=True)
    started.until(lambda: started.opens() > 0)
    os.killpg(started.process.pid, signal.SIGINT)
    assert started.process.wait(PATIENCE) == 0
