"""Makes the header of an inventory: what was counted, whose data it is, and what layers add."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cxr_vlp.pipelines.errors import DataError
from cxr_vlp.pipelines.files import jsonl, paths, synthetic_marker
from cxr_vlp.pipelines.format import accounting
from cxr_vlp.pipelines.sources.base import Source
from cxr_vlp.pipelines.sources.layers import base as layered
from cxr_vlp.pipelines.sources.layers.base import Layer, OpenLayer, ReadLayer
from cxr_vlp.pipelines.sources.leave_out import LeftOut


def of(
    staging: Path,
    names: Sequence[str],
    source: Source,
    tree: paths.RawTree,
    recorded: Mapping[str, Any],
    left_out: LeftOut,
    layers: Sequence[OpenLayer],
) -> dict[str, Any]:
    """Return the header of the inventory in `staging`, whose parts are `names`.

    `recorded` are its parameters. Empty parts and an empty list of rejects are written.
    Raises DataError if the images that are listed, lost and found do not add up.
    """
    counts: dict[str, int] = {}
    if (staging / "counts.jsonl").exists():
        counts.update(jsonl.read_records(staging / "counts.jsonl"))
        (staging / "counts.jsonl").unlink()
    studies = images = 0
    for name in names:  # a part without studies has a file too
        path = staging / f"{name}.jsonl"
        if not path.exists():
            jsonl.write_lines(path, ())
        for row in jsonl.read_records(path):
            studies, images = studies + 1, images + len(row["images"])
    if not (staging / "rejects.jsonl").exists():
        jsonl.write_lines(staging / "rejects.jsonl", ())
    lost = accounting.dropped(jsonl.read_records(staging / "rejects.jsonl"))
    if fault := accounting.imbalance(counts.get("listed", 0), lost, images, "scan"):
        raise DataError(fault)
    tables = [t for t in source.tables(tree) if t.path]
    return {
        **recorded,
        **terms(source, tree.root, layers),
        "listed": counts.get("listed", 0),
        "dropped": lost,
        "images": images,
        "studies": studies,
        "notes": _counted(counts, "note:") | left_out.notes(_named(counts)),
        "tables": {t.name: jsonl.sha256(paths.inside(tree, t.path)) for t in tables},
        # a later stage knows by them whether a part changed, without reading it
        "files": {name: jsonl.sha256(staging / f"{name}.jsonl") for name in names},
    }


def with_layers(
    header: Mapping[str, Any], layers: Sequence[ReadLayer], laid: Path
) -> dict[str, Any]:
    """Return the header's notes, and its layers, with what was found of each in the inventory.

    Raises DataError for a layer of which no image is in the inventory.
    """
    notes: Counter[str] = Counter(header["notes"])
    matched: dict[str, set[str]] = {each.layer.name: set() for each in layers}
    for name, image in jsonl.read_records(laid) if laid.exists() else ():
        matched[name].add(image)
    laid.unlink(missing_ok=True)
    for each in layers:
        notes.update(each.notes)
        name = each.layer.name
        notes[f"layer.unmatched:{name}"] += layered.unmatched(each, matched[name])
    described = [each | {"images": len(matched[each["name"]])} for each in header["annotations"]]
    return {"notes": dict(sorted((+notes).items())), "annotations": described}


def terms(source: Source, root: Path, layers: Sequence[OpenLayer]) -> dict[str, Any]:
    """Return what the collection and its layers are, and under which terms.

    A set is at least as closed as each of its layers.
    """
    own = _terms_of(source, root)
    others = [
        {
            "name": each.layer.name,
            **_terms_of(each.layer, each.root.root),
            "tables": {
                table.rpartition("/")[2]: jsonl.sha256(paths.inside(each.root, table))
                for table in each.tables
            },
        }
        for each in layers
    ]
    closed = own["credentialed"] or any(each["credentialed"] for each in others)
    return {**own, "credentialed": closed, "annotations": others}


def _counted(counts: Mapping[str, int], prefix: str) -> dict[str, int]:
    return {k.removeprefix(prefix): n for k, n in counts.items() if k.startswith(prefix)}


def _named(counts: Mapping[str, int]) -> dict[int, int]:
    """Return list -> how many of its ids name somebody."""
    return {int(place): n for place, n in _counted(counts, "named:").items()}


def _terms_of(made: Source | Layer, root: Path) -> dict[str, Any]:
    """Return title, licence and whether it is credentialed; a synthetic tree has no terms."""
    title = made.title or made.name  # a table of your own need not have one
    if synthetic_marker.wholly_synthetic(root):
        licence = "synthetic, of nobody; under cxr-vlp's own licence"
        return {"title": f"{title} (synthetic)", "licence": licence, "credentialed": False}
    return {"title": title, "licence": made.licence, "credentialed": made.credentialed}
