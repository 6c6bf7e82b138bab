"""File to encoded picture, ours beside the peers' ways and beside the bare least, in one run.

    python benchmarks/picture_speed.py [--seconds 8] [--films 2] [--shared DIR]

Every kind of file that collections hold, at the sizes of MIMIC-CXR, MIMIC-CXR-JPG, NIH and
CheXpert-small; short side 512, JPEG of quality 95 (CheXzero against ours: padded to 320). Reading
the file counts, and so does every check that ours makes. Figures are ratios to ours: a peer's 10
means that it takes ten times as long.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / ".src"))

import cv2
import films
import floors
import peers
import rounds

from cxr_vlp.pipelines.config import Shards
from cxr_vlp.pipelines.imaging import encode

PACKAGES = ("imagecodecs", "numpy", "opencv-python-headless", "pillow", "pydicom", "img2dataset")
OVERHEAD = 1.3  # ours may take this much of the bare least
PADDED = Shards(resize="pad", side=320)

cv2.setNumThreads(1)


def main() -> int:
    """Measure, print a table, write it below benchmarks/results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=8, help="a kind (default: 8)")
    parser.add_argument("--films", type=int, default=2, help="films of each kind (default: 2)")
    parser.add_argument("--shared", type=Path, default=films.SHARED, help="folder of real films")
    flags = parser.parse_args()
    rows: list[rounds.Row] = []
    with tempfile.TemporaryDirectory() as folder:
        files = films.write(Path(folder), flags.films, flags.shared)
        for kind, made in files.items():
            paths = [file.path for file in made]
            sizes = sum(len(file.data) for file in made) / len(made) / 1e6
            times = rounds.race(ways(kind), paths, seconds=flags.seconds, least=2)
            rows += rounds.compare(f"{kind}, {sizes:.2f} MB", times, to="ours", bounds=bounds(kind))
        times = rounds.race(
            {"ours": lambda path: encoded(path, PADDED), "CheXzero": peers.chexzero},
            [file.path for file in files["JPEG"]],
            seconds=flags.seconds,
        )
        wanted = {"CheXzero": (5.5, None)}
        rows += rounds.compare("JPEG, padded to 320", times, to="ours", bounds=wanted)
    note = "CPU time from path to stored bytes; ratios to ours; 'best path' checks nothing"
    rounds.publish("picture_speed", rows, packages=PACKAGES, note=note)
    return 0


def encoded(path: Path, shards: Shards | None = None) -> bytes:
    """Return what a shard would hold of a file."""
    return encode.encode(path.read_bytes(), path.suffix, shards or Shards()).data


def ways(kind: str) -> Mapping[str, peers.Way]:
    """Return the candidates for a kind of file."""
    chosen: dict[str, peers.Way] = {"ours": encoded, "best path": floors.BEST[kind]}
    if kind == "HTJ2K DICOM":
        return chosen  # pydicom reads it only with a plugin that is not installed here
    if kind.endswith("DICOM"):
        chosen["CXR-CLIP"] = peers.cxr_clip
        chosen["tutorial script"] = peers.tutorial
        chosen["pydicom + Lanczos"] = peers.full_size_lanczos
        return chosen | ({"torchxrayvision": peers.torchxrayvision} if kind[:3] == "raw" else {})
    name, img2dataset = peers.img2dataset()
    chosen[name] = img2dataset
    if kind != "small JPEG":
        chosen["torchxrayvision"] = peers.torchxrayvision
        chosen["Pillow + PNG"] = peers.pillow_png
    return chosen


def bounds(kind: str) -> Mapping[str, rounds.Bounds]:
    """Return what the ratios should reach."""
    wanted: dict[str, rounds.Bounds] = {"best path": (round(1 / OVERHEAD, 2), None)}
    if kind == "raw DICOM":
        wanted |= {"CXR-CLIP": (10, None), "tutorial script": (20, None)}
        wanted |= {"torchxrayvision": (12, None)}
    elif kind in ("JPEG", "PNG 1024"):
        wanted[peers.img2dataset()[0]] = (1.4 if kind == "JPEG" else 1.0, None)
    return wanted


if __name__ == "__main__":
    raise SystemExit(main())
