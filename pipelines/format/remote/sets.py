"""Copies the small files of sets on an object store to this machine, so that a set is a folder.

The copy has the set's names: manifest.jsonl, train/sizes.json ... What is not copied is an empty
file, and the tars are named in a file of their own: `tars` reads it. The copy is of one version of
the set: a command that lists it at its start reads that version to its end, also while a new one is
published.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cxr_vlp.pipelines.format import manifest
from cxr_vlp.pipelines.format.errors import AbsentError, FormatError
from cxr_vlp.pipelines.format.remote import addresses, store
from cxr_vlp.pipelines.format.remote.store import Entry
from cxr_vlp.pipelines.format.remote.tars import Cache, RemoteTar
from cxr_vlp.pipelines.format.sample import SPLITS

TARS = ".tars.json"  # in the copy of a set: where its tars are
COPIED = (manifest.FEATURES, manifest.REJECTS)
_VERSION = re.compile(r"[0-9a-f]{16}")  # a folder that manifest.folder_name names
_SHA256 = re.compile(r"[0-9a-f]{64}")  # it becomes a file's name


@dataclass
class _Listed:
    """A set in a store: what its folder holds, its files' bytes by relative path, its tars."""

    address: str  # of the folder with the tars' folders
    files: dict[str, bytes] = field(default_factory=dict)
    tars: dict[str, dict[str, Any]] = field(default_factory=dict)  # "train/NAME.tar" -> facts
    lines: dict[str, dict[str, Any]] = field(default_factory=dict)  # of the manifest, by the same

    def check(self) -> None:
        """Raise FormatError where the tars are not those of the manifest."""
        again = "copy the set again"
        for name, line in sorted(self.lines.items()):
            where, tar = f"{self.address}/{name}", self.tars.get(name)
            if tar is None:
                if line.get("samples"):
                    raise FormatError("shard.missing", f"{where} is not there: {again}")
                continue
            if line.get("bytes") != tar["size"]:
                raise FormatError(
                    "shard.digest",
                    f"{where} has {tar['size']} bytes, and {line.get('bytes')} in the "
                    f"{manifest.NAME}: {again}",
                )
            if not tar["sha256"]:
                raise FormatError(
                    "manifest.broken", f"{manifest.NAME} of {where} has a digest that is none"
                )


def local_copy(address: str, cache: Cache, *, strict: bool = True) -> Path:
    """Return a folder of the cache with the small files of a set, or of the sets at an address.

    The folder's name is that of the address. Raises AbsentError if no set is there, FormatError for
    a set whose manifest is damaged or whose tars are not those of the manifest (not `strict`: for
    none of both, because the caller checks them), StoreError.
    """
    top = addresses.clean(address)
    entries = store.listing(top)
    found = {"": _listed(top, entries)} if _is_set(entries) else dict(_below(top, entries))
    if strict:
        for each in found.values():
            each.check()
    if not found:
        raise AbsentError(f"{top}: no set of shards in it or right below it: correct the address")
    return _written(top, found, cache)


def tars(folder: Path, cache: Cache | None = None) -> dict[str, RemoteTar] | None:
    """Return "train/NAME.tar" -> tar of the copy of a set, None for a set of this machine."""
    try:
        held = json.loads((folder / TARS).read_bytes())
    except FileNotFoundError:
        return None
    used = cache or Cache(Path(held["cache"]), held["limit"])
    return {
        name: RemoteTar(f"{held['address']}/{name}", cache=used, **facts)
        for name, facts in held["tars"].items()
    }


def _is_set(entries: list[Entry]) -> bool:
    return any(
        each.name in SPLITS if each.folder else each.name == manifest.NAME for each in entries
    )


def _below(top: str, entries: list[Entry]) -> Iterator[tuple[str, _Listed]]:
    """Yield (name, set) of the sets right below an address."""
    for each in entries:
        # a folder of a version without a manifest beside it was never published
        if not each.folder or each.name.startswith(".") or _VERSION.fullmatch(each.name):
            continue
        address = f"{top}/{each.name}"
        inner = store.listing(address)
        if _is_set(inner):
            yield each.name, _listed(address, inner)


def _listed(address: str, entries: list[Entry]) -> _Listed:
    """Return what a set's folder holds."""
    names = {each.name for each in entries}
    if manifest.NAME not in names:
        return _with_files(_Listed(address), entries)
    data = store.read(f"{address}/{manifest.NAME}")
    header, lines = _rows(data, address)
    version = manifest.folder_name(header)
    found = _Listed(address, {manifest.NAME: data}, lines=lines)
    if version:
        with contextlib.suppress(AbsentError):  # a set that was copied from a disk has none
            entries = store.listing(f"{address}/{version}")
            found.address = f"{address}/{version}"
            return _with_files(found, entries)
    if not set(SPLITS) & names:
        raise AbsentError(
            f"{address}: the folder that its {manifest.NAME} names ({version}) is not there: the "
            "set was published again meanwhile (start again), or was not copied whole"
        )
    return _with_files(found, entries)


def _rows(data: bytes, address: str) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Return the header of a manifest, and "train/NAME.tar" -> line."""
    try:
        rows = [json.loads(line) for line in data.splitlines()]
    except (ValueError, RecursionError):
        rows = []
    if not rows or not all(isinstance(row, dict) for row in rows):
        where = f"{address}/{manifest.NAME}"
        raise FormatError("manifest.broken", f"{where} is damaged: copy the set again")
    header, *lines = rows
    return header, {f"{line.get('split')}/{line.get('name')}": line for line in lines}


def _with_files(found: _Listed, entries: list[Entry]) -> _Listed:
    """Add the files of a set's folder and of the folders right below it."""
    for each in entries:
        if each.folder:
            hidden = each.name.startswith(".")
            for file in [] if hidden else store.listing(f"{found.address}/{each.name}"):
                _add(found, f"{each.name}/{file.name}", file)
        elif each.name != manifest.NAME:
            _add(found, each.name, each)
    return found


def _add(found: _Listed, name: str, entry: Entry) -> None:
    folder, _, file = name.rpartition("/")
    if entry.folder:
        return
    if folder in SPLITS and file.endswith(".tar") and not file.startswith("."):
        sha256 = str(found.lines.get(name, {}).get("sha256", ""))
        known = sha256 if _SHA256.fullmatch(sha256) else ""
        found.tars[name] = {"size": entry.size, "sha256": known, "identity": entry.identity}
    elif file == manifest.SIZES or name in COPIED:
        found.files[name] = store.read(f"{found.address}/{name}")
    else:
        found.files[name] = b""  # its name counts, its bytes do not


def _written(top: str, found: dict[str, _Listed], cache: Cache) -> Path:
    """Write the copy; return its folder. The same version of the sets has the same folder."""
    files: dict[str, bytes] = {}
    folders: set[str] = set()
    for name, each in found.items():
        before = f"{name}/" if name else ""
        files |= {f"{before}{path}": data for path, data in each.files.items()}
        facts = {
            "address": each.address,
            "tars": each.tars,
            "cache": str(cache.folder),
            "limit": cache.limit,
        }
        files[f"{before}{TARS}"] = json.dumps(facts, sort_keys=True).encode()
        folders |= {f"{before}{path.partition('/')[0]}" for path in each.tars}
    digest = hashlib.sha256(top.encode())
    for path, data in sorted(files.items()):
        digest.update(f"{path}\n{len(data)}\n".encode() + data)
    parent = cache.folder / "sets"
    folder = parent / digest.hexdigest()[:16]
    name = top.rpartition("/")[2]
    if not folder.is_dir():
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        staged = Path(tempfile.mkdtemp(prefix=".", dir=parent))
        _write(files, folders, staged / name)
        try:
            staged.rename(folder)
        except OSError:
            shutil.rmtree(staged)
            if not folder.is_dir():  # else another process has written the same
                raise
    return folder / name


def _write(files: dict[str, bytes], folders: set[str], top: Path) -> None:
    for path in folders:
        (top / path).mkdir(parents=True, exist_ok=True)
    for path, data in files.items():
        (top / path).parent.mkdir(parents=True, exist_ok=True)
        (top / path).write_bytes(data)
