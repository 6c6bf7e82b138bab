"""A stage stops if its input was made with other parameters than its own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import stages
import yaml
from stages import build, run_scan

from cxr_vlp.pipelines import config, shards, texts, verify
from cxr_vlp.pipelines.errors import ConfigError
from cxr_vlp.pipelines.format import versions
from cxr_vlp.pipelines.stages import parameter_check

SOURCE = "nih"


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A tree, its inventory, texts and shards, and the parameters of all."""
    from layouts import WRITERS

    folder = tmp_path_factory.mktemp("agreement")
    WRITERS[SOURCE].write(folder / "raw", studies=14, seed=3, height=128)
    build(folder / "raw" / SOURCE, SOURCE, folder)
    return folder


@pytest.fixture
def here(made, tmp_path) -> Path:
    for name in ("scan", "texts", "shards"):
        shutil.copytree(made / name, tmp_path / name)
    shutil.copy(made / "params.yaml", tmp_path)
    (tmp_path / "raw").symlink_to(made / "raw")
    return tmp_path


def change(folder: Path, path: str, value: object) -> None:
    file = folder / "params.yaml"
    content = yaml.safe_load(file.read_text())
    *above, last = path.split(".")
    place = content
    for name in above:
        place = place.setdefault(name, {})
    place[last] = value
    file.write_text(yaml.safe_dump(content))


def common(folder: Path) -> list[str]:
    return [
        SOURCE, "--root", str(folder / "raw" / SOURCE), "--params", str(folder / "params.yaml"),
        "--state", str(folder / ".cxr"), "--scan", str(folder / "scan" / SOURCE),
    ]  # fmt: skip


def run_texts(folder: Path) -> int:
    return texts.main([*common(folder), "--out", str(folder / "texts" / SOURCE)])


def run_shards(folder: Path) -> int:
    read = ["--texts", str(folder / "texts" / SOURCE)]
    return shards.main([*common(folder), *read, "--out", str(folder / "shards" / SOURCE)])


def run_verify(folder: Path) -> int:
    where = [f"--{name}={folder / name}" for name in ("scan", "texts")]
    asked = [str(folder / "shards"), "--rederive", "2", "--root", str(folder / "raw"), *where]
    return verify.main([*asked, "--params", str(folder / "params.yaml")])


OF_THE_SCAN = [
    ("scan.validate", 0.2, "scan.validate is 0.2 in .*made with 0.1"),
    (f"sources.{SOURCE}.parts.train", 3, r"parts.train is 3 in .*made with 2"),
    (f"sources.{SOURCE}.missing", "fail", "missing is fail in .*made with skip"),
    (f"sources.{SOURCE}.digests", "official", "digests is official in .*made with read"),
    (f"sources.{SOURCE}.max_rejects", 0.5, "max_rejects is 0.5 in .*made with 0.25"),
    (f"sources.{SOURCE}.links", True, "links is true in .*made with false"),
    (f"sources.{SOURCE}.reader", {"lists": "none"}, "reader.lists is none in .*made with official"),
    (f"sources.{SOURCE}.ids", "salted", "ids is salted in .*made with source"),
]


@pytest.mark.parametrize(("path", "value", "message"), OF_THE_SCAN)
@pytest.mark.parametrize("stage", [run_texts, run_shards, run_verify])
def test_an_inventory_made_with_other_parameters_is_refused(here, stage, path, value, message):
    change(here, path, value)
    with pytest.raises(ConfigError, match=message) as caught:
        stage(here)
    assert caught.value.exit_code == 2
    assert f"cxr-vlp scan {SOURCE}" in str(caught.value)


@pytest.mark.parametrize("stage", [run_texts, run_shards])
def test_another_salt_is_reported_and_not_printed(here, stage):
    change(here, "scan.salt", "a-secret-of-ours-0123456789")
    with pytest.raises(ConfigError, match=r"scan\.salt is not the one") as caught:
        stage(here)
    assert "secret" not in str(caught.value)


def test_a_salt_that_is_only_known_to_the_scan_is_not_compared(here):
    change(here, "scan.salt", "env:CXR_TEST_SALT_THAT_NOBODY_SETS")
    assert run_texts(here) == 0


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("texts.prompts", 5, "texts.prompts is 5 in .*made with 4"),
        ("texts.filter.cut_mixed", False, "texts.filter.cut_mixed is false in .*made with true"),
        ("texts.filter.fallback", ["prompt"], r"texts.filter.fallback is \[\"prompt\"\] in"),
    ],
)
@pytest.mark.parametrize("stage", [run_shards, run_verify])
def test_texts_made_with_other_parameters_are_refused(here, stage, path, value, message):
    change(here, path, value)
    with pytest.raises(ConfigError, match=message) as caught:
        stage(here)
    assert f"cxr-vlp texts {SOURCE}" in str(caught.value)


@pytest.mark.parametrize("key", ["bank", "exceptions", "translations"])
def test_texts_made_without_the_users_file_or_with_other_content_are_refused(here, key):
    file = here / "own"
    change(here, f"texts.{key}", str(file))
    with pytest.raises(ConfigError, match="no file at"):
        run_shards(here)
    file.write_text("s1: {section: findings}\n")
    with pytest.raises(ConfigError, match=f"texts.{key} is .*not made with that"):
        run_shards(here)


def test_texts_made_with_other_exceptions_are_refused(here):
    file = here / "own.yaml"
    change(here, "texts.exceptions", str(file))
    file.write_text("s1: {section: findings}\n")
    assert run_texts(here) == 0
    assert run_shards(here) == 0
    file.write_text("s1: {section: impression}\n")
    with pytest.raises(ConfigError, match=r"texts.exceptions is .*not made with that"):
        run_shards(here)


def test_texts_made_from_another_inventory_are_refused(here):
    # the tree lost a study between the two: the texts on disk are of the older inventory
    (here / "raw").unlink()
    from layouts import WRITERS

    WRITERS[SOURCE].write(here / "raw", studies=13, seed=3, height=128)
    base = ["--root", str(here / "raw" / SOURCE), "--params", str(here / "params.yaml")]
    run_scan(SOURCE, base, here)
    with pytest.raises(ConfigError, match="made from another inventory"):
        run_shards(here)
    assert run_texts(here) == 0
    assert run_shards(here) == 0


@pytest.mark.parametrize(
    ("path", "value"), [("side", 64), ("enlarge", True), ("sections", ["history"])]
)
def test_a_set_made_with_other_parameters_is_not_rederived(here, path, value):
    change(here, f"shards.{path}", value)
    with pytest.raises(ConfigError, match=f"shards.{path} is .*made with .*cxr-vlp shards"):
        run_verify(here)


@pytest.mark.parametrize(
    ("stage", "name"),
    [(run_texts, "scan/nih/inventory.json"), (run_shards, "texts/nih/texts.json")],
)
@pytest.mark.parametrize("value", [1, None])
def test_output_of_another_code_version_is_refused(here, stage, name, value):
    path = here / name
    header = json.loads(path.read_text()) | {"epoch": value}
    path.write_text(json.dumps(header))
    with pytest.raises(ConfigError, match="made by another version of the code"):
        stage(here)


def test_an_inventory_that_does_not_record_a_parameter(here):
    path = here / "scan" / SOURCE / "inventory.json"
    header = json.loads(path.read_text())
    del header["links"]
    path.write_text(json.dumps(header))
    with pytest.raises(ConfigError, match=r"links is false in .*made with not recorded"):
        run_texts(here)


def test_all_stages_accept_another_parameter_file(raw, tmp_path):
    other = {
        "scan": {"validate": 0.2}, "shards": {"side": 64, "sections": ["history"]},
        "texts": {"prompts": 2, "filter": {"fallback": ["prompt"]}},
        "sources": {SOURCE: {"parts": {"train": 1, "validate": 1, "test": 1},
                             "reader": {"lists": "none"}, "max_rejects": 1}},
    }  # fmt: skip
    folder = stages.build(raw / SOURCE, SOURCE, tmp_path, **other)
    header = json.loads((folder / "manifest.jsonl").read_text().splitlines()[0])
    settings = config.load(tmp_path / "params.yaml")
    parameter_check.shards(header, folder, settings)
    assert header["shards"]["side"] == 64


def test_without_params_the_flags_decide_what_is_rederived(here, monkeypatch):
    # every folder is named, so the params.yaml of the project is not used
    monkeypatch.chdir(here)
    change(here, "shards.side", 64)
    where = [f"--{name}={here / name}" for name in ("scan", "texts")]
    asked = [str(here / "shards"), "--rederive", "2", f"--root={here / 'raw'}", *where]
    assert verify.main(asked) == 0


def test_the_inventory_records_the_code_version(here):
    header = json.loads((here / "scan" / SOURCE / "inventory.json").read_text())
    assert header["epoch"] == versions.SCAN
