"""Encodes images as JPEG or PNG, in the way of each collection.

Images are float32 0..1 (bright is dense). MIMIC-CXR-JPG and CheXpert equalise the histogram, NIH
and Open-i do not.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from cxr_vlp.pipelines.synthetic.writing.acquisitions import Storage
from cxr_vlp.pipelines.synthetic.writing.dicom_files import Pixels, Stored, stored_values

Grey = NDArray[np.uint8]


def mimic_jpg(pixels: Pixels, storage: Storage) -> bytes:
    """Return JPEG bytes made as in MIMIC-CXR-JPG.

    Min-max to 0..255, MONOCHROME1 inverted, histogram equalised; no VOI LUT.
    """
    values = stored_values(pixels, bits=storage.bits, photometric=storage.photometric)
    low, high = int(values.min()), int(values.max())
    grey = ((values - low) / max(1, high - low) * 255).astype(np.uint8)
    if storage.photometric == "MONOCHROME1":
        grey = np.invert(grey)
    return jpeg(cv2.equalizeHist(grey))


def chexpert_jpg(pixels: Pixels, *, width: int = 0) -> bytes:
    """Return JPEG bytes made as CheXpert: scaled by the maximum without the minimum, equalised.

    `width` > 0 shrinks to that many columns, as CheXpert-v1.0-small does.
    """
    values = stored_values(pixels, bits=12, photometric="MONOCHROME2")
    grey = cv2.convertScaleAbs(values, alpha=255 / max(1, int(values.max())))
    grey = cv2.equalizeHist(grey)
    if width and grey.shape[1] > width:
        height = max(1, round(grey.shape[0] * width / grey.shape[1]))
        grey = cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA)
    return jpeg(grey)


def eight_bits(pixels: cv2.typing.MatLike) -> Grey:
    """Return the image as uint8, not equalised."""
    return np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)


def jpeg(grey: cv2.typing.MatLike) -> bytes:
    """Return JPEG bytes of quality 95."""
    return cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


def deep_png(values: Stored) -> bytes:
    """Return PNG bytes of 16 bits, whatever range the values have."""
    return cv2.imencode(".png", values)[1].tobytes()


def png(grey: Grey, *, rgba: bool = False) -> bytes:
    """Return PNG bytes, one channel, or four as a few hundred NIH files have."""
    image = cv2.cvtColor(grey, cv2.COLOR_GRAY2BGRA) if rgba else grey
    return cv2.imencode(".png", image)[1].tobytes()
