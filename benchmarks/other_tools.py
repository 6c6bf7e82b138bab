"""The conversions of other projects and tools, their steps written out by us.

Each function takes the path of an image file and returns what the tool would store, as bytes. The
steps are those of the public sources when this was written (kakaobrain/cxr-clip datasets/README,
rajpurkarlab/CheXzero data_process.py, torchxrayvision's reader and resizer); none of their code is
here. img2dataset's resizer is its own code where that package is installed, else its steps:

    pip install --no-deps --target DIR img2dataset albumentations==2.0.8 albucore==0.0.24 \
        simsimd stringzilla                       # then PYTHONPATH=DIR
"""

from __future__ import annotations

import importlib.util
import io
import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pydicom
from pydicom.pixels import apply_modality_lut, apply_voi_lut
from scipy import ndimage

Way = Callable[[Path], bytes]
SIZE = 512  # pixels, the short side
LANCZOS = PIL.Image.Resampling.LANCZOS


def cxr_clip(path: Path) -> bytes:
    """CXR-CLIP: LUTs by pydicom, shrunk by cv2 (its filter argument lands on dst: linear), PNG."""
    dataset = pydicom.dcmread(path, force=True)
    grey = apply_voi_lut(apply_modality_lut(dataset.pixel_array, dataset), dataset)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        grey = grey.max() - grey
    small = cv2.resize(grey.astype(np.float64), _shortest(grey.shape))
    small = (small - small.min()) / (small.max() - small.min()) * 255
    return _png(small.astype(np.uint8))


def tutorial(path: Path) -> bytes:
    """The script of tutorials: pydicom, VOI LUT, min-max of every pixel, Pillow, PNG."""
    dataset = pydicom.dcmread(path)
    grey = apply_voi_lut(dataset.pixel_array, dataset).astype(np.float64)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        grey = np.amax(grey) - grey
    grey = (grey - grey.min()) / (grey.max() - grey.min())
    image = PIL.Image.fromarray((grey * 255).astype(np.uint8))
    image.resize(_shortest(grey.shape), LANCZOS).save(out := io.BytesIO(), "PNG")
    return out.getvalue()


def full_size_lanczos(path: Path) -> bytes:
    """The exact way: pydicom's LUTs on every pixel, Lanczos from the full size, JPEG."""
    dataset = pydicom.dcmread(path)
    grey = apply_voi_lut(apply_modality_lut(dataset.pixel_array, dataset), dataset)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        grey = grey.max() - grey
    image = PIL.Image.fromarray(np.asarray(grey, np.float32))
    small = np.asarray(image.resize(_shortest(grey.shape), LANCZOS))
    top = 2**dataset.BitsStored - 1
    return _jpeg(np.rint(np.clip(small / top, 0, 1) * 255).astype(np.uint8))


def torchxrayvision(path: Path) -> bytes:
    """torchxrayvision: to -1024..1024, centre crop, scikit-image's resizing (Gaussian, linear)."""
    if path.suffix == ".dcm":
        dataset = pydicom.dcmread(path)
        grey = apply_voi_lut(dataset.pixel_array, dataset)
        top = 2**dataset.BitsStored - 1
        if dataset.PhotometricInterpretation == "MONOCHROME1":
            grey = top - grey
    else:
        grey, top = np.asarray(PIL.Image.open(path)), 255
    scaled = (2 * (grey.astype(np.float32) / top) - 1.0) * 1024
    side = min(scaled.shape)
    y, x = (scaled.shape[0] - side) // 2, (scaled.shape[1] - side) // 2
    square = scaled[y : y + side, x : x + side]
    smooth = ndimage.gaussian_filter(square, (side / SIZE - 1) / 2, mode="constant")
    small = ndimage.zoom(smooth, SIZE / side, order=1, mode="grid-constant", grid_mode=True)
    return small.astype(np.float32).tobytes()


def chexzero(path: Path) -> bytes:
    """CheXzero: cv2 in colour, Pillow's Lanczos in colour, padded to 320, float32 for its HDF5."""
    image = PIL.Image.fromarray(cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB))
    ratio = 320 / max(image.size)
    size = (int(image.width * ratio), int(image.height * ratio))
    square = PIL.Image.new("L", (320, 320))
    square.paste(image.resize(size, LANCZOS), ((320 - size[0]) // 2, (320 - size[1]) // 2))
    return np.asarray(square, np.float32).tobytes()


def pillow_png(path: Path) -> bytes:
    """Pillow in colour, Lanczos, PNG: the usual way to convert a folder of images."""
    image = PIL.Image.open(path).convert("RGB")
    image.resize(_shortest((image.height, image.width)), LANCZOS).save(out := io.BytesIO(), "PNG")
    return out.getvalue()


def img2dataset() -> tuple[str, Way]:
    """Return img2dataset's name and way at SIZE: keep_ratio, area, JPEG of quality 95."""
    resizer = _installed_resizer()
    if resizer is None:
        return "img2dataset (its steps)", _img2dataset_steps
    return "img2dataset", lambda path: resizer(io.BytesIO(path.read_bytes()))[0]


def _installed_resizer() -> Callable[[io.BytesIO], tuple[bytes, ...]] | None:
    """Return its resizer alone: the whole package needs the dependencies of a downloader."""
    os.environ.setdefault(
        "NO_ALBUMENTATIONS_UPDATE", "1"
    )  # it would look for updates on the network
    found = importlib.util.find_spec("img2dataset")
    if found is None or not found.submodule_search_locations:
        return None
    path = Path(found.submodule_search_locations[0]) / "resizer.py"
    spec = importlib.util.spec_from_file_location("img2dataset_resizer", path)
    if spec is None or spec.loader is None:
        return None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except ImportError:
        return None
    return module.Resizer(SIZE, "keep_ratio", True)


def _img2dataset_steps(path: Path) -> bytes:
    image = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    if min(image.shape[:2]) > SIZE:
        size = _shortest(image.shape)
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return _jpeg(image)


def _shortest(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return (width, height) with the short side at SIZE."""
    ratio = SIZE / min(shape[:2])
    return round(shape[1] * ratio), round(shape[0] * ratio)


def _png(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", image)[1].tobytes()


def _jpeg(image: np.ndarray) -> bytes:
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
