"""An output of a store that is made on this machine."""

from __future__ import annotations

import shutil

import pytest
from published_sets import OWNER, files_of, publish, read

from cxr_vlp.pipelines.errors import DataError, LockedError
from cxr_vlp.pipelines.files import jsonl
from cxr_vlp.pipelines.storage.mirror import mirrored
from cxr_vlp.pipelines.storage.place import place


def write(folder, version: str, index: bytes = b"index"):
    shutil.rmtree(folder, ignore_errors=True)
    for name, data in {**files_of(version), "index.sqlite": index}.items():
        with jsonl.replacing(folder / name) as stream:
            stream.write(data)


def tree(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_an_output_of_this_machine_is_itself(tmp_path):
    with mirrored(tmp_path / "out", OWNER, tmp_path / "copy") as folder:
        assert folder == tmp_path / "out"
    assert not (tmp_path / "copy").exists()


def test_another_machine_goes_on_where_the_first_ended(s3, tmp_path):
    out = place(f"{s3}/set")
    with mirrored(out, OWNER, tmp_path / "one") as folder:
        assert tree(folder) == {}
        write(folder, "old")
    with mirrored(out, OWNER, tmp_path / "two") as folder:
        assert tree(folder) == {**files_of("old"), "index.sqlite": b"index"}
        write(folder, "new")
    with mirrored(out, OWNER, tmp_path / "one") as folder:
        assert tree(folder) == {**files_of("new"), "index.sqlite": b"index"}
    assert read(out) == {**files_of("new"), "index.sqlite": b"index"}


def test_an_index_alone_may_change(s3, tmp_path):
    out = place(f"{s3}/set")
    for index in (b"one", b"two"):
        with mirrored(out, OWNER, tmp_path / "copy") as folder:
            write(folder, "old", index)
    assert read(out) == {**files_of("old"), "index.sqlite": b"two"}


def test_a_damaged_copy_is_fetched_again(s3, tmp_path):
    out = place(f"{s3}/set")
    publish(out, "old")
    with mirrored(out, OWNER, tmp_path / "copy") as folder:
        (folder / "train" / "same.jsonl").write_bytes(b'"sAme"\n')
        (folder / "more").write_bytes(b"")
        write(folder, "old")
        (folder / "index.sqlite").unlink()
    (folder / "train" / "same.jsonl").write_bytes(b'"sAme"\n')
    with mirrored(out, OWNER, tmp_path / "copy") as folder:
        assert tree(folder) == files_of("old")


def test_what_did_not_change_is_neither_put_nor_published(proxy, s3, tmp_path):
    out = place(f"{s3}/set")
    publish(out, "old")
    with mirrored(out, OWNER, tmp_path / "copy"):
        pass
    start = len(proxy.seen)
    with mirrored(out, OWNER, tmp_path / "copy"):
        pass
    writes = [each for each in proxy.seen[start:] if not each.startswith(("HEAD", "GET"))]
    assert not [each for each in writes if not each.endswith("/.lock")]
    with mirrored(out, OWNER, tmp_path / "copy") as folder:
        write(folder, "new")
    puts = [each for each in proxy.seen[start:] if each.startswith("PUT") and "same" in each]
    assert len(puts) == 1, "one copy on the server"
    assert "/.staging/" not in puts[0]


def test_two_machines_do_not_update_the_same_output_at_once(s3, tmp_path):
    out = place(f"{s3}/set")
    with mirrored(out, OWNER, tmp_path / "one") as folder:
        with pytest.raises(LockedError), mirrored(out, OWNER, tmp_path / "two"):
            pass
        write(folder, "old")
    assert read(out)[OWNER] == files_of("old")[OWNER]


def test_a_failed_stage_publishes_nothing(s3, tmp_path):
    out = place(f"{s3}/set")
    publish(out, "old")
    with pytest.raises(DataError), mirrored(out, OWNER, tmp_path / "copy") as folder:
        write(folder, "new")
        raise DataError("damaged")
    assert read(out) == files_of("old")
    with mirrored(out, OWNER, tmp_path / "copy") as folder:
        assert tree(folder) == files_of("old")
