"""Damages valid image files by a seed, and decodes them as the work of an engine.

The damage is accidental (cut, bits flipped, overwritten) or that of an attacker: other numbers in
the header, another transfer syntax, the pixels of one file after the header of another.
"""

from __future__ import annotations

import contextlib
import random
import resource
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from cxr_vlp.pipelines.config import Shards
from cxr_vlp.pipelines.engines.base import Element
from cxr_vlp.pipelines.errors import IngestError
from cxr_vlp.pipelines.executor.pool import PartPool
from cxr_vlp.pipelines.executor.worker import WorkerState
from cxr_vlp.pipelines.format.sample import key_hash
from cxr_vlp.pipelines.imaging import dicom_file, dicom_pixels, encode

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
    """Remove the end."""
    return data[: chance.randrange(len(data))]


def flips(data: bytes, _: bytes, chance: random.Random) -> bytes:
    """Flip some bits, in the header more often than its size suggests."""
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 3, 20))):
        end = chance.choice((len(data), min(len(data), 2000)))
        changed[chance.randrange(end)] ^= 1 << chance.randrange(8)
    return bytes(changed)


def block(data: bytes, _: bytes, chance: random.Random) -> bytes:
    """Overwrite a block with zeros, ones or noise."""
    start, size = chance.randrange(len(data)), chance.choice((4, 64, 4096))
    filled = chance.choice((bytes(size), b"\xff" * size, chance.randbytes(size)))
    return data[:start] + filled + data[start + size :]


def spliced(data: bytes, other: bytes, chance: random.Random) -> bytes:
    """Join the start of one file and the end of another, at the pixels if both have some."""
    here, there = data.find(PIXELS), other.find(PIXELS)
    if min(here, there) < 0 or chance.random() < 0.3:
        here, there = chance.randrange(len(data)), chance.randrange(len(other))
    return data[:here] + other[there:]


def short(data: bytes, _: bytes, chance: random.Random) -> bytes:
    """Write another number into the header."""
    tag = b"\x28\x00" + chance.choice(SHORTS).to_bytes(2, "little") + b"US\x02\x00"
    return _overwritten(data, tag, chance.choice(NUMBERS).to_bytes(2, "little"))


def frames(data: bytes, _: bytes, chance: random.Random) -> bytes:
    """Insert a number of frames (0028,0008) before Rows."""
    text = str(chance.choice((0, -1, 2, 1000, 10**9))).encode()
    text += b" " * (len(text) % 2)
    element = b"\x28\x00\x08\x00IS" + len(text).to_bytes(2, "little") + text
    at = data.find(b"\x28\x00\x10\x00US")
    return data if at < 0 else data[:at] + element + data[at:]


def syntax(data: bytes, _: bytes, chance: random.Random) -> bytes:
    """Write another transfer syntax (0002,0010), and the matching group length (0002,0000)."""
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
    group_length = int.from_bytes(data[length : length + 4], "little") + len(text) - size
    return changed[:length] + max(0, group_length).to_bytes(4, "little") + changed[length + 4 :]


def sized(data: bytes, _: bytes, chance: random.Random) -> bytes:
    """Write another size into the header of the compressed image: SIZ, SOF or IHDR."""
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
    """The work of an engine: whole files, or a number of mutants of randomly chosen files."""

    paths: tuple[str, ...]
    mutants: int = 0  # per part; 0: the part decodes undamaged files
    parts: int = 1

    def __call__(self, element: Element, worker: WorkerState) -> dict[str, Any]:
        """Return the outcomes of the part's files, and the memory that was used."""
        part = element.name
        number = int(part.rpartition("-")[2])
        outcomes: Counter[str] = Counter()
        for name, data, suffix in self._files(part, number):
            outcomes[_outcome(name, data, suffix, worker)] += 1
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


def _outcome(name: str, data: bytes, suffix: str, worker: WorkerState) -> str:
    """Return "image", a reject code, or the type of an exception without a code."""
    try:
        with worker.decoding(name):
            _encoded(data, suffix)
    except IngestError as error:
        return error.code
    except Exception as error:
        return f"uncoded {type(error).__name__}"
    return "image"


def _encoded(data: bytes, suffix: str) -> None:
    """Encode a file; decode it even if its tags say that it is no chest radiograph."""
    try:
        encode.encode(data, suffix, Shards(side=128))
    except IngestError as error:
        if error.code not in ("dicom.modality",):
            raise
        dataset = dicom_file.parse(data)
        with contextlib.suppress(NotImplementedError):  # an unknown VR: `encode` has a code
            dataset.Modality = dataset.BodyPartExamined = ""
            dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
            dicom_file.check(dataset, Shards().max_megapixels * 1_000_000)
            dicom_pixels.stored_values(dataset)


def suffix_of(path: Path) -> str:
    """Return the suffix by which a file is read: that of an image format, else that of DICOM."""
    if path.suffix == ".gz":
        return ".dcm.gz"
    return path.suffix if path.suffix.lower() in (".png", ".jpg", ".jpeg") else ".dcm"


def results(work: Decoding, names: Sequence[str], pool: PartPool) -> list[dict[str, Any]]:
    """Return the results of the parts, done in a pool; none of them may have a fault."""
    calls = {name: partial(work, Element(name)) for name in names}
    return [outcome["result"] for outcome in pool.outcomes(calls)]


def total(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the sum of the results of all parts."""
    outcomes: Counter[str] = Counter()
    for result in results:
        outcomes.update(result["outcomes"])
    return {
        "outcomes": outcomes,
        "memory": max(result["memory"] for result in results) / 1024,  # MB
    }
