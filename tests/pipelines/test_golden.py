"""Bytes must not change without an epoch: nobody pays 57 core-hours for a comment.

When a test here fails and the change of bytes is meant, raise the epoch it names in
pipelines/epochs.py and put the new digest here. A new version of a codec changes pictures too: it
is in the fingerprint by itself, so then only the digest moves.
"""

from __future__ import annotations

import hashlib

import cv2
import numpy as np
import pytest

from nlp import lexicon
from pipelines import epochs, fingerprints, pixels
from pipelines.lookalike import dicoms as writing
from pipelines.params import Shards


def film() -> np.ndarray:
    y, x = np.mgrid[0:300, 0:240]
    return ((np.sin(x / 19) * np.cos(y / 31) + 1) * 1900).astype(np.uint16)


def dicom(photometric: str) -> bytes:
    header = writing.Header("19999001", "59999001", "0", windows=((1800.0, 2500.0),))
    return writing.file_bytes(
        film(), bits=12, photometric=photometric, syntax=writing.SYNTAXES[0], header=header
    )


PIXELS = {
    ("voi", "jpg"): "506592988d124fff",
    ("voi", "png"): "7a7e144d77e871e4",
    ("percentile", "png"): "7a772f7be180866c",
    ("mimic_jpg", "png"): "b31b940ccf00bcf4",
}


@pytest.mark.parametrize(("recipe", "form"), PIXELS)
def test_pixels(recipe, form):
    encoded = pixels.encode(
        dicom("MONOCHROME1"), ".dcm", Shards(recipe=recipe, format=form, size=128)
    )
    found = hashlib.sha256(encoded.data).hexdigest()[:16]
    assert (epochs.PIXELS, found) == (1, PIXELS[recipe, form])


def test_a_display_picture():
    data = cv2.imencode(".png", (film() >> 4).astype(np.uint8))[1].tobytes()
    encoded = pixels.encode(data, ".png", Shards(resize="pad", size=128, format="png"))
    found = hashlib.sha256(encoded.data).hexdigest()[:16]
    assert (epochs.PIXELS, found) == (1, "feb14692174e21e5")


def test_parameters_that_change_pixels_are_in_the_fingerprint_and_others_are_not():
    base = fingerprints.image("0" * 64, Shards())
    for change in ({"size": 256}, {"recipe": "minmax"}, {"quality": 90}, {"resize": "pad"},
                   {"filter": "lanczos"}, {"format": "png"}, {"enlarge": True}):  # fmt: skip
        assert fingerprints.image("0" * 64, Shards(**change)) != base
    for change in ({"caption": ("prompt",)}, {"sections": ()}, {"max_megapixels": 9}):
        assert fingerprints.image("0" * 64, Shards(**change)) == base
    assert fingerprints.image("1" * 64, Shards()) != base


def test_the_lexicon_is_in_the_text_fingerprint():
    from pipelines.params import Texts

    base = fingerprints.text("0" * 64, {"Edema": 1}, Texts(), lexicon.digest())
    assert fingerprints.text("0" * 64, {"Edema": 1}, Texts(), "other") != base
    assert fingerprints.text("0" * 64, {"Edema": 0}, Texts(), lexicon.digest()) != base
    assert fingerprints.text("0" * 64, {"Edema": 1}, Texts(seed=1), lexicon.digest()) != base
