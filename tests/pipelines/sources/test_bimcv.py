"""BIMCV-COVID19+: side files, session folders and tables by hand, and the look-alike."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from joining import Joined, join, lay
from stages import PARTS, build, samples

from cxr_vlp.pipelines import sources, verify
from cxr_vlp.pipelines.errors import ConfigError, IngestError
from cxr_vlp.pipelines.sources.bimcv import Bimcv
from cxr_vlp.pipelines.synthetic.layouts import bimcv

LABELS = bimcv.LABELS
HEAD = "\tPatientID\tReportID\tReport\tLabels\tLocalizations\n"
FOLDER = "sub-S03001/ses-E06200/mod-rx"
FILM = f"{FOLDER}/sub-S03001_ses-E06200_run-1_bp-chest_vp-pa_cr"
KEY = "sub-s03001_ses-e06200"


def header(**values: str) -> str:
    """The text of a side file; the names are those of the elements below."""
    tags = {"view": "00185101", "series": "0008103E", "photometric": "00280004",
            "age": "00101010", "sex": "00100040", "date": "00080020"}  # fmt: skip
    given = {"photometric": "MONOCHROME2", "view": "PA"} | values
    return json.dumps({tags[k]: {"vr": "CS", "Value": [v]} for k, v in given.items() if v})


def row(labels: str, report: str = "Sin hallazgos.", session: str = "ses-E06200") -> str:
    return f"0\tsub-S03001\t{session}\t{report}\t{labels}\t[]\n"


def scanned(root: Path, files: dict[str, str | bytes], labels: str = "['pneumonia']") -> Joined:
    lay(root, {LABELS: HEAD + row(labels), **files})
    joined = join(Bimcv(), root)
    assert joined.balanced()
    return joined


def one(root: Path, **values: str):
    [study] = scanned(
        root, {f"{FILM}.png": b"1", f"{FILM}.json": header(**values)}
    ).studies.values()
    return study


def test_a_film_with_its_side_file(tmp_path):
    study = one(tmp_path, age="058Y", sex="M", date="20200315", photometric="MONOCHROME1")
    [image] = study.images
    assert (study.key, study.patient, study.sex, study.age) == (KEY, "sub-s03001", "M", 58)
    assert (study.labels, study.labels_from) == ({"Pneumonia": 1}, "bimcv")
    assert (image.key, image.view, image.projection) == ("run-1_bp-chest_vp-pa_cr", "frontal", "PA")
    assert image.polarity == "inverted"


@pytest.mark.parametrize(
    ("photometric", "polarity"),
    [("MONOCHROME1", "inverted"), ("monochrome1", "inverted"), ("MONOCHROME2", ""), ("RGB", "")],
)
def test_the_polarity_is_that_of_the_side_file(tmp_path, photometric, polarity):
    assert one(tmp_path, photometric=photometric).images[0].polarity == polarity


@pytest.mark.parametrize(
    "content", [None, "{", "[1]", "{}", header(photometric=""), '{"00280004": {"Value": []}}',
                '{"00280004": {"Value": [{"a": 1}]}}', header(photometric="PALETTE COLOR")],
)  # fmt: skip
def test_a_film_whose_polarity_nobody_states_is_lost(tmp_path, content):
    other = FILM.replace("run-1", "run-2")
    files = {f"{FILM}.png": b"1", f"{other}.png": b"2", f"{other}.json": header()}
    joined = scanned(tmp_path, files | ({f"{FILM}.json": content} if content else {}))
    assert joined.codes() == {"image.no_header": 1}
    assert [image.key for image in joined.studies[KEY].images] == ["run-2_bp-chest_vp-pa_cr"]


@pytest.mark.parametrize("plain", ["MONOCHROME1", ["MONOCHROME1"], {"Value": ["MONOCHROME1"]}])
def test_a_value_may_be_given_plainly(tmp_path, plain):
    text = json.dumps({"00280004": plain, "00185101": "AP"})
    [image] = scanned(tmp_path, {f"{FILM}.png": b"1", f"{FILM}.json": text}).studies[KEY].images
    assert (image.polarity, image.projection) == ("inverted", "AP")


@pytest.mark.parametrize(
    ("view", "series", "found"),
    [
        ("LATERAL", "TORAX PA", "lateral"),
        ("", "W034 TÓRAX LAT. *", "lateral"),
        ("", "DEC. SUPINO AP", "frontal"),
        ("", "TÓRAX PA H", "frontal"),
        ("", "RX TORAX PA Y LAT", "unknown"),
        ("", "CHEST", "unknown"),  # `vp-pa` in the name of the file is on laterals too
        ("", "", "unknown"),
    ],
)
def test_the_view_is_that_of_the_side_file(tmp_path, view, series, found):
    assert one(tmp_path, view=view, series=series).images[0].view == found


def test_the_view_code_sequence_tells_the_view_too(tmp_path):
    elements = json.loads(header(view=""))
    elements["00540220"] = {"vr": "SQ", "Value": [{"00080104": {"Value": ["postero-anterior"]}}]}
    files = {f"{FILM}.png": b"1", f"{FILM}.json": json.dumps(elements)}
    assert scanned(tmp_path, files).studies[KEY].images[0].projection == "PA"


@pytest.mark.parametrize(
    ("cell", "labels"),
    [
        ("['pneumonia', ' Cardiomegaly']", {"Pneumonia": 1, "Cardiomegaly": 1}),
        ("\"['pneumonia'\t'COVID 19']\"", {"Pneumonia": 1, "COVID-19": 1}),
        ("['COVID 19 uncertain', 'NSG tube']", {"COVID-19": -1, "Nasogastric Tube": 1}),
        ("['COVID 19', 'COVID 19 uncertain']", {"COVID-19": 1}),
        ("['COVID 19 uncertain', 'COVID 19']", {"COVID-19": 1}),
        ("['unchanged', 'suboptimal study']", {}),
        ("[]", {}),
        ("nan", {}),
    ],
)
def test_labels_have_the_names_of_padchest(tmp_path, cell, labels):
    joined = scanned(tmp_path, {f"{FILM}.png": b"1", f"{FILM}.json": header()}, cell)
    assert joined.studies[KEY].labels == labels
    assert joined.notes["label.missing"] == (not labels)
    assert not joined.notes["label.bad_value:Labels"]


def test_a_report_that_the_collection_excludes(tmp_path):
    files = {f"{FILM}.png": b"1", f"{FILM}.json": header()}
    assert scanned(tmp_path, files, "['exclude']").codes() == {"image.excluded": 1}


def test_a_session_may_be_named_with_its_subject(tmp_path):
    lay(tmp_path, {LABELS: HEAD + row("['mass']", session="sub-S03001_ses-E06200"),
                   f"{FILM}.png": b"1", f"{FILM}.json": header()})  # fmt: skip
    assert join(Bimcv(), tmp_path).studies[KEY].labels == {"Mass": 1}


def test_the_two_sets_below_one_root_stop(tmp_path):
    lay(tmp_path, {LABELS: HEAD + row("['mass']"), f"{FILM}.png": b"1", f"{FILM}.json": header(),
                   "derivatives/labels/labels_SARS-cov-2_nega.tsv": HEAD})  # fmt: skip
    with pytest.raises(ConfigError, match="are two sets: give each a root"):
        Bimcv().tables(tmp_path)


def test_ct_volumes_and_masks_are_counted_and_not_read(tmp_path):
    joined = scanned(tmp_path, {
        f"{FILM}.png": b"1", f"{FILM}.json": header(),
        "sub-S03001/ses-E06200/mod-ct/sub-S03001_ses-E06200_ct.nii.gz": b"1",
        "sub-S03001/ses-E06201/mod-ct/sub-S03001_ses-E06201_ct.nii": b"1",
        "derivatives/rois/mask.png": b"1",
    })  # fmt: skip
    assert joined.notes["file.not_film"] == 3
    assert joined.listed == len(joined.studies) == 1


def test_a_report_of_a_session_without_films(tmp_path):
    lay(tmp_path, {LABELS: HEAD + row("[]") + row("[]", session="ses-E06999"),
                   f"{FILM}.png": b"1", f"{FILM}.json": header()})  # fmt: skip
    joined = join(Bimcv(), tmp_path)
    assert joined.balanced()
    assert joined.notes["study.no_image"] == 1


@pytest.mark.parametrize("bad", ["sub-03001\tses-E06200", "sub-S03001\t", "nan\tses-E06200"])
def test_a_row_that_names_no_session_is_counted(tmp_path, bad):
    lay(tmp_path, {LABELS: HEAD + row("['mass']") + f"1\t{bad}\tText.\t['mass']\t[]\n",
                   f"{FILM}.png": b"1", f"{FILM}.json": header()})  # fmt: skip
    joined = join(Bimcv(), tmp_path)
    assert joined.balanced()
    assert joined.notes["csv.id labels_covid19_posi.tsv line 3"] == 1
    assert joined.studies[KEY].labels == {"Mass": 1}


def test_rows_that_contradict_each_other_refuse_the_session(tmp_path):
    lay(tmp_path, {LABELS: HEAD + row("['mass']") + row("['nodule']"),
                   f"{FILM}.png": b"1", f"{FILM}.json": header()})  # fmt: skip
    assert join(Bimcv(), tmp_path).codes() == {"csv.conflict": 1}


def test_no_report_is_read_whatever_its_words(tmp_path):
    # no list of words tells the language of one that is in no list
    lay(tmp_path, {LABELS: HEAD + row("['mass']", report="Reservorio."),
                   f"{FILM}.png": b"1", f"{FILM}.json": header()})  # fmt: skip
    joined = join(Bimcv(), tmp_path)
    study = joined.studies[KEY]
    assert study.report is not None
    assert joined.notes["report.language"] == 1
    with pytest.raises(IngestError, match=r"report\.language"):
        Bimcv().report(tmp_path, study.report)


def test_the_negative_set_has_the_same_layout_and_a_name_of_its_own(tmp_path):
    lay(tmp_path, {"derivatives/labels/labels_SARS-cov-2_nega.tsv": HEAD + row("['normal']"),
                   f"{FILM}.png": b"1", f"{FILM}.json": header()})  # fmt: skip
    joined = join(sources.reader("bimcvnega", {}, preset="bimcv"), tmp_path)
    study = joined.studies[KEY]
    assert (study.source, study.labels_from) == ("bimcvnega", "bimcvnega")
    assert study.labels == {"No Finding": 1}


def test_packed_archives_stop_with_what_to_do(tmp_path):
    lay(tmp_path, {"covid19_posi_subjects_1.tgz": b"1", LABELS: HEAD})
    with pytest.raises(ConfigError, match=r"unpack its \.tgz files"):
        Bimcv().tables(tmp_path)


def test_films_without_the_table_stop(tmp_path):
    lay(tmp_path, {f"{FILM}.png": b"1", f"{FILM}.json": header()})
    with pytest.raises(ConfigError, match=r"labels_covid19_posi\.tsv is missing"):
        Bimcv().tables(tmp_path)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the look-alike and its scan, texts and shards."""
    out = tmp_path_factory.mktemp("bimcv")
    bimcv.write(out, studies=12, seed=4, height=96)
    build(out / "bimcv", "bimcv", out, sources={"bimcv": {"parts": PARTS}},
          shards={"format": "png"})  # fmt: skip
    return out


def truth(out: Path) -> dict[str, dict]:
    lines = (out / "bimcv.truth.jsonl").read_text().splitlines()
    return {line["study"]: line for line in map(json.loads, lines)}


def image_of(line: dict, sample: dict) -> dict:
    return next(i for i in line["images"] if Path(i["path"]).stem.lower().endswith(sample["image"])
                and ("acq" in i["path"]) == ("acq" in sample["image"]))  # fmt: skip


def test_the_samples_say_what_the_truth_says(run):
    wanted, found = truth(run), dict(samples(run / "shards" / "bimcv"))
    assert len(found) == sum(len(line["images"]) for line in wanted.values())
    views = {"PA": "frontal", "AP": "frontal", "LATERAL": "lateral"}
    for sample in found.values():
        line = wanted[sample["study"]]
        others = {each["name"]: each["value"] for each in sample["labels_other"]}
        assert sample["labels"] | others == line["labels"]
        assert sample["patient"] == line["patient"]
        assert sample["view"] == views[image_of(line, sample)["view"]]
        assert sample["caption"] == sample["prompt"]
        assert not sample["sentences"]


def test_bones_are_white_whatever_the_side_file_says(run):
    kinds: Counter[str] = Counter()
    wanted = truth(run)
    stored = {path.stem: path for path in (run / "bimcv").rglob("*.png")}
    for key, sample in samples(run / "shards" / "bimcv"):
        image = image_of(wanted[sample["study"]], sample)
        kinds[image["photometric"]] += 1
        inverted = image["photometric"] == "MONOCHROME1"
        assert sample["pixels"]["notes"] == (["grey.inverted"] if inverted else [])
        raw = cv2.imread(str(stored[Path(image["path"]).stem]), cv2.IMREAD_UNCHANGED)
        shown = pixels(run / "shards" / "bimcv", key)
        small = cv2.resize(raw, shown.shape[::-1], interpolation=cv2.INTER_AREA)
        likeness = np.corrcoef(small.ravel(), shown.ravel())[0, 1]
        assert likeness < -0.9 if inverted else likeness > 0.9
    assert set(kinds) == {"MONOCHROME1", "MONOCHROME2"}


def pixels(folder: Path, key: str) -> np.ndarray:
    import tarfile

    for path in folder.glob("*/*.tar"):
        with tarfile.open(path) as tar:
            if f"{key}.png" in tar.getnames():
                data = tar.extractfile(f"{key}.png").read()
                return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    raise AssertionError(key)


def test_the_set_is_valid_and_made_again_from_the_raw_files(run):
    where = {name: str(run / name / "bimcv") for name in ("scan", "texts")}
    again = ["--rederive", "12", "--params", str(run / "params.yaml"), "--root",
             str(run / "bimcv"), "--scan", where["scan"], "--texts", where["texts"]]  # fmt: skip
    assert verify.main([str(run / "shards" / "bimcv"), "--deep", *again]) == 0


def test_broken_files_are_counted(tmp_path):
    bimcv.write(tmp_path, studies=12, seed=4, height=96, faults=True)
    folder = build(tmp_path / "bimcv", "bimcv", tmp_path, sources={"bimcv": {"parts": PARTS}})
    with (folder / "manifest.jsonl").open() as lines:
        dropped = json.loads(next(lines))["dropped"]
    # the side file of a film that is gone is still there
    assert dropped == {"scan image.missing": 1, "shards image.unreadable": 2}
