"""An inventory in, the number of parts it should be cut into out: lines for params.yaml.

    cxr-vlp plan mimic --scan data/scan/mimic

A few pictures, picked by the hash of their keys, are decoded as `shards` would, and their size is
projected to the whole. The numbers are a proposal: they are pinned in params.yaml, and another
number moves every study to another tar (copied, not decoded again).
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
from cxr_vlp.pipelines.records import Image, study_from_json
from cxr_vlp.pipelines.sources import ids
from cxr_vlp.pipelines.stages.shard_part import picture_of
from cxr_vlp.pipelines.stages.source_files import Originals

BESIDE = 6_000  # bytes of text, JSON and tar headers a sample: the mean of the look-alike sets
MEGA = 1_000_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = cli.parser("plan", "Propose how many parts a collection is cut into.", stage=False)
    cli.folders(parser, scan="the inventory, cut into any number of parts")
    parser.add_argument(
        "--tar", type=float, default=150, metavar="MB", help="size of a tar (default: 150)"
    )
    parser.add_argument(
        "--pictures", type=int, default=24, metavar="K", help="how many to try (default: 24)"
    )
    flags = parser.parse_args(arguments)
    settings = config.load(flags.params)
    inventory = jsonl.read_header(flags.scan, "inventory.json", "scan")
    cli.same_source(inventory, flags.source, flags.scan)
    folder = paths.root(flags.root or settings.collection(flags.source).root)
    root = paths.Tree(folder, bool(inventory.get("links")))
    section = settings.section("shards", config.Shards)
    names = parts.names(flags.source, inventory["parts"])
    counts = Counter(dict.fromkeys(SPLITS, 0))
    counts.update(split for split, _, _ in _images(flags.scan, names))
    each = mean_bytes(root, picked(_images(flags.scan, names), flags.pictures), section)
    _show(flags.source, counts, each, flags.tar * MEGA)
    return 0


def proposed(counts: Mapping[str, int], each: float, tar: float) -> dict[str, int]:
    """Return the number of parts a split, for `counts` samples of `each` bytes, tars of `tar`."""
    return {split: max(1, math.ceil(counts[split] * each / tar)) for split in SPLITS}


def picked(images: Iterator[tuple[str, str, Image]], number: int) -> list[Image]:
    """Return `number` images, by the hash of their keys: the same ones each time."""
    ranked = ((hashlib.sha256(key.encode()).digest(), key, image) for _, key, image in images)
    return [image for _, _, image in heapq.nsmallest(number, ranked, key=lambda row: row[:2])]


def mean_bytes(root: paths.Root, images: Sequence[Image], shards: Shards) -> float:
    """Return a sample's mean size in bytes. Raises ConfigError where no picture can be read."""
    # official: a picture that is not the published one is passed over, not an end
    where = paths.tree(root)
    originals, sizes = Originals(str(where.root), official=True, links=where.links), []
    for image in images:
        try:
            sizes.append(len(picture_of(originals, image, shards).data))
        except IngestError:
            continue
    if not sizes:
        raise ConfigError(f"none of {len(images)} pictures can be decoded: is this the right root?")
    return sum(sizes) / len(sizes) + BESIDE


def _images(scan: Path, names: Sequence[str]) -> Iterator[tuple[str, str, Image]]:
    """Yield (split, sample key, image) of an inventory."""
    for name in names:
        with (scan / f"{name}.jsonl").open(encoding="utf-8") as lines:
            for study in map(study_from_json, lines):
                for image in study.images:
                    yield study.split, ids.of_image(study, image), image


def _show(source: str, counts: Mapping[str, int], each: float, tar: float) -> None:
    numbers = proposed(counts, each, tar)
    rows = [
        (split, counts[split], numbers[split], round(counts[split] * each / numbers[split] / MEGA))
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
