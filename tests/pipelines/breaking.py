"""What the tests of verify share: finished sets taken apart, changed in one way, put together."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cxr_vlp.pipelines.files import jsonl
from cxr_vlp.pipelines.format import manifest
from cxr_vlp.pipelines.format.tar import TarWriter
from cxr_vlp.pipelines.records import dumps
from cxr_vlp.pipelines.validate import runner

Members = list[tuple[str, bytes]]
Change = Callable[[Members], Members]


def codes(*folders: Path, deep: bool = False) -> set[str]:
    """Return the codes of all breaches of some sets."""
    return {found["code"] for found in runner.check(folders, deep=deep)["breaches"]}


def tar_of(folder: Path, split: str = "train") -> Path:
    """Return the first tar of a split."""
    return min((folder / split).glob("*.tar"))


def members(path: Path) -> Members:
    """Return (name, bytes) of a tar."""
    with tarfile.open(path) as tar:
        return [(info.name, tar.extractfile(info).read()) for info in tar]


def rewrite(folder: Path, change: Change, split: str = "train") -> None:
    """Rewrite a tar and all that tells its digest, so that the change itself alone is wrong."""
    path = tar_of(folder, split)
    stream = io.BytesIO()
    writer = TarWriter(stream)
    for name, data in change(members(path)):
        writer.add(name, data)
    writer.finish()
    replace(folder, path, stream.getvalue())


def replace(folder: Path, path: Path, data: bytes) -> None:
    """Give a tar other bytes, which the manifest agrees with."""
    path.write_bytes(data)
    restate(folder, path.name, sha256=jsonl.sha256(path), bytes=len(data))


def restate(folder: Path, name: str = "", /, **values: Any) -> None:
    """Change a line of the manifest, or without a name its header; its digest agrees."""
    header, lines = manifest.read(folder)
    lines = [line | values if line["name"] == name else line for line in lines]
    header = header if name else header | values
    if "digest" not in values:
        header["digest"] = manifest.digest(header, lines, folder / manifest.REJECTS)
    jsonl.write_records(folder / manifest.NAME, [header, *lines])


def edit(sample: int = 0, **values: Any) -> Change:
    """Return a change of fields in the JSON of a sample; None takes a field out."""

    def change(before: Members) -> Members:
        data = before[3 * sample + 1][1]
        gone = {name for name, value in values.items() if value is None}
        whole = json.loads(data) | values  # whose own nulls stay
        document = {name: value for name, value in whole.items() if name not in gone}
        return put(3 * sample + 1, dumps(document).encode())(before)

    return change


def put(place: int, data: bytes) -> Change:
    """Return a change of one member's bytes."""

    def change(before: Members) -> Members:
        return [*before[:place], (before[place][0], data), *before[place + 1 :]]

    return change


def called(place: int, name: str) -> Change:
    """Return a change of one member's name."""

    def change(before: Members) -> Members:
        return [*before[:place], (name, before[place][1]), *before[place + 1 :]]

    return change


def flipped(data: bytes, bit: int) -> bytes:
    """Return the bytes with one bit turned over."""
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)
