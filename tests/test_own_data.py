"""The first example of README, typed: ten images and a table, five lines, two commands."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from cxr_vlp.pipelines import scan, scan_preview, shards, sources, texts, verify
from cxr_vlp.pipelines.errors import ConfigError
from cxr_vlp.pipelines.sources.ids import Ids
from cxr_vlp.pipelines.sources.leave_out import LeftOut
from cxr_vlp.pipelines.sources.splits import PatientRule
from cxr_vlp.pipelines.sources.table.options import Options
from cxr_vlp.pipelines.synthetic import generate

ROOT = Path(__file__).resolve().parents[1]
PROJECT = (".dvcignore", ".gitignore", ".src", "dvc.yaml", "nlp", "pipelines", "train")
HEAD = "image,patient_id,view,sex,age,Pneumonia,Pleural Effusion,report"
REPORT = '"FINDINGS: The lungs are clear. IMPRESSION: {}"'


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S)
    return [block for named, block in found if named == language]


def five_lines(page: str) -> str:
    """Return the first lines of YAML on a page."""
    lines = blocks(page, "yaml")[0]
    assert len(lines.splitlines()) == 5
    return lines


@pytest.fixture(scope="module")
def clinic(tmp_path_factory) -> Path:
    """A folder of ten images and a table."""
    folder = tmp_path_factory.mktemp("own") / "clinic"
    (folder / "images").mkdir(parents=True)
    noise = np.random.default_rng(0)
    y, x = np.mgrid[0:160, 0:160]
    lines = [HEAD]
    for n in range(10):
        grey = 120 + 80 * np.sin(x / (9 + n)) * np.cos(y / 11) + noise.normal(0, 10, x.shape)
        name = f"film{n:02}.png"
        cv2.imwrite(str(folder / "images" / name), grey.clip(0, 255).astype("uint8"))
        said = REPORT.format("Pneumonia." if n % 2 else "No acute disease.")
        row = (name, f"p{n // 2}", "PA", "FM"[n // 2 % 2], 40 + n // 2, n % 2, int(n % 3 == 0))
        lines.append(",".join(map(str, (*row, said))))
    (folder / "films.csv").write_text("\n".join(lines) + "\n")
    return folder


def params(folder: Path, clinic: Path, page: str = "README.md") -> Path:
    """Write params.yaml with the five lines of a page in place of collections and sources."""
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    head, tail = text[: text.index("collections:")], text[text.index("\nscan:") :]
    lines = five_lines(page).replace("/data/clinic", str(clinic))
    path = folder / "params.yaml"
    path.write_text(head + lines + tail)
    return path


def printed(page: str, command: str) -> str:
    """Return what a page says that a command prints."""
    (found,) = (b for b in blocks(page, "") if f"$ {command}\n" in b)
    return found.partition(f"$ {command}\n")[2]


def test_both_pages_have_the_same_five_lines():
    assert five_lines("README.md") == five_lines("docs/own-data.md")


def test_the_five_lines_are_enough_without_the_other_sections(clinic, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = five_lines("README.md").replace("/data/clinic", str(clinic))
    (tmp_path / "params.yaml").write_text(lines)
    assert scan.main(["clinic", "--out", "data/scan"]) == 0
    assert texts.main(["clinic", "--scan", "data/scan", "--out", "data/texts"]) == 0
    read = ["--scan", "data/scan", "--texts", "data/texts"]
    assert shards.main(["clinic", *read, "--out", "data/shards/clinic"]) == 0
    assert verify.main(["data/shards", "--deep"]) == 0


def test_the_dry_run_prints_what_the_page_shows(clinic, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    path = params(tmp_path, clinic)
    assert scan.main(["clinic", "--dry-run", "--params", str(path)]) == 0
    shown = printed("docs/own-data.md", "cxr-vlp scan clinic --dry-run")
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == shown.splitlines()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["params.yaml"]


@pytest.mark.slow
def test_two_commands_make_verified_shards(clinic, tmp_path):
    """Under DVC, in a checkout, as README types it."""
    for name in PROJECT:
        source, target = ROOT / name, tmp_path / name
        copied = {"ignore": shutil.ignore_patterns("__pycache__"), "symlinks": True}
        shutil.copytree(source, target, **copied) if source.is_dir() else shutil.copy(
            source, target
        )
    params(tmp_path, clinic)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ours = {"PATH": path, "DVC_NO_ANALYTICS": "1", "PYTHONPATH": str(ROOT / ".src")}

    def run(command: str) -> str:
        done = subprocess.run(
            command.split(),
            cwd=tmp_path,
            env={**os.environ, **ours},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("dvc init --quiet --no-scm")
    (block,) = (b for b in blocks("README.md", "") if "$ dvc repro" in b)
    commands = [line.removeprefix("$ ") for line in block.splitlines() if line.startswith("$ ")]
    assert len(commands) == 2
    *_, said = [run(command) for command in commands]
    # another build of the JPEG library may write other sizes
    bare = re.compile(r"[\d,]+$", re.M)
    lines = [line.rstrip() for line in said.splitlines()]
    assert bare.sub("N", "\n".join(lines)) == bare.sub("N", printed("README.md", commands[-1])[:-1])


def test_the_options_on_the_page_are_those_of_the_reader():
    page = (ROOT / "docs/own-data.md").read_text(encoding="utf-8")
    example = yaml.safe_load(blocks("docs/own-data.md", "yaml")[1])["clinic"]
    made = sources.reader("clinic", example["reader"], preset="table")
    assert dataclasses.asdict(made)["text"] == "ReportText"
    table = page.partition("| option of `reader`")[2].partition("\n\n")[0]
    cells = [line.split("|")[1] for line in table.splitlines()[2:]]
    named = {name.partition(".")[0] for cell in cells for name in re.findall(r"`([a-z_.]+)`", cell)}
    assert {each.name for each in dataclasses.fields(Options)} <= named


@pytest.mark.parametrize(("number", "suffix"), [(0, ".png"), (1, ".dcm")])
def test_the_programs_of_the_page_write_a_table_that_is_understood(
    clinic, tmp_path, capsys, number, suffix
):
    made = ["--sources", "siim", "--studies", "4", "--height", "96"]
    assert generate.main(["--out", str(tmp_path / "made"), *made]) == 0
    folder = clinic if suffix == ".png" else tmp_path / "made"
    films = sorted(folder.rglob(f"*{suffix}"))[:4]
    for place, film in enumerate(films):
        folder = tmp_path / "clinic" / f"P{place // 2}" / f"study{place % 2}"
        folder.mkdir(parents=True)
        shutil.copy(film, folder / f"film{suffix}")
    program = blocks("docs/own-data.md", "python")[number]
    exec(program.replace("/data/clinic", str(tmp_path / "clinic")), {})
    path = params(tmp_path, tmp_path / "clinic")
    assert scan.main(["clinic", "--dry-run", "--params", str(path)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "image image guessed patient patient guessed study study guessed" in said
    assert f"images found {len(films)}" in said
    assert f"`texts` would reject {len(films)} images: text.none: " in said


def test_salted_ids_as_the_page_writes_them(clinic, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (text,) = (b for b in blocks("docs/own-data.md", "yaml") if "ids: salted" in b)
    (tmp_path / "params.yaml").write_text(text.replace("/data/clinic", str(clinic)))
    with pytest.raises(ConfigError, match=r"the variable CXR_SALT is not set"):
        scan.main(["clinic", "--out", "data/scan"])
    monkeypatch.setenv("CXR_SALT", "0123456789abcdef")
    assert scan.main(["clinic", "--out", "data/scan"]) == 0
    assert texts.main(["clinic", "--scan", "data/scan", "--out", "data/texts"]) == 0
    said = b"".join(path.read_bytes() for path in Path("data/texts").rglob("*") if path.is_file())
    assert said
    assert b"film0" not in said
    assert b"clinic" in said


def test_the_table_in_another_language_is_understood(tmp_path):
    (text,) = (b for b in blocks("docs/own-data.md", "yaml") if "Datei" in b)
    made = sources.reader("clinic", yaml.safe_load(text)["clinic"]["reader"], preset="table")
    (tmp_path / "a.csv").write_text(
        "Datei;Patient;Geschlecht;Alter;Pneumonie;Erguss\n1.png;p;w;40;ja;nein\n"
    )
    (tmp_path / "1.png").write_bytes(b"1")
    rule, naming = PatientRule("clinic", "salt", 0.1, 0.2), Ids("clinic", "salt")
    found = scan_preview.of(made, tmp_path, rule, naming, LeftOut(), ())
    assert dict(found.counts["label"]) == {"Pneumonia 1": 1, "Pleural Effusion 0": 1}


def test_a_dry_run_shows_whom_a_list_leaves_out(clinic, tmp_path, capsys):
    text = five_lines("README.md").replace("/data/clinic", str(clinic))
    path = tmp_path / "params.yaml"
    (tmp_path / "people.txt").write_text("p1\n")
    for entry, said in (("    leave_out: [{file: people.txt}]\n", True), ("", False)):
        path.write_text(text + entry)
        assert scan.main(["clinic", "--dry-run", "--params", str(path)]) == 0
        assert ("leave_out.patient" in capsys.readouterr().out) == said
