"""`cxr-vlp evaluate --model DIR --shards DIR --out DIR`: zero-shot AUROC, held-out split.

OUT/metrics.json   macro AUROC over all sources together, and the same per source
OUT/auroc.csv      source, label, auroc, low, high, positives, negatives, for `dvc plots`
OUT/scores.csv     a row an image: hash of its key, source, probability per label
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from cxr_vlp.nlp.prompts import Bank, own_bank
from cxr_vlp.pipelines.format.sample import SPLITS
from cxr_vlp.train import addresses, cli, privacy
from cxr_vlp.train.config import params
from cxr_vlp.train.config.params import Evaluate
from cxr_vlp.train.data import parameter_check, views
from cxr_vlp.train.data.loader import Loading
from cxr_vlp.train.data.set_choice import choose, collections
from cxr_vlp.train.data.shards import list_shards
from cxr_vlp.train.errors import ConfigError
from cxr_vlp.train.evaluation.results import Scored, by_source, write
from cxr_vlp.train.evaluation.scoring import load, scored
from cxr_vlp.train.evaluation.zeroshot import DIRECT, scorer
from cxr_vlp.train.fit import natural, use_threads

VIEWS = "evaluate.views"


def main(argv: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    arguments = _parser().parse_args(argv)
    return cli.guarded(lambda: evaluate(arguments))


def evaluate(arguments: argparse.Namespace) -> None:
    """Evaluate as the arguments say, and write everything under `--out`."""
    use_threads(arguments.threads)
    section = params.read(arguments.params, "evaluate", Evaluate)
    parameter_check.check(arguments.shards, arguments.params)
    used = choose(arguments.shards, collections(arguments.params))
    privacy.narrow(used.folders)
    for line in used.beside:
        cli.note(line)
    shards = list_shards(used.folders, arguments.split)
    if not shards:
        raise ConfigError(f"no shards in the {arguments.split} split of the given folders")
    chosen, towers = load(arguments.model)
    loading = Loading(chosen, towers.size, towers.tokenize, workers=arguments.workers)
    told = views.survey(shards, section.views)
    views.require(told.views, section.views, VIEWS)
    names = section.labels or told.labels
    if not names:
        raise ConfigError("the shards hold no labels: there is nothing to evaluate against")
    device = next(towers.model.parameters()).device
    score = scorer(towers, (*names, DIRECT), section.bank, device, _own(section.prompts))
    images = scored(score, shards, loading, section.views, arguments.limit, device)
    *_, direct = images.scores.T.numpy()
    findings = images.scores[:, :-1].numpy()
    table = Scored(
        images.keys, images.sources, images.patients, images.rows, names, findings, direct
    )
    views.require(images.seen, section.views, f"{VIEWS}, in the images that --limit leaves")
    results = by_source(table, section)
    left = views.left_out(images.seen, section.views)
    for name, result in results.items():
        result["left_out"] = left[name] if name in left else _together(left.values())
    write(arguments.out, table, results, section)
    _summary(results, section)


def _together(left: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Return the counts of all sources by view."""
    total: Counter[str] = Counter()
    for counts in left:
        total.update(counts)
    return dict(sorted(total.items()))


def _own(path: str) -> Bank | None:
    """Return a user's prompt bank. Raises ConfigError with what is wrong with the file."""
    addresses.check(path, "evaluate.prompts")
    try:
        return own_bank(path) if path else None
    except FileNotFoundError:
        raise ConfigError(f"evaluate.prompts: no file at {path}") from None
    except ValueError as error:
        raise ConfigError(f"evaluate.prompts: {error}") from None


def _summary(results: dict[str, dict[str, Any]], section: Evaluate) -> None:
    def shown(value: float | None) -> str:
        return "-" if value is None else f"{value:.3f}"

    rows = [
        (
            name,
            str(result["images"]),
            views.told(result["left_out"]),
            shown(result["macro_auroc"]),
            f"{shown(result['macro_low'])} to {shown(result['macro_high'])}",
            ", ".join(result["unmeasured"]) or "none",
        )
        for name, result in results.items()
    ]
    columns = (
        *("source", "images", "left out by view", "macro AUROC", "95 % interval"),
        "not measurable",
    )
    cli.table("zero-shot", columns, rows)
    blank = {"negative": "counts as negative", "exclude": "is left out"}[section.unmentioned]
    sys.stdout.write(f"a label that an image's row does not mention {blank} (unmentioned)\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cxr-vlp evaluate",
        description="Measure a trained model on held-out shards: zero-shot AUROC per label.",
        epilog="Never evaluate on what the model, or the weights it started from, has seen.",
    )
    parser.add_argument(
        "--model",
        type=addresses.path,
        required=True,
        metavar="DIR",
        help="the folder cxr-vlp fit wrote",
    )
    parser.add_argument(
        "--shards", type=addresses.path, nargs="+", required=True, metavar="DIR",
        help="folders that hold train/, validate/, test/; one a source",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=addresses.path, required=True, metavar="DIR", help="for the measures"
    )
    parser.add_argument("--split", choices=SPLITS, default="test", help="which split (test)")
    parser.add_argument(
        "--params", type=addresses.path, metavar="FILE", default=params.default(),
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


def run() -> int:
    """Run the command on the words of the command line; return its exit code."""
    return main()


if __name__ == "__main__":
    sys.exit(run())
