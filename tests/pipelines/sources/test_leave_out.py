"""leave_out: who is named, what is left out for it, and that nothing else changes."""

from __future__ import annotations

import dataclasses
import json
import re
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
import pytest
import stages
from hypothesis import given
from hypothesis import strategies as st

from cxr_vlp.pipelines import config, scan, sources
from cxr_vlp.pipelines.errors import ConfigError, DataError
from cxr_vlp.pipelines.files import jsonl
from cxr_vlp.pipelines.records import Image, Lost, Study
from cxr_vlp.pipelines.sources import base, ids, leave_out
from cxr_vlp.pipelines.sources.base import Named
from cxr_vlp.pipelines.sources.leave_out import LeaveOut

DICOM = "02aa804e-bde0afdd-112c0b34-7bc16630-4e384014"
MIMIC = Named("10000032", "s50414267", DICOM)
CHEXPERT = Named("patient00001", "patient00001-study2", "view1_frontal")
NIH = Named("1", "00000001_000", "0")
OPENI = Named("cxr1000", "cxr1000", "im-0003-1001")

NAMED = [
    ("mimic", "patient", "p10000032", Named("10000032")),
    ("mimic", "patient", "10000032", Named("10000032")),
    ("mimic", "patient", "10000032.0", Named("10000032")),  # a column that pandas wrote
    ("mimic", "image", "10000032", None),
    ("mimic", "study", "50414267", Named("", "s50414267")),
    ("mimic", "patient", "s50414267", Named("", "s50414267")),
    ("mimic", "patient", "s50414267.txt", Named("", "s50414267")),
    ("mimic", "patient", f"files/p10/p10000032/s50414267/{DICOM}.jpg", MIMIC),
    ("mimic", "image", f"p10000032\\s50414267\\{DICOM.upper()}.dcm.gz", MIMIC),
    ("mimic", "image", "files/p10/p10000032/s50414267/", MIMIC._replace(image="")),
    ("mimic", "image", "files/p10/p10000032/s50414267.txt", MIMIC._replace(image="")),
    ("mimic", "patient", DICOM, Named("", "", DICOM)),
    ("mimic", "patient", f"{DICOM}.jpg", Named("", "", DICOM)),
    ("mimic", "patient", "1000003", None),
    ("mimic", "patient", "1.0000032E7", Named("10000032")),
    ("mimic", "patient", "files/p10/p10000032/s50414267/other.jpg", None),
    ("chexpert", "patient", "CheXpert-v1.0/train/patient00001/study2/view1_frontal.jpg", CHEXPERT),
    ("chexpert", "image", "patient00001_study2_view1_frontal", CHEXPERT),  # CheXlocalize's keys
    ("chexpert", "image", "patient00001_study2_view1_frontal_map.pkl", None),
    ("chexpert", "study", "valid/patient1/study2", CHEXPERT._replace(image="")),
    ("chexpert", "patient", "patient00001", Named("patient00001")),
    ("chexpert", "patient", "1", Named("patient00001")),
    ("chexpert", "study", "1", None),
    ("chexpert", "patient", "train.csv", None),
    ("nih", "image", "00000001_000.png", NIH),
    ("nih", "image", "images_001/images/00000001_000.PNG", NIH),
    ("nih", "image", "1_0", NIH),
    ("nih", "patient", "1", Named("1")),
    ("nih", "patient", "00000001", Named("1")),
    ("nih", "image", "1", None),
    ("nih", "patient", "one", None),
    ("openi", "image", "CXR1000_IM-0003-1001", OPENI),
    ("openi", "image", "images/1000_IM-0003-1001.dcm.png", OPENI),
    ("openi", "patient", "1000_IM-0003-1001.dcm", OPENI),
    ("openi", "image", "CXR1_1_IM-0001-3001.png", Named("cxr1", "cxr1", "im-0001-3001")),
    ("openi", "study", "CXR1000", Named("cxr1000", "cxr1000")),
    ("openi", "study", "1000", Named("cxr1000", "cxr1000")),
    ("openi", "study", "ecgen-radiology/1000.xml", Named("cxr1000", "cxr1000")),
    ("openi", "study", "report", None),
]


@pytest.mark.parametrize(("source", "kind", "text", "wanted"), NAMED)
def test_what_a_text_names(source, kind, text, wanted):
    assert base.named(sources.reader(source, {}), text, kind) == wanted


class Plain:
    """A reader without `named`."""

    name = "clinic"


@pytest.mark.parametrize(
    ("kind", "text", "wanted"),
    [
        ("patient", "A 7", Named("A 7")),
        ("study", "A 7", Named("", "A 7")),
        ("image", "A 7", Named("", "", "A 7", "A 7")),
        ("patient", "films/a.png", Named(file="films/a.png")),
        ("patient", "a.dcm.gz", Named(file="a.dcm.gz")),
        ("patient", "dr.no", Named("dr.no")),  # a dot alone is no ending of an image
    ],
)
def test_what_a_text_names_for_a_reader_that_does_not_say(kind, text, wanted):
    assert base.named(Plain(), text, kind) == wanted


def study(key: str, patient: str, *images: str) -> Study:
    made = tuple(Image(name, f"films/{key}/{name}.png") for name in images)
    return Study("clinic", key, patient, "train", made)


FOLK = (study("s1", "A 7", "a", "b"), study("s2", "A 7", "c"), study("s3", "B", "d", "e"))


def outcome(tmp_path, lines, folk=FOLK, lost=(), salted=False, source=Plain, **how):
    """Return (images that are left, code -> images left out, notes)."""
    path = tmp_path / "list.txt"
    path.write_text("\n".join(lines))
    lists = leave_out.read(source(), [LeaveOut(str(path), **how)], "sources.clinic.leave_out")
    naming = ids.Ids("clinic", "x" * 20, salted)
    groups = defaultdict(list)
    named = defaultdict(set)
    for each in folk:
        met = lists.met(each, naming, [one for key, one in lost if key == each.key])
        groups[met.study.patient].append(met)
        for hit in met.hits:
            named[hit.list].add(hit.id)
    kept = [lists.kept(group) for group in groups.values()]
    left = [i.origin or i.key for k in kept for s in k.studies for i in s.images]
    codes = [reject.code for k in kept for reject in k.rejects]
    assert len(left) + len(codes) == sum(len(each.images) for each in folk)
    notes = lists.notes({place: len(found) for place, found in named.items()})
    return sorted(left), {code: codes.count(code) for code in codes}, notes


@pytest.mark.parametrize("salted", [False, True])
@pytest.mark.parametrize(
    ("line", "how", "left", "codes"),
    [
        ("A 7", {}, "de", {"leave_out.patient": 3}),
        ("a_7", {}, "de", {"leave_out.patient": 3}),
        ("c", {"ids": "image"}, "de", {"leave_out.patient": 3}),
        ("s2", {"ids": "study"}, "de", {"leave_out.patient": 3}),
        ("raw/films/s2/c.jpg", {}, "de", {"leave_out.patient": 3}),
        ("s1", {"by": "study"}, "cde", {"leave_out.study": 2}),
        ("b", {"by": "study", "ids": "image"}, "cde", {"leave_out.study": 2}),
        ("b", {"by": "image"}, "acde", {"leave_out.image": 1}),
        ("s1/b.png", {"by": "image"}, "acde", {"leave_out.image": 1}),
        ("c", {"by": "image"}, "abde", {"leave_out.image": 1}),  # no image of its study is left
        ("clinic-s1-b", {"by": "image"}, "acde", {"leave_out.image": 1}),
        ("clinic-s1-b", {"by": "patient"}, "de", {"leave_out.patient": 3}),
    ],
)
def test_what_is_left_out(tmp_path, line, how, left, codes, salted):
    if salted and line.startswith("clinic-"):
        # outside data/scan the ids are hashes: so are those of its keys
        line = ids.Ids("clinic", "x" * 20, True).key("s1", "b")
    assert outcome(tmp_path, [line], salted=salted, **how) == ([*left], codes, {})


@pytest.mark.parametrize(
    ("line", "how"),
    [
        ("s2/b.png", {"by": "image"}),  # another folder than the image's
        ("c", {}),  # by: patient, and c is an image
        ("A7", {}),
        ("clinic-s1-x", {"by": "image"}),
        ("s", {"by": "study"}),
    ],
)
def test_a_list_that_names_nobody(tmp_path, line, how):
    assert outcome(tmp_path, [line], **how) == (
        [*"abcde"],
        {},
        {"leave_out.unmatched": 1, "leave_out.nobody": 1},
    )


COUNTED = (study("s1", "A", "0"), study("s2", "B", "0"), study("s3", "C", "0", "1"))


@pytest.mark.parametrize("by", ["patient", "study", "image"])
def test_a_number_that_readers_give_to_images_names_none_of_them(tmp_path, by):
    # such as the index of a table, read as image ids: it would leave out every image
    for line in ("7", "22"):
        found = outcome(tmp_path, [line], COUNTED, by=by, ids="image")
        assert found[1:] == ({}, {"leave_out.unmatched": 1, "leave_out.nobody": 1})
    unnamed = tuple(
        dataclasses.replace(
            each, images=tuple(dataclasses.replace(i, path=f"{each.key}x.png") for i in each.images)
        )
        for each in COUNTED
    )
    found = outcome(tmp_path, ["0"], unnamed, by=by, ids="image")
    assert found == (["0", "0", "0", "1"], {}, {"leave_out.unmatched": 1, "leave_out.nobody": 1})


def test_ids_that_name_nobody_are_counted_once(tmp_path):
    found = outcome(tmp_path, ["A 7", "B", "C", "c", "D"])  # C and c are one id
    assert found == ([], {"leave_out.patient": 5}, {"leave_out.unmatched": 2})


def test_an_image_that_is_not_on_disk_names_its_patient_too(tmp_path):
    lost = [("s1", Lost("image.missing", "gone"))]
    found = outcome(tmp_path, ["gone"], lost=lost, ids="image")
    assert found == ([*"de"], {"leave_out.patient": 3}, {})


@given(st.lists(st.sampled_from(["A 7", "B", "C"]), min_size=1), st.permutations(FOLK))
def test_the_order_of_ids_and_studies_changes_nothing(tmp_path_factory, lines, folk):
    folder = tmp_path_factory.mktemp("x")
    assert outcome(folder, lines, folk) == outcome(folder, sorted(set(lines)))


class Mimic(Plain):
    """A reader with `named`."""

    @staticmethod
    def named(text, kind):
        return sources.reader("mimic", {}).named(text, kind)


@pytest.mark.parametrize(
    ("text", "how", "said"),
    [
        ("p10000032\nSECRET", {}, "line 2: no id of clinic;"),
        ("# SECRET\n\np10000032", {"by": "image"}, "line 3: no id of clinic, and `by: image`"),
        ("p10000032", {"by": "study"}, "one of a study or an image"),
        ("# only SECRET", {}, "there is no id in it"),
    ],
)
def test_an_id_that_cannot_be_read_stops_with_its_line(tmp_path, text, how, said):
    with pytest.raises(ConfigError, match=re.escape(said)) as caught:
        outcome(tmp_path, text.split("\n"), source=Mimic, **how)
    assert "sources.clinic.leave_out[0]" in str(caught.value)
    assert "SECRET" not in str(caught.value)
    assert "10000032" not in str(caught.value)


PAIRS = """dataset,key,split,other_dataset,other_key,other_split,distance
clinic,clinic-s1-a,train,rsna,rsna-x-0,test,3
nih,nih-1_0-0,train,clinic,clinic-s3-e,test,3
nih,nih-1_0-0,train,rsna,rsna-x-0,test,3
"""


def test_the_pairs_that_verify_wrote_leave_out_the_images_of_this_collection(tmp_path):
    (tmp_path / "pairs.csv").write_text(PAIRS)
    lists = leave_out.read(Plain(), [LeaveOut(str(tmp_path / "pairs.csv"), by="image")], "x")
    assert lists.lists[0].total == 2
    naming = ids.Ids("clinic", "x")
    left = [
        i.key
        for s in FOLK
        for k in lists.kept([lists.met(s, naming, ())]).studies
        for i in k.images
    ]
    assert left == ["b", "c", "d"]


def test_pairs_of_other_collections_only_are_no_list(tmp_path):
    (tmp_path / "pairs.csv").write_text(PAIRS.replace("clinic", "siim"))
    with pytest.raises(ConfigError, match="all are of others"):
        leave_out.read(Plain(), [LeaveOut(str(tmp_path / "pairs.csv"), by="image")], "x")


# whole runs, on the synthetic trees


@pytest.fixture
def place(raw, tmp_path):
    """Scan a synthetic tree with lists; return the header and the studies of the inventory."""

    def run(source, *entries, out="out", **collection):
        values = {"leave_out": list(entries), "max_rejects": 0.25, **collection}
        arguments = ["--root", str(raw / source), "--workers", "1"]
        where = tmp_path / out
        params = stages.params(tmp_path, sources={source: {"parts": stages.PARTS, **values}})
        arguments += ["--params", str(params)]
        stages.run_scan(source, arguments, where)
        folder = where / "scan" / source
        parts = sorted(p for p in folder.glob("*.jsonl") if p.name != "rejects.jsonl")
        found = [row for part in parts for row in jsonl.read_records(part)]
        return json.loads((folder / "inventory.json").read_text()), found

    return run


def images_of(found):
    return {
        f"{row['key']}/{image['key']}": image["path"] for row in found for image in row["images"]
    }


@pytest.mark.parametrize(
    ("source", "by", "form"),
    [
        ("mimic", "patient", lambda row, image: f"p{row['patient']}"),
        ("mimic", "patient", lambda row, image: image["key"]),
        ("mimic", "study", lambda row, image: f"files/{image['path']}"),
        ("chexpert", "patient", lambda row, image: "CheXpert/" + image["path"].split("/", 1)[1]),
        ("chexpert", "image", lambda row, image: f"{row['key'].replace('-', '_')}_{image['key']}"),
        ("nih", "patient", lambda row, image: f"{row['key']}.png"),
        ("nih", "image", lambda row, image: row["key"]),
        ("openi", "image", lambda row, image: Path(image["path"]).name),
        ("openi", "patient", lambda row, image: row["key"].upper()),
    ],
)  # fmt: skip
def test_a_run_leaves_out_what_a_list_names_and_nothing_else(place, tmp_path, source, by, form):
    whole, before = place(source, out="before")
    row = before[0]
    image = row["images"][-1]
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "theirs.csv").write_text(f"n,Path\n1,{form(row, image)}\n")
    # the file stands beside params.yaml, wherever the command runs
    header, after = place(source, {"file": "lists/theirs.csv", "column": "path", "by": by})
    person = {r["key"] for r in before if r["patient"] == row["patient"]}
    gone = set(images_of(before)) - set(images_of(after))
    chosen = {
        "patient": {name for name in images_of(before) if name.split("/")[0] in person},
        "study": {name for name in images_of(before) if name.startswith(f"{row['key']}/")},
        "image": {f"{row['key']}/{image['key']}"},
    }
    assert gone == chosen[by]
    assert header["dropped"][f"scan leave_out.{by}"] == len(gone)
    assert header["listed"] == whole["listed"] == sum(header["dropped"].values()) + header["images"]
    assert "leave_out.unmatched" not in header["notes"]
    splits = {r["key"]: r["split"] for r in before}
    assert all(splits[r["key"]] == r["split"] for r in after)


OTHER = "0" * 8 + "-00000000" * 4  # an image that MIMIC does not have


def shown(said: str) -> dict[str, int]:
    """Return the numbers of a printed table, by the words before them."""
    rows = [line.rsplit(maxsplit=1) for line in said.splitlines()]
    pairs = [(row[0].strip(), row[1].replace(",", "")) for row in rows if len(row) == 2]
    return {name: int(number) for name, number in pairs if number.isdigit()}


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("by", "salted"), [("patient", False), ("study", False), ("image", True), ("patient", True)]
)
def test_a_dry_run_leaves_out_what_a_scan_leaves_out(place, raw, tmp_path, capsys, by, salted):
    _, before = place("mimic", out="before")
    image = before[0]["images"][0]
    other = f"files/p19/p19999999/s59999999/{OTHER}.jpg"
    (tmp_path / "list.txt").write_text(f"{image['path']}\n{other}\n")
    entry = {"file": "list.txt", "by": by}
    more = {"ids": "salted"} if salted else {}
    values = {"leave_out": [entry], "max_rejects": 0.25, "parts": stages.PARTS, **more}
    sections = {"sources": {"mimic": values}, "scan": {"salt": "a secret of many letters"}}
    file = stages.params(tmp_path, **sections)
    stages.run_scan("mimic", ["--root", str(raw / "mimic"), "--params", str(file)], tmp_path / "o")
    header = json.loads((tmp_path / "o/scan/mimic/inventory.json").read_text())
    capsys.readouterr()
    words = ["--root", str(raw / "mimic"), "--params", str(file), "--dry-run"]
    assert scan.main(["mimic", *words]) == 0
    said = capsys.readouterr().out
    found = shown(said)
    left = header["dropped"][f"scan leave_out.{by}"]
    assert found[f"- scan leave_out.{by}"] == left > 0
    assert found["leave_out.unmatched"] == 1
    assert found["images listed"] - left >= found["images found"] > 0
    assert found["studies"] == header["studies"]
    assert image["key"] not in said


def test_what_lists_leave_out_does_not_count_against_max_rejects(place, tmp_path):
    _, before = place("nih", out="before")
    names = [f"{row['key']}.png" for row in before]
    (tmp_path / "most.txt").write_text("\n".join(names[:-1]))
    header, after = place("nih", {"file": "most.txt", "by": "image"}, max_rejects=0.0)
    assert [row["key"] for row in after] == [before[-1]["key"]]
    assert header["dropped"]["scan leave_out.image"] == len(names) - 1
    (tmp_path / "all.txt").write_text("\n".join(names))
    with pytest.raises(DataError, match=r"no image of .* can be used .*leave_out\.image"):
        place("nih", {"file": "all.txt", "by": "image"}, out="none")


def test_a_changed_list_is_seen_and_an_unchanged_one_reads_nothing(place, tmp_path, capsys):
    (tmp_path / "list.txt").write_text("1\n")
    entry = {"file": "list.txt"}
    first, before = place("nih", entry)
    out = tmp_path / "out" / "scan" / "nih"
    stamp = (out / "inventory.json").stat().st_mtime_ns
    place("nih", entry)
    assert (out / "inventory.json").stat().st_mtime_ns == stamp
    assert "unchanged" in capsys.readouterr().out
    patient = before[0]["patient"]
    (tmp_path / "list.txt").write_text(f"{patient}\n")
    second, after = place("nih", entry)
    assert not [row for row in after if row["patient"] == patient]
    assert first["leave_out"][0].keys() == {"column", "by", "ids", "form", "sha256"}
    assert first["leave_out"][0]["sha256"] != second["leave_out"][0]["sha256"]


def test_a_list_that_names_nobody_is_said_with_the_remedy(place, tmp_path, capfd):
    (tmp_path / "list.txt").write_text("99999\n99998\n")
    header, _ = place("nih", {"file": "list.txt"})
    assert header["notes"]["leave_out.nobody"] == 1
    assert header["notes"]["leave_out.unmatched"] == 2
    said = "".join(capfd.readouterr())
    assert "leave_out.nobody: a list of sources.NAME.leave_out that names nobody" in said
    assert "99999" not in said


def test_with_salted_ids_the_list_holds_the_sources_ids_and_they_stay_in_scan(
    place, raw, tmp_path, capfd
):
    salt = {"salt": "a secret of many letters"}
    _, before = place("mimic", out="before")
    patient = before[0]["patient"]
    (tmp_path / "list.txt").write_text(f"p{patient}\n")
    out = tmp_path / "salted"
    values = {"ids": "salted", "leave_out": [{"file": str(tmp_path / "list.txt")}]}
    values |= {"parts": stages.PARTS, "max_rejects": 0.5}
    folder = stages.build(raw / "mimic", "mimic", out, sources={"mimic": values}, scan=salt)
    header = json.loads((out / "scan" / "mimic" / "inventory.json").read_text())
    assert header["dropped"]["scan leave_out.patient"] > 0
    assert "leave_out.unmatched" not in header["notes"]
    for path in (*folder.rglob("*"), *(out / "texts").rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            assert patient.encode() not in data
            assert header["leave_out"][0]["sha256"].encode() not in data
    assert patient not in "".join(capfd.readouterr())


def test_the_next_stage_sees_that_a_list_changed(place, raw, tmp_path):
    from cxr_vlp.pipelines.stages import parameter_check

    (tmp_path / "list.txt").write_text("1\n")
    header, _ = place("nih", {"file": "list.txt"})
    settings = config.load(tmp_path / "params.yaml")
    parameter_check.inventory(header, tmp_path, settings)
    (tmp_path / "list.txt").write_text("2\n")
    with pytest.raises(ConfigError, match=r"sources\.nih\.leave_out"):
        parameter_check.inventory(header, tmp_path, settings)
    (tmp_path / "list.txt").unlink()
    with pytest.raises(ConfigError, match=r"leave_out\[0\]: no file at"):
        parameter_check.inventory(header, tmp_path, settings)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"file": "a.txt", "by": "person"}, "one of patient, study, image"),
        ({"column": "a"}, "say which `file` has the ids"),
        ({"file": "a.txt", "colum": "a"}, "colum"),
        ({"file": "https://x.org/a.txt"}, "leave_out"),
    ],
)
def test_a_wrong_entry_is_named(raw, tmp_path, entry, said):
    params = stages.params(tmp_path, sources={"nih": {"leave_out": [entry]}})
    arguments = ["nih", "--root", str(raw / "nih"), "--params", str(params)]
    arguments += ["--out", str(tmp_path / "scan"), "--state", str(tmp_path / ".cxr")]
    with pytest.raises(ConfigError, match=re.escape(said)):
        scan.main(arguments)
    assert not (tmp_path / "scan").exists()


@pytest.mark.parametrize(
    ("line", "how", "left"),
    [
        ("A 7", {}, ["c.png"]),
        ("S 2023/2", {"by": "study"}, ["a.png", "b.png", "c.png", "d.png"]),  # a path of no file
        ("S2", {"by": "study"}, ["a.png", "b.png", "c.png"]),
        ("other/films/b.jpg", {"by": "image"}, ["a.png", "c.png", "d.png"]),
        ("b", {"by": "image"}, ["a.png", "c.png", "d.png"]),
        ("b", {"by": "patient", "ids": "image"}, ["c.png"]),
    ],
)
def test_a_table_of_your_own(tmp_path, line, how, left):
    root = tmp_path / "raw"
    (root / "films").mkdir(parents=True)
    random = np.random.default_rng(1)
    rows = ["file,person,visit,Edema"]
    for name, person, visit in (
        ("a", "A 7", "S1"),
        ("b", "A 7", "S1"),
        ("c", "B", "S3"),
        ("d", "A 7", "S2"),
    ):
        picture = cv2.resize(random.integers(0, 256, (9, 9), np.uint8), (96, 96))
        cv2.imwrite(str(root / "films" / f"{name}.png"), picture)
        rows.append(f"{name}.png,{person},{visit},1")
    (root / "films.csv").write_text("\n".join(rows))
    (tmp_path / "list.txt").write_text(line)
    reader = {"image": "file", "patient": "person", "study": "visit", "labels": ["Edema"]}
    values = {"preset": "table", "reader": reader, "parts": stages.PARTS}
    values["leave_out"] = [{"file": "list.txt", **how}]
    params = stages.params(tmp_path, sources={"clinic": values})
    stages.run_scan("clinic", ["--root", str(root), "--params", str(params)], tmp_path)
    parts = sorted((tmp_path / "scan" / "clinic").glob("clinic-*.jsonl"))
    found = [row for part in parts for row in jsonl.read_records(part)]
    assert sorted(Path(path).name for path in images_of(found).values()) == left
