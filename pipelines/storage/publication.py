"""Publishes a folder of an object store: readers see the old output or the new one.

A store cannot rename a folder. So the files of an output are in a folder of their own,

    OUT/manifest.jsonl                     says which folder is the output; replaced in one step
    OUT/1f0c.../train/mimic-train-00000.tar
    OUT/1f0c.../manifest.jsonl, ...        all files, with the names of a local output
    OUT/.staging/...                       the files of a run that goes on
    OUT/.lock                              who writes (lease.py)

whose name is the beginning of the digest in the header, or, of a header without one, of the digest
of its bytes. A run copies the files of its staging folder to the folder of the new digest, on the
server; compares the listings; and then puts the header on the condition that it is the one that was
there when the run began. The folder that a set replaces stays for readers that still read it: it is
removed by the next publishing that changes the output.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cxr_vlp.pipelines.errors import ConfigError, LockedError, StorageError
from cxr_vlp.pipelines.format import manifest
from cxr_vlp.pipelines.storage import lease, objects
from cxr_vlp.pipelines.storage.place import is_remote, place, shown

STAGING = ".staging"
KEPT = ".kept.json"  # in the staging folder: file -> (folder, size) from which it is copied
COPIES = 16  # at the same time; each is a request, and the server does the work
_FOLDER = re.compile(r"[0-9a-f]{16}")


@contextlib.contextmanager
def publishing(output: Path, owner: str, *, resume: bool = False) -> Iterator[Path]:
    """Yield the staging folder of an output in a store; publish it if the block ends without error.

    The arguments and the errors are those of `atomic_dir.publishing`; LockedError also if another
    run published while the block ran, whose output then stays.
    """
    with lease.held(output) as held:
        before = objects.identity(output / owner)
        if not before:
            _refuse_foreign(output, owner)
        staging = output / STAGING
        if not resume:
            objects.remove_all(staging)
        try:
            yield staging
        except BaseException:
            if not resume:
                with contextlib.suppress(StorageError, OSError):
                    objects.remove_all(staging)
            raise
        held.check()
        _publish(output, owner, before)


def folder_of(output: Path, owner: str) -> Path:
    """Return the folder that holds the files of an output: of a disk the output itself.

    Of a store it is the folder that the header names now; it stays readable after the next
    publishing. An output without a header is returned unchanged.
    """
    if not is_remote(output):
        return output
    try:
        return output / name_of((output / owner).read_bytes(), owner)
    except FileNotFoundError:
        return output


def name_of(data: bytes, owner: str) -> str:
    """Return the name of the folder of an output from the bytes of its header file."""
    if owner == manifest.NAME:
        with contextlib.suppress(ValueError, RecursionError):
            header = json.loads(data.partition(b"\n")[0])
            if isinstance(header, dict) and (name := manifest.folder_name(header)):
                return name
    return hashlib.sha256(data).hexdigest()[:16]


def keep_only(
    staging: Path, files: Collection[str], kept: Mapping[str, Path] | None = None
) -> None:
    """Remove all other files from a staging folder; `kept` are to be copied from elsewhere.

    `kept` gives, for files that are not in the staging folder, a file with the same bytes. It is
    copied once, to its place in the published folder, on the server if it is in the same store.
    """
    sources = {name: str(path) for name, path in sorted((kept or {}).items())}
    for found in objects.listing(staging):
        if found.name not in files or found.name in sources:
            objects.remove(staging / found.name)
    if sources:
        objects.put_if_absent(staging / KEPT, json.dumps(sources).encode())


def _refuse_foreign(output: Path, owner: str) -> None:
    ours = (STAGING, lease.NAME)
    for found in objects.listing(output):
        first = found.name.partition("/")[0]
        if first not in ours and not _FOLDER.fullmatch(first) and not first.startswith(".clock-"):
            raise ConfigError(f"{output} is not empty and holds no {owner}: choose another --out")


def _publish(output: Path, owner: str, before: str) -> None:
    """Copy the staging folder to its place, put the header, and remove what nobody reads."""
    staging = output / STAGING
    data = (staging / owner).read_bytes()
    folder = output / name_of(data, owner)
    old = folder_of(output, owner)
    _copy_all(_sources(staging), folder)
    if not objects.replace_if(output / owner, data, before):
        raise LockedError(
            f"{output}: another run published while this one ran, and its output stays: run the "
            "same command again"
        )
    objects.remove_all(staging)
    if old != folder:  # the same output again leaves the one before it
        _remove_others(output, (old, folder))


def _sources(staging: Path) -> dict[str, tuple[Path, int]]:
    """Return where each file of the new folder is copied from, and its size."""
    sources = {
        found.name: (staging / found.name, found.size)
        for found in objects.listing(staging)
        if found.name != KEPT
    }
    if (staging / KEPT).is_file():
        texts = json.loads((staging / KEPT).read_bytes())
        kept = {name: place(text) for name, text in texts.items()}
        sources |= {name: (path, path.stat().st_size) for name, path in kept.items()}
    return sources


def _copy_all(sources: Mapping[str, tuple[Path, int]], folder: Path) -> None:
    """Copy files into a folder, which then holds them and no others.

    Raises StorageError if a file is missing there, or has another size.
    """
    there = {found.name: found.size for found in objects.listing(folder)}
    for name in sorted(there.keys() - sources.keys()):  # left by a killed run
        objects.remove(folder / name)
    copies = [(path, folder / name) for name, (path, _) in sorted(sources.items())]
    with ThreadPoolExecutor(COPIES) as pool:
        try:
            for _ in pool.map(lambda pair: objects.copy(*pair), copies):
                pass
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    now = {found.name: found.size for found in objects.listing(folder)}
    if now != {name: size for name, (_, size) in sources.items()}:
        raise StorageError(
            f"{shown(folder)}: the copied files are not those that were written: nothing was "
            "published; run the same command again"
        )


def _remove_others(output: Path, folders: Collection[Path]) -> None:
    """Remove the folders of earlier outputs, except these."""
    kept = {folder.name for folder in folders}
    for path in output.iterdir():
        if _FOLDER.fullmatch(path.name) and path.name not in kept:
            objects.remove_all(path)
