"""The progress display of a run, on a terminal and in a log."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from launching import ROOT
from processes import PATIENCE
from stages import build, params, run_scan

from cxr_vlp.pipelines.executor import progress
from cxr_vlp.pipelines.executor.progress import Counts, Rate, State
from cxr_vlp.pipelines.executor.run_log import RunLog
from cxr_vlp.pipelines.stages import scan_study, scan_update

# rows are counted in batches, and are shown while the next batch is read
SLOW = """
import pathlib, time
from cxr_vlp.pipelines.files import spool
spool.BATCH = 4
opened = pathlib.Path.open
def slowly(self, *arguments, **options):
    if self.suffix in {".dcm", ".jpg", ".csv", ".gz"}:
        time.sleep(0.2 if self.suffix in {".dcm", ".jpg"} else 1)
    return opened(self, *arguments, **options)
pathlib.Path.open = slowly
"""


def on_a_terminal(command: list[str], folder: Path) -> str:
    """Return the output of a command on a terminal."""
    (folder / "sitecustomize.py").write_text(SLOW)
    ours, theirs = pty.openpty()
    path = os.pathsep.join((str(folder), str(ROOT / ".src")))
    environment = {**os.environ, "PYTHONPATH": path, "TERM": "xterm", "COLUMNS": "150"}
    run = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=theirs, env=environment, cwd=folder
    )
    os.close(theirs)
    shown = b""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if select.select([ours], [], [], 0.1)[0]:
            try:
                shown += os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
        elif run.poll() is not None:
            break
    os.close(ours)
    assert run.wait(PATIENCE) == 0, shown
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode(errors="replace"))


@pytest.mark.slow
def test_the_progress_of_a_scan_advances(raw, tmp_path):
    command = [
        sys.executable,
        "-m",
        "cxr_vlp.pipelines.scan",
        "mimic",
        "--root",
        str(raw / "mimic"),
    ]
    command += ["--out", str(tmp_path / "o"), "--state", str(tmp_path / "s")]
    shown = on_a_terminal([*command, "--params", str(params(tmp_path))], tmp_path)
    read = [tuple(map(int, found)) for found in re.findall(r"(\d+) of (\d+) images read", shown)]
    assert len({done for done, _ in read}) > 3
    assert [done for done, _ in read] == sorted(done for done, _ in read)
    assert len({total for _, total in read}) == 1
    assert all(0 < done <= total for done, total in read)
    assert "rows read" in shown
    assert re.search(r"images read, \d+ a (second|minute)", shown)


def test_scan_counts_the_files_it_reads(raw, tmp_path):
    progress.COUNTS.clear()
    build(raw / "nih", "nih", tmp_path)
    assert progress.COUNTS.of_scan() == State(14, 14, "images read")


def test_scan_counts_a_file_before_the_whole_element_is_read(raw, tmp_path, monkeypatch):
    counted = []
    read = scan_study.read_files

    def noted(*arguments):
        counted.append(progress.COUNTS.of_scan().done)
        return read(*arguments)

    monkeypatch.setattr(scan_study, "read_files", noted)
    common = ["--root", str(raw / "nih"), "--params", str(params(tmp_path)), "--workers", "1"]
    run_scan("nih", common, tmp_path)
    assert counted[1:] == list(range(1, 14))


def test_a_scan_shows_its_current_step():
    counts = Counts()
    assert counts.of_scan() == State(0, 0, "files seen")
    for name, number, unit in [("seen", 9, "files seen"), ("rows", 8, "rows read"),
                               ("studies", 7, "studies joined")]:  # fmt: skip
        counts.add(name, number)
        assert counts.of_scan() == State(number, 0, unit)
    counts.add("images", 20)
    counts.add("files", 5)
    assert counts.of_scan() == State(5, 20, "images read")


def test_rate_and_time_left_are_those_of_the_current_step():
    rate = Rate()
    rate.describe(State(1000, 0, "rows"), 0.0)
    assert rate.describe(State(3000, 0, "rows"), 10.0) == ("3,000 rows, 200 a second", 0.0)
    assert rate.describe(State(4, 100, "images"), 20.0) == ("4 of 100 images", 0.0)
    said, left = rate.describe(State(14, 100, "images", "9 kept"), 30.0)
    assert said == "14 of 100 images, 9 kept, 60 a minute"
    assert left == pytest.approx(86)


@pytest.mark.slow
def test_a_log_gets_progress_lines(raw, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(progress, "LOG_INTERVAL", 0.0)
    monkeypatch.setattr(progress, "POLL_INTERVAL", 0.02)
    written = threading.Event()
    write, scan = progress.LogLines.__call__, scan_update.full

    def noted(self, state):
        write(self, state)
        written.set()

    def awaited(*arguments):  # this scan may end before the first reading
        assert written.wait(PATIENCE)
        return scan(*arguments)

    monkeypatch.setattr(progress.LogLines, "__call__", noted)
    monkeypatch.setattr(scan_update, "full", awaited)
    build(raw / "mimic", "mimic", tmp_path)
    said = capsys.readouterr().err
    for stage in ("scan mimic", "texts", "shards"):
        assert re.search(rf"^{stage}: [\d,]+ ", said, re.MULTILINE), said
    monkeypatch.setattr(progress, "LOG_INTERVAL", 3600.0)
    build(raw / "mimic", "mimic", tmp_path / "again")
    assert capsys.readouterr().err == ""


def test_a_log_has_a_line_for_each_finished_part_and_counts_them(tmp_path):
    log = RunLog(tmp_path / "logs/shards-mimic.log", 2)
    log.add("one", {"how": "built", "decoded": 3, "copied": 4})
    assert log.state() == State(1, 2, "parts", "7 images")
    log.add("two", {})
    lines = log.path.read_text().splitlines()
    assert [line.split(maxsplit=1)[1] for line in lines] == [
        "one built decoded=3 copied=4 1/2", "two done decoded=0 copied=0 2/2",
    ]  # fmt: skip


def test_a_log_that_cannot_be_written_stops_the_run_with_that_error(tmp_path):
    (tmp_path / "log").mkdir()
    with pytest.raises(IsADirectoryError):
        RunLog(tmp_path / "log", 1).add("one", {})
