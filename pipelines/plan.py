"""Proposes the number of parts of a collection, as a line for params.yaml.

    cxr-vlp plan mimic --scan data/scan/mimic

A few images, chosen by the hash of their keys, are encoded in the same way as in `shards`, and
their size is extrapolated to the whole collection. The numbers are a proposal: they are fixed in
params.yaml, and another number moves studies to other tars (images are copied, not decoded again).
"""

from __future__ import annotations

import hashlib
import heapq
import math
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from cxr_vlp.pipelines import cli, config, errors, interrupts, parts
from cxr_vlp.pipelines.config import Shards
from cxr_vlp.pipelines.errors import ConfigError, IngestError
from cxr_vlp.pipelines.files import jsonl, paths
from cxr_vlp.pipelines.format.sample import SPLITS
from cxr_vlp.pipelines.records import Image, read_studies
from cxr_vlp.pipelines.sources import ids
from cxr_vlp.pipelines.stages.shard_part import encode_image
from cxr_vlp.pipelines.stages.source_files import SourceFiles

OTHER_BYTES = 6_000  # of text, JSON and tar headers per sample: the mean of the synthetic sets
MEGABYTE = 1_000_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = cli.parser("plan", "Propose the number of parts of a collection.", stage=False)
    cli.folders(parser, scan="the inventory, with any number of parts")
    parser.add_argument(
        "--tar", type=float, default=150, metavar="MB", help="size of a tar (default: 150)"
    )
    parser.add_argument(
        "--images", type=int, default=24, metavar="K", help="how many to encode (default: 24)"
    )
    flags = parser.parse_args(arguments)
    settings = config.load(flags.params)
    inventory = jsonl.read_header(flags.scan, "inventory.json", "scan")
    cli.same_source(inventory, flags.source, flags.scan)
    folder = paths.root(flags.root or settings.collection(flags.source).root)
    root = paths.RawTree(folder, bool(inventory.get("links")))
    section = settings.section("shards", config.Shards)
    names = parts.names(flags.source, inventory["parts"])
    counts = Counter(dict.fromkeys(SPLITS, 0))
    counts.update(split for split, _, _ in _images(flags.scan, names))
    each = mean_bytes(root, picked(_images(flags.scan, names), flags.images), section)
    _show(flags.source, counts, each, flags.tar * MEGABYTE)
    return 0


def proposed(counts: Mapping[str, int], each: float, tar: float) -> dict[str, int]:
    """Return the number of parts per split, for `counts` samples of `each` bytes, tars of `tar`."""
    return {split: max(1, math.ceil(counts[split] * each / tar)) for split in SPLITS}


def picked(images: Iterator[tuple[str, str, Image]], number: int) -> list[Image]:
    """Return `number` images, chosen by the hash of their keys: the same ones each time."""
    ranked = ((hashlib.sha256(key.encode()).digest(), key, image) for _, key, image in images)
    return [image for _, _, image in heapq.nsmallest(number, ranked, key=lambda row: row[:2])]


def mean_bytes(root: paths.Root, images: Sequence[Image], shards: Shards) -> float:
    """Return a sample's mean size in bytes. Raises ConfigError if no image can be read."""
    # official: an image that differs from the published one is skipped; the command goes on
    where = paths.tree(root)
    source_files, sizes = SourceFiles(str(where.root), official=True, links=where.links), []
    for image in images:
        try:
            sizes.append(len(encode_image(source_files, image, shards).data))
        except IngestError:
            continue
    if not sizes:
        raise ConfigError(f"none of {len(images)} images can be decoded: is this the right root?")
    return sum(sizes) / len(sizes) + OTHER_BYTES


def _images(scan: Path, names: Sequence[str]) -> Iterator[tuple[str, str, Image]]:
    """Yield (split, sample key, image) of an inventory."""
    for name in names:
        for study in read_studies(scan / f"{name}.jsonl"):
            for image in study.images:
                yield study.split, ids.of_image(study, image), image


def _show(source: str, counts: Mapping[str, int], each: float, tar: float) -> None:
    numbers = proposed(counts, each, tar)
    rows = [
        (
            split,
            counts[split],
            numbers[split],
            round(counts[split] * each / numbers[split] / MEGABYTE),
        )
        for split in SPLITS
    ]
    title = f"plan {source}: {each / 1000:,.0f} kB a sample"
    cli.show(title, ("split", "images", "parts", "MB a tar"), rows)
    listed = ", ".join(f"{split}: {number}" for split, number in numbers.items())
    cli.say(f"in params.yaml, under sources.{source}:  parts: {{{listed}}}")


def run() -> int:
    """Run the command on the words of the command line; return its exit code."""
    return errors.run(main, interrupts.NOTHING_KEPT)


if __name__ == "__main__":
    sys.exit(run())
