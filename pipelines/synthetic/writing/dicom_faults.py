"""Writes trees that have one DICOM file a study, and damages files as in real downloads.

In the truth each damaged image has a `fault`.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pydicom
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info

from cxr_vlp.pipelines.synthetic.cases.people import Person
from cxr_vlp.pipelines.synthetic.seeding import stream
from cxr_vlp.pipelines.synthetic.writing import archives
from cxr_vlp.pipelines.synthetic.writing.faults import IMAGE_FAULTS, FaultError
from cxr_vlp.pipelines.synthetic.writing.tree_writer import Tree, Written, truth_of, write_tree


def forget_syntax(path: Path) -> None:
    """Remove TransferSyntaxUID from the file meta; everything else stays."""
    dataset = pydicom.dcmread(path)
    del dataset.file_meta.TransferSyntaxUID
    del dataset.file_meta.FileMetaInformationGroupLength  # it would be wrong now
    meta, body = DicomBytesIO(), io.BytesIO()
    meta.is_implicit_VR, meta.is_little_endian = False, True
    write_file_meta_info(meta, dataset.file_meta, enforce_standard=False)
    # pydicom writes no file with such a meta group, so the rest is written as a bare data set
    bare = pydicom.Dataset(dict(dataset))
    pydicom.dcmwrite(body, bare, implicit_vr=False, little_endian=True, enforce_file_format=False)
    path.write_bytes(b"\0" * 128 + b"DICM" + meta.getvalue() + body.getvalue())


DICOM_FAULTS: Mapping[str, Callable[[Path], None]] = {
    "no_syntax": forget_syntax,
    **{name: IMAGE_FAULTS[name] for name in ("no_pixels", "truncated", "zero_byte", "missing")},
}


def break_dicoms(root: Path, truth: Sequence[dict[str, Any]], seed: int) -> None:
    """Damage five images of labelled studies, each in another way.

    Raises FaultError if there are too few studies.
    """
    free = [line for line in truth if line["split"] == "train"]
    stream("faults", seed).shuffle(free)
    if len(free) < len(DICOM_FAULTS):
        raise FaultError("faults need at least 12 studies: raise --studies or leave out --faults")
    for name, damage in DICOM_FAULTS.items():
        image = free.pop()["images"][0]
        damage(root / image["path"])
        image["fault"] = name


def write_with_truth(
    tree: Tree,
    root: Path,
    persons: Sequence[Person],
    seed: int,
    workers: int,
    faults: bool,
    advance: Callable[[int], None],
) -> list[Written]:
    """Write a tree of DICOM files and, beside it, its truth; `faults` damages some files."""
    written = write_tree(tree, root, persons, workers=workers, advance=advance)
    truth = truth_of(written)
    if faults:
        break_dicoms(root, truth, seed)
    archives.write_jsonl(root.with_name(f"{root.name}.truth.jsonl"), truth)
    return written
