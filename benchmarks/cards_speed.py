"""Measures the table of samples against the usual way to make one: a webdataset loop and json.

    python benchmarks/cards_speed.py [--shards data/shards/mimic] [--seconds 10]

One worker, one tar at a time. `webdataset` reads every member and keeps 20 scalar fields and the
labels of each JSON member; `tarfile` does the same with the standard library. Ours also has the
place of every member, and counts of sentences, mentions and texts. Ratios are to ours.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / ".src"))

import pyarrow as pa
import timing

from cxr_vlp.pipelines.cards import sample_table
from cxr_vlp.pipelines.format import manifest

FIELDS = ("dataset", "split", "patient", "study", "image", "view", "projection", "sex", "age",
          "order", "labels_from")  # fmt: skip
SIZES = ("height", "width", "source_height", "source_width")
LENGTHS = ("caption", "findings", "impression", "abnormal", "prior_free")


def main() -> int:
    """Measure, print a table, write it below benchmarks/results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=Path, default=Path("data/shards/mimic"), metavar="DIR")
    parser.add_argument("--seconds", type=float, default=10, help="in all (default: 10)")
    flags = parser.parse_args()
    if not (flags.shards / manifest.NAME).is_file():
        parser.error(f"no set in {flags.shards}: run `make demo`, or give --shards")
    _, lines = sample_table.manifest_of(flags.shards)
    # tars of one size: the figure is the time of a sample
    lines = [line for line in lines if line["samples"] and line["split"] == "train"]
    ways: dict[str, Callable[[Any], pa.Table]] = {
        "ours": lambda line: sample_table.of_tar(flags.shards, line),
        "webdataset": lambda line: table(by_webdataset(path_of(flags.shards, line))),
        "tarfile": lambda line: table(by_tarfile(path_of(flags.shards, line))),
    }
    for line in lines:
        assert {way(line).num_rows for way in ways.values()} == {line["samples"]}
    times = timing.race(ways, lines, seconds=flags.seconds, most=1000)
    mean = sum(line["samples"] for line in lines) / len(lines)
    rows = timing.compare("one sample", times, to="ours", items=round(mean))
    timing.publish("cards_speed", rows, packages=("pyarrow", "webdataset"), note="CPU time")
    return 0


def path_of(folder: Path, line: Any) -> Path:
    """Return the tar of a line of the manifest."""
    return folder / str(line["split"]) / str(line["name"])


def by_webdataset(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (key, JSON member), read as most training code does."""
    import webdataset as wds

    samples = wds.WebDataset(str(path), shardshuffle=False, empty_check=False)
    for sample in samples:
        yield sample["__key__"], json.loads(sample["json"])


def by_tarfile(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (key, JSON member), read with the standard library."""
    with tarfile.open(path) as tar:
        for member in tar:
            if member.name.endswith(".json"):
                stream = tar.extractfile(member)
                assert stream is not None
                yield member.name.removesuffix(".json"), json.loads(stream.read())


def table(documents: Iterator[tuple[str, dict[str, Any]]]) -> pa.Table:
    """Return a table of the scalar fields, the labels and the lengths of the texts."""
    rows = [
        {"key": key}
        | {name: document[name] for name in FIELDS}
        | {name: document["pixels"][name] for name in SIZES}
        | {f"{name}_chars": len(document[name]) for name in LENGTHS}
        | {f"label_{name}": value for name, value in document["labels"].items()}
        for key, document in documents
    ]
    return pa.Table.from_pylist(rows)


if __name__ == "__main__":
    sys.exit(main())
