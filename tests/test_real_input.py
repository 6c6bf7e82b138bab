"""The pipeline on real images and reports: in the synthetic layouts, and as they are.

They are read from the shared folder; all output goes to a temporary folder.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from stages import PARTS, build, samples

from cxr_vlp.pipelines import verify
from cxr_vlp.pipelines.format import manifest
from cxr_vlp.pipelines.synthetic.cases.real_content import Content, find_images, read_reports
from cxr_vlp.pipelines.synthetic.layouts import chexpert, mimic

LAYOUTS = {"mimic": mimic, "chexpert": chexpert}
OPTIONS = {"nih": {"parts": PARTS, "reader": {"lists": "chexnet"}}, "openi": {"parts": PARTS}}


@pytest.fixture(scope="module")
def content(shared: Path) -> Content:
    images = find_images(shared / "data" / "hannover_covid19" / "png")
    return Content(images, read_reports(shared / "data" / "openi" / "NLMCXR_reports.tgz"))


def checked(folder: Path) -> dict:
    assert verify.check([folder], deep=True)["breaches"] == []
    header, _ = manifest.read(folder)
    return header


@pytest.fixture(scope="module")
def set_of(
    shared: Path, content: Content, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """Returns shards of real images, made when a test first asks for them.

    MIMIC and CheXpert are synthetic layouts; NIH and Open-i are as they are.
    """
    out = tmp_path_factory.mktemp("real")

    @functools.cache
    def made(name: str) -> Path:
        if name in LAYOUTS:
            LAYOUTS[name].write(out / "raw", studies=24, seed=0, height=320, content=content)
            return build(out / "raw" / name, name, out)
        return build(shared / "data" / name, name, out, sources={name: OPTIONS[name]})

    return made


@pytest.mark.slow
def test_every_image_of_the_synthetic_layouts_is_used(set_of):
    for name in LAYOUTS:
        header = checked(set_of(name))
        assert set(header["dropped"]) <= {"texts report.missing"}
        assert header["written"] >= header["listed"] - 2


@pytest.mark.slow  # test_nih.py scans these files, and test_quality.py decodes them
def test_real_nih_images_at_three_sizes_and_in_colour(set_of):
    header = checked(set_of("nih"))
    assert header["listed"] == 112_120
    assert header["written"] == 104
    assert header["dropped"] == {"scan image.missing": 112_016}
    sizes = {s["pixels"]["source_width"] for _, s in samples(set_of("nih"))}
    assert sizes == {224, 512, 1024}


def test_the_real_openi_archive_with_its_images(set_of):
    header = checked(set_of("openi"))
    assert (header["listed"], header["written"]) == (7_470, 4)
    for _, sample in samples(set_of("openi")):
        assert sample["findings"]
        assert sample["sentences"]


def test_real_reports_in_mimic_layout_keep_their_text(set_of):
    texts = [sample for _, sample in samples(set_of("mimic"))]
    assert sum(bool(s["findings"] or s["impression"]) for s in texts) >= len(texts) - 4
    assert all("XXXX" not in s["findings"] for s in texts)


@pytest.mark.slow
def test_a_model_trains_on_real_images_and_is_scored(set_of, tmp_path):
    from cxr_vlp.train import evaluate, fit

    folders = [str(set_of(name)) for name in ("mimic", "chexpert", "nih")]
    model, params = str(tmp_path / "model"), tmp_path / "params.yaml"
    params.write_text("evaluate: {resamples: 20}\n")  # not the project's own file
    common = ["--shards", *folders, "--params", str(params)]
    state = ["--state", str(tmp_path / "state")]
    assert fit.main(["chexzero_tiny", *common, *state, "--out", model, "--limit", "8"]) == 0
    scores = ["--model", model, *common, "--out", str(tmp_path / "ev")]
    assert evaluate.main(scores) == 0
    metrics = json.loads((tmp_path / "ev" / "metrics.json").read_text())
    assert {*metrics["collections"], *metrics["dropped"]} == {"mimic", "chexpert", "nih"}
    assert 0 <= metrics["macro_auroc"] <= 1
