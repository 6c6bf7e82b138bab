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
from cxr_vlp.pipelines.stages import scan_join


def of(
    counts: Counter[str],
    files: Mapping[str, str],
    recorded: Mapping[str, Any],
    described: Mapping[str, Any],
    tables: Mapping[str, str],
    left_out: LeftOut,
    layers: Sequence[ReadLayer],
) -> dict[str, Any]:
    """Return the header of an inventory.

    `counts` are those of all studies (scan_join), `files` the digests of the parts, `recorded` the
    parameters, `described` what `terms` returned, `tables` the digests of the collection's tables.
    Raises DataError if the images that are listed, lost and found do not add up, and for a layer of
    which no image is in the inventory.
    """
    lost = dict(sorted(counted(counts, scan_join.LOST).items()))
    if fault := accounting.imbalance(counts["listed"], lost, counts["images"], "scan"):
        raise DataError(fault)
    notes = Counter(counted(counts, scan_join.NOTE)) + Counter(left_out.notes(_named(counts)))
    annotations = []
    for each, shown in zip(layers, described["annotations"], strict=True):
        matched = counted(counts, f"{scan_join.LAID}{each.layer.name}\0")
        notes.update(each.notes)
        notes[f"layer.unmatched:{each.layer.name}"] += layered.unmatched(each, matched)
        annotations.append(shown | {"images": len(matched)})
    return {
        **recorded,
        **described,
        "annotations": annotations,
        "listed": counts["listed"],
        "dropped": lost,
        "images": counts["images"],
        "studies": counts["studies"],
        "notes": dict(sorted((+notes).items())),
        "tables": dict(tables),
        # a later stage knows by them whether a part changed, without reading it
        "files": dict(files),
    }


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


def is_described(header: Mapping[str, Any], described: Mapping[str, Any]) -> bool:
    """Return whether a header says of the collection and its layers what `terms` says now."""
    layers = [{k: v for k, v in each.items() if k != "images"} for each in header["annotations"]]
    return {**header, "annotations": layers} == {**header, **described}


def counted(counts: Mapping[str, int], prefix: str) -> dict[str, int]:
    """Return what is counted under a prefix, without the prefix and without zeros."""
    return {k.removeprefix(prefix): n for k, n in counts.items() if n and k.startswith(prefix)}


def _named(counts: Mapping[str, int]) -> dict[int, int]:
    """Return list -> how many of its ids name somebody."""
    return Counter(int(key.partition("\0")[0]) for key in counted(counts, scan_join.HIT))


def _terms_of(made: Source | Layer, root: Path) -> dict[str, Any]:
    """Return title, licence and whether it is credentialed; a synthetic tree has no terms."""
    title = made.title or made.name  # a table of your own need not have one
    if synthetic_marker.wholly_synthetic(root):
        licence = "synthetic, of nobody; under cxr-vlp's own licence"
        return {"title": f"{title} (synthetic)", "licence": licence, "credentialed": False}
    return {"title": title, "licence": made.licence, "credentialed": made.credentialed}
