"""`shards --dry-run` predicts a rebuild, and `plan` proposes parts; neither writes anything."""

from __future__ import annotations

import shutil

import pytest
from stages import build, params, run_scan, tree_bytes

from cxr_vlp.pipelines import plan, shards, texts
from cxr_vlp.pipelines.planning import costs


@pytest.fixture(scope="module")
def base(raw, tmp_path_factory):
    """A finished build of MIMIC with its tree and state; tests copy it."""
    folder = tmp_path_factory.mktemp("base")
    shutil.copytree(raw / "mimic", folder / "raw")
    build(folder / "raw", "mimic", folder)
    return folder


def dry_run(folder, capsys, **sections) -> dict[str, int]:
    """Run scan and texts on the tree, then `shards --dry-run`; return the numbers it prints."""
    file = params(folder, **sections)
    common = ["--root", str(folder / "raw"), "--params", str(file)]
    state = ["--state", str(folder / ".cxr")]
    run_scan("mimic", common, folder)
    where = {name: str(folder / name / "mimic") for name in ("scan", "texts", "shards")}
    stage = ["mimic", *common, *state, "--scan", where["scan"]]
    assert texts.main([*stage, "--out", where["texts"]]) == 0
    before = [tree_bytes(folder / name) for name in ("shards", ".cxr")]
    capsys.readouterr()
    arguments = [*stage, "--texts", where["texts"], "--out", where["shards"], "--dry-run"]
    assert shards.main(arguments) == 0
    assert [tree_bytes(folder / name) for name in ("shards", ".cxr")] == before
    rows = [line.rsplit(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdigit()}


def test_before_the_first_build_everything_is_new(raw, tmp_path, capsys):
    shutil.copytree(raw / "mimic", tmp_path / "raw")
    said = dry_run(tmp_path, capsys)
    assert said["- new"] == said["images to decode"] > 10
    assert (said["tars to be built"], said["tars to be kept"]) == (4, 0)


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("sections", "tars", "reason", "decodes"),
    [
        ({}, (4, 0, 0), None, False),
        ({"texts": {"prompts": 2}}, (0, 4, 0), "- text or table changed", False),
        ({"shards": {"quality": 80}}, (0, 0, 4), "- image parameters changed", True),
    ],
    ids=["nothing", "a-text-parameter", "an-image-parameter"],
)
def test_dry_run_predicts_the_effect_of_changed_parameters(
    base, tmp_path, capsys, sections, tars, reason, decodes
):
    shutil.copytree(base, tmp_path / "x")
    said = dry_run(tmp_path / "x", capsys, **sections)
    names = ("kept", "rewritten", "built")
    assert tuple(said[f"tars to be {name}"] for name in names) == tars
    images = said["images to decode"] + said["images to copy"]
    assert said["images to decode"] == (images if decodes else 0)
    if reason:
        assert said[reason] == images


def test_dry_run_names_changed_sources(base, tmp_path, capsys):
    shutil.copytree(base, tmp_path / "x")
    image = sorted((tmp_path / "x/raw").rglob("*.dcm"))[0]
    image.write_bytes(image.read_bytes() + b"\0\0")
    report = sorted((tmp_path / "x/raw").rglob("s5*.txt"))[-1]
    report.write_text(report.read_text() + "\n No pneumothorax.\n")
    said = dry_run(tmp_path / "x", capsys)
    assert said["- source changed"] == said["images to decode"] == 1
    assert said["- text or table changed"] >= 1


def test_a_damaged_tar_is_reported(base, tmp_path, capsys):
    shutil.copytree(base, tmp_path / "x")
    shutil.rmtree(tmp_path / "x/.cxr/stock")  # it would hold an intact copy
    tar = max((tmp_path / "x/shards/mimic").glob("*/*.tar"), key=lambda path: path.stat().st_size)
    tar.write_bytes(tar.read_bytes()[:-1] + b"\1")
    said = dry_run(tmp_path / "x", capsys)
    assert said["- the tar is gone or damaged"] == 1
    assert said["tars to be kept"] == 3


@pytest.mark.parametrize(
    ("counts", "each", "expected"),
    [
        ({"train": 377_110, "validate": 0, "test": 10}, 100_000, (252, 1, 1)),
        ({"train": 1500, "validate": 1501, "test": 1}, 100_000, (1, 2, 1)),
    ],
    ids=["a-large-one", "the-edge-of-a-tar"],
)
def test_plan_fills_tars_and_gives_every_split_a_part(counts, each, expected):
    found = costs.proposed(counts, each, 150e6)
    assert tuple(found[split] for split in ("train", "validate", "test")) == expected


def test_plan_prints_a_line_for_the_parameters(base, capsys):
    common = ["mimic", "--root", str(base / "raw"), "--params", str(base / "params.yaml")]
    said = set()
    for _ in range(2):
        capsys.readouterr()
        assert plan.main([*common, "--scan", str(base / "scan/mimic"), "--tar", "0.05"]) == 0
        said.add(capsys.readouterr().out)
    assert len(said) == 1
    assert "parts: {train: " in said.pop()


def test_plan_tries_the_same_images_in_any_order():
    images = [("train", f"key-{i}", i) for i in range(50)]
    assert plan.picked(iter(images), 5) == plan.picked(reversed(images), 5)
