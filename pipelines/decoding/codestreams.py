"""A compressed frame in, the size that it declares itself out; nothing is decoded.

A decoder allocates what the codestream says, whatever the DICOM header around it says: 1,314 bytes
of JPEG 2000 can ask for gigabytes.
"""

from __future__ import annotations

from dataclasses import dataclass

_J2K = b"\xff\x4f\xff\x51"  # start of codestream, then the marker of its SIZ segment
_JP2_BOX = b"jp2c"  # the codestream's box, where a whole JP2 file was put into the frame
_STARTS = {  # start of frame: width and height follow (T.81 B.2.2, T.87 C.2.2); C4, C8, CC are none
    *range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0), 0xF7,
}  # fmt: skip
_ALONE = {0x01, *range(0xD0, 0xD9)}  # markers without a segment


@dataclass(frozen=True, slots=True)
class Declared:
    """What a codestream says of itself."""

    height: int
    width: int
    channels: int


def declared(frame: bytes) -> Declared | None:
    """Return what a JPEG, JPEG-LS or JPEG 2000 frame declares; None where it is none of them."""
    if frame.startswith(b"\xff\xd8"):
        return _jpeg(frame)
    box = frame.find(_JP2_BOX, 0, 4096) if frame[4:8] == b"jP  " else -4
    start = box + 4
    return _jpeg_2000(frame[start : start + 42]) if frame.startswith(_J2K, start) else None


def _jpeg_2000(head: bytes) -> Declared | None:
    """Read SIZ (15444-1 A.5.1): the grid's size less the offset of the picture on it."""
    if len(head) < 42:
        return None
    right, bottom, left, top = (int.from_bytes(head[a : a + 4], "big") for a in (8, 12, 16, 20))
    return Declared(bottom - top, right - left, int.from_bytes(head[40:42], "big"))


def _jpeg(frame: bytes) -> Declared | None:
    at = 2
    while at + 9 < len(frame) and frame[at] == 0xFF:
        marker = frame[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
        elif marker in _ALONE:
            at += 2
        elif marker in _STARTS:
            height, width = (int.from_bytes(frame[a : a + 2], "big") for a in (at + 5, at + 7))
            return Declared(height, width, frame[at + 9])
        else:
            at += 2 + int.from_bytes(frame[at + 2 : at + 4], "big")
    return None
