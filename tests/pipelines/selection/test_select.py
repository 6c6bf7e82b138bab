"""select writes complete sets: valid, the same bytes each time, and nothing is left unsaid."""

from __future__ import annotations

import csv
import re
import shlex
import shutil
import stat
from pathlib import Path

import pytest
import stages
from breaking import codes, members, restate, tar_of

from cxr_vlp.pipelines import cli
from cxr_vlp.pipelines.cards import sample_table
from cxr_vlp.pipelines.errors import ConfigError, DataError
from cxr_vlp.pipelines.files import jsonl
from cxr_vlp.pipelines.format import manifest
from cxr_vlp.pipelines.selection import command
from cxr_vlp.pipelines.validate import manifest as declared
from cxr_vlp.pipelines.validate import rederive


@pytest.fixture
def select(tmp_path):
    """Run the command with a state folder of its own; return the output."""

    def run(path: Path, *words: object, out: str = "new") -> Path:
        target = tmp_path / out
        state = ["--state", str(tmp_path / "state"), "--out", str(target)]
        assert command.main([str(path), *map(str, words), *state]) == 0
        return target

    return run


@pytest.fixture
def sets(built) -> Path:
    return built / "shards"


@pytest.fixture
def copy(sets, tmp_path) -> Path:
    """A set that a test may damage."""
    folder = tmp_path / "mimic"
    shutil.copytree(sets / "mimic", folder)
    return folder


def rows(folder: Path) -> dict[str, dict]:
    return dict(stages.samples(folder))


def contents(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every member of a set's tars, by name."""
    return {name: data for path in folder.glob("*/*.tar") for name, data in members(path)}


def table(path: Path, *lines: tuple[str, ...]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows(lines)
    return path


def test_members_are_copied_byte_for_byte_and_the_set_is_valid(sets, select):
    new = select(sets / "mimic", "--where", "view = 'frontal'")
    wanted = {key for key, row in rows(sets / "mimic").items() if row["view"] == "frontal"}
    assert rows(new).keys() == wanted
    before = contents(sets / "mimic")
    assert all(before[name] == data for name, data in contents(new).items())
    assert codes(new, deep=True) == set()


@pytest.mark.slow
def test_a_folder_of_sets_gives_a_folder_of_sets_without_the_empty_ones(sets, select, capsys):
    new = select(sets, "--where", "dataset in ('nih', 'openi')")
    assert [path.name for path in manifest.sets(new)] == ["nih", "openi"]
    assert "nothing was chosen of chexpert, mimic" in capsys.readouterr().out
    assert codes(*manifest.sets(new)) == set()


def test_the_flow_adds_up_and_notes_are_those_of_what_is_left(sets, select):
    old = manifest.header(sets / "mimic")
    header, lines = manifest.read(select(sets / "mimic", "--where", "view = 'lateral'"))
    assert header["listed"] == old["listed"] == header["written"] + sum(header["dropped"].values())
    left_out = old["written"] - header["written"]
    assert header["dropped"] == old["dropped"] | {"select selection.left_out": left_out}
    assert sum(line["samples"] for line in lines) == header["written"] > 0


def test_the_same_selection_gives_the_same_bytes(sets, select, monkeypatch, tmp_path):
    words = ("--where", "age > 20", "--studies", 20, "--balance", "dataset", "--seed", 3)
    one = select(sets, *words)
    moved = tmp_path / "élsewhere" / "sets"
    shutil.copytree(sets, moved)
    monkeypatch.chdir(moved)
    other = select(moved, *words, "--workers", 2, out="other")
    assert stages.tree_bytes(one) == stages.tree_bytes(other)
    assert str(tmp_path).encode() not in b"".join(stages.tree_bytes(one).values())


def test_a_selection_can_be_selected_from_and_says_so(sets, select):
    first = select(sets / "openi", "--where", "split <> 'test'")
    second = select(first, "--studies", 3, "--seed", 2, out="second")
    how = manifest.header(second)["selection"]
    assert how["source"] == manifest.header(first)["digest"]
    assert [each["source"] for each in how["earlier"]] == [
        manifest.header(sets / "openi")["digest"]
    ]
    assert "--studies 3 --seed 2" in how["command"]
    assert [step["samples"] for step in how["steps"]][-1] == manifest.header(second)["written"]
    assert codes(second) == set()


def test_the_stored_command_is_read_back_by_the_command_line(sets, select):
    where = "-1=label_Edema or age < 999 or age is null or view = 'it''s \"odd\"'"
    new = select(sets / "nih", f"--where={where}", "--studies", 5)
    words = shlex.split(manifest.header(new)["selection"]["command"])
    flags = command._parser().parse_args(words[2:])
    assert (flags.where, flags.studies) == ([where], 5)


def test_the_card_lies_in_the_set_and_no_tar_is_there_twice(sets, select):
    new = select(sets / "nih", "--where", "age > 30", "--samples-per-shard", 3)
    header = manifest.header(new)
    assert all((new / name).is_file() for name in manifest.CARD)
    assert sample_table.belongs(new / sample_table.NAME, header["digest"])
    listed = jsonl.read_json(new / "wids.json")["shardlist"]
    assert sum(shard["nsamples"] for shard in listed) == header["written"]
    tars = sorted(path.relative_to(new).as_posix() for path in new.rglob("*.tar"))
    assert tars == sorted(shard["url"] for shard in listed)
    assert len(tars) > 2
    assert codes(new) == set()


def test_the_card_says_that_the_set_is_a_selection_and_not_which(sets, select):
    key = min(rows(sets / "openi"))
    page = (select(sets / "openi", "--where", f"key = '{key}'") / "README.md").read_text("utf-8")
    assert manifest.header(sets / "openi")["digest"][:16] in page
    assert key not in page


def test_datasets_loads_a_selection_as_it_is(sets, select, monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    new = select(sets / "mimic", "--where", "split <> 'test'")
    found = datasets.load_dataset(str(new), streaming=True)
    loaded = {(split, row["__key__"]) for split, samples in found.items() for row in samples}
    named = {"train": "train", "validate": "validation"}
    assert loaded == {(named[row["split"]], key) for key, row in rows(new).items()}


@pytest.mark.parametrize("name", manifest.CARD)
def test_a_folder_with_the_name_of_a_card_s_file_is_no_card(sets, select, name):
    new = select(sets / "nih", "--no-card", "--split", "test")
    (new / name).mkdir()
    (new / name / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="1 files that select did not write"):
        select(sets / "nih", "--split", "test")


def test_a_card_or_a_stage_does_not_replace_a_selection(sets, select, tmp_path, capsys):
    from cxr_vlp.pipelines.cards import command as card

    new = select(sets / "nih", "--split", "test")
    before = stages.tree_bytes(new)
    state = ["--state", str(tmp_path / "state")]
    with pytest.raises(ConfigError, match="is a set: choose another --out"):
        card.main([str(sets / "nih"), "--out", str(new), *state])
    with pytest.raises(ConfigError, match="holds a selection of nih"):
        cli.own_folder(new, manifest.NAME, "nih")
    assert stages.tree_bytes(new) == before


def test_given_parts_are_used_and_an_empty_split_stays_readable(sets, select):
    new = select(sets / "mimic", "--split", "train", "--parts", "train=5")
    header = manifest.header(new)
    assert header["parts"] == {"train": 5, "validate": 1, "test": 1}
    assert jsonl.read_json(new / "test" / "sizes.json") == {}
    assert codes(new) == set()


# ---- the steps


def test_a_study_is_taken_whole(sets, select):
    all_rows = rows(sets / "mimic")
    new = rows(select(sets / "mimic", "--where", "view = 'lateral'", "--unit", "study"))
    studies = {row["study"] for row in all_rows.values() if row["view"] == "lateral"}
    assert new.keys() == {key for key, row in all_rows.items() if row["study"] in studies}
    assert any(row["view"] == "frontal" for row in new.values())


@pytest.mark.parametrize("column", ["key", "study", "patient"])
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_list_of_ids(sets, select, tmp_path, column, ending):
    all_rows = {key: row | {"key": key} for key, row in rows(sets / "chexpert").items()}
    wanted = sorted({row[column] for row in all_rows.values()})[:3]
    path = table(tmp_path / "list.csv", (column, "other"), *((name, "x") for name in wanted))
    if ending == "parquet":
        import pyarrow.csv
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.csv.read_csv(path), path.with_suffix(".parquet"))
        path = path.with_suffix(".parquet")
    new = rows(select(sets / "chexpert", "--keys", path))
    assert new.keys() == {key for key, row in all_rows.items() if row[column] in wanted}


def test_unknown_and_repeated_keys_are_counted_and_not_named(sets, select, tmp_path, capsys):
    known = sorted(rows(sets / "nih"))[:2]
    path = tmp_path / "ключи.txt"
    path.write_text("\ufeff" + "\r\n".join([*known, known[0], "", "nih-secret-0"]), "utf-8")
    with pytest.raises(ConfigError, match=r"1 of 3 entries.*--ignore-missing") as refused:
        select(sets / "nih", "--keys", path)
    assert "secret" not in str(refused.value)
    assert rows(select(sets / "nih", "--keys", path, "--ignore-missing")).keys() == set(known)
    said = capsys.readouterr().out
    assert "1 entries are repeated" in said
    assert "1 entries are not in the set" in said
    assert known[0] not in said


def test_an_id_with_a_dataset_is_of_that_dataset_only(sets, select, tmp_path):
    patient = sorted({row["patient"] for row in rows(sets / "nih").values()})[0]
    path = table(tmp_path / "p.csv", ("dataset", "patient"), ("mimic", patient))
    with pytest.raises(ConfigError, match="1 of 1"):
        select(sets, "--keys", path)


@pytest.mark.parametrize(
    ("name", "data"),
    [("a.csv", b""), ("a.csv", b"key\n"), ("a.csv", b"key\na,b\n"), ("a.csv", b"id\n1\n"),
     ("a.csv", b"key,x\n,1\n"), ("a.csv", b"key\n\xff\n"), ("a.csv.gz", b"no gzip"),
     ("a.parquet", b"PAR1"), ("a.txt", b"key,split\n"), ("a.txt", b"\n\n"),
     ("a.csv", b"key,key\na,b\n")],
)  # fmt: skip
def test_a_list_that_is_none_is_refused(sets, select, tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ConfigError, match=f"--keys .*{name}"):
        select(sets / "nih", "--keys", tmp_path / name)


@pytest.mark.slow
def test_the_drawn_studies_are_balanced_whole_and_grow_with_the_number(sets, select):
    few = select(sets, "--studies", 8, "--balance", "dataset", "--seed", 7, out="few")
    more = select(sets, "--studies", 16, "--balance", "dataset", "--seed", 7, out="more")
    other = select(sets, "--studies", 8, "--balance", "dataset", "--seed", 8, out="other")
    assert {p.name: manifest.header(p)["studies"] for p in manifest.sets(few)} == dict.fromkeys(
        ("chexpert", "mimic", "nih", "openi"), 2
    )
    drawn = [
        {k: r for p in manifest.sets(x) for k, r in rows(p).items()} for x in (few, more, other)
    ]
    assert drawn[0].keys() < drawn[1].keys()
    assert drawn[0].keys() != drawn[2].keys()
    studies = {(row["dataset"], row["study"]) for row in drawn[0].values()}
    every = {k: r for p in manifest.sets(sets) for k, r in rows(p).items()}
    whole = {k for k, r in every.items() if (r["dataset"], r["study"]) in studies}
    assert drawn[0].keys() == whole


def test_too_few_studies_are_said(sets, select, capsys):
    select(sets / "nih", "--studies", 1000)
    assert "14 instead of 1,000" in capsys.readouterr().out


def test_shots_are_distinct_positive_samples_of_train_and_shortage_is_said(sets, select, capsys):
    new = select(sets, "--shots", 2, "--per", "label")
    found = {key: row for path in manifest.sets(new) for key, row in rows(path).items()}
    every = {k: r for p in manifest.sets(sets) for k, r in rows(p).items() if r["split"] == "train"}
    assert {row["split"] for row in found.values()} == {"train"}
    said = capsys.readouterr().out
    for name in ("Edema", "Pneumothorax", "No Finding", "Lung Opacity", "Cardiomegaly"):
        there = sum(row["labels"].get(name) == 1 for row in every.values())
        drawn = sum(row["labels"].get(name) == 1 for row in found.values())
        assert drawn >= min(2, there)
        assert (f" {name}" in said.partition("chosen")[0]) == (there < 2)
    assert codes(*manifest.sets(new)) == set()


@pytest.mark.parametrize(
    "words", [("--shots", 30, "--per", "patient"), ("--studies", 999, "--balance", "study")]
)
def test_ids_are_counted_and_not_named_where_they_have_too_few(sets, select, capsys, words):
    select(sets / "mimic", *words)
    said = capsys.readouterr().out
    assert re.search(rf"\d+ values of {words[3]} have fewer than asked", said)
    assert not any(row[words[3]] in said for row in rows(sets / "mimic").values())


def test_the_values_that_get_one_study_more_are_drawn(sets, select):
    drawn = {
        tuple(path.name for path in manifest.sets(new))
        for seed in range(6)
        for new in [select(sets, "--studies", 1, "--balance", "dataset", "--seed", seed)]
    }
    assert len(drawn) > 1


@pytest.mark.slow
def test_shots_of_every_value_of_a_column(sets, select):
    new = select(sets, "--shots", 3, "--per", "dataset", "--shots-from", "train")
    assert [manifest.header(path)["written"] for path in manifest.sets(new)] == [3, 3, 3, 3]


# ---- other splits


def resplit(sets: Path, path: Path, column: str, split_of) -> Path:
    ids = sorted({row[column] for row in rows(sets).values()})
    return table(path, (column, "split"), *((name, split_of(i)) for i, name in enumerate(ids)))


def test_other_splits_move_patients_and_change_nothing_else(sets, select, tmp_path):
    names = ("train", "valid", "test")
    path = resplit(sets / "mimic", tmp_path / "s.csv", "patient", lambda i: names[i % 3])
    new = select(sets / "mimic", "--resplit", path)
    assert codes(new, deep=True) == set()
    before, after = rows(sets / "mimic"), rows(new)
    assert any(before[key]["split"] != row["split"] for key, row in after.items())
    assert {key: row | {"split": ""} for key, row in after.items()} == {
        key: row | {"split": ""} for key, row in before.items()
    }
    given = dict(csv.reader(path.open(encoding="utf-8")))
    for row in after.values():
        assert row["split"] == given[row["patient"]].replace("valid", "validate")


def test_a_patient_in_two_splits_is_refused_without_the_id(sets, select, tmp_path):
    keys = sorted(rows(sets / "mimic"))
    lines = ((key, ("train", "test")[i % 2]) for i, key in enumerate(keys))
    path = table(tmp_path / "s.csv", ("key", "split"), *lines)
    with pytest.raises(DataError, match=r"\d+ patients would be in two splits") as refused:
        select(sets / "mimic", "--resplit", path)
    patients = {row["patient"] for row in rows(sets / "mimic").values()}
    assert not any(patient in str(refused.value) for patient in patients)


@pytest.mark.parametrize("lines", [[("patient", "split"), ("p", "fold1")],
                                   [("patient", "split"), ("p", "train"), ("p", "test")],
                                   [("patient", "fold"), ("p", "train")]])  # fmt: skip
def test_a_list_of_splits_that_is_none_is_refused(sets, select, tmp_path, lines):
    with pytest.raises(ConfigError, match="--resplit"):
        select(sets / "mimic", "--resplit", table(tmp_path / "s.csv", *lines))


def test_samples_that_the_list_of_splits_lacks(sets, select, tmp_path):
    some = sorted({row["patient"] for row in rows(sets / "nih").values()})[:4]
    path = table(tmp_path / "s.csv", ("patient", "split"), *((name, "test") for name in some))
    with pytest.raises(ConfigError, match="are not in the file; --unlisted keep"):
        select(sets / "nih", "--resplit", path)
    dropped = select(sets / "nih", "--resplit", path, "--unlisted", "drop", out="drop")
    assert {row["patient"] for row in rows(dropped).values()} == set(some)
    kept = rows(select(sets / "nih", "--resplit", path, "--unlisted", "keep", out="keep"))
    before = rows(sets / "nih")
    assert kept.keys() == before.keys()
    for key, row in kept.items():
        assert row["split"] == ("test" if row["patient"] in some else before[key]["split"])


def test_the_condition_sees_the_old_split_and_the_flag_the_new_one(sets, select, tmp_path):
    path = resplit(sets / "mimic", tmp_path / "s.csv", "patient", lambda i: ("train", "val")[i % 2])
    words = ("--where", "split = 'train'", "--resplit", path, "--split", "validate")
    new = rows(select(sets / "mimic", *words))
    before = rows(sets / "mimic")
    assert {row["split"] for row in new.values()} == {"validate"}
    assert {before[key]["split"] for key in new} == {"train"}


# ---- nothing, and things that must not happen


def test_an_empty_result_says_which_step_left_nothing(sets, select, tmp_path):
    with pytest.raises(ConfigError, match=r"no sample is left .*--where: \d+, --split: 0"):
        select(sets / "mimic", "--where", "split = 'train'", "--split", "test")
    assert not (tmp_path / "new").exists()


def test_dry_run_prints_the_counts_and_writes_no_set(sets, tmp_path, capsys):
    state = ["--state", str(tmp_path / "state")]
    assert command.main([str(sets), "--where", "split = 'train'", "--dry-run", *state]) == 0
    said = capsys.readouterr().out
    assert "positive samples" in said
    assert "nothing was written" in said
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


@pytest.mark.parametrize("out", ["mimic", "mimic/inside", ".", "mimic/train"])
def test_the_source_is_never_written_to(copy, tmp_path, out):
    before = stages.tree_bytes(copy)
    with pytest.raises(ConfigError, match="source"):
        command.main([str(copy), "--out", str(tmp_path / out), "--state", str(tmp_path / "s")])
    assert stages.tree_bytes(copy) == before


def test_a_link_to_the_source_is_the_source(copy, tmp_path, select):
    (tmp_path / "new").symlink_to(copy)
    with pytest.raises(ConfigError, match="source"):
        select(copy)


def test_a_set_that_select_did_not_write_is_not_replaced(sets, copy, tmp_path):
    before = stages.tree_bytes(copy)
    with pytest.raises(ConfigError, match="no selection of an earlier run"):
        command.main([str(sets / "mimic"), "--out", str(copy), "--state", str(tmp_path / "s")])
    with pytest.raises(ConfigError, match="no folder of selections"):
        command.main([str(sets), "--out", str(copy), "--state", str(tmp_path / "s")])
    assert stages.tree_bytes(copy) == before


@pytest.mark.slow
@pytest.mark.parametrize("single", [True, False])
def test_a_selection_is_replaced_unless_it_holds_other_files(sets, select, single):
    path = sets / "nih" if single else sets
    select(path, "--split", "train")
    new = select(path, "--split", "test")
    found = [new] if single else list(manifest.sets(new))
    assert {row["split"] for each in found for row in rows(each).values()} == {"test"}
    (found[0] / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="1 files that select did not write"):
        select(path, "--split", "train")
    assert (found[0] / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("target", ["/", "absent"])
def test_a_link_that_a_user_put_into_a_selection_is_not_lost(sets, select, target):
    new = select(sets / "nih", "--split", "train")
    (new / "mine").symlink_to(target)
    with pytest.raises(ConfigError, match="1 files that select did not write"):
        select(sets / "nih", "--split", "train")
    assert (new / "mine").is_symlink()


def cut(folder: Path) -> None:
    path = tar_of(folder)
    path.write_bytes(path.read_bytes()[:-20_000])


def flip(folder: Path) -> None:
    path = tar_of(folder)
    data = bytearray(path.read_bytes())
    data[3000] ^= 1  # in an image
    path.write_bytes(bytes(data))


def longer(folder: Path) -> None:
    rejects = folder / manifest.REJECTS
    rejects.write_bytes(rejects.read_bytes() + b"{}\n")


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    "damage",
    [cut, flip, longer, lambda f: tar_of(f).unlink(), lambda f: (f / "rejects.jsonl").unlink(),
     lambda f: (f / "manifest.jsonl").write_text("{"), lambda f: restate(f, format=99),
     lambda f: restate(f, tar_of(f).name, name="../../x.tar"), lambda f: restate(f, digest="0")],
)  # fmt: skip
def test_a_damaged_set_is_refused(copy, select, tmp_path, damage):
    select(copy, out="before")  # the table of samples is in the cache
    damage(copy)
    with pytest.raises(DataError):
        select(copy)
    assert not (tmp_path / "new").exists()


def test_without_digests_a_tar_of_other_samples_is_still_refused(copy, select):
    select(copy, out="before")
    path = tar_of(copy)
    data = path.read_bytes()
    path.write_bytes(b"x" + data[1:])
    with pytest.raises(DataError, match="not the tar"):
        select(copy, "--no-digests")


def test_no_set_and_two_sets_with_the_same_samples(sets, select, tmp_path):
    with pytest.raises(ConfigError, match="no such folder"):
        select(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"no manifest\.jsonl"):
        select(tmp_path / "empty")
    for name in ("one", "two"):
        shutil.copytree(sets / "nih", tmp_path / "twins" / name)
    with pytest.raises(ConfigError, match="in two of the sets"):
        select(tmp_path / "twins")


@pytest.mark.parametrize(
    "words",
    [["--balance", "sex"], ["--per", "sex"], ["--ignore-missing"], ["--unlisted", "keep"],
     ["--studies", "0"], ["--shots", "-1"], ["--studies", "2", "--studies", "3"],
     ["--parts", "train=0"], ["--parts", "all=3"], ["--parts", "train=2,train=3"],
     ["--parts", "train=2", "--samples-per-shard", "5"], ["--split", "dev"]],
)  # fmt: skip
def test_flags_without_effect_or_sense_end_with_2(sets, tmp_path, words):
    with pytest.raises(SystemExit) as end:
        command.main([str(sets), *words, "--out", str(tmp_path / "new")])
    assert end.value.code == 2


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    "words",
    [
        ["--shots", "2", "--per", "x"],
        ["--shots", "2", "--per", "notes"],
        ["--studies", "2", "--balance", "__set"],
    ],
)
def test_a_column_that_is_none_is_refused(sets, select, words):
    with pytest.raises(ConfigError, match=f"{words[2]}: no label or column"):
        select(sets, *words)


# ---- other kinds of sets


@pytest.mark.slow
def test_a_salted_png_set(raw, select, tmp_path):
    made = stages.build(
        raw / "nih", "nih", tmp_path / "own",
        sources={"nih": {"parts": stages.PARTS, "ids": "salted"}},
        scan={"salt": "a secret of this test"}, shards={"format": "png"},
    )  # fmt: skip
    new = select(made, "--where", "split <> 'test'")
    assert codes(new, deep=True) == set()
    assert manifest.header(new)["ids"] == "salted"
    assert all(not stat.S_IMODE(path.stat().st_mode) & 0o077 for path in [new, *new.rglob("*")])
    assert any(name.endswith(".png") for name in contents(new))


def test_a_set_of_one_sample(sets, select):
    key = min(rows(sets / "openi"))
    new = select(sets / "openi", "--where", f"key = '{key}'")
    assert rows(new).keys() == {key}
    assert codes(new, deep=True) == set()
    assert rows(select(new, "--studies", 1, out="again")).keys() == {key}


def test_a_selection_cannot_be_made_again_from_the_raw_tree(sets, select, tmp_path):
    new = declared.read(select(sets / "nih", "--split", "train"))
    with pytest.raises(ConfigError, match="is a selection"):
        rederive.Origin.of(new, tmp_path, tmp_path, tmp_path)


def test_a_broken_selection_in_a_header_is_a_broken_manifest(sets, select):
    new = select(sets / "nih", "--split", "train")
    restate(new, selection={"command": 3})
    assert codes(new) == {"manifest.broken"}


def test_lost_images_of_shards_stay_counted(copy, select):
    header, lines = manifest.read(copy)
    lost = {"code": "image.constant", "images": 2, "key_hash": "0" * 16, "step": "shards"}
    jsonl.write_records(copy / "rejects.jsonl", [*jsonl.read_records(copy / "rejects.jsonl"), lost])
    restate(
        copy, lines[0]["name"], rejects={"image.constant": 2}, notes={"orientation.mirrored": 1}
    )
    dropped = header["dropped"] | {"shards image.constant": 2}
    notes = header["notes"] | {"orientation.mirrored": 1}
    restate(copy, listed=header["listed"] + 2, dropped=dropped, notes=notes)
    assert codes(copy) == set()
    new = select(copy, "--where", "view = 'frontal'")
    assert manifest.header(new)["dropped"].items() >= dropped.items()
    assert "orientation.mirrored" not in manifest.header(new)["notes"]
    assert codes(new) == set()
    assert all(line["rejects"] == {} for line in manifest.read(new)[1])


@pytest.mark.slow
@pytest.mark.parametrize("single", [True, False])
def test_a_model_trains_on_a_selection(sets, select, tmp_path, monkeypatch, single):
    monkeypatch.chdir(tmp_path)
    from cxr_vlp.train import fit

    recipe = tmp_path / "trial.yaml"
    recipe.write_text(
        "base: chexzero_tiny\nrun: {batch_size: 4, steps: 2, validate_every: 2, shuffle: 4}\n"
        "optim: {warmup: 1}\n"
    )
    words = ("--where", "age > 0 or age is null", "--samples-per-shard", 8)
    new = select(sets / "openi" if single else sets, *words)
    assert fit.main([str(recipe), "--shards", str(new), "--out", str(tmp_path / "model")]) == 0
    assert (tmp_path / "model" / "model.safetensors").is_file()
