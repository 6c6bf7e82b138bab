"""Writes the image files for the benchmarks: each image in every file format that collections use.

The images have 2,544 x 3,056 pixels of 12 bits, the size of a detector: real ones where the shared
folder has them (at least 2,000 pixels on the short side), else drawn ones, enlarged. Noise is added
until the JPEG has the mean size of MIMIC-CXR-JPG's (1.5 MB), because the time of a decoder follows
the compressed size. The 1,024 px PNG is made without noise and comes near NIH's mean (0.39 MB).
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from cxr_vlp.pipelines.synthetic.cases import patients
from cxr_vlp.pipelines.synthetic.phantom import render
from cxr_vlp.pipelines.synthetic.writing import dicom_files
from cxr_vlp.pipelines.synthetic.writing.image_files import jpeg

WIDTH, HEIGHT, TOP = 2544, 3056, 4095
JPEG_BYTES = 1_500_000  # MIMIC-CXR-JPG: 558 GB / 377,110
SHARED = Path(os.environ.get("CXR_SHARED", Path(__file__).resolve().parents[2] / "shared"))


@dataclass(frozen=True)
class File:
    """An image file of one kind, on disk and as bytes."""

    path: Path
    data: bytes


def images(number: int, shared: Path = SHARED) -> Iterator[np.ndarray]:
    """Yield images without noise, float32 0..1 of (HEIGHT, WIDTH)."""
    folder = shared / "data" / "openi" / "images_normalized"
    found = (cv2.imread(str(p), cv2.IMREAD_GRAYSCALE) for p in sorted(folder.glob("*.png")))
    real = [p for p in found if p is not None and min(p.shape) >= 2000][:number]
    for image in real:
        yield _enlarged(image.astype(np.float32) / 255)
    people = patients.cohort("mimic", 4 * number, seed=0)
    studies = [study for person in people for study in person.studies if study.views]
    for study in studies[: number - len(real)]:
        yield _enlarged(render.draw(study, study.views[0], height=1024, seed=0).pixels)


def _enlarged(image: np.ndarray) -> np.ndarray:
    return np.clip(cv2.resize(image, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC), 0, 1)


def with_noise(image: np.ndarray, seed: int) -> np.ndarray:
    """Return the image with as much noise as makes its JPEG JPEG_BYTES long."""
    noise = np.random.default_rng(seed).standard_normal(image.shape, dtype=np.float32)
    low, high = 0.0, 0.05
    for _ in range(7):
        middle = (low + high) / 2
        size = len(jpeg(_levels(image + middle * noise, 255).astype(np.uint8)))
        low, high = (middle, high) if size < JPEG_BYTES else (low, middle)
    return image + low * noise


def write(folder: Path, number: int, shared: Path = SHARED) -> dict[str, list[File]]:
    """Write `number` images below `folder` in every kind; return the files by kind."""
    made: dict[str, list[File]] = {kind: [] for kind in KINDS}
    for place, image in enumerate(images(number, shared)):
        noisy = with_noise(image, place)
        for kind, (suffix, encode) in KINDS.items():
            path = folder / kind.replace(" ", "-") / f"image-{place}{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            data = encode(image if kind == "PNG 1024" else noisy)
            path.write_bytes(data)
            made[kind].append(File(path, data))
    return made


def _levels(image: np.ndarray, top: int) -> np.ndarray:
    return np.rint(np.clip(image, 0, 1) * top)


def _dicom(image: np.ndarray) -> bytes:
    """Return an uncompressed DX file with its window, and the rescaling that DX requires (1, 0)."""
    windows = (dicom_files.window_of(bits=12, photometric="MONOCHROME2"),)
    header = dicom_files.Header(
        "19999001", "59999001", "0", date="21800101", view="PA", modality="DX", windows=windows
    )
    values = dicom_files.stored_values(image, bits=12, photometric="MONOCHROME2")
    data = dicom_files.file_bytes(
        values, bits=12, photometric="MONOCHROME2", syntax=dicom_files.SYNTAXES[0], header=header
    )
    dataset = pydicom.dcmread(io.BytesIO(data))
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = 0, 1, "US"
    return _saved(dataset)


def _compressed(syntax: str, encode: Callable[[np.ndarray], bytes]) -> Callable[..., bytes]:
    def file(image: np.ndarray) -> bytes:
        dataset = pydicom.dcmread(io.BytesIO(_dicom(image)))
        values = dataset.pixel_array
        if syntax == RLELossless:
            dataset.compress(RLELossless, values, encoding_plugin="pydicom")
            return _saved(dataset)
        dataset.PixelData = encapsulate([bytes(encode(values))])
        dataset["PixelData"].VR = "OB"
        dataset["PixelData"].is_undefined_length = True
        dataset.file_meta.TransferSyntaxUID = syntax
        return _saved(dataset)

    return file


def _saved(dataset: Dataset) -> bytes:
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def _jpeg_lossless(values: np.ndarray) -> bytes:
    return imagecodecs.jpeg8_encode(values, lossless=True, predictor=1, bitspersample=12)


def _jpeg2000(values: np.ndarray) -> bytes:
    return imagecodecs.jpeg2k_encode(values, codecformat="j2k", reversible=True, bitspersample=12)


def _png(image: np.ndarray) -> bytes:
    small = cv2.resize(image, (1024, 1024), interpolation=cv2.INTER_AREA)
    return cv2.imencode(".png", _levels(small, 255).astype(np.uint8))[1].tobytes()


def _small(image: np.ndarray) -> bytes:
    """Return a JPEG of CheXpert-small's size (390 x 320)."""
    small = cv2.resize(image, (320, 384), interpolation=cv2.INTER_AREA)
    return jpeg(_levels(small, 255).astype(np.uint8))


KINDS: Mapping[str, tuple[str, Callable[[np.ndarray], bytes]]] = {
    "raw DICOM": (".dcm", _dicom),
    "JPEG lossless DICOM": (".dcm", _compressed(JPEGLosslessSV1, _jpeg_lossless)),
    "JPEG-LS DICOM": (".dcm", _compressed(JPEGLSLossless, imagecodecs.jpegls_encode)),
    "RLE DICOM": (".dcm", _compressed(RLELossless, bytes)),
    "JPEG 2000 DICOM": (".dcm", _compressed(JPEG2000Lossless, _jpeg2000)),
    "HTJ2K DICOM": (".dcm", _compressed(HTJ2KLossless, imagecodecs.htj2k_encode)),
    "JPEG": (".jpg", lambda image: jpeg(_levels(image, 255).astype(np.uint8))),
    "PNG 1024": (".png", _png),
    "small JPEG": (".jpg", _small),
}
