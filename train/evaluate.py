"""`cxr-vlp evaluate --model DIR --shards DIR --out DIR`: zero-shot AUROC on a held-out split.

OUT/metrics.json   macro AUROC over all sources together, and of each source
OUT/auroc.csv      source, label, auroc, low, high, positives, negatives; for `dvc plots` too
OUT/scores.csv     a row an image: the hash of its key, its source, a probability for each label
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from cxr_vlp.nlp.wording.bank import Bank, own_bank
from cxr_vlp.pipelines.format.sample import SPLITS
from cxr_vlp.train import addresses, cli, privacy
from cxr_vlp.train.config import params
from cxr_vlp.train.config.params import EvaluateParams
from cxr_vlp.train.data import parameter_check, views
from cxr_vlp.train.data.loader import Loading
from cxr_vlp.train.data.set_choice import choose
from cxr_vlp.train.data.shards import list_shards
from cxr_vlp.train.errors import ConfigError
from cxr_vlp.train.evaluation.results import ScoreTable, by_source, write
from cxr_vlp.train.evaluation.scoring import load, scored
from cxr_vlp.train.evaluation.zeroshot import DIRECT, scorer
from cxr_vlp.train.fit import use_threads

VIEWS = "evaluate.views"


def main(argv: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    arguments = _parser().parse_args(argv)
    return cli.guarded(lambda: evaluate(arguments))


def evaluate(arguments: argparse.Namespace) -> None:
    """Evaluate as the arguments say, and write everything below `--out`."""
    use_threads(arguments.threads)
    given = params.load(arguments.params)
    section = given.evaluate
    parameter_check.check(arguments.shards, given)
    used = choose(arguments.shards, given.collections)
    privacy.narrow(used.folders)
    for line in used.unused:
        cli.note(line)
    shards = list_shards(used.folders, arguments.split)
    if not shards:
        raise ConfigError(f"no shards in the {arguments.split} split of the given folders")
    recipe, encoder = load(arguments.model)
    loading = Loading(recipe, encoder.size, encoder.tokenize, workers=arguments.workers)
    survey = views.survey(shards, section.views)
    views.require(survey.views, section.views, VIEWS)
    names = section.labels or survey.labels
    if not names:
        raise ConfigError("the shards hold no labels: there is nothing to evaluate against")
    device = next(encoder.model.parameters()).device
    score = scorer(encoder, (*names, DIRECT), section.bank, device, _own(section.prompts))
    images = scored(score, shards, loading, section.views, arguments.limit, device)
    *_, direct = images.scores.T.numpy()
    findings = images.scores[:, :-1].numpy()
    table = ScoreTable(
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
    """Return the user's own prompt bank, if any. Raises ConfigError that says what is wrong."""
    addresses.check(path, "evaluate.prompts")
    try:
        return own_bank(path) if path else None
    except FileNotFoundError:
        raise ConfigError(f"evaluate.prompts: no file at {path}") from None
    except ValueError as error:
        raise ConfigError(f"evaluate.prompts: {error}") from None


def _summary(results: dict[str, dict[str, Any]], section: EvaluateParams) -> None:
    def digits(value: float | None) -> str:
        return "-" if value is None else f"{value:.3f}"

    rows = [
        (
            name,
            str(result["images"]),
            views.listed(result["left_out"]),
            digits(result["macro_auroc"]),
            f"{digits(result['macro_low'])} to {digits(result['macro_high'])}",
            ", ".join(result["unmeasured"]) or "none",
        )
        for name, result in results.items()
    ]
    columns = (
        *("source", "images", "left out by view", "macro AUROC", "95 % interval"),
        "not measurable",
    )
    cli.table("zero-shot", columns, rows)
    counted = {"negative": "counts as negative", "exclude": "is left out"}[section.unmentioned]
    sys.stdout.write(
        f"a label that a sample does not mention {counted} (evaluate.unmentioned: "
        f"{section.unmentioned})\n"
    )


def _parser() -> argparse.ArgumentParser:
    parser = cli.parser(
        "evaluate",
        "Measure a trained model on held-out shards: the zero-shot AUROC of each label.",
        "Never evaluate on data that the model, or its pretrained weights, were trained on.",
    )
    cli.path_flag(parser, "--model", "the folder that cxr-vlp fit wrote")
    cli.shards_flag(parser)
    cli.path_flag(parser, "--out", "the folder of the results")
    parser.add_argument("--split", choices=SPLITS, default="test", help="the split (default: test)")
    cli.params_flag(parser, "evaluate")
    parser.add_argument(
        "--limit", type=cli.non_negative, default=0, metavar="N",
        help="read about N images of each source, for a trial (default: 0, all images)",
    )  # fmt: skip
    cli.compute_flags(parser)
    return parser


def run() -> int:
    """Run the command with the arguments of the command line; return its exit code."""
    return main()


if __name__ == "__main__":
    sys.exit(run())
