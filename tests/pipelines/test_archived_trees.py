"""Whole runs on trees in archives give the shards of the unpacked tree, byte by byte."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from archiving import files_of, pieces, split_off, tarred, zipped
from stages import build, tree_bytes

from cxr_vlp.pipelines import verify
from cxr_vlp.pipelines.format import manifest


def pack_whole_zip(tree: Path, root: Path) -> None:
    zipped(root / "download.zip", files_of(tree))


def pack_stored_zip_below_a_folder(tree: Path, root: Path) -> None:
    files = {f"top/{name}": data for name, data in files_of(tree).items()}
    zipped(root / "some folder" / "Download (1).ZIP", files, zipfile.ZIP_STORED)


def pack_whole_tar(tree: Path, root: Path) -> None:
    tarred(root / "download.tar", {f"./{name}": data for name, data in files_of(tree).items()})


def pack_batches_and_loose_tables(tree: Path, root: Path) -> None:
    """As AIMI's batches and NIH's images_0NN: images in several archives, tables beside them."""
    images, tables = split_off(files_of(tree), (".jpg", ".png", ".dcm"))
    for number, batch in enumerate(pieces(images, 3)):
        pack = tarred if number == 1 else zipped
        pack(root / f"batch {number} (train).{'tar' if number == 1 else 'zip'}", batch)
    for name, data in tables.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)


PACKINGS = [
    pack_whole_zip,
    pack_stored_zip_below_a_folder,
    pack_whole_tar,
    pack_batches_and_loose_tables,
]


CASES = [
    (name, pack)
    for name, chosen in {
        "nih": PACKINGS,
        "chexpert": [pack_batches_and_loose_tables, pack_whole_tar],
        "mimic": [pack_whole_zip, pack_batches_and_loose_tables],
        "openi": [pack_whole_zip],
    }.items()
    for pack in chosen
]


@pytest.mark.parametrize(("name", "pack"), CASES)
def test_an_archived_tree_gives_the_same_shards(tmp_path, raw, built, name, pack):
    pack(raw / name, tmp_path / "raw")
    made = build(tmp_path / "raw", name, tmp_path / "out")
    assert tree_bytes(made) == tree_bytes(built / "shards" / name)
    assert manifest.read(made)[0]["written"] > 5
    assert verify.check([made], deep=True)["breaches"] == []
