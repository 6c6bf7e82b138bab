"""Wrong headers and damaged frames: each file gives the intended image, or a code.

Every case writes one image twice, once with a fault in its file and once correctly. The stored
images must be equal; only a note may differ.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import cv2
import imagecodecs
import numpy as np
import PIL.Image
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from cxr_vlp.pipelines.config import Shards
from cxr_vlp.pipelines.errors import IngestError
from cxr_vlp.pipelines.imaging import encode, jpeg_lossless, jpeg_strip
from cxr_vlp.pipelines.records import Image, SourceBox
from cxr_vlp.pipelines.stages.sample_members import boxes
from cxr_vlp.pipelines.synthetic.cases.patients import Study
from cxr_vlp.pipelines.synthetic.phantom import render
from cxr_vlp.pipelines.synthetic.writing import dicom_files

PERSON = Study(11, 1, "M", 52, ("PA", "LATERAL"), (), prior=False, source="mimic")
CENTRE, WIDTH = 2000.0, 2800.0


@lru_cache
def xray() -> np.ndarray:
    """A drawn radiograph with grain, 12 bits, 600 to 3,400."""
    drawn = render.draw(PERSON, "PA", height=300, seed=0).pixels
    grain = np.random.default_rng(0).normal(0, 0.004, drawn.shape)
    values: np.ndarray = np.rint(600 + 2800 * np.clip(drawn + grain, 0, 1)).astype(np.uint16)
    return values


def eight() -> np.ndarray:
    return np.rint((xray() - 600.0) * 255 / 2800).astype(np.uint8)


def dataset(values: np.ndarray | None = None, **elements: Any) -> Dataset:
    """The radiograph's data set, its window in it, and other elements."""
    values = xray() if values is None else values
    header = dicom_files.Header("19999001", "59999001", "0", view="PA")
    data = dicom_files.file_bytes(
        xray(),
        bits=12,
        photometric="MONOCHROME2",
        syntax=dicom_files.SYNTAXES[0],
        header=header,
    )
    made = pydicom.dcmread(io.BytesIO(data))
    made.Rows, made.Columns = values.shape[:2]
    made.PixelData = values.tobytes() + b"\0" * (values.nbytes % 2)
    made.WindowCenter, made.WindowWidth = CENTRE, WIDTH
    if values.dtype.itemsize == 1:
        made.BitsAllocated, made.BitsStored, made.HighBit = 8, 8, 7
        made["PixelData"].VR = "OB"
        del made.WindowCenter, made.WindowWidth
    for name, value in elements.items():
        if value is None:
            delattr(made, name)
        else:
            setattr(made, name, value)
    return made


def saved(made: Dataset, syntax: str = ExplicitVRLittleEndian) -> bytes:
    fresh = Dataset()
    fresh.update(made)
    fresh.file_meta = made.file_meta
    fresh.file_meta.TransferSyntaxUID = syntax
    fresh.save_as(out := io.BytesIO(), enforce_file_format=True)
    return out.getvalue()


def framed(frame: bytes, syntax: str, **elements: Any) -> bytes:
    made = dataset(**elements)
    made.PixelData = encapsulate([frame])
    made["PixelData"].VR = "OB"
    made["PixelData"].is_undefined_length = True
    return saved(made, syntax)


def shown(data: bytes, suffix: str = ".dcm", **shards: Any) -> tuple[np.ndarray, dict[str, Any]]:
    encoded = encode.encode(data, suffix, Shards(**{"side": 128, "format": "png"} | shards))
    return cv2.imdecode(np.frombuffer(encoded.data, np.uint8), cv2.IMREAD_UNCHANGED), encoded.facts


def right(**shards: Any) -> np.ndarray:
    return shown(saved(dataset()), **shards)[0]


def near(image: np.ndarray, wanted: np.ndarray, most: float = 1.0) -> bool:
    difference = np.abs(image.astype(int) - wanted)
    return bool(image.shape == wanted.shape and difference.mean() <= most)


def code(data: bytes, suffix: str = ".dcm", **shards: Any) -> str:
    with pytest.raises(IngestError) as error:
        shown(data, suffix, **shards)
    return error.value.code


def lut(first: int, entries: Any, bits: int, vr: str = "US") -> Sequence:
    item = Dataset()
    item.add_new(0x00283002, "SS" if first < 0 else "US", [len(entries) % 65536, first, bits])
    data = np.asarray(entries).astype("<u2").tobytes() if vr == "OW" else list(map(int, entries))
    item.add_new(0x00283006, vr, data)
    return Sequence([item])


def window_of(levels: int, first: int = 0) -> np.ndarray:
    """Entries of a LUT that is equal to the window, 0 to `levels`."""
    inputs = np.arange(first, first + 4096)
    share = np.clip((inputs - (CENTRE - 0.5)) / (WIDTH - 1) + 0.5, 0, 1)
    return np.rint(share * levels).astype(int)


def packed() -> Sequence:
    made = lut(0, window_of(255), 8, "OW")
    made[0].LUTData = window_of(255).astype(np.uint8).tobytes()
    return made


NO_WINDOW = {"WindowCenter": None, "WindowWidth": None}
SIGNED = xray().astype(np.int16) - 2048
SAME = {  # file, the notes on it
    "photometric-in-lower-case": (
        dataset(4095 - xray(), PhotometricInterpretation="monochrome1", WindowCenter=2096), []),
    "photometric-padded": (
        dataset(4095 - xray(), PhotometricInterpretation="MONOCHROME1 ", WindowCenter=2096), []),
    "bits-stored-10-of-12": (dataset(BitsStored=10, HighBit=9), ["dicom.bits_wrong"]),
    "bits-stored-16-of-12": (dataset(BitsStored=16, HighBit=15), []),
    "high-bit-15": (dataset(xray() << 4, HighBit=15), ["dicom.bits_wrong"]),
    "high-bit-15-alone": (dataset(HighBit=15), ["dicom.bits_wrong"]),
    "signed-in-an-unsigned-header": (
        dataset(SIGNED, BitsStored=16, HighBit=15, WindowCenter=CENTRE - 2048),
        ["dicom.bits_wrong"]),
    "signed": (dataset(SIGNED, PixelRepresentation=1, WindowCenter=CENTRE - 2048), []),
    "voi-lut-of-8-bits-one-a-byte": (dataset(VOILUTSequence=packed(), **NO_WINDOW), []),
    "voi-lut-of-8-bits-in-words": (
        dataset(VOILUTSequence=lut(0, window_of(255), 8, "OW"), **NO_WINDOW), []),
    "voi-lut-of-16-bits": (dataset(VOILUTSequence=lut(0, window_of(65535), 16), **NO_WINDOW), []),
    "voi-lut-with-a-depth-that-lies": (
        dataset(VOILUTSequence=lut(0, window_of(4095), 16), **NO_WINDOW), ["lut.depth_wrong"]),
    "voi-lut-deeper-than-it-says": (
        dataset(VOILUTSequence=lut(0, window_of(4095), 8), **NO_WINDOW), ["lut.depth_wrong"]),
    "voi-lut-of-signed-values": (
        dataset(SIGNED, PixelRepresentation=1, **NO_WINDOW,
                VOILUTSequence=lut(-2048, window_of(4095), 12)), []),
    "voi-lut-of-signed-values-written-as-unsigned": (
        dataset(SIGNED, PixelRepresentation=1, **NO_WINDOW,
                VOILUTSequence=lut(65536 - 2048, window_of(4095), 12)), []),
    "voi-lut-black-then-the-window": (
        dataset(VOILUTSequence=lut(0, np.zeros(4096), 12)), ["lut.implausible"]),
    "voi-lut-too-short-then-the-window": (
        dataset(VOILUTSequence=lut(0, [], 12)), ["lut.implausible"]),
    "the-second-window": (
        dataset(WindowCenter=[2048, CENTRE], WindowWidth=[1, WIDTH]), ["window.implausible"]),
    "decimal-commas": (dataset(RescaleSlope="1", RescaleIntercept="0"), []),
    "exact-below-one": (
        dataset(RescaleSlope="0.0001", RescaleIntercept="0", WindowCenter="0.2",
                WindowWidth="0.28", VOILUTFunction="LINEAR_EXACT"), []),
    "linear-below-one-is-taken-as-exact": (
        dataset(RescaleSlope="0.0001", RescaleIntercept="0", WindowCenter="0.2",
                WindowWidth="0.28"), []),
    "slope-zero": (dataset(RescaleSlope="0", RescaleIntercept="0"), ["dicom.rescale_ignored"]),
    "slope-not-a-number": (
        dataset(RescaleSlope="nan", RescaleIntercept="0"), ["dicom.rescale_ignored"]),
    "slope-absurd": (
        dataset(RescaleSlope="1e308", RescaleIntercept="1e308"), ["dicom.rescale_ignored"]),
    "body-part": (dataset(BodyPartExamined="PECHO"), ["dicom.body_part"]),
    "body-part-unknown": (dataset(BodyPartExamined="UNKNOWN"), ["dicom.body_part"]),
    "body-part-hand": (dataset(BodyPartExamined="HAND"), ["dicom.body_part"]),
    "modality": (dataset(Modality="OT"), ["dicom.modality"]),
    "modality-xr": (dataset(Modality="XR"), ["dicom.modality"]),
    "mirrored-by-its-tag": (dataset(PatientOrientation=["R", "F"]), ["orientation.mirrored"]),
    "upside-down-by-its-tag": (dataset(PatientOrientation=["L", "H"]), ["orientation.upside_down"]),
    "upright": (dataset(PatientOrientation=["L", "F"]), []),
    "lateral": (dataset(PatientOrientation=["A", "F"]), []),
    "square-after-all": (dataset(PixelSpacing=["0.1430", "0.1435"]), []),
    "spacing-zero": (dataset(PixelSpacing=["0.000", "0.000"]), []),
    "two-frames": (
        dataset(np.concatenate([xray(), xray()]), Rows=xray().shape[0], NumberOfFrames=2),
        ["dicom.frames"]),
    "palette-of-greys": (None, []),
    "8-bits": (dataset(eight()), []),
    "8-bits-in-16": (
        dataset(eight().astype(np.uint16), BitsStored=8, HighBit=7, **NO_WINDOW), []),
    "8-bits-in-16-unsaid": (
        dataset(eight().astype(np.uint16), **NO_WINDOW), ["dicom.bits_wrong"]),
    "8-bits-inverted": (dataset(255 - eight(), PhotometricInterpretation="MONOCHROME1"), []),
    "rgb": (dataset(np.repeat(eight()[..., None], 3, 2), SamplesPerPixel=3, PlanarConfiguration=0,
                    PhotometricInterpretation="RGB"), []),
    "rgb-by-planes": (
        dataset(np.repeat(eight()[..., None], 3, 2), SamplesPerPixel=3, PlanarConfiguration=1,
                PixelData=eight().tobytes() * 3 + b"\0" * (eight().size % 2),
                PhotometricInterpretation="RGB"), []),
    "ybr": (
        dataset(np.dstack([eight(), np.full((*eight().shape, 2), 128, np.uint8)]),
                SamplesPerPixel=3, PlanarConfiguration=0, PhotometricInterpretation="YBR_FULL"),
        []),
    "ybr-called-rgb": (
        dataset(np.dstack([eight(), np.full((*eight().shape, 2), 128, np.uint8)]),
                SamplesPerPixel=3, PlanarConfiguration=0, PhotometricInterpretation="RGB"), []),
}  # fmt: skip


def palette() -> Dataset:
    made = dataset(255 - eight(), PhotometricInterpretation="PALETTE COLOR")
    for colour in ("Red", "Green", "Blue"):
        setattr(made, f"{colour}PaletteColorLookupTableDescriptor", [256, 0, 16])
        entries = (np.arange(256)[::-1] * 257).astype("<u2").tobytes()
        setattr(made, f"{colour}PaletteColorLookupTableData", entries)
    return made


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize("name", SAME)
def test_a_wrong_header_gives_the_same_image(name, syntax):
    made, notes = SAME[name]
    image, facts = shown(saved(palette() if made is None else made, syntax))
    assert near(image, right())
    assert facts["notes"] == notes


STRETCHED = {
    "stencil": {"WindowCenter": 2048, "WindowWidth": 1},
    "nearly-all-white": {"WindowCenter": 630, "WindowWidth": 60},
    "nearly-all-black": {"WindowCenter": 3390, "WindowWidth": 20},
    "far-too-wide": {"WindowCenter": 32768, "WindowWidth": 65536},
    "beside-the-values": {"WindowCenter": 9000, "WindowWidth": 500},
    "sigmoid-that-is-a-step": {
        "WindowCenter": 2048, "WindowWidth": 0.01, "VOILUTFunction": "SIGMOID"},
}  # fmt: skip


@pytest.mark.parametrize("window", STRETCHED.values(), ids=STRETCHED)
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_an_implausible_window_is_replaced_by_the_range(window, photometric):
    made = dataset(PhotometricInterpretation=photometric, **window)
    plain = dataset(PhotometricInterpretation=photometric, **NO_WINDOW)
    (image, facts), (wanted, without) = shown(saved(made)), shown(saved(plain))
    assert np.array_equal(image, wanted)
    assert (facts["window"], facts["notes"]) == ("percentile", ["window.implausible"])
    assert without["notes"] == []


def test_a_narrow_window_that_shows_the_lungs_is_used():
    image, facts = shown(saved(dataset(WindowCenter=2100, WindowWidth=500)))
    assert (facts["window"], facts["notes"]) == ("voi", [])
    assert np.mean((image == 0) | (image == 255)) > 0.4


def test_a_dicom_file_of_8_bits_equals_the_png_of_the_same_image():
    for values in (eight(), eight()[:-1, :-1] if eight().size % 2 == 0 else eight()):
        data = cv2.imencode(".png", values)[1].tobytes()
        levels, twin = (
            shown(*f)[0].astype(int) for f in ((saved(dataset(values)),), (data, ".png"))
        )
        assert np.abs(levels - twin).max() <= 1


BANDS = np.zeros(xray().shape, bool)
BANDS[:, :30] = BANDS[-20:] = True
PADDED = {
    "in-monochrome1": (np.where(BANDS, 0, 4095 - xray()), {
        "PhotometricInterpretation": "MONOCHROME1", "WindowCenter": 2096, "PixelPaddingValue": 0}),
    "white-in-monochrome2": (np.where(BANDS, 4095, xray()), {"PixelPaddingValue": 4095}),
    "beyond-the-bits": (np.where(BANDS, 65535, xray()), {"PixelPaddingValue": 65535}),
    "a-range": (
        np.where(BANDS, np.arange(xray().shape[1]) % 60, xray()),
        {"PixelPaddingValue": 0, "PixelPaddingRangeLimit": 59}),
    "a-range-from-above": (
        np.where(BANDS, np.arange(xray().shape[1]) % 60, xray()),
        {"PixelPaddingValue": 59, "PixelPaddingRangeLimit": 0}),
    "signed": (np.where(BANDS, -2000, xray().astype(np.int16) - 1000), {
        "PixelPaddingValue": -2000, "PixelRepresentation": 1, "BitsStored": 16, "HighBit": 15,
        "WindowCenter": CENTRE - 1000}),
}  # fmt: skip


@pytest.mark.parametrize("windowed", [True, False])
@pytest.mark.parametrize(("values", "elements"), PADDED.values(), ids=PADDED)
def test_padding_is_black_and_does_not_change_the_contrast(values, elements, windowed):
    dtype = np.int16 if values.min() < 0 else np.uint16
    made = dataset(values.astype(dtype), **elements)
    if not windowed:
        del made.WindowCenter, made.WindowWidth
    image, facts = shown(saved(made), side=4000)  # no smaller than it came
    wanted, _ = shown(saved(dataset(xray(), **({} if windowed else NO_WINDOW))), side=4000)
    assert facts["notes"] == []
    assert (image[BANDS] == 0).all()
    assert np.abs(image[~BANDS].astype(int) - wanted[~BANDS]).mean() < (1 if windowed else 12)


def test_a_small_padded_image_has_no_bright_line_beside_the_padding():
    """Means of padding and anatomy would be a bright line."""
    values, elements = PADDED["in-monochrome1"]
    large = np.kron(values, np.ones((3, 3), int)).astype(np.uint16)
    image, _ = shown(saved(dataset(large, **elements)))
    wanted, _ = shown(saved(dataset(np.kron(xray(), np.ones((3, 3), np.uint16)))))
    assert (image.astype(int) - wanted).max() < 40


def test_anatomy_with_the_padding_value_is_not_masked():
    values = xray().copy()
    values[150, 50:130:7] = 4000  # bright spots, and a header that calls their value padding
    image, facts = shown(saved(dataset(values, PixelPaddingValue=4000)), side=4000)
    assert (image[150, 50:130:7] == 255).all()
    common = int(np.argmax(np.bincount(xray().ravel())))
    _, facts = shown(saved(dataset(PixelPaddingValue=600, PixelPaddingRangeLimit=3300)))
    assert facts["notes"] == ["padding.implausible"]
    assert near(shown(saved(dataset(PixelPaddingValue=common)))[0], right(), 3)


@pytest.mark.parametrize(
    ("values", "elements", "factors"),
    [
        pytest.param(xray()[::2], {"PixelAspectRatio": [2, 1]}, (2, 1), id="twice-as-high"),
        pytest.param(xray()[:, ::2], {"PixelSpacing": ["0.1", "0.2"]}, (1, 2), id="twice-as-wide"),
        pytest.param(
            xray()[::2], {"ImagerPixelSpacing": ["0.4", "0.2"]}, (2, 1), id="at-the-detector"
        ),
    ],
)
@pytest.mark.parametrize("resize", ["shortest", "longest", "pad"])
def test_pixels_are_made_square_and_boxes_follow(values, elements, factors, resize):
    marked = np.ascontiguousarray(values)
    height, width = marked.shape
    box = (width // 4, height // 3, width // 5, height // 6)
    marked[box[1] : box[1] + box[3], box[0] : box[0] + box[2]] = 4095
    shards = Shards(side=128, format="png", resize=resize)
    encoded = encode.encode(saved(dataset(marked, **elements)), ".dcm", shards)
    image = cv2.imdecode(np.frombuffer(encoded.data, np.uint8), cv2.IMREAD_UNCHANGED)
    square = right(resize=resize)
    assert np.abs(np.subtract(image.shape, square.shape)).max() <= 1
    assert encoded.facts["aspect"] == factors[0] / factors[1]
    [found] = boxes(Image("0", "x.dcm", boxes=(SourceBox("Mass", *box),)), encoded)
    y, x = np.nonzero(image > 250)
    seen = (x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1)
    assert np.abs(np.array(seen) - [getattr(found, side) for side in "xywh"]).max() <= 2.5


TURNS = {  # what was done to the image, and where its rows and columns lead then
    "upright": (lambda f: f, ["L", "F"]),
    "mirrored": (lambda f: f[:, ::-1], ["R", "F"]),
    "upside-down": (lambda f: f[::-1], ["L", "H"]),
    "half-round": (lambda f: f[::-1, ::-1], ["R", "H"]),
    "transposed": (lambda f: f.T, ["F", "L"]),
    "quarter-round": (lambda f: np.rot90(f), ["F", "R"]),
    "quarter-round-the-other-way": (lambda f: np.rot90(f, -1), ["H", "L"]),
    "transposed-the-other-way": (lambda f: f[::-1, ::-1].T, ["H", "R"]),
}


@pytest.mark.parametrize(("move", "letters"), TURNS.values(), ids=TURNS)
def test_images_and_boxes_are_turned_to_the_standard_display_if_asked(move, letters):
    marked = xray().copy()
    marked[40:70, 60:80] = 4095
    upright = shown(saved(dataset(marked)), side=4000)[0]
    moved = np.ascontiguousarray(move(marked))
    data = saved(dataset(moved, PatientOrientation=letters))
    y, x = np.nonzero(moved == 4095)
    box = SourceBox("Mass", int(x.min()), int(y.min()), int(np.ptp(x)) + 1, int(np.ptp(y)) + 1)
    encoded = encode.encode(data, ".dcm", Shards(side=4000, format="png", orient="turn"))
    image = cv2.imdecode(np.frombuffer(encoded.data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(image, upright)
    [found] = boxes(Image("0", "x.dcm", boxes=(box,)), encoded)
    assert [getattr(found, side) for side in "xywh"] == [60, 40, 20, 30]
    noted = shown(data, side=4000)
    assert np.array_equal(noted[0], np.ascontiguousarray(move(upright)))
    assert bool(noted[1]["notes"]) == (letters != ["L", "F"])


def test_for_processing_is_rendered_by_exposure_and_noted():
    exposure = 60_000 * np.exp(-(xray() - 600.0) / 700)
    made = dataset(exposure.astype(np.uint16), Modality="DX", BitsStored=16, HighBit=15,
                   PresentationIntentType="FOR PROCESSING", PixelIntensityRelationship="LIN",
                   **NO_WINDOW)  # fmt: skip
    image, facts = shown(saved(made))
    assert (facts["window"], facts["notes"]) == ("log", ["dicom.for_processing"])
    assert np.corrcoef(image.ravel(), right().ravel())[0, 1] > 0.99
    assert code(saved(made), for_processing="reject") == "dicom.for_processing"


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [("body_part", "BodyPartExamined", "HAND"), ("modality", "Modality", "OT")],
)
def test_unusual_headers_are_rejected_only_with_the_option(name, value, found):
    data = saved(dataset(**{value: found}))
    assert code(data, **{name: "reject"}) == f"dicom.{name}"


def jpeg(values: np.ndarray, **options: Any) -> bytes:
    image = PIL.Image.fromarray(values)
    image.save(out := io.BytesIO(), "JPEG", quality=95, subsampling=0, **options)
    return out.getvalue()


def colour() -> np.ndarray:
    return np.repeat(eight()[..., None], 3, 2)


def without_marks(data: bytes) -> bytes:
    """Remove the application segments: nothing then says how colours are coded."""
    at, kept = 2, [data[:2]]
    while data[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        kept += [] if data[at + 1] in (0xE0, 0xEE) else [data[at:end]]
        at = end
    return b"".join([*kept, data[at:]])


def renamed(data: bytes) -> bytes:
    """Call the components 1, 2, 3 instead of R, G, B."""
    for old, new in zip(b"RGB", (1, 2, 3), strict=True):
        data = data.replace(bytes((old, 0x11)), bytes((new, 0x11)), 1)  # in the frame header
    at = data.index(b"\xff\xda") + 5
    return data[:at] + bytes((1, data[at + 1], 2, data[at + 3], 3, data[at + 5])) + data[at + 6 :]


COLOURS = {
    "ycbcr-with-a-mark": jpeg(colour()),
    "ycbcr-without": without_marks(jpeg(colour())),
    "rgb-with-a-mark": jpeg(colour(), keep_rgb=True),
    "rgb-by-its-names": without_marks(jpeg(colour(), keep_rgb=True)),
    "rgb-without-anything": renamed(without_marks(jpeg(colour(), keep_rgb=True))),
}


@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL_422"])
@pytest.mark.parametrize("frame", COLOURS.values(), ids=COLOURS)
def test_colours_are_read_as_they_are_coded(frame, photometric):
    elements = {"SamplesPerPixel": 3, "PlanarConfiguration": 0, **AS_EIGHT}
    elements["PhotometricInterpretation"] = photometric
    image, facts = shown(framed(frame, JPEGBaseline8Bit, **elements))
    assert near(image, right(), 1.5)
    assert facts["window"] == "stored"


AS_EIGHT = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, **NO_WINDOW}
FRAMES: dict[str, tuple[str, Callable[[], bytes], dict[str, Any]]] = {
    "baseline": (JPEGBaseline8Bit, lambda: jpeg(eight()), AS_EIGHT),
    "extended": (
        JPEGExtended12Bit,
        lambda: bytes(imagecodecs.jpeg8_encode(xray(), bitspersample=12, level=95)), {}),
    "lossless": (
        JPEGLosslessSV1,
        lambda: bytes(imagecodecs.jpeg8_encode(
            xray(), lossless=True, predictor=1, bitspersample=12)), {}),
    "lossless-8-bits": (
        JPEGLosslessSV1,
        lambda: bytes(imagecodecs.jpeg8_encode(eight(), lossless=True, predictor=1)), AS_EIGHT),
    "jpeg-ls": (JPEGLSLossless, lambda: bytes(imagecodecs.jpegls_encode(xray())), {}),
    "jpeg-2000": (
        JPEG2000Lossless,
        lambda: bytes(imagecodecs.jpeg2k_encode(
            xray(), codecformat="j2k", reversible=True, bitspersample=12)), {}),
    "high-throughput": (HTJ2KLossless, lambda: bytes(imagecodecs.htj2k_encode(xray())), {}),
}  # fmt: skip


@pytest.mark.parametrize(
    ("syntax", "frame", "elements"),
    [
        pytest.param(*case, id=name, marks=[pytest.mark.slow] * (name == "jpeg-ls"))
        for name, case in FRAMES.items()
    ],
)
@pytest.mark.parametrize("kept", [0.1, 0.6, 0.95])
@pytest.mark.parametrize("ended", [True, False])
def test_a_truncated_frame_in_a_complete_file_is_damaged(syntax, frame, elements, kept, ended):
    whole = frame()
    image, _ = shown(framed(whole, syntax, **elements))
    assert near(image, right(), 1.5)
    cut = whole[: int(len(whole) * kept)] + (b"\xff\xd9" if ended else b"")
    if syntax == JPEGExtended12Bit and ended and kept > 0.9:
        pytest.skip("too few rows are lost to be distinguished from an edge of one grey")
    assert code(framed(cut, syntax, **elements)) in ("dicom.damaged_frame", "image.implausible")


@pytest.mark.parametrize(
    "name",
    ["baseline", "lossless", "lossless-8-bits", pytest.param("jpeg-ls", marks=pytest.mark.slow)],
)
@pytest.mark.parametrize("at", [0.3, 0.5, 0.8])
def test_zeros_inside_a_frame_are_damage(name, at):
    syntax, frame, elements = FRAMES[name]
    whole = frame()
    start = int(len(whole) * at)
    rotten = whole[:start] + bytes(400) + whole[start + 400 :]
    assert code(framed(rotten, syntax, **elements)) == "dicom.damaged_frame"


def test_short_and_corrupt_run_lengths_and_raw_pixels():
    made = dataset()
    made.compress(RLELossless, xray(), encoding_plugin="pydicom")
    whole = next(pydicom.encaps.generate_frames(made.PixelData, number_of_frames=1))
    for frame in (whole[: len(whole) * 6 // 10], whole[:9000] + bytes(400) + whole[9400:]):
        assert code(framed(frame, RLELossless)) == "dicom.damaged_frame"
    raw = xray().tobytes()
    assert code(saved(dataset(PixelData=raw[: len(raw) // 4 * 2]))) == "dicom.truncated"
    short = saved(dataset(), DeflatedExplicitVRLittleEndian)
    assert code(short[: len(short) * 6 // 10]).startswith("dicom.")


@pytest.mark.parametrize("predictor", range(1, 8))
@pytest.mark.parametrize("bits", [12, 16])
@pytest.mark.parametrize("edge", [None, 0, 2048])
def test_no_complete_lossless_frame_is_reported_as_damaged(predictor, bits, edge):
    """Even a frame with constant last rows, as a decoder would fill them in."""
    values = xray().copy()
    if edge is not None:
        values[-40:] = edge
    frame = bytes(imagecodecs.jpeg8_encode(
        values, lossless=True, predictor=predictor, bitspersample=bits))  # fmt: skip
    assert np.array_equal(jpeg_lossless.decoded(frame, imagecodecs.jpeg_decode), values)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None, derandomize=True, database=None)
def test_lost_data_in_a_lossless_frame_are_detected(seed):
    chance = np.random.default_rng(seed)
    frame = FRAMES["lossless"][1]()
    start, size = int(chance.integers(500, len(frame) - 900)), int(chance.integers(100, 800))
    with pytest.raises((jpeg_strip.DamagedError, imagecodecs.Jpeg8Error)):
        jpeg_lossless.decoded(frame[:start] + frame[start + size :], imagecodecs.jpeg_decode)


@pytest.mark.parametrize("form", ["png", "jpg", "turned-jpg", "rgb-jpg"])
@pytest.mark.parametrize("damage", ["cut", "zeros"])
def test_damaged_png_and_jpeg_files_have_codes(form, damage):
    tags = PIL.Image.Exif()
    tags[0x0112] = 6
    whole = {
        "png": lambda: cv2.imencode(".png", eight())[1].tobytes(),
        "jpg": lambda: jpeg(eight()),
        "turned-jpg": lambda: jpeg(eight(), exif=tags.tobytes()),  # OpenCV reads this one
        "rgb-jpg": lambda: jpeg(colour(), keep_rgb=True),
    }[form]()
    suffix = ".png" if form == "png" else ".jpg"
    shown(whole, suffix)
    half = len(whole) // 2
    end = b"\xff\xd9" if form != "png" else whole[-12:]
    spoilt = whole[:half] + (end if damage == "cut" else bytes(400) + whole[half + 400 :])
    assert code(spoilt, suffix) == "image.unreadable"


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".dcm", ".DCM", ".dicom", ""])
@pytest.mark.parametrize("kind", ["dicom", "png", "jpg"])
def test_the_content_decides_the_format_of_a_file(kind, suffix):
    data = {
        "dicom": lambda: saved(dataset()), "jpg": lambda: jpeg(eight()),
        "png": lambda: cv2.imencode(".png", eight())[1].tobytes(),
    }[kind]()  # fmt: skip
    image, facts = shown(data, suffix)
    assert near(image, right(), 1.5)
    honest = (suffix.lower() in (".dcm", ".dicom", "")) == (kind == "dicom")
    assert facts["notes"] == ([] if honest else ["file.suffix"])


def test_a_bug_is_not_reported_as_a_bad_file(monkeypatch):
    """Once a TypeError in our code became `dicom.undecodable` for every image."""

    def broken(*_: Any) -> None:
        raise TypeError("a bug")

    for place in (
        "display_lut.histogram",
        "resize.halved",
        "bit_depth.corrected",
        "plausible.fault",
    ):
        module, name = place.split(".")
        with monkeypatch.context() as patch:
            patch.setattr(f"cxr_vlp.pipelines.imaging.{module}.{name}", broken)
            with pytest.raises(TypeError):
                shown(saved(dataset(**NO_WINDOW)))


FAULTS = {
    "jpeg8_truncated": "dicom.damaged_frame", "jpegll_corrupt": "dicom.damaged_frame",
    "jpegll_truncated": "dicom.damaged_frame",
}  # fmt: skip
NOTES = {
    "all_laterality_flip": "orientation.mirrored", "bitsstored_too_small": "dicom.bits_wrong",
    "body_PECHO": "dicom.body_part", "body_TORSO": "dicom.body_part",
    "body_UNKNOWN": "dicom.body_part", "for_processing": "dicom.for_processing",
    "highbit_15": "dicom.bits_wrong", "modality_OT": "dicom.modality",
    "modality_SC": "dicom.modality", "slope_zero": "dicom.rescale_ignored",
    "voi_lut_wrong_depth": "lut.depth_wrong", "window_mostly_white": "window.implausible",
    "window_one": "window.implausible",
}  # fmt: skip


def test_the_published_faults(shared):
    folder = shared / "data/dicom_faults"
    wanted, _ = shown((folder / "body_UNKNOWN.dcm").read_bytes(), side=256)
    for path in sorted(folder.glob("*.dcm")):
        name = path.stem
        if name in FAULTS:
            assert code(path.read_bytes()) == FAULTS[name], name
            continue
        image, facts = shown(path.read_bytes(), side=256)
        assert image.shape == (256, 313), name
        assert facts["notes"] == ([NOTES[name]] if name in NOTES else []), name
        if name.startswith("padding"):  # bands of it lie at the sides
            inner, clear = (x[64:192, 100:220].ravel() for x in (image, wanted))
            assert np.corrcoef(inner, clear)[0, 1] > 0.99, name
            assert np.percentile(image, 12) == 0, name
        else:
            assert np.corrcoef(image.ravel(), wanted.ravel())[0, 1] > 0.97, name
