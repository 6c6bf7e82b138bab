"""A JPEG that is small enough is stored unchanged, with nothing but the image in it."""

from __future__ import annotations

import io

import cv2
import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_vlp.pipelines.config import Shards
from cxr_vlp.pipelines.errors import IngestError
from cxr_vlp.pipelines.imaging import encode, jpeg_strip

CANARY = b"CANARY^JANE"


def levels(height: int = 130, width: int = 100) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    return np.rint(128 + 90 * np.sin(x / 9) * np.cos(y / 14)).astype(np.uint8)


def jpeg(image: np.ndarray | None = None, **options) -> bytes:
    image = PIL.Image.fromarray(levels() if image is None else image)
    image.save(out := io.BytesIO(), "JPEG", **{"quality": 80, **options})
    return out.getvalue()


def decoded(data: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)


def exif() -> bytes:
    tags = PIL.Image.Exif()
    tags[0x010E] = CANARY.decode()  # ImageDescription
    return tags.tobytes()


WITH_NAMES = {
    "comment": jpeg(comment=CANARY),
    "exif": jpeg(exif=exif()),
    "behind-the-end": jpeg() + CANARY,
    "application-segment": jpeg()[:2] + b"\xff\xef\x00\x0d" + CANARY + jpeg()[2:],
    "comment-between-scans": jpeg(progressive=True).replace(
        b"\xff\xda", b"\xff\xfe\x00\x0d" + CANARY + b"\xff\xda"
    ),
}


@pytest.mark.parametrize("data", WITH_NAMES.values(), ids=WITH_NAMES)
def test_only_the_image_is_stored(data):
    assert CANARY in data
    encoded = encode.encode(data, ".jpg", Shards())
    assert CANARY not in encoded.data
    assert np.array_equal(decoded(encoded.data), decoded(data))
    assert jpeg_strip.stripped(data, 95) == encoded.data


@pytest.mark.parametrize(
    "options",
    [{}, {"progressive": True}, {"optimize": True}, {"restart_marker_blocks": 3}],
    ids=lambda o: "-".join(o) or "baseline",
)
def test_the_image_is_the_source_bit_for_bit(options):
    data = jpeg(**options)
    stored = encode.encode(data, ".jpg", Shards()).data
    assert len(stored) < len(data)
    assert np.array_equal(decoded(stored), decoded(data))
    assert np.array_equal(np.asarray(PIL.Image.open(io.BytesIO(stored))), decoded(data))
    again = cv2.imencode(".jpg", decoded(data), [cv2.IMWRITE_JPEG_QUALITY, 95])[1]
    assert not np.array_equal(decoded(again.tobytes()), decoded(data))  # encoding anew would lose


def test_a_jpeg_stored_unchanged_has_the_usual_facts():
    facts = encode.encode(jpeg(), ".jpg", Shards()).facts
    assert facts == {
        "height": 130, "width": 100, "source_height": 130, "source_width": 100,
        "photometric": "", "bits": 8, "window": "stored", "recipe": "voi",
        "aspect": 1.0, "turned": "", "notes": [],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("data", "shards"),
    [
        pytest.param(jpeg(quality=97), Shards(), id="finer-than-asked"),
        pytest.param(jpeg(), Shards(quality=70), id="less-is-asked"),
        pytest.param(jpeg(), Shards(side=64), id="too-large"),
        pytest.param(jpeg(), Shards(enlarge=True), id="to-be-enlarged"),
        pytest.param(jpeg(), Shards(resize="pad", side=130), id="to-be-padded"),
        pytest.param(jpeg(), Shards(format="png"), id="another-form"),
        pytest.param(jpeg(), Shards(recipe="percentile"), id="another-contrast"),
        pytest.param(jpeg(np.stack([levels()] * 3, 2)), Shards(), id="colour"),
    ],
)
def test_an_image_that_must_change_is_encoded_again(data, shards):
    stored = encode.encode(data, ".jpg", shards).data
    assert stored != jpeg_strip.stripped(data, 100)
    assert decoded(stored).ndim == 2


def test_only_an_upright_jpeg_is_stored_unchanged():
    """OpenCV applies the Exif orientation; stripping would remove the tag."""
    tags = PIL.Image.Exif()
    tags[0x0112] = 6
    encoded = encode.encode(jpeg(exif=tags.tobytes()), ".jpg", Shards())
    assert (encoded.facts["height"], encoded.facts["width"]) == (100, 130)
    assert np.abs(decoded(encoded.data).astype(int) - np.rot90(levels(), -1)).max() < 20


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\xff\xd8", id="start-alone"),
        pytest.param(jpeg()[:-2], id="no-end"),
        pytest.param(jpeg()[:40] + b"\xff\xd9", id="no-scan"),
        pytest.param(jpeg().replace(b"\xff\xc0", b"\xff\xc9", 1), id="arithmetic-coding"),
        pytest.param(jpeg()[:-2] + jpeg()[2:], id="two-images-in-one"),
    ],
)
def test_a_jpeg_of_unusual_structure_is_not_stored_unchanged(data):
    assert jpeg_strip.stripped(data, 100) is None


def outcome(data: bytes) -> str:
    try:
        encode.encode(data, ".jpg", Shards())
    except IngestError as error:
        return error.code
    return ""


@given(st.data())
def test_damage_never_raises_and_never_grows(data):
    whole = jpeg()
    at = data.draw(st.integers(0, len(whole) - 1))
    byte = data.draw(st.integers(0, 255))
    damaged = whole[:at] + bytes([byte]) + whole[at + 1 :]
    kept = jpeg_strip.stripped(damaged, 95)
    assert kept is None or len(kept) <= len(damaged)
    codes = ("unreadable", "degenerate", "too_large", "implausible")
    assert outcome(damaged) in ("", *(f"image.{code}" for code in codes))
