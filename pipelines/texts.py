"""Inventory in, texts out: what the reports and labels say, one JSON line a study.

    python -m pipelines.texts mimic --scan data/scan/mimic --out data/texts/mimic

Every part is read, annotated (nlp) and written on its own. Beside the parts: rejects.jsonl, and
texts.json with the counts of sentences by status.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nlp import lexicon
from nlp.status import STATUSES
from pipelines import commands, epochs, faults, flow, params, parts, paths, storage, transforms
from pipelines.reports import TextsOfPart
from pipelines.sources import reader

HEADER = "texts.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = commands.parser("texts", "Turn reports and labels into sentences, prompts, labels.")
    parser.add_argument("--scan", type=Path, required=True, metavar="DIR", help="the inventory")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the texts")
    flags, beam_flags = parser.parse_known_args(arguments)
    settings = params.load(flags.params)
    collection = settings.collection(flags.source)
    section = settings.section("texts", params.Texts)
    inventory = storage.read_header(flags.scan, "inventory.json", "scan")
    commands.same_source(inventory, flags.source, flags.scan)
    commands.own_folder(flags.out, HEADER, flags.source)
    root = paths.root(flags.root or collection.root)
    names = parts.names(flags.source, inventory["parts"])
    source = reader(flags.source, inventory["reader"])
    with storage.publishing(flags.out, HEADER) as staging:
        work = TextsOfPart(source, str(root), str(flags.scan), str(staging), section)
        results = transforms.run_parts(work, names, staging, flags.workers, beam_flags, "texts")
        header = _header(results, inventory, section)
        storage.write_records(staging / "rejects.jsonl", _rejects(results))
        storage.write_json(staging / HEADER, header)
    _show(flags.source, header)
    return 0


def _rejects(results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    rows = [row for result in results for row in result["rejects"]]
    return sorted(rows, key=lambda row: (row["key_hash"], row["code"]))


def _header(
    results: Sequence[dict[str, Any]], inventory: dict[str, Any], section: params.Texts
) -> dict[str, Any]:
    counts: Counter[str] = Counter()
    for result in results:
        counts.update(result["counts"])
    lost = flow.dropped(_rejects(results))
    statuses = {name: counts[f"status:{name}"] for name in STATUSES}
    return {
        "epoch": epochs.TEXTS,
        "lexicon": lexicon.digest(),
        "source": inventory["source"],
        "texts": dataclasses.asdict(section),
        "studies": counts["studies"],
        "sentences": statuses,
        "notes": {k.removeprefix("note:"): n for k, n in counts.items() if k.startswith("note:")},
        "images": inventory["images"] - sum(lost.values()),
        "dropped": lost,
    }


def _show(source: str, header: dict[str, Any]) -> None:
    rows: list[tuple[str, int]] = [("studies with a text", header["studies"])]
    rows += [(f"{status} sentences", n) for status, n in header["sentences"].items()]
    rows += [(f"- {reason} (images)", number) for reason, number in header["dropped"].items()]
    rows += [(f"note: {code}", number) for code, number in header["notes"].items()]
    commands.show(f"texts {source}", ("", "number"), rows)


if __name__ == "__main__":
    faults.run(main)
