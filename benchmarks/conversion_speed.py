"""From the command line to finished shards: what a picture costs, beside the bare least.

    python benchmarks/conversion_speed.py [--seconds 2.5] [--repeats 1] [--kinds raw,JPEG]
    python benchmarks/conversion_speed.py --workers        two workers against one, quiet machine

For every kind of file a tree in a collection's layout is made whose pictures all are the
benchmark's films (films.py); scan and texts run unmeasured, then `cxr-vlp shards` is
run as a user would. What it takes beyond a run over a few thumbnails is what pictures cost in CPU
time: reading, checking the digest, decoding, the sample, the tar, syncing. The run over the
thumbnails is the command's start, a row of its own. Beside it the bare way (floors.py) over the
same files, in turns.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import io
import itertools
import math
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / ".src"))

import cv2
import films
import floors
import rounds
import yaml

from cxr_vlp.pipelines.synthetic.layouts import chexpert, mimic, nih

ROOT = Path(__file__).resolve().parents[1]
PAST = 1_600_000_000
PACKAGES = ("apache-beam", "imagecodecs", "numpy", "opencv-python-headless", "pydicom")
WRITERS = {"mimic": mimic, "chexpert": chexpert, "nih": nih}
SUFFIX = {"mimic": ".dcm", "chexpert": ".jpg", "nih": ".png"}
PARTS = {"train": 4, "validate": 1, "test": 1}
FEW = 10  # studies of the tree of thumbnails
MOST = 1200  # studies of any other

cv2.setNumThreads(1)


@dataclass(frozen=True)
class Tree:
    """A raw tree whose pictures are films of one kind, with its inventory and texts."""

    source: str
    raw: Path
    work: Path
    pictures: int

    def stage(self, name: str, *more: str) -> tuple[float, float]:
        """Run a stage's command; return its (CPU seconds, wall seconds)."""
        folders = {"scan": (), "texts": ("scan",), "shards": ("scan", "texts")}[name]
        command = [sys.executable, "-m", f"cxr_vlp.pipelines.{name}", self.source]
        command += ["--root", str(self.raw), "--params", str(self.work / "params.yaml")]
        for folder in folders:
            command += [f"--{folder}", str(self.work / folder)]
        if "--out" not in more:
            command += ["--out", str(self.work / name)]
        before, start = rounds.cpu(), rounds.WALL()
        done = subprocess.run([*command, *more], cwd=ROOT, capture_output=True, check=False)
        reap()
        if done.returncode:
            raise SystemExit(f"error: {name} ended with {done.returncode}\n{done.stderr.decode()}")
        return rounds.cpu() - before, rounds.WALL() - start

    def convert(self, workers: int = 1) -> tuple[float, float]:
        """Build the shards from nothing; return (CPU seconds, wall seconds)."""
        with tempfile.TemporaryDirectory(dir=self.work) as fresh:
            state, out = str(Path(fresh) / "state"), str(Path(fresh) / "out")
            # what scan remembers, as in a project's .cxr, without any receipt of shards
            shutil.copytree(self.work / "state" / "scan", Path(fresh) / "state" / "scan")
            return self.stage("shards", "--state", state, "--out", out, "--workers", str(workers))


def main() -> int:
    """Measure, print a table, write it below benchmarks/results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.5, help="of pictures a run (2.5)")
    parser.add_argument("--repeats", type=int, default=1, help="runs of each (default: 1)")
    parser.add_argument("--kinds", default="", help="words of the kinds' names, by comma")
    parser.add_argument("--workers", action="store_true", help="two workers against one, raw DICOM")
    parser.add_argument("--shared", type=Path, default=films.SHARED, help="folder of real films")
    flags = parser.parse_args()
    adopt()
    words = flags.kinds.split(",") if flags.kinds else [""]
    rows: list[rounds.Row] = []
    with tempfile.TemporaryDirectory() as folder:
        made = films.write(Path(folder) / "films", 2, flags.shared)
        chosen = {k: v for k, v in made.items() if any(word in k for word in words)}
        if flags.workers:
            rows += two_workers(Path(folder), made["raw DICOM"], flags.repeats)
        else:
            sources = dict.fromkeys(source_of(kind) for kind in chosen)
            begin = {name: starts(Path(folder), name, flags.repeats) for name in sources}
            rows += [row for found in begin.values() for row in found]
            for kind, files in chosen.items():
                start = begin[source_of(kind)][0].ms / 1000
                rows += one_kind(Path(folder), kind, files, start, flags.seconds, flags.repeats)
    name = "conversion_workers" if flags.workers else "conversion_speed"
    note = "a picture, CPU time; ratios to the bare way over the same files"
    rounds.publish(name, rows, packages=PACKAGES, note="wall time" if flags.workers else note)
    return 0


def one_kind(
    folder: Path, kind: str, files: list[films.File], start: float, seconds: float, repeats: int
) -> list[rounds.Row]:
    """Return the rows of one kind of file, where the command's start takes `start` seconds."""
    way, paths = floors.BEST[kind], [file.path for file in files]
    wanted = min(MOST, math.ceil(seconds / bare_seconds(way, paths)))
    times: dict[str, list[float]] = {"bare": [], "conversion": []}
    with tree(folder, source_of(kind), wanted, files) as many:
        for _ in range(repeats):
            times["bare"].append(bare_seconds(way, paths, max(4, many.pictures // 4)))
            times["conversion"].append((many.convert()[0] - start) / many.pictures)
    group = f"{kind}, {many.pictures} pictures"
    return rounds.compare(group, times, to="bare", bounds={"conversion": (None, 1.3)})


def starts(folder: Path, source: str, repeats: int) -> list[rounds.Row]:
    """Return what the command takes with next to nothing to do."""
    with tree(folder, source, FEW) as few:
        times = {source: [few.convert()[0] for _ in range(repeats)]}
    return rounds.compare("the command's start", times, to=source)


def two_workers(folder: Path, files: list[films.File], repeats: int) -> list[rounds.Row]:
    """Return wall time of one worker against two, over what is beyond the command's start."""
    times: dict[str, list[float]] = {"two workers": [], "one worker": []}
    with tree(folder, "mimic", FEW) as few, tree(folder, "mimic", 400, files) as many:
        for _ in range(repeats):
            for name, workers in (("two workers", 2), ("one worker", 1)):
                times[name].append(many.convert(workers)[1] - few.convert(workers)[1])
    load = rounds.machine()["load_1min"]
    group = f"raw DICOM, {many.pictures} pictures, wall; load {load}"
    bounds = {"one worker": (1.8, None)}
    return rounds.compare(group, times, to="two workers", items=many.pictures, bounds=bounds)


def adopt() -> None:
    """Make this process the parent of what its children leave behind (prctl(2), Linux).

    The workers are a fork server's children: only who waits for that learns their CPU time.
    """
    child_subreaper = 36
    ctypes.CDLL(None).prctl(child_subreaper, 1, 0, 0, 0)


def reap() -> None:
    """Wait for every child."""
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)


def source_of(kind: str) -> str:
    """Return the collection that holds this kind."""
    return "mimic" if kind.endswith("DICOM") else "nih" if kind.startswith("PNG") else "chexpert"


def bare_seconds(way: floors.Way, paths: list[Path], times: int = 4) -> float:
    """Return the CPU seconds that the bare way takes a picture."""
    start = rounds.cpu()
    for place in range(times):
        way(paths[place % len(paths)])
    return (rounds.cpu() - start) / times


@contextlib.contextmanager
def tree(
    folder: Path, source: str, pictures: int, files: Sequence[films.File] = ()
) -> Iterator[Tree]:
    """Make a tree of `pictures` and some, hard links to `files`; thumbnails without any."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        work = Path(place)
        with contextlib.redirect_stdout(io.StringIO()):
            WRITERS[source].write(work, studies=pictures, seed=0, height=64)
        raw = work / source
        for sums in raw.rglob("SHA256SUMS*"):
            sums.unlink()  # they are of the pictures that go
        found = sorted(raw.rglob(f"*{SUFFIX[source]}"))
        for path, file in zip(found, itertools.cycle(files)):
            path.unlink()
            path.hardlink_to(file.path)
            os.utime(path, (PAST, PAST))  # a file as young as the clock's tick is hashed again
        settings = {"sources": {source: {"parts": PARTS}}, "shards": {"side": 512}}
        (work / "params.yaml").write_text(yaml.safe_dump(settings))
        laid = Tree(source, raw, work, len(found))
        for stage in ("scan", "texts"):
            laid.stage(stage, "--state", str(work / "state"))
        yield laid


if __name__ == "__main__":
    raise SystemExit(main())
