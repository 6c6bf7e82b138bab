"""Only their user may read files of credentialed and salted collections; remotes are reported."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from stages import build, tree_bytes

from cxr_vlp.pipelines.files import privacy
from cxr_vlp.pipelines.files.privacy import Protection

PARTS = {"train": 2, "validate": 1, "test": 1}


@pytest.fixture(autouse=True)
def usual(monkeypatch, tmp_path) -> Iterator[None]:
    """The usual umask, and none of the DVC settings of this machine."""
    for name in ("GLOBAL", "SYSTEM"):
        monkeypatch.setenv(f"DVC_{name}_CONFIG_DIR", str(tmp_path / name))
    before = os.umask(0o022)
    yield
    os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    return {
        str(path.relative_to(folder)): stat.S_IMODE(path.lstat().st_mode)
        for path in (folder, *folder.rglob("*"))
    }


def open_to_others(folder: Path) -> list[str]:
    return [name for name, mode in modes(folder).items() if mode & 0o077]


@pytest.mark.parametrize("workers", [1, 2])
def test_files_of_a_credentialed_collection_are_private(built, raw, tmp_path, workers):
    build(raw / "mimic", "mimic", tmp_path, workers=workers)
    for folder in ("scan/mimic", "texts/mimic", "shards/mimic", ".cxr"):
        assert open_to_others(tmp_path / folder) == []
    assert (
        stat.S_IMODE((tmp_path / "shards").stat().st_mode) == 0o755
    )  # sets of other collections are there too
    assert tree_bytes(tmp_path / "shards/mimic") == tree_bytes(built / "shards/mimic")
    assert privacy.current() == 0o022


def test_files_of_an_open_collection_have_the_usual_permissions(raw, tmp_path):
    build(raw / "nih", "nih", tmp_path)
    found = modes(tmp_path)
    assert {found["shards/nih"], found[".cxr"]} == {0o755}
    assert found["shards/nih/manifest.jsonl"] == 0o644


def test_files_of_a_collection_whose_ids_are_hidden_are_private(raw, tmp_path):
    sources = {"nih": {"parts": PARTS, "ids": "salted"}}
    build(raw / "nih", "nih", tmp_path, sources=sources, scan={"salt": "x" * 32})
    for folder in ("scan/nih", "texts/nih", "shards/nih", ".cxr"):
        assert open_to_others(tmp_path / folder) == []


@pytest.mark.slow
def test_files_that_an_earlier_release_left_open_become_private(raw, tmp_path):
    build(raw / "mimic", "mimic", tmp_path)
    for path in tmp_path.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    build(raw / "mimic", "mimic", tmp_path, texts={"prompts": 2}, shards={"quality": 94})
    for folder in ("texts/mimic", "shards/mimic"):
        assert open_to_others(tmp_path / folder) == []
    left = open_to_others(tmp_path / ".cxr")
    assert not [name for name in left if name.endswith((".sqlite", ".log"))]


def test_a_private_set_stays_private(raw, tmp_path):
    out = build(raw / "nih", "nih", tmp_path)
    out.chmod(0o700)
    build(raw / "nih", "nih", tmp_path, shards={"quality": 94})
    assert stat.S_IMODE(out.stat().st_mode) == 0o700
    os.umask(0o007)
    build(raw / "mimic", "mimic", tmp_path / "x")
    assert open_to_others(tmp_path / "x/shards/mimic") == []
    assert privacy.current() == 0o007


CONFIG = """
[core]
    remote = lab
['remote "lab"']
    url = s3://user:secret@bucket.example/cxr
['remote "disk"']
    url = /mnt/backup
['remote "below"']
    url = remote://lab/sub
['remote "near"']
    url = ../elsewhere
['remote "file"']
    url = file:///mnt/x
"""


def project(folder: Path, name: str = "config") -> Path:
    (folder / ".dvc").mkdir(parents=True)
    (folder / ".dvc" / name).write_text(CONFIG)
    return folder / "data/scan/mimic"


@pytest.mark.parametrize("name", ["config", "config.local"])
def test_remotes_on_other_machines_are_named(tmp_path, name):
    out = project(tmp_path, name)
    assert privacy.remotes(tmp_path / ".dvc") == {
        "lab": "s3://bucket.example", "below": "s3://bucket.example",
    }  # fmt: skip
    assert out


def test_a_remote_in_the_users_global_settings_is_found(tmp_path):
    (tmp_path / "GLOBAL").mkdir()
    (tmp_path / "GLOBAL/config").write_text("['remote \"g\"']\nurl = ssh://me@host:22/x\n")
    (tmp_path / ".dvc").mkdir()
    assert privacy.remotes(tmp_path / ".dvc") == {"g": "ssh://host:22"}


@pytest.mark.parametrize(
    ("protection", "words"),
    [
        (Protection("mimic", "PhysioNet 1.5", credentialed=True), "credentialed (PhysioNet 1.5)"),
        (Protection("own", salted=True), "private (ids: salted)"),
        (Protection("nih"), ""),
    ],
)
def test_a_remote_is_reported_before_the_run(tmp_path, capsys, protection, words):
    out = project(tmp_path / "p")
    with privacy.protecting(protection, out, tmp_path / "state"):
        said = capsys.readouterr().err
    assert said.count("warning: the DVC remote 'lab'") == bool(words)
    assert words in said
    assert "secret" not in said


@pytest.mark.slow
def test_a_build_warns_of_remotes_and_of_an_open_cache(raw, tmp_path, capsys):
    project(tmp_path)
    (tmp_path / ".dvc/cache").mkdir(mode=0o755)
    build(raw / "mimic", "mimic", tmp_path)
    said = capsys.readouterr().err
    assert said.count("DVC remote 'lab' is not on this machine (s3://bucket.example)") == 3
    assert said.count("others may read DVC's cache") == 1
    build(raw / "nih", "nih", tmp_path)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("source", "closed"), [("mimic", True), ("nih", False)])
def test_the_dvc_cache_is_created_private_before_dvc_creates_it(raw, tmp_path, source, closed):
    """In a new project DVC creates its cache with mode 0755 after the first stage."""
    project(tmp_path)
    build(raw / source, source, tmp_path)
    cache = tmp_path / ".dvc/cache"
    assert cache.exists() == closed
    assert not closed or cache.stat().st_mode & 0o777 == 0o700


@pytest.mark.slow
def test_a_cache_outside_the_project_is_not_created(raw, tmp_path):
    project(tmp_path)
    (tmp_path / ".dvc/config.local").write_text("[cache]\n    dir = /nowhere/of/ours\n")
    build(raw / "mimic", "mimic", tmp_path)
    assert not (tmp_path / ".dvc/cache").exists()


def test_unreadable_dvc_settings_do_not_stop_a_run(tmp_path):
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_bytes(b"\xff\xfe[[[")
    assert privacy.remotes(tmp_path / ".dvc") == {}


PRIVATE = [{"credentialed": True, "ids": "source"}, {"credentialed": False, "ids": "salted"}]


@pytest.fixture
def pulled(tmp_path) -> Iterator[Path]:
    """A set as DVC writes it under the usual umask, in folders that others may enter."""
    ours = [p for p in (tmp_path, *tmp_path.parents) if p.owner() == tmp_path.owner()]
    closed = {p: p.stat().st_mode for p in ours if not p.stat().st_mode & 0o011}
    for path in closed:
        path.chmod(0o711)
    (tmp_path / "nih" / "train").mkdir(parents=True)
    (tmp_path / "nih" / "train" / "nih-train-00000.tar").write_bytes(b"")
    yield tmp_path / "nih"
    for path, mode in closed.items():
        path.chmod(mode)


@pytest.mark.parametrize("header", PRIVATE)
def test_a_private_set_that_was_pulled_under_the_usual_umask_is_noticed(pulled, header):
    assert privacy.open_to_others(pulled, header)
    pulled.chmod(0o700)
    assert not privacy.open_to_others(pulled, header)


def test_a_set_behind_a_closed_folder_is_not_open(pulled):
    pulled.parent.chmod(0o700)
    assert not privacy.open_to_others(pulled, PRIVATE[0])


def test_the_names_of_tars_are_no_secret(pulled):
    for path in pulled.rglob("*.tar"):
        path.chmod(0o600)
    assert not privacy.open_to_others(pulled, PRIVATE[1])


@pytest.mark.parametrize("header", [{"credentialed": False, "ids": "source"}, {}])
def test_an_open_set_may_be_open(pulled, header):
    assert not privacy.open_to_others(pulled, header)
