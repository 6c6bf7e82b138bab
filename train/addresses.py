"""Paths and addresses that flags take.

A path is one of this machine: the address of another (`s3://...`) is refused, also as the value of
a parameter. Sets of shards may be on an object store: `here` makes folders of them.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from cxr_vlp.pipelines.format import local_paths
from cxr_vlp.pipelines.format.errors import AbsentError, FormatError
from cxr_vlp.pipelines.format.remote import addresses, sets, tars
from cxr_vlp.pipelines.format.remote.tars import Cache
from cxr_vlp.train.errors import ConfigError, DataError

path = local_paths.path  # the type of a flag that takes a path
shards = addresses.flag  # the type of one that takes sets: a path, or the address of a store


def check(text: str, name: str) -> None:
    """Refuse an address as the value of the parameter `name`. Raises ConfigError."""
    if refused := local_paths.refusal(text):
        raise ConfigError(f"{name}: {refused}")


def here(places: Sequence[str | os.PathLike[str]], cache: Cache | None = None) -> list[Path]:
    """Return a folder of this machine for each path or address of sets.

    That of an address holds the small files of the sets as they are published now; `cache` (None:
    the default) keeps it, and the tars when they are read. Raises ConfigError for an address
    without a set, DataError for a set that is not whole, StoreError where the store fails.
    """
    return [_here(place, cache) for place in places]


def _here(place: str | os.PathLike[str], cache: Cache | None) -> Path:
    text = place if isinstance(place, str) else str(place)  # a UPath is no path of this machine
    if not addresses.is_store(text):
        if refused := local_paths.refusal(text):
            raise ConfigError(f"--shards: {refused}")
        return Path(place)
    try:
        return sets.local_copy(text, cache or default_cache())
    except FormatError as error:
        raise DataError(str(error)) from None
    except (AbsentError, ValueError) as error:
        raise ConfigError(str(error)) from None


def default_cache() -> Cache:
    """Return the cache that the environment names, or the default. Raises ConfigError."""
    try:
        return tars.default()
    except ValueError:
        raise ConfigError(f"{tars.SIZE_VARIABLE} must be a number of gigabytes above 0") from None


def cache_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the cache of fetched tars."""
    parser.add_argument(
        "--shard-cache", type=path, metavar="DIR",
        help=f"folder for the tars of sets on an object store (default: ${tars.FOLDER_VARIABLE}, "
        "else ~/.cache/cxr-vlp/shards); several processes may share it",
    )  # fmt: skip
    parser.add_argument(
        "--shard-cache-size", type=_gigabytes, metavar="GB",
        help=f"how much it may hold (default: ${tars.SIZE_VARIABLE}, else {tars.SIZE}); what was "
        "not read for the longest time is removed first",
    )  # fmt: skip


def cache_of(arguments: argparse.Namespace) -> Cache:
    """Return the cache that the flags name. Raises ConfigError."""
    found = default_cache()
    folder, limit = arguments.shard_cache, arguments.shard_cache_size
    return Cache((folder or found.folder).absolute(), limit or found.limit)


def _gigabytes(text: str) -> int:
    size = round(float(text) * tars.GIGABYTE)
    if size < 1:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return size
