"""Near-duplicates: one film with other pixels is found, other films are not, and nothing leaks."""

from __future__ import annotations

import csv
import json
import shutil
import stat
from pathlib import Path

import cv2
import numpy as np
import pytest
from breaking import members, put, restate, rewrite, tar_of

from cxr_vlp.pipelines import sources, verify
from cxr_vlp.pipelines.format.sample import Pixels
from cxr_vlp.pipelines.records import dumps
from cxr_vlp.pipelines.sources import leave_out
from cxr_vlp.pipelines.sources.leave_out import LeaveOut
from cxr_vlp.pipelines.validate import near_duplicates as near
from cxr_vlp.pipelines.validate import runner
from cxr_vlp.pipelines.validate.leakage import Place, only_name
from cxr_vlp.pipelines.validate.near_duplicates import Print, Prints

TRAIN, TEST = Place("nih", "train"), Place("rsna", "test")


def film(seed: int, side: int = 256) -> np.ndarray:
    """Return a picture with structures of all sizes, on a shape that all films share."""
    random = np.random.default_rng(seed)
    total = cv2.GaussianBlur(np.eye(side, dtype=np.float32), (0, 0), side / 4)
    total = 4 * total / total.max()
    for size in (2, 5, 12, 30):
        noise = cv2.GaussianBlur(random.normal(size=(side, side)).astype(np.float32), (0, 0), size)
        total += noise / noise.std()
    low, high = total.min(), total.max()
    return ((total - low) / (high - low) * 255).astype(np.uint8)


def stored(picture: np.ndarray, quality: int = 95) -> tuple[bytes, Pixels]:
    data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
    return data, Pixels(height=picture.shape[0], width=picture.shape[1])


def print_of(picture: np.ndarray, key="k", patient="p", quality=95) -> Print:
    found = near.of_image(*stored(picture, quality), key, key.split("-")[0], patient.encode())
    assert found is not None
    return found


def pairs_of(*placed: tuple[Place, list[Print]]) -> list[near.Found]:
    prints = Prints()
    for place, made in placed:
        prints.add(place, made)
    return prints.pairs()


CHANGES = {
    "smaller": lambda a: cv2.resize(a, (112, 112), interpolation=cv2.INTER_AREA),
    "larger": lambda a: cv2.resize(a, (700, 700), interpolation=cv2.INTER_CUBIC),
    "other-sides": lambda a: cv2.resize(a, (200, 256), interpolation=cv2.INTER_AREA),
    "compressed": lambda a: cv2.imdecode(cv2.imencode(".jpg", a, [1, 40])[1], 0),
    "equalised": cv2.equalizeHist,
    "brighter": lambda a: np.clip(a * 1.1 + 8, 0, 255).astype(np.uint8),
    "gamma": lambda a: (255 * (a / 255) ** 0.6).astype(np.uint8),
    "negative": lambda a: 255 - a,
    "cropped": lambda a: a[4:-4, 4:-4],
    "cut-below": lambda a: a[:-6],
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_film_is_found_in_every_form(change):
    others = [print_of(film(seed), f"nih-{seed}", f"n{seed}") for seed in range(12)]
    again = print_of(CHANGES[change](film(3)), "rsna-x", "r")
    found = pairs_of((TRAIN, others), (TEST, [again]))
    assert [(each.pair.key, each.pair.other_key) for each in found] == [("nih-3", "rsna-x")]
    assert found[0].places == (TRAIN, TEST)
    assert found[0].pair.split == "train"
    assert found[0].pair.other_split == "test"


def test_other_films_are_not_near():
    assert pairs_of((TRAIN, [print_of(film(n), f"nih-{n}", f"{n}") for n in range(100, 150)])) == []


def test_a_film_turned_or_mirrored_is_another_film():
    turned = [np.rot90(film(3)).copy(), film(3)[:, ::-1].copy()]
    made = [print_of(one, f"rsna-{n}", "r") for n, one in enumerate(turned)]
    assert pairs_of((TRAIN, [print_of(film(3), "nih-3", "n")]), (TEST, made)) == []


@pytest.mark.parametrize("grey", [0, 9, 255])
def test_images_that_show_nothing_are_counted_and_compared_with_none(grey):
    blank = np.full((128, 128), grey, np.uint8)
    blank[:3, :3] = 255 - grey
    prints = Prints()
    prints.add(TRAIN, [print_of(blank, f"nih-{n}", str(n)) for n in range(5)])
    assert (prints.pairs(), prints.blank, len(prints)) == ([], 5, 0)


def test_a_faint_image_is_still_compared():
    faint = (film(3) / 255 * 30 + 90).astype(np.uint8)
    assert print_of(faint).code


def test_images_of_one_patient_are_no_pair():
    assert pairs_of((TRAIN, [print_of(film(3), f"nih-{n}", "one") for n in range(3)])) == []


def test_of_many_copies_each_is_paired_with_one_of_every_place():
    copies = [print_of(film(3), f"nih-{n:03}", f"n{n}") for n in range(60)]
    tested = [print_of(film(3), f"rsna-{n}", f"r{n}") for n in range(3)]
    found = pairs_of((TRAIN, copies), (TEST, tested))
    across = [each.pair for each in found if each.places == (TRAIN, TEST)]
    assert {pair.key for pair in across} == {one.key for one in copies}  # all can be left out
    assert {pair.other_key for pair in across} == {one.key for one in tested}
    assert len(found) < 5 * 63


def test_a_copy_whose_first_counterpart_is_of_its_own_patient_is_still_paired():
    here = [print_of(film(3), "nih-1", "b"), print_of(film(3), "nih-2", "a")]
    there = [print_of(film(3), "rsna-1", "a"), print_of(film(3), "rsna-2", "b")]
    across = [f.pair for f in pairs_of((TRAIN, here), (TEST, there)) if f.places == (TRAIN, TEST)]
    assert {(pair.key, pair.other_key) for pair in across} == {
        ("nih-1", "rsna-1"),
        ("nih-2", "rsna-2"),
    }


def test_an_image_that_cannot_be_decoded_has_no_fingerprint():
    assert near.of_image(b"no image", Pixels(height=9, width=9), "k", "d", b"p") is None


def test_the_order_in_which_tars_are_added_changes_no_pair():
    one = (TRAIN, [print_of(film(n), f"nih-{n}", f"n{n}") for n in range(4)])
    other = (TEST, [print_of(film(n)[3:-3], f"rsna-{n}", f"r{n}") for n in range(4)])
    found = pairs_of(one, other)
    assert [(f.pair.key, f.pair.other_key) for f in found] == [
        (f"nih-{n}", f"rsna-{n}") for n in range(4)
    ]
    assert pairs_of(other, one) == found


def test_real_films_of_two_sizes(shared):
    folder = shared / "data" / "nih"
    read = lambda path: cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)  # noqa: E731
    full = sorted((folder / "images_1024").glob("*.png"))
    small = sorted((folder / "images_512").glob("*.png"))
    more = sorted((folder / "images_224").glob("*.png"))[:30]
    originals = [print_of(read(path), f"nih-{path.stem}", path.stem) for path in (*full, *more)]
    again = [print_of(read(path), f"rsna-{path.stem}", f"r{path.stem}", 60) for path in small]
    found = pairs_of((TRAIN, originals), (TEST, again))
    common = {path.stem for path in full} & {path.stem for path in small}
    assert common
    assert {each.pair.key for each in found} == {f"nih-{stem}" for stem in common}


# whole sets


@pytest.fixture
def sets(built, tmp_path) -> dict[str, Path]:
    for name in ("nih", "chexpert"):
        shutil.copytree(built / "shards" / name, tmp_path / "sets" / name)
    return {name: tmp_path / "sets" / name for name in ("nih", "chexpert")}


@pytest.fixture
def stolen(sets) -> str:
    """Put a film of NIH's train split into CheXpert's test split, stored again; return its key."""
    (name, data), _ = members(tar_of(sets["nih"]))[:2]
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    picture = cv2.equalizeHist(cv2.resize(picture, (104, 104), interpolation=cv2.INTER_AREA))
    again, _ = stored(picture, 70)

    def change(before):
        own = json.loads(before[1][1])
        own["pixels"] |= {"height": 104, "width": 104}
        return put(0, again)(put(1, dumps(own | {"boxes": []}).encode())(before))

    rewrite(sets["chexpert"], change, "test")
    return name.rpartition(".")[0]


def test_a_film_in_two_collections_is_a_breach_and_leave_out_reads_the_pairs(
    sets, stolen, tmp_path, capsys
):
    folder, file = tmp_path / "sets", tmp_path / "pairs.csv"
    assert verify.main([str(folder), "--deep"]) == 0  # no digest shows it
    written = []
    capsys.readouterr()
    for workers in ("1", "2"):
        arguments = [str(folder), "--near-duplicates", str(file), "--workers", workers]
        assert verify.main(arguments) == 65
        said = capsys.readouterr().out
        assert "leakage.near_duplicate: chexpert/test and nih/train" in said
        assert "leave_out" in said
        rows = list(csv.DictReader(file.open()))
        written.append(file.read_bytes())
        assert [r for r in rows if stolen in (r["other_key"], r["key"]) and r["split"] == "test"]
        assert not any(row["key"] in said or row["other_key"] in said for row in rows)
        assert list(rows[0]) == list(near.Pair._fields)
    assert written[0] == written[1]
    lists = leave_out.read(sources.reader("nih", {}), [LeaveOut(str(file), by="image")], "x")
    assert stolen in lists.lists[0].keys
    assert all(key.startswith("nih-") for key in lists.lists[0].keys)


def test_the_pair_is_new(sets, stolen, built):
    def pairs(*folders):
        near_ones = runner.NearDuplicates()
        runner.check(folders, deep=False, near=near_ones)
        return {(each.pair.key, each.pair.other_key) for each in near_ones.found}

    before = pairs(built / "shards" / "nih", built / "shards" / "chexpert")
    (new,) = {pair for pair in pairs(*sets.values()) - before if stolen in pair}
    assert any(key.startswith("chexpert-") for key in new)


def test_without_the_option_nothing_is_compared(sets, stolen):
    found = runner.check(list(sets.values()), deep=True)
    assert found["breaches"] == []
    assert not {note["code"] for note in found["notes"]} & {"image.near_duplicate", "image.blank"}


def test_in_one_split_a_pair_is_a_note(sets):
    first, second = members(tar_of(sets["nih"]))[:6:3]
    again = cv2.imdecode(np.frombuffer(first[1], np.uint8), cv2.IMREAD_GRAYSCALE)
    data = cv2.imencode(".jpg", again, [cv2.IMWRITE_JPEG_QUALITY, 60])[1].tobytes()
    assert first[0] != second[0]
    folder = sets["nih"]

    def change(before):
        own = json.loads(before[4][1])
        theirs = json.loads(before[1][1])
        own |= {"pixels": theirs["pixels"], "boxes": [], "patient": "99999"}
        return put(3, data)(put(4, dumps(own).encode())(before))

    rewrite(folder, change)
    found = runner.check([folder], deep=False, near=runner.NearDuplicates())
    notes = [note for note in found["notes"] if note["code"] == "image.near_duplicate"]
    assert [note["where"] for note in notes] == ["nih/train"]
    assert not [b for b in found["breaches"] if b["code"].startswith("image.")]


def test_the_pairs_of_a_credentialed_set_are_for_its_user_alone(sets, stolen, tmp_path):
    file = tmp_path / "pairs.csv"
    modes = []
    for credentialed in (False, True):
        restate(sets["nih"], credentialed=credentialed)
        restate(sets["chexpert"], credentialed=False)
        verify.main([str(tmp_path / "sets"), "--near-duplicates", str(file)])
        modes.append(stat.S_IMODE(file.stat().st_mode) & 0o077)
    assert modes == [0o044, 0]


def test_a_set_in_the_place_of_the_file_is_refused(sets, capsys):
    with pytest.raises(SystemExit) as caught:
        verify.main(["--near-duplicates", str(sets["nih"]), str(sets["chexpert"])])
    assert caught.value.code == 2
    assert "is no .csv" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("study", "image", "wanted"),
    [
        ("s", "02aa804e-bde0afdd-112c0b34-7bc16630-4e384014", "image"),
        ("s", "0004cfab-14fd-4e49-80ba-63a80b6bddd6", "image"),
        ("000434271f63a053c4128a0ba6352c7f", "0", "study"),
        ("1-2-276-0-7230010-3-1-4-8323329-6904", "0", "study"),
        ("00000001_000", "0", "study"),
        ("patient00001-study1", "view1_frontal", ""),
        ("s50414267", "0123456789abcdef", ""),  # a salted id belongs to one collection
        ("cxr1000", "im-0003-1001", ""),
        ("20230101-0001", "1", ""),
    ],
)
def test_ids_that_two_collections_do_not_invent(study, image, wanted):
    assert only_name(study, image) == {"image": image, "study": study, "": ""}[wanted]


def test_one_id_in_two_sets_and_splits_is_a_breach(sets, tmp_path):
    def named(name):
        def change(before):
            own = json.loads(before[1][1]) | {"image": name}
            return put(1, dumps(own).encode())(before)

        return change

    uid = "000434271f63a053c4128a0ba6352c7f"
    rewrite(sets["nih"], named(uid))
    rewrite(sets["chexpert"], named(uid), "test")
    found = runner.check(list(sets.values()), deep=False)["breaches"]
    assert {
        "code": "image.two_splits",
        "where": "chexpert/test and nih/train (same id)",
        "count": 1,
    } in found
