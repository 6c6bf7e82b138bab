"""The results of all parts in, the files beside the tars out: sizes.json, rejects, manifest."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cxr_vlp.pipelines.config import Shards
from cxr_vlp.pipelines.files import jsonl
from cxr_vlp.pipelines.format import accounting, fingerprints, schema, versions
from cxr_vlp.pipelines.records import SPLITS

NAME = "manifest.jsonl"
REJECTS = "rejects.jsonl"
SIZES = "sizes.json"


def write(
    out: Path,
    results: Sequence[Mapping[str, Any]],
    inventory: Mapping[str, Any],
    texts: Mapping[str, Any],
    earlier: Sequence[Mapping[str, Any]],
    shards: Shards,
) -> dict[str, Any]:
    """Write sizes, rejects, features and, last, the manifest; return its header.

    `inventory` and `texts` are the headers of what the set was made of, `earlier` are the reject
    rows of scan and texts. Raises DataError when the counts do not add up.
    """
    lines = [dict(result["line"]) for result in results]
    rejects = [*earlier, *(row for result in results for row in result["rejects"])]
    lost = accounting.dropped(rejects)
    written = sum(line["samples"] for line in lines)
    accounting.balance(inventory["listed"], lost, written, "shards")
    for split in SPLITS:
        sizes = {x["name"]: x["samples"] for x in lines if x["split"] == split and x["samples"]}
        jsonl.write_json(out / split / SIZES, sizes)
    order = sorted(rejects, key=lambda row: (row["step"], row["code"], row["key_hash"]))
    jsonl.write_records(out / REJECTS, order)
    jsonl.write_json(out / schema.FEATURES, schema.features(shards.format))
    header = {
        "format": versions.FORMAT,
        "pixels_epoch": versions.PIXELS,
        "texts_epoch": versions.TEXTS,
        "source": inventory["source"],
        "title": inventory["title"],
        "licence": inventory["licence"],
        "credentialed": inventory["credentialed"],
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
        "written": written,
        "studies": sum(line["studies"] for line in lines),
        "notes": _notes(inventory["notes"], lines),
    }
    header["digest"] = digest(header, lines, out / REJECTS)
    jsonl.write_records(out / NAME, [header, *lines])
    return header


def _notes(listed: Mapping[str, int], lines: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Return the notes of scan and those on the images, each with how often it was made."""
    total = Counter(listed)
    for line in lines:
        total.update(line["notes"])
    return dict(sorted(total.items()))


def digest(header: Mapping[str, Any], lines: Sequence[Mapping[str, Any]], rejects: Path) -> str:
    """Return what header["digest"] must be; the tars are in it by the digests on their lines."""
    facts = {name: value for name, value in header.items() if name != "digest"}
    return fingerprints.of([facts, list(lines), jsonl.sha256(rejects)])


def files(results: Sequence[Mapping[str, Any]]) -> set[str]:
    """Return the relative paths of all files of a set."""
    lines = [result["line"] for result in results]
    tars = {f"{line['split']}/{line['name']}" for line in lines if line["samples"]}
    return tars | {f"{split}/{SIZES}" for split in SPLITS} | {NAME, REJECTS, schema.FEATURES}


def read(folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return (header, shard lines) of a finished set. Raises StopIteration for an empty file."""
    rows = jsonl.read_records(folder / NAME)
    return next(rows), list(rows)


def sets(folder: Path) -> Iterator[Path]:
    """Yield the sets in a folder: the folder itself, or those right below it."""
    if (folder / NAME).is_file():
        yield folder
        return
    found = (path.parent for path in sorted(folder.glob(f"*/{NAME}")))
    yield from (path for path in found if not path.name.startswith("."))  # staging is no set
