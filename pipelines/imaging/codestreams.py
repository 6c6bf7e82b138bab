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
    process: int = 0  # of a JPEG: the second byte of its start of frame (T.81 table B.1)
    precision: int = 0  # of a JPEG: bits of a value
    names: bytes = b""  # of a JPEG: the components' identifiers
    subsampled: bool = False  # of a JPEG: some component has fewer pixels than another
    frame: int = 0  # of a JPEG: where its start of frame lies
    transform: int = -1  # what a JPEG's application segments say: 0 none, 1 YCbCr, -1 nothing

    @property
    def is_sequential(self) -> bool:
        """Whether it is an 8-bit JPEG of the usual kind, which libjpeg decodes by lines."""
        return self.process in (0xC0, 0xC1, 0xC2) and self.precision == 8


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
    at, transform = 2, -1
    while at + 9 < len(frame) and frame[at] == 0xFF:
        marker = frame[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
        elif marker in _ALONE:
            at += 2
        elif marker in _STARTS:
            return _start_of_frame(frame, at, transform)
        else:
            length = int.from_bytes(frame[at + 2 : at + 4], "big")
            body = frame[at + 4 : at + 2 + length]
            if marker == 0xE0 and body.startswith(b"JFIF\0") and transform < 0:
                transform = 1
            elif marker == 0xEE and body.startswith(b"Adobe") and len(body) >= 12:
                transform = int(body[11] == 1)
            at += 2 + length
    return None


def _start_of_frame(frame: bytes, at: int, transform: int) -> Declared:
    segment, marker = frame[at : at + 10 + 3 * frame[at + 9]], frame[at + 1]
    height, width = (int.from_bytes(segment[a : a + 2], "big") for a in (5, 7))
    channels = segment[9]
    components = segment[10 : 10 + 3 * channels]
    return Declared(
        height, width, channels, marker, segment[4], names=components[::3],
        subsampled=len(set(components[1::3])) > 1, frame=at, transform=transform,
    )  # fmt: skip
