"""Writes the samples that a query finds as a complete new set, or as a folder of new sets.

    cxr-vlp select data/shards/mimic --where "split = 'train' and Edema = 1" --out data/edema

From a set, --out becomes the set; from a folder of sets, --out becomes a folder with a set for
every set of which samples were chosen. Images and captions are copied, and no image is decoded.
steps.py has the steps and their order; docs/select.md has examples.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from cxr_vlp.pipelines import cli, errors, interrupts
from cxr_vlp.pipelines.errors import ConfigError
from cxr_vlp.pipelines.files import atomic_dir, jsonl, privacy
from cxr_vlp.pipelines.format import local_paths, manifest
from cxr_vlp.pipelines.format.sample import SPLITS
from cxr_vlp.pipelines.selection import (
    draws,
    layout,
    outputs,
    provenance,
    report,
    source_sets,
    steps,
    writing,
)
from cxr_vlp.pipelines.selection.source_sets import SourceSet
from cxr_vlp.pipelines.selection.steps import Chosen, Wanted


@dataclass(frozen=True)
class Selection:
    """One run of the command: its flags, the sets, and what is wanted of them."""

    flags: argparse.Namespace
    sets: Sequence[SourceSet]
    wanted: Wanted

    @property
    def single(self) -> bool:
        """Whether PATH is a set and not a folder of sets: --out then becomes the set."""
        return (self.flags.path / manifest.NAME).is_file()

    def size(self) -> list[str]:
        """Return the flags for the number of tars."""
        if self.flags.parts:
            numbers = ",".join(f"{split}={number}" for split, number in self.flags.parts.items())
            return ["--parts", numbers]
        return ["--samples-per-shard", str(self.flags.samples_per_shard)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = _parser()
    flags = parser.parse_args(arguments)
    _check(parser, flags)
    sets = source_sets.read(flags.path)
    this = Selection(flags, sets, _wanted(flags))
    if not flags.dry_run:
        outputs.check(flags.path, flags.out, sets, single=this.single)
    protection = source_sets.protection(sets)
    with privacy.protecting(protection, flags.state if flags.dry_run else flags.out, flags.state):
        table = source_sets.united(sets, flags.state, workers=flags.workers)
        chosen = steps.choose(table, this.wanted)
        if flags.dry_run:
            report.show_chosen(sets, chosen)
            report.show_labels(sets, chosen)
            cli.say("--dry-run: nothing was written")
            return 0
        _check_tars(this, chosen)
        headers = _publish(this, chosen)
    report.show_chosen(sets, chosen)
    report.show_written(flags.out, sets, headers, single=this.single)
    return 0


def _check_tars(this: Selection, chosen: Chosen) -> None:
    """Compare the digests of the tars that samples are copied from. Raises DataError."""
    if not this.flags.no_digests:
        for number, source in enumerate(this.sets):
            writing.check_tars(source, chosen.of(number), this.flags.workers)


def _publish(this: Selection, chosen: Chosen) -> dict[str, Mapping[str, Any]]:
    """Write the new sets; return the headers of their manifests, by name of the set."""
    owner = manifest.NAME if this.single else outputs.MARK
    with atomic_dir.publishing(this.flags.out, owner) as staging:
        headers: dict[str, Mapping[str, Any]] = {}
        for number, source in enumerate(this.sets):
            rows = chosen.of(number)
            if rows.num_rows:
                folder = staging if this.single else staging / source.name
                headers[source.name] = _write(this, chosen, source, rows, folder)
        if not this.single:
            digests = {name: header["digest"] for name, header in headers.items()}
            how = provenance.command(this.wanted, this.size())
            jsonl.write_json(staging / outputs.MARK, {"command": how, "sets": digests})
    return headers


def _write(
    this: Selection, chosen: Chosen, source: SourceSet, rows: pa.Table, folder: Path
) -> dict[str, Any]:
    """Write one new set; return the header of its manifest."""
    workers = this.flags.workers
    numbers = layout.counts(rows, this.flags.parts, this.flags.samples_per_shard)
    how = provenance.of(source, this.sets, this.wanted, this.size(), chosen.counts)
    header = writing.write(source, rows, folder, numbers, how, workers=workers)
    if not this.flags.no_card:
        writing.write_card(folder, this.flags.state, workers=workers)
    return header


def _parser() -> argparse.ArgumentParser:
    parser = cli.parser(
        "select", "Write the samples that a query finds as a new set.", source=False, stage=False
    )
    parser.add_argument("path", type=cli.folder, metavar="PATH", help="a set, or a folder of sets")
    parser.add_argument(
        "--out", type=cli.folder, action=_Once, metavar="DIR", help="the new set, or folder of sets"
    )
    parser.add_argument(
        "--state", type=cli.folder, default=".cxr", metavar="DIR",
        help="keeps the tables of samples (default: .cxr); it may be deleted at any time",
    )  # fmt: skip
    _add_choice(parser)
    _add_draws(parser)
    _add_size(parser)
    parser.add_argument(
        "--no-digests", action="store_true",
        help="do not compare the tars with the digests in the manifest first, which reads them "
        "as a whole",
    )  # fmt: skip
    parser.add_argument("--no-card", action="store_true", help="write no card into the new set")
    parser.add_argument(
        "--dry-run", action="store_true", help="print the counts of the selection; write nothing"
    )
    return parser


def _add_choice(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the steps that name samples; given together, all of them hold."""
    choice = parser.add_argument_group("samples, in the order of the steps")
    choice.add_argument(
        "--where", action="append", default=[], metavar="SQL",
        help="a condition on the columns of samples.parquet and on labels, e.g. \"view = "
        "'frontal' and Edema = 1\"; several must all be true",
    )  # fmt: skip
    choice.add_argument(
        "--keys", type=local_paths.path, action=_Once, metavar="FILE",
        help="a text file with a key a line, or .csv, .tsv, .parquet with a column key, study or "
        "patient",
    )  # fmt: skip
    choice.add_argument(
        "--ignore-missing", action="store_true", help="go on if --keys has ids that no set has"
    )
    choice.add_argument(
        "--unit", choices=("sample", "study"), default="sample",
        help="study: take a study whole when one of its images is chosen (default: sample)",
    )  # fmt: skip
    choice.add_argument(
        "--resplit", type=local_paths.path, action=_Once, metavar="FILE",
        help="other splits: a table with the columns patient, study or key, and split",
    )  # fmt: skip
    choice.add_argument(
        "--unlisted", choices=steps.UNLISTED, default="stop",
        help="what to do with samples that --resplit does not list (default: stop)",
    )  # fmt: skip
    choice.add_argument(
        "--split", choices=SPLITS, action="append", default=[], help="only this split; repeatable"
    )


def _add_draws(parser: argparse.ArgumentParser) -> None:
    draw = parser.add_argument_group("draws, after the steps above")
    draw.add_argument(
        "--shots", type=_positive, action=_Once, default=0, metavar="N",
        help="N samples for every label (few-shot); one with fewer is named",
    )  # fmt: skip
    draw.add_argument(
        "--per", action=_Once, default=draws.LABELS, metavar="COLUMN",
        help="draw the shots for every label, or for every value of a column or of one label "
        "(default: label)",
    )  # fmt: skip
    draw.add_argument(
        "--shots-from", choices=SPLITS, default="train", help="the split of the shots"
    )
    draw.add_argument(
        "--studies", type=_positive, action=_Once, default=0, metavar="N", help="N studies in all"
    )
    draw.add_argument(
        "--balance", action=_Once, default="", metavar="COLUMN",
        help="as many studies of every value of a column or label, e.g. dataset",
    )  # fmt: skip
    draw.add_argument(
        "--seed", type=int, default=0, metavar="N", help="chooses the draws (default: 0)"
    )


def _add_size(parser: argparse.ArgumentParser) -> None:
    size = parser.add_mutually_exclusive_group()
    size.add_argument(
        "--samples-per-shard", type=_positive, default=layout.SAMPLES, metavar="N",
        help=f"samples of a tar, about (default: {layout.SAMPLES})",
    )  # fmt: skip
    size.add_argument(
        "--parts", type=_parts, default={}, metavar="SPLIT=N,...",
        help="the number of tars of every split, e.g. train=4,validate=1,test=1",
    )  # fmt: skip


class _Once(argparse.Action):
    """Stores a flag's value, and refuses a second one: the first would be lost."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        if getattr(namespace, self.dest) != self.default:
            parser.error(f"{option_string} is given twice")
        setattr(namespace, self.dest, values)


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError("must be a number of at least 1")
    return int(text)


def _parts(text: str) -> dict[str, int]:
    found = {}
    for part in text.split(","):
        split, _, number = part.partition("=")
        if split not in SPLITS or split in found:
            raise argparse.ArgumentTypeError("must be like train=4,validate=1,test=1")
        found[split] = _positive(number)
    return {split: found[split] for split in SPLITS if split in found}


def _check(parser: argparse.ArgumentParser, flags: argparse.Namespace) -> None:
    """Refuse flags that would have no effect; leaves the program with the code 2."""
    if not (flags.out or flags.dry_run):
        parser.error("--out DIR is needed, or --dry-run")
    for flag, given, needed, there in (
        ("--balance", flags.balance, "--studies", flags.studies),
        ("--per", flags.per != draws.LABELS, "--shots", flags.shots),
        ("--ignore-missing", flags.ignore_missing, "--keys", flags.keys),
        ("--unlisted", flags.unlisted != "stop", "--resplit", flags.resplit),
    ):
        if given and not there:
            parser.error(f"{flag} needs {needed}")
    if any(number > layout.MOST for number in flags.parts.values()):
        raise ConfigError(f"--parts: at most {layout.MOST:,} tars of a split")


def _wanted(flags: argparse.Namespace) -> Wanted:
    return Wanted(
        where=tuple(flags.where),
        keys=flags.keys,
        ignore_missing=flags.ignore_missing,
        unit=flags.unit,
        resplit=flags.resplit,
        unlisted=flags.unlisted,
        splits=tuple(sorted(set(flags.split), key=SPLITS.index)),
        shots=flags.shots,
        per=flags.per,
        shots_from=flags.shots_from,
        studies=flags.studies,
        balance=flags.balance,
        seed=flags.seed,
    )


def run() -> int:
    """Run the command on the words of the command line; return its exit code."""
    return errors.run(main, interrupts.NOTHING_KEPT)


if __name__ == "__main__":
    sys.exit(run())
