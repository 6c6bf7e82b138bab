"""The loader's reading of shards: it agrees with webdataset and tarfile, and refuses the rest."""

from __future__ import annotations

import io
import string
import tarfile
from pathlib import Path

import pytest
import webdataset as wds
from hypothesis import given
from hypothesis import strategies as st

from cxr_vlp.train.data.samples import facts, members, stored_samples, studies
from cxr_vlp.train.data.shards import Shard
from cxr_vlp.train.errors import DataError
from tests.train.conftest import add, read, sample, write_shard


def tar(path: Path, contents: dict[str, bytes], form: int = tarfile.USTAR_FORMAT) -> Path:
    with tarfile.open(path, "w", format=form) as archive:
        for name, content in contents.items():
            add(archive, name, content)
    return path


NAMES = st.text(string.ascii_letters + string.digits + "_-.", min_size=1, max_size=90)


@given(st.dictionaries(NAMES, st.binary(max_size=1500), max_size=6))
def test_what_tarfile_writes_is_read_back_whole(tmp_path_factory, contents):
    path = tar(tmp_path_factory.mktemp("tars") / "some.tar", contents)
    assert [member[:2] for member in members(path)] == list(contents.items())


def test_a_long_name_in_two_fields_is_put_together(tmp_path):
    name = f"{'a' * 90}/{'b' * 80}.txt"
    [member] = members(tar(tmp_path / "some.tar", {name: b"x"}))
    assert member[:2] == (name, b"x")


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_samples_are_those_that_webdataset_reads(tmp_path, suffix):
    path = tmp_path / "odd.tar"
    write_shard(path, {f"odd-s{i:04d}": sample("odd", i) for i in range(5)}, suffix)
    theirs = list(
        wds.WebDataset(str(path), shardshuffle=False, empty_check=False).decode().to_tuple(
            "__key__", "json", "txt"
        )
    )  # fmt: skip
    raw = [s[suffix] for s in wds.WebDataset(str(path), shardshuffle=False, empty_check=False)]
    ours = list(stored_samples(Shard(path, 5, "odd")))
    assert [(each.key, each.sample, each.caption) for each in ours] == [
        (key, read(record), caption) for key, record, caption in theirs
    ]
    assert [each.image for each in ours] == raw


def info(kind: bytes) -> tarfile.TarInfo:
    member = tarfile.TarInfo("odd-s0001.jpg")
    member.type, member.linkname = kind, "/etc/passwd"
    return member


def test_an_archive_of_another_kind_is_refused_without_its_names(tmp_path):
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE):
        path = tmp_path / "odd.tar"
        with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
            archive.addfile(info(kind), io.BytesIO())
        with pytest.raises(DataError, match=r"odd\.tar: .* member 1 is damaged, or not") as caught:
            list(members(path))
        assert "s0001" not in str(caught.value)


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_names_in_extended_headers_are_read(tmp_path, form):
    names = {f"./{'k' * 120}.jpg": b"x" * 600, f"{'ä/' * 80}k.txt": b""}
    path = tar(tmp_path / "odd.tar", names, form)
    assert [member[:2] for member in members(path)] == [
        (name.removeprefix("./"), content) for name, content in names.items()
    ]


@given(st.data())
def test_an_archive_cut_off_anywhere_is_an_error(tmp_path_factory, data):
    path = tar(tmp_path_factory.mktemp("tars") / "odd.tar", {"a.txt": b"x" * 700, "b.txt": b""})
    whole = path.read_bytes()[: 512 + 1024 + 512]  # up to the end mark
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole)))])
    with pytest.raises(DataError, match=r"odd\.tar: cut off"):
        list(members(path))


@pytest.mark.parametrize("place", [0, 100, 124, 148, 156, 257, 345])
def test_a_damaged_header_is_an_error(tmp_path, place):
    path = tar(tmp_path / "odd.tar", {"a.txt": b"x"})
    content = bytearray(path.read_bytes())
    content[place] ^= 0x15
    path.write_bytes(content)
    with pytest.raises(DataError, match="member 1 is damaged"):
        list(members(path))


def test_a_missing_shard_is_named(tmp_path):
    with pytest.raises(DataError, match=r"gone\.tar: cannot be read"):
        list(members(tmp_path / "gone.tar"))


WHOLE = {"k.jpg": b"p", "k.json": b'{"format":4}', "k.txt": b"t"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"k.npy": b"x"}, "none of jpg, json, png, txt"),
        ({"k.jpg.exe": b"x"}, "none of jpg"),
        ({"k": b"x"}, "none of jpg"),
        ({"k.png": b"x"}, "lacks a member"),
        ({"k2.txt": b"x"}, "lacks a member"),
        ({"k.json": b"{"}, "is not a JSON object"),
        ({"k.json": b"7"}, "is not a JSON object"),
        ({"k.txt": b"\xff"}, "the txt member is not UTF-8"),
        ({"k.json": b"{}"}, "made by version 0.6 or earlier: build the set again"),
        ({"k.json": b'{"format":5}'}, "made by a later version: .*build the set again"),
        ({"k.json": b'{"format":4,"sentences":5}'}, "a field of the sample has the wrong type"),
    ],
)
def test_an_invalid_sample_is_refused_and_named_by_its_hash(tmp_path, changes, message):
    path = tar(tmp_path / "odd.tar", WHOLE | changes)
    with pytest.raises(DataError, match=message) as caught:
        list(stored_samples(Shard(path, 1, "odd")))
    assert "k." not in str(caught.value).replace("tar: ", "")


def test_the_samples_of_a_study_come_together_and_those_of_two_turns_do_not(tmp_path):
    path = tmp_path / "odd.tar"
    records = {f"odd-s{i:04d}": sample("odd", i, study=f"s{i // 2}") for i in range(5)}
    write_shard(path, records)
    found = list(stored_samples(Shard(path, 5, "odd")))
    assert [[each.key[-1] for each in group] for group in studies(found)] == [
        ["0", "1"], ["2", "3"], ["4"],
    ]  # fmt: skip
    again = stored_samples(Shard(path, 5, "odd"), turn=1)
    assert [len(group) for group in studies([found[4], *again])] == [1, 2, 2, 1]


def test_labels_of_one_collection_are_among_all_labels(tmp_path):
    record = b'{"format":4,"labels":{"Edema":1},"labels_other":[{"name":"Scoliosis","value":1}]}'
    path = tar(tmp_path / "some.tar", WHOLE | {"k.json": record})
    (stored,) = stored_samples(Shard(path, 1, "some"))
    assert stored.sample.all_labels == {"Edema": 1, "Scoliosis": 1}


def test_the_facts_of_a_shard_are_its_samples_without_texts(tmp_path):
    path = tmp_path / "odd.tar"
    write_shard(path, {f"odd-s{i:04d}": sample("odd", i) for i in range(5)})
    shard = Shard(path, 5, "odd")
    found = list(facts(shard))
    assert found == [each.sample.without_texts() for each in stored_samples(shard)]
    assert {each.findings for each in found} == {""}
    assert len({each.study for each in found}) == 5


def test_an_invalid_sample_stops_the_facts_too(tmp_path):
    path = tar(tmp_path / "odd.tar", WHOLE | {"k.json": b"{"})
    with pytest.raises(DataError, match="run cxr-vlp verify on the set"):
        list(facts(Shard(path, 1, "odd")))
