"""Lists the studies and images of a raw tree in an inventory: patients, files, splits, parts.

    cxr-vlp scan mimic --root /data/physionet.org/files --out data/scan/mimic

It reads the tables, joins their rows by study, reads the files (digest, DICOM header), orders the
studies of each patient, and writes one file of studies per part, rejects.jsonl and inventory.json.
An unchanged tree is recognised by names, sizes and times alone; then nothing is read and nothing is
written. --dry-run reads the tables and the names of the files only, and prints what it understood.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cxr_vlp.pipelines import cli, codes, config, errors, parts, scan_preview
from cxr_vlp.pipelines.cache import checksums, file_index, row_digest, store
from cxr_vlp.pipelines.cache.tree_state import TreeState
from cxr_vlp.pipelines.engines.beam_flags import BeamFlags
from cxr_vlp.pipelines.errors import ConfigError, DataError
from cxr_vlp.pipelines.executor.progress import COUNTS, showing
from cxr_vlp.pipelines.files import atomic_dir, jsonl, paths, privacy
from cxr_vlp.pipelines.files.privacy import Protection
from cxr_vlp.pipelines.format import accounting
from cxr_vlp.pipelines.sources import ids, leave_out
from cxr_vlp.pipelines.sources.base import Source
from cxr_vlp.pipelines.sources.layers import base as layered
from cxr_vlp.pipelines.sources.layers.base import OpenLayer
from cxr_vlp.pipelines.sources.splits import PatientRule
from cxr_vlp.pipelines.stages import inventory_header, parameter_check, reject_limit

HEADER = "inventory.json"
PULLED = (
    ". Shards that were pulled need no raw tree: `dvc repro --downstream recipe@RECIPE` trains and "
    "evaluates on them (docs/second-lab.md)"
)
STOPPED = "nothing was published; facts of read files are kept, and the same command continues"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    flags, engine = cli.parse_stage(_parser(), arguments)
    settings = config.load(flags.params)
    collection = settings.collection(flags.source)
    section = settings.section("scan", config.Scan)
    source = settings.reader(flags.source)
    layers = settings.layers(flags.source)
    root = _root(flags.root or collection.root)
    naming = ids.Ids(source.name, ids.salt(section.salt), collection.ids == "salted")
    naming.check()
    recorded = parameter_check.of_scan(source, collection, section, naming.salt)
    _say_open_ids(source, collection)
    if flags.dry_run:
        tree = paths.RawTree(root, collection.links)
        return _preview(source, tree, collection, section, naming, recorded, layers)
    if flags.out is None:
        raise ConfigError("--out is missing: give the folder of the inventory, or --dry-run")
    cli.own_folder(flags.out, HEADER, source.name)
    terms = inventory_header.terms(source, root, layers)
    protection = Protection.of_inventory({"source": source.name, "ids": collection.ids, **terms})
    if naming.salted:
        ids.warn_of_open_salt(section.salt, flags.out)
    tree = paths.RawTree(root, collection.links, flags.state / "scan")
    COUNTS.clear()
    with (
        privacy.protecting(protection, flags.out, flags.state, first=True),
        showing(f"scan {source.name}", COUNTS.of_scan),
    ):
        tables = [paths.inside(each.root, table) for each in layers for table in each.tables]
        tree_state = TreeState.read(tree, recorded, flags.out / HEADER, flags.state, tables)
        changed = not tree_state.unchanged()
        if changed:
            header = _scan(
                source, tree, collection, section, naming, recorded, layers, flags, engine.beam
            )
            tree_state.save()
        else:
            header = jsonl.read_header(flags.out, HEADER, "scan")
    store.remove_unused_links(flags.state, flags.out.parent)
    row_digest.report(row_digest.DISCARDED.take())
    _show(source, header, "written" if changed else "unchanged")
    _say_guesses(source, tree)
    if changed:
        cli.print_dvc_commit("scan", source.name, flags.out)
    return 0


def _root(text: str) -> Path:
    """Return the raw root. Raises ConfigError, which under DVC says how to work without one."""
    try:
        return paths.root(text)
    except ConfigError as error:
        raise ConfigError(f"{error}{PULLED if store.under_dvc() else ''}") from None


def _parser() -> argparse.ArgumentParser:
    parser = cli.parser("scan", "List the studies and images of a raw tree in an inventory.")
    # a dry run writes no inventory, so it needs no folder
    parser.add_argument("--out", type=cli.stored, metavar="DIR", help="the inventory")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="print what the tables and the files' names say; open no image, write nothing",
    )
    return parser


def _preview(
    source: Source,
    tree: paths.RawTree,
    collection: config.Collection,
    section: config.Scan,
    naming: ids.Ids,
    recorded: Mapping[str, Any],
    layers: Sequence[OpenLayer],
) -> int:
    """Print what a scan would find. Raises DataError where the scan would stop."""
    rule = PatientRule(source.name, naming.salt, section.validate, section.test)
    left_out = _left_out(source, collection)
    read = tuple(map(layered.read, layers))
    made = scan_preview.of(source, tree, rule, naming, left_out, read)
    scan_preview.show(source, made, understood(source, tree))
    scan_preview.check(made)
    _check({**recorded, **made.header()}, recorded["missing"], tree)
    return 0


def understood(source: Source, tree: paths.RawTree) -> Sequence[Sequence[str]]:
    """Return (option, columns, how) of a reader that says how it understands columns."""
    explain = getattr(source, "understood", None)
    return explain(tree) if explain else ()


def _say_guesses(source: Source, tree: paths.RawTree) -> None:
    """Print the columns that were guessed: a guess is never silent."""
    guessed = [f"{option}: {column}" for option, column, how in understood(source, tree)
               if how == "guessed"]  # fmt: skip
    if guessed:
        cli.say(f"guessed from the names of columns: {'; '.join(guessed)}")


def _say_open_ids(source: Source, collection: config.Collection) -> None:
    """Print that the ids of a user's own table are not hidden."""
    if collection.preset == "table" and collection.ids == "source":
        cli.say(
            f"{source.name}: the ids of its table stand in the shards; for patients of your own "
            "write `ids: salted` and a secret scan.salt (docs/own-data.md)"
        )


def _scan(
    source: Source,
    tree: paths.RawTree,
    collection: config.Collection,
    section: config.Scan,
    naming: ids.Ids,
    recorded: Mapping[str, Any],
    layers: Sequence[OpenLayer],
    flags: argparse.Namespace,
    beam_flags: BeamFlags,
) -> dict[str, Any]:
    rule = PatientRule(source.name, naming.salt, section.validate, section.test)
    root = tree.root
    source.tables(tree)  # raises ConfigError if the root is not the collection
    read = tuple(map(layered.read, layers))
    with atomic_dir.publishing(flags.out, HEADER) as staging:
        names = parts.names(source.name, collection.parts)
        # imported here because Beam takes a second to import, and an unchanged tree needs none
        from cxr_vlp.pipelines import beam

        left_out = _left_out(source, collection)
        index = _file_index(root, collection, flags.state)
        inventory = beam.BuildInventory(
            source=source,
            root=str(root),
            rule=rule,
            ids=naming,
            counts=collection.parts,
            out=str(staging),
            file_index=index,
            official=collection.digests == "official",
            links=collection.links,
            layers=read,
            left_out=left_out,
        )
        before = reject_limit.number(jsonl.glimpse(flags.out / HEADER), "images")
        try:
            beam.run(inventory, flags.workers, beam_flags)
        finally:  # also keeps what a stopped or failed run has read
            file_index.shared(index).commit()
        beam.raise_faults(staging)
        header = inventory_header.of(staging, names, source, tree, recorded, left_out, layers)
        header |= inventory_header.with_layers(header, read, staging / beam.LAID)
        _check(header, collection.missing, tree)
        reject_limit.shrunk(before, header["images"], "images", allowed=flags.shrink)
        if naming.salted:
            ids.write_map(staging, names)
        jsonl.write_json(staging / HEADER, header)
    return header


def _left_out(source: Source, collection: config.Collection) -> leave_out.LeftOut:
    return leave_out.read(source, collection.leave_out, f"sources.{source.name}.leave_out")


def _file_index(root: Path, collection: config.Collection, state: Path) -> str:
    """Return the path of the tree's file index, with official digests if they are to be used."""
    path = file_index.path_of(root, state)
    if collection.digests == "official":
        checksums.load(root, file_index.shared(path))
    return path


def _check(header: Mapping[str, Any], missing: str, tree: paths.RawTree) -> None:
    """Raise DataError for missing files that a broken archive may hold, whatever `missing` says.

    And if files are missing under `missing: fail`, or if too much is rejected.
    """
    absent = header["dropped"].get("scan image.missing", 0)
    reports = header["notes"].get("report.missing", 0)
    if (absent or reports or not header["listed"]) and (broken := paths.broken(tree)):
        raise DataError(f"{broken} ({absent} images and {reports} reports are not on disk)")
    packed = f"; {found}" if absent and (found := paths.packed(tree)) else ""
    if missing == "fail" and (absent or reports):
        raise DataError(
            f"missing: {absent} images and {reports} reports are listed and not on disk; finish "
            f"the download, or set `missing: skip` for this source{packed}"
        )
    if not header["images"]:
        why = ", ".join(f"{number:,} {code}" for code, number in header["dropped"].items())
        remedies = "" if absent else "; ".join(codes.remedies(cli.codes_in(header)))
        raise DataError(
            f"no image of {header['listed']:,} listed can be used ({why or 'none is listed'}); "
            f"{remedies or paths.summary(tree)}"
        )
    reject_limit.check("scan", header, header["listed"], header["dropped"], header["images"])


def _show(source: Source, header: Mapping[str, Any], state: str) -> None:
    rows = accounting.rows(
        header["listed"], header["dropped"], header["images"], "images in inventory"
    )
    rows += [(f"with {each['name']}", each["images"]) for each in header["annotations"]]
    rows += [(f"note: {code}", number) for code, number in header["notes"].items()]
    title = f"scan {source.name}: {header['studies']:,} studies, {state}"
    cli.show(title, ("", "images"), rows)
    for line in codes.remedies(cli.codes_in(header), source.views_from):
        cli.say(line)


def run() -> int:
    """Run the command on the words of the command line; return its exit code."""
    return errors.run(main, STOPPED)


if __name__ == "__main__":
    sys.exit(run())
