"""Only named collections are trained on, evaluated and shown; only wanted views are evaluated."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import pytest
import yaml

from cxr_vlp.train import evaluate, fit, report
from cxr_vlp.train.config import params
from cxr_vlp.train.data import views
from cxr_vlp.train.data.set_choice import choose
from cxr_vlp.train.data.shards import list_shards
from cxr_vlp.train.errors import ConfigError
from tests.train.conftest import sample, write_shard, write_source

ROOT = Path(__file__).resolve().parents[3]
SIZES = {"train": (12,), "validate": (4,), "test": (8,)}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def member(name: str, number: int) -> dict:
    """A sample with everything that the page shows."""
    read = {"section": "f", "rule": "r", "edit": "cut", "prior_free": f"alone {name}"}
    edema = {"finding": f"edema of {name}", "assertion": "present", "change": "worse"}
    sentences = [
        read | {"text": f"{status} {name}.", "status": status, "mentions": [edema]}
        for status in ("normal", "abnormal")
    ]
    return sample(
        name, number, sentences=sentences, boxes=[], pixels={"width": 64, "height": 72},
        projection="", caption=f"caption of {name}", findings=f"findings of {name}",
    )  # fmt: skip


@pytest.fixture
def shards(tmp_path) -> Path:
    """Two sets in a folder, as data/shards is."""
    return write_sets(tmp_path / "data")


@pytest.fixture(scope="module")
def model(tiny_recipe, tmp_path_factory) -> Path:
    """A model that was trained for one step on both sets."""
    folder = tmp_path_factory.mktemp("model")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        assert train(tiny_recipe, write_sets(folder / "data")) == 0
    return folder / "m"


def write_sets(parent: Path) -> Path:
    for name in ("mimic", "openi"):
        folder = write_source(parent, name, SIZES)
        header = {
            "format": 4, "source": name, "ids": "source", "layers": [], "digest": "d",
            "texts": {}, "title": name.upper(), "licence": "-", "credentialed": name == "mimic",
            "dropped": {}, "listed": 24, "written": 24, "studies": 24,
        }  # fmt: skip
        for split, (count,) in SIZES.items():
            (tar,) = (folder / split).glob("*.tar")
            write_shard(tar, {f"{name}-s{i:04d}": member(name, i) for i in range(count)})
        lines = [header, {"samples": 24, "bytes": 9}]
        (folder / "manifest.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
    return parent


def named(*names: str, **more: object) -> None:
    Path("params.yaml").write_text(yaml.safe_dump({"collections": list(names), **more}))


def train(recipe: Path, *shards: Path) -> int:
    folders = [str(each) for each in shards]
    return fit.main([str(recipe), "--shards", *folders, "--out", "m", "--limit", "1"])


def measured(*shards: Path, model: Path = Path("m"), more: tuple[str, ...] = ()) -> int:
    folders = [str(each) for each in shards]
    return evaluate.main(["--model", str(model), "--shards", *folders, "--out", "e", *more])


def shown(*shards: Path) -> int:
    folders = [str(each) for each in shards]
    return report.main(["--shards", *folders, "--model", "m", "--evaluation", "e", "--out", "site"])


def pages() -> str:
    """Return all text of the site, that of its data files too."""
    files = sorted([*Path("site").rglob("*.html"), *Path("site/samples").rglob("*.js")])
    return "".join(path.read_text() for path in files)


def metrics() -> dict:
    return json.loads(Path("e/metrics.json").read_text())


def test_sets_of_other_collections_are_reported_and_not_used(shards, tiny_recipe, capfd):
    named("openi", evaluate={"resamples": 0})
    note = "also holds mimic: not in collections, not used"
    assert train(tiny_recipe, shards) == 0
    printed = capfd.readouterr()
    assert printed.err.count(note) == 1
    assert "12 train, 4 validate" in printed.out
    assert measured(shards) == 0
    assert capfd.readouterr().err.count(note) == 1
    assert set(metrics()["collections"]) == {"openi"}
    assert shown(shards) == 0
    assert capfd.readouterr().err.count(note) == 1
    page = pages()
    assert "OPENI" in page
    assert "MIMIC" not in page
    assert "mimic" not in page


def test_a_named_collection_that_is_absent_stops_every_command(shards, tiny_recipe, capfd):
    named("openi", evaluate={"resamples": 0})
    assert train(tiny_recipe, shards) == measured(shards) == 0
    named("openi", "nih")
    for ended in (train(tiny_recipe, shards), measured(shards), shown(shards)):
        assert ended == 2
    printed = capfd.readouterr().err
    assert printed.count("no set of nih, which `collections` of the params file names") == 3
    assert printed.count("dvc repro shards@nih") == 3


def test_a_set_that_is_given_itself_is_always_used(shards):
    found = choose([shards / "mimic"], ("openi",))
    assert (found.folders, found.unused) == ((shards / "mimic",), ())
    both = choose([shards / "mimic", shards], ("openi",))
    assert both.folders == (shards / "mimic", shards / "openi")
    assert len(both.unused) == 1


def test_without_a_list_every_set_is_used(shards):
    found = choose([shards], None)
    assert (found.folders, found.unused) == ((shards / "mimic", shards / "openi"), ())


@pytest.mark.parametrize("text", ["collections: mimic", "collections: []", "collections: [1]"])
def test_collections_that_are_not_a_list_are_refused(tmp_path, text):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match="give a list of names"):
        params.load(path)


def test_dvc_runs_the_stages_again_when_the_list_changes():
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    for name in ("train", "evaluate", "report"):
        assert "collections" in stages[name]["params"], name


def write_views(folder: Path, view: str) -> None:
    """A test split with images of one view only."""
    records = {
        f"openi-s{i:04d}": sample("openi", i, split="test", view=view) for i in range(100, 108)
    }
    (path,) = (folder / "test").glob("*.tar")
    write_shard(path, records)


def test_images_left_out_are_reported_by_source_and_view(shards, model, capfd):
    named("mimic", "openi", evaluate={"views": ["frontal"], "resamples": 0})
    capfd.readouterr()
    assert measured(shards, model=model) == 0
    found = metrics()
    assert {name: each["left_out"] for name, each in found["collections"].items()} == {
        "mimic": {"lateral": 2}, "openi": {"lateral": 2},
    }  # fmt: skip
    protocol = found["decided_by"]["protocol"]
    counted = {name: protocol[name] for name in ("uncertain", "unmentioned", "views")}
    assert counted == {"uncertain": "exclude", "unmentioned": "negative", "views": ["frontal"]}
    assert "unmentioned" in capfd.readouterr().out


@pytest.mark.parametrize("view", ["unknown", ""])
@pytest.mark.parametrize("more", [(), ("--limit", "4")])
def test_a_collection_without_an_image_of_the_views_stops_the_evaluation(
    shards, model, capfd, view, more
):
    named("mimic", "openi", evaluate={"views": ["frontal"], "resamples": 0})
    write_views(shards / "openi", view)
    capfd.readouterr()
    assert measured(shards, model=model, more=more) == 2
    printed = capfd.readouterr().err
    assert "openi: no image of the views frontal (evaluate.views) among its 8" in printed
    assert "unknown 8" in printed
    assert "list of views" in printed
    assert not Path("e").exists()
    named("mimic", "openi", evaluate={"views": [], "resamples": 0})
    assert measured(shards, model=model) == 0
    assert {str(each["left_out"]) for each in metrics()["collections"].values()} == {"{}"}


def test_a_collection_without_images_is_reported_also_with_named_labels(shards, model, capfd):
    named("mimic", "openi", evaluate={"labels": ["Cardiomegaly"], "views": ["frontal"]})
    write_views(shards / "openi", "unknown")
    assert measured(shards, model=model) == 2


def test_a_training_says_what_its_views_leave_out_and_stops_without_a_source(
    shards, tiny_recipe, tmp_path, capfd
):
    named("mimic", "openi")
    path = tmp_path / "frontal.yaml"
    path.write_text(f"base: [{tiny_recipe}]\nimage: {{views: [frontal]}}\n")
    assert train(path, shards) == 0
    assert "left out of openi" in capfd.readouterr().out
    path.write_text(f"base: [{tiny_recipe}]\nimage: {{views: [lateral]}}\n")
    records = {f"openi-s{i:04d}": sample("openi", 4 * i) for i in range(12)}
    (tar,) = (shards / "openi" / "train").glob("*.tar")
    write_shard(tar, records)
    assert train(path, shards) == 2
    assert "openi: no image of the views lateral (image.views" in capfd.readouterr().err
    (tar,) = (shards / "mimic" / "validate").glob("*.tar")
    write_shard(tar, {f"mimic-s{i:04d}": member("mimic", 4 * i + 3) for i in range(4)})
    path.write_text(
        f"base: [{tiny_recipe}]\nimage: {{views: [lateral]}}\ndata: {{weights: {{openi: 0}}}}\n"
        "run: {batch_size: 2}\n"
    )
    assert train(path, shards) == 0, "openi is not trained on"


def test_a_survey_counts_every_image_once(shards):
    survey = views.survey(list_shards([shards], "train"), ["lateral"])
    assert survey.views == {name: {"frontal": 9, "lateral": 3} for name in ("mimic", "openi")}
    assert "Cardiomegaly" in survey.labels


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("show", "mimic", "openi"),
    [("auto", False, True), (True, True, True), (False, False, False), (None, False, True)],
)
def test_report_text_of_credentialed_sets_is_on_no_page_unless_asked_for(
    shards, tiny_recipe, show, mimic, openi
):
    section = {} if show is None else {"report": {"show_text": show}}
    named("mimic", "openi", evaluate={"resamples": 0}, **section)
    assert train(tiny_recipe, shards) == measured(shards) == shown(shards) == 0
    page = pages()
    for name, there in (("mimic", mimic), ("openi", openi)):
        assert (f"caption of {name}" in page) == there  # on the pages of labels
        assert (f"abnormal {name}." in page) == there
        assert (f"edema of {name}" in page) == there
        assert (f"alone {name}" in page) == there
        assert list(Path("site").rglob("*.jpg")), "images are shown either way"


@pytest.mark.slow
@pytest.mark.parametrize(("show", "there"), [("auto", False), (True, True)])
def test_report_text_of_salted_sets_is_on_no_page_unless_asked_for(
    shards, tiny_recipe, show, there
):
    path = shards / "openi" / "manifest.jsonl"
    header, *lines = path.read_text().splitlines()
    path.write_text("\n".join([json.dumps(json.loads(header) | {"ids": "salted"}), *lines]) + "\n")
    named("openi", evaluate={"resamples": 0}, report={"show_text": show})
    assert train(tiny_recipe, shards) == measured(shards) == shown(shards) == 0
    page = pages()
    for text in ("abnormal openi.", "edema of openi"):
        assert (text in page) == there


@pytest.mark.parametrize("value", ["yes please", 1, 0, 1.0, "True"])
def test_another_value_of_show_text_is_refused(shards, tiny_recipe, value, capfd):
    named("mimic", "openi", report={"show_text": value})
    assert shown(shards) == 2
    assert "show_text: expected one of auto, true, false, found" in capfd.readouterr().err


@pytest.mark.filterwarnings("ignore:.*found in sys.modules")
def test_the_module_of_the_command_is_what_dvc_runs(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["report", "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("cxr_vlp.train.report", run_name="__main__")
    assert ended.value.code == 0
    assert "--params" in capsys.readouterr().out
