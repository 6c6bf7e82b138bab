"""MIMIC-CXR's layout and faults, on trees written by hand."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pytest
from joining import Joined, join, lay
from stages import build, samples

from cxr_vlp.nlp.labels import CHEXPERT14
from cxr_vlp.pipelines import verify
from cxr_vlp.pipelines.errors import ConfigError, DataError
from cxr_vlp.pipelines.sources.mimic import Mimic
from cxr_vlp.pipelines.synthetic.layouts import mimic as mimic_layout
from cxr_vlp.pipelines.synthetic.writing import dicom_files

A, B, C = (f"{n}0000000-0000000{n}-00000000-00000000-00000000" for n in (1, 2, 3))
CXR, JPG = "mimic-cxr/2.1.0", "mimic-cxr-jpg/2.1.0"
STUDY = "files/p19/p19999001/s59999001"
OTHER = "files/p19/p19999001/s59999002"


def metadata(*rows: tuple[str, str, str, str, str]) -> str:
    head = (
        "dicom_id,subject_id,study_id,ViewPosition,StudyDate,StudyTime,ViewCodeSequence_CodeMeaning"
    )
    lines = [f"{d},19999001,{s},{v},{date},{time},{code}" for d, s, v, (date, time), code in rows]
    return "\n".join([head, *lines]) + "\n"


def labels(study: str, **values: str) -> str:
    cells = ",".join(values.get(name.replace(" ", "_"), "") for name in CHEXPERT14)
    return f"subject_id,study_id,{','.join(CHEXPERT14)}\n19999001,{study},{cells}\n"


def split(*rows: tuple[str, str, str]) -> str:
    lines = [f"{dicom},{study},19999001,{name}" for dicom, study, name in rows]
    return "\n".join(["dicom_id,study_id,subject_id,split", *lines]) + "\n"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two studies of one patient: JPGs, a report beside the study's folder, all tables."""
    return lay(
        tmp_path,
        {
            f"{JPG}/{STUDY}/{A}.jpg": b"a",
            f"{JPG}/{STUDY}/{B}.jpg": b"b",
            f"{JPG}/{OTHER}/{C}.jpg": b"c",
            f"{CXR}/{STUDY}.txt": " FINAL REPORT\n",
            f"{JPG}/mimic-cxr-2.0.0-metadata.csv.gz": metadata(
                (A, "59999001", "PA", ("21800102", "93012.25"), ""),
                (B, "59999001", "", ("21800102", "93012.25"), "left lateral"),
                (C, "59999002", "", ("21800102", "113012.5"), ""),
            ),
            f"{JPG}/mimic-cxr-2.0.0-split.csv.gz": split(
                (A, "59999001", "test"), (B, "59999001", "test"), (C, "59999002", "test")
            ),
            f"{JPG}/mimic-cxr-2.0.0-chexpert.csv.gz": labels(
                "59999001", Edema="1.0", Pneumonia="-1.0", Fracture="0.0"
            ),
        },
    )


def scanned(tree: Path, **options) -> Joined:
    joined = join(Mimic(**options), tree)
    assert joined.balanced()
    return joined


def test_all_fields_of_a_study(tree):
    study = scanned(tree).studies["s59999001"]
    assert (study.key, study.split, study.labels_from) == ("s59999001", "test", "chexpert")
    assert [(i.key, i.view, i.projection) for i in study.images] == [
        (A, "frontal", "PA"),
        (B, "lateral", "LL"),  # by the view code: ViewPosition is often empty
    ]
    assert study.labels == {"Edema": 1, "Pneumonia": -1, "Fracture": 0}  # blank is no label
    assert study.report.path == f"{CXR}/{STUDY}.txt"
    assert len(study.report.sha256) == 64
    assert study.patient == "19999001"


def test_times_without_leading_zeros_are_ordered_correctly(tree):
    studies = scanned(tree).studies
    # as text "93012" > "113012"; as times half past nine comes first
    assert studies["s59999001"].when < studies["s59999002"].when


def test_an_empty_view_is_unknown_not_frontal(tree):
    assert scanned(tree).studies["s59999002"].images[0].view == "unknown"


def test_a_study_may_have_no_labels_and_no_report(tree):
    joined = scanned(tree)
    assert joined.studies["s59999002"].labels == {}
    assert joined.studies["s59999002"].report is None
    assert joined.notes["report.missing"] == 1


def test_labels_of_one_study_never_reach_another(tree):
    # groupby(subject).first() takes the first value of each COLUMN and mixes the studies
    lay(tree, {f"{JPG}/mimic-cxr-2.0.0-chexpert.csv.gz": labels("59999001", Edema="1.0")
               + labels("59999002", Fracture="1.0").split("\n", 1)[1]})  # fmt: skip
    studies = scanned(tree).studies
    assert studies["s59999001"].labels == {"Edema": 1}
    assert studies["s59999002"].labels == {"Fracture": 1}


def test_a_partial_download_is_accepted(tree):
    (tree / JPG / STUDY / f"{A}.jpg").unlink()
    (tree / JPG / OTHER / f"{C}.jpg").unlink()
    joined = scanned(tree)
    assert joined.codes() == {"image.missing": 2}
    assert list(joined.studies) == ["s59999001"]


def test_a_file_that_no_table_lists_is_noted_and_left_out(tree):
    extra = A.replace("1", "7")
    lay(tree, {f"{JPG}/{STUDY}/{extra}.jpg": b"x"})
    joined = scanned(tree)
    assert joined.notes["image.unlisted"] == 1
    assert len(joined.studies["s59999001"].images) == 2


def test_without_tables_the_images_on_disk_are_the_list(tmp_path):
    lay(tmp_path, {f"{STUDY}/{A}.dcm": b"junk", f"{STUDY}.txt": "x"})
    joined = scanned(tmp_path)
    assert joined.listed == 1
    assert joined.studies["s59999001"].split in ("train", "validate", "test")


@pytest.mark.parametrize(("prefer", "suffix"), [("dicom", ".dcm"), ("jpg", ".jpg")])
def test_the_option_chooses_between_dicom_and_jpg(tree, prefer, suffix):
    lay(tree, {f"{CXR}/{STUDY}/{A}.dcm": b"junk"})
    first = scanned(tree, images=prefer).studies["s59999001"].images[0]
    assert first.path.endswith(suffix)


def test_a_dicom_header_gives_the_view_if_no_table_does(tmp_path):
    header = dicom_files.Header(
        "19999001", "59999001", "0", date="21800101", time="080000", view="LL"
    )
    pixels = dicom_files.SYNTAXES[0]
    import numpy as np

    data = dicom_files.file_bytes(
        np.zeros((70, 70), np.uint16), bits=12, photometric="MONOCHROME2", syntax=pixels,
        header=header,
    )  # fmt: skip
    lay(tmp_path, {f"{STUDY}/{A}.dcm": data})
    study = scanned(tmp_path).studies["s59999001"]
    assert (study.images[0].view, study.images[0].projection) == ("lateral", "LL")
    assert study.when == "21800101080000"


def test_reports_in_a_zip_are_found(tree):
    (tree / CXR / f"{STUDY}.txt").unlink()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(f"{STUDY}.txt", " FINAL REPORT\n")
    lay(tree, {f"{CXR}/mimic-cxr-reports.zip": buffer.getvalue()})
    report = scanned(tree).studies["s59999001"].report
    assert (report.path, report.member) == (f"{CXR}/mimic-cxr-reports.zip", f"{STUDY}.txt")
    assert Mimic().report(tree, report) == (" FINAL REPORT\n", report.sha256, "")


def test_images_with_the_same_start_of_their_ids_are_kept_apart(tree):
    twin = f"{A[:8]}-99999999-00000000-00000000-00000000"
    lay(tree, {f"{JPG}/{STUDY}/{twin}.jpg": b"t"})
    path = tree / JPG / "mimic-cxr-2.0.0-metadata.csv.gz"
    lay(tree, {f"{JPG}/{path.name}": metadata(
        (A, "59999001", "PA", ("", ""), ""), (twin, "59999001", "PA", ("", ""), "")
    )})  # fmt: skip
    lay(tree, {f"{JPG}/mimic-cxr-2.0.0-split.csv.gz": split((A, "59999001", "test"))})
    keys = [image.key for image in scanned(tree).studies["s59999001"].images]
    assert keys == sorted([A, twin])  # in full: MS-CXR and the tables join on them


def test_a_study_that_the_split_list_does_not_name_is_rejected(tree):
    lay(tree, {f"{JPG}/mimic-cxr-2.0.0-split.csv.gz": split((A, "59999001", "train"))})
    joined = scanned(tree)
    assert joined.codes() == {"split.unlisted": 1}
    assert list(joined.studies) == ["s59999001"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        pytest.param(
            {f"{JPG}/mimic-cxr-2.0.0-split.csv.gz": split(
                (A, "59999001", "train"), (B, "59999001", "test"))},
            "split.conflict", id="study-in-two-splits"),
        pytest.param(
            {f"{JPG}/mimic-cxr-2.0.0-split.csv.gz": split((A, "59999001", "valid"))},
            "split.unknown", id="valid-is-not-validate"),
        pytest.param(
            {f"{JPG}/{STUDY.replace('19999001', '19999002')}/{A}.jpg": b"a"},
            "study.two_patients", id="study-under-two-patients"),
        pytest.param(
            {f"{JPG}/mimic-cxr-2.0.0-chexpert.csv.gz": labels("59999001", Edema="1.0")
             + labels("59999001", Edema="0.0").split("\n", 1)[1]},
            "csv.conflict", id="labels-contradict"),
        pytest.param(
            {f"{JPG}/mimic-cxr-2.0.0-metadata.csv.gz": metadata(
                (A, "59999001", "PA", ("", ""), ""), ("nan", "59999001", "PA", ("", ""), ""),
                (C, "59999002", "", ("", ""), ""))},
            "csv.id", id="no-dicom-id"),
    ],
)  # fmt: skip
def test_a_contradiction_rejects_only_its_study(tree, change, code):
    lay(tree, {f"{JPG}/mimic-cxr-2.0.0-split.csv.gz": split(
        (A, "59999001", "test"), (B, "59999001", "test"), (C, "59999002", "train"))})  # fmt: skip
    if "split" in next(iter(change)):
        change = {name: text + f"{C},59999002,19999001,train\n" for name, text in change.items()}
    joined = scanned(lay(tree, change))
    assert joined.codes().pop(code) in (1, 2)
    assert list(joined.studies) == ["s59999002"]


def test_a_broken_zip_of_reports_stops(tree):
    lay(tree, {f"{CXR}/mimic-cxr-reports.zip": b"PK\x03\x04 cut"})
    with pytest.raises(DataError, match=r"report\.zip"):
        join(Mimic(), tree)


def test_an_invalid_label_is_counted_and_not_guessed(tree):
    lay(
        tree,
        {f"{JPG}/mimic-cxr-2.0.0-chexpert.csv.gz": labels("59999001", Edema="2", Fracture="0")},
    )
    joined = scanned(tree)
    assert joined.studies["s59999001"].labels == {"Fracture": 0}
    assert joined.notes["label.bad_value:Edema"] == 1


def test_another_folder_is_not_accepted_as_mimic(tmp_path):
    with pytest.raises(ConfigError, match="no MIMIC-CXR tree"):
        Mimic().tables(tmp_path)


def csv_of(*rows: str, head: str = "dicom_id,subject_id,study_id,ViewPosition") -> str:
    return "\n".join([head, *rows]) + "\n"


@pytest.mark.parametrize(
    ("column", "word", "view"),
    [
        ("PerformedProcedureStepDescription", "CHEST (PORTABLE AP)", "frontal"),
        ("PerformedProcedureStepDescription", "CHEST (PA AND LAT)", "unknown"),
        ("ProcedureCodeSequence_CodeMeaning", "CHEST (PORTABLE AP)", "frontal"),
        ("AcquisitionDeviceProcessingDescription", "CHEST LAT", "lateral"),
        ("SeriesDescription", "nan", "unknown"),
    ],
)
def test_the_procedure_gives_the_view_if_nothing_else_does(tree, column, word, view):
    lay(tree, {f"{JPG}/mimic-cxr-2.0.0-metadata.csv.gz": csv_of(
        f"{A},19999001,59999001,,{word}", f"{B},19999001,59999001,nan,{word}",
        f"{C},19999001,59999002,LL,{word}",
        head=f"dicom_id,subject_id,study_id,ViewPosition,{column}")})  # fmt: skip
    joined = scanned(tree)
    assert [image.view for image in joined.studies["s59999001"].images] == [view, view]
    assert joined.studies["s59999002"].images[0].view == "lateral"
    assert joined.notes["view.unknown"] == 2 * (view == "unknown")


def header_of(folder: Path, change) -> str:
    import numpy as np
    import pydicom

    header = dicom_files.Header(
        "19999001", "59999001", "0", date="21800101", time="080000", view=""
    )
    data = dicom_files.file_bytes(
        np.zeros((70, 70), np.uint16), bits=12, photometric="MONOCHROME2",
        syntax=dicom_files.SYNTAXES[0], header=header,
    )  # fmt: skip
    dataset = pydicom.dcmread(io.BytesIO(data))
    dataset.ViewPosition = ""
    for name in ("ViewCodeSequence", "SeriesDescription", "StudyDescription", "ProtocolName",
                 "PerformedProcedureStepDescription"):  # fmt: skip
        if name in dataset:
            delattr(dataset, name)
    change(dataset)
    stream = io.BytesIO()
    dataset.save_as(stream)
    lay(folder, {f"{STUDY}/{A}.DCM": stream.getvalue()})
    return scanned(folder).studies["s59999001"].images[0].view


def code(value: str, meaning: str, modifier: str = ""):
    import pydicom

    def change(dataset) -> None:
        item, below = pydicom.Dataset(), pydicom.Dataset()
        item.CodeValue, item.CodeMeaning = value, meaning
        if modifier:
            below.CodeMeaning = modifier
            item.ViewModifierCodeSequence = pydicom.Sequence([below])
        dataset.ViewCodeSequence = pydicom.Sequence([item])

    return change


@pytest.mark.parametrize(
    ("change", "view"),
    [
        (lambda d: setattr(d, "SeriesDescription", "CHEST LAT"), "lateral"),
        (lambda d: setattr(d, "ProtocolName", "Thorax p.a."), "frontal"),
        (lambda d: setattr(d, "PerformedProcedureStepDescription", "CHEST (PORTABLE AP)"),
         "frontal"),
        (lambda d: setattr(d, "StudyDescription", "CHEST (PA AND LAT)"), "unknown"),
        (lambda d: None, "unknown"),
        (code("R-10206", ""), "frontal"),
        (code("R-10236", "left lateral"), "lateral"),
        (code("R-10206", "antero-posterior", "Oblique"), "other"),
    ],
    ids=["series", "protocol", "procedure", "two-projections", "nothing", "code-value",
         "code-meaning", "code-with-modifier"],
)  # fmt: skip
def test_procedures_and_codes_of_the_header_give_the_view(tmp_path, change, view):
    assert header_of(tmp_path, change) == view


@pytest.mark.parametrize(
    "study", ["59999001.0", "5.9999001E7", "59,999,001", " 59999001 ", "s59999001", "S59999001"]
)
@pytest.mark.parametrize("subject", ["19999001", "19999001.0", "p19999001"])
def test_ids_changed_into_numbers_are_not_listed_twice(tree, study, subject):
    quoted = f'"{study}"'
    lay(tree, {
        f"{JPG}/mimic-cxr-2.0.0-metadata.csv.gz": csv_of(
            f"{A},{subject},{quoted},PA", f"{B},{subject},{quoted},LL",
            f"{C},19999001,59999002,PA"),
        f"{CXR}/cxr-record-list.csv.gz": csv_of(
            f"{A},19999001,59999001", f"{B},19999001,59999001", f"{C},19999001,59999002",
            head="dicom_id,subject_id,study_id"),
    })  # fmt: skip
    joined = scanned(tree)
    assert joined.listed == 3
    assert sorted(joined.studies) == ["s59999001", "s59999002"]
    assert joined.studies["s59999001"].labels["Edema"] == 1


def test_only_the_row_of_a_rounded_id_is_lost_and_counted(tree):
    lay(tree, {f"{JPG}/mimic-cxr-2.0.0-metadata.csv.gz": csv_of(
        f"{A},19999001,5.999E+07,PA", f"{C},19999001,59999002,PA")})  # fmt: skip
    joined = scanned(tree)
    assert joined.codes() == {"csv.id": 1}
    assert list(joined.studies) == ["s59999002"]


def test_nan_in_labels_is_no_label_and_no_bad_value(tree):
    lay(tree, {f"{JPG}/mimic-cxr-2.0.0-chexpert.csv.gz": labels(
        "59999001", Edema="1.0", Fracture="nan", Pneumonia="NaN")})  # fmt: skip
    joined = scanned(tree)
    assert joined.studies["s59999001"].labels == {"Edema": 1}
    assert not [note for note in joined.notes if note.startswith("label.")]


@pytest.mark.parametrize("suffix", [".DCM", ".Dicom", ".dcm.gz", ".JPG", ".PNG", ".jpeg", ".JPEG"])
def test_suffixes_in_upper_and_lower_case_are_found(tmp_path, suffix):
    lay(tmp_path, {f"{STUDY}/{A}{suffix}": b"x", f"{STUDY}.TXT": "FINDINGS: Clear lungs."})
    study = scanned(tmp_path).studies["s59999001"]
    assert study.report.path == f"{STUDY}.TXT"


@pytest.mark.parametrize("root", ["p19", ".", "../x/files"])
def test_a_root_one_folder_too_deep_or_too_high_is_read(tmp_path, root):
    lay(tmp_path / "x", {f"{STUDY}/{A}.jpg": b"x"})
    folder = {".": tmp_path, "../x/files": tmp_path / "x/files"}.get(root)
    assert list(scanned(folder or tmp_path / "x/files" / root).studies) == ["s59999001"]


def test_tables_four_folders_down_are_found(tmp_path):
    deep = "physionet.org/files/mimic-cxr-jpg/2.1.0"
    lay(tmp_path, {
        f"{deep}/mimic-cxr-2.0.0-metadata.csv": csv_of(f"{A},19999001,59999001,PA"),
        f"{deep}/{STUDY}/{A}.jpg": b"x"})  # fmt: skip
    assert scanned(tmp_path).studies["s59999001"].images[0].view == "frontal"


SECTIONED = "study,impression,findings,last_paragraph,comparison\n"


def sectioned(tree: Path, *rows: str, name: str = "mimic_cxr_sectioned.csv") -> Joined:
    return scanned(lay(tree, {f"{JPG}/{name}": SECTIONED + "".join(f"{row}\n" for row in rows)}))


@pytest.mark.parametrize("name", ["mimic_cxr_sectioned.csv", "mimic_cxr_sectioned.csv.gz"])
def test_reports_of_the_sectioned_table_are_read_by_place(tree, name):
    (tree / CXR / f"{STUDY}.txt").unlink()
    joined = sectioned(tree, 's59999001,Edema.,"The lungs\n are, clear.",,None.',
                       "s59999002,,,A single paragraph.,", name=name)  # fmt: skip
    one, two = joined.studies["s59999001"].report, joined.studies["s59999002"].report
    assert one.path == f"{JPG}/{name}"
    found = Mimic().report(tree, one)
    assert found.report == {
        "impression": "Edema.", "findings": "The lungs\n are, clear.", "comparison": "None.",
    }  # fmt: skip
    assert found.sha256 == one.sha256
    assert Mimic().report(tree, two).report == {"body": "A single paragraph."}
    assert not joined.notes["id.normalised"]
    assert not joined.notes["report.missing"]


def test_a_report_file_wins_over_the_sectioned_table(tree):
    joined = sectioned(tree, "s59999001,Edema.,,,")
    assert joined.studies["s59999001"].report.path.endswith(".txt")
    assert joined.notes["report.other_form"] == 1
    assert joined.notes["report.missing"] == 1  # of the other study, which the table leaves out


def test_a_study_that_the_sectioned_table_names_twice(tree):
    (tree / CXR / f"{STUDY}.txt").unlink()
    joined = sectioned(tree, "s59999001,Edema.,,,", "s59999001,Edema.,,,", "s59999002,A.,,,",
                       "s59999002,B.,,,", "s59999003,C.,,,")  # fmt: skip
    assert joined.codes() == {"csv.conflict": 1}
    assert joined.notes["csv.repeated_row"] == 1
    assert joined.notes["study.no_image"] == 1
    assert list(joined.studies) == ["s59999001"]


def test_the_text_of_the_sectioned_table_is_in_no_row(tree):
    sectioned(tree, "s59999001,Secret words.,,,")
    [table] = [table for table in Mimic().tables(tree) if table.name == "sectioned"]
    assert "Secret" not in str(list(Mimic().rows(tree, table)))


RADIOLOGISTS = "study_id," + ",".join(CHEXPERT14).replace("Lung Opacity", "Airspace Opacity")


@pytest.mark.parametrize(
    ("options", "labels", "by"),
    [
        ({"test_labels": "radiologists"}, {"Lung Opacity": 1, "Edema": -1}, "radiologists"),
        ({}, {"Edema": 1, "Pneumonia": -1, "Fracture": 0}, "chexpert"),
    ],
)
def test_radiologists_labels_of_release_2_1_count_only_if_asked_for(tree, options, labels, by):
    marks = ",".join({"Lung Opacity": "1.0", "Edema": "-1"}.get(n, "") for n in CHEXPERT14)
    text = f"{RADIOLOGISTS}\n59999001,{marks}\n59999009,{marks}\n"
    lay(tree, {f"{JPG}/mimic-cxr-2.1.0-test-set-labeled.csv": text})
    joined = join(Mimic(**options), tree)
    study = joined.studies["s59999001"]
    assert (study.labels, study.labels_from) == (labels, by)
    assert joined.notes["study.no_image"] == (by == "radiologists")
    assert joined.codes() == {}


def r2gen(*entries: dict, **lists: list) -> str:
    return json.dumps({"train": list(entries), "val": [], "test": []} | lists)


def entry(dicom: str, study: int = 59999001, report: str = "Clear lungs.", **values) -> dict:
    path = f"p19/p19999001/s{study}/{dicom}.jpg"
    return {"id": dicom, "study_id": study, "subject_id": 19999001, "report": report,
            "image_path": [path], "split": "train"} | values  # fmt: skip


def images(*dicoms: str) -> dict[str, bytes]:
    return {f"images/{STUDY.removeprefix('files/')}/{name}.jpg": b"x" for name in dicoms}


@pytest.mark.parametrize("name", ["annotation.json", "mimic_annotation_all.json"])
@pytest.mark.parametrize(("key", "split"), [("train", "train"), ("val", "validate"),
                                            ("test", "test")])  # fmt: skip
def test_r2gens_tree_is_a_form_of_mimic(tmp_path, name, key, split):
    entries = [entry(A, split=key), entry(B, split=key)]
    lay(tmp_path, images(A, B) | {name: r2gen(**{key: entries})})
    joined = scanned(tmp_path)
    study = joined.studies["s59999001"]
    assert (study.patient, study.split) == ("19999001", split)
    assert [image.key for image in study.images] == [A, B]  # the keys of MIMIC's own tables
    found = Mimic().report(tmp_path, study.report)
    assert (found.report, found.sha256) == ({"findings": "Clear lungs."}, study.report.sha256)
    assert joined.notes == {"view.unknown": 2}


def test_images_that_r2gen_lists_and_are_not_there_and_the_reverse(tmp_path):
    other = entry(C, 59999002, split="val")
    lay(tmp_path, images(A, B) | {"annotation.json": r2gen(entry(A), val=[other])})
    joined = scanned(tmp_path)
    assert joined.codes() == {"image.missing": 1}
    assert joined.notes["image.unlisted"] == 1
    assert joined.listed == 2


def test_ids_of_r2gens_list_may_have_their_letters(tmp_path):
    lettered = entry(A, study_id="s59999001", subject_id="p19999001")
    joined = scanned(lay(tmp_path, images(A) | {"annotation.json": r2gen(lettered)}))
    assert joined.codes() == {}
    assert joined.studies["s59999001"].patient == "19999001"


def test_a_study_that_r2gen_does_not_keep_is_unlisted_and_no_more(tmp_path):
    folder = f"images/{OTHER.removeprefix('files/')}"
    lay(tmp_path, images(A) | {f"{folder}/{C}.jpg": b"x", "annotation.json": r2gen(entry(A))})
    assert scanned(tmp_path).notes == {"image.unlisted": 1, "view.unknown": 1}


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (entry(B, split="test"), "split.conflict"),
        (entry(B, image_path=[]), "json.entry"),
        (entry(B, image_path=[7]), "json.entry"),
        (["a list"], "json.entry"),
        (entry("nan", image_path=["nan.jpg"]), "csv.id"),
        (entry(B, 59999002, report="Other."), "csv.conflict"),
        (entry(B, study_id=59999003), "csv.conflict"),
        (entry(B, subject_id=True, study_id="x", image_path=["x.jpg"]), "csv.id"),
    ],
    ids=["split", "no-image", "image-is-a-number", "no-object", "no-dicom-id", "reports-differ",
         "ids-differ-from-the-path", "no-ids"],
)  # fmt: skip
def test_a_bad_entry_of_r2gens_list_loses_itself(tmp_path, bad, code):
    good = entry(A, 59999002)
    folder = f"images/{OTHER.removeprefix('files/')}"
    lay(tmp_path, images(B) | {f"{folder}/{A}.jpg": b"a", f"{folder}/{B}.jpg": b"b",
                               "annotation.json": r2gen(good, bad)})  # fmt: skip
    joined = scanned(tmp_path)
    assert code in joined.codes()
    assert (list(joined.studies) == ["s59999002"]) == ("Other." not in str(bad) and bad != "nan")
    assert "lungs" not in str(joined.notes)


def test_a_report_with_headings_is_read_as_a_whole_report(tmp_path):
    text = " FINAL REPORT\n FINDINGS: Clear.\n IMPRESSION: No pneumonia.\n"
    lay(tmp_path, images(A) | {"annotation.json": r2gen(entry(A, report=text))})
    assert Mimic().report(tmp_path, scanned(tmp_path).studies["s59999001"].report).report == text


@pytest.mark.parametrize("report", ["", "  ", None, "None", "nan", float("nan")])
def test_an_entry_without_report_keeps_its_image(tmp_path, report):
    lay(tmp_path, images(A) | {"annotation.json": r2gen(entry(A, report=report))})
    joined = scanned(tmp_path)
    assert joined.studies["s59999001"].report is None
    assert joined.notes["report.missing"] == 1


def test_half_a_character_in_a_report_is_not_text(tmp_path):
    lay(tmp_path, images(A) | {"annotation.json": r2gen(entry(A, report="Clear \ud800."))})
    assert scanned(tmp_path).notes["report.not_text"] == 1


def test_beside_mimics_own_tables_r2gens_list_gives_reports_alone(tree):
    other = entry(C, 59999002, "Effusion.", split="train")
    strange = entry(f"{A[:-1]}9", split="train")  # an image that MIMIC's tables do not list
    lay(tree, {f"{JPG}/mimic_annotation_all.json": r2gen(entry(A), other, strange)})
    joined = scanned(tree)
    assert joined.studies["s59999001"].report.path.endswith(".txt")
    assert joined.studies["s59999002"].report.path.endswith(".json")
    assert {study.split for study in joined.studies.values()} == {"test"}  # MIMIC's own
    assert joined.notes["report.other_form"] == 1
    assert (joined.listed, joined.codes()) == (3, {})


@pytest.mark.parametrize("form", ["sectioned", "r2gen"])
def test_a_whole_run_on_the_look_alike_of_another_form(tmp_path, form):
    mimic_layout.write(tmp_path, studies=12, seed=4, height=96, form=form)
    truth = [json.loads(line) for line in (tmp_path / "mimic.truth.jsonl").open()]
    folder = build(tmp_path / "mimic", "mimic", tmp_path / "out")
    assert verify.main([str(folder), "--deep"]) == 0
    found: dict[str, list] = {}
    for key, row in samples(folder):
        found.setdefault(row["study"], []).append((key, row))
    with_findings = {line["study"] for line in truth
                     if any(s["section"] == "findings" for s in line["sentences"])}  # fmt: skip
    # R2Gen keeps reports with findings; a study without label and report has no text at all
    labelled = {line["study"] for line in truth if line["labels"] and form == "sectioned"}
    kept = [line for line in truth if line["study"] in with_findings | labelled]
    assert set(found) == {f"s{line['study']}" for line in kept}
    assert len(kept) > 8
    for line in kept:
        rows = found[f"s{line['study']}"]
        assert {row["split"] for _, row in rows} == {line["split"]}
        assert {Path(image["path"]).stem for image in line["images"]} == {
            key.partition(f"{line['study']}-")[2] for key, _ in rows
        }
        if form == "sectioned":
            assert all(row["labels"] == line["labels"] for _, row in rows)
            views = [("lateral" if i["view"] == "LATERAL" else "frontal") for i in line["images"]]
            assert sorted(row["view"] for _, row in rows) == sorted(views)
    inventory = b"".join(p.read_bytes() for p in (tmp_path / "out/scan").rglob("*.json*"))
    assert b"lung" not in inventory  # a report is first in `texts`
    texts = " ".join(row["findings"] for rows in found.values() for _, row in rows)
    said = [s["text"] for line in kept for s in line["sentences"] if s["section"] == "findings"]
    there = [" ".join(text.split()) in texts for text in said]
    assert sum(there) > 0.8 * len(there) > 10
