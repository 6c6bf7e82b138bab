"""Grey values and resizing against the reference (pydicom's functions, full-size Lanczos)."""

from __future__ import annotations

import io
import zlib
from contextlib import nullcontext

import cv2
import numpy as np
import PIL.Image
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut, apply_voi_lut
from sound import dicom

from cxr_vlp.pipelines.config import Shards
from cxr_vlp.pipelines.errors import IngestError
from cxr_vlp.pipelines.format.sample import Box
from cxr_vlp.pipelines.imaging import dicom_header, dicom_pixels, display_lut, encode
from cxr_vlp.pipelines.records import Image, SourceBox
from cxr_vlp.pipelines.stages.sample_members import boxes, check_boxes


def xray(bits: int = 12, height: int = 200, width: int = 160) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    soft = 0.5 + 0.3 * np.sin(x / 17) * np.cos(y / 23) + 0.1 * np.sin(x * y / 900)
    return np.rint(np.clip(soft, 0, 1) * 0.8 * (2**bits - 1)).astype(np.uint16)


def tags(**values) -> Dataset:
    dataset = Dataset()
    dataset.BitsAllocated, dataset.BitsStored, dataset.PixelRepresentation = 16, 12, 0
    dataset.PhotometricInterpretation = "MONOCHROME2"
    for name, value in values.items():
        setattr(dataset, name, value)
    return dataset


def first_table(values: np.ndarray, recipe: str, dataset: Dataset) -> display_lut.DisplayLut:
    """The table that is tried first."""
    header = dicom_header.image_header(dataset)
    mask = dicom_pixels.padding_mask(values, *header.padding)[0] if header.padding else None
    candidates = display_lut.LutCandidates(int(values.min()), int(values.max()), header)
    counts = display_lut.histogram(values, mask)
    own = candidates.from_header() if recipe == "voi" else iter(())
    return next(own, None) or next(candidates.from_values(recipe, counts))


def png(values: np.ndarray) -> bytes:
    return cv2.imencode(".png", values)[1].tobytes()


def decoded(data: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)


def test_voi_is_what_pydicom_computes_value_by_value():
    values = xray()
    dataset = tags(WindowCenter=1800, WindowWidth=1500, RescaleSlope=1, RescaleIntercept=-100)
    ours = first_table(values, "voi", dataset).apply(values) / display_lut.WHITE
    theirs = apply_voi_lut(apply_modality_lut(values, dataset), dataset)
    low, high = -100, 4095 - 100  # pydicom scales a window to the range of the stored bits
    assert np.abs(ours - (theirs - low) / (high - low)).max() < 1e-4


@pytest.mark.parametrize("recipe", ["voi", "minmax", "percentile", "mimic_jpg"])
def test_monochrome1_is_inverted_after_the_window(recipe):
    values = xray()
    window = {"WindowCenter": 1800, "WindowWidth": 1500}
    plain = first_table(values, recipe, tags(**window)).apply(values).astype(int)
    inverted = tags(**window, PhotometricInterpretation="MONOCHROME1")
    inverse = first_table(values, recipe, inverted).apply(values).astype(int)
    if recipe == "mimic_jpg":  # equalised after inverting: the order of greys turns round
        assert np.corrcoef(plain.ravel(), inverse.ravel())[0, 1] < -0.9
    else:
        assert np.abs(plain + inverse - display_lut.WHITE).max() <= 1


@pytest.mark.parametrize(
    ("window", "used", "note"),
    [
        pytest.param({"WindowCenter": 1800, "WindowWidth": 900}, "voi", "", id="plain"),
        pytest.param(
            {"WindowCenter": [1800, 1], "WindowWidth": [900, 1]}, "voi", "", id="multi-valued"
        ),
        pytest.param({"WindowCenter": "1800.000", "WindowWidth": "900.500"}, "voi", "",
                     id="decimals"),
        pytest.param({}, "percentile", "", id="absent"),
        pytest.param({"WindowCenter": 1800}, "percentile", "window.implausible",
                     id="width-absent"),
        pytest.param({"WindowCenter": 1800, "WindowWidth": 0}, "percentile", "window.implausible",
                     id="width-zero"),
        pytest.param({"WindowCenter": "nan", "WindowWidth": "nan"}, "percentile",
                     "window.implausible", id="nan"),
        pytest.param({"WindowCenter": 9e4, "WindowWidth": 10}, "percentile", "window.implausible",
                     id="shows-nothing"),
        pytest.param({"WindowCenter": [9e4, 1800], "WindowWidth": [10, 2000]}, "voi",
                     "window.implausible", id="the-second-works"),
        pytest.param({"WindowCenter": 1800, "WindowWidth": 65536}, "percentile",
                     "window.implausible", id="far-too-wide"),
        pytest.param({"VOILUTSequence": []}, "percentile", "", id="empty-voi-lut"),
        pytest.param({"VOILUTSequence": [Dataset()]}, "percentile", "lut.implausible",
                     id="broken-voi-lut"),
    ],
)  # fmt: skip
def test_unusual_windows(window, used, note):
    facts = encode.encode(dicom(**window), ".dcm", Shards(side=64)).facts
    assert facts["window"] == used
    assert facts["notes"] == [note] * bool(note)


def test_a_voi_lut_sequence_is_used(shared):
    data = (shared / "data/dicom_codec_nonchest/vlut_04.dcm").read_bytes()
    dataset = pydicom.dcmread(io.BytesIO(data))
    values = dataset.pixel_array
    table = first_table(values, "voi", dataset)
    bits = dataset.VOILUTSequence[0].LUTDescriptor[2]
    theirs = apply_voi_lut(apply_modality_lut(values, dataset), dataset) / (2**bits - 1)
    assert table.window == "voi_lut"
    assert np.abs(table.apply(values) / display_lut.WHITE - theirs).max() < 1e-4


def test_padding_does_not_set_the_contrast():
    values = xray()
    values[:60] = 4095
    with_tag = first_table(values, "percentile", tags(PixelPaddingValue=4095))
    without = first_table(values, "percentile", tags())
    body = values[60:]
    assert np.ptp(with_tag.apply(body)) > 1.1 * np.ptp(without.apply(body))


def test_mimic_jpg_equals_the_equalisation_of_opencv():
    values = xray()
    ours = first_table(values, "mimic_jpg", tags()).apply(values)
    stretched = np.rint((values - values.min()) / np.ptp(values) * 255).astype(np.uint8)
    assert np.abs(ours / 257 - cv2.equalizeHist(stretched)).max() <= 1.5


def test_signed_values_keep_their_order():
    values = xray().astype(np.int16) - 2000
    table = first_table(values, "minmax", tags())
    assert table.apply(values).min() == 0
    assert (np.diff(table.grey.astype(int)) >= 0).all()


def test_twelve_bits_in_a_sixteen_bit_png_are_neither_black_nor_white():
    encoded = encode.encode(png(xray()), ".png", Shards(format="png"))
    levels = decoded(encoded.data)
    assert levels.min() < 10
    assert levels.max() > 245
    assert encoded.facts["bits"] == 16


@pytest.mark.parametrize("channels", [3, 4])
def test_colour_pngs_become_grey(channels):
    values = np.repeat((xray() >> 4).astype(np.uint8)[..., None], channels, axis=2)
    if channels == 4:
        values[..., 3] = 255
    levels = decoded(encode.encode(png(values), ".png", Shards(format="png")).data)
    assert levels.ndim == 2
    assert np.abs(levels.astype(int) - values[..., 0]).max() <= 1


@pytest.mark.parametrize("name", ["area", "lanczos"])
def test_resizing_is_within_a_grey_level_of_full_size_lanczos(name):
    values = (cv2.GaussianBlur(xray(8, 1600, 1300).astype(np.float32), (0, 0), 2)).astype(np.uint8)
    encoded = encode.encode(png(values), ".png", Shards(format="png", side=256, filter=name))
    size = (encoded.facts["width"], encoded.facts["height"])
    reference = np.asarray(PIL.Image.fromarray(values).resize(size, PIL.Image.Resampling.LANCZOS))
    difference = np.abs(decoded(encoded.data).astype(int) - reference)
    assert difference.mean() <= 1
    assert np.percentile(difference, 99) <= 3


def test_a_fine_grid_does_not_alias():
    y, x = np.mgrid[0:1024, 0:1024]
    grid = ((x + y) // 13).astype(np.uint8)
    smooth = grid + 47
    grid[:, ::2] += 95  # finer than the output can show: it must come out as its mean
    shards = Shards(format="png", side=300)
    found, wanted = (decoded(encode.encode(png(x), ".png", shards).data) for x in (grid, smooth))
    assert (found.astype(int) - wanted).std() < 5


@pytest.mark.parametrize(
    ("resize", "shape"),
    [("shortest", (80, 64)), ("longest", (64, 51)), ("pad", (64, 64))],
)
def test_sides(resize, shape):
    encoded = encode.encode(png(xray()), ".png", Shards(side=64, resize=resize))
    assert (encoded.facts["height"], encoded.facts["width"]) == shape == decoded(encoded.data).shape


@pytest.mark.parametrize(("enlarge", "side"), [(False, 160), (True, 512)])
def test_a_small_image_is_enlarged_only_when_asked(enlarge, side):
    assert encode.encode(png(xray()), ".png", Shards(enlarge=enlarge)).facts["width"] == side


@pytest.mark.parametrize("resize", ["shortest", "longest", "pad"])
def test_boxes_follow_the_pixels(resize):
    values = np.full((400, 300), 40, np.uint8)
    y, x = np.mgrid[0:400, 0:300]
    values += ((x + 3 * y) // 30).astype(np.uint8)  # not two greys alone
    values[120:200, 60:150] = 220
    encoded = encode.encode(png(values), ".png", Shards(format="png", side=128, resize=resize))
    image = Image("0", "x.png", boxes=(SourceBox("Mass", 60, 120, 90, 80),))
    [box] = boxes(image, encoded)
    y, x = np.nonzero(decoded(encoded.data) > 130)
    found = (x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1)
    assert np.abs(np.array(found) - [getattr(box, side) for side in "xywh"]).max() <= 1


def test_boxes_given_in_another_frame_are_scaled():
    encoded = encode.encode(png(xray(8, 224, 224)), ".png", Shards(side=112))
    image = Image("0", "x.png", boxes=(SourceBox("Mass", 512, 256, 128, 64),), frame=(1024, 1024))
    assert boxes(image, encoded) == (Box("Mass", 56.0, 28.0, 14.0, 7.0),)


@pytest.mark.parametrize(
    ("box", "kept"),
    [
        ((100, 100, 100, 60), True),  # 200 x 160: to the edge
        ((100, 100, 109, 67), True),  # less than a twentieth of the side beyond it
        ((100, 100, 111, 60), False),
        ((-9, 0, 9, 9), True),
        ((-11, 0, 9, 9), False),
        ((300, 300, 9, 9), False),  # of a larger image
    ],
)
def test_a_box_that_leads_out_of_its_image_rejects_it(box, kept):
    encoded = encode.encode(png(xray(8, 160, 200)), ".png", Shards(side=64))
    image = Image("0", "x.png", boxes=(SourceBox("Mass", *box),))
    with nullcontext() if kept else pytest.raises(IngestError, match=r"box\.outside"):
        check_boxes(image, encoded)


def bomb() -> bytes:
    header = png(np.zeros((64, 64), np.uint8))
    chunk = b"IHDR" + (60_000).to_bytes(4, "big") * 2 + header[24:29]
    return header[:12] + chunk + zlib.crc32(chunk).to_bytes(4, "big") + header[33:]


@pytest.mark.parametrize(
    ("data", "suffix", "code"),
    [
        pytest.param(b"", ".png", "image.unreadable", id="zero-bytes"),
        pytest.param(b"version https://git-lfs", ".jpg", "image.unreadable", id="lfs-pointer"),
        pytest.param(png(xray())[:-2000], ".png", "image.unreadable", id="cut-png"),
        pytest.param(
            cv2.imencode(".jpg", xray(8).astype(np.uint8))[1].tobytes()[:-900],
            ".jpg",
            "image.unreadable",
            id="cut-jpeg-is-not-filled-with-grey",
        ),
        pytest.param(
            png(np.full((99, 99), 7, np.uint8)), ".png", "image.degenerate", id="constant"
        ),
        pytest.param(png(xray(8, 63, 400)), ".png", "image.degenerate", id="side-below-64"),
        pytest.param(bomb(), ".png", "image.too_large", id="bomb-by-header"),
        pytest.param(b"\x1f\x8bnope", ".dcm.gz", "image.unreadable", id="broken-gzip"),
    ],
)
def test_faults_have_codes(data, suffix, code):
    with pytest.raises(IngestError) as error:
        encode.encode(data, suffix, Shards())
    assert error.value.code == code
