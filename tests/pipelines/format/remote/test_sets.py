"""The copy of a set's small files: one version of it, whole, or a refusal."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import buckets
import pytest

from cxr_vlp.pipelines.format import manifest
from cxr_vlp.pipelines.format.errors import AbsentError, FormatError
from cxr_vlp.pipelines.format.remote import sets


@pytest.fixture
def place(bucket, request) -> str:
    """A folder of the bucket for this test alone."""
    return f"{request.node.name.partition('[')[0]}/shards"


def address(place: str, name: str = "") -> str:
    return f"s3://{buckets.BUCKET}/{place}{name and '/'}{name}"


def tar_bytes(folder: Path) -> dict[str, bytes]:
    found = {}
    for name, tar in (sets.tars(folder) or {}).items():
        with tar.open() as stream:
            found[name] = stream.read()
    return found


def stored(folder: Path) -> dict[str, bytes]:
    return {f"{p.parent.name}/{p.name}": p.read_bytes() for p in folder.glob("*/*.tar")}


@pytest.mark.parametrize("how", ["published", "copied from a disk", "without a manifest"])
def test_a_set_is_a_folder_with_its_small_files_and_its_tars(bucket, place, made, cache, how):
    if how == "published":
        buckets.publish(bucket, made, f"{place}/mock")
    else:
        buckets.put(bucket, made, f"{place}/mock")
    if how == "without a manifest":
        key = f"{place}/mock/{manifest.NAME}"
        buckets.client(bucket).delete_object(Bucket=buckets.BUCKET, Key=key)
    folder = sets.local_copy(address(place, "mock/"), cache)
    assert folder.name == "mock"
    for split in ("train", "validate", "test"):
        assert manifest.sizes(folder / split) == manifest.sizes(made / split)
    if how != "without a manifest":
        assert (folder / manifest.NAME).read_bytes() == (made / manifest.NAME).read_bytes()
    assert tar_bytes(folder) == stored(made)
    assert sets.local_copy(address(place, "mock"), cache) == folder


def test_a_folder_of_sets_means_every_published_set_in_it(bucket, place, made, cache):
    for name in ("two", "one"):
        buckets.publish(bucket, made, f"{place}/{name}")
    buckets.put(bucket, made, f"{place}/{'0123456789abcdef'}")  # no manifest names it
    buckets.put(bucket, made, f"{place}/.staging")
    buckets.put(bucket, made / "train", f"{place}/notes")
    folder = sets.local_copy(address(place), cache)
    assert [each.name for each in manifest.sets(folder)] == ["one", "two"]
    assert sorted(p.name for p in folder.iterdir()) == ["one", "two"]


def test_what_begins_a_publishing_is_no_set_yet(bucket, place, made, cache):
    buckets.put(bucket, made, f"{place}/mock/{manifest.folder_name(manifest.header(made))}")
    for name in ("mock", ""):
        with pytest.raises(AbsentError, match="no set of shards"):
            sets.local_copy(address(place, name), cache)


def changed(made: Path, folder: Path) -> Path:
    """Return a copy of a set with another header, tars and all."""
    shutil.copytree(made, folder)
    path = folder / manifest.NAME
    header, _, rest = path.read_text().partition("\n")
    header = json.dumps(json.loads(header) | {"digest": "f" * 64})
    path.write_text(f"{header}\n{rest}")
    return folder


def test_a_set_that_is_published_again_is_read_in_the_old_version(
    bucket, place, made, cache, tmp_path
):
    buckets.publish(bucket, made, f"{place}/mock")
    before = sets.local_copy(address(place, "mock"), cache)
    new = changed(made, tmp_path / "mock")
    tar = sorted((new / "train").glob("*.tar"))[0]
    tar.write_bytes(b"another")  # without a new manifest it would be refused: it is not read
    buckets.publish(bucket, new, f"{place}/mock")
    assert (before / manifest.NAME).read_bytes() == (made / manifest.NAME).read_bytes()
    assert tar_bytes(before) == stored(made)
    with pytest.raises(FormatError, match=r"has 7 bytes, and \d+ in the manifest"):
        sets.local_copy(address(place, "mock"), cache)


def test_a_manifest_whose_folder_is_gone_is_no_empty_set(bucket, place, made, cache):
    data = (made / manifest.NAME).read_bytes()
    key = f"{place}/mock/{manifest.NAME}"
    buckets.client(bucket).put_object(Bucket=buckets.BUCKET, Key=key, Body=data)
    with pytest.raises(AbsentError, match=r"is not there: .*start again"):
        sets.local_copy(address(place, "mock"), cache)


def test_a_tar_that_is_not_there_is_named(bucket, place, made, cache):
    version = buckets.publish(bucket, made, f"{place}/mock")
    key = f"{place}/mock/{version}/train/mock-train-00001.tar"
    buckets.client(bucket).delete_object(Bucket=buckets.BUCKET, Key=key)
    with pytest.raises(FormatError, match=r"mock-train-00001\.tar is not there"):
        sets.local_copy(address(place, "mock"), cache)


@pytest.mark.parametrize("sha256", ["../../../evil", "", "F" * 64, 7])
def test_a_digest_that_is_none_becomes_no_name_of_a_file(
    bucket, place, made, cache, tmp_path, sha256
):
    hostile = shutil.copytree(made, tmp_path / "mock")
    header, first, *rest = (hostile / manifest.NAME).read_text().splitlines()
    first = json.dumps(json.loads(first) | {"sha256": sha256})
    (hostile / manifest.NAME).write_text("\n".join((header, first, *rest)))
    buckets.publish(bucket, hostile, f"{place}/mock")
    with pytest.raises(FormatError, match="a digest that is none"):
        sets.local_copy(address(place, "mock"), cache)


@pytest.mark.parametrize("data", [b"", b"{", b"[]\n", b'{"digest": 1}\n3\n', b"\xff"])
def test_a_damaged_manifest_is_named(bucket, place, made, cache, data):
    key = f"{place}/mock/{manifest.NAME}"
    buckets.client(bucket).put_object(Bucket=buckets.BUCKET, Key=key, Body=data)
    with pytest.raises(FormatError, match=r"manifest\.jsonl is damaged"):
        sets.local_copy(address(place, "mock"), cache)


def test_a_set_of_this_machine_has_no_remote_tars(made):
    assert sets.tars(made) is None
