"""Score: gold files in, the engine's confusion table and errors out.

    cxr-vlp score FILE... [--reports FILE...] [--normal WHAT] [--errors] [--json]

Reads .tsv/.csv with the columns label and sentence, .json traps (text, expect: a list of sentences
or a mapping of sections), *.jsonl truth files (rows with "sentences": text, section, status), and
.csv tables of labels a report, for which --reports gives the reports (evaluate_reports).
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxr_vlp.nlp import evaluate_reports, sections, sentences
from cxr_vlp.nlp.report_status import CONVENTIONS
from cxr_vlp.nlp.status import STATUSES, classify


@dataclass(frozen=True, slots=True)
class Case:
    """One thing to be right about: what is wanted, what the engine says, of what."""

    wanted: str
    got: str
    text: str
    rule: str


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 0, or 2 where a file cannot be scored."""
    parser = argparse.ArgumentParser(prog="cxr-vlp score", description="Measure the engine.")
    parser.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help=".tsv .csv .json .jsonl"
    )
    parser.add_argument(
        "--reports",
        nargs="+",
        type=Path,
        default=(),
        metavar="FILE",
        help="JSON lines of the reports that a table of labels is about",
    )
    parser.add_argument("--normal", choices=CONVENTIONS, default=CONVENTIONS[0])
    parser.add_argument("--errors", action="store_true", help="print each error with its text")
    parser.add_argument("--json", action="store_true", help="print the measures as JSON only")
    flags = parser.parse_args(arguments)
    measures = {}
    for path in flags.files:
        cases: list[Case] = []
        try:
            if evaluate_reports.is_label_table(path):
                found = evaluate_reports.measure(path, flags.reports, flags.normal)
            else:
                cases = list(read(path))
                found = measure(cases)
        except (KeyError, ValueError, OSError) as error:
            sys.stderr.write(f"{path}: cannot be scored: {_reason(error)}\n")
            return 2
        measures[path.name] = found
        if not flags.json:
            sys.stdout.write(_table(path.name, cases, found, flags.errors))
    if flags.json:
        sys.stdout.write(json.dumps(measures, sort_keys=True, indent=1) + "\n")
    return 0


def _reason(error: Exception) -> str:
    """Return why, unless the words may come from a report (json quotes what it cannot read)."""
    is_ours = type(error) is ValueError
    return str(error) if is_ours else type(error).__name__


def read(path: Path) -> Iterable[Case]:
    """Yield the cases of a gold file with the engine's answers."""
    if path.suffix in (".tsv", ".csv"):
        yield from _of_table(path)
    elif path.suffix == ".json":
        yield from (_of_trap(trap) for trap in json.loads(path.read_text(encoding="utf-8")))
    elif path.suffix == ".jsonl":
        with path.open(encoding="utf-8") as lines:  # report text may hold U+2028, and no line ends
            for study in map(json.loads, lines):
                rows = study.get("sentences", ())
                yield from (_of_sentence(r["status"], r["text"]) for r in rows)
    else:
        raise ValueError("suffix must be .tsv, .csv, .json or .jsonl")


def _of_table(path: Path) -> Iterable[Case]:
    is_tsv = path.suffix == ".tsv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = (
            csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            if is_tsv
            else csv.DictReader(file)
        )
        for row in rows:
            yield _of_sentence(row["label"], row["sentence"])


def _of_sentence(wanted: str, text: str) -> Case:
    status = classify(text)
    return Case(wanted, status.status, text, status.rule)


def _of_trap(trap: dict[str, Any]) -> Case:
    """Return a trap as a case of right or wrong."""
    expect, text = trap["expect"], trap["text"]
    if isinstance(expect, list):
        is_right = [s.text for s in sentences.split(text)] == expect
        return Case("right", "right" if is_right else "wrong", text, "sentences")
    found = sections.merge(sections.split(text))
    is_right = all(_section(found, name) == wanted for name, wanted in expect.items())
    return Case("right", "right" if is_right else "wrong", text, "sections")


def _section(found: dict[str, str], name: str) -> str | None:
    """Return a section's text; "a_or_b" is whichever of the two is there."""
    return next((found[n] for n in name.split("_or_") if n in found), found.get(name))


def measure(cases: Sequence[Case]) -> dict[str, float]:
    """Return accuracy, and for statuses precision and recall of `normal` and what it lost."""
    counts = Counter((case.wanted, case.got) for case in cases)
    right = sum(n for (wanted, got), n in counts.items() if wanted == got)
    measures: dict[str, float] = {"cases": len(cases), "accuracy": right / max(1, len(cases))}
    hit = counts["normal", "normal"]
    if any(case.wanted in STATUSES for case in cases):
        measures["normal_precision"] = hit / max(1, sum(c.got == "normal" for c in cases))
        measures["normal_recall"] = hit / max(1, sum(c.wanted == "normal" for c in cases))
        measures["lost"] = counts["abnormal", "normal"] + counts["uncertain", "normal"]
    return measures


def _table(name: str, cases: Sequence[Case], measures: dict[str, float], with_errors: bool) -> str:
    counts = Counter((case.wanted, case.got) for case in cases)
    wanted = [s for s in (*STATUSES, "right") if any(c.wanted == s for c in cases)]
    got = [s for s in (*STATUSES, "right", "wrong") if any(c.got == s for c in cases)]
    lines = [f"{name}: " + "  ".join(f"{k} {v:.4g}" for k, v in measures.items())]
    if cases:
        lines.append(f"{'wanted / got':<14}" + "".join(f"{g:>12}" for g in got))
    lines += [f"{w:<14}" + "".join(f"{counts[w, g]:>12}" for g in got) for w in wanted]
    if with_errors:
        lines += [
            f"  {c.wanted} -> {c.got} ({c.rule}) {c.text}" for c in cases if c.wanted != c.got
        ]
    return "\n".join(lines) + "\n\n"


def run() -> int:
    """Run the command on the words of the command line; return its exit code."""
    return main()


if __name__ == "__main__":
    sys.exit(run())
