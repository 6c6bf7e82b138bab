"""The documented columns of each trainer, on the four small sets."""

from __future__ import annotations

import ast
import csv
import json
from collections import Counter
from pathlib import Path

import pytest
import yaml
from stages import samples

from cxr_vlp.pipelines.exports import pixels
from cxr_vlp.pipelines.exports.trainers import cxrclip, mgca
from cxr_vlp.pipelines.exports.trainers.items import CHEXPERT

SETS = ("chexpert", "mimic", "nih", "openi")
SPLITS = {"train": "train", "validate": "valid", "test": "test"}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def stored(built):
    """Return key -> JSON member, of all four sets."""
    return {key: row for name in SETS for key, row in samples(built / "shards" / name)}


def key_of(path: str) -> str:
    return Path(path).stem


@pytest.mark.parametrize("trainer", ["cxrclip", "carzero", "mgca", "medclip", "llava", "xrv"])
def test_nothing_is_lost_unsaid_and_no_image_is_changed(trainer, exported, stored, built):
    made = exported(trainer)
    said = json.loads((made / "export.json").read_text())
    images = {path.stem: path for path in made.rglob("images/**/*.jpg")}
    assert len(images) == sum(said["written"].values())
    assert len(stored) == len(images) + sum(said["left_out"].values())
    some = min(images)
    tars = (built / "shards" / stored[some]["dataset"] / stored[some]["split"]).glob("*.tar")
    assert any(images[some].read_bytes() in tar.read_bytes() for tar in tars)


def test_cxrclip_has_a_row_a_study_with_both_sections_and_all_views(exported, stored):
    made = exported("cxrclip")
    for row in rows(made / "reports_train.csv"):
        paths = ast.literal_eval(row["image"])
        sample = stored[key_of(paths[0])]
        texts = [sample[name] for name in ("findings", "impression") if sample[name]]
        assert ast.literal_eval(row["text"]) == [" ".join(text.split()) for text in texts]
        of_study = [key for key, other in stored.items() if other["study"] == sample["study"]
                    and other["dataset"] == sample["dataset"]]  # fmt: skip
        assert sorted(map(key_of, paths)) == sorted(of_study)
        views = ast.literal_eval(row["view"])
        assert sorted(p for view in views for p in ast.literal_eval(row[view])) == sorted(paths)
        assert all((made / path.removeprefix("datasets/cxr_vlp/")).is_file() for path in paths)


def test_cxrclip_labels_are_the_triple_in_the_names_of_its_prompts(exported, stored):
    found = rows(exported("cxrclip") / "labels_train.csv")
    sets = {key_of(ast.literal_eval(row["image"])[0]).partition("-")[0] for row in found}
    assert sets >= {"chexpert", "nih"}  # the sets without reports
    for row in found:
        positive, negative, uncertain = ast.literal_eval(row["text_label"])
        labels = stored[key_of(ast.literal_eval(row["image"])[0])]["labels"]
        named = {cxrclip.RENAMED.get(name, name): value for name, value in labels.items()}
        assert positive == [name for name, value in named.items() if value == 1]
        denied = {name for name, value in named.items() if value == 0} - {"No Finding"}
        assert negative == [name for name in named if name in denied]
        assert set(uncertain) == {n for n, v in named.items() if v == -1 and n in CHEXPERT}


def test_cxrclip_configurations_name_the_files_and_its_own_keys(exported):
    made = exported("cxrclip")
    paths = sorted((made / "configs").rglob("*.yaml"))
    for path in paths:
        ((key, found),) = yaml.safe_load(path.read_text()).items()
        assert key == path.stem
        assert (made / found["data_path"].removeprefix("datasets/cxr_vlp/")).is_file()
        assert found["data_type"] == (
            "imagetext_eval" if path.parent.name == "data_test" else "imagetext"
        )
        # its class reads triples for this name alone, and scores retrieval for that one alone
        assert found["name"] == ("chexpert" if "labels" in key else "mimic_cxr")
    assert len(paths) == len(list(made.glob("*.csv")))


def test_chexzero_rows_and_images_are_of_one_length_and_order(exported, stored):
    made = exported("chexzero")
    images = {path.stem: path.read_bytes() for path in exported("xrv").rglob("images/**/*.jpg")}
    import h5py

    with h5py.File(made / "cxr.h5") as file:
        table = rows(made / "mimic_impressions.csv")
        assert file["cxr"].shape == (len(table), 320, 320)
        assert file["cxr"].dtype == "float32"
        assert [key.decode() for key in file["key"]] == [row["key"] for row in table]
        for row, image in zip(table, file["cxr"], strict=True):
            sample = stored[row["key"]]
            assert row["impression"] == " ".join(sample["impression"].split())
            assert (image == pixels.square(images[row["key"]], 320)).all()
    for row in rows(made / "groundtruth.csv"):
        labels = stored[row["Study"]]["labels"]
        assert stored[row["Study"]]["view"] == "frontal"
        assert all(row[name] == str(int(labels.get(name) == 1)) for name in CHEXPERT)


def test_carzero_has_frontal_images_with_impression_and_statements(exported, stored):
    made = exported("carzero")
    for row in rows(made / "MIMIC/mimic-cxr-label-LLM_report-xinhuo-chexpertformat.csv"):
        sample = stored[key_of(row["Path"])]
        assert row["Frontal/Lateral"] == "Frontal"
        assert sample["view"] == "frontal"
        assert row["Split"] == SPLITS[sample["split"]]
        assert row["xinhuo"] == " ".join(sample["statements"])
        text = sample["impression"] or sample["findings"]
        assert row["Report Impression"].rstrip(".") == " ".join(text.split()).rstrip(".")
        assert (made / row["Path"].removeprefix("Dataset/")).is_file()


def test_mgca_master_has_what_its_class_filters_by(exported, stored):
    made = exported("mgca")
    for row in rows(made / "master.csv"):
        sample = stored[key_of(row["Path"])]
        assert row["ViewPosition"] == sample["projection"]
        assert row["ViewPosition"] in mgca.PROJECTIONS
        assert row["split"] == SPLITS[sample["split"]]
        assert row["impression"].strip() == " ".join(sample["impression"].split())
        assert row["findings"]  # a blank, never an empty cell
        assert (made / row["Path"].removeprefix("2.0.0/")).is_file()
    for row in rows(made / "train_split.csv"):
        labels = stored[key_of(row["Path"])]["labels"]
        assert all(row[name] == str(labels.get(name, "")) for name in CHEXPERT)


def test_medclip_has_an_index_first_and_its_labels_in_its_order(exported, stored):
    made = exported("medclip")
    found = rows(made / "train-meta.csv")
    assert list(found[0])[:1] == [""]
    assert list(found[0])[-14:] == list(CHEXPERT)
    for number, row in enumerate(found):
        labels = stored[key_of(row["imgpath"])]["labels"]
        assert row[""] == str(number)
        assert [row[name] for name in CHEXPERT] == [str(labels.get(n, 0)) for n in CHEXPERT]
        assert row["report"] or any(labels.get(name) for name in CHEXPERT)
    sentences = rows(made / "sentence-label.csv")
    assert list(sentences[0]) == ["", "Reports", *CHEXPERT]
    assert len({row["Reports"] for row in sentences}) == len(sentences)
    for name in CHEXPERT:
        assert {row[name] for row in sentences} == {"1", "0", "-1"}


def test_llava_asks_by_the_indication_and_answers_with_the_findings(exported, stored):
    made = exported("llava")
    counts: Counter[bool] = Counter()
    for split, name in SPLITS.items():
        for entry in json.loads((made / f"chat_{name}.json").read_text(encoding="utf-8")):
            sample = stored[entry["id"]]
            asked, answered = entry["conversations"]
            assert sample["split"] == split
            assert entry["view"] == sample["projection"]
            assert answered == {"from": "gpt", "value": " ".join(sample["findings"].split())}
            assert asked["value"].startswith("<image>\n")
            reason = sample["sections"]["indication"] or sample["sections"]["history"]
            assert entry["reason"] == (" ".join(reason.split()) or None)
            counts[bool(reason)] += 1
            assert (made / "images" / entry["image"]).is_file()
    assert counts[True] > 0


def test_xrv_paths_are_those_that_its_class_makes(exported, stored):
    made = exported("xrv")
    labels = {row["study_id"]: row for row in rows(made / "train.csv")}
    assert len(labels) == len(rows(made / "train.csv"))  # a study is joined to one row
    for row in rows(made / "train-metadata.csv"):
        patient, study = row["subject_id"], row["study_id"]
        path = f"images/p{patient[:2]}/p{patient}/s{study}/{row['dicom_id']}.jpg"
        assert (made / path).is_file()
        sample = stored[row["dicom_id"]]
        assert [labels[study][n] for n in CHEXPERT] == [
            str(sample["labels"].get(n, "")) for n in CHEXPERT
        ]
        assert row["ViewPosition"] in ("AP", "PA", "L", "UNKNOWN")


@pytest.mark.parametrize(
    "trainer", ["cxrclip", "chexzero", "carzero", "mgca", "medclip", "llava", "xrv"]
)
def test_the_page_tells_the_revision_and_the_rows_and_no_path_of_this_machine(trainer, exported):
    made = exported(trainer)
    page = (made / "README.md").read_text(encoding="utf-8")
    assert "checked against" in page
    assert str(made) not in page
    for path in made.rglob("*.csv"):
        assert f"| `{path.relative_to(made)}` | {len(rows(path))} |" in page
