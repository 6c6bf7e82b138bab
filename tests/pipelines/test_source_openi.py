"""Open-i's three forms and traps; by hand, and on the real archive with its pictures."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import pytest
from joining import Joined, join, lay

from pipelines.faults import ConfigError, DataError
from pipelines.sources import Openi


def xml(uid: int, images: tuple[str, ...], findings: str = "Clear lungs.", mesh: str = "normal"):
    parents = "".join(f'<parentImage id="{name}"/>' for name in images)
    return (
        f'<eCitation><uId id="CXR{uid}"/><Abstract>'
        '<AbstractText Label="COMPARISON"/><AbstractText Label="INDICATION">XXXX</AbstractText>'
        f'<AbstractText Label="FINDINGS">{findings}</AbstractText>'
        '<AbstractText Label="IMPRESSION"></AbstractText></Abstract>'
        f"<MeSH><major>{mesh}</major></MeSH>{parents}</eCitation>"
    )


def tgz(members: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, text in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))
    return gzip.compress(buffer.getvalue())


def scanned(root: Path) -> Joined:
    joined = join(Openi(), root)
    assert joined.balanced()
    return joined


TWO = xml(7, ("CXR7_IM-0003-1001", "CXR7_IM-0003-2001"))
KAGGLE = "uid,MeSH,Problems,image,indication,comparison,findings,impression\n"


@pytest.mark.parametrize(
    "files",
    [
        {"NLMCXR_reports.tgz": tgz({"ecgen-radiology/7.xml": TWO}),
         "NLMCXR_png/CXR7_IM-0003-1001.png": b"1", "NLMCXR_png/CXR7_IM-0003-2001.png": b"2"},
        {"ecgen-radiology/7.xml": TWO,
         "dcm/7/7_IM-0003-1001.dcm": b"1", "dcm/7/7_IM-0003-2001.dcm": b"2"},
        {"indiana_reports.csv": KAGGLE + '7,normal,normal,PA,XXXX,,Clear lungs.,\n',
         "indiana_projections.csv": "uid,filename,projection\n7,7_IM-0003-1001.dcm.png,Frontal\n"
                                    "7,7_IM-0003-2001.dcm.png,Lateral\n",
         "images/images_normalized/7_IM-0003-1001.dcm.png": b"1",
         "images/images_normalized/7_IM-0003-2001.dcm.png": b"2"},
    ],
    ids=["archive-and-png", "folder-and-dicom", "kaggle"],
)  # fmt: skip
def test_the_forms_say_the_same(tmp_path, files):
    study = scanned(lay(tmp_path, files)).studies["cxr7"]
    assert [image.key for image in study.images] == ["im-0003-1001", "im-0003-2001"]
    report = Openi().report(tmp_path, study.report)
    assert report == {"findings": "Clear lungs.", "indication": "XXXX"}
    assert study.labels == {"No Finding": 1}
    # the digest is of the sections, so it is the same in all forms
    assert study.report.sha256 == Openi().report_sha256(tmp_path, study.report)
    views = [image.view for image in study.images]
    assert views == (["frontal", "lateral"] if "indiana_reports.csv" in files else ["unknown"] * 2)


def test_report_1_is_spelled_otherwise_in_the_xml(tmp_path):
    lay(tmp_path, {"ecgen-radiology/1.xml": xml(1, ("CXR1_1_IM-0001-3001",)),
                   "NLMCXR_dcm/1/1_IM-0001-3001.dcm": b"1"})  # fmt: skip
    joined = scanned(tmp_path)
    assert joined.codes() == {}
    assert [image.key for image in joined.studies["cxr1"].images] == ["im-0001-3001"]


def test_long_picture_ids(tmp_path):
    lay(tmp_path, {"ecgen-radiology/9.xml": xml(9, ("CXR9_IM-2407-0001-0002",)),
                   "NLMCXR_png/CXR9_IM-2407-0001-0002.png": b"1"})  # fmt: skip
    assert scanned(tmp_path).studies["cxr9"].images[0].key == "im-2407-0001-0002"


def test_reports_without_pictures_and_pictures_without_reports(tmp_path):
    lay(tmp_path, {"ecgen-radiology/7.xml": TWO, "ecgen-radiology/8.xml": xml(8, ()),
                   "NLMCXR_png/CXR7_IM-0003-1001.png": b"1",
                   "NLMCXR_png/CXR5_IM-0001-1.png": b"2"})  # fmt: skip
    joined = scanned(tmp_path)
    assert joined.codes() == {"image.missing": 1}
    assert joined.notes == {"study.no_image": 1, "image.unlisted": 1, "view.unknown": 1}


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ({"NLMCXR_reports.tgz": tgz({"e/7.xml": TWO})[:60]}, "report.archive"),
        ({"NLMCXR_reports.tgz": b"<html>please log in</html>"}, "report.archive"),
        ({"indiana_reports.csv": "<!doctype html>\n"}, "csv.header"),
    ],
    ids=["cut-archive", "login-page", "login-page-as-table"],
)  # fmt: skip
def test_broken_listings_stop(tmp_path, files, code):
    with pytest.raises(DataError, match=code):
        join(Openi(), lay(tmp_path, files))


def test_another_folder_is_no_openi(tmp_path):
    with pytest.raises(ConfigError, match="no Open-i tree"):
        Openi().tables(tmp_path)


def test_the_real_archive_with_its_four_pictures(shared):
    joined = scanned(shared / "data/openi")
    assert joined.listed == 7_470
    assert {key: len(study.images) for key, study in joined.studies.items()} == {
        "cxr1000": 3,
        "cxr1001": 1,
    }
    assert joined.codes() == {"image.missing": 7_466}
    assert joined.notes["study.no_image"] == 104
    views = [image.view for image in joined.studies["cxr1000"].images]
    assert sorted(views) == ["frontal", "unknown", "unknown"]  # the list of views names one a study
