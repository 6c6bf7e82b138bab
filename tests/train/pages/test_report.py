"""`cxr-vlp report`: what it refuses, that its folder appears as a whole, and always the same."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from cxr_vlp.train import report
from cxr_vlp.train.errors import ConfigError
from cxr_vlp.train.pages.site import folder
from tests.train.pages import made_evaluations
from tests.train.pages.conftest import LABELS, make


def files(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


def test_the_same_input_gives_the_same_bytes(site, sets, model, evaluations, tmp_path):
    assert make(sets, model, evaluations, tmp_path / "again") == 0
    assert files(tmp_path / "again") == files(site)


def test_names_of_labels_are_escaped(site):
    page = (site / "labels.html").read_text()
    assert "Lung &lt;b&gt;Lesion&lt;/b&gt; &amp; co" in page
    for each in site.glob("label-*.html"):
        assert "<b>Lesion" not in each.read_text()


def test_no_page_holds_a_script_a_style_or_a_handler_of_its_own(site):
    for path in site.glob("*.html"):
        page = path.read_text()
        assert "default-src 'none'" in page
        for word in ("<style", " style=", "javascript:", " onclick=", "<script>"):
            assert word not in page, (path.name, word)


def test_an_earlier_site_is_replaced_and_its_old_pages_are_gone(sets, model, evaluations, tmp_path):
    out = tmp_path / "site"
    with folder.staged(out) as staging:
        (staging / "label-old.html").write_text("of an earlier run")
    assert make(sets, model, evaluations, out) == 0
    assert not (out / "label-old.html").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".site.lock", "site"]


def test_a_folder_of_other_files_is_refused_and_kept(sets, model, evaluations, tmp_path, capfd):
    out = tmp_path / "thesis"
    out.mkdir()
    (out / "chapter.tex").write_text("a year of work")
    assert make(sets, model, evaluations, out) == 2
    assert "holds chapter.tex, which no report wrote" in capfd.readouterr().err
    assert (out / "chapter.tex").read_text() == "a year of work"


def test_a_file_that_was_put_into_a_site_is_not_lost(sets, model, evaluations, tmp_path, capfd):
    out = tmp_path / "site"
    assert make(sets, model, evaluations, out) == 0
    (out / "notes.txt").write_text("what we saw")
    assert make(sets, model, evaluations, out) == 2
    assert "holds notes.txt, which no report wrote" in capfd.readouterr().err
    assert (out / "notes.txt").read_text() == "what we saw"


def test_a_site_that_cannot_be_put_in_place_leaves_the_earlier_one(tmp_path, monkeypatch):
    out = tmp_path / "site"
    with folder.staged(out) as staging:
        (staging / "index.html").write_text("first")
    rename = Path.rename

    def fails(path, target):
        if path.name == ".site.staging":
            raise OSError("no space")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fails)
    with pytest.raises(OSError, match="no space"), folder.staged(out) as staging:
        (staging / "index.html").write_text("second")
    monkeypatch.undo()
    with pytest.raises(ZeroDivisionError), folder.staged(out):
        _ = 1 / 0
    assert (out / "index.html").read_text() == "first"


@pytest.mark.parametrize("name", ["index.html", "page.HTM"])
def test_a_file_as_of_earlier_versions_is_refused(name, sets, model, evaluations, tmp_path, capfd):
    assert make(sets, model, evaluations, tmp_path / name) == 2
    assert "the report is a folder" in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_failed_run_leaves_the_earlier_site_as_it_was(tmp_path):
    out = tmp_path / "site"
    with folder.staged(out) as staging:
        (staging / "index.html").write_text("first")
    with pytest.raises(ZeroDivisionError), folder.staged(out) as staging:
        (staging / "index.html").write_text("second")
        _ = 1 / 0
    assert (out / "index.html").read_text() == "first"
    assert not (tmp_path / ".site.staging").exists()


def test_two_runs_at_once_are_refused(tmp_path):
    with (
        folder.staged(tmp_path / "site"),
        pytest.raises(ConfigError, match="another run is writing it"),
        folder.staged(tmp_path / "site"),
    ):
        pass


def test_two_evaluations_of_one_name_are_refused(sets, model, evaluations, tmp_path, capfd):
    twin = shutil.copytree(evaluations[0], tmp_path / "elsewhere" / "trial")
    assert make(sets, model, (evaluations[0], twin), tmp_path / "site") == 2
    assert "two folders are named trial" in capfd.readouterr().err


def test_an_evaluation_of_an_earlier_version_is_refused(sets, model, tmp_path, capfd):
    old = tmp_path / "old"
    old.mkdir()
    (old / "metrics.json").write_text(json.dumps({"macro_auroc": 0.7}))
    assert make(sets, model, (old,), tmp_path / "site") == 2
    assert "run cxr-vlp evaluate again" in capfd.readouterr().err


def test_scores_of_other_shards_are_refused(sets, model, tmp_path, capfd):
    other = made_evaluations.write(tmp_path / "other", [sets], LABELS)
    table = pq.read_table(other / "scores.parquet")
    keys = [f"away-{key}" for key in table.column("key").to_pylist()]
    pq.write_table(table.set_column(0, "key", [keys]), other / "scores.parquet")
    assert make(sets, model, (other,), tmp_path / "site") == 65
    said = capfd.readouterr().err
    assert "scored images are not in the shards" in said
    assert "away-" not in said, "keys are in no message"
    assert not (tmp_path / "site").exists()


def test_heat_maps_belong_to_the_model_with_the_recorded_digest(site):
    page = (site / "label-cardiomegaly.html").read_text()
    first, _, second = page.partition("<summary>other")
    assert 'class="heat"' in first
    assert 'class="heat"' not in second


def test_an_evaluation_without_models_or_scores_is_shown(sets, evaluations, tmp_path, monkeypatch):
    only = tmp_path / "retrieval_only"
    only.mkdir()
    decided = json.loads((evaluations[0] / "metrics.json").read_text())["decided_by"]
    (only / "metrics.json").write_text(json.dumps({"tasks": {}, "decided_by": decided}))
    (only / "retrieval.csv").write_text(
        "collection,direction,measure,value,low,high,chance\n"
        "mimic,image_to_text,recall_at_1,0.25,0.2,0.3,0.1\n"
        "mimic,image_to_text,median_rank,12.5,11,14,\n"
    )
    monkeypatch.chdir(tmp_path)
    given = ["--shards", str(sets), "--evaluation", str(only), "--out", "site"]
    assert report.main(given) == 0
    page = Path("site/tasks.html").read_text()
    for text in ("image to text", "R@1", "0.250", "0.200–0.300", "chance 0.100", "12.5"):
        assert text in page


def test_the_site_of_a_private_set_is_for_its_owner_alone(sets, tmp_path, monkeypatch):
    root = shutil.copytree(sets, tmp_path / "sets")
    path = root / "mimic" / "manifest.jsonl"
    header, *rest = path.read_text().splitlines()
    private = json.loads(header) | {"credentialed": True}
    path.write_text("\n".join([json.dumps(private), *rest]) + "\n")
    evaluated = made_evaluations.write(tmp_path / "scores", [root], LABELS)
    monkeypatch.chdir(tmp_path)
    given = ["--shards", str(root), "--evaluation", str(evaluated), "--out", "site"]
    before = os.umask(0o022)
    try:
        assert report.main(given) == 0
    finally:
        os.umask(before)
    made = [Path("site"), *Path("site").rglob("*")]
    assert {path.stat().st_mode & 0o077 for path in made} == {0}
