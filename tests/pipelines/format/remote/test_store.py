"""A store that fails: faults that pass are tried again, the others end with the remedy."""

from __future__ import annotations

import pickle

import buckets
import pytest

from cxr_vlp.pipelines.format.errors import AbsentError, StoreError
from cxr_vlp.pipelines.format.remote import addresses, patience, store

BODY = bytes(range(256)) * 40
ADDRESS = f"s3://{buckets.BUCKET}/a/body"


@pytest.fixture
def put(bucket, monkeypatch) -> str:
    buckets.client(bucket).put_object(Bucket=buckets.BUCKET, Key="a/body", Body=BODY)
    monkeypatch.setattr(store, "CHUNK", 4000)
    monkeypatch.setenv(patience.SILENCE_VARIABLE, "1")
    return bucket


def fetched() -> bytes:
    return b"".join(store.chunks(ADDRESS, len(BODY)))


@pytest.mark.parametrize("fault", ["slowdown", "error", "cut", "cut-answer", "hang"])
def test_a_fault_that_passes_is_tried_again_and_no_byte_is_lost(put, monkeypatch, fault):
    with buckets.standing_before(put, lambda _, n: fault if n in (1, 3) else "") as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.address)
        assert fetched() == BODY
        assert sum(proxy.asked.values()) == 3 + 2


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("slowdown", "the store is busy"),
        ("error", "the store is busy"),
        ("cut", "the connection was cut"),
        ("cut-answer", "the connection was cut"),
        ("expired", "the credentials have expired: get new ones"),
        ("refused", "the credentials are refused.*AWS_PROFILE"),
        ("denied", "access is denied"),
    ],
)
def test_a_fault_that_stays_ends_with_the_remedy_and_no_key(put, monkeypatch, fault, message):
    with buckets.standing_before(put, lambda *_: fault) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.address)
        with pytest.raises(StoreError, match=message) as raised:
            fetched()
        once = fault in ("expired", "refused", "denied")
        # a connection that was used before and is cut is asked once more by the HTTP library itself
        assert sum(proxy.asked.values()) in ((1,) if once else (4, 8) if fault == "cut" else (4,))
    assert ADDRESS in str(raised.value)
    for secret in ("secret", "Signature", "127.0.0.1", "AKIASECRET"):  # the answer has the last
        assert secret not in str(raised.value)


def test_a_store_that_nobody_answers_for_is_named_with_the_variable(put, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(StoreError, match=r"cannot be reached: .*AWS_ENDPOINT_URL"):
        fetched()


def test_absent_keys_are_named(put, monkeypatch, tmp_path):
    for name in buckets.KEYS:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(StoreError, match=r"no credentials were found.*AWS_ACCESS_KEY_ID"):
        store.listing(ADDRESS)


def test_what_is_absent_is_told_from_what_fails(put):
    with pytest.raises(AbsentError, match="nothing of this name"):
        store.read(f"s3://{buckets.BUCKET}/a/none")
    with pytest.raises(AbsentError, match="the bucket does not exist"):
        store.listing("s3://none-of-ours/a")
    with pytest.raises(AbsentError):
        store.listing(f"s3://{buckets.BUCKET}/none")


def test_a_listing_has_folders_and_objects_right_below(put):
    top = store.listing(f"s3://{buckets.BUCKET}")
    assert [(each.name, each.folder, each.size) for each in top] == [("a", True, 0)]
    (found,) = store.listing(f"s3://{buckets.BUCKET}/a")
    assert (found.name, found.size) == ("body", len(BODY))
    assert store.identity(ADDRESS) == (found.size, found.identity)


def test_a_package_that_is_not_installed_is_named():
    with pytest.raises(StoreError, match="pip install adlfs"):
        store.listing("abfs://box/x")


@pytest.mark.parametrize("text", ["s3://b/x", "S3://b/x/", " gs://b/x", "abfs://box@account/x"])
def test_addresses_that_are_read(text):
    assert addresses.is_store(text)
    assert addresses.clean(text) == text.strip().replace("S3", "s3").rstrip("/")


@pytest.mark.parametrize("text", ["s3://", "s3:///x", "s3://user:secret@b/x", "s3://b/x?secret=1"])
def test_an_address_with_a_password_or_without_a_bucket_is_refused(text):
    with pytest.raises(ValueError, match="://") as raised:
        addresses.clean(text)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("text", ["data/shards", "s3:/x", "https://host/x", "/s3/b", "file:///x"])
def test_what_is_no_address_of_a_store(text):
    assert not addresses.is_store(text)


def test_an_error_survives_the_way_between_processes():
    for kind in (StoreError, AbsentError):
        found = pickle.loads(pickle.dumps(kind("why")))
        assert (type(found), str(found), found.strerror) == (kind, "why", "why")


def test_a_piece_that_is_short_without_an_error_is_asked_for_again(monkeypatch):
    """A library other than that of S3 may return fewer bytes and say nothing."""
    fs, name = store.opened("memory://short/a.tar")
    fs.pipe_file(name, b"0123456789")
    monkeypatch.setattr(store, "WAITS", (0.0,))
    whole, asked = fs.cat_file, []

    def cut(*given, **span):
        asked.append(span)
        data = whole(*given, **span)
        return data[:-1] if len(asked) == 1 else data

    monkeypatch.setattr(fs, "cat_file", cut)
    assert b"".join(store.chunks("memory://short/a.tar", 10)) == b"0123456789"
    assert len(asked) == 2
