"""PadChest by its preset: the table's traps by hand, and the look-alike through all stages."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from joining import Joined, join, lay
from stages import PARTS, build, samples

from cxr_vlp.nlp.layout import language
from cxr_vlp.pipelines import sources, verify
from cxr_vlp.pipelines.errors import ConfigError
from cxr_vlp.pipelines.format.sample import LABELS
from cxr_vlp.pipelines.synthetic.layouts import padchest

TABLE = padchest.TABLE
ROW = {
    "": "0", "ImageID": "2168_00-021-144.png", "ImageDir": "7", "StudyDate_DICOM": "20140915",
    "StudyID": "20536686640136348236148679891455886468", "PatientID": "8398604886",
    "PatientBirth": "1930.0", "PatientSex_DICOM": "F", "ViewPosition_DICOM": "POSTEROANTERIOR",
    "Projection": "PA", "PhotometricInterpretation_DICOM": "MONOCHROME2",
    "Report": "cardiomegali . sin hallazg .", "MethodLabel": "Physician", "Labels": "['mass']",
}  # fmt: skip


def table(*rows: dict[str, str]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, padchest._COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({"": str(n), **ROW, **row} for n, row in enumerate(rows))
    return text.getvalue()


def scanned(root: Path, *rows: dict[str, str], **options) -> Joined:
    names = [{**ROW, **row}["ImageID"] for row in rows]
    lay(root, {TABLE: table(*rows), **{f"images/7/{name}": name.encode() for name in names}})
    joined = join(sources.reader("padchest", options), root)
    assert joined.balanced()
    return joined


def sole(joined: Joined):
    [study] = joined.studies.values()
    return study


def test_a_row_of_the_table(tmp_path):
    joined = scanned(tmp_path, {})
    study = sole(joined)
    [image] = study.images
    assert (study.patient, study.sex, study.age) == ("8398604886", "F", 84)
    assert (study.labels, study.labels_from) == ({"Mass": 1}, "padchest-Physician")
    assert (image.key, image.view, image.projection) == ("2168_00-021-144", "frontal", "PA")
    assert (image.path, image.polarity) == ("images/7/2168_00-021-144.png", "")
    assert study.report is not None
    assert joined.notes["report.language"] == 1


@pytest.mark.parametrize(
    ("cell", "labels"),
    [
        ("['pneumonia', ' cardiomegaly', 'Pleural effusion ']",
         {"Pneumonia": 1, "Cardiomegaly": 1, "Pleural Effusion": 1}),
        ("['pulmonary edema', 'infiltrates', 'COPD signs']",
         {"Edema": 1, "Infiltration": 1, "COPD": 1}),
        ("['NSG tube', 'copd signs', 'scoliosis']",
         {"Nasogastric Tube": 1, "COPD": 1, "Scoliosis": 1}),
        ("['normal']", {"No Finding": 1}),
        # as numpy prints a list, and as Python prints a missing entry
        ("['mass' 'scoliosis'\n ' nodule']", {"Mass": 1, "Scoliosis": 1, "Nodule": 1}),
        ("['mass', nan, \"nodule\"]", {"Mass": 1, "Nodule": 1}),
        ("['', ' ', 'mass']", {"Mass": 1}),
        ("['suboptimal study', 'nodule']", {"Nodule": 1}),
        ("['unchanged']", {}),
        ("nan", {}),
        ("", {}),
        ("[]", {}),
    ],
)  # fmt: skip
def test_labels_are_a_python_list_with_blanks_and_mixed_case(tmp_path, cell, labels):
    joined = scanned(tmp_path, {"Labels": cell})
    assert sole(joined).labels == labels
    assert joined.notes["label.missing"] == (not labels)


def test_the_193_published_labels(tmp_path):
    names = (Path(__file__).parent / "padchest_labels.txt").read_text().splitlines()
    rows = [{"ImageID": f"{n}.png", "StudyID": f"s{n}", "Labels": repr([name])}
            for n, name in enumerate(names) if name != "exclude"]  # fmt: skip
    studies = scanned(tmp_path, *rows).studies
    found = {names[int(key[1:])]: list(study.labels) for key, study in studies.items()}
    assert len(found) == 192
    assert [name for name, labels in found.items() if not labels] == [
        "suboptimal study", "unchanged",
    ]  # fmt: skip
    labels = Counter(label for labels in found.values() for label in labels)
    assert {label for label, number in labels.items() if number > 1} == {"Mass"}
    assert sum(label in LABELS for label in labels) == 24
    # a label that is no noun of English as it stands has a name of its own
    assert not {"Bullas", "Dai", "Pneumoperitoneo", "Pectum Excavatum"} & set(labels)


def test_a_cell_that_is_no_list_is_noted(tmp_path):
    joined = scanned(tmp_path, {"Labels": "['mass', "})
    assert sole(joined).labels == {}
    assert joined.notes["label.bad_value:Labels"] == 1


@pytest.mark.parametrize(
    ("projection", "position", "view"),
    [
        ("L", "POSTEROANTERIOR", ("lateral", "L")),
        ("AP_horizontal", "LATERAL", ("frontal", "AP_HORIZONTAL")),
        ("COSTAL", "", ("other", "COSTAL")),
        ("", "POSTEROANTERIOR", ("unknown", "")),
    ],
)
def test_the_projection_counts_and_not_what_the_machine_wrote(tmp_path, projection, position, view):
    row = {"Projection": projection, "ViewPosition_DICOM": position}
    [image] = sole(scanned(tmp_path, row)).images
    assert (image.view, image.projection) == view


def test_a_projection_that_the_collection_excludes_is_lost_alone(tmp_path):
    other = {"ImageID": "2168_00-021-145.png", "Projection": "EXCLUDE"}
    joined = scanned(tmp_path, {}, other)
    assert [image.key for image in sole(joined).images] == ["2168_00-021-144"]
    assert joined.codes() == {"image.excluded": 1}


@pytest.mark.parametrize("cell", ["['exclude']", "[' Exclude', 'mass']"])
def test_a_study_that_the_collection_excludes_is_lost(tmp_path, cell):
    joined = scanned(tmp_path, {"Labels": cell})
    assert not joined.studies
    assert joined.codes() == {"image.excluded": 1}


def test_nothing_is_excluded_where_the_user_says_so(tmp_path):
    joined = scanned(tmp_path, {"Labels": "['exclude', 'mass']"}, exclude={"Labels": []})
    assert sole(joined).labels == {"Mass": 1}


@pytest.mark.parametrize(
    ("birth", "age", "bad"),
    [("1930", 84, 0), ("1930.0", 84, 0), ("", None, 0), ("nan", None, 0), ("1890.0", None, 1),
     ("2014", 0, 0), ("2015", None, 1)],
)  # fmt: skip
def test_the_age_is_the_years_from_birth_to_study(tmp_path, birth, age, bad):
    joined = scanned(tmp_path, {"PatientBirth": birth})
    assert (sole(joined).age, joined.notes["age.bad_value"]) == (age, bad)


def test_who_labelled_a_study(tmp_path):
    assert sole(scanned(tmp_path, {"MethodLabel": "RNN_model"})).labels_from == "padchest-RNN_model"


def test_a_study_of_two_patients_is_refused(tmp_path):
    joined = scanned(tmp_path, {}, {"ImageID": "2168_2.png", "PatientID": "77"})
    assert joined.codes() == {"study.two_patients": 2}


def test_published_films_have_white_bones_and_a_copy_may_not(tmp_path):
    row = {"PhotometricInterpretation_DICOM": "MONOCHROME1"}
    assert sole(scanned(tmp_path, row)).images[0].polarity == ""
    own = {"photometric": "PhotometricInterpretation_DICOM"}
    assert sole(scanned(tmp_path, row, **own)).images[0].polarity == "inverted"
    assert sole(scanned(tmp_path, {}, **own)).images[0].polarity == ""


def test_an_empty_report_is_counted(tmp_path):
    joined = scanned(tmp_path, {"Report": ""})
    assert sole(joined).report is None
    assert joined.notes["report.missing"] == 1


def test_a_folder_without_the_table_stops(tmp_path):
    lay(tmp_path, {"images/0/a.png": b"1"})
    with pytest.raises(ConfigError, match=r"no file PADCHEST_.*\.csv below the root"):
        sources.reader("padchest", {}).tables(tmp_path)


@pytest.mark.parametrize(("flat", "packed"), [(False, True), (True, False)])
def test_the_two_layouts(tmp_path, flat, packed):
    padchest.write(tmp_path, studies=6, seed=2, height=64, flat=flat, packed=packed)
    joined = join(sources.reader("padchest", {}), tmp_path / "padchest")
    assert joined.balanced()
    assert joined.listed == len(list((tmp_path / "padchest").rglob("*.png")))
    assert set(joined.codes()) == {"image.excluded"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the look-alike and its scan, texts and shards."""
    out = tmp_path_factory.mktemp("padchest")
    padchest.write(out, studies=12, seed=4, height=96)
    source = {"padchest": {"parts": PARTS, "max_rejects": 0.7}}
    build(out / "padchest", "padchest", out, sources=source)
    return out


def truth(out: Path) -> dict[str, dict]:
    lines = (out / "padchest.truth.jsonl").read_text().splitlines()
    return {Path(image["path"]).stem: line for line in map(json.loads, lines)
            for image in line["images"]}  # fmt: skip


def dropped(folder: Path) -> dict[str, int]:
    with (folder / "manifest.jsonl").open() as lines:
        return json.loads(next(lines))["dropped"]


def test_the_samples_say_what_the_truth_says(run):
    wanted, views = truth(run), Counter()
    views_of = {"PA": "frontal", "AP_horizontal": "frontal", "L": "lateral", "COSTAL": "other"}
    found = dict(samples(run / "shards" / "padchest"))
    assert len(found) >= 12
    for sample in found.values():
        line = wanted[sample["image"]]
        image = next(i for i in line["images"] if Path(i["path"]).stem == sample["image"])
        others = {each["name"]: each["value"] for each in sample["labels_other"]}
        assert sample["labels"] | others == line["labels"]
        assert sample["labels_from"] == f"padchest-{line['method']}"
        assert (sample["patient"], sample["view"]) == (line["patient"], views_of[image["view"]])
        views[sample["view"]] += 1
    assert set(views) == {"frontal", "lateral", "other"}


def test_a_patient_is_in_one_split(run):
    splits: dict[str, set[str]] = {}
    for _, sample in samples(run / "shards" / "padchest"):
        splits.setdefault(sample["patient"], set()).add(sample["split"])
    assert all(len(found) == 1 for found in splits.values())


def test_every_listed_image_is_a_sample_or_counted(run):
    lost = dropped(run / "shards" / "padchest")
    listed = {stem: image for stem, line in truth(run).items() for image in line["images"]}
    written = len(list(samples(run / "shards" / "padchest")))
    assert len(listed) == len(truth(run)) == written + sum(lost.values())
    assert set(lost) == {"scan image.excluded", "texts report.language"}


def test_the_spanish_reports_are_read_and_give_no_text(run):
    counts = json.loads((run / "texts" / "padchest" / "counts.json").read_text())
    assert counts["notes"]["report.language"] + counts["notes"]["report.missing"] >= 10
    assert not any(counts["sentences"].values())
    for _, sample in samples(run / "shards" / "padchest"):
        assert not sample["sentences"]
        assert (sample["findings"], sample["impression"], sample["abnormal"]) == ("", "", "")
        assert sample["caption"] == sample["prompt"]
        assert language.of(sample["caption"]) == "en"
        assert " ." not in sample["caption"]


def test_a_report_of_words_that_no_list_has_gives_no_text(tmp_path):
    padchest.write(tmp_path, studies=4, seed=2, height=64, packed=False)
    path = tmp_path / "padchest" / TABLE
    with path.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    spanish = "reservori . catet vi yugul ."
    assert language.of(spanish) == "en"  # so it has to be told
    path.write_text(table(*({**row, "Report": spanish, "Labels": "['mass']"} for row in rows)))
    source = {"padchest": {"parts": PARTS, "max_rejects": 0.7}}
    folder = build(tmp_path / "padchest", "padchest", tmp_path, sources=source)
    found = [sample for _, sample in samples(folder)]
    assert found
    assert "yugul" not in json.dumps(found).lower()
    assert all(sample["caption"] == sample["prompt"] != "" for sample in found)


def test_the_words_of_an_odd_term_are_english(run):
    captions = {sample["caption"] for _, sample in samples(run / "shards" / "padchest")}
    assert not any("nsg" in caption.lower() for caption in captions)


def test_the_set_is_valid(run):
    assert verify.main([str(run / "shards" / "padchest"), "--deep"]) == 0


def test_the_samples_are_made_again_from_the_raw_files(run):
    where = {name: str(run / name / "padchest") for name in ("scan", "texts")}
    again = ["--rederive", "9", "--params", str(run / "params.yaml"), "--root",
             str(run / "padchest"), "--scan", where["scan"], "--texts", where["texts"]]  # fmt: skip
    assert verify.main([str(run / "shards" / "padchest"), *again]) == 0


def test_films_of_any_depth_are_shown_alike(run):
    folder = run / "shards" / "padchest"
    shown = {sample["pixels"]["window"] for _, sample in samples(folder)}
    depths = set()
    for path in (run / "padchest").rglob("*.png"):
        values = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert values.dtype == np.uint16
        depths.add(int(values.max()).bit_length())
    assert depths == {10, 12, 16}
    assert shown == {"percentile"}


def test_broken_files_are_counted(tmp_path):
    padchest.write(tmp_path, studies=12, seed=4, height=96, faults=True)
    source = {"padchest": {"parts": PARTS, "max_rejects": 0.9}}
    folder = build(tmp_path / "padchest", "padchest", tmp_path, sources=source)
    lost = dropped(folder)
    assert (lost["scan image.missing"], lost["shards image.unreadable"]) == (1, 2)
