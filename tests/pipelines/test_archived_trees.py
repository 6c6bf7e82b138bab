"""Whole runs on trees in archives give the shards of the unpacked tree, byte by byte."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import re
import shutil
import subprocess
import time
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from archiving import files_of, pieces, split_off, tarred, zipped
from stages import build, params, run_scan, tree_bytes

from cxr_vlp.pipelines import scan, shards, texts, verify
from cxr_vlp.pipelines.errors import ConfigError, DataError
from cxr_vlp.pipelines.files import archives
from cxr_vlp.pipelines.format import manifest

STOPS = (ConfigError, DataError)


def pack_whole_zip(tree: Path, root: Path) -> None:
    zipped(root / "download.zip", files_of(tree))


def pack_as_downloaded(tree: Path, root: Path) -> Path:
    """Pack a whole zip with an old time: a file that is seconds old is read again."""
    pack_whole_zip(tree, root)
    old = time.time_ns() - 10**10
    os.utime(root / "download.zip", ns=(old, old))
    return root / "download.zip"


def pack_stored_zip_below_a_folder(tree: Path, root: Path) -> None:
    files = {f"top/{name}": data for name, data in files_of(tree).items()}
    zipped(root / "some folder" / "Download (1).ZIP", files, zipfile.ZIP_STORED)


def pack_whole_tar(tree: Path, root: Path) -> None:
    tarred(root / "download.tar", {f"./{name}": data for name, data in files_of(tree).items()})


def pack_batches_and_loose_tables(tree: Path, root: Path) -> None:
    """As AIMI's batches and NIH's images_0NN: images in several archives, tables beside them."""
    images, tables = split_off(files_of(tree), (".jpg", ".png", ".dcm"))
    for number, batch in enumerate(pieces(images, 3)):
        pack = tarred if number == 1 else zipped
        pack(root / f"batch {number} (train).{'tar' if number == 1 else 'zip'}", batch)
    for name, data in tables.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)


SLOW = pytest.mark.slow  # the same code as in the others
CASES = [
    ("nih", pack_whole_zip),
    ("mimic", pack_batches_and_loose_tables),
    ("chexpert", pack_whole_tar),
    pytest.param("openi", pack_whole_zip, marks=SLOW),
    pytest.param("nih", pack_stored_zip_below_a_folder, marks=SLOW),
    pytest.param("nih", pack_whole_tar, marks=SLOW),
    pytest.param("mimic", pack_whole_zip, marks=SLOW),
    pytest.param("chexpert", pack_batches_and_loose_tables, marks=SLOW),
    pytest.param("nih", pack_batches_and_loose_tables, marks=SLOW),
]


@pytest.mark.sampled(3)
@pytest.mark.parametrize(("name", "pack"), CASES)
def test_an_archived_tree_gives_the_same_shards(tmp_path, raw, built, name, pack):
    pack(raw / name, tmp_path / "raw")
    made = build(tmp_path / "raw", name, tmp_path / "out")
    assert tree_bytes(made) == tree_bytes(built / "shards" / name)
    assert manifest.read(made)[0]["written"] > 5
    assert verify.check([made], deep=True)["breaches"] == []


def scanned(raw: Path, source: str, out: Path) -> dict:
    run_scan(source, ["--root", str(raw), "--params", str(params(out))], out)
    return json.loads((out / "scan" / source / scan.HEADER).read_text())


@pytest.mark.parametrize("suffix", ["zip", "tar"])
def test_an_archive_beside_its_unpacked_copy_changes_nothing(tmp_path, raw, built, suffix):
    root = tmp_path / "raw"
    shutil.copytree(raw / "chexpert", root)
    pack = zipped if suffix == "zip" else tarred
    pack(root / f"CheXpert-v1.0.{suffix}", files_of(raw / "chexpert"))
    there = json.loads((built / "scan/chexpert" / scan.HEADER).read_text())
    header = scanned(root, "chexpert", tmp_path)
    # images on disk that no table lists are no copies
    copies = header["notes"].pop("image.duplicate_file")
    assert copies == there["listed"] - there["dropped"].get("scan image.missing", 0)
    assert header == there
    for path in (built / "scan/chexpert").glob("*-*.jsonl"):  # with the paths of the loose files
        assert path.read_bytes() == (tmp_path / "scan/chexpert" / path.name).read_bytes()


def wrap(path: Path, content: str, files: dict[str, bytes]) -> None:
    """Write what stands for an archive: a cut one, a page, nothing, or a compressed one."""
    whole = (tarred if path.suffix == ".tar" else zipped)(path, files).read_bytes()
    path.write_bytes(
        {
            "cut": whole[: len(whole) // 2],
            "page": b"<html>log in</html>",
            "empty": b"",
            "compressed": gzip.compress(whole),
        }[content]
    )


UNREAD = {"cut": "broken", "page": "broken", "empty": "broken", "compressed": "packed"}


@pytest.mark.parametrize("name", ["more.zip", "more.tar"])
@pytest.mark.parametrize("content", UNREAD)
def test_an_archive_that_cannot_be_read_beside_a_whole_tree_is_noted(
    tmp_path, raw, built, name, content
):
    root = tmp_path / "raw"
    shutil.copytree(raw / "nih", root)
    wrap(root / name, content, files_of(raw / "nih"))
    there = json.loads((built / "scan/nih" / scan.HEADER).read_text())
    header = scanned(root, "nih", tmp_path)
    assert header["notes"].pop(f"archive.{UNREAD[content]}") == 1
    assert header == there


@pytest.mark.parametrize("content", UNREAD)
@pytest.mark.parametrize("lost", ["image", "table"])
@pytest.mark.parametrize("dry", [[], ["--dry-run"]], ids=["scan", "dry-run"])
def test_an_archive_that_cannot_be_read_and_may_hold_what_is_missing_stops(
    tmp_path, raw, content, lost, dry
):
    root = tmp_path / "raw"
    shutil.copytree(raw / "nih", root)
    gone = next(root.rglob("*.png" if lost == "image" else "Data_Entry*"))
    wrap(root / "more.zip", content, {gone.name: gone.read_bytes()})
    gone.unlink()
    arguments = ["--root", str(root), "--params", str(params(tmp_path)), *dry]
    if content == "compressed" and lost == "image":  # counted, as NIH's .tar.gz under `skip`
        run_scan("nih", arguments, tmp_path)
        return
    kind = "unpack the 1 .zip (gzip)" if content == "compressed" else "archive.broken: more.zip"
    with pytest.raises(STOPS, match=re.escape(kind)):
        run_scan("nih", arguments, tmp_path)


def test_an_unchanged_tree_is_not_read_and_a_replaced_archive_is(tmp_path, raw, capsys):
    root = tmp_path / "raw"
    pack_as_downloaded(raw / "nih", root)
    first = scanned(root, "nih", tmp_path)
    capsys.readouterr()
    archives._INDICES.clear()
    assert scanned(root, "nih", tmp_path) == first
    assert "unchanged" in capsys.readouterr().out
    assert not archives._INDICES  # not even a directory was read
    files = files_of(raw / "nih")
    del files[next(name for name in files if name.endswith(".png"))]
    zipped(root / "download.zip", files)
    second = scanned(root, "nih", tmp_path)
    assert second["dropped"] == {"scan image.missing": 1}


def made_of_zip(raw: Path, folder: Path) -> tuple[Path, list[str]]:
    """Scan a zipped tree and make its texts; return (the zip, the arguments of shards)."""
    zips = pack_as_downloaded(raw / "nih", folder / "raw")
    common = ["--root", str(zips.parent), "--params", str(params(folder))]
    common += ["--state", str(folder / ".cxr")]
    run_scan("nih", common, folder)
    where = ["--scan", str(folder / "scan/nih"), "--out"]
    assert texts.main(["nih", *common, *where, str(folder / "texts/nih")]) == 0
    read = ["--texts", str(folder / "texts/nih")]
    return zips, ["nih", *common, *read, *where, str(folder / "shards/nih")]


def repacked(zips: Path, change: str) -> None:
    with zipfile.ZipFile(zips) as archive:
        files = {info.filename: archive.read(info) for info in archive.filelist}
    name = next(name for name in files if name.endswith(".png"))
    other = next(n for n in files if n.endswith(".png") and n != name)
    if change == "another image":
        files[name] = files[other]
    elif change == "without one":
        del files[name]
    zipped(zips, files, zipfile.ZIP_STORED)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("another image", "source.changed"),
        ("without one", "source.gone"),
        ("no archive", "source.gone"),
        ("half", "archive.broken"),
    ],
)
def test_an_archive_that_changed_since_scan_stops_shards(tmp_path, raw, change, said):
    zips, arguments = made_of_zip(raw, tmp_path)
    if change == "no archive":
        zips.unlink()
    elif change == "half":
        zips.write_bytes(zips.read_bytes()[: zips.stat().st_size // 2])
    else:
        repacked(zips, change)
    with pytest.raises(DataError, match=said):
        shards.main(arguments)


@pytest.mark.slow
def test_an_archive_that_was_packed_anew_with_the_same_files_is_the_same(tmp_path, raw, built):
    zips, arguments = made_of_zip(raw, tmp_path)
    repacked(zips, "nothing")
    assert shards.main(arguments) == 0
    assert tree_bytes(tmp_path / "shards/nih") == tree_bytes(built / "shards/nih")


@pytest.mark.slow
def test_members_that_did_not_change_are_not_read_again(tmp_path, raw, monkeypatch):
    zips, _ = made_of_zip(raw, tmp_path)
    (zips.parent / "more.txt").write_text("")
    monkeypatch.setattr(archives.Member, "read_bytes", lambda path: pytest.fail("it was read"))
    scanned(zips.parent, "nih", tmp_path)


def test_images_in_archives_that_are_not_read_stop_with_the_command(tmp_path, raw):
    images, tables = split_off(files_of(raw / "nih"), (".png",))
    for number, batch in enumerate(pieces(images, 2), 1):
        path = tarred(tmp_path / "raw" / f"images_00{number}.tar", batch)
        path.with_suffix(".tar.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    for name, data in tables.items():
        (tmp_path / "raw" / name).write_bytes(data)
    with pytest.raises(DataError, match="no image of") as stopped:
        scanned(tmp_path / "raw", "nih", tmp_path)
    said = str(stopped.value)
    assert "unpack the 2 .tar.gz archives" in said
    command = said.partition("`")[2].partition("`")[0]
    assert command == "find . -iname '*.tar.gz' -execdir tar -xf {} \\;"
    if shutil.which("tar"):  # the command does it
        subprocess.run(command, shell=True, cwd=tmp_path / "raw", check=True)
        header = scanned(tmp_path / "raw", "nih", tmp_path)
        assert header["images"] == len(images)
        assert header["notes"]["archive.packed"] == 2
        assert not header["dropped"]


def test_a_member_that_cannot_be_read_is_a_counted_reject(tmp_path, raw):
    pack_whole_zip(raw / "nih", tmp_path / "raw")
    zips = tmp_path / "raw" / "download.zip"
    data = bytearray(zips.read_bytes())
    at = data.index(b".png", data.index(b"PK\1\2")) - 60
    record = data.index(b"PK\1\2", at)
    data[record + 8] |= 1  # encrypted
    zips.write_bytes(data)
    header = scanned(tmp_path / "raw", "nih", tmp_path)
    assert header["dropped"] == {"scan archive.encrypted": 1}
    assert header["listed"] == header["images"] + 1


def own_files(raw: Path, table: str) -> dict[str, bytes]:
    """A folder of one's own: pictures, and a table with a report in each row."""
    pictures = [data for name, data in files_of(raw / "nih").items() if name.endswith(".png")]
    files = {f"images/{n}.png": data for n, data in enumerate(pictures[:6])}
    rows = [
        {"image": f"images/{n}.png", "patient": f"p{n}", "report": f"FINDINGS: Effusion {n}.\nEnd"}
        for n in range(len(files))
    ]
    stream = io.BytesIO()
    if table == "t.parquet":
        pq.write_table(pa.Table.from_pylist(rows), stream)
    elif table == "t.jsonl":
        stream.write("".join(json.dumps(row) + "\n" for row in rows).encode())
    else:
        stream.write(csv_of(rows))
    return files | {table: stream.getvalue()}


def csv_of(rows: list[dict[str, str]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


@pytest.mark.slow
@pytest.mark.parametrize(
    "table",
    ["t.csv", pytest.param("t.parquet", marks=SLOW), pytest.param("t.jsonl", marks=SLOW)],
)
def test_a_table_of_ones_own_in_an_archive(tmp_path, raw, table):
    files = own_files(raw, table)
    for name, data in files.items():
        (tmp_path / "plain" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "plain" / name).write_bytes(data)
    zipped(tmp_path / "zipped" / "own.zip", files)
    tarred(tmp_path / "tarred" / "own.tar", files)
    shutil.copytree(tmp_path / "plain", tmp_path / "both")
    zipped(tmp_path / "both" / "own.zip", files)
    sources = {"own": {"preset": "table", "parts": {"train": 1, "validate": 1, "test": 1}}}
    made = {
        name: tree_bytes(build(tmp_path / name, "own", tmp_path / f"{name}-out", sources=sources))
        for name in ("plain", "zipped", "tarred", "both")
    }
    assert any(name.endswith(".tar") and data for name, data in made["plain"].items())
    assert made["zipped"] == made["plain"] == made["tarred"]
    tars = {name: data for name, data in made["both"].items() if name.endswith(".tar")}
    assert tars == {name: data for name, data in made["plain"].items() if name.endswith(".tar")}
