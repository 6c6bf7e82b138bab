"""Damages some files of a finished tree, as files in real downloads are damaged.

About a dozen files are damaged. In the truth each damaged line or image has a `fault`. The checksum
lists stay those of the undamaged tree.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.uid import JPEG2000Lossless

from cxr_vlp.pipelines.synthetic.seeding import stream
from cxr_vlp.pipelines.synthetic.writing import dicom_files

Line = dict[str, Any]
_LFS_POINTER = (
    b"version https://git-lfs.github.com/spec/v1\n"
    b"oid sha256:4665a5ea423c2713d436b5ee50593a9640e0018c1550b5a0002f74190d6caea8\n"
    b"size 1842\n"
)
_TOO_FEW = "faults need at least 30 studies: raise --studies or leave out --faults"


class FaultError(ValueError):
    """The tree is too small for all kinds of damage; the message says how large it must be."""


def break_mimic(root: Path, truth: Sequence[Line], seed: int) -> None:
    """Damage a MIMIC tree: each kind once, each in a study of its own.

    Only training studies with a report file are damaged. Raises FaultError if there are too few.
    """
    rng = stream("faults", seed)
    free = [line for line in truth if line["split"] == "train" and line["images"]]
    free = [line for line in free if _report(root, line).is_file()]
    rng.shuffle(free)
    if len(free) < len(IMAGE_FAULTS) + len(REPORT_FAULTS) + 1:
        raise FaultError(_TOO_FEW)
    _cut_codestream(root, free)
    for name, damage in IMAGE_FAULTS.items():
        image = free.pop()["images"][0]
        damage(root / image["path"])
        image["fault"] = name
    for name, content in REPORT_FAULTS.items():
        line = free.pop()
        line["fault"] = name
        line["sentences"] = []
        _rewrite(_report(root, line), content)


def break_images(root: Path, truth: Sequence[Line], seed: int) -> None:
    """Damage three images of a tree of JPEG or PNG files: one truncated, one empty, one missing.

    Raises FaultError if there are too few studies.
    """
    rng = stream("faults", seed)
    free = [line for line in truth if line["split"] in ("train", "") and line["images"]]
    rng.shuffle(free)
    if len(free) < len(JPEG_PNG_FAULTS):
        raise FaultError(_TOO_FEW)
    for name in JPEG_PNG_FAULTS:
        image = free.pop()["images"][0]
        IMAGE_FAULTS[name](root / image["path"])
        image["fault"] = name


def _report(root: Path, line: Mapping[str, Any]) -> Path:
    folder: Path = (root / line["images"][0]["path"]).parent
    return folder.parent / f"{folder.name}.txt"


def _rewrite(path: Path, content: bytes | None) -> None:
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)


def _cut_codestream(root: Path, free: list[Line]) -> None:
    """Cut a JPEG 2000 file in the middle of its code stream; the header stays whole."""
    for line in free:
        for image in line["images"]:
            path = root / image["path"]
            header = pydicom.dcmread(path, stop_before_pixels=True)
            if header.file_meta.TransferSyntaxUID == JPEG2000Lossless:
                _cut(path)
                image["fault"] = "truncated_j2k"
                free.remove(line)
                return
    raise FaultError(_TOO_FEW)


def _cut(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 6 // 10])


def _drop_pixels(path: Path) -> None:
    dataset = pydicom.dcmread(path)
    del dataset.PixelData
    dataset.save_as(path)


def _behead(path: Path) -> None:
    """Remove preamble and file meta: implicit VR little endian, as old archives export."""
    dataset = pydicom.dcmread(path)
    values = dataset.pixel_array
    dataset.PixelData = values.astype("<u2").tobytes()
    dataset["PixelData"].VR = "OW"
    dataset["PixelData"].is_undefined_length = False
    buffer = io.BytesIO()
    bare = pydicom.Dataset(dict(dataset))
    pydicom.dcmwrite(buffer, bare, implicit_vr=True, little_endian=True, enforce_file_format=False)
    path.write_bytes(buffer.getvalue())


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _remove(path: Path) -> None:
    path.unlink()


def _copy_unlisted(path: Path) -> None:
    """Put a second file beside a listed one, under an id that is in no table."""
    stranger = path.with_name("-".join(["0badc0de"] * 5) + path.suffix)
    stranger.write_bytes(path.read_bytes())


def _blank(path: Path) -> None:
    """Write one value into all pixels, as in a failed exposure."""
    dataset = pydicom.dcmread(path)
    flat = np.full((dataset.Rows, dataset.Columns), 512, dtype="<u2")
    dataset.PixelData = flat.tobytes()
    dataset["PixelData"].VR = "OW"
    dataset["PixelData"].is_undefined_length = False
    dataset.file_meta.TransferSyntaxUID = dicom_files.SYNTAXES[0]
    dataset.save_as(path, enforce_file_format=True)


IMAGE_FAULTS: Mapping[str, Callable[[Path], None]] = {
    "truncated": _cut,
    "no_pixels": _drop_pixels,
    "headless": _behead,  # readable for a reader that assumes implicit VR little endian
    "zero_byte": _empty,
    "missing": _remove,
    "unlisted_beside": _copy_unlisted,  # the image itself stays whole
    "blank": _blank,
}
REPORT_FAULTS: Mapping[str, bytes | None] = {
    "report_lfs_pointer": _LFS_POINTER,
    "report_empty": b" \n \n",
    "report_missing": None,
}
JPEG_PNG_FAULTS = ("truncated", "zero_byte", "missing")
