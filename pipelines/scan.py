"""Lists the studies and images of a raw tree in an inventory: patients, files, splits, parts.

    cxr-vlp scan mimic --root /data/physionet.org/files --out data/scan/mimic

It reads the tables, joins their rows by study, reads the files (digest, DICOM header), orders the
studies of each patient, and writes one file of studies per part, rejects.jsonl and inventory.json.
What it read is in the inventory's index.sqlite. A later scan compares the names, sizes and times of
the files with it, and makes only what changed: of an unchanged tree nothing is read and nothing is
written, and a changed image costs the reading of its patient. --dry-run reads the tables and the
names of the files only, and prints what it understood.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from cxr_vlp.pipelines import cli, codes, config, errors, scan_preview
from cxr_vlp.pipelines.cache import row_digest, scan_index, store
from cxr_vlp.pipelines.cache.identity import FileDigests
from cxr_vlp.pipelines.cache.scan_index import DamagedError
from cxr_vlp.pipelines.engines import driver
from cxr_vlp.pipelines.engines.base import Element
from cxr_vlp.pipelines.engines.flags import Choice
from cxr_vlp.pipelines.errors import ConfigError, DataError, LockedError
from cxr_vlp.pipelines.executor.progress import COUNTS, showing
from cxr_vlp.pipelines.files import atomic_dir, jsonl, paths, privacy
from cxr_vlp.pipelines.files.privacy import Protection
from cxr_vlp.pipelines.format import accounting
from cxr_vlp.pipelines.sources import ids, leave_out
from cxr_vlp.pipelines.sources.base import Source
from cxr_vlp.pipelines.sources.layers import base as layered
from cxr_vlp.pipelines.sources.layers.base import OpenLayer
from cxr_vlp.pipelines.sources.splits import PatientRule
from cxr_vlp.pipelines.stages import (
    inventory_header,
    parameter_check,
    reject_limit,
    scan_changes,
    scan_update,
)
from cxr_vlp.pipelines.stages.scan_changes import Plan, Seen, Touched
from cxr_vlp.pipelines.stages.scan_study import ReadPatients
from cxr_vlp.pipelines.stages.scan_update import Made, Mapped
from cxr_vlp.pipelines.storage import mirror
from cxr_vlp.pipelines.storage.place import is_remote

HEADER = "inventory.json"
PULLED = (
    ". Shards that were pulled need no raw tree: `dvc repro --downstream recipe@RECIPE` trains and "
    "evaluates on them (docs/second-lab.md)"
)
STOPPED = "nothing was published; facts of read files are kept, and the same command continues"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    flags, choice = cli.parse_stage(_parser(), arguments)
    flags.state = cli.local_state(flags.state)
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
    COUNTS.clear()
    with (
        privacy.protecting(protection, flags.out, flags.state, first=True),
        showing(f"scan {source.name}", COUNTS.of_scan),
        mirror.mirrored(flags.out, HEADER, mirror.folder(flags.state, flags.out)) as out,
    ):
        tree = paths.RawTree(root, collection.links, flags.state / "scan")
        kept = scan_index.place(flags.state, root, out)
        plan = _plan(source, tree, collection, section, naming, recorded, layers, terms, kept, out)
        done = _scan(plan, flags, choice)
        if done.written:  # so that later stages need not hash the parts
            FileDigests.of_source(flags.state, source.name).record(flags.out, done.header["files"])
    store.remove_unused_links(flags.state, flags.out.parent)
    row_digest.report(row_digest.DISCARDED.take())
    _show(source, done.header, "written" if done.written else "unchanged")
    if done.guessed:
        cli.say(f"guessed from the names of columns: {'; '.join(done.guessed)}")
    if done.written:
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
    _check({**recorded, **made.header()}, tree)
    return 0


def understood(source: Source, tree: paths.RawTree) -> Sequence[Sequence[str]]:
    """Return (option, columns, how) of a reader that says how it understands columns."""
    explain = getattr(source, "understood", None)
    return explain(tree) if explain else ()


def _guesses(source: Source, tree: paths.RawTree) -> list[str]:
    """Return the columns that were guessed: a guess is never silent."""
    return [f"{option}: {column}" for option, column, how in understood(source, tree)
            if how == "guessed"]  # fmt: skip


def _say_open_ids(source: Source, collection: config.Collection) -> None:
    """Print that the ids of a user's own table are not hidden."""
    if collection.preset == "table" and collection.ids == "source":
        cli.say(
            f"{source.name}: the ids of its table stand in the shards; for patients of your own "
            "write `ids: salted` and a secret scan.salt (docs/own-data.md)"
        )


def _plan(
    source: Source,
    tree: paths.RawTree,
    collection: config.Collection,
    section: config.Scan,
    naming: ids.Ids,
    recorded: Mapping[str, Any],
    layers: Sequence[OpenLayer],
    terms: Mapping[str, Any],
    kept: Path,
    out: Path,
) -> Plan:
    return Plan(
        source=source,
        tree=tree,
        rule=PatientRule(source.name, naming.salt, section.validate, section.test),
        ids=naming,
        counts=collection.parts,
        official=collection.digests == "official",
        recorded=recorded,
        opened_layers=tuple(layers),
        read_left_out=lambda: _left_out(source, collection),
        terms=terms,
        kept=kept,
        out=out,
        header=HEADER,
    )


class _Done(NamedTuple):
    """What a scan ended with."""

    header: dict[str, Any]
    written: bool  # False: the inventory is as it was
    guessed: Sequence[str]  # columns


class _SameError(Exception):
    """The new inventory has the bytes of the old one; only the index is another."""


def _scan(plan: Plan, flags: argparse.Namespace, choice: Choice) -> _Done:
    """Bring the inventory up to date. Raises DataError, ConfigError and StorageError."""
    seen = scan_changes.compare(plan)
    if seen is not None and seen.nothing:
        header = jsonl.read_header(plan.out, HEADER, "scan")
        if inventory_header.is_described(header, plan.terms):
            atomic_dir.remove_left(plan.out)
            return _Done(header, False, seen.facts["guessed"])
    try:
        what = scan_changes.touched(plan, seen) if seen is not None else None
        if seen is not None and what is not None:
            return _published(plan, flags, choice, (seen, what))
    except DamagedError:
        row_digest.DISCARDED.add()
    return _published(plan, flags, choice, None)


def _published(
    plan: Plan,
    flags: argparse.Namespace,
    choice: Choice,
    update: tuple[Seen, Touched] | None,
) -> _Done:
    """Make the inventory, or what an update changes of it, and put it in the old one's place."""
    before = jsonl.glimpse(plan.out / HEADER)
    header: dict[str, Any] = {}
    guessed: Sequence[str] = ()
    with contextlib.suppress(_SameError), atomic_dir.publishing(plan.out, HEADER) as staging:
        made = _made(plan, staging, _mapped(flags, choice, plan.tree.root), update)
        header = inventory_header.of(
            made.counts, made.files, plan.recorded, plan.terms, made.tables, plan.left_out,
            plan.layers,
        )  # fmt: skip
        _check(header, plan.tree, packed=made.run["packed"])
        reject_limit.shrunk(
            reject_limit.number(before, "images"), header["images"], "images", allowed=flags.shrink
        )
        if update is None or update[1].opened is not None:
            made.run["guessed"] = _guesses(plan.source, plan.tree)
        guessed = made.run["guessed"]
        if update is not None and header == before and not made.rejects_changed:
            made.finish(staging, made.run["files"])
            (staging / scan_index.NAME).replace(plan.out / scan_index.NAME)
            raise _SameError
        if plan.ids.salted:
            ids.write_map(staging, plan.parts)
        jsonl.write_json(staging / HEADER, header)
        made.finish(staging)
        update = None
    scan_index.keep(plan.out / scan_index.NAME, plan.kept)
    for stopped in (plan.partial, plan.rows):
        stopped.unlink(missing_ok=True)
    return _Done(header, update is None, guessed)


def _made(plan: Plan, staging: Path, mapped: Mapped, update: tuple[Seen, Touched] | None) -> Made:
    """Make the parts. Raises LockedError if another run has just written the inventory."""
    if update is None:
        return scan_update.full(plan, staging, mapped)
    seen, what = update
    if (plan.out / scan_index.NAME).stat().st_ino != seen.inode:
        raise LockedError(f"{plan.out}: another run has just written it: run again")
    return scan_update.changed(plan, staging, mapped, seen, what)


def _mapped(flags: argparse.Namespace, choice: Choice, root: Path) -> Mapped:
    """Return what reads the files of patients: threads of this process, or an outside engine."""
    if choice.name == "beam" and choice.beam.local:
        threads = min(flags.workers, scan_update.MOST_THREADS)
        here = partial(scan_update.here, workers=threads)
        return Mapped(here, scan_update.in_batches(scan_update.FEWER * threads))
    # an inventory of a store is made on this machine, which outside workers do not see
    shared = atomic_dir.staging(flags.out)
    settings = cli.run_settings("scan", flags, shared, root=str(root))

    def elsewhere(
        work: ReadPatients, elements: Sequence[Element]
    ) -> Iterator[tuple[str, Mapping[str, Any]]]:
        if scan_update.is_small(elements):  # an engine takes longer to start
            yield from scan_update.here(work, elements)
            return
        with contextlib.closing(driver.answers(work, elements, settings, choice)) as found:
            for name, result in found:
                COUNTS.add("files", sum(patient["seen"] for patient in result["patients"]))
                yield name, result
        if not is_remote(shared):  # publishing removes it from a store
            shutil.rmtree(settings.results, ignore_errors=True)

    return Mapped(elsewhere, scan_update.packed)


def _left_out(source: Source, collection: config.Collection) -> leave_out.LeftOut:
    return leave_out.read(source, collection.leave_out, f"sources.{source.name}.leave_out")


def _check(header: Mapping[str, Any], tree: paths.RawTree, *, packed: bool = True) -> None:
    """Raise DataError for missing files that a broken archive may hold, whatever `missing` says.

    `packed` says whether the tree has an archive. Also if files are missing under `missing: fail`,
    or if too much is rejected.
    """
    absent = header["dropped"].get("scan image.missing", 0)
    reports = header["notes"].get("report.missing", 0)
    few = absent or reports or not header["listed"]
    if packed and few and (broken := paths.broken(tree)):
        raise DataError(f"{broken} ({absent} images and {reports} reports are not on disk)")
    how = f"; {found}" if packed and absent and (found := paths.packed(tree)) else ""
    if header["missing"] == "fail" and (absent or reports):
        raise DataError(
            f"missing: {absent} images and {reports} reports are listed and not on disk; finish "
            f"the download, or set `missing: skip` for this source{how}"
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
