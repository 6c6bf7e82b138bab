"""An output of a store that a stage makes on this machine: it is fetched, updated and published.

A scan updates an index, an SQLite file, which only a disk can hold. So its output is a folder of
this machine, and the store gets a copy: before the stage, the files that this machine lacks are
fetched; after it, the files that changed are put, and the others are copied on the server.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path

from cxr_vlp.pipelines.storage import objects, publication
from cxr_vlp.pipelines.storage.place import is_remote


@contextlib.contextmanager
def mirrored(output: Path, owner: str, copy: Path) -> Iterator[Path]:
    """Yield a folder of this machine with the files of an output; publish it when the block ends.

    `owner` is the header file of the output, `copy` is where the copy is, which may be deleted at
    any time. An output of this machine is yielded itself. If the block changes no file, nothing is
    published. Raises what `publication.publishing` raises.
    """
    if not is_remote(output):
        yield output
        return
    # the lock is held from here on: an update of what another run replaces meanwhile would be lost
    with contextlib.suppress(_SameError), publication.publishing(output, owner) as staging:
        published = publication.folder_of(output, owner)
        before = _fetch(published if published != output else None, copy)
        yield copy
        if _files(copy) == before:
            raise _SameError
        _put(owner, copy, published, staging)


def folder(state: Path, output: Path) -> Path:
    """Return the folder of this machine, below a state folder, for the copy of an output."""
    return state / "stores" / hashlib.sha256(str(output).encode()).hexdigest()[:16]


class _SameError(Exception):
    """The block changed nothing."""


def _fetch(published: Path | None, folder: Path) -> dict[str, objects.Found]:
    """Give the folder the files of the published one, and no others; return its listing."""
    wanted = {found.name: found for found in objects.listing(published)} if published else {}
    for name, found in _files(folder).items():
        if name not in wanted or not _same(folder / name, found, wanted[name]):
            objects.remove(folder / name)
    here = _files(folder)
    for name in sorted(wanted.keys() - here.keys()):
        assert published is not None
        objects.copy(published / name, folder / name)
    return _files(folder)


def _put(owner: str, folder: Path, published: Path, staging: Path) -> None:
    """Put what changed to the staging folder; the rest is copied from the published folder."""
    there = {found.name: found for found in objects.listing(published)}
    here = _files(folder)
    kept = {
        name: published / name
        for name, found in here.items()
        if name != owner and name in there and _same(folder / name, found, there[name])
    }
    for name in sorted(here.keys() - kept.keys()):
        objects.put_file(folder / name, staging / name)
    publication.keep_only(staging, here.keys(), kept)


def _files(folder: Path) -> dict[str, objects.Found]:
    """Return the files of a folder of this machine, without those that are being written."""
    found = objects.listing(folder) if folder.is_dir() else []
    return {each.name: each for each in found if not Path(each.name).name.startswith(".")}


def _same(path: Path, found: objects.Found, other: objects.Found) -> bool:
    """Return whether a file has the bytes of an object; False if its ETag does not tell."""
    return found.size == other.size and objects.is_etag(path, other.identity)
