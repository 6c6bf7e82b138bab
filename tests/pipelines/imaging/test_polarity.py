"""16-bit PNGs, and pictures whose polarity stands beside the file."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from cxr_vlp.pipelines.config import Shards
from cxr_vlp.pipelines.errors import IngestError
from cxr_vlp.pipelines.format import fingerprints
from cxr_vlp.pipelines.imaging import encode
from cxr_vlp.pipelines.records import Image, Study
from cxr_vlp.pipelines.stages import sample_members


def film(top: int, low: int = 0) -> np.ndarray:
    """A bright body on a dark ground, with values from `low` to `top`."""
    y, x = np.mgrid[0:200, 0:160]
    body = np.exp(-(((x - 80) / 60) ** 4) - ((y - 110) / 90) ** 4)
    grey = body * (0.75 + 0.25 * np.sin(x / 7) * np.cos(y / 9))
    return np.rint(low + grey * (top - low)).astype(np.uint16 if top > 255 else np.uint8)


def file(values: np.ndarray, form: str = ".png") -> bytes:
    return cv2.imencode(form, values)[1].tobytes()


def grey(data: bytes, polarity: str = "", suffix: str = ".png", **shards) -> np.ndarray:
    parameters = Shards(**{"side": 100, "format": "png"} | shards)
    stored = encode.encode(data, suffix, parameters, polarity).data
    return cv2.imdecode(np.frombuffer(stored, np.uint8), cv2.IMREAD_GRAYSCALE).astype(int)


@pytest.mark.parametrize(("top", "low"), [(65535, 0), (4095, 0), (1023, 0), (900, 300), (255, 0)])
def test_the_used_part_of_16_bits_fills_the_grey_scale(top, low):
    shown = grey(file(film(top, low).astype(np.uint16)))
    assert np.abs(shown - grey(file(film(65535)))).max() <= 2
    assert shown.min() <= 2
    assert shown.max() >= 253


def test_a_marker_at_the_end_of_the_range_leaves_the_chest_visible():
    marked = film(4095)
    marked[2:8, 2:12] = 65535
    assert np.abs(grey(file(marked)) - grey(file(film(4095))))[20:].max() <= 6


def test_the_choice_is_noted():
    facts = encode.encode(file(film(4095)), ".png", Shards(side=100)).facts
    assert (facts["window"], facts["bits"], facts["notes"]) == ("percentile", 16, [])


@pytest.mark.parametrize("recipe", ["voi", "minmax", "percentile", "mimic_jpg"])
@pytest.mark.parametrize("top", [4095, 255])
def test_an_inverted_file_becomes_the_same_film(recipe, top):
    values = film(top)
    inverted = values.max() - values
    shown = grey(file(inverted), "inverted", recipe=recipe)
    assert np.abs(shown - grey(file(values), recipe=recipe)).max() <= 3
    assert np.abs(grey(file(inverted), recipe=recipe) - shown).max() > 100


def test_an_inverted_jpeg_is_never_stored_as_it_came():
    data = file(255 - film(255), ".jpg")
    stored = encode.encode(data, ".jpg", Shards(side=160), "inverted")
    assert encode.encode(data, ".jpg", Shards(side=160)).facts["notes"] == []
    assert (stored.facts["notes"], stored.facts["photometric"]) == (
        ["grey.inverted"], "MONOCHROME1",
    )  # fmt: skip
    shown = cv2.imdecode(np.frombuffer(stored.data, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert shown[:10].mean() < 20 < 150 < shown[100:120, 60:100].mean()


@pytest.mark.parametrize("kept", [0.4, 0.9])
def test_a_cut_or_damaged_16_bit_file_is_refused(kept):
    data = bytearray(file(film(4095)))
    cut = bytes(data[: int(kept * len(data))])
    data[int(kept * len(data))] ^= 0xFF
    for broken in (cut, cut + bytes(data[-12:]), bytes(data)):
        with pytest.raises(IngestError, match=r"image\.unreadable"):
            encode.encode(broken, ".png", Shards(side=100))


def test_only_a_stated_polarity_changes_a_fingerprint():
    def of(image: Image) -> str:
        study = Study("a", "b", "c", "train", (image,))
        return sample_members.image_fingerprint(study, image, Shards())

    plain = of(Image("0", "a.png", "1" * 64))
    assert plain == fingerprints.image("1" * 64, Shards().image_parameters())
    assert plain != of(Image("0", "a.png", "1" * 64, polarity="inverted"))
