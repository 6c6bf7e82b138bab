"""Raw tree in, inventory out: who, what, which split, which part.

    python -m pipelines.scan mimic --root /data/physionet.org/files --out data/scan/mimic

tables -> joined by study -> files read (digest, DICOM header) -> placed by patient -> one file of
studies a part, beside rejects.jsonl and inventory.json. An unchanged tree is found by names, sizes
and times alone; then nothing is read and nothing is written.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines import (
    codes,
    commands,
    epochs,
    faults,
    fingerprints,
    flow,
    ids,
    official,
    params,
    parts,
    paths,
    publishing,
    storage,
)
from pipelines.earlier import memory
from pipelines.earlier.lookback import Glance
from pipelines.faults import DataError
from pipelines.sources import reader
from pipelines.sources.base import Source
from pipelines.splits import PatientRule
from pipelines.workers.watching import counting

HEADER = "inventory.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    flags, beam_flags = _parser().parse_known_args(arguments)
    settings = params.load(flags.params)
    collection = settings.collection(flags.source)
    section = settings.section("scan", params.Scan)
    source = reader(flags.source, collection.reader)
    root = paths.root(flags.root or collection.root)
    naming = ids.Ids(source.name, ids.salt(section.salt), collection.ids == "salted")
    naming.check()
    recorded = _parameters(source, collection, section, naming)
    commands.own_folder(flags.out, HEADER, source.name)
    tree = paths.Tree(root, collection.links)
    glance = Glance.take(tree, recorded, flags.out / HEADER, flags.state)
    if glance.unchanged():
        header = storage.read_header(flags.out, HEADER, "scan")
        _show(source, header, "nothing moved")
        return 0
    header = _scan(source, tree, collection, section, naming, recorded, flags, beam_flags)
    glance.keep()
    _show(source, header, "written")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = commands.parser("scan", "Look through a raw tree and write the inventory of it.")
    commands.folders(parser, out="the inventory")
    return parser


def _parameters(
    source: Source, collection: params.Collection, section: params.Scan, naming: ids.Ids
) -> dict[str, Any]:
    """Return all that decides the inventory's bytes beside the tree itself; no root, no host."""
    return {
        "epoch": epochs.SCAN,
        "format": epochs.FORMAT,
        "source": source.name,
        "reader": dataclasses.asdict(source),  # type: ignore[call-overload]
        "parts": dict(collection.parts),
        "missing": collection.missing,
        "digests": collection.digests,
        "max_rejects": collection.max_rejects,
        "links": collection.links,
        "ids": collection.ids,
        # the salt itself is a secret: a digest tells whether it changed
        "scan": dataclasses.asdict(section) | {"salt": fingerprints.of(naming.salt)},
    }


def _scan(
    source: Source,
    tree: paths.Tree,
    collection: params.Collection,
    section: params.Scan,
    naming: ids.Ids,
    recorded: Mapping[str, Any],
    flags: argparse.Namespace,
    beam_flags: Sequence[str],
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
        with counting(staging, "*.jsonl", len(names), "scan"):
            transforms.run(take, flags.workers, beam_flags)
        memory.at(known).commit()
        transforms.raise_faults(staging)
        header = _header(staging, names, source, tree, recorded)
        _check(header, collection.missing, tree)
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
        "title": source.title,
        "licence": source.licence,
        "credentialed": source.credentialed,
        "listed": counts.get("listed", 0),
        "dropped": lost,
        "images": images,
        "studies": studies,
        "notes": {k.removeprefix("note:"): n for k, n in counts.items() if k.startswith("note:")},
        "tables": {t.name: storage.sha256(paths.inside(tree, t.path)) for t in tables},
    }


def _check(header: Mapping[str, Any], missing: str, tree: paths.Tree) -> None:
    """Hold the policy on missing files; raise DataError where it is `fail` or nothing is left."""
    absent = header["dropped"].get("scan image.missing", 0)
    reports = header["notes"].get("report.missing", 0)
    if missing == "fail" and (absent or reports):
        raise DataError(
            f"missing: {absent} images and {reports} reports are listed and not on disk; finish "
            "the download, or set `missing: skip` for this source"
        )
    if not header["images"]:
        why = ", ".join(f"{number:,} {code}" for code, number in header["dropped"].items())
        raise DataError(
            f"no image of {header['listed']:,} listed can be used ({why or 'none is listed'}); "
            f"{paths.seen(tree)}"
        )


def _show(source: Source, header: Mapping[str, Any], state: str) -> None:
    rows = flow.rows(header["listed"], header["dropped"], header["images"], "images in inventory")
    rows += [(f"note: {code}", number) for code, number in header["notes"].items()]
    title = f"scan {source.name}: {header['studies']:,} studies, {state}"
    commands.show(title, ("", "images"), rows)
    for line in _advice(source, header):
        commands.say(line)


def _advice(source: Source, header: Mapping[str, Any]) -> list[str]:
    """Return a line for each code met: what it means and what to do, where there is something."""
    met = [code.split()[-1] for code in header["dropped"]] + list(header["notes"])
    lines = dict.fromkeys(codes.advice(code, source.views_from) for code in met)
    return [line for line in lines if line]


if __name__ == "__main__":
    faults.run(main)
