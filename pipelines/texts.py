"""Annotates the reports of an inventory: sentences, labels and prompts, one JSON line per study.

    cxr-vlp texts mimic --scan data/scan/mimic --out data/texts/mimic

Every part is read, annotated (nlp) and written independently. Further files: rejects.jsonl,
counts.json (sentences by status, sections, labels by polarity, rejects by code), statuses.csv for
the plot, and texts.json, the header.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from cxr_vlp.pipelines import cli, codes, config, errors, parts
from cxr_vlp.pipelines.cache.identity import FileDigests
from cxr_vlp.pipelines.cache.incremental import Incremental, StageFolders
from cxr_vlp.pipelines.engines import driver
from cxr_vlp.pipelines.files import atomic_dir, jsonl, paths, privacy
from cxr_vlp.pipelines.files.privacy import Protection
from cxr_vlp.pipelines.format import accounting, versions
from cxr_vlp.pipelines.sources import reader
from cxr_vlp.pipelines.stages import (
    parameter_check,
    reject_limit,
    text_part,
    text_resources,
    text_stats,
)
from cxr_vlp.pipelines.stages.text_part import TextBuilder
from cxr_vlp.pipelines.storage import publication

HEADER = "texts.json"
OTHER_FILES = (HEADER, "rejects.jsonl", "counts.json", "statuses.csv")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = cli.parser("texts", "Make sentences, prompts and labels from reports.")
    cli.places(parser, scan="the inventory", out="the texts")
    flags, engine = cli.parse_stage(parser, arguments)
    inventory, builder = _read(flags)
    names = parts.names(flags.source, inventory["parts"])
    listed = _digests_of_parts(flags, inventory, names)
    with (
        privacy.protecting(Protection.of_inventory(inventory), flags.out, flags.state),
        atomic_dir.publishing(flags.out, HEADER, resume=True) as staging,
    ):
        folders = StageFolders(staging, publication.folder_of(flags.out, HEADER))
        incremental = Incremental.of_stage(builder, "texts", flags.source, flags.state, folders)
        settings = cli.run_settings("texts", flags, staging, text_part.__name__, root=builder.root)
        outcomes = incremental.run(
            {name: {"scan": listed[name]} for name in names},
            lambda work, todo: driver.results(work, todo, settings, engine),
        )
        rejects = _rejects([outcome["result"] for outcome in outcomes])
        counts = _counts(outcomes, rejects, builder)
        header = _header(counts, rejects, inventory, builder.texts, builder.resources)
        header["part_files"] = {
            name: outcome["sha256"] for name, outcome in zip(names, outcomes, strict=True)
        }
        header["inventory"] = parameter_check.of_inventory(
            flags.scan, inventory, _digests(names, outcomes)
        )
        _check(counts, header, inventory)
        before = reject_limit.number(jsonl.glimpse(flags.out / HEADER), "images")
        reject_limit.shrunk(before, header["images"], "images", allowed=flags.shrink)
        _write(staging, counts, rejects, header)
        files = {*(builder.file(name) for name in names), *OTHER_FILES}
        atomic_dir.keep_only(staging, files, incremental.sources(names, outcomes))
    incremental.finish(outcomes)
    with _hiding(inventory):
        FileDigests.of_source(flags.state, flags.source).record(flags.out, header["part_files"])
    _show(flags.source, counts, header, Counter(outcome["how"] for outcome in outcomes))
    cli.print_dvc_commit("texts", flags.source, flags.out)
    return 0


def _read(flags: argparse.Namespace) -> tuple[dict[str, Any], TextBuilder]:
    """Return the header of the inventory, and the builder with the parameters and resources.

    Raises ConfigError if the inventory or the output folder does not fit the parameters.
    """
    settings = config.load(flags.params)
    collection = settings.collection(flags.source)
    section = settings.section("texts", config.Texts)
    resources = text_resources.load(section)
    inventory = jsonl.read_header(flags.scan, "inventory.json", "scan")
    cli.same_source(inventory, flags.source, flags.scan)
    parameter_check.inventory(inventory, flags.scan, settings)
    cli.own_folder(flags.out, HEADER, flags.source)
    root = paths.root(flags.root or collection.root)
    source = reader(flags.source, inventory["reader"], preset=inventory["preset"])
    links = bool(inventory.get("links"))
    return inventory, TextBuilder(
        source,
        str(root),
        str(flags.scan),
        section,
        resources,
        links=links,
        kept=str(cli.local_state(flags.state) / "scan"),
    )


def _digests_of_parts(
    flags: argparse.Namespace, inventory: Mapping[str, Any], names: Sequence[str]
) -> dict[str, str]:
    """Return part -> sha256 of its file of the inventory."""
    known = FileDigests.of_source(flags.state, flags.source)
    listed = known.of_parts(flags.scan, names, inventory.get("files", {}), "scan")
    with _hiding(inventory):
        known.save()
    return listed


def _hiding(inventory: Mapping[str, Any]) -> AbstractContextManager[None]:
    """Return what keeps the digests of a private collection private: they name its folders."""
    return privacy.hiding({"credentialed": Protection.of_inventory(inventory).private})


def _write(
    staging: Path,
    counts: Mapping[str, Any],
    rejects: Sequence[Mapping[str, Any]],
    header: Mapping[str, Any],
) -> None:
    """Write the files beside the texts: rejects, counts, the table of the plot, the header."""
    table = text_stats.status_table(header["source"], counts["sentences"])
    jsonl.write_records(staging / "rejects.jsonl", rejects)
    jsonl.write_json(staging / "counts.json", counts)
    jsonl.write_lines(staging / "statuses.csv", table)
    jsonl.write_json(staging / HEADER, header)


def _check(
    counts: Mapping[str, Any], header: Mapping[str, Any], inventory: Mapping[str, Any]
) -> None:
    """Raise DataError if too much is rejected, or if no report could be read."""
    reject_limit.check("texts", inventory, inventory["images"], header["dropped"], header["images"])
    reject_limit.reports(counts["notes"], sum(counts["sentences"].values()))


def _digests(names: Sequence[str], outcomes: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return part -> sha256 of its file of the inventory, as the workers read it."""
    pairs = zip(names, outcomes, strict=True)
    return {name: outcome["inputs"]["scan"] for name, outcome in pairs}


def _rejects(results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    rows = [row for result in results for row in result["rejects"]]
    return sorted(rows, key=lambda row: (row["key_hash"], row["code"]))


def _counts(
    outcomes: Sequence[Mapping[str, Any]],
    rejects: Sequence[Mapping[str, Any]],
    builder: TextBuilder,
) -> dict[str, Any]:
    """Return the content of counts.json."""
    totals: Counter[str] = Counter()
    for outcome in outcomes:
        totals.update(outcome["result"]["counts"])
    # exceptions for a study that is absent, or whose report comes in sections
    unused = len(builder.resources.rules) - totals["note:report.cut_by_rule"]
    totals.update({"note:exceptions.unused": unused} if unused else {})
    return text_stats.counts(totals, rejects)


def _header(
    counts: dict[str, Any],
    rejects: Sequence[dict[str, Any]],
    inventory: dict[str, Any],
    section: config.Texts,
    resources: text_resources.TextResources,
) -> dict[str, Any]:
    lost = accounting.dropped(rejects)
    return {
        "epoch": versions.TEXTS,
        "wording": resources.digest,
        "files": dict(resources.files),
        "toolchain": dict(resources.toolchain),
        "exceptions": len(resources.rules),
        "source": inventory["source"],
        "texts": section.text_parameters(),
        "studies": counts["studies"],
        "images": inventory["images"] - sum(lost.values()),
        "dropped": lost,
    }


def _show(
    source: str, counts: dict[str, Any], header: dict[str, Any], how: Mapping[str, int]
) -> None:
    rows: list[tuple[str, int]] = [("studies with a text", counts["studies"])]
    rows += [(f"{status} sentences", n) for status, n in counts["sentences"].items()]
    rows += [(f"- {reason} (images)", number) for reason, number in header["dropped"].items()]
    rows += [(f"note: {code}", number) for code, number in counts["notes"].items()]
    rows += [(f"parts {name}", number) for name, number in sorted(how.items())]
    cli.show(f"texts {source}", ("", "number"), rows)
    for line in codes.remedies([*cli.codes_in(header, "texts"), *counts["notes"]]):
        cli.say(line)


def run() -> int:
    """Run the command on the words of the command line; return its exit code."""
    return errors.run(main)


if __name__ == "__main__":
    sys.exit(run())
