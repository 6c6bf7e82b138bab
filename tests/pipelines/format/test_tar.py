"""The tar's bytes depend on the members and on nothing else, and are tarfile's to the byte."""

from __future__ import annotations

import hashlib
import io
import tarfile

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cxr_vlp.pipelines.format import tar as tars
from cxr_vlp.pipelines.format.tar import TarWriter

letters = st.characters(exclude_categories=("Cs",), exclude_characters="\0")
names = st.text(alphabet=letters, min_size=1, max_size=100).filter(lambda n: len(n.encode()) <= 100)
keys = st.text(alphabet="abcdefghij0123456789-_", min_size=1, max_size=90)


def written(members: list[tuple[str, bytes]]) -> tuple[bytes, tuple[str, int]]:
    tar = TarWriter(stream := io.BytesIO())
    for name, data in members:
        tar.add(name, data)
    digest = tar.finish()
    return stream.getvalue(), digest


def by_tarfile(members: list[tuple[str, bytes]]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o444
            tar.addfile(info, io.BytesIO(data))
    return stream.getvalue()


@given(st.lists(st.tuples(names, st.binary(max_size=2000)), max_size=5))
@example([])
@example([("a" * 100, b"x" * 512)])
@example([("ä" * 50, b"")])
@example([("a", bytes(10240 - 3 * 512))])  # the two blocks of the end just fit into the record
def test_bytes_are_tarfiles(members):
    assert written(members)[0] == by_tarfile(members)


@given(st.lists(st.tuples(keys, st.binary(max_size=2000)), max_size=5))
def test_members_come_back_and_bytes_repeat(members):
    data, digest = written(members)
    assert digest == (hashlib.sha256(data).hexdigest(), len(data))
    with tarfile.open(fileobj=io.BytesIO(data)) as back:
        infos = back.getmembers()
        assert [(i.name, back.extractfile(i).read()) for i in infos] == members
    assert all((i.mtime, i.uid, i.gid, i.mode, i.uname) == (0, 0, 0, 0o444, "") for i in infos)
    assert all(not i.pax_headers for i in infos)


@given(st.integers(min_value=0, max_value=8**11 - 1))
def test_headers_of_any_size_are_tarfiles(size):
    info = tarfile.TarInfo("key.jpg")
    info.size, info.mode = size, 0o444
    assert tars.header("key.jpg", size) == info.tobuf(tarfile.USTAR_FORMAT)


@pytest.mark.parametrize(
    ("name", "size", "fault"),
    [
        pytest.param("a" * 101, 1, "name has 1 to 100 bytes, not 101", id="name-too-long"),
        pytest.param("ä" * 51, 1, "not 102", id="bytes-count-not-letters"),
        pytest.param("", 1, "not 0", id="no-name"),
        pytest.param("a", 8**11, "at most 8589934591 bytes", id="8-gib"),
    ],
)
def test_names_and_sizes_too_large_for_ustar_are_refused(name, size, fault):
    with pytest.raises(ValueError, match=fault):
        tars.header(name, size)
