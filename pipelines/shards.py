"""Inventory and texts in, WebDataset shards out.

    python -m pipelines.shards mimic --scan data/scan/mimic --texts data/texts/mimic \\
        --out data/shards/mimic

Every part becomes one tar, built on its own; then sizes, rejects and the manifest are written and
the whole set is published by one rename. The format is described in the README.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipelines import commands, faults, flow, manifest, params, parts, paths, storage, transforms
from pipelines.building import ShardOfPart


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = commands.parser("shards", "Build the WebDataset shards of a collection.")
    parser.add_argument("--scan", type=Path, required=True, metavar="DIR", help="the inventory")
    parser.add_argument("--texts", type=Path, required=True, metavar="DIR", help="the texts")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the shards")
    flags, beam_flags = parser.parse_known_args(arguments)
    settings = params.load(flags.params)
    section = settings.section("shards", params.Shards)
    inventory = storage.read_header(flags.scan, "inventory.json", "scan")
    texts = storage.read_header(flags.texts, "texts.json", "texts")
    commands.same_source(inventory, flags.source, flags.scan)
    commands.same_source(texts, flags.source, flags.texts)
    commands.own_folder(flags.out, manifest.NAME, flags.source)
    root = paths.root(flags.root or settings.collection(flags.source).root)
    counts, salt = inventory["parts"], inventory["scan"]["salt"]
    with storage.publishing(flags.out, manifest.NAME) as staging:
        work = ShardOfPart(
            str(root), str(flags.scan), str(flags.texts), str(staging), counts, salt, section
        )
        names = parts.names(flags.source, counts)
        results = transforms.run_parts(work, names, staging, flags.workers, beam_flags, "shards")
        earlier = [
            row
            for folder in (flags.scan, flags.texts)
            for row in storage.read_records(folder / manifest.REJECTS)
        ]
        header = manifest.write(staging, results, inventory, earlier, section)
    _show(header, [result["line"] for result in results])
    return 0


def _show(header: dict[str, Any], lines: Sequence[dict[str, Any]]) -> None:
    rows = flow.rows(header["listed"], header["dropped"], header["written"], "samples written")
    tars = [line for line in lines if line["samples"]]
    size = sum(line["bytes"] for line in tars) / 1e6
    title = f"shards {header['source']}: {len(tars)} tars, {size:,.1f} MB"
    commands.show(title, ("", "images"), rows)


if __name__ == "__main__":
    faults.run(main)
