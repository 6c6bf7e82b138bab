"""Writes sizes.json beside the tars of another program, so that the loader knows their lengths.

    python -m cxr_vlp.pipelines.format.sizes DIR

DIR holds the tars in folders named train, validate and test. Only headers are read. A set of
cxr-vlp has its sizes.json from `shards`; where it is lost, the set is not whole and is refused.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from cxr_vlp.pipelines.format import exit_codes, manifest, tar
from cxr_vlp.pipelines.format.errors import FormatError
from cxr_vlp.pipelines.format.sample import SPLITS

_CHUNK = 1 << 20


def count(path: Path) -> int:
    """Return the number of samples of a tar: of members next to each other with one key.

    Raises FormatError for a tar that is damaged or has bytes behind its end, for a name that is cut
    elsewhere than its writer meant, and for a key that comes again after another one.
    """
    with path.open("rb") as file:
        names = tar.places(file, folders=True)
        while rest := file.read(_CHUNK):
            if rest.strip(b"\0"):
                raise FormatError("shard.end", "has bytes behind its end: is it two tars joined?")
    if why := next(filter(None, map(tar.odd_name, names)), ""):
        raise FormatError("member.unknown", f"holds {why}")
    keys = [key for key, _ in groupby(names, key=lambda name: tar.split_name(name)[0])]
    if len(set(keys)) < len(keys):
        raise FormatError(
            "sample.apart",
            "the members of a sample are not next to each other: pack again with tar --sort=name",
        )
    return len(keys)


def counted(folder: Path) -> dict[str, dict[str, int]]:
    """Return the numbers of samples of the tars of every split that has tars: split -> name -> n.

    Raises FormatError, which names the tar.
    """
    found = {}
    for split in SPLITS:
        tars = sorted((folder / split).glob("[!.]*.tar"))
        if tars:
            found[split] = {path.name: _counted(path) for path in tars}
    return found


def _counted(path: Path) -> int:
    try:
        return count(path)
    except FormatError as error:
        raise FormatError(error.code, f"{path}: {error}") from None


def main(words: Sequence[str]) -> int:
    """Write the files; return an exit code, with the reason on stderr."""
    if len(words) != 1 or words[0].startswith("-"):
        return _refuse((__doc__ or "").partition("\n\n")[2], exit_codes.CONFIG)
    folder = Path(words[0])
    ready = [f"{split}/{manifest.SIZES}" for split in SPLITS]
    if any((folder / name).exists() for name in (manifest.NAME, *ready)):
        return _refuse(
            f"error: {folder} has a {manifest.NAME} or a {manifest.SIZES} already, which is not "
            "replaced: if it does not fit the tars, copy the set again, or remove it first",
            exit_codes.CONFIG,
        )
    try:
        found = counted(folder)
        if not found:
            return _refuse(
                f"error: no .tar in {folder}/train, validate or test: put the tars there",
                exit_codes.CONFIG,
            )
        for split, sizes in found.items():
            _write(folder / split / manifest.SIZES, sizes)
            samples = f"{sum(sizes.values()):,} samples in {len(sizes):,} tars"
            sys.stdout.write(f"{folder / split / manifest.SIZES}: {samples}\n")
    except FormatError as error:
        return _refuse(f"error: {error}", exit_codes.DATA)
    except OSError as error:
        return _refuse(f"error: {error.filename}: {error.strerror}", exit_codes.IO)
    return exit_codes.OK


def _write(path: Path, sizes: dict[str, int]) -> None:
    staged = path.with_name(f".{path.name}.{os.getpid()}")
    staged.write_text(json.dumps(sizes, sort_keys=True, indent=1) + "\n", encoding="utf-8")
    staged.replace(path)


def _refuse(message: str, code: int) -> int:
    sys.stderr.write(f"{message}\n")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
