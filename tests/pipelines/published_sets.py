"""Small sets that tests of object stores publish and read again."""

from __future__ import annotations

from pathlib import Path

from cxr_vlp.pipelines.files import atomic_dir, jsonl
from cxr_vlp.pipelines.storage import objects, publication

OWNER = "texts.json"


def files_of(version: str) -> dict[str, bytes]:
    """Return the files of a version of a set: some are the same in all, one is new in each."""
    return {
        OWNER: jsonl.json_bytes({"source": "x", "version": version}),
        "train/a.jsonl": f'"a {version}"\n'.encode(),
        "train/same.jsonl": b'"same"\n',
        f"train/{version}.jsonl": b'"only here"\n',
    }


def publish(out: Path, version: str) -> None:
    files = files_of(version)
    with atomic_dir.publishing(out, OWNER, resume=True) as staging:
        for name, data in files.items():
            with jsonl.replacing(staging / name) as stream:
                stream.write(data)
        jsonl.write_json(staging / ".results" / "x.json", {})
        atomic_dir.keep_only(staging, set(files))


def read(out: Path) -> dict[str, bytes]:
    """Return the files of an output as a reader finds them."""
    folder = publication.folder_of(out, OWNER)
    return {each.name: (folder / each.name).read_bytes() for each in objects.listing(folder)}
