"""Zips and plain tars are read in place: their members are files, and none of them is trusted."""

from __future__ import annotations

import gzip
import io
import os
import re
import shutil
import stat
import struct
import subprocess
import tarfile
import zipfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from archiving import tarred, zipped
from hypothesis import example, given
from hypothesis import strategies as st

from cxr_vlp.pipelines.errors import ConfigError, DataError, IngestError
from cxr_vlp.pipelines.files import archive_index, archives, csv_tables, paths
from cxr_vlp.pipelines.sources import reading

LONG = "/".join(["a" * 60] * 3) + "/1.png"
FILES = {
    "b/2.png": b"two" * 5000,
    "a/1.png": b"one",
    "t.csv": b"x,y\n1,2\n",
    LONG: b"",
    "ä.png": b"4",
}


def write(kind: str, root: Path, files=FILES) -> Path:
    name = f"data.{'zip' if kind in ('stored', 'deflated') else 'tar'}"
    if kind in ("stored", "deflated"):
        method = zipfile.ZIP_STORED if kind == "stored" else zipfile.ZIP_DEFLATED
        return zipped(root / name, files, method)
    forms = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
    return tarred(root / name, files, forms[kind])


def walked(root: Path) -> tuple[list[str], Counter[str]]:
    """Return (the members below the root, the codes of the walk)."""
    faults: list[str] = []
    found = [path for path in paths.walk(root, faults.append) if archives.within(path)]
    return [path.partition("/")[2] for path in found], Counter(faults)


@pytest.mark.parametrize("kind", ["stored", "deflated", "ustar", "gnu", "pax"])
def test_members_are_files_of_a_folder_with_the_name_of_the_archive(tmp_path, kind):
    name = write(kind, tmp_path).name
    assert list(paths.walk(tmp_path)) == [name, *(f"{name}/{member}" for member in sorted(FILES))]
    for member, data in FILES.items():
        path = paths.inside(tmp_path, f"{name}/{member}")
        assert path.name == member.rpartition("/")[2]
        assert path.exists()
        assert path.is_file()
        assert not path.is_dir()
        assert not path.is_symlink()
        assert path.read_bytes() == data
        with path.open("rb") as stream:
            assert stream.read() == data
            stream.seek(2)
            assert stream.read(3) == data[2:5]
            stream.seek(-1, 1) if data else None
            assert stream.tell() == max(0, min(5, len(data)) - 1)
        state = paths.plain(path, "image")
        assert state.st_size == len(data)
        assert state.st_mtime_ns == (tmp_path / name).stat().st_mtime_ns
    with paths.inside(tmp_path, f"{name}/t.csv").open(encoding="utf-8") as lines:
        assert lines.readlines() == ["x,y\n", "1,2\n"]


@pytest.mark.parametrize("kind", ["deflated", "pax"])
def test_what_is_no_member(tmp_path, kind):
    name = write(kind, tmp_path).name
    path = paths.inside(tmp_path, f"{name}/b/3.png")
    assert not path.exists()
    for reading_it in (path.stat, path.read_bytes, lambda: path.open("rb")):
        with pytest.raises(FileNotFoundError):
            reading_it()
    with pytest.raises(PermissionError):
        paths.inside(tmp_path, f"{name}/a/1.png").open("wb")
    assert path.parent.parent.parent.stat()  # the parents of a member are plain paths
    for relative in (f"{name}/../x", f"{name}/a/../../x", f"/{name}/a", f"{name}/a\0"):
        with pytest.raises(IngestError, match=r"path\.escape"):
            paths.inside(tmp_path, relative)


def test_a_folder_with_the_name_of_an_archive_is_a_folder(tmp_path):
    (tmp_path / "data.zip").mkdir()
    (tmp_path / "data.zip" / "1.png").write_bytes(b"1")
    zipped(tmp_path / "data.zip" / "more.zip", {"2.png": b"2"})
    assert list(paths.walk(tmp_path)) == [
        "data.zip/1.png", "data.zip/more.zip", "data.zip/more.zip/2.png",
    ]  # fmt: skip
    assert paths.inside(tmp_path, "data.zip/1.png").read_bytes() == b"1"
    assert paths.inside(tmp_path, "data.zip/more.zip/2.png").read_bytes() == b"2"


UNSAFE = ["/etc/passwd", "../up.png", "a/../../up.png", "a/..", "C:/x.png", ".."]


@pytest.mark.parametrize("kind", ["deflated", "pax"])
def test_members_whose_names_lead_out_are_never_listed(tmp_path, kind):
    write(kind, tmp_path, dict.fromkeys([*UNSAFE, "./a//b/./1.png"], b"x"))
    members, faults = walked(tmp_path)
    assert members == ["a/b/1.png"]
    assert faults == {"archive.name": len(UNSAFE)}


def test_a_zip_with_nul_in_a_name(tmp_path):
    path = zipped(tmp_path / "data.zip", {"aXb.png": b"1", "c.png": b"2"})
    path.write_bytes(path.read_bytes().replace(b"aXb.png", b"a\0b.png"))
    assert walked(tmp_path) == (["c.png"], {"archive.name": 1})


@pytest.mark.parametrize(("system", "expected"), [(0, ["a/1.png"]), (3, ["a\\1.png"])])
def test_backslashes_separate_in_a_zip_of_windows_only(tmp_path, system, expected):
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        info = zipfile.ZipInfo("a\\1.png")
        info.create_system = system
        archive.writestr(info, b"1")
    members, _ = walked(tmp_path)
    assert members == expected
    assert paths.inside(tmp_path, f"data.zip/{expected[0]}").read_bytes() == b"1"


def test_names_in_a_zip_that_are_not_marked_as_utf8(tmp_path):
    path = zipped(tmp_path / "data.zip", {"XX.png": b"1", "Y.png": b"2"})
    data = path.read_bytes().replace(b"XX.png", "ä.png".encode())  # a Mac writes it so
    path.write_bytes(data.replace(b"Y.png", b"\x84.png"))  # and DOS so
    assert walked(tmp_path)[0] == ["ä.png"]


def test_a_name_in_latin1_in_a_tar_is_listed_and_unreadable(tmp_path):
    tarred(tmp_path / "data.tar", {"XX.png": b"1"}, tarfile.USTAR_FORMAT)
    data = (tmp_path / "data.tar").read_bytes()
    header = data[:512].replace(b"XX.png", b"\xe4X.png")
    total = sum(header[:148]) + 8 * 32 + sum(header[156:])
    header = header[:148] + b"%06o\0 " % total + header[156:]
    (tmp_path / "data.tar").write_bytes(header + data[512:])
    (member,), _ = walked(tmp_path)
    assert not paths.readable(member)
    assert paths.inside(tmp_path, f"data.tar/{member}").read_bytes() == b"1"


@pytest.mark.parametrize("suffix", ["zip", "tar"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_of_two_members_of_one_name_the_last_counts_as_in_unpacking(tmp_path, suffix):
    if suffix == "zip":
        with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
            for name, data in (("1.png", b"old"), ("2.png", b"2"), ("./1.png", b"new!")):
                archive.writestr(name, data)
    else:
        tarred(tmp_path / "data.tar", {"1.png": b"old", "2.png": b"2", "./1.png": b"new!"})
    assert walked(tmp_path) == (["1.png", "2.png"], {"archive.twice": 1})
    assert paths.inside(tmp_path, f"data.{suffix}/1.png").read_bytes() == b"new!"


def linking(path: Path) -> Path:
    """A tar with a hard link, one to nowhere, a symbolic link, a device and a folder."""
    kinds = {
        "hard.png": (tarfile.LNKTYPE, "1.png"), "lost.png": (tarfile.LNKTYPE, "../1.png"),
        "soft.png": (tarfile.SYMTYPE, "1.png"), "fifo.png": (tarfile.FIFOTYPE, ""),
        "folder": (tarfile.DIRTYPE, ""),
    }  # fmt: skip
    with tarfile.open(path, "w") as archive:
        info = tarfile.TarInfo("1.png")
        info.size = 3
        archive.addfile(info, io.BytesIO(b"one"))
        for name, (kind, target) in kinds.items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            archive.addfile(info)
    return path


def test_hard_links_in_a_tar_are_files_and_other_links_are_refused(tmp_path):
    linking(tmp_path / "data.tar")
    assert walked(tmp_path)[0] == ["1.png", "fifo.png", "hard.png", "lost.png", "soft.png"]
    assert paths.inside(tmp_path, "data.tar/hard.png").read_bytes() == b"one"
    for name in ("lost.png", "soft.png", "fifo.png"):
        with pytest.raises(IngestError, match=r"archive\.link"):
            paths.inside(tmp_path, f"data.tar/{name}").read_bytes()


def test_a_link_in_a_zip_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        info = zipfile.ZipInfo("1.png")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(IngestError, match=r"archive\.link"):
        paths.inside(tmp_path, "data.zip/1.png").open("rb")


def patched(path: Path, *changes: tuple[int, str, int]) -> None:
    """Set fields (offset in the record, format, value) of the directory's first record."""
    data = bytearray(path.read_bytes())
    record = data.index(b"PK\1\2")
    for offset, form, value in changes:
        struct.pack_into(form, data, record + offset, value)
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ((8, "<H", 1), "archive.encrypted"),
        ((10, "<H", 9), "archive.method"),  # deflate64, which Windows writes over 2 GB
        ((10, "<H", 14), "archive.method"),  # lzma
        ((16, "<L", 7), "archive.damaged"),  # another checksum
        ((24, "<L", 4), "archive.damaged"),  # it unpacks to more than it says
        ((24, "<L", 10**9), "archive.damaged"),  # to less
        ((20, "<L", 3), "archive.damaged"),  # fewer bytes
        ((42, "<L", 5), "archive.damaged"),  # it begins elsewhere
    ],
)
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_members_that_cannot_be_read_have_a_code(tmp_path, change, code, method):
    path = zipped(tmp_path / "data.zip", {"1.png": b"0123456789" * 99, "2.png": b"2"}, method)
    patched(path, change)
    members, _ = walked(tmp_path)
    assert members == ["1.png", "2.png"]
    member = paths.inside(tmp_path, "data.zip/1.png")
    with pytest.raises(IngestError, match=code):
        member.read_bytes()
    with pytest.raises(IngestError, match=code), member.open("rb") as stream:
        stream.read()
    assert paths.inside(tmp_path, "data.zip/2.png").read_bytes() == b"2"


def test_a_bomb_is_unpacked_no_further_than_it_says(tmp_path):
    path = zipped(tmp_path / "data.zip", {"1.png": bytes(1 << 24)})
    patched(path, (24, "<L", 100_000))
    with pytest.raises(IngestError, match=r"archive\.damaged"):
        paths.inside(tmp_path, "data.zip/1.png").read_bytes()
    content = paths.inside(tmp_path, "data.zip/1.png")._content(path)
    assert len(content._next(500)) == 500
    assert len(content._zipped._readbuffer) < 1 << 16
    content.close()


@pytest.mark.skipif(shutil.which("tar") is None, reason="needs GNU tar")
@pytest.mark.parametrize("form", ["gnu", "pax"])
def test_a_sparse_file_in_a_tar_is_refused(tmp_path, form):
    with (tmp_path / "1.png").open("wb") as stream:
        stream.write(b"one")
        stream.truncate(1 << 20)
        stream.seek(1 << 20)
        stream.write(b"end")
    command = ["tar", "--sparse", f"--format={form}", "-cf", "data.tar", "1.png"]
    subprocess.run(command, cwd=tmp_path, check=True)
    if (tmp_path / "data.tar").stat().st_size > 1 << 19:
        pytest.skip("the file system keeps no holes")
    with pytest.raises(IngestError, match=r"archive\.method"):
        paths.inside(tmp_path, "data.tar/1.png").read_bytes()


def cut(path: Path, keep: int) -> None:
    path.write_bytes(path.read_bytes()[:keep])


def broken(tmp_path: Path, kind: str) -> None:
    two = {"1.png": b"x" * 2000, "2.png": b"y" * 2000}
    zips, tars = tmp_path / "data.zip", tmp_path / "data.tar"
    if kind.startswith("zip"):
        zipped(zips, two)
        size = zips.stat().st_size
        end = size - 22
        cut(
            zips, {"zip cut": size - 10, "zip half": size // 2, "zip of nothing": 0}.get(kind, size)
        )
        if kind == "zip without its first bytes":
            zips.write_bytes(zips.read_bytes()[30:])
        if kind == "zip of a page":
            zips.write_text("<html>log in</html>" * 100)
        if kind == "zip with a wrong count":
            zips.write_bytes(
                zips.read_bytes()[: end + 8] + b"\3\0\3\0" + zips.read_bytes()[end + 12 :]
            )
        if kind == "zip in parts":
            zips.write_bytes(zips.read_bytes()[: end + 4] + b"\1\0" + zips.read_bytes()[end + 6 :])
    else:
        tarred(tars, two, tarfile.USTAR_FORMAT)
        keep = {"tar cut": 3000, "tar cut between members": 512 + 2048, "tar of nothing": 0}
        cut(tars, keep.get(kind, tars.stat().st_size))
        if kind == "tar damaged":
            tars.write_bytes(tars.read_bytes()[:2560] + b"?" * 512 + tars.read_bytes()[3072:])
        if kind == "tar twice":
            tars.write_bytes(tars.read_bytes()[: 2 * 2560 + 1024] + tars.read_bytes())


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("zip cut", "download it again"), ("zip half", "download it again"),
        ("zip of nothing", "download it again"), ("zip of a page", "download it again"),
        ("zip without its first bytes", "download it again"),
        ("zip with a wrong count", "download it again"), ("zip in parts", "zip -s 0"),
        ("tar cut", "download it again"), ("tar cut between members", "download it again"),
        ("tar of nothing", "download it again"),
        ("tar damaged", "download it again"), ("tar twice", "--ignore-zeros"),
    ],
)  # fmt: skip
def test_a_broken_archive_is_counted_and_named_with_a_remedy(tmp_path, kind, said):
    broken(tmp_path, kind)
    assert walked(tmp_path) == ([], {"archive.broken": 1})
    assert paths.find(tmp_path, "train.csv") == ""
    for found in (paths.broken(tmp_path), paths.summary(tmp_path)):
        assert re.search(rf"archive\.broken: data\.(zip|tar) .*{said}", found)
    (member,) = {"data.zip/1.png", "data.tar/1.png"} & {
        f"{path.name}/1.png" for path in tmp_path.iterdir()
    }
    for _ in range(2):  # what is wrong is kept, and the file not read again
        with pytest.raises(DataError, match=r"archive\.broken"):
            paths.inside(tmp_path, member).read_bytes()


def test_a_broken_archive_is_read_once_and_again_when_it_was_replaced(tmp_path, monkeypatch):
    tars = tarred(tmp_path / "data.tar", {"1.png": b"x" * 2000})
    cut(tars, 1024)
    assert walked(tmp_path)[1] == {"archive.broken": 1}
    with monkeypatch.context() as patch:
        patch.setattr(archive_index, "of_tar", lambda _: pytest.fail("it was read again"))
        assert walked(tmp_path)[1] == {"archive.broken": 1}
        assert "data.tar" in paths.broken(tmp_path)
    tarred(tars, {"1.png": b"x"})
    assert walked(tmp_path) == (["1.png"], {})
    assert paths.broken(tmp_path) == ""


def test_many_broken_archives_are_named_as_far_as_one_reads(tmp_path):
    for number in range(5):
        (tmp_path / f"{number}.zip").write_bytes(b"")
    os.mkfifo(tmp_path / "5.zip")  # opening it would never end
    found = paths.broken(tmp_path)
    assert [f"{number}.zip" in found for number in range(6)] == [True] * 3 + [False] * 3
    assert found.endswith("; 2 more such archives")
    assert paths.packed(tmp_path) == ""


WRAPPED = {
    "gzip": b"\x1f\x8b\x08\0", "bzip2": b"BZh91AY&SY", "xz": b"\xfd7zXZ\0\0",
    "zstd": b"\x28\xb5\x2f\xfd", "lz4": b"\x04\x22M\x18", "7z": b"7z\xbc\xaf\x27\x1c",
    "rar": b"Rar!\x1a\x07\x01", "zstd of pzstd": b"\x5e\x2aM\x18",
}  # fmt: skip


@pytest.mark.parametrize("suffix", ["tar", "zip", "TAR"])
@pytest.mark.parametrize("form", WRAPPED)
def test_an_archive_that_in_truth_is_compressed_has_to_be_unpacked(tmp_path, form, suffix):
    (tmp_path / f"data.{suffix}").write_bytes(WRAPPED[form] + bytes(99))
    assert walked(tmp_path) == ([], {"archive.packed": 1})
    assert paths.broken(tmp_path) == ""
    tool = "7z x" if form in ("7z", "rar") else "tar -xf"
    kind = f".{suffix.lower()} ({form.split()[0]})"
    assert paths.packed(tmp_path) == (
        f"unpack the 1 {kind} archives, which are not read in place: "
        f"`find . -iname '*.{suffix.lower()}' -execdir {tool} {{}} \\;` (in the root)"
    )
    with pytest.raises(FileNotFoundError):
        paths.inside(tmp_path, f"data.{suffix}/1.png").read_bytes()


@pytest.mark.parametrize(("made", "named"), [("zip", "data.tar"), ("tar", "data.zip")])
def test_an_archive_with_the_name_of_the_other_kind_is_read(tmp_path, made, named):
    packed = write("deflated" if made == "zip" else "pax", tmp_path)
    packed.rename(tmp_path / named)
    tree = paths.RawTree(tmp_path, kept=tmp_path / "state")
    assert walked(tree) == (sorted(FILES), {})
    assert paths.inside(tree, f"{named}/b/2.png").read_bytes() == FILES["b/2.png"]


def test_an_archive_that_may_not_be_read_is_counted_and_named(tmp_path, monkeypatch):
    zipped(tmp_path / "data.zip", FILES)

    def refuse(path, kept):
        raise PermissionError

    monkeypatch.setattr(archives, "_current", refuse)  # root may read everything
    assert walked(tmp_path) == ([], {"archive.unreadable": 1})
    assert "archive.unreadable: data.zip: correct its permissions" in paths.broken(tmp_path)


def test_empty_archives_have_no_members(tmp_path):
    zipped(tmp_path / "data.zip", {})
    tarred(tmp_path / "data.tar", {})
    assert walked(tmp_path) == ([], {})


def test_a_zip64_and_a_zip_behind_other_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 10)
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)
    path = zipped(tmp_path / "data.zip", {"1.png": b"one" * 999, "2.png": b"two" * 999})
    assert b"PK\6\6" in path.read_bytes()
    for front in (b"", b"#!/bin/sh\n" * 7):
        path.write_bytes(front + path.read_bytes())
        assert walked(tmp_path)[0] == ["1.png", "2.png"]
        assert paths.inside(tmp_path, "data.zip/2.png").read_bytes() == b"two" * 999


def test_too_many_members_or_too_large_a_header_stop(tmp_path, monkeypatch):
    write("deflated", tmp_path)
    write("pax", tmp_path)
    monkeypatch.setattr(archive_index, "MEMBERS", len(FILES))
    archives._INDICES.clear()
    assert len(walked(tmp_path)[0]) == 2 * len(FILES)
    monkeypatch.setattr(archive_index, "MEMBERS", len(FILES) - 1)
    archives._INDICES.clear()
    assert walked(tmp_path) == ([], {"archive.broken": 2})
    assert paths.broken(tmp_path).count("more than 4 members") == 2


@pytest.mark.parametrize(("size", "whole"), [(4 * 512, True), (5 * 512, False)])
def test_a_header_of_a_tar_is_read_up_to_a_limit(tmp_path, monkeypatch, size, whole):
    monkeypatch.setattr(archive_index, "BLOCK", 4 * 512)
    name = "/".join(["a" * 31] * (size // 32))[:-1]  # and a NUL
    tarred(tmp_path / "data.tar", {name: b"x"}, tarfile.GNU_FORMAT)
    if whole:
        assert walked(tmp_path)[0] == [name]
    else:
        assert walked(tmp_path) == ([], {"archive.broken": 1})


def test_an_archive_that_was_replaced_is_read_anew(tmp_path):
    path = zipped(tmp_path / "data.zip", {"1.png": b"one", "2.png": b"two"})
    first = paths.inside(tmp_path, "data.zip/1.png")
    before = first.stat()
    assert first.stat() == before
    other = zipped(tmp_path / "new", {"1.png": b"ONE"})
    os.utime(other, ns=(before.st_mtime_ns, before.st_mtime_ns))
    other.rename(path)
    assert walked(tmp_path)[0] == ["1.png"]
    assert first.stat().st_ino != before.st_ino  # by which the file index knows it
    assert first.read_bytes() == b"ONE"
    assert not paths.inside(tmp_path, "data.zip/2.png").exists()
    cut(path, 50)
    with pytest.raises(DataError, match=r"archive\.broken"):
        first.read_bytes()
    path.unlink()
    assert not paths.inside(tmp_path, "data.zip/1.png").exists()
    with pytest.raises(FileNotFoundError):
        first.read_bytes()


def test_members_of_one_size_have_states_of_their_own(tmp_path):
    for kind in ("deflated", "pax"):
        name = write(kind, tmp_path, {"1.png": b"one", "2.png": b"two"}).name
        states = [paths.inside(tmp_path, f"{name}/{n}.png").stat() for n in (1, 2)]
        assert states[0].st_size == states[1].st_size
        assert states[0].st_ino != states[1].st_ino


@pytest.mark.parametrize("kind", ["stored", "deflated", "pax"])
def test_threads_read_an_archive_at_the_same_time(tmp_path, kind):
    files = {f"{number}.png": str(number).encode() * 5000 for number in range(200)}
    name = write(kind, tmp_path, files).name
    archives._INDICES.clear()

    def same(member: str) -> bool:
        return paths.inside(tmp_path, f"{name}/{member}").read_bytes() == files[member]

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(same, list(files) * 3))
    assert sum(str(tmp_path) in path for path in archives._INDICES) == 1


def test_an_archive_that_is_a_link_out_is_read_only_with_the_option(tmp_path):
    zipped(tmp_path / "store" / "data.zip", {"1.png": b"one", "t.csv": b"a"})
    root = tmp_path / "root"
    root.mkdir()
    (root / "data.zip").symlink_to(tmp_path / "store" / "data.zip")
    (root / "lost.zip").symlink_to(tmp_path / "nowhere.zip")
    assert walked(root) == ([], {"path.escape": 2})
    assert paths.find(root, "t.csv") == ""
    with pytest.raises(IngestError, match=r"path\.escape"):
        paths.inside(root, "data.zip/1.png")
    tree = paths.RawTree(root, links=True)
    assert walked(tree) == (["1.png", "t.csv"], {})
    assert paths.find(tree, "t.csv") == "data.zip/t.csv"
    assert paths.inside(tree, "data.zip/1.png").read_bytes() == b"one"


def test_two_links_to_one_archive_list_its_members_once(tmp_path):
    zipped(tmp_path / "data.zip", {"1.png": b"one"})
    (tmp_path / "same.zip").symlink_to(tmp_path / "data.zip")
    assert list(paths.walk(tmp_path)) == ["data.zip", "data.zip/1.png", "same.zip"]
    assert paths.inside(tmp_path, "same.zip/1.png").read_bytes() == b"one"


PACKED = ["a.tar.gz", "a.tgz", "a.TGZ", "a.tar.zst", "a.7z", "a.zip.001", "a.z01", "a.part00"]
OTHERS = [
    "a.zip", "a.tar", "a.csv.gz", "a.dcm.gz", "a.nii.gz", "a.png", "part01.png", "a.z1", "tgz",
    "NLMCXR_reports.tgz", "mimic-cxr-reports.zip", "a.partial", "0.1.txt", "a.001",
]  # fmt: skip


def test_archives_that_have_to_be_unpacked_are_counted_and_named_by_kind(tmp_path):
    for name in (*PACKED, *OTHERS):
        assert bool(archives.packed(name)) == (name in PACKED), name
    for name in (*PACKED, "images_002.tar.gz"):
        (tmp_path / name).write_bytes(b"")
    assert walked(tmp_path) == ([], {"archive.packed": len(PACKED) + 1})
    said = paths.packed(tmp_path)
    for part in (
        "unpack the 2 .tar.gz archives",
        "`find . -iname '*.tar.gz' -execdir tar -xf {} \\;`",
        "`find . -iname '*.zip.001' -execdir 7z x {} \\;`",
        "`cat NAME.part* | tar --zstd -xf -`",
        "`zip -s 0 NAME.zip --out WHOLE.zip`",
    ):
        assert part in said
    assert said in paths.summary(tmp_path)
    assert "002" not in said
    assert paths.packed(zipped(tmp_path / "x" / "data.zip", {"a.png": b""}).parent) == ""


def test_archives_inside_archives_are_noted_and_what_a_mac_adds_is_not_listed(tmp_path):
    files = {"in.zip": b"", "in.tar.gz": b"", "mimic-cxr-reports.zip": b"", "x.csv.gz": b"",
             "__MACOSX/._1.png": b""}  # fmt: skip
    zipped(tmp_path / "data.zip", files)
    members, faults = walked(tmp_path)
    assert members == sorted(set(files) - {"__MACOSX/._1.png"})
    assert faults == {"archive.nested": 2}
    said = "unpack what holds 2 archives inside archives, which are not opened"
    assert paths.packed(tmp_path) == said
    assert said in paths.summary(tmp_path)


def test_reports_in_the_archive_of_a_reader_are_not_listed_twice(tmp_path):
    zipped(tmp_path / "mimic-cxr-reports.zip", {"files/p10/p10000001/s5.txt": b"x"})
    assert list(paths.walk(tmp_path)) == ["mimic-cxr-reports.zip"]


def test_a_table_is_found_in_an_archive_and_its_unpacked_copy_wins(tmp_path):
    files = {"top/train.csv": b"x", "top/images/p1/train.csv": b"bulk", "a/b/c/d/e.csv": b""}
    zipped(tmp_path / "one.zip", files)
    assert paths.find(tmp_path, "TRAIN.csv", "train.csv.gz") == "one.zip/top/train.csv"
    assert paths.find(tmp_path, "e.csv") == ""  # five folders down
    tarred(tmp_path / "two.tar", {"train.csv": b"y"})
    with pytest.raises(ConfigError, match="several releases"):
        paths.find(tmp_path, "train.csv")
    (tmp_path / "top").mkdir()
    (tmp_path / "top" / "train.csv").write_bytes(b"x")
    assert paths.find(tmp_path, "train.csv") == "top/train.csv"
    found = ["one.zip/a/T.csv", "t.csv", "one.zip/u.csv"]
    assert paths.unpacked_first(found) == ["t.csv", "one.zip/u.csv"]


@pytest.mark.parametrize("kind", ["deflated", "pax"])
def test_a_copy_of_a_table_in_a_folder_beside_it_counts_once_in_an_archive_too(tmp_path, kind):
    write(kind, tmp_path, {"s.csv": b"x" * 9, "sample/s.csv": b"x" * 9})  # as Kaggle's NIH sample
    assert re.fullmatch(r"data\.(zip|tar)/s\.csv", paths.find(tmp_path, "s.csv"))
    for other in (b"x" * 8, b"x" * 8 + b"y"):
        write(kind, tmp_path, {"s.csv": b"x" * 9, "sample/s.csv": other})
        with pytest.raises(ConfigError, match="several releases"):
            paths.find(tmp_path, "s.csv")


TABLE = "a,b\n" + "".join(f'{number},"x\ny {number}"\n' for number in range(3000))


@pytest.mark.parametrize("kind", ["stored", "deflated", "pax"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gz"])
def test_tables_in_archives_are_read_as_files_are(tmp_path, kind, pack):
    data = pack(TABLE.encode())
    (tmp_path / "t.csv").write_bytes(data)
    name = write(kind, tmp_path, {"t.csv": data, "u.csv": "a\n1\n".encode("utf-16")}).name
    member = paths.inside(tmp_path, f"{name}/t.csv")
    assert list(csv_tables.read(member, ("a",))) == list(
        csv_tables.read(tmp_path / "t.csv", ("a",))
    )
    assert csv_tables.names_of(member) == ["a", "b"]
    with pytest.raises(DataError, match="UTF-16"):
        csv_tables.names_of(paths.inside(tmp_path, f"{name}/u.csv"))
    with pytest.raises(DataError, match="no longer there"):
        csv_tables.names_of(paths.inside(tmp_path, f"{name}/v.csv"))


def test_damaged_encrypted_and_inflating_tables_in_archives_stop(tmp_path):
    path = zipped(tmp_path / "data.zip", {"t.csv": TABLE.encode()})
    patched(path, (16, "<L", 7))
    member = paths.inside(tmp_path, "data.zip/t.csv")
    with pytest.raises(DataError, match=r"archive\.damaged: t\.csv: unpack its archive"):
        list(csv_tables.read(member, ("a",)))
    patched(path, (8, "<H", 1))
    with pytest.raises(DataError, match=r"archive\.encrypted: t\.csv"):
        list(csv_tables.read(member, ("a",)))
    zipped(path, {"t.csv": b"a\n" + b"\n" * (1 << 24)})
    with pytest.raises(DataError, match=r"csv\.bomb: t\.csv"):
        list(csv_tables.read(member, ("a",)))


def test_archives_of_reports_inside_an_archive_are_opened_by_their_readers(tmp_path):
    inner = zipped(tmp_path / "x" / "mimic-cxr-reports.zip", {"s1.txt": b"FINDINGS: none."})
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        info = tarfile.TarInfo("1.xml")
        info.size = 4
        tar.addfile(info, io.BytesIO(b"<a/>"))
    files = {"mimic-cxr-reports.zip": inner.read_bytes(), "NLMCXR_reports.tgz": packed.getvalue()}
    zipped(tmp_path / "root" / "data.zip", files)
    path = paths.inside(tmp_path / "root", "data.zip/mimic-cxr-reports.zip")
    assert [m.string for m in reading.zip_names(path, re.compile("txt"))] == ["s1.txt"]
    assert reading.of_zip(path, "s1.txt") == b"FINDINGS: none."
    tgz = paths.inside(tmp_path / "root", "data.zip/NLMCXR_reports.tgz")
    assert list(reading.tgz_members(tgz, re.compile("xml"))) == [("1.xml", b"<a/>")]


def test_a_deflated_archive_of_reports_inside_an_archive_is_unpacked_once(tmp_path, monkeypatch):
    names = [f"{number}.txt" for number in range(3)]
    inner = zipped(tmp_path / "x" / "mimic-cxr-reports.zip", {n: n.encode() for n in names})
    zipped(tmp_path / "data.zip", {"mimic-cxr-reports.zip": inner.read_bytes()})
    path = paths.inside(tmp_path, "data.zip/mimic-cxr-reports.zip")
    assert path.deflated()
    assert len(reading.zip_names(path, re.compile("txt"))) == 3
    refuse = lambda *_: pytest.fail("it was unpacked again")  # noqa: E731
    monkeypatch.setattr(archives.Member, "open", refuse)
    monkeypatch.setattr(archives._Content, "_next", refuse)
    assert [reading.of_zip(path, name) for name in names] == [n.encode() for n in names]


def test_a_damaged_archive_of_reports_inside_an_archive_stops(tmp_path):
    path = zipped(tmp_path / "data.zip", {"mimic-cxr-reports.zip": b"x" * 999})
    patched(path, (16, "<L", 7))
    member = paths.inside(tmp_path, "data.zip/mimic-cxr-reports.zip")
    with pytest.raises(DataError, match=r"mimic-cxr-reports\.zip is not a whole zip file"):
        reading.zip_names(member, re.compile("txt"))


NAMES = st.text(st.sampled_from("ab./\\:C ä"), min_size=1, max_size=9)


def refused(name: str) -> bool:
    """Return whether a name begins elsewhere: at the root of a disk, or on a drive."""
    return name.startswith("/") or name[:3] == "C:/"


@given(names=st.lists(NAMES, min_size=1, max_size=8), zipping=st.booleans())
@example(names=[":", "/:"], zipping=True)  # the second one is not the first one again
@example(names=["C:/a", "a"], zipping=False)
def test_no_name_of_a_member_leads_out_and_every_listed_one_can_be_read(
    tmp_path_factory, names, zipping
):
    root = tmp_path_factory.mktemp("names")
    plain = dict.fromkeys(name.rstrip("/") or "x" for name in names)  # those of files
    files = {name: str(number).encode() for number, name in enumerate(plain)}
    (zipped if zipping else tarred)(root / ("x.zip" if zipping else "x.tar"), files)
    members, faults = walked(root)
    assert members == sorted(set(members), key=str.encode)
    listed = 0
    for member in members:
        assert not {"", ".", ".."} & set(member.split("/"))
        here = paths.inside(root, f"x.{'zip' if zipping else 'tar'}/{member}").read_bytes()
        same = [
            n
            for n in files
            if member == "/".join(p for p in n.split("/") if p not in ("", ".")) and not refused(n)
        ]
        assert here == files[same[-1]]
        listed += len(same)
    assert listed - len(members) == faults["archive.twice"]
    assert faults["archive.name"] >= sum(map(refused, files))
    shutil.rmtree(root)


def aged(path: Path) -> Path:
    """Make a file older than the time in which it may change unseen."""
    old = path.stat().st_mtime_ns - 10**10
    os.utime(path, ns=(old, old))
    return path


def listed(tree: paths.RawTree) -> tuple[list[str], Counter[str]]:
    """Return what a new process finds."""
    archives._INDICES.clear()
    return walked(tree)


def test_the_index_of_a_tar_is_kept_and_that_of_another_tar_is_not_used(tmp_path, monkeypatch):
    files = {**FILES, "/x": b"", "./t.csv": b"again", "in.zip": b""}
    path = aged(tarred(tmp_path / "root" / "data.tar", files))
    tree = paths.RawTree(tmp_path / "root", kept=tmp_path / "state")
    first = listed(tree)
    assert first[1] == {"archive.name": 1, "archive.twice": 1, "archive.nested": 1}
    (kept,) = (tmp_path / "state").iterdir()

    def refused(stream):
        pytest.fail("the headers were read again")

    with monkeypatch.context() as patch:
        patch.setattr(archive_index, "of_tar", refused)
        assert listed(tree) == first
        assert paths.inside(tree, "data.tar/b/2.png").read_bytes() == FILES["b/2.png"]
    whole = kept.read_bytes()
    edited = [
        whole.replace(b'"members": 6', b'"members": 5'),
        whole.replace(b'"archive.name": 1', b'"archive.name": 9'),
    ]
    assert whole not in edited
    for spoiled in (*edited, whole[:-1], b"", b"{}\n", b"[]\n", b"\xff\n", b"1\n"):
        kept.write_bytes(spoiled)
        assert listed(tree) == first
    aged(tarred(path, {"3.png": b"3"}))
    assert listed(tree) == (["3.png"], {})
    aged(tarred(path, {}))
    assert listed(tree) == listed(tree) == ([], {})


def test_no_index_is_kept_of_a_zip_or_of_a_tar_that_may_still_change(tmp_path):
    aged(zipped(tmp_path / "root" / "data.zip", FILES))
    tarred(tmp_path / "root" / "data.tar", FILES)
    tree = paths.RawTree(tmp_path / "root", kept=tmp_path / "state")
    listed(tree)
    assert not (tmp_path / "state").exists()
    (tmp_path / "state").write_text("")  # nor where it cannot be
    aged(tmp_path / "root" / "data.tar")
    assert len(listed(tree)[0]) == 2 * len(FILES)
