"""Inventory and texts in, WebDataset shards out.

    cxr-vlp shards mimic --scan data/scan/mimic --texts data/texts/mimic \\
        --out data/shards/mimic

Every part becomes one tar: taken over where an earlier run made the very same, else written from
the pictures that earlier tars hold, else from the sources. Then sizes, rejects and the manifest are
written and the whole set is published by one rename. --dry-run says what would be done, and why.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxr_vlp.pipelines import cli, codes, config, dry_run, errors, parts
from cxr_vlp.pipelines.cache import file_index
from cxr_vlp.pipelines.cache.incremental import Places, Reusing
from cxr_vlp.pipelines.executor import beam_runners
from cxr_vlp.pipelines.executor.beam_runners import BeamFlags
from cxr_vlp.pipelines.executor.pool import PATIENCE
from cxr_vlp.pipelines.files import atomic_dir, jsonl, paths, privacy
from cxr_vlp.pipelines.files.privacy import Care
from cxr_vlp.pipelines.format import accounting, manifest
from cxr_vlp.pipelines.stages import manifest_writer, parameter_check, reject_limit
from cxr_vlp.pipelines.stages.shard_part import ShardOfPart
from cxr_vlp.pipelines.stages.source_files import Originals


@dataclass(frozen=True)
class Job:
    """What a run is to do: read from the command line, the parameters and the stages before."""

    flags: argparse.Namespace
    beam: BeamFlags
    section: config.Shards
    inventory: Mapping[str, Any]
    texts: Mapping[str, Any]
    work: ShardOfPart

    @property
    def names(self) -> tuple[str, ...]:
        """The parts of the collection."""
        return parts.names(self.flags.source, self.inventory["parts"])

    def reusing(self, staging: Path) -> Reusing:
        """Return the work with what earlier runs left behind."""
        places = Places(staging, self.flags.out)
        return Reusing.of_stage(self.work, "shards", self.flags.source, self.flags.state, places)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    flags, beam = beam_runners.checked(_parser(), arguments)
    job = _job(flags, beam)
    cli.own_folder(flags.out, manifest.NAME, flags.source)
    if flags.dry_run:
        dry_run.show(
            flags.source, dry_run.look(job.reusing(atomic_dir.staging(flags.out)), job.names)
        )
        return 0
    with (
        privacy.taking(Care.of_inventory(job.inventory), flags.out, flags.state),
        atomic_dir.publishing(flags.out, manifest.NAME, resume=True) as staging,
    ):
        reusing = job.reusing(staging)
        outcomes = _run(job, reusing, staging)
        results = [outcome["result"] for outcome in outcomes]
        header = manifest_writer.write(
            staging, results, job.inventory, job.texts, _earlier(flags), job.section
        )
        _check(header, job, flags)
        atomic_dir.keep_only(staging, manifest.files(result["line"] for result in results))
    reusing.tidy(outcomes)
    _show(header, outcomes)
    cli.handed_over("shards", flags.source, flags.out)
    return 0


def _check(header: Mapping[str, Any], job: Job, flags: argparse.Namespace) -> None:
    """Raise DataError where too much is lost, or too little is left."""
    dropped, written = header["dropped"], header["written"]
    lost = sum(number for key, number in dropped.items() if key.startswith("shards "))
    reject_limit.hold("shards", job.inventory, written + lost, dropped, written)
    before = reject_limit.number(jsonl.glimpse(flags.out / manifest.NAME), "written")
    reject_limit.shrunk(before, written, "samples", allowed=flags.shrink)


def _parser() -> argparse.ArgumentParser:
    parser = cli.parser("shards", "Build the WebDataset shards of a collection.")
    cli.folders(parser, scan="the inventory", texts="the texts", out="the shards")
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would be built and why; write nothing"
    )
    parser.add_argument(
        "--patience",
        type=float,
        default=PATIENCE,
        metavar="SECONDS",
        help=f"give a picture up that takes longer to decode (default: {PATIENCE:.0f})",
    )
    return parser


def _job(flags: argparse.Namespace, beam: BeamFlags) -> Job:
    settings = config.load(flags.params)
    section = settings.section("shards", config.Shards)
    inventory = jsonl.read_header(flags.scan, "inventory.json", "scan")
    texts = jsonl.read_header(flags.texts, "texts.json", "texts")
    cli.same_source(inventory, flags.source, flags.scan)
    cli.same_source(texts, flags.source, flags.texts)
    parameter_check.inventory(inventory, flags.scan, settings)
    parameter_check.texts(texts, flags.texts, settings, flags.scan, inventory)
    root = paths.root(flags.root or settings.collection(flags.source).root)
    work = ShardOfPart(
        originals=Originals(
            str(root),
            inventory.get("digests") == "official",
            file_index.of_tree(root, flags.state),
            links=bool(inventory.get("links")),
        ),
        scan=str(flags.scan),
        texts=str(flags.texts),
        counts=inventory["parts"],
        salt=inventory["scan"]["salt"],
        shards=section,
    )
    return Job(flags, beam, section, inventory, texts, work)


def _run(job: Job, reusing: Reusing, staging: Path) -> list[dict[str, Any]]:
    # here, and not above: Beam takes a second to import, which workers and --dry-run need not pay
    from cxr_vlp.pipelines import beam as transforms

    flags = job.flags
    running = transforms.Running("shards", flags.workers, flags.state, job.beam, flags.patience)
    return transforms.run_parts(reusing, job.names, staging, running)


def _earlier(flags: argparse.Namespace) -> list[Mapping[str, Any]]:
    """Return the rows of the reject files of scan and texts."""
    folders = (flags.scan, flags.texts)
    return [row for f in folders for row in jsonl.read_records(f / manifest.REJECTS)]


def _show(header: Mapping[str, Any], outcomes: Sequence[Mapping[str, Any]]) -> None:
    rows = accounting.rows(
        header["listed"], header["dropped"], header["written"], "samples written"
    )
    lines = [outcome["result"]["line"] for outcome in outcomes]
    tars = [line for line in lines if line["samples"]]
    size = sum(line["bytes"] for line in tars) / 1e6
    how = Counter(outcome["how"] for outcome in outcomes)
    rows += [(f"tars {name}", how[name]) for name in ("built", "rewritten", "kept") if how[name]]
    rows += [
        (f"pictures {name}", sum(outcome[name] for outcome in outcomes))
        for name in ("decoded", "copied")
    ]
    title = f"shards {header['source']}: {len(tars)} tars, {size:,.1f} MB"
    rows += [(f"note: {code}", number) for code, number in header["notes"].items()]
    cli.show(title, ("", "images"), rows)
    noted = Counter(code for line in lines for code in line["notes"])
    for line in codes.remedies([*(code for at in lines for code in at["rejects"]), *noted]):
        cli.say(line)


def run() -> int:
    """Run the command on the words of the command line; return its exit code."""
    return errors.run(main)


if __name__ == "__main__":
    sys.exit(run())
