"""The parameters that decide how an image is decoded, windowed, resized and encoded.

This is a protocol: any object with these attributes is accepted. The class of section `shards` of
params.yaml has them, with their defaults; this package does not import it.
"""

from __future__ import annotations

from typing import Literal, Protocol

NoteOrReject = Literal["note", "reject"]


class ImageParameters(Protocol):
    """What the imaging functions read of section `shards`."""

    @property
    def recipe(self) -> Literal["voi", "minmax", "percentile", "mimic_jpg", "chexpert_jpg"]:
        """How stored values become grey (display_lut.py)."""

    @property
    def resize(self) -> Literal["shortest", "longest", "pad"]:
        """Which side becomes `side`; pad: the longest, on a black square."""

    @property
    def side(self) -> int:
        """The wanted length of that side, in pixels."""

    @property
    def filter(self) -> Literal["area", "lanczos"]:
        """The filter for resizing."""

    @property
    def enlarge(self) -> bool:
        """Whether an image smaller than `side` is enlarged."""

    @property
    def format(self) -> Literal["jpg", "png"]:
        """The format of the stored image."""

    @property
    def quality(self) -> int:
        """The quality of a stored JPEG, 1 to 100."""

    @property
    def max_megapixels(self) -> int:
        """The largest image that is decoded, in millions of pixels."""

    @property
    def orient(self) -> Literal["note", "turn"]:
        """Whether a mirrored or rotated frontal image is only noted, or also turned."""

    @property
    def for_processing(self) -> NoteOrReject:
        """What happens to an image with PresentationIntentType FOR PROCESSING."""

    @property
    def body_part(self) -> NoteOrReject:
        """What happens to an image whose BodyPartExamined does not name the chest."""

    @property
    def modality(self) -> NoteOrReject:
        """What happens to an image whose Modality is not CR, DX, RG or RF."""
