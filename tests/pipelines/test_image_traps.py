"""More headers that lie and files that are broken, each named after the trap it was."""

from __future__ import annotations

import numpy as np
import pytest
from test_dicom_faults import NO_WINDOW, code, dataset, eight, film, near, right, saved, shown


def test_a_stencil_of_bytes_is_refused_and_not_read_as_signed():
    """0 and 255 came out as 0 and -1, in signed bytes, which OpenCV cannot resize."""
    stencil = np.where(np.kron(eight(), np.ones((3, 3))) > 128, 255, 0).astype(np.uint8)
    assert code(saved(dataset(stencil))) == "image.implausible"


def test_signed_bytes_are_read():
    signed = (eight().astype(np.int16) - 128).astype(np.int8)
    large = np.kron(signed, np.ones((3, 3), np.int8))
    image, _ = shown(saved(dataset(large, PixelRepresentation=1)))
    assert np.corrcoef(image.ravel(), right().ravel())[0, 1] > 0.99


@pytest.mark.parametrize("windowed", [True, False])
def test_bytes_in_the_other_order_are_turned_round(windowed):
    elements = {} if windowed else NO_WINDOW
    image, facts = shown(saved(dataset(film().byteswap(), **elements)))
    assert near(image, shown(saved(dataset(**elements)))[0])
    assert facts["notes"] == ["dicom.bits_wrong"]
