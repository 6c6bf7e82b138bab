"""`python -m train.evaluate --model DIR --shards DIR --out DIR`: zero-shot AUROC, held-out split.

OUT/metrics.json   macro AUROC over all sources together, and the same per source
OUT/auroc.csv      source, label, auroc, low, high, positives, negatives, for `dvc plots`
OUT/scores.csv     a row an image: hash of its key, source, probability per label
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from train import console, params
from train.data import Loading
from train.embed import embed, load
from train.errors import ConfigError
from train.fit import default_params, natural, use_threads
from train.params import Evaluate
from train.results import Scored, by_source, write
from train.shards import SPLITS, list_shards
from train.zeroshot import classifier, probabilities


def main(argv: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    arguments = _parser().parse_args(argv)
    return console.guarded(lambda: evaluate(arguments))


def evaluate(arguments: argparse.Namespace) -> None:
    """Evaluate as the arguments say, and write everything under `--out`."""
    use_threads(arguments.threads)
    section = params.read(arguments.params, "evaluate", Evaluate)
    shards = list_shards(arguments.shards, arguments.split)
    if not shards:
        raise ConfigError(f"no shards in the {arguments.split} split of the given folders")
    chosen, towers = load(arguments.model)
    loading = Loading(chosen, towers.size, towers.tokenize, workers=arguments.workers)
    images = embed(towers, shards, loading, section.views, arguments.limit)
    names = section.labels or _named(images.rows)
    device = images.features.device
    prompts = classifier(towers, names, section.bank, device)
    scores = probabilities(images.features, prompts).double().cpu().numpy()
    scored = Scored(images.keys, images.sources, images.patients, images.rows, names, scores)
    results = by_source(scored, section)
    write(arguments.out, scored, results)
    _summary(results)


def _named(rows: Iterable[dict[str, int]]) -> tuple[str, ...]:
    names = tuple(sorted({name for row in rows for name in row}))
    if not names:
        raise ConfigError("the shards hold no labels: there is nothing to evaluate against")
    return names


def _summary(results: dict[str, dict[str, Any]]) -> None:
    def shown(value: float | None) -> str:
        return "-" if value is None else f"{value:.3f}"

    rows = [
        (
            name,
            str(result["images"]),
            shown(result["macro_auroc"]),
            f"{shown(result['macro_low'])} to {shown(result['macro_high'])}",
            ", ".join(result["unmeasured"]) or "none",
        )
        for name, result in results.items()
    ]
    columns = ("source", "images", "macro AUROC", "95 % interval", "not measurable")
    console.table("zero-shot", columns, rows)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m train.evaluate",
        description="Measure a trained model on held-out shards: zero-shot AUROC per label.",
        epilog="Never evaluate on what the model, or the weights it started from, has seen.",
    )
    parser.add_argument(
        "--model", type=Path, required=True, metavar="DIR", help="the folder train.fit wrote"
    )
    parser.add_argument(
        "--shards", type=Path, nargs="+", required=True, metavar="DIR",
        help="folders that hold train/, validate/, test/; one a source",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="for the measures")
    parser.add_argument("--split", choices=SPLITS, default="test", help="which split (test)")
    parser.add_argument(
        "--params", type=Path, metavar="FILE", default=default_params(),
        help="YAML with a section evaluate (default: params.yaml where there is one)",
    )  # fmt: skip
    parser.add_argument(
        "--limit", type=natural, default=0, metavar="N", help="about N images a source, for a trial"
    )
    parser.add_argument(
        "--workers", type=natural, default=0, metavar="W", help="processes that read shards (0)"
    )
    parser.add_argument(
        "--threads", type=natural, default=0, metavar="T",
        help="torch threads (OMP_NUM_THREADS, else the free cores)",
    )  # fmt: skip
    return parser


if __name__ == "__main__":
    sys.exit(main())
