"""The standard library alone: `python examples/read_with_tarfile.py data/shards/nih`."""

from __future__ import annotations

import argparse
import json
import tarfile
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path


def samples(folder: Path, split: str) -> Iterator[tuple[str, bytes, str, dict]]:
    """Yield (key, image bytes, caption, JSON member) of every sample of a split."""
    for path in sorted((folder / split).glob("*.tar")):
        with tarfile.open(path) as tar:
            for key, group in groupby(tar, key=lambda member: member.name.partition(".")[0]):
                parts = {m.name.partition(".")[2]: tar.extractfile(m).read() for m in group}
                image = parts["jpg"] if "jpg" in parts else parts["png"]
                yield key, image, parts["txt"].decode(), json.loads(parts["json"])


def main() -> None:
    """Print how many samples a split has, and how many of them mention each label."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shards", type=Path)
    parser.add_argument("--split", default="train")
    flags = parser.parse_args()
    found = list(samples(flags.shards, flags.split))
    if not found:
        raise SystemExit(f"no samples in {flags.shards / flags.split}")
    positive = sum(1 in document["labels"].values() for *_, document in found)
    print(f"{len(found)} samples, {positive} with a positive label")


if __name__ == "__main__":
    main()
