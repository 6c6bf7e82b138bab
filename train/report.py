"""`cxr-vlp report`: writes the HTML page about the shards, a model and its evaluation.

    cxr-vlp report --shards data/shards/mimic --model models/chexzero_tiny \\
        --evaluation reports/evaluate/chexzero_tiny --out reports/index.html

The page is one file, without scripts and without links to the internet. It shows the number of
images at each step, example images with their captions, what the filter keeps of a report, the
loss, and the AUROC of each label. Its numbers come from the files that `dvc plots` reads too.
It shows images, and report text where `report.show_text` of the parameters allows it (auto: not of
credentialed collections, and not of those with salted ids, which are a hospital's own patients). It
is as confidential as the collections it is made of.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from cxr_vlp.nlp.wording.summary import summary
from cxr_vlp.pipelines.format import manifest
from cxr_vlp.train import cli, privacy
from cxr_vlp.train.config import params
from cxr_vlp.train.data import parameter_check
from cxr_vlp.train.data.set_choice import choose
from cxr_vlp.train.errors import ConfigError
from cxr_vlp.train.pages import charts, examples

IMAGES = 6  # example images of each set
REPORTS = 4  # example reports on the page


def main(argv: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    arguments = _parser().parse_args(argv)
    return cli.guarded(lambda: report(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = cli.parser(
        "report",
        "Write the HTML page about the shards, a model and its evaluation: one file, without\n"
        "scripts and without links to the internet. It shows images and report text: it is as\n"
        "confidential as the collections.",
    )
    cli.shards_flag(parser)
    cli.path_flag(parser, "--model", "the folder that cxr-vlp fit wrote")
    cli.path_flag(parser, "--evaluation", "the folder that cxr-vlp evaluate wrote")
    cli.path_flag(parser, "--out", "the HTML file to write", metavar="FILE")
    cli.params_flag(parser, "report")
    return parser


def report(arguments: argparse.Namespace) -> None:
    """Collect what the page shows, and write it."""
    given = params.load(arguments.params)
    section = given.report
    used = choose(arguments.shards, given.collections)
    privacy.narrow(used.folders)
    parameter_check.check(arguments.shards, given)
    for line in used.unused:
        cli.note(line)
    headers = [_manifest(folder) for folder in used.folders]
    shown = {folder.name: examples.choose(folder, IMAGES) for folder in used.folders}
    pairs = list(zip(shown, headers, strict=True))
    with_text = [name for name, header in pairs if _shows_text(header, section)]
    readable = [each for name in with_text for each in shown[name]]
    content = {
        "headers": headers,
        "flow": flow(headers),
        "shown": shown,
        "with_text": with_text,
        "without_text": [header["title"] for name, header in pairs if name not in with_text],
        "show_text": str(section.show_text).lower(),
        "reports": examples.mixed_reports(readable, REPORTS),
        "recipe": _json(arguments.model / "recipe.json")["recipe"],
        "loss": _loss(arguments.model / "metrics"),
        **_evaluation(arguments.evaluation),
    }
    page = _template().render(content)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(page, encoding="utf-8")


def _shows_text(header: Mapping[str, Any], section: params.ReportParams) -> bool:
    """Return whether the page shows the texts of a set."""
    if section.show_text == "auto":
        return not (header["credentialed"] or header.get("ids") == "salted")
    return section.show_text


def flow(headers: Sequence[dict[str, Any]]) -> list[tuple[str, str, list[int]]]:
    """Return the rows of the table of numbers: (kind, name, a number for each set).

    In each set, images listed minus the losses are the samples in the shards.
    """
    reasons = sorted({reason for header in headers for reason in header["dropped"]})
    lost = [("lost", r, [header["dropped"].get(r, 0) for header in headers]) for r in reasons]
    return [
        ("in", "images listed", [header["listed"] for header in headers]),
        *lost,
        ("out", "samples in shards", [header["written"] for header in headers]),
    ]


def _manifest(folder: Path) -> dict[str, Any]:
    header, tars = manifest.read(folder)
    written = [tar for tar in tars if tar["samples"]]
    return header | {"shards": len(written), "bytes": sum(tar["bytes"] for tar in written)}


def _json(path: Path) -> Any:
    if not path.is_file():
        raise ConfigError(f"{path}: no such file; run the stage that writes it first")
    return json.loads(path.read_text(encoding="utf-8"))


def _loss(folder: Path) -> str:
    return charts.loss_curve(_points(folder / "loss.tsv"), _points(folder / "val_loss.tsv"))


def _points(path: Path) -> list[tuple[float, float]]:
    if not path.is_file():  # a training without validation shards has no validation loss
        return []
    with path.open(newline="") as lines:
        rows = list(csv.reader(lines, delimiter="\t"))[1:]
    return [(float(step), float(value)) for step, value in rows]


def _evaluation(folder: Path) -> dict[str, Any]:
    """Return the metrics of all sources and of each, and the chart of the labels."""
    metrics = _json(folder / "metrics.json")
    with (folder / "auroc.csv").open(newline="") as lines:
        rows = [row for row in csv.DictReader(lines) if row["source"] == "all"]
    measured = [row for row in rows if row["auroc"] and row["low"]]
    return {
        "metrics": metrics,
        "auroc": charts.auroc_chart(measured),
        "unmeasured": [row["label"] for row in rows if not row["auroc"]],
    }


def _template() -> jinja2.Template:
    loader = jinja2.FileSystemLoader(Path(__file__).parent / "pages" / "templates")
    # Report text may hold any character, so everything is escaped except our own charts.
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["summary"] = summary
    return environment.get_template("report.html")


def run() -> int:
    """Run the command with the arguments of the command line; return its exit code."""
    return main()


if __name__ == "__main__":
    sys.exit(run())
