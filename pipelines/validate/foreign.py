"""Finds tars that belong to no set, and says what is in them: other programs write shards too.

Such tars are never valid: nothing says how many there must be or what their bytes are. What they
hold decides what to do with them: samples of this format can be trained on, pairs of image and text
are for other trainers.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from cxr_vlp.pipelines.format import manifest, tar
from cxr_vlp.pipelines.format.errors import FormatError
from cxr_vlp.pipelines.format.sample import SPLITS, Sample
from cxr_vlp.pipelines.format.tar import Member
from cxr_vlp.pipelines.validate import leakage
from cxr_vlp.pipelines.validate.shard import CheckedTar, odd_name

TARS = (".tar", ".tar.gz", ".tgz", ".tar.zst", ".tar.bz2", ".tar.xz", ".tar.lz4")
COUNT = "python -m cxr_vlp.pipelines.format.sizes"
_CHUNK = 1 << 20
IMAGES = {"jpg", "jpeg", "png"}
HOSTILE = ("member.pipe", "member.runnable")  # of the codes of names; folders are usual here


@dataclass(frozen=True)
class TarFolder:
    """A folder with tars and without a manifest."""

    folder: Path
    tars: Sequence[Path]


def found(top: Path, sets: Collection[Path]) -> list[TarFolder]:
    """Return the folders of tars that are in `top` and in none of its sets.

    `top` is one such folder itself if its tars lie in it or in folders of splits, and there is no
    set beside them. Else each folder right below it is one.
    """
    if top in sets or not top.is_dir():
        return []
    below = [p for p in sorted(top.glob("[!.]*")) if p.is_dir() and p not in sets]
    split = any(_tars(top / name) for name in SPLITS)
    if not sets and (_tars(top) or split):
        every = [*_tars(top), *(path for folder in below for path in _tars(folder))]
        return [TarFolder(top, every)]
    inner = [(each, [*_tars(each), *_tars_below(each)]) for each in below]
    return [TarFolder(each, tars) for each, tars in [(top, _tars(top)), *inner] if tars]


def _tars_below(folder: Path) -> list[Path]:
    return [path for inner in sorted(folder.glob("[!.]*")) for path in _tars(inner)]


def _tars(folder: Path) -> list[Path]:
    return [p for p in sorted(folder.glob("[!.]*")) if p.name.endswith(TARS) and p.is_file()]


def together(other: TarFolder, tars: Sequence[CheckedTar]) -> CheckedTar:
    """Return the results of a folder's tars as one: each code once, with its first place.

    Patients are left out: which split they are in must not be lost.
    """
    whole = CheckedTar()
    for each in tars:
        whole.samples += each.samples
        whole.size += each.size
        for code, (where, count) in each.breaches.items():
            first, before = whole.breaches.get(code, (where, 0))
            whole.breaches[code] = (first, before + count)
    counts = {path: each.samples for path, each in zip(other.tars, tars, strict=True)}
    for folder in sorted({path.parent for path in counts}):
        if _miscounted(folder, {p.name: n for p, n in counts.items() if p.parent == folder}):
            whole.breach("sizes.differ", f"{folder.name}: remove it, and count with {COUNT}")
    missing = {"manifest.missing": (f"{len(tars):,} tars, {_readable(other, whole)}", 1)}
    whole.breaches = missing | whole.breaches
    return whole


def _miscounted(folder: Path, counts: dict[str, int]) -> bool:
    """Return whether a folder has a sizes.json that is not that of its tars."""
    try:
        return manifest.sizes(folder) != counts
    except FileNotFoundError:
        return False
    except FormatError:
        return True


def _readable(other: TarFolder, whole: CheckedTar) -> str:
    """Return what `fit` can do with the samples."""
    if whole.breaches or not whole.samples:
        return f"{whole.samples:,} samples"
    text = f"{whole.samples:,} samples that fit can read"
    if all(path.parent.name in SPLITS for path in other.tars):
        return text
    return f"{text} if their folders are named {', '.join(SPLITS)}"


def check_tar(path: Path, number: int) -> CheckedTar:
    """Return what is in a tar of another program, and what keeps it from being one of a set.

    `number` counts the tars of the folder: their names may hold anything. Raises OSError if the
    disk does not give the file.
    """
    checked = CheckedTar(size=path.stat().st_size)
    patients: set[bytes] = set()
    with path.open("rb") as stream:
        try:
            for place, (key, members) in enumerate(_samples(stream, number, checked)):
                where = f"tar {number} sample {place}"
                for code in _codes(members, patients):
                    checked.breach(code, where)
                checked.keys += leakage.digest(key)
                checked.samples += 1
            if any(rest.strip(b"\0") for rest in iter(lambda: stream.read(_CHUNK), b"")):
                checked.breach("shard.end", f"tar {number}")
        except FormatError as error:  # the message says what the file is instead
            checked.breach(error.code, f"tar {number}: {error}")
    checked.patients += b"".join(sorted(patients))
    if len(set(leakage.each(checked.keys))) < checked.samples:
        checked.breach("sample.apart", f"tar {number}")
    checked.keys.clear()  # that is said already
    return checked


def _samples(
    stream: tar.Readable, number: int, checked: CheckedTar
) -> Iterator[tuple[str, list[Member]]]:
    members = _named(tar.members(stream, folders=True), number, checked)
    for key, group in groupby(members, key=lambda member: tar.split_name(member.name)[0]):
        yield key, list(group)


def _named(members: Iterable[Member], number: int, checked: CheckedTar) -> Iterator[Member]:
    """Yield the members of samples; a name that says of no sample what it is, is a breach."""
    for member in members:
        if why := tar.odd_name(member.name):
            checked.breach("member.unknown", f"tar {number}: {why}")
        if tar.split_name(member.name)[0]:
            yield member


def _codes(members: Sequence[Member], patients: set[bytes]) -> Iterator[str]:
    """Yield what is wrong with a sample; add its patient."""
    yield from {code for m in members if (code := odd_name(m.name)) in HOSTILE}
    kinds = [tar.split_name(member.name)[1] for member in members]
    if "json" not in kinds:
        yield "sample.no_json"
        return
    if len(kinds) != 3 or not IMAGES & set(kinds) or "txt" not in kinds:
        yield "sample.members"
    document = members[kinds.index("json")].data
    try:
        sample = Sample.from_json(document)
    except FormatError as error:
        yield "json.foreign" if _foreign(document) else error.code
        return
    patients.add(leakage.digest(sample.dataset, sample.patient))
    for kind, member in zip(kinds, members, strict=True):
        if kind == "txt" and not _is_text(member.data):
            yield "caption.encoding"
        if kind in IMAGES and not _is_image(member.data):
            yield "image.unreadable"


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_image(data: bytes) -> bool:
    """Return whether bytes begin as a JPEG or a PNG; nothing is decoded."""
    return data.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"))


def _foreign(document: bytes) -> bool:
    """Return whether a JSON member is an object without a number of the format."""
    try:
        row = json.loads(document)
    except (ValueError, RecursionError):
        return False
    return isinstance(row, dict) and type(row.get("format")) is not int
