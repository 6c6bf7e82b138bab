"""The command `cxr-vlp score`: measures the engine on labelled sentences and reports.

    cxr-vlp score FILE... [--reports FILE...] [--normal WHAT] [--errors] [--json]

It reads .tsv and .csv files with the columns label and sentence, .json traps (text, expect: a list
of sentences or a mapping of sections), .jsonl truth files (rows with "sentences": text, section,
status), and .csv tables of the labels of whole reports, for which --reports gives the reports.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxr_vlp.nlp import uncertainty
from cxr_vlp.nlp.annotate import Annotation, annotate
from cxr_vlp.nlp.labels import NO_FINDING, canonical
from cxr_vlp.nlp.layout import sections, sentences
from cxr_vlp.nlp.report_status import CONVENTIONS
from cxr_vlp.nlp.status import STATUSES, classify
from cxr_vlp.nlp.uncertainty import POSITIVE

_KEYS = ("filename", "id", "key")
_NORMAL = "normal"  # the column, and the name it is counted under; No Finding is a label


@dataclass(frozen=True, slots=True)
class Case:
    """A labelled text: the wanted answer, the engine's answer and the rule that gave it."""

    wanted: str
    got: str
    text: str
    rule: str


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 0, or 2 where a file cannot be scored."""
    parser = argparse.ArgumentParser(
        prog="cxr-vlp score",
        description="Measure the report engine on labelled sentences and reports.",
    )
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
            if is_label_table(path):
                found = measure_reports(path, flags.reports, flags.normal)
            else:
                cases = list(read(path))
                found = measure_sentences(cases)
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
    """Return the reason, but no words of a report (json quotes what it cannot read)."""
    is_ours = type(error) is ValueError
    return str(error) if is_ours else type(error).__name__


def read(path: Path) -> Iterable[Case]:
    """Yield the cases of a gold file with the engine's answers."""
    if path.suffix in (".tsv", ".csv"):
        yield from _of_table(path)
    elif path.suffix == ".json":
        yield from (_of_trap(trap) for trap in json.loads(path.read_text(encoding="utf-8")))
    elif path.suffix == ".jsonl":
        with path.open(encoding="utf-8") as lines:  # splitlines() would split at U+2028 too
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
    """Return a section's text; "a_or_b" means the one of the two that the report has."""
    return next((found[n] for n in name.split("_or_") if n in found), found.get(name))


def measure_sentences(cases: Sequence[Case]) -> dict[str, float]:
    """Return the accuracy; for statuses also precision and recall of `normal`, and `lost`.

    `lost` is the number of abnormal and uncertain sentences that the engine calls normal.
    """
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


# --- whole reports -------------------------------------------------------------------------------


def is_label_table(path: Path) -> bool:
    """Return whether a file is a table of the labels of whole reports, not of sentences."""
    if path.suffix != ".csv":
        return False
    with path.open(encoding="utf-8", newline="") as file:
        columns = next(csv.reader(file), [])
    return "sentence" not in columns and any(key in columns for key in _KEYS)


def measure_reports(table: Path, reports: Sequence[Path], convention: str) -> dict[str, float]:
    """Return how well the engine's labels of whole reports agree with a table.

    Precision, recall and F1, micro over the labels (uncertain counts as positive) and of normal
    reports, and the F1 of each label. A label that no report of the table has is left out.

    The table has a column with the report's id (filename, id or key), a column of 0 or 1 for each
    label, and may have one named normal. `reports` are JSON lines as `cxr-vlp annotate` reads them,
    or the files of the texts stage. Raises ValueError where the table names a report that none of
    them has.
    """
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    key = next(name for name in _KEYS if name in rows[0])
    wanted = {row[key]: {_name(n) for n, v in row.items() if v == "1"} for row in rows}
    found = {k: _positive(a) for k, a in _annotated(reports, wanted, convention)}
    lost = len(wanted.keys() - found.keys())
    if lost:
        raise ValueError(f"{lost} of {len(wanted)} reports of {table.name} are not in --reports")
    counts = _counts(wanted, found)
    names = {name for name, _ in counts} - {_NORMAL}
    scored = sorted(n for n in names if counts[n, "wanted"])
    total = Counter({k: sum(counts[n, k] for n in scored) for k in ("hit", "said", "wanted")})
    measures = {"reports": float(len(wanted)), **_prf("labels", total)}
    if _NORMAL in rows[0]:
        normal = {k: counts[_NORMAL, k] for k in ("hit", "said", "wanted")}
        measures |= _prf("normal_report", normal)
    for name in scored:
        one = {k: counts[name, k] for k in ("hit", "said", "wanted")}
        measures[f"{name} f1"] = _prf("", one)["_f1"]
    return measures


def _annotated(
    reports: Sequence[Path], wanted: Mapping[str, Any], convention: str
) -> Iterable[tuple[str, Annotation]]:
    for path in reports:
        with path.open(encoding="utf-8") as lines:  # splitlines() would split at U+2028 too
            for row in map(json.loads, lines):
                key = str(row.get("id", row.get("key", "")))
                if key in wanted:
                    report = row.get("sections") or row.get("text", "")
                    yield key, annotate(report, convention=convention)


def _positive(annotation: Annotation) -> set[str]:
    resolved = uncertainty.resolve(annotation.labels, "positive")
    named = {n for n, state in resolved.items() if state == POSITIVE and n != NO_FINDING}
    return named | ({_NORMAL} if annotation.normal else set())


def _name(column: str) -> str:
    return _NORMAL if column == _NORMAL else canonical(column)


def _counts(
    wanted: Mapping[str, set[str]], found: Mapping[str, set[str]]
) -> Counter[tuple[str, str]]:
    counts: Counter[tuple[str, str]] = Counter()
    for key, gold in wanted.items():
        counts.update((name, "wanted") for name in gold)
        counts.update((name, "said") for name in found[key])
        counts.update((name, "hit") for name in gold & found[key])
    return counts


def _prf(name: str, counts: Mapping[str, int]) -> dict[str, float]:
    return {
        f"{name}_precision": counts["hit"] / max(1, counts["said"]),
        f"{name}_recall": counts["hit"] / max(1, counts["wanted"]),
        f"{name}_f1": 2 * counts["hit"] / max(1, counts["said"] + counts["wanted"]),
    }


def run() -> int:
    """Run the command with the arguments of the command line; return its exit code."""
    return main()


if __name__ == "__main__":
    sys.exit(run())
