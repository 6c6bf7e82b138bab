"""Measures file to encoded image: this project against other tools and a minimal conversion.

    python benchmarks/image_speed.py [--seconds 8] [--images 2] [--shared DIR]

Every kind of file that collections use, at the sizes of MIMIC-CXR, MIMIC-CXR-JPG, NIH and
CheXpert-small; short side 512, JPEG of quality 95 (against CheXzero: padded to 320). Reading the
file counts, and so does every check that this project makes. The figures are ratios to ours: 10
means that a tool takes ten times as long. The minimal conversion (minimal_conversion.py) is the
floor: decode, resize and encode without validation.
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

import benchmark_images
import cv2
import minimal_conversion
import other_tools
import timing

from cxr_vlp.pipelines.config import Shards
from cxr_vlp.pipelines.imaging import encode

PACKAGES = ("imagecodecs", "numpy", "opencv-python-headless", "pillow", "pydicom", "img2dataset")
OVERHEAD = 1.3  # ours may take this much of the minimal conversion
PADDED = Shards(resize="pad", side=320)

cv2.setNumThreads(1)


def main() -> int:
    """Measure, print a table, write it below benchmarks/results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=8, help="a kind (default: 8)")
    parser.add_argument("--images", type=int, default=2, help="images of each kind (default: 2)")
    shared = benchmark_images.SHARED
    parser.add_argument("--shared", type=Path, default=shared, help="folder of real images")
    flags = parser.parse_args()
    rows: list[timing.Row] = []
    with tempfile.TemporaryDirectory() as folder:
        files = benchmark_images.write(Path(folder), flags.images, flags.shared)
        for kind, made in files.items():
            paths = [file.path for file in made]
            sizes = sum(len(file.data) for file in made) / len(made) / 1e6
            times = timing.race(ways(kind), paths, seconds=flags.seconds, least=2)
            rows += timing.compare(f"{kind}, {sizes:.2f} MB", times, to="ours", bounds=bounds(kind))
        times = timing.race(
            {"ours": lambda path: encoded(path, PADDED), "CheXzero": other_tools.chexzero},
            [file.path for file in files["JPEG"]],
            seconds=flags.seconds,
        )
        wanted = {"CheXzero": (5.5, None)}
        rows += timing.compare("JPEG, padded to 320", times, to="ours", bounds=wanted)
    note = "CPU time from path to stored bytes; ratios to ours; 'minimal' checks nothing"
    timing.publish("image_speed", rows, packages=PACKAGES, note=note)
    return 0


def encoded(path: Path, shards: Shards | None = None) -> bytes:
    """Return the image bytes that a shard would hold."""
    return encode.encode(path.read_bytes(), path.suffix, shards or Shards()).data


def ways(kind: str) -> Mapping[str, other_tools.Way]:
    """Return the candidates for a kind of file."""
    chosen: dict[str, other_tools.Way] = {"ours": encoded, "minimal": minimal_conversion.WAYS[kind]}
    if kind == "HTJ2K DICOM":
        return chosen  # pydicom reads it only with a plugin that is not installed here
    if kind.endswith("DICOM"):
        chosen["CXR-CLIP"] = other_tools.cxr_clip
        chosen["tutorial script"] = other_tools.tutorial
        chosen["pydicom + Lanczos"] = other_tools.full_size_lanczos
        return chosen | (
            {"torchxrayvision": other_tools.torchxrayvision} if kind[:3] == "raw" else {}
        )
    name, img2dataset = other_tools.img2dataset()
    chosen[name] = img2dataset
    if kind != "small JPEG":
        chosen["torchxrayvision"] = other_tools.torchxrayvision
        chosen["Pillow + PNG"] = other_tools.pillow_png
    return chosen


def bounds(kind: str) -> Mapping[str, timing.Bounds]:
    """Return the bounds of the ratios."""
    wanted: dict[str, timing.Bounds] = {"minimal": (round(1 / OVERHEAD, 2), None)}
    if kind == "raw DICOM":
        wanted |= {"CXR-CLIP": (10, None), "tutorial script": (20, None)}
        wanted |= {"torchxrayvision": (12, None)}
    elif kind in ("JPEG", "PNG 1024"):
        wanted[other_tools.img2dataset()[0]] = (1.4 if kind == "JPEG" else 1.0, None)
    return wanted


if __name__ == "__main__":
    raise SystemExit(main())
