"""What a lab's own store may have: odd names, marks of folders, versions, an owner who pays not."""

from __future__ import annotations

from typing import Any

import boto3
import faulty_proxy
import pytest
from published_sets import files_of, publish, read

from cxr_vlp.pipelines.errors import StorageError
from cxr_vlp.pipelines.files import paths, raw_objects
from cxr_vlp.pipelines.format.remote import store
from cxr_vlp.pipelines.storage import objects
from cxr_vlp.pipelines.storage.place import place

NAMES = ("my set", "a+b", "50%", "50%25", "übung/日本", "set[1]", "a&b=c;d", "a'b")


@pytest.mark.parametrize("name", NAMES)
def test_a_set_is_published_to_a_folder_of_any_name(name, s3):
    out = place(f"{s3}/{name}")
    for version in ("old", "new"):
        publish(out, version)
    assert read(out) == files_of("new")


def test_a_bucket_with_dots(s3):
    client: Any = boto3.client("s3")
    client.create_bucket(Bucket="lab.films.v1")
    out = place("s3://lab.films.v1/set")
    publish(out, "new")
    assert read(out) == files_of("new")


@pytest.mark.parametrize("pattern", ["set*", "set[AB]"])
def test_a_name_with_a_pattern_removes_no_other_folder(pattern, s3):
    client: Any = boto3.client("s3")
    bucket = s3.removeprefix("s3://")
    for folder in (pattern, "setA"):
        client.put_object(Bucket=bucket, Key=f"{folder}/x", Body=b"1")
    objects.remove_all(place(f"{s3}/{pattern}"))
    assert [row["Key"] for row in client.list_objects_v2(Bucket=bucket)["Contents"]] == ["setA/x"]


ODD = ("a b.txt", "a+b.txt", "50%.txt", "a%20b.txt", "ü.txt", "u\u0308.txt", "日本/x y.txt",
       "q?x=1.txt", "h#a.txt", "s[1]*.txt", "t~'\"&;=.txt", "x?versionId=1.txt")  # fmt: skip


def test_raw_files_of_any_name_are_read(s3):
    client: Any = boto3.client("s3")
    bucket = s3.removeprefix("s3://")
    for name in ("", "train/"):  # a console makes such marks of folders
        client.put_object(Bucket=bucket, Key=f"raw/{name}", Body=b"")
    for name in ODD:
        client.put_object(Bucket=bucket, Key=f"raw/{name}", Body=name.encode())
    root = paths.root(f"{s3}/raw")
    assert sorted(paths.walk(root)) == sorted(ODD)
    for listed in (True, False):  # a worker has no listing
        if not listed:
            raw_objects.begin(root)
        for name in ODD:
            path = paths.inside(root, name)
            assert (path.read_bytes(), path.stat().st_size) == (name.encode(), len(name.encode()))


def test_of_a_bucket_with_versions_the_newest_is_read(s3):
    client: Any = boto3.client("s3")
    bucket = s3.removeprefix("s3://")
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for name, data in (("1", b"old"), ("1", b"newer"), ("2", b"x")):
        client.put_object(Bucket=bucket, Key=f"raw/{name}", Body=data)
    client.delete_object(Bucket=bucket, Key="raw/2")
    root = paths.root(f"{s3}/raw")
    assert list(paths.walk(root)) == ["1"]
    assert paths.inside(root, "1").read_bytes() == b"newer"


@pytest.mark.parametrize(
    ("fault", "said"), [("expired", "credentials have expired"), ("skewed", "clock")]
)
def test_a_refused_look_at_an_object_says_why(fault, said, proxy, s3, monkeypatch):
    """The answer to a HEAD has a status alone: 400 and 403 mean many things."""
    monkeypatch.setitem(faulty_proxy._CODES, "skewed", (403, "RequestTimeTooSkewed"))
    path = place(f"{s3}/p10000032/x")
    proxy.choose = lambda *_: fault
    root = raw_objects.RawObject(place(s3), "p10000032/x")
    for ask in (path.exists, lambda: objects.identity(path), root.state):
        with pytest.raises(StorageError, match=said):
            ask()


@pytest.mark.parametrize(("value", "header"), [("1", "requester"), ("0", None), ("", None)])
def test_the_account_that_asks_pays_where_it_is_told_to(value, header, proxy, s3, monkeypatch):
    seen = set()
    whole = faulty_proxy._Handler._body

    def body(handler: Any) -> bytes:
        seen.add((handler.command, handler.headers.get("x-amz-request-payer")))
        return whole(handler)

    monkeypatch.setattr(faulty_proxy._Handler, "_body", body)
    monkeypatch.setenv(store.PAYS_VARIABLE, value)
    publish(place(f"{s3}/set"), "new")
    root = paths.root(f"{s3}/set")
    for name in paths.walk(root):
        paths.inside(root, name).read_bytes()
    assert {method for method, _ in seen} >= {"GET", "PUT", "HEAD", "POST"}
    assert {found for _, found in seen} == {header}
