"""Disease and devices on a lateral film: a finding and the scene go in, a Mark comes out.

Only what a lateral view shows is drawn: fluid in the posterior angle, an opacity at its height and
depth, metal. A pneumothorax or a rib fracture is seldom seen from the side and is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from cxr_vlp.pipelines.synthetic.findings import Finding
from cxr_vlp.pipelines.synthetic.phantom.anatomy import SIGN
from cxr_vlp.pipelines.synthetic.phantom.canvas import curve, oval
from cxr_vlp.pipelines.synthetic.phantom.scene import Mark, Scene

# Depth of each zone as a fraction of the half depth: the middle lobe lies in front, bases behind.
_DEPTH = {"upper": -0.05, "mid": -0.45, "lower": 0.55}


def lateral_mark(finding: Finding, scene: Scene) -> Mark | None:
    """Return what `finding` does to a lateral film; None where it does not show."""
    painter = _PAINTERS.get(finding.name)
    return painter(finding, scene) if painter else None


def _sides(finding: Finding) -> tuple[int, ...]:
    return (-1, 1) if finding.side == "bilateral" else (SIGN[finding.side],)


def _effusion(finding: Finding, scene: Scene) -> Mark:
    """Fluid in the posterior angle first, then a level that climbs in front and behind."""
    body, total, d = scene.body, np.zeros_like(scene.x), 0.72 * scene.body.half
    for side in _sides(finding):
        high = (5.2, 8.6, 14.0)[finding.grade]
        floor = (0.30, 0.6, 0.88)[finding.grade]
        out = np.clip(scene.x / d, -1, 1.15)
        climb = np.where(out > 0, np.abs(out) ** 3, 0.6 * np.abs(out) ** 3)
        level = body.dome(side) + body.recess + 0.6 - high * (floor + (1 - floor) * climb)
        fluid = scene.lungs[side] / (1 + np.exp(np.clip((level - scene.y) / 0.3, -30, 30)))
        total = np.maximum(total, fluid)
    fill = (0.9 if finding.side == "bilateral" else 0.68) * total
    return Mark(finding.name, fill=fill, boxes=(scene.canvas.box(total, 0.5),))


def _place(finding: Finding, scene: Scene) -> tuple[float, float]:
    """Return the middle of an opacity or a lesion."""
    assert finding.box is not None
    y = 0.6 + finding.box[1] * (scene.body.dome(SIGN[finding.side]) - 0.6)
    return _DEPTH[finding.zone] * 0.72 * scene.body.half, y


def _patch(finding: Finding, scene: Scene) -> Mark:
    assert finding.box is not None
    (cx, cy), size = _place(finding, scene), finding.box[3] * scene.body.domes[0] * 0.48
    far = ((scene.x - cx) / size) ** 2 + ((scene.y - cy) / (0.85 * size)) ** 2
    cloud = np.clip(1.1 - 0.85 * far + 0.28 * scene.canvas.mottle(scene.grain, 1.8), 0, 1)
    cloud = scene.canvas.blur(cloud, 0.25) * scene.lungs[SIGN[finding.side]]
    strong = (0.42, 0.55, 0.68)[finding.grade] * (0.6 if finding.name == "Lung Opacity" else 1)
    return Mark(finding.name, fill=strong * cloud, boxes=(scene.canvas.box(cloud, 0.4),))


def _lesion(finding: Finding, scene: Scene) -> Mark:
    (x, y), r = _place(finding, scene), finding.size_cm / 2
    ball = scene.canvas.fill(oval(x, y, r, 0.9 * r))
    fill = 0.72 * scene.canvas.blur(scene.canvas.bulge(ball, 0.6 * r), 0.13)
    return Mark(finding.name, fill=fill, boxes=(scene.canvas.box(ball, 0.5),))


def _edema(finding: Finding, scene: Scene) -> Mark:
    out, down = (scene.x - 1.0) / 6.5, (scene.y - scene.body.hilum - 2.5) / 6.5
    cloud = np.exp(-(out**2) - down**2) * (1 + 0.2 * scene.canvas.mottle(scene.grain, 0.9))
    return Mark(
        finding.name, fill=np.clip((0.32, 0.46, 0.62)[finding.grade] * cloud + 0.05, 0, 0.9)
    )


def _atelectasis(finding: Finding, scene: Scene) -> Mark:
    d, total = 0.72 * scene.body.half, np.zeros_like(scene.x)
    for side in _sides(finding):
        low = scene.body.dome(side)
        bands = []
        for i in range(2 + finding.grade):
            y = low + 0.6 - 1.1 * i + scene.dice.uniform(-0.2, 0.2)
            bands.append(curve([(0.1 * d, y - 0.8), (0.45 * d, y - 0.2), (0.85 * d, y + 0.8)]))
        part = scene.canvas.stroke(bands, 0.5 + 0.1 * finding.grade, soft=0.14)
        total = np.maximum(total, part * scene.lungs[side])
    return Mark(finding.name, fill=0.6 * total, boxes=(scene.canvas.box(total, 0.4),))


def _device(finding: Finding, scene: Scene) -> Mark:
    """Metal and tubes from the side: the pacemaker and wires in front, tubes in the middle."""
    body, canvas, d = scene.body, scene.canvas, 0.72 * scene.body.half
    if finding.kind == "pacemaker":
        can = canvas.fill(oval(-0.75 * d, 3.2, 0.8, 2.2, 0.5), soft=0.04)
        lead = curve([(-0.7 * d, 2.6), (-0.2 * d, 3.5), (-0.1 * d, body.hilum),
                      (-0.3 * d, body.base - 4), (-0.85 * d, body.base - 1.5)])  # fmt: skip
        metal = 0.42 * can + 0.34 * canvas.stroke([lead], 0.24, soft=0.02)
    elif finding.kind == "wires":
        metal = 0.42 * canvas.stroke(_loops(d), 0.22, soft=0.02)
    else:
        end = body.base + 5 if finding.kind == "ng" else body.hilum + 1.5
        path = curve([(-0.6, -8), (0.2, 2), (0.8, 0.6 * end), (0.4, end)])
        metal = 0.3 * canvas.stroke([path], 0.24, soft=0.02)
    return Mark(finding.name, add=metal, boxes=(canvas.box(metal, 0.12),))


def _loops(d: float) -> list[np.ndarray]:
    """Return the sternal wires, each a short bar across the sternum as it slopes forwards."""
    heights = [3.5 + 2.3 * i for i in range(6)]
    depths = np.interp(heights, [2.5, 8, 14, 18], [-0.7 * d, -0.98 * d, -1.06 * d, -1.06 * d])
    return [
        curve([(x - 0.7, y + 0.3), (x + 0.7, y)], steps=3)
        for x, y in zip(depths, heights, strict=True)
    ]


_PAINTERS: Mapping[str, Callable[[Finding, Scene], Mark | None]] = {
    "Pleural Effusion": _effusion,
    "Consolidation": _patch,
    "Pneumonia": _patch,
    "Lung Opacity": _patch,
    "Lung Lesion": _lesion,
    "Edema": _edema,
    "Atelectasis": _atelectasis,
    "Support Devices": _device,
}
