"""Each row of the papers' results tables, by the command that the documents show, on look-alikes.

Zero-shot rows are measured with two tables of scores: one that repeats the truth of the shards (all
measures are 1) and one that says the same of every image (AUROC .5). The other tasks need a model
and have random towers: their numbers are there, in their range, beside the number of chance.
"""

from __future__ import annotations

import csv
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from stages import build, samples

from cxr_vlp.pipelines.synthetic import generate
from cxr_vlp.train import benchmark_set, evaluate

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
PAGES = ("train/README.md", "docs/evaluation.md")
# a 5x200 set needs images with one finding alone, which are rare
STUDIES = {"mimic,chexpert,mscxr": 360, "nih,openi,vindr,rsna,siim,padchest": 64}
SETS = ("mimic", "chexpert", "nih", "openi", "vindr", "rsna", "siim", "padchest")
PARTS = {"train": 1, "validate": 1, "test": 1}
COMMANDS = {"evaluate": evaluate.main, "benchmark-set": benchmark_set.main}
ROW = re.compile(r"^\| (\d+) \|.*\| (.*) \|$", re.M)
PERFECT, CONSTANT = "perfect", "constant"


def page() -> str:
    """Return the text of the page that has the commands."""
    texts = [(ROOT / name).read_text() for name in PAGES if (ROOT / name).is_file()]
    return next(text for text in texts if "reports/rows/1\n" in text)


def paths() -> dict[str, list[str]]:
    """Return row -> where its numbers are in metrics.json."""
    return {number: re.findall(r"`([^`]+)`", cell) for number, cell in ROW.findall(page())}


def commands(number: str) -> Iterator[list[str]]:
    """Yield the words of a row's commands; a list is made by the line before."""
    lines = [line for line in page().splitlines() if line.startswith("cxr-vlp ")]
    for place, line in enumerate(lines):
        if line.endswith(f" reports/rows/{number}"):
            if "benchmark-set" in lines[place - 1]:
                yield shlex.split(lines[place - 1])
            yield shlex.split(line)


def scores(folder: Path, out: Path, *, perfect: bool) -> None:
    """Write a table of scores for all images of a set."""
    found = list(samples(folder))
    names = sorted({name for _, sample in found for name in sample["labels"]})
    with out.open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["key", *(f"score:{name}" for name in names)])
        for key, sample in found:
            said = [0.9 if sample["labels"].get(name) == 1 else 0.1 for name in names]
            table.writerow([key, *(said if perfect else [0.3] * len(names))])


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """The folder data/ of a project, with raw look-alikes, their shards, and tables of scores."""
    out = tmp_path_factory.mktemp("rows")
    raw = out / "synthetic"
    for names, studies in STUDIES.items():
        words = ["--out", str(raw), "--sources", names, "--studies", str(studies)]
        assert generate.main([*words, "--seed", "5", "--height", "96"]) == 0
    settings: dict[str, Any] = {name: {"parts": PARTS} for name in SETS}
    settings["mimic"]["layers"] = {"mscxr": str(raw / "mscxr")}
    for name in SETS:
        folder = build(raw / name, name, out, sources=settings, shards={"side": 96})
        for kind in (PERFECT, CONSTANT):
            scores(folder, out / f"{name}.{kind}.csv", perfect=kind == PERFECT)
    return out


def measured(number: str, data: Path, out: Path, instead: str) -> dict[str, Any]:
    """Run a row's commands with another member in the model's place; return metrics.json."""
    for words in commands(number):
        name = re.search(r"data/shards/(\w+)", " ".join(words))[1]
        line = [word.replace("data/", f"{data}/") for word in words[2:]]
        line = [re.sub(r"^(lists|reports)/", f"{out}/", word) for word in line]
        if words[1] == "benchmark-set":
            (out / "lists").mkdir(exist_ok=True)
            line += ["--per-class", "1"]
        else:
            at = line.index("--model")
            file = data / f"{name}.{instead}.csv"
            line[at : at + 2] = (
                ["--scores", str(file)] if file.exists() else ["--baseline", instead]
            )
        assert COMMANDS[words[1]](line) == 0
    return json.loads((out / "rows" / number / "metrics.json").read_text())


def at(metrics: Any, path: str) -> Any:
    for key in path.split("."):
        metrics = metrics[key]
    return metrics


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text("evaluate: {resamples: 20}\n")


ZERO_SHOT = [number for number, found in paths().items() if "tasks." not in found[0]]
TASKS = [number for number in paths() if number not in ZERO_SHOT]


def test_the_page_has_eighteen_rows_each_with_a_command_and_a_number():
    assert list(paths()) == [str(number) for number in range(1, 19)]
    for number, found in paths().items():
        assert list(commands(number)), number
        assert found


@pytest.mark.parametrize("number", ZERO_SHOT)
def test_a_perfect_table_has_1(data, tmp_path, number):
    found = measured(number, data, tmp_path, PERFECT)
    for path in paths()[number]:
        if path.endswith(".value"):
            assert at(found, path) == pytest.approx(1, abs=1e-12), path


@pytest.mark.parametrize("number", ZERO_SHOT)
def test_a_table_that_says_the_same_of_all_has_an_auroc_of_a_half(data, tmp_path, number):
    found = measured(number, data, tmp_path, CONSTANT)
    for path in paths()[number]:
        if path.endswith("auroc.value"):
            assert at(found, path) == 0.5, path


def test_the_radiologists_are_beside_the_model(data, tmp_path):
    found = measured("2", data, tmp_path, PERFECT)
    rows = at(found, "readers.chexpert.rows")
    mean = {row["reader"]: row for row in rows if row["label"] == "mean"}
    assert {"bc4", "bc6", "bc8", "model", "mean reader"} <= set(mean)
    assert mean["model"]["f1"] == 1
    assert 0.5 < mean["mean reader"]["f1"] < 1
    assert (tmp_path / "rows/2/readers.csv").is_file()


@pytest.mark.parametrize("number", TASKS)
def test_a_task_has_its_number_for_random_towers(data, tmp_path, number):
    found = measured(number, data, tmp_path, "random")
    for path in paths()[number]:
        assert 0 <= at(found, path) <= 1, path


@pytest.mark.parametrize("number", ["14", "15"])
def test_a_5x200_set_has_one_image_of_each_class_and_a_chance_of_a_fifth(data, tmp_path, number):
    found = measured(number, data, tmp_path, "random")
    assert set(found["decided_by"]["benchmark_set"]["classes"].values()) == {1}
    path = paths()[number][0].removesuffix(".value")
    assert at(found, path)["chance"] == pytest.approx(0.2)
