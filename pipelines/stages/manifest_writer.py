"""Writes the files of a set beside its tars: sizes.json, rejects, features and the manifest."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cxr_vlp.pipelines.config import Shards
from cxr_vlp.pipelines.errors import DataError
from cxr_vlp.pipelines.files import jsonl
from cxr_vlp.pipelines.format import accounting, fingerprints, manifest, schema, versions
from cxr_vlp.pipelines.format.sample import SPLITS


def write(
    out: Path,
    results: Sequence[Mapping[str, Any]],
    inventory: Mapping[str, Any],
    texts: Mapping[str, Any],
    earlier: Sequence[Mapping[str, Any]],
    shards: Shards,
) -> dict[str, Any]:
    """Write sizes, rejects, features and, last, the manifest; return its header.

    `inventory` and `texts` are the headers of the inventory and of the texts, `earlier` are the
    reject rows of scan and texts. Raises DataError if the counts do not add up.
    """
    lines = [dict(result["line"]) for result in results]
    rejects = [*earlier, *(row for result in results for row in result["rejects"])]
    lost = accounting.dropped(rejects)
    written = sum(line["samples"] for line in lines)
    if fault := accounting.imbalance(inventory["listed"], lost, written, "shards"):
        raise DataError(fault)
    for split in SPLITS:
        sizes = {x["name"]: x["samples"] for x in lines if x["split"] == split and x["samples"]}
        jsonl.write_json(out / split / manifest.SIZES, sizes)
    order = sorted(rejects, key=lambda row: (row["step"], row["code"], row["key_hash"]))
    jsonl.write_records(out / manifest.REJECTS, order)
    jsonl.write_json(out / manifest.FEATURES, schema.features(shards.format))
    header = _header(inventory, texts, shards, lines, lost)
    header["digest"] = manifest.digest(header, lines, out / manifest.REJECTS)
    jsonl.write_records(out / manifest.NAME, [header, *lines])
    return header


def _header(
    inventory: Mapping[str, Any],
    texts: Mapping[str, Any],
    shards: Shards,
    lines: Sequence[Mapping[str, Any]],
    lost: Mapping[str, int],
) -> dict[str, Any]:
    """Return the header of the manifest, without its digest."""
    return {
        "format": versions.FORMAT,
        "pixels_epoch": versions.PIXELS,
        "texts_epoch": versions.TEXTS,
        "source": inventory["source"],
        "title": inventory["title"],
        "licence": inventory["licence"],
        "credentialed": inventory["credentialed"],
        "layers": inventory["annotations"],
        "parts": inventory["parts"],
        "ids": inventory["ids"],
        "salt_sha256": inventory["scan"]["salt"],
        "texts": texts["texts"],
        "wording": texts["wording"],
        "exceptions": texts["exceptions"],
        "shards": dataclasses.asdict(shards),
        "toolchain": fingerprints.pixel_toolchain() | texts.get("toolchain", {}),
        "listed": inventory["listed"],
        "dropped": lost,
        "written": sum(line["samples"] for line in lines),
        "studies": sum(line["studies"] for line in lines),
        "notes": _notes(inventory["notes"], lines),
    }


def _notes(listed: Mapping[str, int], lines: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Return how often each note was made, by scan and on the images."""
    total = Counter(listed)
    for line in lines:
        total.update(line["notes"])
    return dict(sorted(total.items()))
