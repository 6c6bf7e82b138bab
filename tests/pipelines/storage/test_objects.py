"""The operations on objects, with the same cases on a disk, in memory and on S3."""

from __future__ import annotations

import hashlib
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import boto3
import pytest

from cxr_vlp.pipelines.errors import StorageError
from cxr_vlp.pipelines.files import jsonl
from cxr_vlp.pipelines.storage import objects
from cxr_vlp.pipelines.storage.place import is_remote, place


def write(path, data: bytes):
    with jsonl.replacing(path) as stream:
        stream.write(data)
    return path


def test_a_listing_has_the_names_below_the_folder_and_no_folder(stores):
    write(stores / "b" / "c" / "2.txt", b"22")
    write(stores / "1.txt", b"1")
    write(stores.with_name(f"{stores.name}-other") / "3.txt", b"")  # the same first letters
    found = objects.listing(stores)
    assert [(each.name, each.size) for each in found] == [("1.txt", 1), ("b/c/2.txt", 2)]
    assert [each.identity for each in found] == [
        objects.identity(stores / each.name) for each in found
    ]


def test_a_listing_of_nothing_is_empty(stores):
    assert objects.listing(stores / "absent") == []


@pytest.mark.slow
def test_more_files_than_one_page_of_a_listing(s3):
    folder = place(f"{s3}/set")
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda n: folder.fs.pipe_file((folder / f"{n}").path, b""), range(1010)))
    assert len(objects.listing(folder)) == 1010
    objects.remove_all(folder)
    assert objects.listing(folder) == []


def test_what_a_path_says_is_there(stores):
    path = write(stores / "a" / "1.txt", "é\n".encode())
    assert [path.is_file(), path.is_dir(), path.exists()] == [True, False, True]
    assert [(stores / "a").is_file(), (stores / "a").is_dir()] == [False, True]
    assert not (stores / "a" / "2.txt").exists()
    assert [each.name for each in stores.iterdir()] == ["a"]
    assert [each.name for each in stores.glob("*/*.txt")] == ["1.txt"]
    assert path.read_text(encoding="utf-8") == "é\n"
    assert path.stat().st_size == 3
    assert objects.identity(stores / "a") == "" or not is_remote(stores)
    path.unlink()
    assert not path.exists()
    path.unlink(missing_ok=True)
    with pytest.raises(FileNotFoundError):
        path.unlink()
    with pytest.raises(FileNotFoundError):
        path.read_bytes()


def test_a_place_survives_the_way_to_a_worker(stores):
    path = write(stores / "1.txt", b"1")
    again = pickle.loads(pickle.dumps(path))
    assert type(again) is type(path)
    assert again == path
    assert place(str(path)).read_bytes() == again.read_bytes() == b"1"


@pytest.mark.parametrize(
    ("start", "size", "found"),
    [(0, 2, b"01"), (3, 4, b"3456"), (8, 9, b"89"), (10, 1, b""), (0, 0, b"")],
)  # fmt: skip
def test_a_range_ends_with_the_file(stores, start, size, found):
    path = write(stores / "1.txt", b"0123456789")
    assert objects.read_range(path, start, size) == found


def test_a_put_if_absent_overwrites_nothing(stores):
    path = stores / "lock"
    assert objects.put_if_absent(path, b"one")
    assert not objects.put_if_absent(path, b"two")
    assert path.read_bytes() == b"one"
    assert objects.put_if_absent(path, b"one")  # the answer to the first put was lost


def test_a_put_on_a_condition_overwrites_only_what_was_seen(stores):
    path = write(stores / "head", b"old")
    seen = objects.identity(path)
    write(path, b"newer")
    assert not objects.replace_if(path, b"mine", seen)
    assert path.read_bytes() == b"newer"
    assert objects.replace_if(path, b"mine", objects.identity(path))
    assert path.read_bytes() == b"mine"
    assert not objects.replace_if(path, b"first", "")
    path.unlink()
    assert not objects.replace_if(path, b"again", seen)  # it was removed: that is a change too
    assert not path.exists()
    assert objects.replace_if(path, b"first", "")


@pytest.mark.parametrize("kind", ["absent", "replace"])
def test_of_many_who_put_at_once_one_succeeds(stores, kind):
    path = stores / "head"
    before = "" if kind == "absent" else objects.identity(write(path, b"old"))
    barrier = threading.Barrier(8)

    def put(number: int) -> bool:
        barrier.wait()
        return objects.replace_if(path, b"%d" % number, before)

    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(put, range(8)))
    assert sum(done) == 1
    assert path.read_bytes() == b"%d" % done.index(True)


def test_copies_inside_a_store_and_between_kinds(stores, tmp_path):
    local = write(tmp_path / "local", b"data")
    objects.copy(local, stores / "a")
    objects.copy(stores / "a", stores / "b" / "c")
    objects.copy(stores / "b" / "c", tmp_path / "back" / "again")
    objects.copy(stores / "a", stores / "a")
    assert (tmp_path / "back" / "again").read_bytes() == b"data"
    with objects.local_copy(stores / "a") as copy:
        assert copy.read_bytes() == b"data"
    with objects.local_copy(stores / "absent") as copy:
        assert not copy.exists()


def test_a_failed_block_puts_nothing(stores):
    path = write(stores / "1.txt", b"old")
    with pytest.raises(ValueError, match="half"), jsonl.replacing(path) as stream:
        stream.write(b"ne")
        raise ValueError("half")
    assert path.read_bytes() == b"old"
    assert [each.name for each in objects.listing(stores)] == ["1.txt"]


def test_a_large_file_goes_in_pieces_and_arrives_whole(s3, tmp_path, monkeypatch):
    monkeypatch.setattr(objects, "PIECE", 5 << 20)
    data = bytes(range(256)) * (11 << 12)  # 11 MiB
    path = write(place(f"{s3}/large.tar"), data)
    assert "-" in objects.identity(path)  # an ETag of pieces
    objects.copy(path, tmp_path / "back")
    assert objects.is_etag(tmp_path / "back", objects.identity(path))
    (tmp_path / "other").write_bytes(data[:-1] + b"x")
    assert not objects.is_etag(tmp_path / "other", objects.identity(path))
    assert (tmp_path / "back").read_bytes() == data
    assert objects.read_range(path, 5 << 20, 3) == data[5 << 20 : (5 << 20) + 3]


@pytest.mark.parametrize("data", [b"", b"x", bytes(1 << 20), bytes((1 << 20) + 1)])
def test_an_etag_stands_for_the_bytes(s3, tmp_path, data):
    (tmp_path / "local").write_bytes(data)
    objects.copy(tmp_path / "local", place(f"{s3}/x"))
    assert objects.is_etag(tmp_path / "local", objects.identity(place(f"{s3}/x")))
    one = hashlib.md5(hashlib.md5(data).digest()).hexdigest()  # as the server copies a large object
    assert objects.is_etag(tmp_path / "local", f'"{one}-1"')
    assert not objects.is_etag(tmp_path / "local", f'"{one}-2"')
    assert not objects.is_etag(tmp_path / "local", f'"{"0" * 32}"')


def test_a_large_file_whose_upload_fails_leaves_nothing(proxy, s3, monkeypatch):
    monkeypatch.setattr(objects, "PIECE", 5 << 20)
    proxy.choose = lambda _, method, path: "denied" if "partNumber=2" in path else ""
    path = place(f"{s3}/large.tar")
    with pytest.raises(StorageError):
        write(path, bytes(11 << 20))
    assert not path.exists()
    bucket = s3.removeprefix("s3://")
    assert "Uploads" not in boto3.client("s3").list_multipart_uploads(Bucket=bucket)


def test_objects_that_cannot_be_removed_are_not_passed_over(proxy, s3):
    folder = place(f"{s3}/set")
    write(folder / "1.txt", b"1")
    # the request for many objects is answered, but nothing is removed
    proxy.choose = lambda _, method, path: "denied" if method in ("DELETE", "POST") else ""
    with pytest.raises(StorageError, match="access is denied"):
        objects.remove_all(folder)
