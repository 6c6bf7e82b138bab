"""Prints the addresses or paths of the tars of sets, for the loaders of other projects.

    cxr-vlp urls s3://bucket/shards/mimic --split train
    cxr-vlp urls data/shards --split train --join ::

One a line, in the order of the sets and of the names; with --join in one line. On an object store
the tars of a set lie in a folder that changes with the set: the addresses are those of the set as
it is published now.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from cxr_vlp.pipelines import errors, interrupts
from cxr_vlp.pipelines.errors import ConfigError, DataError
from cxr_vlp.pipelines.format import manifest
from cxr_vlp.pipelines.format.errors import AbsentError, FormatError
from cxr_vlp.pipelines.format.remote import addresses, sets
from cxr_vlp.pipelines.format.remote.tars import Cache
from cxr_vlp.pipelines.format.sample import SPLITS


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    flags = _parser().parse_args(arguments)
    found = [url for place in flags.shards for url in urls(place, flags.split)]
    if not found:
        raise ConfigError(f"no tar in the split {flags.split} of these sets: name another --split")
    end = flags.join.join(found) + "\n" if flags.join is not None else "\n".join(found) + "\n"
    sys.stdout.write(end)
    return 0


def urls(place: Path | str, split: str) -> list[str]:
    """Return the tars of a split of a set, or of the sets in a folder, on a disk or in a store.

    The tars are those that sizes.json counts. Raises ConfigError where there is no set, DataError
    for a set that is not whole, StoreError.
    """
    try:
        if isinstance(place, Path) or not addresses.is_store(place):
            return list(_of_folder(Path(place), split))
        with tempfile.TemporaryDirectory() as folder:
            return list(_of_folder(sets.local_copy(place, Cache(Path(folder), 1)), split))
    except FormatError as error:
        raise DataError(f"{error}") from None
    except (AbsentError, ValueError) as error:
        raise ConfigError(str(error)) from None


def _of_folder(top: Path, split: str) -> Iterator[str]:
    found = [top] if _is_set(top) else [path for path in sorted(top.glob("[!.]*")) if _is_set(path)]
    if not found:
        raise ConfigError(f"{top}: no set of shards in it or right below it")
    for folder in found:
        remote = sets.tars(folder)
        for name in _counted(folder, split):
            path = folder / split / name
            if remote is None and not path.is_file():
                raise FormatError("shard.missing", f"{path} is not there: copy the set again")
            yield remote[f"{split}/{name}"].address if remote is not None else str(path)


def _is_set(folder: Path) -> bool:
    return any((folder / split).is_dir() for split in SPLITS)


def _counted(folder: Path, split: str) -> list[str]:
    """Return the names of the tars of a split. Raises FormatError for tars without a count."""
    try:
        return sorted(manifest.sizes(folder / split))
    except FileNotFoundError:
        if not any((folder / split).glob("[!.]*.tar")):
            return []
        raise FormatError(
            "sizes.differ",
            f"{folder / split}: no {manifest.SIZES}: copy the set again; if another program wrote "
            f"the tars, count them with python -m cxr_vlp.pipelines.format.sizes {folder}",
        ) from None
    except FormatError as error:
        raise FormatError(error.code, f"{folder / split / manifest.SIZES}: {error}") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cxr-vlp urls",
        description="Print the tars of sets, on a disk or an object store, for other loaders.",
        epilog="Exit codes: 0 done, 2 wrong arguments or no tar, 65 a set that is not whole, 74 a "
        "disk or a store that fails, 130 stopped.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "shards", type=addresses.flag, nargs="+", metavar="DIR",
        help="a set, or a folder of sets; also on an object store (s3://BUCKET/FOLDER)",
    )  # fmt: skip
    parser.add_argument(
        "--split", choices=SPLITS, default="train", help="which split (default: train)"
    )
    parser.add_argument(
        "--join", metavar="TEXT", help="print them in one line, with this between them: open_clip "
        "takes ::",
    )  # fmt: skip
    return parser


def run() -> int:
    """Run the command on the words of the command line; return its exit code."""
    return errors.run(main, interrupts.NOTHING_KEPT)


if __name__ == "__main__":
    sys.exit(run())
