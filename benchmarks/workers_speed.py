"""Measures two workers against one in `cxr-vlp shards`, on raw DICOM and on JPEG.

    python benchmarks/workers_speed.py [--images 400] [--repeats 3]

The time of a run on a few thumbnails, its start-up, is shown and taken off. It is wall time, so the
machine must be quiet: the load is in the title of each group.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import benchmark_images
import conversion_speed
import timing

KINDS = ("raw DICOM", "JPEG")
WORKERS = {"two workers": 2, "one worker": 1}
LEAST = 1.8  # times as fast


def measured(
    folder: Path, kind: str, files: Sequence[benchmark_images.File], images: int, repeats: int
) -> list[timing.Row]:
    """Return the rows of one kind of file, without the start-up, and those of the start-up."""
    source = conversion_speed.source_of(kind)
    whole: dict[str, list[float]] = {name: [] for name in WORKERS}
    start: dict[str, list[float]] = {name: [] for name in WORKERS}
    with (
        conversion_speed.tree(folder, source, conversion_speed.FEW) as few,
        conversion_speed.tree(folder, source, images, files) as many,
    ):
        for _ in range(repeats):
            for name, workers in WORKERS.items():
                start[name].append(few.convert(workers)[1])
                whole[name].append(many.convert(workers)[1] - start[name][-1])
        group = f"{kind}, {many.images} images, load {timing.machine()['load_1min']}"
        rows = timing.compare(
            group, whole, to="two workers", items=many.images, bounds={"one worker": (LEAST, None)}
        )
    return rows + timing.compare(f"{kind}, start-up", start, to="two workers")


def main() -> int:
    """Measure, print a table, write it below benchmarks/results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=400, help="of each kind (default: 400)")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each (default: 3)")
    shared = benchmark_images.SHARED
    parser.add_argument("--shared", type=Path, default=shared, help="folder of real images")
    flags = parser.parse_args()
    conversion_speed.adopt()
    rows: list[timing.Row] = []
    with tempfile.TemporaryDirectory() as folder:
        made = benchmark_images.write(Path(folder) / "images", 2, flags.shared)
        for kind in (kind for kind in made if kind in KINDS):
            rows += measured(Path(folder), kind, made[kind], flags.images, flags.repeats)
    timing.publish("workers_speed", rows, packages=conversion_speed.PACKAGES, note="wall time")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
