"""Says what a conversion takes, and proposes the number of parts of a collection.

    cxr-vlp plan                                   the published collections, and 100 million images
    cxr-vlp plan --collections nih,chexpert --images 5M
    cxr-vlp plan mimic --scan data/scan/mimic      a scanned collection

The first two print hours, bytes and workers from stored measurements (planning/measured.json). The
third measures: a few images, chosen by the hash of their keys, are encoded in the same way as in
`shards`, and their size is extrapolated to the whole collection. It proposes a line for
params.yaml. The numbers are a proposal: they are fixed in params.yaml, and another number moves
studies to other tars (images are copied, not decoded again).
"""

from __future__ import annotations

import argparse
import hashlib
import heapq
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from cxr_vlp.pipelines import cli, config, errors, interrupts, parts
from cxr_vlp.pipelines.config import Shards
from cxr_vlp.pipelines.errors import ConfigError, IngestError
from cxr_vlp.pipelines.files import jsonl, paths
from cxr_vlp.pipelines.format.sample import SPLITS
from cxr_vlp.pipelines.planning import costs, measured_here, numbers, report
from cxr_vlp.pipelines.planning.costs import Collection, Estimate, Facts
from cxr_vlp.pipelines.records import Image, Study, read_studies
from cxr_vlp.pipelines.sources import ids
from cxr_vlp.pipelines.stages.shard_part import encode_image
from cxr_vlp.pipelines.stages.source_files import SourceFiles

OTHER_BYTES = 6_000  # of text, JSON and tar headers per sample: the mean of the synthetic sets
MEGABYTE = 1_000_000
SAMPLED = 24  # images that are encoded
LARGE = 100_000_000  # images of the last row, if --images does not say it


class Sampled(NamedTuple):
    """What some encoded images say of a collection: means of one sample."""

    bytes: float
    seconds: float  # CPU time from the file to the encoded image


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    flags = _flags(arguments)
    if flags.source is None:
        _plan_published(flags)
    else:
        _plan_scanned(flags)
    return 0


def _flags(arguments: Sequence[str] | None) -> argparse.Namespace:
    about = "Say what a conversion takes, and propose the number of parts of a collection."
    column = "one more column: the hours on so many workers"
    parser = cli.parser("plan", about, stage=False, optional=True, workers=column)
    parser.epilog = (
        "Exit codes: 0 done, 2 wrong arguments or parameters, 74 a disk or a store failed."
    )
    parser.add_argument(
        "--scan", type=cli.folder, metavar="DIR", help="its inventory, with any number of parts"
    )
    parser.add_argument(
        "--tar",
        type=numbers.megabytes,
        default=150.0,
        metavar="MB",
        help="size of a tar (default: 150)",
    )
    parser.add_argument(
        "--sample",
        type=numbers.count,
        metavar="K",
        help=f"of a scanned collection: how many images to encode (default: {SAMPLED})",
    )
    parser.add_argument(
        "--timed", action="store_true", help="time these images, in place of earlier runs"
    )
    parser.add_argument(
        "--collections",
        type=numbers.published,
        metavar="NAMES",
        help=f"published collections, of {','.join(costs.published())} (default: all)",
    )
    parser.add_argument(
        "--images",
        type=numbers.images,
        metavar="N",
        help="one more row: these collections, grown to N images in all (default: 100M)",
    )
    flags = parser.parse_args(arguments)
    _check(parser, flags)
    return flags


def _check(parser: argparse.ArgumentParser, flags: argparse.Namespace) -> None:
    """Refuse flags of the plan with a scan beside one without, and the other way round."""
    if flags.source is None:
        given = [n for n in ("scan", "root", "sample", "timed") if getattr(flags, n)]
        if given:
            parser.error(f"--{given[0]} is about a scanned collection: name it first")
        return
    if flags.collections or flags.images:
        flag = "--collections" if flags.collections else "--images"
        parser.error(
            f"{flag} is for a plan without a scanned collection (--sample K: how many to encode)"
        )
    if flags.scan is None:
        parser.error(
            f"give --scan, the inventory of {flags.source}; a plan before the download: "
            f"cxr-vlp plan --collections {','.join(costs.published())}"
        )


def _plan_published(flags: argparse.Namespace) -> None:
    measured = costs.facts()
    names = flags.collections or tuple(costs.published())
    chosen = [costs.published()[name] for name in names]
    # without --collections an image of two rows counts once
    summed = [each for each in chosen if flags.collections or not each.same_images]
    estimates = [_estimate(each.title, [each], measured, flags) for each in chosen]
    if len(summed) > 1:
        estimates.append(_estimate("together", summed, measured, flags))
    number = flags.images or LARGE
    factor = number / sum(each.images for each in summed)
    grown = [each.times(factor) for each in summed]
    estimates.append(_estimate(f"{numbers.short(number)} images", grown, measured, flags))
    report.show(estimates, _workers(flags))
    mix = ", ".join(each.title for each in summed)
    report.show_assumptions(measured, f"The last row has the mix of {mix}.")


def _estimate(
    title: str, collections: Sequence[Collection], measured: Facts, flags: argparse.Namespace
) -> Estimate:
    tar = flags.tar * MEGABYTE
    return Estimate(title, tuple(costs.cost(each, measured, tar) for each in collections))


def _plan_scanned(flags: argparse.Namespace) -> None:
    settings = config.load(flags.params)
    inventory = jsonl.read_header(flags.scan, "inventory.json", "scan")
    cli.same_source(inventory, flags.source, flags.scan)
    folder = paths.root(flags.root or settings.collection(flags.source).root)
    root = paths.RawTree(folder, bool(inventory.get("links")))
    section = settings.section("shards", config.Shards)
    names = parts.names(flags.source, inventory["parts"])
    held = measured_here.collection(flags.source, _studies(flags.scan, names))
    if not held.images:
        raise ConfigError(f"{flags.scan} lists no image")
    images = picked(_images(flags.scan, names), flags.sample or SAMPLED)
    sampled = measure(root, images, section)
    counts = {split: int(held.splits[split]) for split in SPLITS}
    report.show_parts(flags.source, counts, sampled.bytes, flags.tar * MEGABYTE)
    _show_hours(flags, held, sampled)


def _show_hours(flags: argparse.Namespace, held: Collection, sampled: Sampled) -> None:
    """Print hours and bytes of a scanned collection, and where its seconds are from."""
    measured, said = costs.facts(), []
    image = measured_here.seconds_of_image(flags.state, flags.source)
    study = measured_here.seconds_of_study(flags.state, flags.source)
    earlier = "takes what it took in earlier runs here"
    if flags.timed:
        image = sampled.seconds + measured.writing
        said.append(f"An image was timed here: {1000 * image:,.3g} ms in `shards`.")
    elif image is not None:
        said.append(f"An image {earlier}: {1000 * image:,.3g} ms in `shards`.")
    else:
        said.append("The time of an image is a stored one; --timed measures it here.")
    if study is not None:
        said.append(f"A study {earlier}: {1000 * study:,.3g} ms in `texts`.")
    here = measured_here.with_image(measured, held, seconds=image, sample=sampled.bytes)
    here = measured_here.with_study(here, study)
    report.show([_estimate(flags.source, [held], here, flags)], _workers(flags))
    report.show_assumptions(measured, *said)


def picked(images: Iterator[tuple[str, str, Image]], number: int) -> list[Image]:
    """Return `number` images, chosen by the hash of their keys: the same ones each time."""
    ranked = ((hashlib.sha256(key.encode()).digest(), key, image) for _, key, image in images)
    return [image for _, _, image in heapq.nsmallest(number, ranked, key=lambda row: row[:2])]


def measure(root: paths.Root, images: Sequence[Image], shards: Shards) -> Sampled:
    """Return a sample's means. Raises ConfigError if no image can be read."""
    # official: an image that differs from the published one is skipped; the command goes on
    where = paths.tree(root)
    source_files, sizes = SourceFiles(str(where.root), official=True, links=where.links), []
    seconds = 0.0
    for image in images:
        begun = time.process_time()
        try:
            sizes.append(len(encode_image(source_files, image, shards).data))
        except IngestError:
            continue
        seconds += time.process_time() - begun
    if not sizes:
        raise ConfigError(f"none of {len(images)} images can be decoded: is this the right root?")
    return Sampled(sum(sizes) / len(sizes) + OTHER_BYTES, seconds / len(sizes))


def _studies(scan: Path, names: Sequence[str]) -> Iterator[Study]:
    for name in names:
        yield from read_studies(scan / f"{name}.jsonl")


def _images(scan: Path, names: Sequence[str]) -> Iterator[tuple[str, str, Image]]:
    """Yield (split, sample key, image) of an inventory."""
    for study in _studies(scan, names):
        for image in study.images:
            yield study.split, ids.of_image(study, image), image


def _workers(flags: argparse.Namespace) -> list[int]:
    return sorted({*report.WORKERS, flags.workers})


def run() -> int:
    """Run the command on the words of the command line; return its exit code."""
    return errors.run(main, interrupts.NOTHING_KEPT)


if __name__ == "__main__":
    sys.exit(run())
