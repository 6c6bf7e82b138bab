"""A report changed since scan: texts stops and writes no old digest."""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from stages import params, run_scan, tree_bytes

from cxr_vlp.pipelines import texts
from cxr_vlp.pipelines.config import Texts
from cxr_vlp.pipelines.errors import DataError
from cxr_vlp.pipelines.files import jsonl
from cxr_vlp.pipelines.records import ReportRef, Study, study_from_json
from cxr_vlp.pipelines.sources.mimic import Mimic
from cxr_vlp.pipelines.sources.openi import Openi
from cxr_vlp.pipelines.stages import text_resources
from cxr_vlp.pipelines.stages.text_part import TextBuilder


def edited(path: Path) -> None:
    path.write_text(path.read_text() + "\n There is a large left pneumothorax.\n")


def unreadable(path: Path) -> None:
    path.unlink()
    path.mkdir()


def led_out(path: Path) -> None:
    outside = next(p for p in path.parents if p.name == "raw").parent / "elsewhere.txt"
    shutil.copy(path, outside)
    path.unlink()
    path.symlink_to(outside)


def swapped(path: Path) -> None:
    """Put another patient's report in its place, with the same time and length."""
    stat = path.stat()
    other = max(p for p in path.parents[3].rglob("s5*.txt") if p != path)
    path.write_bytes(other.read_bytes())
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


@pytest.fixture
def scanned(raw, tmp_path) -> Path:
    """A folder with raw/mimic and the inventory of it."""
    shutil.copytree(raw / "mimic", tmp_path / "raw" / "mimic")
    run_scan("mimic", common(tmp_path), tmp_path)
    return tmp_path


def common(folder: Path, source: str = "mimic") -> list[str]:
    return ["--root", str(folder / "raw" / source), "--params", str(params(folder))]


def run_texts(folder: Path, source: str = "mimic") -> Path:
    out = folder / "texts" / source
    read = ["--scan", str(folder / "scan" / source), "--out", str(out)]
    assert (
        texts.main([source, *common(folder, source), "--state", str(folder / ".cxr"), *read]) == 0
    )
    return out


def report_of(folder: Path) -> Path:
    """Return the file of a report that the inventory holds."""
    for path in sorted((folder / "scan/mimic").glob("mimic-*.jsonl")):
        for row in jsonl.read_records(path):
            if row.get("report", {}).get("sha256"):
                return folder / "raw/mimic" / row["report"]["path"]
    raise AssertionError


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (edited, "source.changed"),
        (lambda path: path.write_text(""), "source.changed"),
        (lambda path: path.write_bytes(path.read_bytes() + b"\0"), "source.changed"),
        (swapped, "source.changed"),
        (unreadable, "source.changed"),
        (led_out, "source.changed"),
        (Path.unlink, "source.gone"),
    ],
)
def test_texts_stops_at_a_report_that_changed_since_scan(scanned, change, code):
    path = report_of(scanned)
    change(path)
    with pytest.raises(DataError, match=rf"^{code}: .*run scan again") as caught:
        run_texts(scanned)
    assert path.stem not in str(caught.value)
    assert not (scanned / "texts").exists() or not any((scanned / "texts/mimic").glob("*.jsonl"))


def test_after_another_scan_texts_uses_the_new_report(scanned):
    path = report_of(scanned)
    edited(path)
    run_scan("mimic", common(scanned), scanned)
    rows = [r for p in run_texts(scanned).glob("mimic-*.jsonl") for r in jsonl.read_records(p)]
    (row,) = [row for row in rows if row["key"] == path.stem]
    assert row["report_sha256"] == jsonl.sha256(path)
    assert "pneumothorax" in row["abnormal"] + row["impression"] + row["findings"]


def test_texts_stops_if_a_report_unreadable_in_scan_is_readable_now(tmp_path):
    part = TextBuilder(Mimic(), str(tmp_path.resolve()), "", Texts(), text_resources.load(Texts()))
    study = Study("mimic", "s1", "p1", "train", (), ReportRef("r.txt"), {"Edema": 1})
    assert part.study(study, Counter())["findings"] == ""  # the texts are made from the labels
    (tmp_path / "r.txt").write_text("FINDINGS: Clear lungs.")
    with pytest.raises(DataError, match=r"^source\.changed"):
        part.study(study, Counter())


def test_an_unchanged_tree_gives_the_same_texts(scanned, built):
    assert tree_bytes(run_texts(scanned)) == tree_bytes(built / "texts" / "mimic")


def test_the_digest_is_of_the_bytes_that_were_parsed(tmp_path, monkeypatch):
    """A report that changes while it is read gives text and digest of the same bytes."""
    path = tmp_path / "r.txt"
    path.write_text("FINDINGS: Clear lungs.")
    whole = Path.read_bytes

    def then_changed(self: Path) -> bytes:
        data = whole(self)
        self.write_text(f"FINDINGS: Edema {len(data)}.")
        return data

    monkeypatch.setattr(Path, "read_bytes", then_changed)
    for _ in range(3):
        report, digest, _ = Mimic().report(tmp_path.resolve(), ReportRef("r.txt"))
        assert hashlib.sha256(str(report).encode()).hexdigest() == digest


def zipped(folder: Path, text: str) -> None:
    with zipfile.ZipFile(folder / "mimic-cxr-reports.zip", "w") as archive:
        archive.writestr("files/p19/p19999001/s59999001.txt", text)


def packed(folder: Path, text: str) -> None:
    xml = (
        '<eCitation><uId id="CXR7"/><AbstractText Label="FINDINGS">'
        f"{text}</AbstractText></eCitation>"
    )
    (folder / "7.xml").write_text(xml)
    with tarfile.open(folder / "NLMCXR_reports.tgz", "w:gz") as archive:
        archive.add(folder / "7.xml", "ecgen-radiology/7.xml")


def listed(folder: Path, text: str) -> None:
    head = "uid,MeSH,Problems,image,indication,comparison,findings,impression"
    (folder / "indiana_reports.csv").write_text(f"{head}\n7,normal,normal,PA,,,{text},\n")


@pytest.mark.parametrize(
    ("source", "write", "ref"),
    [
        (Mimic(), zipped, ReportRef("mimic-cxr-reports.zip", "files/p19/p19999001/s59999001.txt")),
        (Openi(), packed, ReportRef("NLMCXR_reports.tgz", "ecgen-radiology/7.xml")),
        (Openi(), listed, ReportRef("indiana_reports.csv", "7")),
    ],
    ids=["zip", "tgz", "csv"],
)
def test_an_archive_that_was_replaced_is_read_again(
    tmp_path, source, write: Callable[[Path, str], None], ref
):
    found = []
    for text in ("Clear lungs.", "A large pneumothorax is there."):
        write(tmp_path, text)
        found.append(source.report(tmp_path.resolve(), ref))
    assert "Clear" in str(found[0][0])
    assert "pneumothorax" in str(found[1][0])
    assert found[0][1] != found[1][1]


def test_the_inventory_has_the_digest_of_the_bytes_that_are_read(raw, built):
    part = TextBuilder(Openi(), str(raw / "openi"), "", Texts(), text_resources.load(Texts()))
    studies: list[Study] = []
    for path in (built / "scan/openi").glob("openi-*.jsonl"):
        studies += map(study_from_json, path.read_text().splitlines())
    assert len(studies) > 5
    for study in studies:
        part.study(study, Counter())  # stops if the digest differs
