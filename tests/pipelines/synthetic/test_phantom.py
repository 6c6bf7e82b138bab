"""Drawn images: each finding changes the image where it should, and only there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cxr_vlp.pipelines.synthetic.cases.findings import Finding, sample
from cxr_vlp.pipelines.synthetic.cases.patients import PREVALENCE, Study, cohort
from cxr_vlp.pipelines.synthetic.phantom.render import BoxedImage, draw
from cxr_vlp.pipelines.synthetic.seeding import stream

HEIGHT = 192
NORMAL = Study(11, 1, "M", 52, ("PA", "LATERAL"), (), prior=False, source="mimic")
LEFT, RIGHT = 1, 0  # halves of the image: the patient's left is on the right of it

PATCH = (0.5, 0.6, 0.7, 0.5)
FRONTAL = {
    "effusion": Finding("Pleural Effusion", "left", "moderate", "lower"),
    "pneumothorax": Finding("Pneumothorax", "left", "moderate", "upper"),
    "consolidation": Finding("Consolidation", "left", "moderate", "mid", PATCH),
    "pneumonia": Finding("Pneumonia", "left", "moderate", "mid", PATCH),
    "opacity": Finding("Lung Opacity", "left", "moderate", "mid", PATCH),
    "atelectasis": Finding("Atelectasis", "left", "moderate", "lower", kind="plate"),
    "mass": Finding("Lung Lesion", "left", "severe", "mid", (0.5, 0.4, 0, 0), "mass", size_cm=5.0),
    "ribs": Finding("Fracture", "left", "severe", "ribs", number=4),
    "clavicle": Finding("Fracture", "left", "severe", "clavicle"),
    "thickening": Finding("Pleural Other", "left", "severe", "lower"),
    "pacemaker": Finding("Support Devices", "left", kind="pacemaker"),
    "chest tube": Finding("Support Devices", "left", kind="tube"),
}


def image(*findings: Finding, view: str = "PA", study: Study = NORMAL) -> BoxedImage:
    return draw(replace(study, findings=findings), view, height=HEIGHT, seed=0)


def change(*findings: Finding, view: str = "PA") -> np.ndarray:
    return image(*findings, view=view).pixels - image(view=view).pixels


@pytest.mark.parametrize("view", ["PA", "AP", "LATERAL"])
@pytest.mark.parametrize("height", [64, 192, 512])
def test_pixels_are_in_0_to_1(view: str, height: int) -> None:
    pixels = draw(NORMAL, view, height=height, seed=0).pixels
    assert pixels.dtype == np.float32
    assert pixels.shape[0] == height
    assert 0.82 <= pixels.shape[1] / height <= 1.21
    assert pixels.min() >= 0
    assert pixels.max() <= 1
    assert np.isfinite(pixels).all()
    assert pixels.std() > 0.1


def test_the_same_study_gives_the_same_pixels_in_any_order() -> None:
    studies = [s for p in cohort("mimic", 6, 0) for s in p.studies]
    there = [draw(s, s.views[0], height=96, seed=4).pixels for s in studies]
    back = [draw(s, s.views[0], height=96, seed=4).pixels for s in reversed(studies)]
    assert all((a == b).all() for a, b in zip(there, reversed(back), strict=True))


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(replace(NORMAL, source="openi"), id="source"),
        pytest.param(replace(NORMAL, patient=12), id="patient"),
        pytest.param(replace(NORMAL, number=2), id="number"),
    ],
)
def test_another_study_gives_another_image(other: Study) -> None:
    one, two = image().pixels, image(study=other).pixels
    assert one.shape != two.shape or (one != two).any()


def test_lungs_are_dark_and_the_heart_is_bright() -> None:
    pixels = image().pixels
    height, width = pixels.shape
    row = pixels[round(0.55 * height)]
    spine = row[round(0.48 * width) : round(0.53 * width)].mean()
    right, left = (
        row[round(0.22 * width) : round(0.32 * width)],
        row[round(0.7 * width) : round(0.8 * width)],
    )
    assert spine > right.mean() + 0.25
    assert spine > left.mean() + 0.2


@pytest.mark.parametrize("name", FRONTAL)
def test_a_finding_shows_on_the_side_where_it_is(name: str) -> None:
    """The patient's left is on the right of a frontal image, not mirrored."""
    for side, near in (("left", LEFT), ("right", RIGHT)):
        moved = np.abs(change(replace(FRONTAL[name], side=side)))
        middle = moved.shape[1] // 2
        halves = (moved[:, :middle].sum(), moved[:, middle:].sum())
        assert halves[near] > 1.6 * halves[1 - near]


@pytest.mark.parametrize("name", [n for n in FRONTAL if n not in ("pacemaker", "chest tube")])
def test_severe_changes_more_than_mild(name: str) -> None:
    mild, severe = (
        np.abs(change(replace(FRONTAL[name], severity=severity))).sum()
        for severity in ("mild", "severe")
    )
    small = name == "mass"  # a lesion's size is its own number, not its grade
    assert severe > mild * (0.9 if small else 1.15)


@pytest.mark.parametrize("name", ["effusion", "consolidation", "opacity", "mass", "thickening"])
def test_uncertain_findings_are_drawn_fainter(name: str) -> None:
    sure = replace(FRONTAL[name], severity="mild")
    doubted = replace(sure, assertion="uncertain")
    assert np.abs(change(doubted)).sum() < 0.95 * np.abs(change(sure)).sum()


@pytest.mark.parametrize(
    ("name", "brighter"),
    [("effusion", True), ("consolidation", True), ("mass", True), ("pneumothorax", False)],
)
def test_density_goes_the_right_way_in_the_box(name: str, brighter: bool) -> None:
    drawn = image(FRONTAL[name])
    _, x, y, w, h = drawn.boxes[0]
    inside = (drawn.pixels - image().pixels)[round(y) : round(y + h), round(x) : round(x + w)]
    assert (inside.mean() > 0.02) if brighter else (inside.mean() < 0.0)


def test_heart_widens_with_the_grade() -> None:
    widths = []
    for severity in ("mild", "moderate", "severe"):
        boxes = image(Finding("Cardiomegaly", severity=severity)).boxes
        widths.append(next(w for label, _, _, w, _ in boxes if label == "Cardiomegaly"))
    assert widths == sorted(widths)
    assert widths[2] > 1.1 * widths[0]


def test_edema_clouds_both_lungs() -> None:
    moved = change(Finding("Edema", severity="severe"))
    middle = moved.shape[1] // 2
    assert moved[:, :middle].mean() > 0.01
    assert moved[:, middle:].mean() > 0.01


@pytest.mark.parametrize("name", ["effusion", "consolidation", "mass", "atelectasis", "pacemaker"])
def test_a_finding_shows_in_the_lateral_view(name: str) -> None:
    assert np.abs(change(FRONTAL[name], view="LATERAL")).max() > 0.1


@pytest.mark.parametrize("name", [*PREVALENCE, "Emphysema", "Fibrosis", "Hernia"])
@pytest.mark.parametrize("view", ["PA", "AP", "LATERAL"])
def test_every_finding_can_be_drawn_and_its_boxes_lie_in_the_image(name: str, view: str) -> None:
    for number in range(4):
        finding = sample(name, stream(name, number))
        drawn = image(finding, view=view)
        height, width = drawn.pixels.shape
        for label, x, y, w, h in drawn.boxes:
            assert label == name
            assert 0 <= x < x + w <= width
            assert 0 <= y < y + h <= height


def test_a_larger_image_shows_the_same_chest() -> None:
    small = draw(NORMAL, "PA", height=128, seed=0).pixels
    large = draw(NORMAL, "PA", height=256, seed=0).pixels[: 2 * small.shape[0]]
    width = min(small.shape[1], large.shape[1] // 2)
    halved = large[:, : 2 * width].reshape(small.shape[0], 2, width, 2).mean((1, 3))
    assert np.corrcoef(halved.ravel(), small[:, :width].ravel())[0, 1] > 0.95
