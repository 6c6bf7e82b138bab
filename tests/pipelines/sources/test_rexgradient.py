"""ReXGradient-160K: its objects of studies, deep folders and packed images, by hand and whole."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from joining import Joined, join, lay
from whole_runs import boxes_agree, views_agree, whole_run

from cxr_vlp.pipelines.errors import ConfigError, DataError, IngestError
from cxr_vlp.pipelines.records import ReportRef
from cxr_vlp.pipelines.sources.rexgradient import Rexgradient
from cxr_vlp.pipelines.synthetic.layouts import rexgradient


def tail(patient: str, accession: str, sop: str, uid: str = "1.2.840.1") -> str:
    return f"deid_png/{patient}/{accession}/studies/{uid}/series/1.3/instances/{sop}.png"


ONE, TWO = tail("GRDN1", "ACC1", "9.1"), tail("GRDN1", "ACC1", "9.2")
OTHER = tail("GRDN2", "ACC2", "9.3")
KEY, OTHER_KEY = "acc1-f9a13599", "acc2-f9a13599"


def study(*tails: str, **values: Any) -> dict[str, Any]:
    return {
        "PatientID": "GRDN1",
        "Indication": "Cough.",
        "Comparison": "None",
        "Findings": "The lungs are clear.",
        "Impression": "No acute disease.",
        "PatientSex": "F",
        "PatientAge": "057Y",
        "StudyDate": 20110304,
        "ImagePath": [f"../{path}" for path in tails],
        "ImageViewPosition": ["PA", "LATERAL"][: len(tails)],
    } | values


def tree(root: Path, *files: str, boxes: Any = None, **splits: Any) -> Path:
    """Write the metadata of some splits, each a mapping of studies, and images of one byte."""
    for split, studies in splits.items():
        text = studies if isinstance(studies, str) else json.dumps(studies, indent=1)
        lay(root, {f"metadata/{split}_metadata_view_position.json": text})
    if boxes is not None:
        lay(root, {"metadata/interstitial_pattern_bbox.json": json.dumps(boxes)})
    return lay(root, dict.fromkeys(files, b"1"))


def scanned(root: Path, **options: Any) -> Joined:
    joined = join(Rexgradient(**options), root)
    assert joined.balanced()
    return joined


def test_a_study_its_images_and_its_report(tmp_path):
    root = tree(tmp_path, ONE, TWO, train={"GRDN1_ACC1_1": study(ONE, TWO)})
    joined = scanned(root)
    found = joined.studies[KEY]
    assert joined.codes() == joined.notes == {}
    assert (found.patient, found.split, found.sex, found.age) == ("GRDN1", "train", "F", 57)
    assert [(i.key, i.path, i.view, i.projection) for i in found.images] == [
        ("0", ONE, "frontal", "PA"), ("1", TWO, "lateral", "LATERAL"),
    ]  # fmt: skip
    read = Rexgradient().report(root, found.report)
    assert read.sha256 == found.report.sha256
    assert read.report == {  # "None" as text is no comparison
        "indication": "Cough.",
        "findings": "The lungs are clear.",
        "impression": "No acute disease.",
    }


def test_the_splits_and_the_order_of_a_patients_studies(tmp_path):
    root = tree(
        tmp_path, ONE, OTHER,
        train={"a": study(ONE)}, valid={"b": study(OTHER, PatientID="GRDN2", StudyDate="20100101")},
    )  # fmt: skip
    studies = scanned(root).studies
    assert (studies[KEY].split, studies[OTHER_KEY].split) == ("train", "validate")
    assert studies[OTHER_KEY].when < studies[KEY].when


@pytest.mark.parametrize(
    ("age", "years", "notes"),
    [("007Y", 7, {}), ("002D", 0, {}), ("011M", 0, {}), ("013M", 1, {}), (None, None, {}),
     ("None", None, {}), (float("nan"), None, {}), ("old", None, {"age.bad_value": 1})],
)  # fmt: skip
def test_ages_of_children_and_missing_ones(tmp_path, age, years, notes):
    joined = scanned(tree(tmp_path, ONE, train={"a": study(ONE, PatientAge=age)}))
    assert joined.studies[KEY].age == years
    assert joined.notes == notes


@pytest.mark.parametrize(
    ("word", "view", "projection"),
    [("POSTERO_ANTERIOR", "frontal", "PA"), ("LL", "lateral", "LL"), ("RAO", "other", "RAO"),
     ("UNKNOWN", "unknown", ""), ("N/A", "unknown", ""), (None, "unknown", ""),
     ("AP (KUB)", "unknown", "")],
)  # fmt: skip
def test_words_for_views(tmp_path, word, view, projection):
    joined = scanned(tree(tmp_path, ONE, train={"a": study(ONE, ImageViewPosition=[word])}))
    [image] = joined.studies[KEY].images
    assert (image.view, image.projection) == (view, projection)


@pytest.mark.parametrize("views", [["PA"], ["PA", "LATERAL", "AP"]])
def test_a_list_of_views_of_another_length_gives_no_view(tmp_path, views):
    root = tree(tmp_path, ONE, TWO, train={"a": study(ONE, TWO, ImageViewPosition=views)})
    joined = scanned(root)
    assert [image.view for image in joined.studies[KEY].images] == ["unknown", "unknown"]
    assert joined.notes == {"json.lists": 1, "view.unknown": 2}


def test_the_older_metadata_have_no_views(tmp_path):
    older = {k: v for k, v in study(ONE).items() if k != "ImageViewPosition"}
    root = lay(tmp_path, {"metadata/train_metadata.json": json.dumps({"a": older}), ONE: b"1"})
    assert scanned(root).notes == {"view.unknown": 1}
    tree(root, train={"a": study(ONE)})  # with both, the newer are read
    assert scanned(root).notes == {}


def test_images_beside_the_folder_of_the_download(tmp_path):
    lay(tmp_path, {
        "download/metadata/test_metadata_view_position.json": json.dumps({"a": study(ONE)}),
        "unpacked/" + ONE: b"1",
    })  # fmt: skip
    assert scanned(tmp_path).studies[KEY].images[0].path == "unpacked/" + ONE


@pytest.mark.parametrize(
    "name", ["deid_png.part00", "download/deid_png.part09", "deid_png.tar.zst"]
)
def test_images_that_are_still_packed_stop_with_the_commands(tmp_path, name):
    root = tree(tmp_path, name, train={"a": study(ONE)})
    with pytest.raises(ConfigError, match=r"cat deid_png\.part\* \| tar --zstd -xf -"):
        scanned(root)
    lay(root, {ONE: b"1"})
    assert scanned(root).codes() == {}  # the parts may stay beside the unpacked images


def test_the_joined_parts_without_compression_are_read_in_place(tmp_path):
    root = tree(tmp_path, ONE, train={"a": study(ONE)})
    with tarfile.open(root / "deid_png.tar", "w") as packed:
        packed.add(root / ONE, ONE)
    (root / ONE).unlink()
    [image] = scanned(root).studies[KEY].images
    assert image.path == f"deid_png.tar/{ONE}"


def test_another_folder_is_not_accepted(tmp_path):
    with pytest.raises(ConfigError, match="no ReXGradient-160K tree"):
        Rexgradient().tables(lay(tmp_path, {"train_metadata.csv": "id\n"}))


def test_missing_and_unlisted_images_are_counted(tmp_path):
    stranger = tail("GRDN7", "ACC7", "9.9")
    copy = "copy/" + ONE.replace(".png", ".jpg")
    root = tree(
        tmp_path, ONE, copy, stranger, tail("GRDN1", "ACC1", "9.8"), train={"a": study(ONE, TWO)}
    )
    joined = scanned(root)
    assert joined.codes() == {"image.missing": 1}
    assert joined.notes == {"image.unlisted": 2, "image.duplicate_file": 1}
    assert joined.studies[KEY].images[0].path == ONE  # the PNG


@pytest.mark.parametrize(
    ("paths", "codes", "notes"),
    [
        (["../deid_png/a.png"], {"csv.path": 1}, 1),
        ([f"../{ONE}", f"../{OTHER}"], {"csv.path": 2}, 1),
        ([f"../{ONE}", None], {"csv.path": 2}, 1),
        ([], {"study.no_image": 0}, 1),
        (None, {"study.no_image": 0}, 1),
    ],
    ids=["no-folders", "two-studies", "a-missing-path", "no-image", "no-list"],
)
def test_a_study_whose_paths_name_no_study_is_lost_with_its_images(tmp_path, paths, codes, notes):
    bad = study(ONE, ImagePath=paths)
    root = tree(tmp_path, ONE, OTHER, train={"a": bad, "b": study(OTHER, PatientID="GRDN2")})
    joined = scanned(root)
    assert joined.codes() == codes
    [code] = codes
    assert joined.notes[f"{code} train_metadata_view_position.json line 1"] == notes
    assert list(joined.studies) == [OTHER_KEY]


def test_backslashes_one_path_and_a_repeated_one_are_read(tmp_path):
    windows = "..\\" + ONE.replace("/", "\\")
    root = tree(tmp_path, ONE, train={"a": study(ONE, ImagePath=windows, ImageViewPosition="AP")})
    assert [i.projection for i in scanned(root).studies[KEY].images] == ["AP"]
    tree(root, train={"a": study(ONE, ONE)})
    joined = scanned(root)
    assert (joined.listed, joined.notes["csv.repeated_row"]) == (1, 1)


def test_a_study_twice_counts_once_unless_it_differs(tmp_path):
    twice = f'{{"a": {json.dumps(study(ONE))},\n "a": {json.dumps(study(ONE))}}}'
    assert scanned(tree(tmp_path, ONE, train=twice)).notes == {"csv.repeated_row": 1}
    tree(tmp_path, train={"a": study(ONE), "b": study(ONE, Findings="Clear.")})
    assert scanned(tmp_path).codes() == {"csv.conflict": 1}


def test_a_study_of_two_splits_or_two_patients_is_refused(tmp_path):
    root = tree(tmp_path, ONE, train={"a": study(ONE)}, test={"a": study(ONE)})
    assert scanned(root).codes() == {"split.conflict": 1}
    other = tree(tmp_path / "2", ONE, train={"a": study(ONE, PatientID="GRDN9")})
    assert scanned(other).codes() == {"study.two_patients": 1}


def test_two_studies_of_one_accession_number_stay_apart(tmp_path):
    second = tail("GRDN1", "ACC1", "9.7", uid="1.2.840.2")
    joined = scanned(tree(tmp_path, ONE, second, train={"a": study(ONE), "b": study(second)}))
    assert len(joined.studies) == 2
    assert joined.codes() == {}


@pytest.mark.parametrize("date", ["2011-03-04", "soon", 2011])
def test_a_bad_date_loses_the_order_only(tmp_path, date):
    joined = scanned(tree(tmp_path, ONE, train={"a": study(ONE, StudyDate=date)}))
    assert joined.studies[KEY].when == ""
    assert joined.notes == {"date.bad_value": 1}


def test_a_study_without_any_text_has_no_report(tmp_path):
    none = dict.fromkeys(("Indication", "Comparison", "Findings", "Impression"), "None")
    joined = scanned(tree(tmp_path, ONE, train={"a": study(ONE, **none)}))
    assert joined.studies[KEY].report is None
    assert joined.notes == {"report.missing": 1}


def test_metadata_that_are_cut_stop(tmp_path):
    text = json.dumps({"a": study(ONE), "b": study(OTHER)}, indent=1)
    root = tree(tmp_path, ONE, train=text[: len(text) * 2 // 3])
    with pytest.raises(DataError, match=r"json\.broken: train_metadata_view_position\.json"):
        scanned(root)


def test_metadata_without_a_study_stop(tmp_path):
    root = tree(tmp_path, ONE, train={"a": study(ONE)}, valid={})
    with pytest.raises(DataError, match=r"csv\.no_row: valid_metadata_view_position\.json"):
        scanned(root)


def test_a_report_whose_place_holds_another_thing_cannot_be_read(tmp_path):
    root = tree(tmp_path, ONE, train={"a": study(ONE)})
    ref = scanned(root).studies[KEY].report
    tree(root, train={"longer": study(ONE)})
    with pytest.raises(IngestError, match=r"report\.unreadable"):
        Rexgradient().report(root, ReportRef(ref.path, ref.member))


BOX = {"x": 10.0, "y": 20.0, "width": 30.0, "height": 40.0, "rectanglelabels": ["Reticular"]}


def test_boxes_stand_in_percent_of_their_image(tmp_path):
    boxes = {"GRDN1_ACC1_1_9.2.png": [BOX, BOX], "GRDN1_ACC1_1_9.99.png": [BOX]}
    root = tree(tmp_path, ONE, TWO, train={"a": study(ONE, TWO)}, boxes=boxes)
    joined = scanned(root)
    first, second = joined.studies[KEY].images
    assert (first.boxes, second.frame) == ((), (100, 100))
    assert [(b.label, b.x, b.y, b.w, b.h) for b in second.boxes] == [
        ("Reticular", 10.0, 20.0, 30.0, 40.0)
    ]
    assert joined.notes["list.image interstitial_pattern_bbox.json line 1"] == 1
    assert scanned(root, boxes="none").studies[KEY].images[1].boxes == ()


def test_an_impossible_box_is_counted_and_left_out(tmp_path):
    boxes = {"GRDN1_ACC1_1_9.1.png": [BOX, BOX | {"width": -4.0}]}
    joined = scanned(tree(tmp_path, ONE, train={"a": study(ONE)}, boxes=boxes))
    assert joined.notes == {"box.bad_value": 1}
    assert len(joined.studies[KEY].images[0].boxes) == 1


@pytest.mark.parametrize("paths", [[], None])
def test_a_box_without_an_image_beside_a_study_without_one(tmp_path, paths):
    studies = {"a": study(ONE), "b": study(ImagePath=paths)}
    joined = scanned(tree(tmp_path, ONE, train=studies, boxes=[BOX]))
    assert list(joined.studies) == [KEY]
    assert joined.notes["list.image interstitial_pattern_bbox.json line 1"] == 1
    assert joined.notes["study.no_image train_metadata_view_position.json line 2"] == 1


@pytest.mark.parametrize(
    "value", [["The lungs are clear."], 7, True, {"text": "Clear."}, "Clear \ud800.", "\0\1\2"]
)
def test_a_section_that_is_no_text_loses_its_study(tmp_path, value):
    joined = scanned(tree(tmp_path, ONE, train={"a": study(ONE, Findings=value)}))
    assert joined.codes() == {"report.not_text": 1}
    assert joined.studies == {}


@pytest.mark.parametrize("value", [None, float("nan"), "None", "nan", " ", "N/A"])
def test_a_missing_section_is_no_text(tmp_path, value):
    root = tree(tmp_path, ONE, train={"a": study(ONE, Findings=value, Indication=value)})
    report = Rexgradient().report(root, scanned(root).studies[KEY].report).report
    assert report == {"impression": "No acute disease."}


def test_the_look_alike_the_whole_way(tmp_path):
    run = whole_run(tmp_path, "rexgradient", rexgradient.write)
    pairs = run.pairs()
    assert {sample["split"] for _, _, sample in pairs} == {"train", "validate", "test"}
    assert sum(bool(image["boxes"]) for _, image, _ in pairs) >= 3
    for line, image, sample in pairs:
        assert sample["patient"] == line["patient"]
        assert sample["split"] == {"valid": "validate"}.get(line["split"], line["split"])
        assert views_agree(image, sample)
        assert boxes_agree(image, sample)
        text = " ".join(f"{sample['findings']} {sample['impression']}".split())
        assert all(sentence["text"] in text for sentence in line["sentences"])
    assert {0, 7} <= {sample["age"] for _, _, sample in pairs}
