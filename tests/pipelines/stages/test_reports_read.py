"""Files in place of reports: text is read, others get a code; bombs need no memory."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from joining import join, lay

from cxr_vlp.nlp import annotate
from cxr_vlp.nlp.layout import sections
from cxr_vlp.pipelines.errors import DataError, IngestError
from cxr_vlp.pipelines.sources import openi, reading
from cxr_vlp.pipelines.sources.mimic import Mimic

REPORT = " FINAL REPORT\n FINDINGS: The heart is enlarged.\n"
STUDY = "files/p19/p19999001/s59999001"
DICOM = "-".join(["1" * 8] * 5)
NO_TEXT = {
    "rtf": b"{\\rtf1\\ansi FINDINGS: clear.}",
    "html": b"<!DOCTYPE html><html><body>Please log in</body></html>",
    "html-without-doctype": b"\n\n<HTML><head><title>401</title></head>",
    "html-fragment": b"FINDINGS: <p>clear</p></body>",
    "pdf": b"%PDF-1.4\n1 0 obj\n<<>>\nendobj",
    "nul": b"FINDINGS: clear.\0\0",
    "binary": bytes(range(256)) * 4,
    "png": b"\x89PNG\r\n\x1a\n" + bytes(99),
    "docx": b"PK\x03\x04\x14\x00\x06\x00" + b"word/document.xml" * 9,
    "annex": b"/annex/objects/SHA256E-s1842--4665a5ea423c2713d436b5ee50593a96.txt\n",
    "annex-link": b"../../../.git/annex/objects/xx/yy/SHA256E-s1--aa/SHA256E-s1--aa",
    "xml": b"<?xml version='1.0'?><a/>",
    "json-error": b'{"error": "not authorised"}',
    "utf-16-without-mark": REPORT.encode("utf-16-le"),
    "greek-in-no-code-page": bytes([0xE1, 0xE9, 0x81, 0x8D]) * 50,
    "control": b"\x01\x02\x03" * 40,
}


@pytest.mark.parametrize("name", NO_TEXT)
def test_a_file_that_is_not_text_is_not_used_as_a_report(tmp_path, name):
    lay(tmp_path, {f"{STUDY}/{DICOM}.jpg": b"x", f"{STUDY}.txt": NO_TEXT[name]})
    joined = join(Mimic(), tmp_path)
    assert joined.notes["report.not_text"] == 1
    with pytest.raises(IngestError, match=r"report\.not_text"):
        Mimic().report(tmp_path, joined.studies["s59999001"].report)[0]


@pytest.mark.parametrize("name", ["rtf", "html", "pdf", "nul", "annex"])
def test_nlp_also_recognises_text_that_is_not_a_report(name):
    text = NO_TEXT[name].decode()
    assert sections.reason(text) == "report.not_text"
    assert annotate.annotate({"findings": text}).code == "report.not_text"


@pytest.mark.parametrize(
    "text",
    [REPORT, "FINDINGS: heart < 50 %, <5 mm nodule > 3 mm.", "FINDINGS: {1} of [2].",
     "FINDINGS: clear.\x0c\r\n", "Findings: \u00e9panchement.", "FINDINGS: a\x7fb" + " clear" * 30],
)  # fmt: skip
def test_reports_with_odd_characters_are_text(text):
    assert reading.text(text.encode()) == (text, "")


@pytest.mark.parametrize(
    ("data", "note"),
    [("FINDINGS: \u00e9panchement.".encode("cp1252"), "report.cp1252"),
     (REPORT.encode("utf-16"), "report.utf16"), (b"\xef\xbb\xbf" + REPORT.encode(), "")],
    ids=["windows", "utf-16", "mark"],
)  # fmt: skip
def test_text_in_another_encoding_is_read_with_a_note(tmp_path, data, note):
    lay(tmp_path, {f"{STUDY}/{DICOM}.jpg": b"x", f"{STUDY}.txt": data})
    joined = join(Mimic(), tmp_path)
    assert "FINDINGS" in Mimic().report(tmp_path, joined.studies["s59999001"].report).report
    assert joined.notes[note] == bool(note)


@pytest.mark.parametrize(
    ("size", "code"), [(reading.LONGEST, ""), (reading.LONGEST + 1, "report.too_long")]
)
def test_a_report_above_the_maximum_length_is_refused(tmp_path, size, code):
    data = b"a" * size
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{STUDY}.txt", data)
    lay(tmp_path, {"a.txt": data, "a.zip": buffer.getvalue()})
    for read in (lambda: reading.of_file(tmp_path / "a.txt"),
                 lambda: reading.of_zip(tmp_path / "a.zip", f"{STUDY}.txt")):  # fmt: skip
        if code:
            with pytest.raises(IngestError, match=code):
                read()
        else:
            assert read() == data


def test_a_fifo_in_place_of_a_report_does_not_block(tmp_path):
    lay(tmp_path, {f"{STUDY}/{DICOM}.jpg": b"x"})
    os.mkfifo(tmp_path / f"{STUDY}.txt")
    assert join(Mimic(), tmp_path).notes["report.not_file"] == 1


def zipped(members: dict[str, str], **options) -> bytearray:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", **options) as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return bytearray(buffer.getvalue())


def damaged(kind: str) -> bytes:
    """A zip of two reports, the second of which cannot be read."""
    data = zipped({f"{STUDY}.txt": REPORT, f"{STUDY[:-1]}2.txt": REPORT + "x" * 99},
                  compression=zipfile.ZIP_DEFLATED)  # fmt: skip
    local = data.rindex(b"PK\x03\x04")
    central = data.rindex(b"PK\x01\x02")
    if kind == "encrypted":
        data[local + 6] |= 1
        data[central + 8] |= 1
    elif kind == "rotten":
        data[local + 90 : local + 100] = b"\xff" * 10
    elif kind == "method":
        data[local + 8] = data[central + 10] = 97
    elif kind == "size":
        data[central + 24 : central + 28] = (1 << 30).to_bytes(4, "little")
    elif kind == "short":
        data[central + 24 : central + 28] = (9).to_bytes(4, "little")
    elif kind == "offset":
        data[central + 42 : central + 46] = (7).to_bytes(4, "little")
    return bytes(data)


@pytest.mark.parametrize(
    ("kind", "code"),
    [("encrypted", "report.encrypted"), ("rotten", "report.unreadable"),
     ("method", "report.unreadable"), ("size", "report.too_long"), ("short", "report.unreadable"),
     ("offset", "report.unreadable")],
)  # fmt: skip
def test_a_bad_member_of_an_archive_loses_only_its_report(tmp_path, kind, code):
    images = {f"{STUDY}/{DICOM}.jpg": b"x", f"{STUDY[:-1]}2/{DICOM}.jpg": b"x"}
    lay(tmp_path, {**images, "mimic-cxr-reports.zip": damaged(kind)})
    joined = join(Mimic(), tmp_path)
    assert joined.notes[code] == 1
    assert Mimic().report(tmp_path, joined.studies["s59999001"].report).report == REPORT
    assert not joined.studies["s59999002"].report.sha256


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 cut", b"PK\x05\x06" + b"\xff" * 18, b"<html>"])
def test_a_broken_archive_stops_with_a_code(tmp_path, data):
    lay(tmp_path, {f"{STUDY}/{DICOM}.jpg": b"x", "mimic-cxr-reports.zip": data})
    with pytest.raises(DataError, match=r"report\.zip"):
        join(Mimic(), tmp_path)


def test_other_members_of_an_archive_are_ignored(tmp_path):
    inner = bytes(zipped({f"{STUDY}.txt": REPORT}))
    members = {f"{STUDY}.txt": REPORT, "inner.zip": inner, "../up.txt": "x", "a/": ""}
    lay(tmp_path, {f"{STUDY}/{DICOM}.jpg": b"x", "mimic-cxr-reports.zip": bytes(zipped(members))})
    assert join(Mimic(), tmp_path).studies["s59999001"].report.sha256


MEGA = 1 << 20
XML = (
    '<eCitation><uId id="CXR{n}"/><AbstractText Label="FINDINGS">{text}</AbstractText>'
    '<parentImage id="CXR{n}_IM-0001-1001"/></eCitation>'
)


def one_great_member(folder: Path) -> None:
    """Half a gigabyte of blanks as one report, in a zip of half a megabyte."""
    with zipfile.ZipFile(folder / "mimic-cxr-reports.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open(f"{STUDY}.txt", "w", force_zip64=True) as stream:
            for _ in range(512):
                stream.write(b" " * MEGA)
        archive.writestr(f"{STUDY[:-1]}2.txt", REPORT)


def many_members(folder: Path) -> None:
    """Half a megabyte of blanks in each of 1,000 reports."""
    with zipfile.ZipFile(folder / "mimic-cxr-reports.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for n in range(1000):
            archive.writestr(f"files/p19/p19999001/s5{n:07}.txt", " " * (MEGA // 2))


def tgz(folder: Path, sizes: dict[str, int]) -> None:
    with (
        gzip.open(folder / "NLMCXR_reports.tgz", "wb", compresslevel=6) as packed,
        tarfile.open(fileobj=packed, mode="w|") as tar,
    ):
        for name, size in sizes.items():
            info = tarfile.TarInfo(name)
            info.size = size
            tar.addfile(info, Blanks(size))
        text = XML.format(n=8, text="Clear.").encode()
        info = tarfile.TarInfo("ecgen-radiology/8.xml")
        info.size = len(text)
        tar.addfile(info, io.BytesIO(text))


class Blanks(io.RawIOBase):
    """A stream of blanks that are made when they are read."""

    def __init__(self, size: int) -> None:
        self.left = size

    def read(self, size: int = -1) -> bytes:
        given = min(self.left, size if size >= 0 else self.left)
        self.left -= given
        return b" " * given


def one_great_xml(folder: Path) -> None:
    tgz(folder, {"ecgen-radiology/7.xml": 512 * MEGA})


def many_xmls(folder: Path) -> None:
    tgz(folder, {f"ecgen-radiology/{n}.xml": MEGA // 2 for n in range(100, 800)})


def many_headers(folder: Path) -> None:
    tgz(folder, dict.fromkeys((f"x/{n}" for n in range(100_000)), 0))


def great_header(folder: Path) -> None:
    """A pax header that says it is half a gigabyte long, and is."""
    with gzip.open(folder / "NLMCXR_reports.tgz", "wb", compresslevel=6) as packed:
        info = tarfile.TarInfo("././@PaxHeader")
        info.type, info.size = tarfile.XHDTYPE, 512 * MEGA
        packed.write(info.tobuf(tarfile.USTAR_FORMAT))
        for _ in range(512):
            packed.write(b" " * MEGA)


def great_table(folder: Path) -> None:
    head = b"uid,MeSH,Problems,image,indication,comparison,findings,impression\n"
    with gzip.open(folder / "indiana_reports.csv.gz", "wb", compresslevel=6) as packed:
        packed.write(head + b"7,normal,normal,,,,")
        for _ in range(512):
            packed.write(b" " * MEGA)
        packed.write(b",\n8,normal,normal,,,,Clear.,\n")


RUN = """
import json, resource, sys
from collections import Counter
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from joining import join
from cxr_vlp.pipelines.errors import DataError
from cxr_vlp.pipelines.sources.mimic import Mimic
from cxr_vlp.pipelines.sources.openi import Openi
import cxr_vlp.pipelines.cache.file_index, pydicom
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
said = ""
try:
    joined = join((Mimic if sys.argv[3] == "mimic" else Openi)(), Path(sys.argv[1]))
    said = " ".join([*joined.notes, *joined.codes(), *joined.studies])
except DataError as error:
    said = str(error)
print(json.dumps([resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, said]))
"""


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("make", "source", "expected"),
    [
        (one_great_member, "mimic", ("report.too_long", "s59999002")),
        (many_members, "mimic", ("s59999001",)),
        pytest.param(many_xmls, "openi", ("cxr8",), marks=pytest.mark.slow),
        *(
            pytest.param(make, "openi", expected, marks=pytest.mark.slow)
            for make, expected in (
                (one_great_xml, ("report.too_long", "cxr8")),
                (many_headers, ("cxr8",)),
            )
        ),
        (great_header, "openi", ("report.archive",)),
        (great_table, "openi", ("csv.bomb",)),
    ],
)
def test_a_bomb_of_a_few_megabytes_takes_no_memory(tmp_path, make, source, expected):
    """Bytes, not seconds: 0.2 took 1.7 to 3.2 GB for these."""
    make(tmp_path)
    assert sum(p.stat().st_size for p in tmp_path.iterdir()) < 8 * MEGA
    lay(tmp_path, {
        f"{STUDY}/{DICOM}.jpg": b"x", f"{STUDY[:-1]}2/{DICOM}.jpg": b"x",
        "png/CXR7_IM-0001-1001.png": b"1", "png/CXR8_IM-0001-1001.png": b"1",
    })  # fmt: skip
    command = [sys.executable, "-c", RUN, str(tmp_path), str(Path(__file__).parents[1]), source]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3]
    )
    kilobytes, said = json.loads(done.stdout)
    assert kilobytes < 150_000, said
    assert all(word in said for word in expected), said


def test_the_spool_returns_the_members_of_the_archive(tmp_path):
    tgz(tmp_path, {"ecgen-radiology/7.xml": 12, "other/9.txt": 5})
    spool = reading.Spool.of(tmp_path / "NLMCXR_reports.tgz", openi._XML, (0, 0, 0))
    assert spool.read("ecgen-radiology/7.xml") == b" " * 12
    assert b"CXR8" in spool.read("ecgen-radiology/8.xml")
    with pytest.raises(IngestError, match=r"report\.unreadable"):
        spool.read("other/9.txt")
