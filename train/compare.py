"""`cxr-vlp compare A B [C ...]`: differences between finished evaluations, on common images.

A is compared with each of the others. Every difference is other - A, with a 95 % interval of the
paired bootstrap over patients; for AUROC with DeLong's test too.

OUT/compare.csv    a row for each model, collection, label and measure
OUT/compare.json   the same, with what was compared and what was left out
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cxr_vlp.train import addresses, cli
from cxr_vlp.train.errors import ConfigError
from cxr_vlp.train.evaluation import finished
from cxr_vlp.train.evaluation.comparison import Compared, Comparison, compare
from cxr_vlp.train.evaluation.finished import Finished
from cxr_vlp.train.evaluation.measures.column import MEASURES
from cxr_vlp.train.evaluation.measures.paired import Delong, holm
from cxr_vlp.train.evaluation.measures.resampling import BY, Intervals
from cxr_vlp.train.evaluation.measures.table import Estimate

MEAN, MACRO = "mean", "macro"  # the collection, and the label, of the rows of means
LOWER = ("brier", "ece")  # measures of which less is better
Row = dict[str, Any]


def main(argv: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    arguments = _parser().parse_args(argv)
    return cli.guarded(lambda: run_comparison(arguments))


def run_comparison(arguments: argparse.Namespace) -> None:
    """Compare as the arguments say; print the table, and write it below `--out`."""
    folders: Sequence[Path] = arguments.folders
    if len(folders) < 2:
        raise ConfigError("give two folders of evaluations or more: cxr-vlp compare A B")
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise ConfigError("a folder is given twice: an evaluation does not differ from itself")
    first, *others = [finished.read(folder) for folder in folders]
    if arguments.split and first.split != arguments.split:
        raise ConfigError(f"{first.folder} measured the split {first.split!r}: evaluate it again")
    intervals = _intervals(first, arguments.resamples)
    made = [compare(first, other, intervals, arguments.measure) for other in others]
    rows = [row for each in made for row in _rows(each, arguments.measure)]
    for each in made:
        _notes(each)
    _print(rows, first)
    if arguments.out:
        _write(arguments.out, rows, _content(made, intervals, arguments.measure))


def _intervals(first: Finished, resamples: int | None) -> Intervals:
    """Return the intervals of the first evaluation, with another number of resamples if asked."""
    given = first.decided_by.get("intervals") or {}
    default = Intervals()
    by = given.get("by", default.by)
    return Intervals(
        int(given.get("resamples", default.resamples)) if resamples is None else resamples,
        by if by in BY else default.by,
        int(given.get("seed", default.seed)),
    )


def _rows(found: Comparison, measures: Sequence[str]) -> Iterable[Row]:
    """Yield the rows of one comparison: labels, macro means, and the means over collections."""
    model = str(found.second.folder)
    for measure in measures:
        for name, each in found.collections.items():
            for row in _label_rows(each, measure):
                yield {"model": model, "collection": name, **row}
            sides = [side.macro[measure] for side in _sides(each)]
            yield {"model": model, "collection": name, **_row(MACRO, measure, sides)}
        sides = [side.macro[measure] for side in found.means]
        yield {"model": model, "collection": MEAN, **_row(MACRO, measure, sides)}


def _label_rows(each: Compared, measure: str) -> Iterable[Row]:
    first, second, change = _sides(each)
    tests = each.paired.delong if measure == "auroc" else {}
    family = [row.label for row in change.labels if not _is_strategy(row.label)]
    values = [tests[label].p if label in tests else None for label in family]
    adjusted = dict(zip(family, holm(values), strict=True))
    for one, other, row in zip(first.labels, second.labels, change.labels, strict=True):
        sides = [side.values[measure] for side in (one, other, row)]
        made = _row(row.label, measure, sides, tests.get(row.label), adjusted.get(row.label))
        yield made | {"positives": row.positives, "negatives": row.negatives, "why": row.why}


def _sides(each: Compared) -> tuple[Any, Any, Any]:
    return each.paired.first, each.paired.second, each.paired.difference


def _is_strategy(label: str) -> bool:
    """Whether a label is No Finding by one strategy: four scores of one question, not tested."""
    return label.startswith(finished.strategy("")[:-1])


def _row(
    label: str,
    measure: str,
    sides: Sequence[Estimate],
    test: Delong | None = None,
    adjusted: float | None = None,
) -> Row:
    first, second, change = sides
    return {
        "label": label,
        "measure": measure,
        "first": first.value,
        "second": second.value,
        "difference": change.value,
        "low": change.low,
        "high": change.high,
        "resamples": change.resamples,
        "p": test.p if test else None,
        "p_holm": adjusted,
        "test": test.method if test else "",
        "positives": None,
        "negatives": None,
        "why": "",
    }


def _notes(found: Comparison) -> None:
    """Say what was not compared."""
    second = found.second.folder
    for name, why in found.left_out.items():
        cli.note(f"{second}: {name} is not compared: {why}")
    for name, each in found.collections.items():
        if each.only_first or each.only_second:
            cli.note(
                f"{name}: {each.images} images are in both; {each.only_first} are in "
                f"{found.first.folder} only, {each.only_second} in {second} only"
            )
        if each.labels_of_one:
            cli.note(f"{name}: in one evaluation only: {', '.join(each.labels_of_one)}")


def _print(rows: Sequence[Row], first: Finished) -> None:
    """Print a table for each model, measure and collection."""
    columns = ("label", "A", "B", "B - A", "95 % interval", "p (Holm)")
    for model, measure, name in dict.fromkeys(
        (row["model"], row["measure"], row["collection"]) for row in rows
    ):
        mine = (r for r in rows if (r["model"], r["measure"], r["collection"])
                == (model, measure, name))  # fmt: skip
        cli.table(f"{name}, {measure}, B: {model}", columns, map(_cells, mine))
    sys.stdout.write(f"A: {first.folder}\n")
    used = sorted({row["test"] for row in rows if row["test"]})
    if used:
        sys.stdout.write(
            f"p: {', '.join(used)}; Holm: over the labels of a collection. No p: a class has fewer "
            "than two patients, or nothing varies\n"
        )
    lower = sorted({row["measure"] for row in rows if row["measure"] in LOWER})
    if lower:
        sys.stdout.write(f"less is better: {', '.join(lower)}\n")


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row["label"],
        *(_digits(row[name]) for name in ("first", "second", "difference")),
        "-" if row["low"] is None else f"{_digits(row['low'])} to {_digits(row['high'])}",
        _p(row["p_holm"]),
    )


def _digits(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _p(value: float | None) -> str:
    if value is None:
        return "-"
    return "< .001" if value < 0.001 else f"{value:.3f}"


def _content(made: Sequence[Comparison], intervals: Intervals, measures: Sequence[str]) -> Row:
    """Return what compare.json holds beside the rows."""
    return {
        "first": str(made[0].first.folder),
        "split": made[0].first.split,
        "measures": list(measures),
        "intervals": {
            "resamples": intervals.resamples, "by": intervals.by, "seed": intervals.seed
        },
        "difference": "second - first; interval: paired bootstrap; p_holm: over the labels of a "
        "collection, without No Finding's strategies",
        "models": {str(each.second.folder): _facts(each) for each in made},
    }  # fmt: skip


def _facts(found: Comparison) -> Row:
    collections = {
        name: {
            "images": each.images,
            "patients": each.patients,
            "only_first": each.only_first,
            "only_second": each.only_second,
            "labels_of_one": list(each.labels_of_one),
            "macro_of": list(each.paired.difference.macro_of),
        }
        for name, each in found.collections.items()
    }
    return {"collections": collections, "left_out": dict(found.left_out)}


def _write(out: Path, rows: Sequence[Row], content: Mapping[str, Any]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    with (out / "compare.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    text = json.dumps({**content, "rows": list(rows)}, indent=2, sort_keys=True, allow_nan=False)
    (out / "compare.json").write_text(text + "\n", encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = cli.parser(
        "compare",
        "Compare finished evaluations on the images they have in common.",
        "Each of the others is compared with the first: other - first, with a 95 % interval of the "
        "paired bootstrap over patients, and DeLong's test for AUROC.",
    )
    parser.add_argument(
        "folders", type=addresses.path, nargs="+", metavar="DIR",
        help="folders that `cxr-vlp evaluate --out` wrote; the first is compared with the others",
    )  # fmt: skip
    parser.add_argument(
        "--measure", nargs="+", choices=MEASURES, default=["auroc"], metavar="NAME",
        help=f"measures to compare (default: auroc; of {', '.join(MEASURES)})",
    )  # fmt: skip
    parser.add_argument(
        "--out",
        type=addresses.path,
        metavar="DIR",
        help="the folder of compare.csv and compare.json (default: print alone)",
    )
    parser.add_argument(
        "--split",
        default="",
        help="refuse evaluations of another split (default: any split that all of them have)",
    )
    parser.add_argument(
        "--resamples", type=cli.non_negative, metavar="N",
        help="bootstrap resamples (default: those of the first evaluation; 0: no intervals)",
    )  # fmt: skip
    return parser


def run() -> int:
    """Run the command with the arguments of the command line; return its exit code."""
    return main()


if __name__ == "__main__":
    sys.exit(run())
