"""The tar's bytes depend on the members and on nothing else."""

from __future__ import annotations

import hashlib
import io
import tarfile

from hypothesis import given
from hypothesis import strategies as st

from pipelines.tars import TarWriter

names = st.text(alphabet="abcdefghij0123456789-_", min_size=1, max_size=90)


@given(st.lists(st.tuples(names, st.binary(max_size=2000)), max_size=5))
def test_members_come_back_and_bytes_repeat(members):
    tar = TarWriter(stream := io.BytesIO())
    for name, data in members:
        tar.add(name, data)
    sha256, size = tar.finish()
    data = stream.getvalue()
    assert (sha256, size) == (hashlib.sha256(data).hexdigest(), len(data))
    with tarfile.open(fileobj=io.BytesIO(data)) as back:
        infos = back.getmembers()
        assert [(i.name, back.extractfile(i).read()) for i in infos] == members
    assert all((i.mtime, i.uid, i.gid, i.mode, i.uname) == (0, 0, 0, 0o444, "") for i in infos)
    assert all(not i.pax_headers for i in infos)
