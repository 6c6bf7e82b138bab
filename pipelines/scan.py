"""Raw tree in, inventory out: who, what, which split, which part.

    python -m pipelines.scan mimic --root /data/physionet.org/files --out data/scan/mimic

tables -> joined by study -> files read (digest, DICOM header) -> placed by patient -> one file of
studies a part, beside rejects.jsonl and inventory.json. An unchanged tree is found by names, sizes
and times alone; then nothing is read and nothing is written.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines import (
    agreement,
    ceilings,
    codes,
    commands,
    faults,
    flow,
    ids,
    official,
    params,
    parts,
    paths,
    privacy,
    publishing,
    runners,
    storage,
)
from pipelines.earlier import memory, sealed, stock
from pipelines.earlier.lookback import Glance
from pipelines.faults import DataError
from pipelines.lookalike import marker
from pipelines.privacy import Care
from pipelines.sources import reader
from pipelines.sources.base import Source
from pipelines.splits import PatientRule
from pipelines.workers.progress import COUNTS, following

HEADER = "inventory.json"
STOPPED = "nothing was published, and what was read is remembered: the same command goes on"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    flags, beam = runners.checked(_parser(), arguments)
    settings = params.load(flags.params)
    collection = settings.collection(flags.source)
    section = settings.section("scan", params.Scan)
    source = reader(flags.source, collection.reader, settings.path)
    root = paths.root(flags.root or collection.root)
    naming = ids.Ids(source.name, ids.salt(section.salt), collection.ids == "salted")
    naming.check()
    recorded = agreement.of_scan(source, collection, section, naming.salt)
    commands.own_folder(flags.out, HEADER, source.name)
    terms = _terms(source, root)
    care = Care(source.name, terms["licence"], terms["credentialed"], naming.salted)
    tree = paths.Tree(root, collection.links)
    COUNTS.clear()
    with (
        privacy.taking(care, flags.out, flags.state, first=True),
        following(f"scan {source.name}", COUNTS.of_scan),
    ):
        glance = Glance.take(tree, recorded, flags.out / HEADER, flags.state)
        moved = not glance.unchanged()
        if moved:
            header = _scan(source, tree, collection, section, naming, recorded, flags, beam)
            glance.keep()
        else:
            header = storage.read_header(flags.out, HEADER, "scan")
    stock.sweep(flags.state, flags.out.parent)
    sealed.tell(sealed.THROWN.take())
    _show(source, header, "written" if moved else "nothing moved")
    if moved:
        commands.handed_over("scan", source.name, flags.out)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = commands.parser("scan", "Look through a raw tree and write the inventory of it.")
    commands.folders(parser, out="the inventory")
    return parser


def _scan(
    source: Source,
    tree: paths.Tree,
    collection: params.Collection,
    section: params.Scan,
    naming: ids.Ids,
    recorded: Mapping[str, Any],
    flags: argparse.Namespace,
    beam: runners.BeamFlags,
) -> dict[str, Any]:
    rule = PatientRule(source.name, naming.salt, section.validate, section.test)
    root = tree.root
    source.tables(tree)  # a root that is not such a collection stops here, with a plain message
    with publishing.publishing(flags.out, HEADER) as staging:
        names = parts.names(source.name, collection.parts)
        # here, and not above: Beam takes a second to import, which an unmoved tree need not pay
        from pipelines import transforms

        known = _memory(root, collection, flags.state)
        take = transforms.Inventory(
            source=source,
            root=str(root),
            rule=rule,
            ids=naming,
            counts=collection.parts,
            out=str(staging),
            memory=known,
            official=collection.digests == "official",
            links=collection.links,
        )
        before = ceilings.number(storage.glimpse(flags.out / HEADER), "images")
        try:
            transforms.run(take, flags.workers, beam)
        finally:  # also what a run has read that is stopped, or fails
            memory.at(known).commit()
        transforms.raise_faults(staging)
        header = _header(staging, names, source, tree, recorded)
        _check(header, collection.missing, tree)
        ceilings.shrunk(before, header["images"], "images", allowed=flags.shrink)
        if naming.salted:
            ids.write_map(staging, names)
        storage.write_json(staging / HEADER, header)
    return header


def _memory(root: Path, collection: params.Collection, state: Path) -> str:
    """Return the file that remembers what was read of this tree, official digests taken in."""
    path = memory.of_tree(root, state)
    if collection.digests == "official":
        official.learn(root, memory.at(path))
    return path


def _header(
    staging: Path,
    names: Sequence[str],
    source: Source,
    tree: paths.Tree,
    recorded: Mapping[str, Any],
) -> dict[str, Any]:
    counts: dict[str, int] = {}
    if (staging / "counts.jsonl").exists():
        counts.update(storage.read_records(staging / "counts.jsonl"))
        (staging / "counts.jsonl").unlink()
    studies = images = 0
    for name in names:  # every part has its file, also one that no study fell into
        path = staging / f"{name}.jsonl"
        if not path.exists():
            storage.write_lines(path, ())
        for row in storage.read_records(path):
            studies, images = studies + 1, images + len(row["images"])
    if not (staging / "rejects.jsonl").exists():
        storage.write_lines(staging / "rejects.jsonl", ())
    lost = flow.dropped(storage.read_records(staging / "rejects.jsonl"))
    flow.balance(counts.get("listed", 0), lost, images, "scan")
    tables = [t for t in source.tables(tree) if t.path]
    return {
        **recorded,
        **_terms(source, tree.root),
        "listed": counts.get("listed", 0),
        "dropped": lost,
        "images": images,
        "studies": studies,
        "notes": {k.removeprefix("note:"): n for k, n in counts.items() if k.startswith("note:")},
        "tables": {t.name: storage.sha256(paths.inside(tree, t.path)) for t in tables},
    }


def _terms(source: Source, root: Path) -> dict[str, Any]:
    """Return what the collection is and under which terms; a made-up tree has none of them."""
    if marker.made_up(root):
        licence = "synthetic, of nobody; under cxr-vlp's own licence"
        return {"title": f"{source.title} (synthetic)", "licence": licence, "credentialed": False}
    return {
        "title": source.title,
        "licence": source.licence,
        "credentialed": source.credentialed,
    }


def _check(header: Mapping[str, Any], missing: str, tree: paths.Tree) -> None:
    """Hold the policy on missing files; raise DataError where it is `fail` or too much is lost."""
    absent = header["dropped"].get("scan image.missing", 0)
    reports = header["notes"].get("report.missing", 0)
    if missing == "fail" and (absent or reports):
        raise DataError(
            f"missing: {absent} images and {reports} reports are listed and not on disk; finish "
            "the download, or set `missing: skip` for this source"
        )
    if not header["images"]:
        why = ", ".join(f"{number:,} {code}" for code, number in header["dropped"].items())
        remedies = "" if absent else "; ".join(codes.remedies(commands.met(header)))
        raise DataError(
            f"no image of {header['listed']:,} listed can be used ({why or 'none is listed'}); "
            f"{remedies or paths.seen(tree)}"
        )
    ceilings.hold("scan", header, header["listed"], header["dropped"], header["images"])


def _show(source: Source, header: Mapping[str, Any], state: str) -> None:
    rows = flow.rows(header["listed"], header["dropped"], header["images"], "images in inventory")
    rows += [(f"note: {code}", number) for code, number in header["notes"].items()]
    title = f"scan {source.name}: {header['studies']:,} studies, {state}"
    commands.show(title, ("", "images"), rows)
    for line in codes.remedies(commands.met(header), source.views_from):
        commands.say(line)


if __name__ == "__main__":
    faults.run(main, STOPPED)
