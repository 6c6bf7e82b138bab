"""A finished set (or a folder of sets) in, every breach of the shard format out.

    python -m pipelines.verify data/shards/mimic --deep

Checks digests, names, members, headers, JSON fields, sizes.json, counts, keys unique over all
shards of all sets, and that no patient is in two splits. --deep decodes every picture as well.
Exit 0 when the contract holds, 65 when it does not.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipelines import commands, faults, flow, manifest, storage
from pipelines.contract import check_tar
from pipelines.faults import ConfigError
from pipelines.records import SPLITS


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = commands.parser("verify", "Check finished shards against the format.", source=False)
    parser.add_argument("shards", type=Path, metavar="DIR", help="a set, or a folder of sets")
    parser.add_argument("--deep", action="store_true", help="decode every picture too")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    flags = parser.parse_args(arguments)
    found = list(manifest.sets(flags.shards))
    if not found:
        raise ConfigError(f"no {manifest.NAME} in {flags.shards} or in the folders right below it")
    result = check(found, deep=flags.deep)
    if flags.json:
        sys.stdout.write(json.dumps(result, indent=1, sort_keys=True) + "\n")
    else:
        _show(result)
    return 65 if result["breaches"] else 0


def check(folders: Sequence[Path], *, deep: bool) -> dict[str, Any]:
    """Return {"sets": [...], "breaches": [{"code", "where"}]} of finished sets."""
    breaches: list[tuple[str, str]] = []
    keys: Counter[str] = Counter()
    rows = []
    for folder in folders:
        row, found, set_keys = _check_set(folder, deep)
        rows.append(row)
        breaches += [(code, f"{folder.name}: {where}") for code, where in found]
        keys.update(set_keys)
    twice = sum(1 for count in keys.values() if count > 1)
    if twice:
        breaches.append(("key.twice", f"{twice} keys stand more than once"))
    return {
        "sets": rows,
        "deep": deep,
        "breaches": [{"code": code, "where": where} for code, where in breaches],
    }


def _check_set(folder: Path, deep: bool) -> tuple[dict[str, Any], list[tuple[str, str]], list[str]]:
    try:
        header, lines = manifest.read(folder)
        tars = [line for line in lines if line["samples"]]
        breaches = [*_check_files(folder, tars), *_check_counts(header, lines, folder)]
    except (StopIteration, ValueError, KeyError, OSError):
        return {"set": folder.name}, [("manifest.broken", manifest.NAME)], []
    keys: list[str] = []
    patients: dict[str, str] = {}
    for line in tars:
        path = folder / line["split"] / line["name"]
        if not path.is_file():
            continue
        seen = check_tar(path, line, deep=deep)
        breaches += seen.breaches
        keys += seen.keys
        for patient, split in seen.patients.items():
            if patients.setdefault(patient, split) != split:
                breaches.append(("patient.two_splits", line["name"]))
    row = {
        "set": folder.name,
        "shards": len(tars),
        "samples": len(keys),
        "patients": len(patients),
        "bytes": sum(line["bytes"] for line in tars),
    }
    return row, breaches, keys


def _check_files(folder: Path, tars: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """Compare the tars on disk and sizes.json with the manifest."""
    breaches = []
    for split in SPLITS:
        listed = {line["name"]: line["samples"] for line in tars if line["split"] == split}
        present = {path.name for path in (folder / split).glob("*.tar")}
        breaches += [("shard.missing", name) for name in sorted(set(listed) - present)]
        breaches += [("shard.unlisted", name) for name in sorted(present - set(listed))]
        sizes = folder / split / manifest.SIZES
        if not sizes.is_file() or json.loads(sizes.read_text()) != listed:
            breaches.append(("sizes.differ", f"{split}/{manifest.SIZES}"))
    return breaches


def _check_counts(
    header: dict[str, Any], lines: Sequence[dict[str, Any]], folder: Path
) -> list[tuple[str, str]]:
    """Compare the manifest's counts with each other and with the reject file."""
    breaches = []
    written = sum(line["samples"] for line in lines)
    if header["written"] != written or header["listed"] != written + sum(
        header["dropped"].values()
    ):
        breaches.append(("flow.unbalanced", manifest.NAME))
    if flow.dropped(storage.read_records(folder / manifest.REJECTS)) != header["dropped"]:
        breaches.append(("rejects.differ", manifest.REJECTS))
    return breaches


def _show(result: dict[str, Any]) -> None:
    names = ("set", "shards", "samples", "patients", "bytes")
    rows = [[row.get(name, 0) for name in names] for row in result["sets"]]
    depth = "deep" if result["deep"] else "without decoding"
    commands.show(f"verify ({depth})", names, rows)
    for breach in result["breaches"][:20]:
        sys.stdout.write(f"{breach['code']}: {breach['where']}\n")
    if len(result["breaches"]) > 20:
        sys.stdout.write(f"... and {len(result['breaches']) - 20} more\n")
    sys.stdout.write("the contract holds\n" if not result["breaches"] else "BROKEN\n")


if __name__ == "__main__":
    faults.run(main)
