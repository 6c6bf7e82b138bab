"""Sound files and a seed in, damaged ones out, and a crew's work that decodes them.

The damage is what the wild does (cut, flipped, overwritten) and what an attacker would do: numbers
of the header rewritten, another transfer syntax named, one file's pixels behind another's header.
"""

from __future__ import annotations

import contextlib
import random
import resource
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxr_vlp.pipelines.config import Shards
from cxr_vlp.pipelines.errors import IngestError
from cxr_vlp.pipelines.executor.worker import Desk
from cxr_vlp.pipelines.format.sample import key_hash
from cxr_vlp.pipelines.imaging import dicom_header, dicom_pixels, encode

Damage = Callable[[bytes, bytes, random.Random], bytes]

NUMBERS = (0, 1, 2, 3, 7, 16, 32, 63, 255, 4096, 30_000, 65_535)
# Samples per Pixel, Planar Configuration, Rows, Columns, Bits Allocated, Stored, High Bit, Pixel
# Representation: group 0028, VR US, two bytes
SHORTS = (0x0002, 0x0006, 0x0010, 0x0011, 0x0100, 0x0101, 0x0102, 0x0103)
SYNTAXES = (
    "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2",
    "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51",
    "1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91", "1.2.840.10008.1.2.4.201",
    "1.2.840.10008.1.2.4.102", "1.2.3",
)  # fmt: skip
PIXELS = b"\xe0\x7f\x10\x00"


def cut(data: bytes, _: bytes, chance: random.Random) -> bytes:
    """Lose the end."""
    return data[: chance.randrange(len(data))]


def flips(data: bytes, _: bytes, chance: random.Random) -> bytes:
    """Turn some bits over, more of them in the header than their share."""
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 3, 20))):
        end = chance.choice((len(data), min(len(data), 2000)))
        changed[chance.randrange(end)] ^= 1 << chance.randrange(8)
    return bytes(changed)


def block(data: bytes, _: bytes, chance: random.Random) -> bytes:
    """Overwrite a stretch with zeros, with ones or with noise."""
    start, size = chance.randrange(len(data)), chance.choice((4, 64, 4096))
    filled = chance.choice((bytes(size), b"\xff" * size, chance.randbytes(size)))
    return data[:start] + filled + data[start + size :]


def spliced(data: bytes, other: bytes, chance: random.Random) -> bytes:
    """Put the end of one file behind the beginning of another, at the pixels where there are."""
    here, there = data.find(PIXELS), other.find(PIXELS)
    if min(here, there) < 0 or chance.random() < 0.3:
        here, there = chance.randrange(len(data)), chance.randrange(len(other))
    return data[:here] + other[there:]


def short(data: bytes, _: bytes, chance: random.Random) -> bytes:
    """Write another number into the header."""
    tag = b"\x28\x00" + chance.choice(SHORTS).to_bytes(2, "little") + b"US\x02\x00"
    return _overwritten(data, tag, chance.choice(NUMBERS).to_bytes(2, "little"))


def frames(data: bytes, _: bytes, chance: random.Random) -> bytes:
    """Say that there are so many frames (0028,0008); it stands before Rows."""
    text = str(chance.choice((0, -1, 2, 1000, 10**9))).encode()
    text += b" " * (len(text) % 2)
    element = b"\x28\x00\x08\x00IS" + len(text).to_bytes(2, "little") + text
    at = data.find(b"\x28\x00\x10\x00US")
    return data if at < 0 else data[:at] + element + data[at:]


def syntax(data: bytes, _: bytes, chance: random.Random) -> bytes:
    """Name another transfer syntax (0002,0010), the group's length (0002,0000) following it."""
    at = data.find(b"\x02\x00\x10\x00UI")
    if at < 0:
        return data
    size = int.from_bytes(data[at + 6 : at + 8], "little")
    text = chance.choice(SYNTAXES).encode()
    text += b"\0" * (len(text) % 2)
    changed = data[: at + 6] + len(text).to_bytes(2, "little") + text + data[at + 8 + size :]
    length = data.find(b"\x02\x00\x00\x00UL\x04\x00") + 8
    if length < 8:
        return changed
    told = int.from_bytes(data[length : length + 4], "little") + len(text) - size
    return changed[:length] + max(0, told).to_bytes(4, "little") + changed[length + 4 :]


def sized(data: bytes, _: bytes, chance: random.Random) -> bytes:
    """Write another size into the picture's own header: SIZ, SOF or IHDR."""
    number = chance.choice(NUMBERS)
    places = ((b"\xff\x4f\xff\x51", 8, 4), (b"\xff\xc0", 5, 2), (b"\xff\xc3", 5, 2),
              (b"\xff\xf7", 5, 2), (b"IHDR", 4, 4))  # fmt: skip
    for mark, offset, width in places:
        at = data.find(mark)
        if at >= 0:
            start = at + offset + width * chance.randrange(2)
            return data[:start] + number.to_bytes(width, "big") + data[start + width :]
    return data


def _overwritten(data: bytes, tag: bytes, value: bytes) -> bytes:
    at = data.find(tag)
    return data if at < 0 else data[: at + len(tag)] + value + data[at + len(tag) + len(value) :]


DAMAGE: tuple[Damage, ...] = (cut, flips, block, spliced, short, short, frames, syntax, sized)


@dataclass(frozen=True)
class Decoding:
    """A crew's work: whole files, or so many mutants of files that its seed draws."""

    paths: tuple[str, ...]
    mutants: int = 0  # a part; 0: the part decodes the whole files of its number
    parts: int = 1

    def __call__(self, part: str, desk: Desk) -> dict[str, Any]:
        """Return what became of the part's files, and the memory that took."""
        number = int(part.rpartition("-")[2])
        outcomes: Counter[str] = Counter()
        for name, data, suffix in self._files(part, number):
            outcomes[_outcome(name, data, suffix, desk)] += 1
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return {"outcomes": dict(outcomes), "memory": memory}

    def _files(self, part: str, number: int) -> Any:
        if not self.mutants:
            for path in map(Path, self.paths[number :: self.parts]):
                yield key_hash(path.name), path.read_bytes(), suffix_of(path)
            return
        for place in range(self.mutants):
            chance = random.Random(f"{part}/{place}")
            path, other = (Path(chance.choice(self.paths)) for _ in range(2))
            damage = chance.choice(DAMAGE)
            data = damage(path.read_bytes(), other.read_bytes(), chance)
            yield key_hash(f"{part}/{place}"), data, suffix_of(path)


def _outcome(name: str, data: bytes, suffix: str, desk: Desk) -> str:
    """Return "picture", a code, or the type of an exception that has none."""
    try:
        with desk.holding(name):
            _encoded(data, suffix)
    except IngestError as error:
        return error.code
    except Exception as error:
        return f"uncoded {type(error).__name__}"
    return "picture"


def _encoded(data: bytes, suffix: str) -> None:
    """Encode a file; one that is no chest film by its tags is decoded all the same."""
    try:
        encode.encode(data, suffix, Shards(side=128))
    except IngestError as error:
        if error.code not in ("dicom.modality",):
            raise
        dataset = dicom_header.parse(data)
        with contextlib.suppress(NotImplementedError):  # a VR there is not: `encode` has a code
            dataset.Modality = dataset.BodyPartExamined = ""
            dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
            dicom_header.check(dataset, Shards().max_megapixels * 1_000_000)
            dicom_pixels.stored_values(dataset)


def suffix_of(path: Path) -> str:
    """Return the ending that tells how a file is read: pictures by theirs, the rest as DICOM."""
    if path.suffix == ".gz":
        return ".dcm.gz"
    return path.suffix if path.suffix.lower() in (".png", ".jpg", ".jpeg") else ".dcm"


def total(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the results of all parts in one."""
    outcomes: Counter[str] = Counter()
    for result in results:
        outcomes.update(result["outcomes"])
    return {
        "outcomes": outcomes,
        "memory": max(result["memory"] for result in results) / 1024,  # MB
    }
