"""Bytes must not change without a new version number: rebuilding MIMIC-CXR takes 57 core-hours.

If a test here fails and the change of bytes is intended, raise the version that it names in
pipelines/format/versions.py and put the new digest here. A new release of a codec changes images
too. The release is part of the fingerprint, so then only the digest here changes.
"""

from __future__ import annotations

import hashlib

import cv2
import numpy as np
import pytest
from pydicom.uid import UID, JPEG2000Lossless

from cxr_vlp.nlp import lexicon
from cxr_vlp.pipelines.config import Shards
from cxr_vlp.pipelines.format import fingerprints, versions
from cxr_vlp.pipelines.imaging import encode
from cxr_vlp.pipelines.synthetic.writing import dicom_files as writing


def image() -> np.ndarray:
    y, x = np.mgrid[0:603, 0:481]  # large enough to be halved, and odd
    return ((np.sin(x / 38) * np.cos(y / 62) + 1) * 1900).astype(np.uint16)


def dicom(photometric: str, syntax: UID = writing.SYNTAXES[0]) -> bytes:
    header = writing.Header("19999001", "59999001", "0", windows=((1800.0, 2500.0),))
    return writing.file_bytes(
        image(), bits=12, photometric=photometric, syntax=syntax, header=header
    )


def encoded_image(form: str) -> bytes:
    options = [cv2.IMWRITE_JPEG_QUALITY, 90]
    return cv2.imencode(form, (image() >> 4).astype(np.uint8), options)[1].tobytes()


PIXELS = {
    ("voi", "jpg"): "1d144efbfc0f78d1",
    ("voi", "png"): "5ba39183fb9f9d38",
    ("percentile", "png"): "0233d0353ba84935",
    ("mimic_jpg", "png"): "7242b91af8509d48",
}


def digest(data: bytes, suffix: str, shards: Shards) -> str:
    return hashlib.sha256(encode.encode(data, suffix, shards).data).hexdigest()[:16]


@pytest.mark.parametrize(("recipe", "form"), PIXELS)
def test_pixels(recipe, form):
    found = digest(dicom("MONOCHROME1"), ".dcm", Shards(recipe=recipe, format=form, side=128))
    assert (versions.PIXELS, found) == (3, PIXELS[recipe, form])


def test_a_wavelet_image():
    data = dicom("MONOCHROME2", JPEG2000Lossless)
    found = digest(data, ".dcm", Shards(side=128, format="png"))
    assert (versions.PIXELS, found) == (3, "fd1653a57e48be65")


@pytest.mark.parametrize(
    ("form", "size", "expected"),
    [
        pytest.param(".png", 128, "936eb915f20d6e5f", id="png"),
        pytest.param(".jpg", 128, "c8f17be11dfdaf9a", id="jpg"),
        pytest.param(".jpg", 604, "ea086335a7d0eac2", id="jpg-as-it-came"),
    ],
)
def test_png_and_jpeg_images(form, size, expected):
    resize = "pad" if size == 128 else "longest"
    found = digest(encoded_image(form), form, Shards(resize=resize, side=size))
    assert (versions.PIXELS, found) == (3, expected)


def test_only_parameters_that_change_pixels_are_in_the_fingerprint():
    base = fingerprints.image("0" * 64, Shards().image_parameters())
    for change in ({"side": 256}, {"recipe": "minmax"}, {"quality": 90}, {"resize": "pad"},
                   {"filter": "lanczos"}, {"format": "png"}, {"enlarge": True},
                   {"orient": "turn"}):  # fmt: skip
        assert fingerprints.image("0" * 64, Shards(**change).image_parameters()) != base
    for change in ({"caption": ("prompt",)}, {"sections": ()}, {"max_megapixels": 9},
                   {"body_part": "reject"}, {"modality": "reject"},
                   {"for_processing": "reject"}):  # fmt: skip
        assert fingerprints.image("0" * 64, Shards(**change).image_parameters()) == base
    assert fingerprints.image("1" * 64, Shards().image_parameters()) != base


def test_the_lexicon_is_in_the_text_fingerprint():
    from cxr_vlp.pipelines.config import Texts

    base = fingerprints.text("0" * 64, {"Edema": 1}, Texts().text_parameters(), lexicon.digest())
    assert fingerprints.text("0" * 64, {"Edema": 1}, Texts().text_parameters(), "other") != base
    assert (
        fingerprints.text("0" * 64, {"Edema": 0}, Texts().text_parameters(), lexicon.digest())
        != base
    )
    assert (
        fingerprints.text("0" * 64, {"Edema": 1}, Texts(seed=1).text_parameters(), lexicon.digest())
        != base
    )
