"""Which addresses are places, and what messages say of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from cxr_vlp.pipelines.errors import ConfigError
from cxr_vlp.pipelines.storage.place import is_remote, is_store, place, shown


@pytest.mark.parametrize("text", ["/data/x", "data/x", "C:/x", "s3:/x", "a b://x", "x://y"])
def test_a_path_of_this_machine(text):
    assert place(text) == Path(text)
    assert not is_remote(place(text))
    assert shown(place(text)) == str(Path(text))


def test_an_address_is_a_place_of_a_store():
    found = place("s3://bucket/a/b/")
    assert is_remote(found)
    assert is_remote("s3://bucket")
    assert str(found / "c") == "s3://bucket/a/b/c"
    for other in ("S3://bucket/a/b", " s3://bucket/a/b// "):
        assert str(place(other)) == str(found)
    assert (found.name, found.parent.name) == ("b", "a")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("http://host/x", "no store"),
        ("sftp://host/x", "no store"),
        ("file:///x", "no store"),
        ("s3:///x", "name of a bucket"),
        ("s3://AKIA:secret@bucket/x", "never in an address"),
        ("s3://key@bucket/x", "never in an address"),
        ("s3://bucket/x?X-Amz-Signature=secret", "never in an address"),
        ("s3a://bucket/x", "write s3://"),
        ("S3N://bucket/x", "write s3://"),
        ("wasbs://bucket/x", "write abfs://"),
        ("s3://bucket//x", "a folder that is empty"),
        ("s3://bucket/x/../secret", "a folder that is empty"),
        ("s3://bucket/./x", "a folder that is empty"),
        ("gs://bucket/x", "pip install gcsfs"),
        ("abfs://box@account.dfs.core.windows.net/x", "pip install adlfs"),
    ],
)
def test_an_address_that_cannot_be_used(text, says):
    with pytest.raises(ConfigError, match=says) as error:
        place(text)
    assert "secret" not in str(error.value)
    assert "AKIA" not in str(error.value)


def test_only_known_kinds_are_stores():
    assert is_store("s3://bucket/x")
    assert is_store("S3://bucket/x")
    assert is_store("s3a://bucket/x")  # `place` says what to write
    assert not is_store("ftp://host/x")
    assert not is_store("data/x")


def test_a_message_has_the_bucket_and_not_the_object():
    assert shown("s3://bucket/p10000032/s50414267") == "s3://bucket/..."
    assert shown("s3://AKIA:secret@bucket/x") == "s3://bucket/..."


@pytest.mark.parametrize("name", ["CXR_STORE_TIMEOUT", "AWS_MAX_ATTEMPTS"])
@pytest.mark.parametrize("value", ["soon", "0", "-1", "nan", "inf"])
def test_a_variable_that_is_no_number_is_named(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=f"{name} must be a number above 0"):
        place("s3://bucket/x")
