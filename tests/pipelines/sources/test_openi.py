"""Open-i's three forms and their faults, by hand and on the real archive with its images."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path

import pytest
from joining import Joined, join, lay
from stages import build, samples

from cxr_vlp.pipelines import verify
from cxr_vlp.pipelines.errors import ConfigError, DataError
from cxr_vlp.pipelines.records import ReportRef
from cxr_vlp.pipelines.sources.openi import Openi
from cxr_vlp.pipelines.synthetic.layouts import openi as openi_layout


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
def test_all_three_forms_give_the_same_studies(tmp_path, files):
    study = scanned(lay(tmp_path, files)).studies["cxr7"]
    assert [image.key for image in study.images] == ["im-0003-1001", "im-0003-2001"]
    report, digest, _ = Openi().report(tmp_path, study.report)
    assert report == {"findings": "Clear lungs.", "indication": "XXXX"}
    assert study.labels == {"No Finding": 1}
    # the digest is of the sections, so it is the same in all forms
    assert study.report.sha256 == digest
    views = [image.view for image in study.images]
    assert views == (["frontal", "lateral"] if "indiana_reports.csv" in files else ["unknown"] * 2)


def test_report_1_has_another_spelling_in_the_xml(tmp_path):
    lay(tmp_path, {"ecgen-radiology/1.xml": xml(1, ("CXR1_1_IM-0001-3001",)),
                   "NLMCXR_dcm/1/1_IM-0001-3001.dcm": b"1"})  # fmt: skip
    joined = scanned(tmp_path)
    assert joined.codes() == {}
    assert [image.key for image in joined.studies["cxr1"].images] == ["im-0001-3001"]


def test_long_image_ids(tmp_path):
    lay(tmp_path, {"ecgen-radiology/9.xml": xml(9, ("CXR9_IM-2407-0001-0002",)),
                   "NLMCXR_png/CXR9_IM-2407-0001-0002.png": b"1"})  # fmt: skip
    assert scanned(tmp_path).studies["cxr9"].images[0].key == "im-2407-0001-0002"


def test_reports_without_images_and_images_without_reports(tmp_path):
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


BOMB = (
    '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    + TWO.replace("Clear lungs.", "&b;")
)
EIGHT = xml(8, ("CXR8_IM-0004-1001",))


@pytest.mark.parametrize(
    "bad",
    [TWO[:80], "<eCitation/>", "", "\0", "<html>please log in</html>", BOMB,
     TWO.replace("Clear", "&xxe;"), TWO.replace('id="CXR7"', 'id="nan"')],
    ids=["cut", "no-uid", "empty", "nul", "html", "entities", "unknown-entity", "uid-nan"],
)  # fmt: skip
@pytest.mark.parametrize("form", ["folder", "archive"])
def test_a_bad_xml_rejects_only_its_study(tmp_path, bad, form):
    members = {"ecgen-radiology/7.xml": bad, "ecgen-radiology/8.xml": EIGHT}
    reports = members if form == "folder" else {"NLMCXR_reports.tgz": tgz(members)}
    images = {"png/CXR7_IM-0003-1001.png": b"1", "png/CXR8_IM-0004-1001.png": b"2"}
    joined = scanned(lay(tmp_path, {**reports, **images}))
    assert joined.codes() == {"report.xml": 1}
    assert list(joined.studies) == ["cxr8"]


def test_an_xml_of_more_than_a_megabyte_is_refused(tmp_path):
    long = TWO.replace("Clear lungs.", "x" * (1 << 20))
    for place, files in enumerate(({"ecgen-radiology/7.xml": long},
                                   {"NLMCXR_reports.tgz": tgz({"e/7.xml": long})})):  # fmt: skip
        folder = lay(tmp_path / str(place), {**files, "png/CXR7_IM-0003-1001.png": b"1"})
        assert scanned(folder).codes() == {"report.too_long": 1}


PROJECTIONS = "uid,filename,projection\n7,7_IM-0003-1001.dcm.png,Frontal\n"


def kaggle(reports: str, projections: str = PROJECTIONS) -> dict[str, str | bytes]:
    return {"indiana_reports.csv": KAGGLE + reports, "indiana_projections.csv": projections,
            "images/7_IM-0003-1001.dcm.png": b"1"}  # fmt: skip


@pytest.mark.parametrize("uid", ["7", "7.0", " 7 ", "07"])
def test_uids_that_became_numbers(tmp_path, uid):
    joined = scanned(lay(tmp_path, kaggle(f"{uid},normal,normal,,,,Clear lungs.,\n")))
    assert joined.codes() == {}
    [study] = joined.studies.values()
    assert Openi().report(tmp_path, study.report)[0] == {"findings": "Clear lungs."}


def test_nan_is_a_missing_section_and_none_with_a_full_stop_is_text(tmp_path):
    joined = scanned(lay(tmp_path, kaggle("7,nan,nan,,nan,None.,Clear lungs.,nan\n")))
    study = joined.studies["cxr7"]
    assert Openi().report(tmp_path, study.report)[0] == {
        "findings": "Clear lungs.", "comparison": "None."}  # fmt: skip
    assert study.labels == {}


@pytest.mark.parametrize(
    ("reports", "codes"),
    [
        ("7,normal,normal,,,,Clear lungs.,\n7,normal,normal,,,,Effusion.,\n", {"csv.conflict": 1}),
        (
            "7,normal,normal,,,,Clear lungs.,,,\n8,normal,normal,,,,Clear.,\n",
            {"csv.ragged": 0, "report.no_row": 1},
        ),
        ("8,normal,normal,,,,Clear.,\n", {"report.no_row": 1}),
    ],
    ids=["twice-with-other-words", "ragged", "no-report"],
)
def test_a_bad_row_of_kaggles_tables_rejects_its_images_with_a_code(tmp_path, reports, codes):
    assert scanned(lay(tmp_path, kaggle(reports))).codes() == codes


def test_only_an_image_with_an_unknown_name_is_lost(tmp_path):
    projections = PROJECTIONS + "7,portrait.png,Lateral\n"
    files = kaggle("7,normal,normal,,,,Clear lungs.,\n", projections)
    joined = scanned(lay(tmp_path, files))
    assert joined.codes() == {"csv.image": 1}
    assert len(joined.studies) == 1


@pytest.mark.parametrize(
    ("caption", "names", "view"),
    [
        ("Chest PA view", ("CXR7_IM-0003-1001",), "frontal"),
        ("Xray Chest PA and Lateral", ("CXR7_IM-0003-1001",), "unknown"),
        ("Chest PA view", ("CXR7_IM-0003-1001", "CXR7_IM-0003-2001"), "unknown"),
    ],
    ids=["one-image", "two-projections", "two-images"],
)
def test_a_caption_gives_the_view_of_a_single_image(tmp_path, caption, names, view):
    text = xml(7, names).replace("/>", f"><caption>{caption}</caption></parentImage>")
    for name in ("COMPARISON", f"CXR{7}"):
        text = text.replace(f'"{name}"><caption>{caption}</caption></parentImage>', f'"{name}"/>')
    lay(tmp_path, {"ecgen-radiology/7.xml": text, "png/CXR7_IM-0003-1001.PNG": b"1"})
    joined = scanned(tmp_path)
    assert joined.studies["cxr7"].images[0].view == view
    assert joined.notes["view.unknown"] == (view == "unknown")


def test_another_folder_is_not_accepted_as_openi(tmp_path):
    with pytest.raises(ConfigError, match="no Open-i tree"):
        Openi().tables(tmp_path)


def test_the_real_archive_with_its_four_images(shared):
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


def r2gen(name: str, images: int = 2, report: str | None = "Clear lungs.", **values) -> dict:
    paths = [f"{name}/{place}.png" for place in range(images)]
    return {"id": name, "report": report, "image_path": paths, "split": "train"} | values


def annotated(root: Path, *entries: dict, **lists: list) -> Joined:
    document = {"train": list(entries), "val": [], "test": []} | lists
    return scanned(lay(root, {"annotation.json": json.dumps(document)}))


def test_r2gens_tree_is_a_form_of_openi(tmp_path):
    lay(tmp_path, {f"images/CXR7_IM-0003/{place}.png": b"x" for place in (0, 1)})
    joined = annotated(tmp_path, r2gen("CXR7_IM-0003"), val=[r2gen("CXR8_IM-0004", split="val")])
    study = joined.studies["cxr7"]  # the key of the other forms
    assert [image.key for image in study.images] == ["im-0003-0", "im-0003-1"]
    assert [image.view for image in study.images] == ["unknown"] * 2  # 0 is not always frontal
    assert (study.split, study.patient, study.labels_from) == ("train", "cxr7", "")
    found = Openi().report(tmp_path, study.report)
    assert (found.report, found.sha256) == ({"findings": "Clear lungs."}, study.report.sha256)
    assert joined.codes() == {"image.missing": 2}
    assert joined.listed == 4


def test_report_1_unlisted_images_and_an_entry_without_report_in_r2gens_tree(tmp_path):
    lay(tmp_path, {f"images/CXR1_1_IM-0001/{place}.png": b"x" for place in (0, 1, 2)})
    joined = annotated(tmp_path, r2gen("CXR1_1_IM-0001", report=None))
    assert list(joined.studies) == ["cxr1"]
    assert joined.notes == {"image.unlisted": 1, "report.missing": 1, "view.unknown": 2}


@pytest.mark.parametrize(
    ("lists", "code"),
    [
        ({"val": [r2gen("CXR7_IM-0003", split="val")]}, "split.conflict"),
        ({"train": [r2gen("CXR7_IM-0003"), r2gen("CXR7_IM-0003", report="No.")]}, "csv.conflict"),
        ({"train": [r2gen("somebody")]}, "csv.image"),
        ({"other": [r2gen("CXR9_IM-0003")]}, "split.unknown"),
    ],
    ids=["two-splits", "two-reports", "another-name", "another-list"],
)
def test_a_bad_entry_of_r2gens_list_loses_itself(tmp_path, lists, code):
    lay(tmp_path, {f"images/{n}_IM-0003/{p}.png": b"x" for n in ("CXR7", "CXR5") for p in (0, 1)})
    good = r2gen("CXR5_IM-0003", split="test")
    joined = annotated(tmp_path, r2gen("CXR7_IM-0003"), test=[good], **lists)
    assert code in joined.codes()
    assert "cxr5" in joined.studies


def test_the_files_of_openi_win_over_r2gens_list(tmp_path):
    lay(tmp_path, {"ecgen-radiology/7.xml": TWO, "NLMCXR_png/CXR7_IM-0003-1001.png": b"1",
                   "annotation.json": json.dumps({"train": [r2gen("CXR7_IM-0003")]})})  # fmt: skip
    [image] = scanned(tmp_path).studies["cxr7"].images
    assert image.key == "im-0003-1001"


def test_a_whole_run_on_the_look_alike_of_r2gens_tree(tmp_path):
    openi_layout.write(tmp_path, studies=12, seed=3, height=96, form="r2gen")
    truth = [json.loads(line) for line in (tmp_path / "openi.truth.jsonl").open()]
    folder = build(tmp_path / "openi", "openi", tmp_path / "out")
    assert verify.main([str(folder), "--deep"]) == 0
    found: dict[str, list] = {}
    for _, row in samples(folder):
        found.setdefault(row["study"].upper(), []).append(row)
    kept = [line for line in truth if line["study"] in found]
    assert len(found) == len(kept) == 5
    for line in kept:
        rows = found[line["study"]]
        assert len(rows) == 2 <= len(line["images"])
        split = {"val": "validate"}.get(line["split"], line["split"])
        assert {row["split"] for row in rows} == {split}
        said = [s["text"] for s in line["sentences"] if s["section"] == "findings"]
        assert said
        assert all(" ".join(text.split()) in row["findings"] for row in rows for text in said)


def test_r2gens_list_of_the_real_reports(shared, tmp_path):
    archive = shared / "data/openi"
    tables = {table.name: table for table in Openi().tables(archive)}
    entries = []
    wanted = {}
    for study, row in Openi().rows(archive, tables["reports"]):
        found = Openi().report(archive, ReportRef(row["path"], row["member"])).report
        if "findings" in found and row["images"]:
            name = f"CXR{study[3:]}_IM-0001"
            entries.append(r2gen(name, report=found["findings"]))
            wanted[study] = found["findings"]
    names = [f"images/{one['id']}/{place}.png" for one in entries[:50] for place in (0, 1)]
    lay(tmp_path, dict.fromkeys(names, b"x"))
    joined = annotated(tmp_path, *entries)
    assert (joined.listed, len(joined.studies)) == (2 * len(wanted), 50)
    assert len(wanted) > 3300
    assert joined.notes["report.missing"] == 0
    for study, made in joined.studies.items():
        assert Openi().report(tmp_path, made.report).report == {"findings": wanted[study]}
