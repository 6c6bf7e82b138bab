"""Measures the seconds and bytes that `cxr-vlp plan` computes with.

    python benchmarks/plan_facts.py                     writes pipelines/planning/measured.json
    python benchmarks/plan_facts.py --seconds 1 --out facts.json

For each kind of image file, `shards` converts a tree of full-size images and a tree of a few
thumbnails; the difference is the cost of the images. What `scan` does with a file, reading it and
computing its digest, is timed in this process. Trees of thumbnails give the cost of a row of the
tables and of a study's texts. All are CPU seconds of one worker, on files that the page cache
holds, so no disk is measured. Run it on a quiet machine: a busy one gives up to twice the seconds.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import benchmark_images
import conversion_speed
import minimal_conversion
import timing

import cxr_vlp
from cxr_vlp.pipelines.config import Shards
from cxr_vlp.pipelines.files import jsonl
from cxr_vlp.pipelines.format import manifest
from cxr_vlp.pipelines.imaging import encode

KINDS = {"raw DICOM": "raw DICOM", "JPEG": "JPEG", "PNG": "PNG 1024", "small JPEG": "small JPEG"}
OUT = conversion_speed.ROOT / "pipelines" / "planning" / "measured.json"
FEW, ROWS = 10, 1500  # studies


@dataclass(frozen=True)
class Runs:
    """The seconds of the three commands over one tree, and what they made."""

    images: int
    studies: int
    scan: float  # CPU seconds, each
    texts: float
    shards: float
    bytes: int  # of the tars


def runs(tree: conversion_speed.Tree, studies: int, repeats: int) -> Runs:
    """Run the three commands from nothing; return medians of the repeats."""
    found = [_once(tree) for _ in range(repeats)]
    times = [median(each[place] for each in found) for place in range(3)]
    return Runs(tree.images, studies, *times, bytes=found[0][3])


def _once(tree: conversion_speed.Tree) -> tuple[float, float, float, int]:
    with tempfile.TemporaryDirectory(dir=tree.work) as fresh:
        state = ("--state", f"{fresh}/state")
        scan = tree.stage("scan", *state, "--out", f"{fresh}/scan")
        texts = tree.stage("texts", *state, "--out", f"{fresh}/texts")
        shards = tree.stage("shards", *state, "--out", f"{fresh}/shards")
        _, lines = manifest.read(Path(fresh) / "shards")
        size = sum(line["bytes"] for line in lines)
        return scan[0], texts[0], shards[0], size


def kind(
    folder: Path,
    name: str,
    files: Sequence[benchmark_images.File],
    few: Runs,
    flags: argparse.Namespace,
) -> dict[str, float]:
    """Return the costs of an image of one kind; `few` are the runs over thumbnails."""
    way = minimal_conversion.WAYS[KINDS[name]]
    each = conversion_speed.minimal_seconds(way, [file.path for file in files])
    wanted = max(3 * FEW, min(ROWS, math.ceil(flags.seconds / each)))
    with conversion_speed.tree(
        folder, conversion_speed.source_of(KINDS[name]), wanted, files
    ) as tree:
        many = runs(tree, wanted, flags.repeats)
    images = many.images - few.images
    return {
        "bytes": sum(len(file.data) for file in files) / len(files),
        "scan": digest_seconds(files),
        "shards": (many.shards - few.shards) / images,
        "sample": many.bytes / many.images,
    }


def thumbnails(folder: Path, source: str, studies: int, repeats: int) -> Runs:
    """Return the runs over a tree of thumbnails."""
    with conversion_speed.tree(folder, source, studies) as tree:
        return runs(tree, studies, repeats)


def digest_seconds(files: Sequence[benchmark_images.File], times: int = 200) -> float:
    """Return the CPU seconds to read a file and to compute its digest."""
    begun = timing.cpu()
    for place in range(times):
        jsonl.sha256(files[place % len(files)].path)
    return (timing.cpu() - begun) / times


def encode_seconds(files: Sequence[benchmark_images.File]) -> float:
    """Return the CPU seconds from the bytes of a small JPEG to the bytes that are stored."""
    parameters, begun = Shards(side=512), timing.cpu()
    for place in range(500):
        encode.encode(files[place % len(files)].data, ".jpg", parameters)
    return (timing.cpu() - begun) / 500


def measured(folder: Path, flags: argparse.Namespace) -> dict[str, object]:
    """Return what measured.json holds."""
    made = benchmark_images.write(folder / "images", 2, flags.shared)
    few = {name: thumbnails(folder, name, FEW, flags.repeats) for name in conversion_speed.WRITERS}
    rows = {name: thumbnails(folder, name, flags.rows, flags.repeats) for name in ("mimic", "nih")}
    row = median((rows[n].scan - few[n].scan) / (rows[n].images - few[n].images) for n in rows)
    texts = {n: (rows[n].texts - few[n].texts) / (rows[n].studies - few[n].studies) for n in rows}
    kinds = {}
    for name in KINDS:
        start = few[conversion_speed.source_of(KINDS[name])]
        kinds[name] = kind(folder, name, made[KINDS[name]], start, flags)
    machine = timing.machine()
    return {
        "version": cxr_vlp.__version__,
        "date": datetime.date.today().isoformat(),
        "machine": f"{machine['cores']} cores of {machine['processor']}",
        "start": median(each.scan + each.texts + each.shards for each in few.values()),
        "row": row,
        "report": texts["mimic"],
        "labels": texts["nih"],
        "writing": max(0.0, kinds["small JPEG"]["shards"] - encode_seconds(made["small JPEG"])),
        "kinds": kinds,
    }


def rounded(value: object) -> object:
    """Return the numbers of a mapping with four digits that count."""
    if isinstance(value, dict):
        return {name: rounded(each) for name, each in value.items()}
    return float(f"{value:.4g}") if isinstance(value, float) else value


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10, help="of decoding, for each kind (10)")
    parser.add_argument("--rows", type=int, default=ROWS, help="studies of thumbnails (1500)")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each (3)")
    parser.add_argument("--shared", type=Path, default=benchmark_images.SHARED, help="real images")
    parser.add_argument("--out", type=Path, default=OUT, help="the file to write")
    flags = parser.parse_args()
    conversion_speed.adopt()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        text = json.dumps(rounded(measured(Path(folder), flags)), indent=1) + "\n"
    flags.out.write_text(text, encoding="utf-8")
    sys.stdout.write(
        f"{text}measured in {time.monotonic() - begun:.0f} s, load "
        f"{timing.machine()['load_1min']}; written to {flags.out}\n"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
