"""Writes the WebDataset shards of a collection from its inventory and texts.

    cxr-vlp shards mimic --scan data/scan/mimic --texts data/texts/mimic \\
        --out data/shards/mimic

Every part becomes one tar. A tar with the same fingerprint is kept from an earlier run; else it is
written from the images in earlier tars and, for the rest, from the sources. Then sizes, rejects and
the manifest are written, and one rename publishes the whole set. --dry-run prints the tars
that would be built, and why.
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
from cxr_vlp.pipelines.cache import scan_index
from cxr_vlp.pipelines.cache.identity import FileDigests
from cxr_vlp.pipelines.cache.incremental import Incremental, StageFolders
from cxr_vlp.pipelines.engines import driver
from cxr_vlp.pipelines.engines.flags import Choice, seconds
from cxr_vlp.pipelines.executor.pool import IMAGE_TIMEOUT
from cxr_vlp.pipelines.files import atomic_dir, jsonl, paths, privacy
from cxr_vlp.pipelines.files.privacy import Protection
from cxr_vlp.pipelines.format import accounting, manifest
from cxr_vlp.pipelines.stages import manifest_writer, parameter_check, reject_limit, shard_part
from cxr_vlp.pipelines.stages.shard_part import ShardBuilder, ShardPart
from cxr_vlp.pipelines.stages.source_files import SourceFiles
from cxr_vlp.pipelines.storage import publication
from cxr_vlp.pipelines.storage.place import is_remote

# the second is not imported here, because this process decodes nothing
WORKERS_NEED = (shard_part.__name__, "cxr_vlp.pipelines.imaging.encode")


@dataclass(frozen=True)
class ShardsRun:
    """One run of the stage: its flags, its parameters, and the headers of the stages before."""

    flags: argparse.Namespace
    engine: Choice
    section: config.Shards
    inventory: Mapping[str, Any]
    texts: Mapping[str, Any]
    builder: ShardBuilder
    digests: Mapping[str, Mapping[str, str]]  # part -> stage -> sha256 of the part's input file

    @property
    def names(self) -> tuple[str, ...]:
        """The parts of the collection."""
        return parts.names(self.flags.source, self.inventory["parts"])

    def incremental(self, staging: Path) -> Incremental[ShardPart]:
        """Return the builder with the cache of earlier runs."""
        folders = StageFolders(staging, publication.folder_of(self.flags.out, manifest.NAME))
        source, state = self.flags.source, self.flags.state
        return Incremental.of_stage(self.builder, "shards", source, state, folders)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    flags, engine = cli.parse_stage(_parser(), arguments)
    this = _read(flags, engine)
    cli.own_folder(flags.out, manifest.NAME, flags.source)
    if flags.dry_run:
        incremental = this.incremental(atomic_dir.staging(flags.out))
        dry_run.show(flags.source, dry_run.predict(incremental, this.digests))
        return 0
    with (
        privacy.protecting(Protection.of_inventory(this.inventory), flags.out, flags.state),
        atomic_dir.publishing(flags.out, manifest.NAME, resume=True) as staging,
    ):
        incremental = this.incremental(staging)
        outcomes = _run(this, incremental, staging)
        results = [outcome["result"] for outcome in outcomes]
        header = manifest_writer.write(
            staging, results, this.inventory, this.texts, _earlier(flags), this.section
        )
        _check(header, this.inventory, flags)
        files = manifest.files(result["line"] for result in results)
        atomic_dir.keep_only(staging, files, incremental.sources(this.names, outcomes))
    incremental.finish(outcomes)
    _show(header, outcomes)
    cli.print_dvc_commit("shards", flags.source, flags.out)
    return 0


def _check(
    header: Mapping[str, Any], inventory: Mapping[str, Any], flags: argparse.Namespace
) -> None:
    """Raise DataError if too much is rejected, or if the set is much smaller than the old set."""
    dropped, written = header["dropped"], header["written"]
    lost = sum(number for key, number in dropped.items() if key.startswith("shards "))
    reject_limit.check("shards", inventory, written + lost, dropped, written)
    before = reject_limit.number(jsonl.glimpse(flags.out / manifest.NAME), "written")
    reject_limit.shrunk(before, written, "samples", allowed=flags.shrink)


def _parser() -> argparse.ArgumentParser:
    parser = cli.parser("shards", "Build the WebDataset shards of a collection.")
    cli.places(parser, scan="the inventory", texts="the texts", out="the shards")
    parser.add_argument(
        "--dry-run", action="store_true", help="print what would be built and why; write nothing"
    )
    parser.add_argument(
        "--image-timeout",
        type=seconds,
        default=IMAGE_TIMEOUT,
        metavar="SECONDS",
        help=f"reject an image that takes longer to decode (default: {IMAGE_TIMEOUT:.0f})",
    )
    return parser


def _read(flags: argparse.Namespace, engine: Choice) -> ShardsRun:
    settings = config.load(flags.params)
    section = settings.section("shards", config.Shards)
    inventory = jsonl.read_header(flags.scan, "inventory.json", "scan")
    texts = jsonl.read_header(flags.texts, "texts.json", "texts")
    cli.same_source(inventory, flags.source, flags.scan)
    cli.same_source(texts, flags.source, flags.texts)
    parameter_check.inventory(inventory, flags.scan, settings)
    listed, annotated = _digests(flags, inventory, texts)
    parameter_check.texts(texts, flags.texts, settings, flags.scan, inventory, listed)
    parameter_check.unedited(texts, flags.texts, annotated)
    root = paths.root(flags.root or settings.collection(flags.source).root)
    builder = ShardBuilder(
        source_files=SourceFiles(
            str(root),
            inventory.get("digests") == "official",
            "" if is_remote(flags.scan) else str(flags.scan / scan_index.NAME),
            links=bool(inventory.get("links")),
            kept=str(cli.local_state(flags.state) / "scan"),
        ),
        scan=str(flags.scan),
        texts=str(flags.texts),
        counts=inventory["parts"],
        salt=inventory["scan"]["salt"],
        shards=section,
    )
    digests = {name: {"scan": listed[name], "texts": annotated[name]} for name in listed}
    return ShardsRun(flags, engine, section, inventory, texts, builder, digests)


def _digests(
    flags: argparse.Namespace, inventory: Mapping[str, Any], texts: Mapping[str, Any]
) -> tuple[dict[str, str], dict[str, str]]:
    """Return part -> sha256 of its file of the inventory and of its texts."""
    names = parts.names(flags.source, inventory["parts"])
    known = FileDigests.of_source(flags.state, flags.source)
    listed = known.of_parts(flags.scan, names, inventory.get("files", {}), "scan")
    annotated = known.of_parts(flags.texts, names, texts.get("part_files", {}), "texts")
    if not flags.dry_run:
        # it names folders of the collection
        with privacy.hiding({"credentialed": Protection.of_inventory(inventory).private}):
            known.save()
    return listed, annotated


def _run(
    this: ShardsRun, incremental: Incremental[ShardPart], staging: Path
) -> list[dict[str, Any]]:
    settings = cli.run_settings(
        "shards", this.flags, staging, *WORKERS_NEED, root=this.builder.source_files.root
    )
    return incremental.run(
        this.digests, lambda work, todo: driver.results(work, todo, settings, this.engine)
    )


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
        (f"images {name}", sum(outcome[name] for outcome in outcomes))
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
