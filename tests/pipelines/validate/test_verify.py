"""verify finds every way to break a set, and prints no key, id or text."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import stages
from breaking import called, codes, edit, members, put, restate, rewrite, tar_of
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_vlp.pipelines import verify
from cxr_vlp.pipelines.errors import ConfigError, DataError
from cxr_vlp.pipelines.executor import pool
from cxr_vlp.pipelines.files import jsonl
from cxr_vlp.pipelines.format import manifest
from cxr_vlp.pipelines.validate import manifest as declared
from cxr_vlp.pipelines.validate import runner

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def good(built, tmp_path) -> Path:
    folder = tmp_path / "mimic"
    shutil.copytree(built / "shards" / "mimic", folder)
    return folder


def header(**values) -> Callable[[Path], None]:
    return lambda folder: restate(folder, **values)


def first_line(**values) -> Callable[[Path], None]:
    return lambda folder: restate(folder, declared.read(folder).tars[0]["name"], **values)


def rejects(*rows: dict) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        jsonl.write_records(folder / manifest.REJECTS, rows)
        restate(folder)

    return damage


def moved(folder: Path) -> None:
    """Let every name in the manifest lead out of the set."""
    for line in declared.read(folder).lines:
        restate(folder, line["name"], name=f"../{line['name']}")
    restate(folder, source="../mimic")


def flip(folder: Path) -> None:
    path = tar_of(folder)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def stray(name: str) -> Callable[[Path], None]:
    return lambda folder: shutil.copy(tar_of(folder), folder / "test" / name)


ROW = {"key_hash": "0" * 16, "code": "x", "step": "scan", "images": 1}

DAMAGE = [
    pytest.param(flip, "shard.digest", id="one-bit"),
    pytest.param(lambda f: tar_of(f).unlink(), "shard.missing", id="a-tar-is-gone"),
    pytest.param(stray("x.tar"), "file.unlisted", id="a-tar-more"),
    pytest.param(stray("notes.txt"), "file.unlisted", id="another-file"),
    pytest.param(lambda f: (f / "more").mkdir(), "file.unlisted", id="a-split-there-is-not"),
    pytest.param(lambda f: (f / "train/sizes.json").write_text("{}"), "sizes.differ", id="sizes"),
    pytest.param(lambda f: (f / "train/sizes.json").unlink(), "sizes.differ", id="no-sizes"),
    pytest.param(
        lambda f: (f / "test/sizes.json").write_text("["), "sizes.differ", id="torn-sizes"
    ),
    pytest.param(header(written=1), "flow.unbalanced", id="counts-do-not-add-up"),
    pytest.param(header(listed=10**6), "flow.unbalanced", id="some-went-without-a-word"),
    pytest.param(header(studies=0), "flow.studies", id="studies-do-not-add-up"),
    pytest.param(first_line(rejects={"x": 1}), "flow.rejects", id="a-reject-that-is-nowhere"),
    pytest.param(header(digest="0" * 64), "manifest.digest", id="another-digest"),
    pytest.param(header(format=99), "manifest.format", id="a-format-of-tomorrow"),
    pytest.param(header(format=1), "manifest.format", id="a-format-of-yesterday"),
    pytest.param(lambda f: (f / "features.json").unlink(), "features.differ", id="no-features"),
    pytest.param(
        lambda f: (f / "features.json").write_text("{}\n"), "features.differ", id="other-features"
    ),
    pytest.param(header(written=True), "manifest.broken", id="true-is-no-number"),
    pytest.param(header(source="../mimic"), "manifest.parts", id="a-source-that-is-a-path"),
    pytest.param(header(parts={"train": 10**15}), "manifest.parts", id="parts-of-one-split"),
    pytest.param(
        header(parts={"train": 10**15, "validate": 1, "test": 1}), "manifest.parts", id="many-parts"
    ),
    pytest.param(first_line(name="../../x.tar"), "manifest.parts", id="a-tar-somewhere-else"),
    pytest.param(moved, "manifest.parts", id="all-tars-somewhere-else"),
    pytest.param(first_line(samples=0), "flow.empty", id="bytes-without-samples"),
    pytest.param(first_line(split="test"), "manifest.parts", id="a-tar-of-another-split"),
    pytest.param(header(shards={"sise": 3}), "manifest.parameters", id="an-unknown-parameter"),
    pytest.param(header(shards={"side": "x"}), "manifest.parameters", id="a-size-in-words"),
    pytest.param(
        header(shards={"max_megapixels": "x"}), "manifest.parameters", id="a-limit-in-words"
    ),
    pytest.param(rejects(ROW), "rejects.differ", id="a-reject-more"),
    pytest.param(rejects(ROW | {"key_hash": "p10/s5"}), "rejects.raw_key", id="a-raw-key"),
    pytest.param(rejects(ROW | {"text": "x"}), "rejects.broken", id="a-reject-that-says-more"),
    pytest.param(rejects(ROW | {"step": "fit"}), "rejects.broken", id="a-step-there-is-not"),
    pytest.param(
        lambda f: (f / manifest.REJECTS).write_text(""),
        "rejects.differ",
        id="rejects-are-gone",
    ),
    pytest.param(lambda f: (f / manifest.REJECTS).unlink(), "rejects.missing", id="no-rejects"),
    pytest.param(lambda f: (f / manifest.NAME).write_text(""), "manifest.broken", id="empty"),
    pytest.param(
        lambda f: (f / manifest.NAME).write_text("[" * 10**5),
        "manifest.broken",
        id="a-nested-bomb",
    ),
]


@pytest.mark.parametrize(("damage", "code"), DAMAGE)
def test_a_set_that_breaks_the_contract(good, damage, code):
    assert codes(good) == set()
    damage(good)
    assert code in codes(good)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=4,
)


@settings(max_examples=80, deadline=None)
@given(
    st.integers(0, 1),
    st.sampled_from([*manifest.HEADER.fields, *manifest.LINE.fields]),
    json_values,
)
def test_no_value_in_a_manifest_crashes_verify(tmp_path_factory, built, row, name, value):
    source = built / "shards" / "mimic"
    folder = tmp_path_factory.getbasetemp() / "odd"  # without tars: all of them are missing
    folder.mkdir(exist_ok=True)
    rows = list(jsonl.read_records(source / manifest.NAME))
    rows[row][name] = value
    (folder / manifest.NAME).write_text("".join(json.dumps(row) + "\n" for row in rows))
    shutil.copy(source / manifest.REJECTS, folder)
    assert codes(folder)


def test_any_number_of_workers_finds_the_same(built):
    folders = [built / "shards" / name for name in ("mimic", "nih")]
    one = runner.check(folders, deep=True)
    assert one == runner.check(folders, deep=True, workers=2)
    assert one["breaches"] == []


def test_the_table_counts_the_content_of_the_tars(built):
    (row,) = runner.check([built / "shards" / "nih"], deep=False)["sets"]
    tars = sorted((built / "shards" / "nih").glob("*/*.tar"))
    samples = [sample for _, sample in stages.samples(built / "shards" / "nih")]
    assert row == {
        "set": "nih",
        "shards": len(tars),
        "samples": len(samples),
        "patients": len({sample["patient"] for sample in samples}),
        "bytes": sum(path.stat().st_size for path in tars),
        "rederived": 0,
    }


def test_the_command_prints_json_and_sets_the_exit_code(good, capsys):
    assert verify.main([str(good.parent), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["breaches"] == []
    flip(good)
    assert verify.main([str(good), "--json"]) == 65
    found = json.loads(capsys.readouterr().out)["breaches"]
    assert "shard.digest" in {breach["code"] for breach in found}
    assert verify.main([str(good)]) == 65
    said = capsys.readouterr().out
    assert "shard.digest: mimic: mimic-train-00000.tar\n" in said
    remedy = "shard.digest: a tar with other bytes than the manifest says; copy the set again"
    assert said.count(remedy) == 1
    with pytest.raises(ConfigError, match=r"no manifest\.jsonl"):
        verify.main([str(good / "train")])


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs /proc of Linux")
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_disk_error_is_not_reported_as_a_breach(good, workers):
    path = tar_of(good)
    path.unlink()
    path.symlink_to("/proc/self/mem")  # opens, and fails to be read: EIO
    command = [sys.executable, "-m", "cxr_vlp.pipelines.verify", str(good), "--workers", workers]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.returncode, done.stdout) == (74, "")
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


CANARY = "zxcanary"


def spread_canary(good: Path) -> None:
    """Put a word in place of report text, ids and names, so that every check meets it."""
    texts = dict.fromkeys(("caption", "findings", "patient", "study", "image", "view"), CANARY)
    odd = {"labels": {CANARY: CANARY}, CANARY: CANARY, "sentences": [{"text": CANARY}]}
    rewrite(good, edit(0, **texts, **odd))
    rewrite(good, edit(1, findings=None, name=CANARY))
    rewrite(good, put(7, f'{{"{CANARY}": 1,}}'.encode()))
    rewrite(good, called(9, f"pipe:{CANARY}.jpg"))
    rewrite(good, edit(0, **texts), "test")
    rejects(ROW | {"key_hash": CANARY, "code": CANARY})(good)
    restate(good, title=CANARY, licence=CANARY, dropped={f"scan {CANARY}": 1})
    stray(f"{CANARY}.tar")(good)


@pytest.mark.parametrize("flags", [[], ["--json"], ["--deep"]])
def test_no_text_no_key_and_no_id_is_printed(good, capfd, flags):
    known = [json.loads(data) for name, data in members(tar_of(good)) if name.endswith(".json")]
    spread_canary(good)
    assert verify.main([str(good), *flags]) == 65
    printed = "".join(capfd.readouterr()).lower()
    assert CANARY not in printed
    for sample in known:
        assert not [n for n in ("patient", "study", "caption") if sample[n].lower() in printed]


@pytest.mark.parametrize("at", [0, 1])
def test_no_text_is_printed_if_the_manifest_is_broken(good, capfd, at):
    lines = (good / manifest.NAME).read_text().splitlines()
    lines[at] = lines[at].replace('"', f'"{CANARY}', 1)
    (good / manifest.NAME).write_text("\n".join(lines) + CANARY)
    assert verify.main([str(good)]) == 65
    assert CANARY not in "".join(capfd.readouterr())


def late(number: int) -> functools.partial:
    """Return a task that prints its number; higher numbers finish earlier."""
    script = f"sleep 0.{3 - number}; echo {number}"
    return functools.partial(subprocess.check_output, ["sh", "-c", script], text=True)


def test_results_come_in_the_order_of_the_tasks():
    tasks = [late(number) for number in range(4)]
    assert list(pool.with_progress(tasks, 2, "test")) == ["0\n", "1\n", "2\n", "3\n"]
    assert list(pool.with_progress([], 2, "test")) == []


def test_a_worker_that_dies_ends_the_run_with_a_message():
    tasks = [functools.partial(os._exit, 1), late(3)]
    with pytest.raises(DataError, match=r"^worker\.killed"):
        list(pool.with_progress(tasks, 2, "test"))


def test_the_texts_of_a_set_of_version_0_3_depended_on_spacy(built):
    found = declared.read(built / "shards" / "mimic")
    libraries = found.header["toolchain"]

    def made_by(**more: str) -> list:
        header = found.header | {"toolchain": libraries | more}
        return dataclasses.replace(found, header=header)._texts_made_by()

    assert made_by(spacy="3.8.7") == [*made_by(), {"spacy": "3.8.7"}]
    assert made_by(spacy="3.8.7", model="en_core_sci_sm 0.5.4") == made_by()  # in the wording
