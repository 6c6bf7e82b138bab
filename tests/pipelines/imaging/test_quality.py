"""The fast ways to make a small image are compared with the exact way, for every kind of file.

Exact: pydicom's functions (Pillow for files that are no DICOM) on every pixel, then Lanczos from
the full size. Near means a mean difference of at most one grey level, 99 of 100 pixels within 3.
"""

from __future__ import annotations

import io
from functools import lru_cache

import cv2
import imagecodecs
import numpy as np
import PIL.Image
import pydicom
import pytest
from pydicom.encaps import encapsulate
from pydicom.pixels import apply_voi_lut
from pydicom.uid import HTJ2KLossless

from cxr_vlp.pipelines.config import Shards
from cxr_vlp.pipelines.imaging import encode
from cxr_vlp.pipelines.imaging.geometry import placement
from cxr_vlp.pipelines.synthetic.cases.patients import Study
from cxr_vlp.pipelines.synthetic.phantom import render
from cxr_vlp.pipelines.synthetic.writing import dicom_files

PERSON = Study(11, 1, "M", 52, ("PA", "LATERAL"), (), prior=False, source="mimic")
HT = "HTJ2K"
DICOMS = (*dicom_files.SYNTAXES, HT)
KINDS = (*DICOMS, "jpg", "png", "deep png")


def name(kind: str) -> str:
    return getattr(kind, "name", kind)[:30]


@lru_cache
def xray(view: str = "PA", height: int = 1200, odd: bool = False) -> np.ndarray:
    """A drawn radiograph with a detector's grain, 0..1; odd sides where asked."""
    drawn = render.draw(PERSON, view, height=height, seed=0).pixels
    drawn = drawn[: height - height % 2 - odd, : drawn.shape[1] // 2 * 2 - odd]
    grain = np.random.default_rng(0).normal(0, 0.004, drawn.shape)
    return np.clip(drawn + grain, 0, 1).astype(np.float32)


@lru_cache
def file(kind: str, view: str = "PA", photometric: str = "MONOCHROME2", odd: bool = False) -> bytes:
    return stored(xray(view, odd=odd), kind, photometric)


def stored(
    image: np.ndarray,
    kind: str,
    photometric: str = "MONOCHROME2",
    window: tuple[float, float] | None = None,
) -> bytes:
    """Return an image of 0..1 as a file of one kind."""
    if kind == "deep png":
        return cv2.imencode(".png", np.rint(image * 65535).astype(np.uint16))[1].tobytes()
    if kind in ("jpg", "png"):
        levels = np.rint(image * 255).astype(np.uint8)
        return cv2.imencode("." + kind, levels, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    window = window or dicom_files.window_of(bits=12, photometric=photometric)
    header = dicom_files.Header("19999001", "59999001", "0", windows=(window,))
    syntax = dicom_files.SYNTAXES[0] if kind == HT else kind
    values = dicom_files.stored_values(image, bits=12, photometric=photometric)
    data = dicom_files.file_bytes(
        values, bits=12, photometric=photometric, syntax=syntax, header=header
    )
    return as_htj2k(data, values) if kind == HT else data


def as_htj2k(data: bytes, values: np.ndarray) -> bytes:
    dataset = pydicom.dcmread(io.BytesIO(data))
    dataset.PixelData = encapsulate([imagecodecs.htj2k_encode(values)])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = HTJ2KLossless
    dataset.save_as(out := io.BytesIO())
    return out.getvalue()


def exact(data: bytes, kind: str, recipe: str = "voi") -> np.ndarray:
    """Return every pixel's grey, 0..255 in float32, before any resizing."""
    if kind == HT:  # pydicom has no decoder for it here; its twin has the same values
        return exact(file(dicom_files.SYNTAXES[0]), "", recipe)
    if kind in ("jpg", "png"):
        return np.asarray(PIL.Image.open(io.BytesIO(data)), np.float32)
    if kind == "deep png":
        values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        low, high = np.percentile(values, (0.5, 99.5))
        return np.clip((values - low) / (high - low), 0, 1).astype(np.float32) * 255
    dataset = pydicom.dcmread(io.BytesIO(data))
    values = dataset.pixel_array.astype(np.float64)
    if recipe == "voi":
        grey = apply_voi_lut(dataset.pixel_array, dataset) / 4095
    else:
        share = {"minmax": (0, 100), "percentile": (0.5, 99.5)}[recipe]
        low, high = np.percentile(values, share)
        grey = np.clip((values - low) / (high - low), 0, 1)
    inverted = dataset.PhotometricInterpretation == "MONOCHROME1"
    return np.asarray((1 - grey if inverted else grey) * 255, np.float32)


def ours(data: bytes, kind: str, **shards) -> np.ndarray:
    suffix = ".dcm" if kind in DICOMS else ".jpg" if kind == "jpg" else ".png"
    encoded = encode.encode(data, suffix, Shards(format="png", **shards))
    return cv2.imdecode(np.frombuffer(encoded.data, np.uint8), cv2.IMREAD_UNCHANGED)


def lanczos(grey: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    image = PIL.Image.fromarray(grey).resize(shape[::-1], PIL.Image.Resampling.LANCZOS)
    return np.rint(np.clip(np.asarray(image), 0, 255))


def area(grey: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    return np.rint(cv2.resize(grey, shape[::-1], interpolation=cv2.INTER_AREA))


def assert_near(small: np.ndarray, reference: np.ndarray, most: int = 3) -> None:
    difference = np.abs(small - reference)
    assert difference.mean() <= 1
    assert np.percentile(difference, 99) <= most


@pytest.mark.parametrize("kind", KINDS, ids=name)
@pytest.mark.parametrize("size", [224, 320, 448])  # a fifth, a third and less than half
def test_every_kind_of_file_is_near_the_exact_result(kind, size):
    small = ours(file(kind), kind, side=size)
    assert_near(small, lanczos(exact(file(kind), kind), small.shape))


@pytest.mark.parametrize("kind", KINDS, ids=name)
@pytest.mark.parametrize("size", [90, 120, 170])  # halved twice, twice and once
def test_thumbnails_are_near_one_large_step(kind, size):
    """At a tenth of the size the filters themselves differ by more than steps do: area by area.

    The drawn letters are one pixel sharp, as no detector's are, and at this size a large share of
    the image.
    """
    small = ours(file(kind), kind, side=size)
    assert_near(small, area(exact(file(kind), kind), small.shape), most=5)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("recipe", ["voi", "minmax", "percentile"])
@pytest.mark.parametrize("resize", ["shortest", "longest"])
def test_recipes_on_a_lateral_image_of_odd_size_are_near_the_exact_result(
    photometric, recipe, resize
):
    kind = dicom_files.SYNTAXES[0]
    data = file(kind, "LATERAL", photometric, odd=True)
    small = ours(data, kind, recipe=recipe, side=224, resize=resize)
    assert_near(small, lanczos(exact(data, kind, recipe), small.shape))


@pytest.mark.parametrize("window", [(1500, 1200), (2000, 2500), (2600, 800)], ids=str)
def test_narrow_windows_are_near_the_exact_result(window):
    """Means include pixels outside the window; the image must not show that.

    Compared area by area, because a narrow window also enlarges the differences of the filters.
    """
    data = stored(xray(), dicom_files.SYNTAXES[0], window=window)
    small = ours(data, dicom_files.SYNTAXES[0], side=256)
    assert_near(small, area(exact(data, ""), small.shape))


@pytest.mark.parametrize("kind", KINDS, ids=name)
def test_lanczos_equals_the_exact_result(kind):
    small = ours(file(kind), kind, side=224, filter="lanczos")
    difference = np.abs(small - lanczos(exact(file(kind), kind), small.shape))
    assert difference.mean() <= 0.1
    assert np.percentile(difference, 99) <= 1


def test_real_images_are_near_the_exact_result(shared):
    """A Philips CR, 15 bits, MONOCHROME1: uncompressed, JPEG 2000 lossless and lossy, JPEG-LS; NIH
    and Open-i as they are published."""
    for twin in ("RG1_UNCR", "RG1_J2KR", "RG1_J2KI", "RG1_JLSN"):
        data, kind = (shared / f"data/dicom_cr/{twin}.dcm").read_bytes(), dicom_files.SYNTAXES[0]
        small = ours(data, kind, recipe="percentile")
        assert_near(small, lanczos(exact(data, kind, "percentile"), small.shape))
    published = [shared / "data" / name for name in ("nih/images_1024", "openi/images_normalized")]
    for path in (path for folder in published for path in sorted(folder.glob("*.png"))[:2]):
        small = ours(path.read_bytes(), "png")
        assert_near(small, lanczos(exact(path.read_bytes(), "png"), small.shape))


def ripple(kind: str, size: int, **shards) -> float:
    """Return how much of a grid, two pixels wide and a tenth of the range, is left on an image."""
    smooth = cv2.GaussianBlur(xray(), (0, 0), 2) * 0.8 + 0.1
    grid = smooth.copy()
    grid[:, ::2] += 0.05
    grid[:, 1::2] -= 0.05
    with_grid, without = (ours(stored(p, kind), kind, side=size, **shards) for p in (grid, smooth))
    return float((with_grid.astype(int) - without).std())


@pytest.mark.parametrize("kind", [*DICOMS, "jpg", "png"], ids=name)
@pytest.mark.parametrize("size", [170, 300])
def test_a_fine_grid_on_an_image_leaves_no_stripes(kind, size):
    assert ripple(kind, size) < 1


def test_the_usual_filter_fails_the_grid(monkeypatch):
    """With INTER_LINEAR, as in CXR-CLIP, the test above fails: it can fail."""
    resize = cv2.resize

    def linear(image, size, **_):
        return resize(image, size, interpolation=cv2.INTER_LINEAR)

    monkeypatch.setattr("cxr_vlp.pipelines.imaging.resize.halvings", lambda *_: 0)
    monkeypatch.setattr(
        "cxr_vlp.pipelines.imaging.resize._area", lambda p, n, source, size: linear(p, size[::-1])
    )
    assert ripple(dicom_files.SYNTAXES[0], 300) > 4


@pytest.mark.parametrize("kind", KINDS, ids=name)
@pytest.mark.parametrize("size", [100, 150, 290])
def test_no_structure_is_shifted_by_a_twentieth_of_a_pixel(monkeypatch, kind, size):
    """Means of 2 x 2, a band of wavelets and a JPEG's small sizes all cover a little more or less
    than an odd image, or are shifted; positions in the image must not depend on that."""
    for name in ("fault", "fault_of_counts"):  # two spots on grey are no radiograph
        monkeypatch.setattr(f"cxr_vlp.pipelines.imaging.plausible.{name}", lambda *_: "")
    height, width = 1003, 901
    y, x = np.mgrid[0:height, 0:width]
    for cy, cx in ((300.0, 250.0), (930.0, 830.0)):
        blob = 0.1 + 0.8 * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * 18.0**2))
        small = ours(stored(blob.astype(np.float32), kind), kind, side=size).astype(float)
        weight = np.clip(small - small.min() - 25, 0, None)
        rows, columns = np.mgrid[0 : small.shape[0], 0 : small.shape[1]]
        found = [(axis * weight).sum() / weight.sum() + 0.5 for axis in (rows, columns)]
        at = placement(width, height, Shards(side=size))
        expected = [(cy + 0.5) * at.scale_y, (cx + 0.5) * at.scale_x]
        assert np.abs(np.array(found) - expected).max() < 0.05


def test_a_bright_pixel_among_a_million_sets_the_range_of_minmax():
    """The range of minmax is computed from every pixel, not from means."""
    values = dicom_files.stored_values(xray() * 0.5, bits=12, photometric="MONOCHROME2")
    values[700, 500] = 4095
    header = dicom_files.Header("19999001", "59999001", "0")
    data = dicom_files.file_bytes(
        values, bits=12, photometric="MONOCHROME2", syntax=dicom_files.SYNTAXES[3], header=header
    )
    levels = ours(data, dicom_files.SYNTAXES[3], side=224, recipe="minmax")
    top = (values[values < 4095].max() - values.min()) / (4095 - values.min())
    assert levels.max() <= 255 * top + 3


@pytest.mark.parametrize("recipe", ["mimic_jpg", "chexpert_jpg"])
def test_equalisation_uses_every_pixel(recipe):
    """Equalised first and then resized, as in those collections; a noisy image shows it."""
    kind = dicom_files.SYNTAXES[0]
    noise = np.random.default_rng(1).normal(0, 0.03, xray().shape)
    data = stored(np.clip(xray() + noise, 0, 1), kind)
    small = ours(data, kind, side=224, recipe=recipe)
    full = ours(data, kind, side=4000, recipe=recipe)  # no smaller than it came
    assert_near(small, area(full.astype(np.float32), small.shape))
