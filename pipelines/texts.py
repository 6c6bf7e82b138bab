"""Inventory in, texts out: what the reports and labels say, one JSON line a study.

    cxr-vlp texts mimic --scan data/scan/mimic --out data/texts/mimic

Every part is read, annotated (nlp) and written on its own. Beside the parts: rejects.jsonl,
counts.json (sentences by status, sections, labels by polarity, rejects by code), statuses.csv for
the plot, and texts.json, the header.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from cxr_vlp.pipelines import cli, codes, config, errors, parts
from cxr_vlp.pipelines.cache.incremental import Places, Reusing
from cxr_vlp.pipelines.executor import beam_runners
from cxr_vlp.pipelines.files import atomic_dir, jsonl, paths, privacy
from cxr_vlp.pipelines.files.privacy import Care
from cxr_vlp.pipelines.format import accounting, versions
from cxr_vlp.pipelines.sources import reader
from cxr_vlp.pipelines.stages import parameter_check, reject_limit, text_resources, text_stats
from cxr_vlp.pipelines.stages.text_part import TextsOfPart

HEADER = "texts.json"
BESIDE = (HEADER, "rejects.jsonl", "counts.json", "statuses.csv")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = cli.parser("texts", "Turn reports and labels into sentences, prompts, labels.")
    cli.folders(parser, scan="the inventory", out="the texts")
    flags, beam = beam_runners.checked(parser, arguments)
    settings = config.load(flags.params)
    collection = settings.collection(flags.source)
    section = settings.section("texts", config.Texts)
    words = text_resources.load(section)
    inventory = jsonl.read_header(flags.scan, "inventory.json", "scan")
    cli.same_source(inventory, flags.source, flags.scan)
    parameter_check.inventory(inventory, flags.scan, settings)
    cli.own_folder(flags.out, HEADER, flags.source)
    made_of = parameter_check.of_inventory(flags.scan, inventory)
    root = paths.root(flags.root or collection.root)
    names = parts.names(flags.source, inventory["parts"])
    source = reader(flags.source, inventory["reader"])
    care = Care.of_inventory(inventory)
    with (
        privacy.taking(care, flags.out, flags.state),
        atomic_dir.publishing(flags.out, HEADER, resume=True) as staging,
    ):
        # here, and not above: Beam takes a second to import, which workers need not pay
        from cxr_vlp.pipelines import beam as transforms

        work = TextsOfPart(
            source, str(root), str(flags.scan), section, words, links=bool(inventory.get("links"))
        )
        running = transforms.Running("texts", flags.workers, flags.state, beam)
        places = Places(staging, flags.out)
        reusing = Reusing.of_stage(work, "texts", flags.source, flags.state, places)
        outcomes = transforms.run_parts(reusing, names, staging, running)
        results = [outcome["result"] for outcome in outcomes]
        rejects = _rejects(results)
        totals = _totals(results)
        # an exception for a study that is not there, or whose report comes in sections
        unused = len(words.rules) - totals["note:report.cut_by_rule"]
        totals.update({"note:exceptions.unused": unused} if unused else {})
        counts = text_stats.counts(totals, rejects)
        header = _header(counts, rejects, inventory, section, words)
        header["inventory"] = made_of
        _check(counts, header, inventory)
        before = reject_limit.number(jsonl.glimpse(flags.out / HEADER), "images")
        reject_limit.shrunk(before, header["images"], "images", allowed=flags.shrink)
        jsonl.write_records(staging / "rejects.jsonl", rejects)
        jsonl.write_json(staging / "counts.json", counts)
        jsonl.write_lines(
            staging / "statuses.csv", text_stats.status_table(flags.source, counts["sentences"])
        )
        jsonl.write_json(staging / HEADER, header)
        atomic_dir.keep_only(staging, {*(work.file(name) for name in names), *BESIDE})
    reusing.tidy(outcomes)
    _show(flags.source, counts, header, Counter(outcome["how"] for outcome in outcomes))
    cli.handed_over("texts", flags.source, flags.out)
    return 0


def _check(
    counts: Mapping[str, Any], header: Mapping[str, Any], inventory: Mapping[str, Any]
) -> None:
    """Raise DataError where too much is lost, or no report could be read at all."""
    reject_limit.hold("texts", inventory, inventory["images"], header["dropped"], header["images"])
    reject_limit.reports(counts["notes"], sum(counts["sentences"].values()))


def _rejects(results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    rows = [row for result in results for row in result["rejects"]]
    return sorted(rows, key=lambda row: (row["key_hash"], row["code"]))


def _totals(results: Sequence[dict[str, Any]]) -> Counter[str]:
    totals: Counter[str] = Counter()
    for result in results:
        totals.update(result["counts"])
    return totals


def _header(
    counts: dict[str, Any],
    rejects: Sequence[dict[str, Any]],
    inventory: dict[str, Any],
    section: config.Texts,
    words: text_resources.Wording,
) -> dict[str, Any]:
    lost = accounting.dropped(rejects)
    return {
        "epoch": versions.TEXTS,
        "wording": words.digest,
        "files": dict(words.files),
        "toolchain": dict(words.toolchain),
        "exceptions": len(words.rules),
        "source": inventory["source"],
        "texts": section.text_parameters(),
        "studies": counts["studies"],
        "images": inventory["images"] - sum(lost.values()),
        "dropped": lost,
    }


def _show(
    source: str, counts: dict[str, Any], header: dict[str, Any], how: Mapping[str, int]
) -> None:
    rows: list[tuple[str, int]] = [("studies with a text", counts["studies"])]
    rows += [(f"{status} sentences", n) for status, n in counts["sentences"].items()]
    rows += [(f"- {reason} (images)", number) for reason, number in header["dropped"].items()]
    rows += [(f"note: {code}", number) for code, number in counts["notes"].items()]
    rows += [(f"parts {name}", number) for name, number in sorted(how.items())]
    cli.show(f"texts {source}", ("", "number"), rows)
    for line in codes.remedies([*cli.met(header, "texts"), *counts["notes"]]):
        cli.say(line)


def run() -> int:
    """Run the command on the words of the command line; return its exit code."""
    return errors.run(main)


if __name__ == "__main__":
    sys.exit(run())
