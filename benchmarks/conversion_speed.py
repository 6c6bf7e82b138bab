"""Measures the whole `cxr-vlp shards` command against a minimal conversion of the same files.

    python benchmarks/conversion_speed.py [--seconds 2.5] [--repeats 1] [--kinds raw,JPEG]
    python benchmarks/conversion_speed.py --workers        two workers against one, quiet machine

For every kind of file a tree in a collection's layout is made from the images of
benchmark_images.py. scan and texts run unmeasured, then `cxr-vlp shards` runs as a user would run
it. Its CPU time minus that of a run over a few thumbnails is the cost of the images: reading,
checking the digest, decoding, the sample, the tar, syncing. The run over the thumbnails is the
start-up of the command, a row of its own. The minimal conversion (minimal_conversion.py) runs in
turns with it. The figures are ratios to the minimal conversion.
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

import benchmark_images
import cv2
import minimal_conversion
import timing
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
    """A raw tree whose images are files of one kind, with its scan and texts."""

    source: str
    raw: Path
    work: Path
    images: int

    def stage(self, name: str, *more: str) -> tuple[float, float]:
        """Run a stage's command; return its (CPU seconds, wall seconds)."""
        folders = {"scan": (), "texts": ("scan",), "shards": ("scan", "texts")}[name]
        command = [sys.executable, "-m", f"cxr_vlp.pipelines.{name}", self.source]
        command += ["--root", str(self.raw), "--params", str(self.work / "params.yaml")]
        for folder in folders:
            command += [f"--{folder}", str(self.work / folder)]
        if "--out" not in more:
            command += ["--out", str(self.work / name)]
        before, start = timing.cpu(), timing.WALL()
        done = subprocess.run([*command, *more], cwd=ROOT, capture_output=True, check=False)
        reap()
        if done.returncode:
            raise SystemExit(f"error: {name} ended with {done.returncode}\n{done.stderr.decode()}")
        return timing.cpu() - before, timing.WALL() - start

    def convert(self, workers: int = 1) -> tuple[float, float]:
        """Build the shards from nothing; return (CPU seconds, wall seconds)."""
        with tempfile.TemporaryDirectory(dir=self.work) as fresh:
            state, out = str(Path(fresh) / "state"), str(Path(fresh) / "out")
            # the cache of scan, as in a project's .cxr, without any entry of shards
            shutil.copytree(self.work / "state" / "scan", Path(fresh) / "state" / "scan")
            return self.stage("shards", "--state", state, "--out", out, "--workers", str(workers))


def main() -> int:
    """Measure, print a table, write it below benchmarks/results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--seconds", type=float, default=2.5, help="about how long a run should take (2.5)"
    )
    parser.add_argument("--repeats", type=int, default=1, help="runs of each (default: 1)")
    parser.add_argument(
        "--kinds", default="", help="parts of the names of kinds, separated by commas"
    )
    parser.add_argument("--workers", action="store_true", help="two workers against one, raw DICOM")
    shared = benchmark_images.SHARED
    parser.add_argument("--shared", type=Path, default=shared, help="folder of real images")
    flags = parser.parse_args()
    adopt()
    words = flags.kinds.split(",") if flags.kinds else [""]
    rows: list[timing.Row] = []
    with tempfile.TemporaryDirectory() as folder:
        made = benchmark_images.write(Path(folder) / "images", 2, flags.shared)
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
    note = "CPU time an image; ratios to the minimal conversion of the same files"
    timing.publish(name, rows, packages=PACKAGES, note="wall time" if flags.workers else note)
    return 0


def one_kind(
    folder: Path,
    kind: str,
    files: list[benchmark_images.File],
    start: float,
    seconds: float,
    repeats: int,
) -> list[timing.Row]:
    """Return the rows of one kind of file, where the command's start takes `start` seconds."""
    way, paths = minimal_conversion.WAYS[kind], [file.path for file in files]
    wanted = min(MOST, math.ceil(seconds / minimal_seconds(way, paths)))
    times: dict[str, list[float]] = {"minimal": [], "conversion": []}
    with tree(folder, source_of(kind), wanted, files) as many:
        for _ in range(repeats):
            times["minimal"].append(minimal_seconds(way, paths, max(4, many.images // 4)))
            times["conversion"].append((many.convert()[0] - start) / many.images)
    group = f"{kind}, {many.images} images"
    return timing.compare(group, times, to="minimal", bounds={"conversion": (None, 1.3)})


def starts(folder: Path, source: str, repeats: int) -> list[timing.Row]:
    """Return the start-up time of the command, measured with a few thumbnails."""
    with tree(folder, source, FEW) as few:
        times = {source: [few.convert()[0] for _ in range(repeats)]}
    return timing.compare("start-up of the command", times, to=source)


def two_workers(folder: Path, files: list[benchmark_images.File], repeats: int) -> list[timing.Row]:
    """Return the wall time of one worker against two, each without the start-up."""
    times: dict[str, list[float]] = {"two workers": [], "one worker": []}
    with tree(folder, "mimic", FEW) as few, tree(folder, "mimic", 400, files) as many:
        for _ in range(repeats):
            for name, workers in (("two workers", 2), ("one worker", 1)):
                times[name].append(many.convert(workers)[1] - few.convert(workers)[1])
    load = timing.machine()["load_1min"]
    group = f"raw DICOM, {many.images} images, wall; load {load}"
    bounds = {"one worker": (1.8, None)}
    return timing.compare(group, times, to="two workers", items=many.images, bounds=bounds)


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


def minimal_seconds(way: minimal_conversion.Way, paths: list[Path], times: int = 4) -> float:
    """Return the CPU seconds that the minimal conversion takes for an image."""
    start = timing.cpu()
    for place in range(times):
        way(paths[place % len(paths)])
    return (timing.cpu() - start) / times


@contextlib.contextmanager
def tree(
    folder: Path, source: str, images: int, files: Sequence[benchmark_images.File] = ()
) -> Iterator[Tree]:
    """Make a tree of at least `images` images, links to `files`, or thumbnails."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        work = Path(place)
        with contextlib.redirect_stdout(io.StringIO()):
            WRITERS[source].write(work, studies=images, seed=0, height=96)
        raw = work / source
        for sums in raw.rglob("SHA256SUMS*"):
            sums.unlink()  # they belong to the images that are replaced
        found = sorted(raw.rglob(f"*{SUFFIX[source]}"))
        for path, file in zip(found, itertools.cycle(files)):
            path.unlink()
            path.hardlink_to(file.path)
            os.utime(path, (PAST, PAST))  # a file that was written just now would be hashed again
        settings = {"sources": {source: {"parts": PARTS}}, "shards": {"side": 512}}
        (work / "params.yaml").write_text(yaml.safe_dump(settings))
        laid = Tree(source, raw, work, len(found))
        for stage in ("scan", "texts"):
            laid.stage(stage, "--state", str(work / "state"))
        yield laid


if __name__ == "__main__":
    raise SystemExit(main())
