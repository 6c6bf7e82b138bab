"""Measures how scan, texts and shards grow with a collection: CPU time and peak memory.

    python benchmarks/growth_speed.py                        20 minutes on a quiet machine
    python benchmarks/growth_speed.py --rows 500 2000 --shards 500 2000

For each size a tree of tiny images and one table with a report a study is made, and the three
commands run over it, each as a process of its own. CPU seconds are user and system time of the
process and of all its descendants. Peak memory is read from /proc while the command runs: that of
the command's own process (the driver), and the largest of any other (a worker). A command over ten
rows gives the start-up; a slope is that of a line through the rest in log-log: 1.0 is linear.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import conversion_speed
import cv2
import numpy as np
import timing
import yaml
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
STAGES = ("scan", "texts", "shards")
FINDINGS = ("Pneumonia", "Nodule", "Edema", "Pneumothorax", "Cardiomegaly")
PLACES = ("left lower lobe", "right lower lobe", "left upper lobe", "right upper lobe", "lingula")
HEADER = f"image,patient_id,study_id,view,sex,age,{','.join(FINDINGS)},report\n"
START = 10  # rows of the tree that gives the start-up
PER_PART = 500  # images; the number of parts grows with the collection, as it does in use
PER_FOLDER = 500
PAUSE = 0.02  # seconds between two looks at /proc
LINEAR = 0.05  # how far a slope may be from 1


@dataclass(frozen=True)
class Run:
    """One command over one tree: CPU and wall seconds, peak memory in megabytes."""

    rows: int
    stage: str
    cpu: float
    wall: float
    driver: float
    worker: float  # the largest process beside the driver; 0: there was none


def make(root: Path, rows: int) -> Path:
    """Write a tree of `rows` images (64 x 64, all different), its table and params.yaml."""
    ramp = np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8)
    raw = root / "raw"
    raw.mkdir(parents=True)
    with (raw / "films.csv").open("w", encoding="utf-8") as table:
        table.write(HEADER)
        for number in range(rows):
            ramp[0, :4] = np.frombuffer(number.to_bytes(4, "big"), np.uint8)
            path = raw / f"images/{number // PER_FOLDER:04}/film{number:07}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(cv2.imencode(".png", ramp)[1].tobytes())
            os.utime(path, (conversion_speed.PAST, conversion_speed.PAST))
            table.write(row(path.name, number))
    parts = {"train": 0.7, "validate": 0.1, "test": 0.2}
    numbers = {split: max(1, round(rows * share / PER_PART)) for split, share in parts.items()}
    films = {"preset": "table", "root": str(raw), "parts": numbers}
    params = root / "params.yaml"
    params.write_text(yaml.safe_dump({"sources": {"films": films}, "shards": {"side": 64}}))
    return params


def row(name: str, number: int) -> str:
    """Return a line of the table: two images a study, two studies a patient."""
    study = number // 2
    labels = ",".join(str(int((study + k) % 7 == 0)) for k in range(len(FINDINGS)))
    size, place = 3 + study % 400, PLACES[study % len(PLACES)]
    report = (
        f"FINDINGS: There is a {size} mm nodule in the {place}. The heart is normal in size. "
        "No pleural effusion or pneumothorax. IMPRESSION: Pulmonary nodule. No acute process."
    )
    return f"{name},p{number // 4:06},s{study:07},PA,F,50,{labels},{report}\n"


def command(root: Path, stage: str, workers: int) -> list[str]:
    """Return the words of a stage over the tree in `root`."""
    words = [sys.executable, "-m", "cxr_vlp", stage, "films", "--params", str(root / "params.yaml")]
    words += ["--state", str(root / "state"), "--workers", str(workers)]
    for name in STAGES[: STAGES.index(stage)]:
        words += [f"--{name}", str(root / name)]
    return [*words, "--out", str(root / stage)]


def measure(root: Path, rows: int, stage: str, workers: int) -> Run:
    """Run one stage; return what it took. Ends the benchmark if it fails."""
    path = os.pathsep.join(filter(None, (str(ROOT / ".src"), os.environ.get("PYTHONPATH"))))
    with (root / f"{stage}.log").open("w+b") as log:
        before, begun = children(), time.monotonic()
        started = subprocess.Popen(
            command(root, stage, workers),
            cwd=root,
            env={**os.environ, "PYTHONPATH": path},
            stdout=log,
            stderr=log,
        )
        driver, worker = watch(started)
        wall = time.monotonic() - begun
        conversion_speed.reap()  # what the command left behind
        if started.returncode:
            log.seek(0)
            raise SystemExit(f"{stage} ended with {started.returncode}\n{log.read().decode()}")
    return Run(rows, stage, children() - before, wall, driver, worker)


def children() -> float:
    """Return the CPU seconds of all finished descendants."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def watch(started: subprocess.Popen[bytes]) -> tuple[float, float]:
    """Wait for a process; return its peak memory and the largest of its descendants', in MB."""
    driver = worker = 0.0
    while started.poll() is None:
        driver = max(driver, peak(started.pid))
        for pid in descendants(os.getpid()) - {started.pid}:
            worker = max(worker, peak(pid))
        time.sleep(PAUSE)
    return driver, worker


def peak(pid: int) -> float:
    """Return the peak memory of a process in megabytes, 0 if it is gone."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 1024
    return 0.0


def descendants(pid: int) -> set[int]:
    """Return the processes below a process: of this program, those it adopted too."""
    parents = dict(_parents())
    found, size = {pid}, 0
    while len(found) > size:
        size = len(found)
        found |= {child for child, parent in parents.items() if parent in found}
    return found - {pid}


def _parents() -> Iterator[tuple[int, int]]:
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):  # it has ended
                stat = (folder / "stat").read_text(encoding="utf-8", errors="replace")
                yield int(folder.name), int(stat.rpartition(")")[2].split()[1])


def growth(sizes: Sequence[int], shards: Sequence[int], workers: int) -> list[Run]:
    """Return the runs of every stage over every size; `shards` has the sizes of that stage."""
    runs = []
    for rows in sorted({START, *sizes, *shards}):
        wanted = STAGES if rows == START or rows in shards else STAGES[:2]
        with tempfile.TemporaryDirectory() as folder:
            make(Path(folder), rows)
            for stage in wanted:
                runs.append(measure(Path(folder), rows, stage, workers))
                sys.stderr.write(f"{runs[-1]}\n")
    return runs


def slope(runs: Sequence[Run], stage: str) -> float:
    """Return the slope of a stage's CPU time without its start-up, in log-log; nan: one size."""
    (start,) = (run.cpu for run in runs if run.stage == stage and run.rows == START)
    found = [(run.rows, run.cpu - start) for run in runs if run.stage == stage]
    points = [(rows, cpu) for rows, cpu in found if rows > START and cpu > 0]
    if len(points) < 2:
        return math.nan
    return float(np.polyfit(*np.log(np.array(points)).T, 1)[0])


def table(runs: Sequence[Run]) -> Table:
    """Return the table of the runs."""
    made = Table(box=None)
    for name in ("stage", "rows", "CPU s", "wall s", "ms a row", "driver MB", "worker MB"):
        made.add_column(name, justify="left" if name == "stage" else "right")
    starts = {run.stage: run.cpu for run in runs if run.rows == START}
    for run in sorted(runs, key=lambda run: (STAGES.index(run.stage), run.rows)):
        each = "" if run.rows == START else f"{1000 * (run.cpu - starts[run.stage]) / run.rows:.3f}"
        cells = (
            f"{run.cpu:.1f}",
            f"{run.wall:.1f}",
            each,
            f"{run.driver:.0f}",
            f"{run.worker:.0f}",
        )
        made.add_row(run.stage, f"{run.rows:,}", *cells)
    return made


def main() -> int:
    """Measure, print a table, write benchmarks/results/growth_speed.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[2_000, 20_000, 100_000])
    parser.add_argument("--shards", type=int, nargs="+", default=[2_000, 20_000])
    parser.add_argument("--workers", type=int, default=1)
    flags = parser.parse_args()
    conversion_speed.adopt()
    runs = growth(flags.rows, flags.shards, flags.workers)
    Console(width=110).print(table(runs))
    slopes = {stage: slope(runs, stage) for stage in STAGES}
    for stage, found in slopes.items():
        met = "linear" if abs(found - 1) <= LINEAR else f"not within 1 +- {LINEAR}"
        said = "no slope of one size" if math.isnan(found) else f"slope {found:.3f}, {met}"
        sys.stdout.write(f"{stage}: {said}\n")
    timing.RESULTS.mkdir(exist_ok=True)
    content = {
        "workers": flags.workers,
        "machine": timing.machine(),
        "slopes": {stage: None if math.isnan(found) else found for stage, found in slopes.items()},
        "runs": [asdict(run) for run in runs],
    }
    path = timing.RESULTS / "growth_speed.json"
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
