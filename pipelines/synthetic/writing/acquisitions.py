"""Chooses how each image was taken and stored, in the mix that an archive of chest X-rays has.

The mix follows the DICOM headers of a public collection of 7,469 images: about half MONOCHROME1,
mostly 12 and 15 bits, no window in nearly half, some multi-valued, ViewPosition often absent.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLSLossless,
    RLELossless,
)

_RAW = ExplicitVRLittleEndian


@dataclass(frozen=True, slots=True)
class Storage:
    """Bits, photometric and codec of one file; `declared` is BitsStored if it is larger."""

    bits: int
    photometric: str
    syntax: UID
    declared: int = 0


# Taken in turn and not at random, so twenty images have every kind.
_DECK = (
    Storage(12, "MONOCHROME2", _RAW),
    Storage(15, "MONOCHROME1", _RAW),
    Storage(12, "MONOCHROME2", JPEG2000Lossless),
    Storage(12, "MONOCHROME1", _RAW),
    Storage(12, "MONOCHROME2", RLELossless),
    Storage(15, "MONOCHROME1", JPEGLSLossless),
    Storage(12, "MONOCHROME2", _RAW),
    Storage(12, "MONOCHROME1", JPEGLossless),
    Storage(14, "MONOCHROME2", _RAW),
    Storage(15, "MONOCHROME1", _RAW),
    Storage(12, "MONOCHROME2", _RAW),
    Storage(15, "MONOCHROME1", JPEG2000Lossless),
    Storage(10, "MONOCHROME2", _RAW),
    Storage(12, "MONOCHROME1", RLELossless),
    Storage(12, "MONOCHROME2", _RAW, declared=16),
    Storage(15, "MONOCHROME1", _RAW),
    Storage(12, "MONOCHROME2", JPEGLSLossless),
    Storage(12, "MONOCHROME1", _RAW),
    Storage(14, "MONOCHROME2", JPEGLossless),
    Storage(12, "MONOCHROME2", JPEG2000Lossless, declared=16),
)

_MEANINGS = {"PA": "postero-anterior", "AP": "antero-posterior", "LATERAL": "lateral"}


@dataclass(frozen=True, slots=True)
class Acquisition:
    """The choices of the machine and the technician for one file."""

    storage: Storage
    windows: int  # how many (centre, width) pairs the header holds
    spacing: float  # mm
    spacing_tag: str
    modality: str
    view: str  # ViewPosition; "" if the technician left it out
    view_meaning: str
    procedure: str
    orientation: str


def acquire(view: str, views: tuple[str, ...], *, place: int, rng: Random) -> Acquisition:
    """Return how the image at `place` of the collection was taken.

    `views` are all views of its study, from which the name of the procedure follows.
    """
    position, meaning = _view_tags(view, rng)
    portable = "AP" in views
    return Acquisition(
        storage=_DECK[place % len(_DECK)],
        windows=rng.choices((0, 1, 2, 3), weights=(44, 46, 8, 2))[0],
        spacing=rng.choice((0.139, 0.143, 0.168, 0.2)),
        spacing_tag=rng.choices(("ImagerPixelSpacing", "PixelSpacing", ""), (45, 45, 10))[0],
        modality=rng.choices(("CR", "DX"), (70, 30))[0],
        view=position,
        view_meaning=meaning,
        procedure=_procedure(views, portable),
        orientation="Recumbent" if portable else "Erect",
    )


def _view_tags(view: str, rng: Random) -> tuple[str, str]:
    meaning = _MEANINGS.get(view, "")
    position = "LL" if view == "LATERAL" and rng.random() < 0.4 else view
    omission = rng.random()
    if omission < 0.12:  # only the code sequence gives the view, in one of its two spellings
        return "", meaning.replace("-", " ") if rng.random() < 0.3 else meaning
    if omission < 0.14:  # only the name of the procedure gives it
        return "", ""
    return position, "left lateral" if position == "LL" else meaning


def _procedure(views: tuple[str, ...], portable: bool) -> str:
    if portable:
        return "CHEST (PORTABLE AP)"
    return "CHEST (PA AND LAT)" if "LATERAL" in views else "CHEST (SINGLE VIEW)"
