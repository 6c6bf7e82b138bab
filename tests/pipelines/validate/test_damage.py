"""Every cut and every flipped bit is detected, in the tars and in the files beside them.

The default run tests a sample of the changes; the slow tests test all of them.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from breaking import flipped, restate, tar_of

from cxr_vlp.pipelines.files import jsonl
from cxr_vlp.pipelines.format import manifest
from cxr_vlp.pipelines.format.errors import FormatError
from cxr_vlp.pipelines.validate import manifest as declared
from cxr_vlp.pipelines.validate.shard import check_tar

BESIDE = (manifest.NAME, manifest.REJECTS, "train/sizes.json", "validate/sizes.json")


@pytest.fixture
def good(built, tmp_path) -> Path:
    """A set, with a reject of the `shards` step so that its reject file is not empty."""
    folder = tmp_path / "mimic"
    shutil.copytree(built / "shards" / "mimic", folder)
    header = dict(declared.read(folder).header)
    row = {"code": "image.missing", "images": 1, "key_hash": "0123456789abcdef", "step": "scan"}
    kept = [*jsonl.read_records(folder / manifest.REJECTS), row]
    jsonl.write_records(folder / manifest.REJECTS, kept)
    lost = dict(header["dropped"])
    lost["scan image.missing"] = lost.get("scan image.missing", 0) + 1
    restate(folder, listed=header["listed"] + 1, dropped=lost)
    assert not seen(folder)
    return folder


def seen(folder: Path) -> bool:
    """Tell whether the files beside the tars are found broken."""
    try:
        return any(declared.breaches(declared.read(folder)))
    except FormatError:
        return True


def tar_seen(folder: Path, path: Path) -> bool:
    """Tell whether a tar is found broken."""
    a_set = declared.read(folder)
    line = next(line for line in a_set.tars if line["name"] == path.name)
    return bool(check_tar(path, line, a_set.expected(line), deep=False).breaches)


def cuts(whole: bytes, step: int) -> Iterator[bytes]:
    return (whole[:end] for end in range(0, len(whole), step))


def flips(whole: bytes, number: int, seed: int) -> Iterator[bytes]:
    chance = random.Random(seed)
    return (flipped(whole, chance.randrange(8 * len(whole))) for _ in range(number))


def unseen_in_tar(folder: Path, path: Path, damaged: Iterator[bytes]) -> int:
    whole = path.read_bytes()
    assert not tar_seen(folder, path)
    unseen = 0
    for data in damaged:
        path.write_bytes(data)
        unseen += not tar_seen(folder, path)
    path.write_bytes(whole)
    return unseen


def unseen_beside(folder: Path, path: Path, damaged: Iterator[bytes]) -> int:
    whole = path.read_bytes()
    unseen = 0
    for data in damaged:
        if data.strip() != whole.strip():  # the last line end does not matter
            path.write_bytes(data)
            unseen += not seen(folder)
    path.write_bytes(whole)
    return unseen


def test_a_cut_at_any_block_of_a_tar(good):
    path = tar_of(good)
    whole = path.read_bytes()
    step = max(512, len(whole) // 60 // 512 * 512)
    assert unseen_in_tar(good, path, cuts(whole, step)) == 0


def test_a_flipped_bit_anywhere_in_a_tar(good):
    path = tar_of(good)
    assert unseen_in_tar(good, path, flips(path.read_bytes(), 150, 0)) == 0


def test_flipped_bits_with_a_matching_digest_do_not_crash_verify(good):
    """A hostile tar may have the right digest: verify must not crash, valid or not."""
    path = tar_of(good)
    whole = path.read_bytes()
    a_set = declared.read(good)
    line = next(line for line in a_set.tars if line["name"] == path.name)
    found = 0
    for data in flips(whole, 150, 1):
        path.write_bytes(data)
        own = line | {"sha256": jsonl.sha256(path)}
        found += bool(check_tar(path, own, a_set.expected(line), deep=True).breaches)
    assert found > 0


@pytest.mark.parametrize("name", BESIDE)
def test_cuts_of_the_files_beside_the_tars(good, name):
    path = good / name
    whole = path.read_bytes()
    assert unseen_beside(good, path, cuts(whole, max(1, len(whole) // 60))) == 0


@pytest.mark.parametrize("name", BESIDE)
def test_flipped_bits_of_the_files_beside_the_tars(good, name):
    path = good / name
    assert unseen_beside(good, path, flips(path.read_bytes(), 200, 2)) == 0


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_every_cut_at_a_block_and_a_thousand_flips_of_every_tar(good):
    for path in sorted(good.glob("*/*.tar")):
        whole = path.read_bytes()
        assert unseen_in_tar(good, path, cuts(whole, 512)) == 0
        assert unseen_in_tar(good, path, flips(whole, 1000, 3)) == 0


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("name", BESIDE)
def test_every_cut_and_every_bit_of_the_files_beside_the_tars(good, name):
    path = good / name
    whole = path.read_bytes()
    assert unseen_beside(good, path, cuts(whole, 1)) == 0
    every = (flipped(whole, bit) for bit in range(8 * len(whole)))
    assert unseen_beside(good, path, every) == 0
