"""Ids are those of the source, for joins, or salted; source ids are then only in data/scan."""

from __future__ import annotations

import csv
import functools
import io
import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
import yaml
from breaking import codes, restate
from layouts import WRITERS, table
from stages import PARTS, build, params, run_scan, samples

from cxr_vlp.nlp.labels import canonical
from cxr_vlp.pipelines.config import Params
from cxr_vlp.pipelines.errors import ConfigError
from cxr_vlp.pipelines.files import jsonl
from cxr_vlp.pipelines.format import manifest
from cxr_vlp.pipelines.format.sample import key_hash
from cxr_vlp.pipelines.records import Image, Lost, ReportRef, Study
from cxr_vlp.pipelines.sources import ids
from cxr_vlp.pipelines.synthetic.layouts import mimic
from cxr_vlp.pipelines.validate import runner
from cxr_vlp.pipelines.validate.rederive import Rederivation

ROOT = Path(__file__).resolve().parents[3]
SALT = "f1f2f3f4f5f6f7f8a1a2a3a4a5a6a7a8"
SOURCES = ("mimic", "chexpert", "nih", "openi")


def stored(folder: Path) -> list[dict]:
    return [sample for _, sample in samples(folder)]


# the source's own ids


def test_ms_cxr_and_chest_imagenome_join_by_dicom_id(built, raw):
    images = sorted(raw.glob("mimic/**/*.dcm"))
    header = "dicom_id,category_name,label_text,x,y,w,h\n"
    ms_cxr = header + "".join(f"{image.stem},Pneumonia,text,1,2,3,4\n" for image in images)
    asked = {row["dicom_id"] for row in csv.DictReader(io.StringIO(ms_cxr))}
    found = {sample["image"] for sample in stored(built / "shards/mimic")}
    assert len(found) > 10
    assert found <= asked


def test_mimics_tables_join_by_patient_study_and_image(built, raw):
    (path,) = raw.glob("mimic/**/mimic-cxr-2.0.0-metadata.csv*")
    rows = {row["dicom_id"]: row for row in table(path)}
    for sample in stored(built / "shards/mimic"):
        row = rows[sample["image"]]
        assert sample["patient"] == row["subject_id"]
        assert sample["study"] == f"s{row['study_id']}"


def test_chexlocalize_joins_by_patient_study_and_view(built, raw):
    images = [path.relative_to(raw) for path in raw.glob("chexpert/**/view*")]
    keys = {"_".join([*path.parent.parts[-2:], path.stem]) for path in images}
    rows = stored(built / "shards/chexpert")
    found = {f"{row['study']}_{row['image']}".replace("-", "_") for row in rows}
    assert len(found) > 10
    assert found <= keys
    assert all(row["study"].startswith(f"{row['patient']}-") for row in rows)


def test_nihs_list_of_boxes_joins_by_image_name(built, raw):
    boxes: dict[str, list[str]] = {}
    with next(raw.glob("nih/**/BBox_List_2017.csv")).open() as stream:
        for row in list(csv.reader(stream))[1:]:
            name = canonical(row[1].replace("Infiltrate", "Infiltration"))
            boxes.setdefault(row[0], []).append(name)
    found = {f"{sample['study']}.png": sample for sample in stored(built / "shards/nih")}
    joined = boxes.keys() & found.keys()
    assert joined
    for name in joined:
        assert sorted(box["label"] for box in found[name]["boxes"]) == sorted(boxes[name])


def test_openis_images_join_by_name(built, raw):
    names = {path.name.lower() for path in raw.glob("openi/**/*.png")}
    found = {f"{s['study']}_{s['image']}.png" for s in stored(built / "shards/openi")}
    # in the XML form report 1 is CXR1_1_IM-...
    assert {name.replace("cxr1_im", "cxr1_1_im") for name in found} <= names


# salted


@pytest.fixture(scope="module")
def salted(raw, tmp_path_factory) -> Path:
    """Scan, texts and shards of every collection, made with salted ids."""
    out = tmp_path_factory.mktemp("salted")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CXR_SALT", SALT)
        for source in SOURCES:
            build(raw / source, source, out, **salting(source))
    return out


def salting(*sources: str) -> dict[str, dict]:
    chosen = {source: {"parts": PARTS, "ids": "salted"} for source in sources}
    return {"sources": chosen, "scan": {"salt": "env:CXR_SALT"}}


def raw_ids(raw: Path) -> set[str]:
    """Return every id of the four trees that is long enough to be looked for."""
    found = set()
    for path in raw.glob("mimic/**/*.dcm"):
        found |= {path.stem, path.parent.name, path.parent.parent.name, path.parent.name[1:]}
        found |= {path.parent.parent.name[1:], str(pydicom.dcmread(path).SOPInstanceUID)}
    for path in raw.glob("chexpert/**/view*"):
        found.add(path.parent.parent.name)
    found |= {path.stem for path in raw.glob("nih/**/*.png")}
    for path in raw.glob("openi/**/*.png"):
        found |= {path.stem, path.stem.partition("_")[2], path.stem.lower()}
    return {name for name in found if len(name) > 6}


def guesses(out: Path) -> Iterator[str]:
    """Yield what somebody who knows the ids and not the salt would look for."""
    for path in out.glob("scan/*/*-*.jsonl"):
        for row in jsonl.read_records(path):
            source, study, patient = row["source"], row["origin"], row["origin_patient"]
            yield from map(key_hash, (study, patient, f"{source}-{study}", f"{source}-{patient}"))
            yield from (row["secret"], row.get("report", {}).get("sha256") or "0" * 64)
            for image in row["images"]:
                keys = (image["origin"], f"{source}-{study}-{image['origin']}", image["path"])
                yield from (*map(key_hash, keys), image["sha256"])


def outside(out: Path) -> Iterator[Path]:
    """Yield every file of a salted collection that may be shared: not data/scan, not the state."""
    for name in ("texts", "shards", ".cxr/logs"):
        yield from (path for path in (out / name).rglob("*") if path.is_file())


def test_no_id_or_guessable_digest_of_one_is_outside_data_scan(salted, raw):
    wanted = {text.encode() for text in (*raw_ids(raw), *guesses(salted), SALT)}
    assert len(wanted) > 300
    files = list(outside(salted))
    assert {path.suffix for path in files} >= {".tar", ".jsonl", ".json", ".csv", ".log"}
    for path in files:
        data = path.read_bytes()
        assert [text for text in wanted if text in data] == [], path.name


def test_the_same_search_finds_the_ids_of_a_set_that_is_not_salted(built, raw):
    data = b"".join(path.read_bytes() for path in outside(built))
    assert sum(text.encode() in data for text in raw_ids(raw)) > 50


def test_key_hashes_of_rejects_cannot_be_guessed(salted, raw):
    shown = {row["key_hash"] for s in SOURCES
             for row in jsonl.read_records(salted / "scan" / s / "rejects.jsonl")}  # fmt: skip
    assert shown.isdisjoint(guesses(salted))
    naming = ids.Ids("mimic", SALT, salted=True)
    lost = naming.reject("s59999001", Lost("image.missing", "0a"))
    assert lost.key_hash not in map(key_hash, ("mimic-s59999001-0a", "mimic-s59999001"))
    assert lost != ids.Ids("mimic", SALT[::-1], salted=True).reject("s59999001", Lost("x", "0a"))


@pytest.mark.parametrize("source", SOURCES)
def test_a_salted_set_is_valid_and_can_be_rederived(salted, raw, source):
    read = (salted / "scan", salted / "texts")
    again = Rederivation(10**6, 0, str(raw), *read, Params({}))
    result = runner.check([salted / "shards" / source], deep=True, rederivation=again)
    assert result["breaches"] == []
    (row,) = result["sets"]
    assert row["rederived"] == row["samples"] > 10


@pytest.mark.parametrize("source", SOURCES)
def test_ids_csv_maps_hashes_to_source_ids(salted, built, source):
    path = salted / "scan" / source / "ids.csv"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    back = {row["key"]: row for row in csv.DictReader(path.open())}
    found = dict(samples(salted / "shards" / source))
    assert found.keys() <= back.keys()
    known = {(s["patient"], s["study"], s["image"]): s for s in stored(built / "shards" / source)}
    for key, sample in found.items():
        row = back[key]
        other = known[row["patient"], row["study"], row["image"]]
        assert sample["pixels"] == other["pixels"]
        assert not {row["patient"], row["study"]} & {sample["patient"], sample["study"]}
    assert not (built / "scan" / source / "ids.csv").exists()


def test_a_salted_set_differs_only_in_its_ids(salted, built):
    def content(folder: Path) -> list[str]:
        hidden = {
            "patient",
            "study",
            "image",
            "provenance",
            "split",
            "prompt",
            "prompts",
            "caption",
        }
        shown = ({k: v for k, v in s.items() if k not in hidden} for s in stored(folder))
        return sorted(json.dumps(sample, sort_keys=True) for sample in shown)

    assert content(salted / "shards/mimic") == content(built / "shards/mimic")


def test_the_manifest_records_the_kind_of_ids(salted, built):
    assert manifest.read(salted / "shards/mimic")[0]["ids"] == "salted"
    assert manifest.read(built / "shards/mimic")[0]["ids"] == "source"


def test_a_users_exceptions_find_their_studies_under_salt(raw, tmp_path, monkeypatch):
    monkeypatch.setenv("CXR_SALT", SALT)
    report = min(raw.glob("mimic/**/s5*.txt"))
    path = tmp_path / "exceptions.yaml"
    path.write_text(f"{report.stem}: {{section: findings, start: 0, end: 40}}\n")
    chosen = salting("mimic") | {"texts": {"exceptions": str(path)}}
    build(raw / "mimic", "mimic", tmp_path, **chosen)
    notes = jsonl.read_json(tmp_path / "texts/mimic/counts.json")["notes"]
    assert notes["report.cut_by_rule"] == 1
    assert "exceptions.unused" not in notes


def test_the_digest_of_a_short_report_cannot_be_guessed(tmp_path):
    report = ReportRef("r.txt", "", "a" * 64)
    study = Study("mimic", "s1", "p1", "train", (Image("i", "i.png"),), report)
    one, two = (ids.Ids("mimic", salt * 32, salted=True).study(study) for salt in "ab")
    assert ids.digest(study, "a" * 64) == "a" * 64
    assert len({"a" * 64, ids.digest(one, "a" * 64), ids.digest(two, "a" * 64)}) == 3
    assert ids.digest(one, "") == ""


# the salt


@pytest.mark.parametrize("salt", ["cxr-vlp", "short", " "])
def test_a_public_or_short_salt_is_refused_with_the_remedy(raw, tmp_path, salt):
    chosen = salting("nih") | {"scan": {"salt": salt}}
    common = ["--root", str(raw / "nih"), "--params", str(params(tmp_path, **chosen))]
    with pytest.raises(ConfigError, match=r"secrets\.token_hex"):
        run_scan("nih", common, tmp_path)
    assert not (tmp_path / "scan").exists()


def test_a_salt_of_an_unset_variable_is_refused(raw, tmp_path, monkeypatch):
    monkeypatch.delenv("CXR_SALT", raising=False)
    common = ["--root", str(raw / "nih"), "--params", str(params(tmp_path, **salting("nih")))]
    with pytest.raises(ConfigError, match="CXR_SALT is not set"):
        run_scan("nih", common, tmp_path)


def test_scan_detects_another_salt_in_the_variable(raw, tmp_path, monkeypatch):
    common = ["--root", str(raw / "nih"), "--params", str(params(tmp_path, **salting("nih")))]
    path = tmp_path / "scan/nih/ids.csv"
    kept = []
    for salt in (SALT, SALT, SALT[::-1]):
        monkeypatch.setenv("CXR_SALT", salt)
        run_scan("nih", common, tmp_path)
        kept.append((path.stat().st_ino, path.read_bytes()))
    assert kept[0] == kept[1]
    assert kept[1][1] != kept[2][1]


def dvc(folder: Path, *command: str) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "CXR_SALT": SALT, "PYTHONPATH": str(folder / ".src")}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_under_dvc_neither_lock_nor_cache_nor_remote_holds_an_id(tmp_path):
    for name in ("dvc.yaml", ".dvcignore", ".src", "nlp", "pipelines", "train"):
        copy = (
            functools.partial(shutil.copytree, symlinks=True)
            if (ROOT / name).is_dir()
            else shutil.copy
        )
        copy(ROOT / name, tmp_path / name)
    chosen = yaml.safe_load((ROOT / "params.yaml").read_text())
    chosen["collections"] = ["mimic"]
    chosen["sources"]["mimic"] |= {"ids": "salted", "root": "tree/mimic"}
    chosen["scan"]["salt"] = "env:CXR_SALT"
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(chosen))
    mimic.write(tmp_path / "tree", studies=6, seed=1, height=96)
    (tmp_path / "remote").mkdir()
    dvc(tmp_path, "git", "init", "-q")
    dvc(tmp_path, "dvc", "init", "-q")
    dvc(tmp_path, "dvc", "config", "cache.type", "hardlink,symlink")  # sets modes of what it links
    dvc(tmp_path, "dvc", "remote", "add", "-d", "there", str(tmp_path / "remote"))
    dvc(tmp_path, "dvc", "repro", "shards@mimic")
    dvc(tmp_path, "dvc", "push", "--run-cache", "shards@mimic")
    found = tmp_path / "data/scan/mimic/ids.csv"
    assert stat.S_IMODE(found.stat().st_mode) == 0o600
    wanted = {cell for row in csv.DictReader(found.open()) for name, cell in row.items()
              if name != "key"} | {SALT}  # fmt: skip
    assert len(wanted) > 10
    shown = [tmp_path / "dvc.lock"]
    for folder in (".dvc", "remote", "data/texts", "data/shards"):
        shown += [path for path in (tmp_path / folder).rglob("*") if path.is_file()]
    assert {path.parts[len(tmp_path.parts)] for path in shown} >= {".dvc", "remote", "data"}
    for path in shown:
        data = path.read_bytes()
        assert [text for text in wanted if text.encode() in data] == [], path


def test_every_synthetic_writer_is_tested():
    assert set(SOURCES) == set(WRITERS)


def test_verify_reports_source_ids_in_a_salted_set(built, tmp_path):
    shutil.copytree(built / "shards/mimic", tmp_path / "mimic")
    restate(tmp_path / "mimic", ids="salted")
    assert codes(tmp_path / "mimic") == {"ids.raw"}
    restate(tmp_path / "mimic", ids="hidden")
    assert codes(tmp_path / "mimic") == {"manifest.broken"}


@pytest.mark.parametrize(("text", "warned"), [("env:SALT", False), ("a" * 32, True)])
def test_a_salt_in_a_repository_is_warned_of_and_not_shown(tmp_path, capsys, text, warned):
    ids.warn_of_open_salt(text, tmp_path / "data/scan/nih")
    assert capsys.readouterr().err == ""  # no repository, no history
    (tmp_path / ".git").mkdir()
    ids.warn_of_open_salt(text, tmp_path / "data/scan/nih")
    said = capsys.readouterr().err
    assert ("scan.salt stands in params.yaml" in said) == warned
    assert text not in said
