"""A worker compares its versions with those of the run: both sides, and each thing that differs."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from works import Told

import cxr_vlp
from cxr_vlp.pipelines.engines import attempt, handshake
from cxr_vlp.pipelines.engines.base import Element, RunSettings
from cxr_vlp.pipelines.format import fingerprints, versions

OWN = ("Python", "cxr-vlp", "FORMAT", "SCAN", "TEXTS", "PIXELS", "lexicon", "code")


def test_a_run_sends_what_decides_bytes():
    sent = handshake.versions()
    assert set(sent) == {*OWN, *fingerprints.pixel_toolchain()}
    assert sent["cxr-vlp"] == cxr_vlp.__version__
    assert sent["PIXELS"] == str(versions.PIXELS)
    assert all(type(value) is str and value for value in sent.values())
    assert len(pickle.dumps(sent)) < 1000


def test_the_decoders_are_those_of_an_images_fingerprint():
    assert set(handshake.DECODERS) == set(fingerprints.pixel_toolchain())


def test_the_same_installation_is_accepted():
    assert handshake.refusal(handshake.versions()) == ""


@given(st.sampled_from((*OWN, *handshake.DECODERS)), st.text(min_size=1, max_size=8))
def test_any_one_difference_is_refused_and_named(name, other):
    here = handshake.versions()
    said = handshake.refusal({**here, name: other})
    if other == here[name]:
        assert said == ""
    else:
        assert said.startswith(f"worker.differs: a worker has {name} {here[name]} (the run has")
        assert said.endswith(
            ": install the wheel of the run and requirements-worker.txt on every worker"
        )


def test_several_differences_are_counted():
    wanted = dict.fromkeys(handshake.versions(), "other")
    assert " and 11 more: install" in handshake.refusal(wanted)
    assert "Python 3." in handshake.refusal(wanted)


def test_what_a_later_version_compares_and_this_worker_does_not_know():
    wanted = {**handshake.versions(), "CARDS": "3"}
    assert "CARDS none (the run has 3)" in handshake.refusal(wanted)


def test_a_decoder_that_is_absent_on_the_worker(monkeypatch):
    wanted = handshake.versions()
    monkeypatch.setattr(handshake, "_version", lambda name: handshake.ABSENT)
    assert "pydicom none (the run has" in handshake.refusal(wanted)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the package as a wheel installs it: folders in the place of links."""
    root = Path(cxr_vlp.__file__).parent
    for room in handshake.ROOMS:
        shutil.copytree(
            root / room, tmp_path / room, ignore=shutil.ignore_patterns("*.md", "__pycache__")
        )
    return tmp_path


def test_a_wheel_and_the_checkout_that_it_is_of_have_the_same_code(package):
    assert handshake._code(package)[:12] == handshake.versions()["code"]


@pytest.mark.parametrize("name", ["pipelines/codes.py", "nlp/lexicon/en/findings.yaml",
                                  "pipelines/format/schema.json"])  # fmt: skip
def test_a_change_of_a_module_or_of_data_is_other_code(name, package):
    with (package / name).open("a") as changed:
        changed.write("\n")
    assert handshake._code(package)[:12] != handshake.versions()["code"]


def test_a_module_that_was_moved_is_other_code(package):
    (package / "pipelines/codes.py").rename(package / "pipelines/kodes.py")
    assert handshake._code(package)[:12] != handshake.versions()["code"]


def test_compiled_files_and_pages_are_no_code(package):
    (package / "pipelines/README.md").write_text("other")
    (package / "pipelines/__pycache__").mkdir()
    (package / "pipelines/__pycache__/codes.cpython-311.pyc").write_bytes(b"\0")
    assert handshake._code(package)[:12] == handshake.versions()["code"]


def test_an_element_is_not_begun_by_another_version(tmp_path, monkeypatch):
    work, settings = Told(str(tmp_path)), RunSettings("texts", "mimic", 1, tmp_path, tmp_path)
    task = attempt.task(work, settings)
    assert attempt.attempt(task, Element("a"))["result"] == {"name": "a", "value": None}
    monkeypatch.setattr(cxr_vlp, "__version__", "0.1.0")
    handshake._own.cache_clear()
    try:
        fault = attempt.attempt(task, Element("b"))["fault"]
    finally:
        monkeypatch.undo()
        handshake._own.cache_clear()
    assert fault[0] == "EngineError"
    assert fault[1].startswith("worker.differs: a worker has cxr-vlp 0.1.0 (the run has")
    assert not (tmp_path / "b").exists()


def test_a_module_that_a_worker_cannot_import_is_named_with_the_remedy():
    error = ImportError("No module named 'cv2.gapi'", name="cv2.gapi")
    assert handshake.absent(error).startswith("worker.differs: a worker cannot import cv2: install")
