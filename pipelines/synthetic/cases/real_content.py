"""Reads images and reports that the user has, to be written in the layouts of the collections.

Images are a folder of PNG or JPEG files; reports are an Open-i archive (.tgz), a .csv or a folder
of .txt. An image and a report of one study in a tree do not belong to one person:
the pairing is synthetic, and the truth file says so.
"""

from __future__ import annotations

import csv
import re
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from xml.etree import ElementTree as ET

import cv2
import numpy as np
from numpy.typing import NDArray

_SUFFIXES = frozenset((".png", ".jpg", ".jpeg"))
SECTIONS = ("indication", "comparison", "findings", "impression")
# How tables spell the view of an image.
_VIEWS = {"pa": "PA", "ap": "AP", "ap supine": "AP", "l": "LATERAL", "ll": "LATERAL"} | {
    "lateral": "LATERAL"
}
_HEADING = re.compile(rf"^\s*({'|'.join(SECTIONS)})\s*:\s*", re.IGNORECASE | re.MULTILINE)


class ContentError(ValueError):
    """A folder or file of real content cannot be used. The message names what can be used."""


@dataclass(frozen=True, slots=True)
class RealImage:
    """A real image: its file, its view ("PA" where it is not known) and its patient, if known."""

    path: Path
    view: str = "PA"
    patient: str = ""
    place: int = (
        0  # in the folder, sorted by path; errors give it and not the name, which may name a person
    )


@dataclass(frozen=True, slots=True)
class RealReport:
    """A real report: its sections ("" if absent) and index terms where the archive has them."""

    sections: Mapping[str, str]
    major: tuple[str, ...] = ()
    automatic: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Content:
    """The real content of a run: without images they are drawn, without reports invented."""

    images: tuple[RealImage, ...] = field(default=())
    reports: tuple[RealReport, ...] = field(default=())

    def by_patient(self) -> list[list[RealImage]]:
        """Return the images grouped by person. An image of unknown person is its own group."""
        whose = lambda p: p.patient or p.path.as_posix()  # noqa: E731
        return [list(group) for _, group in groupby(sorted(self.images, key=whose), whose)]


def find_images(folder: Path) -> tuple[RealImage, ...]:
    """Return all PNG and JPEG files below `folder`, sorted by path.

    A data.csv in the folder or the one above it (columns image_id, projection, patient_id) gives
    their views and patients. Raises ContentError if there is no image.
    """
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in _SUFFIXES)
    if not files:
        raise ContentError(f"no .png or .jpg below {folder}: give the folder that holds the images")
    rows = _image_rows(folder)
    return tuple(_image(path, rows.get(path.stem, {}), i) for i, path in enumerate(files))


def _image_rows(folder: Path) -> dict[str, dict[str, str]]:
    for table in (folder / "data.csv", folder.parent / "data.csv"):
        if table.is_file():
            with table.open(newline="", encoding="utf-8") as lines:
                return {row.get("image_id", ""): row for row in csv.DictReader(lines)}
    return {}


def _image(path: Path, row: Mapping[str, str], place: int) -> RealImage:
    view = _VIEWS.get(row.get("projection", "").strip().lower(), "PA")
    return RealImage(path, view, row.get("patient_id", ""), place)


def load(image: RealImage, *, height: int) -> NDArray[np.float32]:
    """Return an image as grey float32 0..1 (rows, columns), shrunk to `height` rows where taller.

    Raises ContentError if it cannot be decoded.
    """
    grey = cv2.imread(str(image.path), cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH)
    if grey is None:
        nth = f"image {image.place + 1} of the folder (sorted by path)"
        raise ContentError(f"cannot decode {nth}: remove it or replace it")
    if grey.shape[0] > height:
        width = max(1, round(grey.shape[1] * height / grey.shape[0]))
        grey = cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA)
    top = 255 if grey.dtype == np.uint8 else 65535
    return np.asarray(grey / top, dtype=np.float32)


def read_reports(path: Path) -> tuple[RealReport, ...]:
    """Return the reports of an Open-i .tgz, a .csv or a folder of .txt, in a stable order.

    A report without findings and impression is left out. Raises ContentError if nothing is left.
    """
    try:
        found = _found(path)
    except (tarfile.TarError, ET.ParseError, EOFError, UnicodeDecodeError, csv.Error) as fault:
        raise ContentError(f"{path} is damaged ({type(fault).__name__}): get it again") from fault
    kept = tuple(r for r in found if r.sections["findings"] or r.sections["impression"])
    if not kept:
        raise ContentError(f"no report with findings or impression in {path}")
    return kept


def _found(path: Path) -> list[RealReport]:
    if path.is_dir():
        return [_of_text(p.read_text("utf-8")) for p in sorted(path.rglob("*.txt"))]
    if path.suffix == ".csv":
        return _of_csv(path)
    if path.name.endswith((".tgz", ".tar.gz")):
        return _of_archive(path)
    raise ContentError(f"{path} is no .tgz, no .csv and no folder of .txt: give one of these")


def _of_csv(path: Path) -> list[RealReport]:
    with path.open(newline="", encoding="utf-8") as lines:
        reader = csv.DictReader(lines)
        if not {"findings", "impression"} & set(reader.fieldnames or ()):
            raise ContentError(f"{path} has neither a column findings nor impression")
        return [
            RealReport({name: (row.get(name) or "").strip() for name in SECTIONS}) for row in reader
        ]


def _of_archive(path: Path) -> list[RealReport]:
    reports: dict[str, RealReport] = {}
    with tarfile.open(path, "r:gz") as archive:
        for member in archive:
            stream = archive.extractfile(member) if member.name.endswith(".xml") else None
            if stream is not None:
                reports[member.name] = _of_xml(stream.read())
    return [reports[name] for name in sorted(reports)]


def _of_xml(content: bytes) -> RealReport:
    tree = ET.fromstring(content)
    texts = {
        (a.get("Label") or "").lower(): (a.text or "").strip() for a in tree.iter("AbstractText")
    }
    terms = {kind: tuple(t.text or "" for t in tree.iter(kind)) for kind in ("major", "automatic")}
    return RealReport({name: texts.get(name, "") for name in SECTIONS}, **terms)


def _of_text(text: str) -> RealReport:
    """Split a text at its headings. Without a heading, all of it is findings."""
    heads = list(_HEADING.finditer(text))
    if not heads:
        return RealReport(dict.fromkeys(SECTIONS, "") | {"findings": " ".join(text.split())})
    ends = [head.start() for head in heads[1:]] + [len(text)]
    bodies = {
        head[1].lower(): " ".join(text[head.end() : end].split())
        for head, end in zip(heads, ends, strict=True)
    }
    return RealReport({name: bodies.get(name, "") for name in SECTIONS})
