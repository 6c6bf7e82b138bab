"""Checks a finished set, or a folder of sets, against the shard format.

    cxr-vlp verify data/shards/mimic --deep

Checks digests, names, members, headers, JSON fields, sizes.json and counts. Over all sets it checks
that keys are unique and that no patient and no image is in two splits. --deep also decodes every
image, and finds equal images by their grey values; --near-duplicates finds films that are stored
twice with other pixels, and writes the pairs; --rederive K makes K samples of each set again from
the sources. It prints a remedy for every code that it found (codes.py), and no key, id or
text. Tars that belong to no set are read too, and never valid. The exit code is 0 if the sets are
valid, 65 if not.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cxr_vlp.pipelines import cli, codes, config, errors, interrupts
from cxr_vlp.pipelines.errors import ConfigError, DataError
from cxr_vlp.pipelines.files import jsonl, privacy
from cxr_vlp.pipelines.format import exit_codes, local_paths, manifest
from cxr_vlp.pipelines.format.errors import AbsentError, FormatError
from cxr_vlp.pipelines.format.remote import addresses
from cxr_vlp.pipelines.format.remote import sets as remote_sets
from cxr_vlp.pipelines.format.remote.tars import Cache
from cxr_vlp.pipelines.validate import foreign
from cxr_vlp.pipelines.validate.near_duplicates import Pair
from cxr_vlp.pipelines.validate.rederive import Rederivation
from cxr_vlp.pipelines.validate.runner import NearDuplicates, check

SHOWN = 20  # breaches in the printed table


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    flags = _parser().parse_args(arguments)
    settings = config.load(flags.params)  # reports mistakes even if the parameters are not needed
    with tempfile.TemporaryDirectory(prefix="cxr-vlp-") as temporary:
        if isinstance(flags.shards, str):
            flags.shards = _copied(flags, Path(temporary))
            return _verify(flags, settings, [])
        found = list(manifest.sets(flags.shards))
        return _verify(flags, settings, foreign.found(flags.shards, found))


def _verify(
    flags: argparse.Namespace, settings: config.Params, others: Sequence[foreign.TarFolder]
) -> int:
    found = list(manifest.sets(flags.shards))
    if not found:
        _refuse_wrong_path(flags.shards, others)
    rederivation = _rederivation(flags, settings)
    near = None if flags.near_duplicates is None else NearDuplicates()
    result = check(
        found,
        deep=flags.deep,
        workers=flags.workers,
        rederivation=rederivation,
        others=others,
        near=near,
    )
    if near is not None and flags.near_duplicates:
        _write_pairs(flags.near_duplicates, near, found)
    met = [found["code"] for found in (*result["breaches"], *result["notes"])]
    result["remedies"] = codes.remedies(met, table=codes.VERIFY)
    if flags.json:
        sys.stdout.write(json.dumps(result, indent=1, sort_keys=True) + "\n")
    else:
        _show(result, remade=flags.rederive > 0)
    return exit_codes.DATA if result["breaches"] else exit_codes.OK


def _parser() -> argparse.ArgumentParser:
    parser = cli.parser("verify", "Check finished shards against the format.", source=False)
    parser.epilog = (
        "Exit codes: 0 the sets are valid, 65 they are not, 74 a file cannot be read, "
        "2 wrong arguments or parameters, 130 stopped."
    )
    parser.add_argument(
        "shards",
        type=addresses.flag,
        metavar="DIR",
        help="a set, or a folder of sets; also on an object store (s3://BUCKET/FOLDER), whose tars "
        "are then read as they arrive and not kept",
    )
    parser.add_argument("--deep", action="store_true", help="decode every image too")
    parser.add_argument(
        "--near-duplicates",
        type=_pairs_file,
        nargs="?",
        const="",
        metavar="FILE",
        help="find films that are stored twice with other pixels, under two patients; write the "
        "pairs of sample keys to a .csv that `sources.NAME.leave_out` reads. An image takes about "
        "1.3 ms and 2.3 KB of temporary disk; comparing 400,000 adds 15 s of CPU time",
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument(
        "--rederive",
        type=int,
        default=0,
        metavar="K",
        help="make K samples of every set again from the sources and compare; needs --scan and "
        "--texts",
    )
    for name, what in (("scan", "the inventory"), ("texts", "the texts")):
        parser.add_argument(
            f"--{name}",
            type=local_paths.path,
            metavar="DIR",
            help=f"{what}, or a folder with every source's",
        )
    parser.add_argument(
        "--root",
        type=cli.raw_root,
        metavar="DIR",
        help="the raw tree, or a folder with every source's (default: sources.SOURCE.root of the "
        "parameters)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="chooses the samples of --rederive"
    )
    return parser


def _copied(flags: argparse.Namespace, folder: Path) -> Path:
    """Return a folder that stands for the sets at an address. Raises ConfigError, DataError."""
    if flags.rederive > 0:
        raise ConfigError(f"--rederive needs a set on a disk: {local_paths.refusal(flags.shards)}")
    try:
        found = remote_sets.local_copy(flags.shards, Cache(folder, 1), strict=False)
    except FormatError as error:
        raise DataError(str(error)) from None
    except (AbsentError, ValueError) as error:
        raise ConfigError(str(error)) from None
    if not any(manifest.sets(found)):
        raise ConfigError(
            f"no {manifest.NAME} in {flags.shards} or in the folders right below it: tars that "
            "belong to no set are checked on a disk only"
        )
    return found


def _pairs_file(text: str) -> Path:
    path = Path(local_paths.path(text))
    if path.suffix.lower() != ".csv":
        raise argparse.ArgumentTypeError(f"{path} is no .csv: name the set or folder first")
    return path


def _write_pairs(path: Path, near: NearDuplicates, sets: Sequence[Path]) -> None:
    """Write the pairs; only the user may read them if that holds for one of the sets."""
    headers = [jsonl.glimpse(folder / manifest.NAME) for folder in sets]
    private = any(isinstance(each, dict) and privacy.is_private(each) for each in headers)
    with jsonl.replacing(path) as stream:
        if private:
            os.fchmod(stream.fileno(), 0o600)
        text = io.TextIOWrapper(stream, "utf-8", newline="", write_through=True)
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(Pair._fields)
        rows.writerows(found.pair for found in near.found)
        text.detach()  # `replacing` closes the stream


def _refuse_wrong_path(path: Path, others: Sequence[foreign.TarFolder]) -> None:
    """Raise ConfigError if a path is no set and no folder with sets or tars."""
    if path.is_file():
        raise ConfigError(f"no {manifest.NAME} in {path}: it is a file, give the folder of the set")
    if (path.parent / manifest.NAME).is_file():
        raise ConfigError(
            f"no {manifest.NAME} in {path}: it is a part of a set, give {path.parent}"
        )
    if not others:
        raise ConfigError(f"no {manifest.NAME} in {path} or in the folders right below it")


def _rederivation(flags: argparse.Namespace, settings: config.Params) -> Rederivation | None:
    if flags.rederive < 1:
        return None
    if not (flags.scan and flags.texts):
        raise ConfigError("--rederive needs --scan and --texts, from which the shards were made")
    # if all folders are named and no parameters are, the sets may have other parameters
    compared = bool(settings.content) and (flags.params is not None or not flags.root)
    root = flags.root or ""
    return Rederivation(
        flags.rederive, flags.seed, root, flags.scan, flags.texts, settings, compared
    )


def _show(result: dict[str, Any], *, remade: bool) -> None:
    names = ["set", "shards", "samples", "patients", "bytes"]
    names += ["rederived"] if remade else []
    rows = [[row[name] for name in names] for row in result["sets"]]
    depth = "deep" if result["deep"] else "without decoding"
    cli.show(f"verify ({depth})", names, rows)
    for note in result["notes"]:
        sys.stdout.write(f"note: {note['code']}: {note['where']} ({note['count']:,})\n")
    for breach in result["breaches"][:SHOWN]:
        times = f" (and {breach['count'] - 1:,} more)" if breach["count"] > 1 else ""
        sys.stdout.write(f"{breach['code']}: {breach['where']}{times}\n")
    if len(result["breaches"]) > SHOWN:
        sys.stdout.write(f"... and {len(result['breaches']) - SHOWN:,} lines more: see --json\n")
    for line in result["remedies"]:
        sys.stdout.write(f"{line}\n")
    sys.stdout.write("valid\n" if not result["breaches"] else "NOT VALID\n")


def run() -> int:
    """Run the command on the words of the command line; return its exit code."""
    return errors.run(main, interrupts.NOTHING_KEPT)


if __name__ == "__main__":
    sys.exit(run())
