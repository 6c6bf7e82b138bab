"""Measures writing samples to a tar: our writer against tarfile and webdataset's, same content.

    python benchmarks/tar_speed.py [--seconds 10] [--samples 200]

A sample is a 93 kB image, 6 kB of JSON and a caption, the mean at 512 px. Ours also computes the
SHA-256 that the manifest needs. The others are measured without it, and tarfile with it as well.
`plain bytes` writes only the contents: the part of the disk. The figures are ratios to ours.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import random
import sys
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / ".src"))

import timing

from cxr_vlp.pipelines.format import tar as tars

IMAGE, DOCUMENT, CAPTION = 93_000, 6_000, 120  # bytes
Sample = tuple[str, bytes, bytes, bytes]  # key, image, JSON, caption


def main() -> int:
    """Measure, print a table, write it below benchmarks/results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10, help="in all (default: 10)")
    parser.add_argument("--samples", type=int, default=200, help="a tar (default: 200)")
    flags = parser.parse_args()
    content = samples(flags.samples)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.tar"
        check(path, content)
        ways: dict[str, Callable[[Path, Sequence[Sample]], None]] = {
            "ours": ours,
            "tarfile": by_tarfile,
            "tarfile + SHA-256": by_tarfile_digested,
            "webdataset": by_webdataset,
            "plain bytes": plain,
        }
        bound = {name: (lambda p, way=way: way(p, content)) for name, way in ways.items()}
        times = timing.race(bound, [path], seconds=flags.seconds, most=1000)
    rows = timing.compare("one sample", times, to="ours", items=flags.samples)
    timing.publish("tar_speed", rows, packages=("webdataset",), note="CPU time a sample")
    return 0


def samples(number: int) -> list[Sample]:
    """Return samples of random bytes, always the same."""
    rng = random.Random(0)
    return [
        (f"mimic-s{place:08d}-0", *(rng.randbytes(size) for size in (IMAGE, DOCUMENT, CAPTION)))
        for place in range(number)
    ]


def check(path: Path, content: Sequence[Sample]) -> None:
    """Stop where ours and tarfile do not write the same bytes."""
    ours(path, content)
    first = path.read_bytes()
    by_tarfile(path, content)
    if path.read_bytes() != first:
        raise SystemExit("error: ours and tarfile do not write the same tar")


def members(sample: Sample) -> list[tuple[str, bytes]]:
    """Return (name, bytes) in the order of the shard format."""
    key, image, document, caption = sample
    return [(f"{key}.jpg", image), (f"{key}.json", document), (f"{key}.txt", caption)]


def ours(path: Path, content: Sequence[Sample]) -> None:
    """Our writer."""
    with path.open("wb") as stream:
        tar = tars.TarWriter(stream)
        for sample in content:
            for name, data in members(sample):
                tar.add(name, data)
        tar.finish()


def by_tarfile(path: Path, content: Sequence[Sample]) -> None:
    """Python's own writer, without times and owners."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for sample in content:
            for name, data in members(sample):
                info = tarfile.TarInfo(name)
                info.size, info.mode = len(data), 0o444
                tar.addfile(info, io.BytesIO(data))


def by_tarfile_digested(path: Path, content: Sequence[Sample]) -> None:
    """The same, and what was written read and digested."""
    by_tarfile(path, content)
    with path.open("rb") as stream:
        hashlib.file_digest(stream, "sha256")


def by_webdataset(path: Path, content: Sequence[Sample]) -> None:
    """webdataset's writer, given bytes so that it encodes nothing."""
    import webdataset

    with webdataset.TarWriter(str(path), mtime=0, encoder=False) as tar:
        for key, image, document, caption in content:
            tar.write({"__key__": key, "jpg": image, "json": document, "txt": caption})


def plain(path: Path, content: Sequence[Sample]) -> None:
    """The contents one behind the other."""
    with path.open("wb") as stream:
        for _, *parts in content:
            for data in parts:
                stream.write(data)


if __name__ == "__main__":
    raise SystemExit(main())
