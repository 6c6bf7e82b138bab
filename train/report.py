"""`cxr-vlp report`: shards, a model and its evaluation come in, one HTML page goes out.

    cxr-vlp report --shards data/shards/mimic --model models/chexzero_tiny \\
        --evaluation reports/evaluate --out reports/index.html

The page is one file without a script or a link to the net: what came in and what became of it,
pictures with their captions, what the filter keeps of a report, the loss, the AUROC per label.
It shows pictures, and report text where `report.show_text` of the parameters lets it (auto: not of
credentialed collections): it is as confidential as the collections it is made of.
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

from cxr_vlp.pipelines.format import manifest
from cxr_vlp.train import addresses, cli, privacy
from cxr_vlp.train.config import params
from cxr_vlp.train.data import parameter_check
from cxr_vlp.train.data.set_choice import choose, collections
from cxr_vlp.train.errors import ConfigError
from cxr_vlp.train.pages import charts, gallery

PICTURES = 6  # a set
REPORTS = 4  # on the page


def main(argv: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    arguments = _parser().parse_args(argv)
    return cli.guarded(lambda: report(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cxr-vlp report", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add(
        "--shards",
        type=addresses.path,
        nargs="+",
        required=True,
        metavar="DIR",
        help="sets of shards",
    )
    add(
        "--model",
        type=addresses.path,
        required=True,
        metavar="DIR",
        help="what cxr-vlp fit wrote",
    )
    add(
        "--evaluation",
        type=addresses.path,
        required=True,
        metavar="DIR",
        help="what cxr-vlp evaluate wrote",
    )
    add("--out", type=addresses.path, required=True, metavar="FILE", help="the page")
    about = "YAML with a section report (default: params.yaml where there is one)"
    add("--params", type=addresses.path, metavar="FILE", default=params.default(), help=about)
    return parser


def report(arguments: argparse.Namespace) -> None:
    """Gather what the page shows, and write it."""
    section = params.read(arguments.params, "report", params.Report)
    used = choose(arguments.shards, collections(arguments.params))
    privacy.narrow(used.folders)
    parameter_check.check(arguments.shards, arguments.params)
    for line in used.beside:
        cli.note(line)
    headers = [_manifest(folder) for folder in used.folders]
    shown = {folder.name: gallery.choose(folder, PICTURES) for folder in used.folders}
    told = [name for name, header in zip(shown, headers, strict=True) if _tells(header, section)]
    readable = [each for name in told for each in shown[name]]
    content = {
        "headers": headers,
        "flow": flow(headers),
        "shown": shown,
        "told": told,
        "untold": [h["title"] for name, h in zip(shown, headers, strict=True) if name not in told],
        "show_text": str(section.show_text).lower(),
        "reports": gallery.mixed_reports(readable, REPORTS),
        "recipe": _json(arguments.model / "recipe.json")["recipe"],
        "loss": _loss(arguments.model / "dvclive" / "plots" / "metrics"),
        **_evaluation(arguments.evaluation),
    }
    page = _template().render(content)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(page, encoding="utf-8")


def _tells(header: Mapping[str, Any], section: params.Report) -> bool:
    """Tell whether the page shows the texts of a set."""
    if section.show_text == "auto":
        return not header["credentialed"]
    return section.show_text


def flow(headers: Sequence[dict[str, Any]]) -> list[tuple[str, str, list[int]]]:
    """Return the lines of the flow table: (kind, name, a number per set); they add up per set."""
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
        raise ConfigError(f"{path}: no such file; run the stage before this one")
    return json.loads(path.read_text(encoding="utf-8"))


def _loss(folder: Path) -> str:
    return charts.loss_curve(_points(folder / "loss.tsv"), _points(folder / "val_loss.tsv"))


def _points(path: Path) -> list[tuple[float, float]]:
    if not path.is_file():  # a training without validation shards has no such curve
        return []
    with path.open(newline="") as lines:
        rows = list(csv.reader(lines, delimiter="\t"))[1:]
    return [(float(step), float(value)) for step, value in rows]


def _evaluation(folder: Path) -> dict[str, Any]:
    """Return the pooled measures, a row per set, and the chart of the labels."""
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
    # report text is somebody's free text: everything is escaped but our own charts
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined
    )
    return environment.get_template("report.html")


def run() -> int:
    """Run the command on the words of the command line; return its exit code."""
    return main()


if __name__ == "__main__":
    sys.exit(run())
