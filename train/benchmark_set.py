"""`cxr-vlp benchmark-set NAME --shards DIR --out FILE`: the images of a 5x200 set.

FILE is a list of keys, patients and classes (.csv or .json). `cxr-vlp evaluate --set FILE` measures
these images; `sources.NAME.leave_out` in params.yaml keeps their patients out of the shards.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from cxr_vlp.pipelines.format.sample import SPLITS
from cxr_vlp.train import cli, privacy
from cxr_vlp.train.data.samples import keyed_facts
from cxr_vlp.train.data.shards import Shard, list_shards, sets
from cxr_vlp.train.errors import ConfigError
from cxr_vlp.train.evaluation import benchmark_sets
from cxr_vlp.train.evaluation.benchmark_sets import BenchmarkSet
from cxr_vlp.train.evaluation.retrieval import five_classes


def main(argv: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    arguments = _parser().parse_args(argv)
    return cli.guarded(lambda: make(arguments))


def make(arguments: argparse.Namespace) -> None:
    """Write the set that the arguments ask for. Raises ConfigError where it cannot be made."""
    benchmark_sets.form(arguments.out)  # before all shards are read
    cli.shards_here(arguments)
    privacy.narrow(sets(arguments.shards))
    shards = _shards(arguments.shards, arguments.split)
    samples = (each for shard in shards for each in keyed_facts(shard))
    among = five_classes.pool(samples, arguments.name)
    chosen = five_classes.drawn(among, arguments.name, arguments.per_class, arguments.seed)
    benchmark_sets.write(arguments.out, chosen)
    _say(arguments.out, chosen)


def _shards(folders: Sequence[Path], split: str) -> tuple[Shard, ...]:
    splits = SPLITS if split == "all" else (split,)
    shards = tuple(shard for each in splits for shard in list_shards(folders, each))
    if not shards:
        raise ConfigError(f"no shards in the {split} split of the given folders")
    return shards


def _say(path: Path, chosen: BenchmarkSet) -> None:
    rows = [(label, str(count)) for label, count in chosen.counts().items()]
    cli.table(chosen.name, ("class", "images"), rows)
    sys.stdout.write(
        f"{path}: {len(chosen.entries)} images of {len(chosen.patients)} patients; sha256 of the "
        f"keys {chosen.digest}\n"
    )
    for dataset in sorted({entry.dataset for entry in chosen.entries}):
        sys.stdout.write(
            f"to train without these patients: sources.{dataset}.leave_out: "
            f"[{{file: {path}, column: patient}}] in params.yaml\n"
        )


def _parser() -> argparse.ArgumentParser:
    parser = cli.parser(
        "benchmark-set",
        "Choose the images of a 5x200 set: five findings, each the only one of its images.",
        "A study is chosen where exactly one of the five is 1 and no other label is 1 or "
        "uncertain; a label that is not mentioned counts as 0. One frontal image a study, in the "
        "order of a hash of seed and key.",
    )
    parser.add_argument(
        "name", choices=five_classes.SETS, help="the set; 5x200 takes any collection"
    )
    cli.shards_flag(parser)
    cli.path_flag(parser, "--out", "the list to write, .csv or .json", metavar="FILE")
    parser.add_argument(
        "--per-class", type=cli.positive, default=five_classes.PER_CLASS, metavar="N",
        help=f"images of each class (default: {five_classes.PER_CLASS})",
    )  # fmt: skip
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="chooses the draw (default: 0)"
    )
    parser.add_argument(
        "--split", choices=(*SPLITS, "all"), default="train",
        help="the split to draw from (default: train)",
    )  # fmt: skip
    return parser


def run() -> int:
    """Run the command with the arguments of the command line; return its exit code."""
    return main()


if __name__ == "__main__":
    sys.exit(run())
