"""Disease on a frontal film: a finding and the scene go in, a Mark goes out.

A Mark says what becomes of the air in the lungs (replaced, or freed of vessels) and what density is
added; `phantom_frontal` puts all marks of a study together. Strengths rise with the grade, and what
the report hedges is drawn at about two thirds of a mild one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from cxr_vlp.pipelines.synthetic.findings import Finding
from cxr_vlp.pipelines.synthetic.phantom.anatomy import SIGN, inside, lung, wall
from cxr_vlp.pipelines.synthetic.phantom.canvas import curve, moved, oval
from cxr_vlp.pipelines.synthetic.phantom.scene import Mark, Scene

# Density of a filled lung over and above that of the heart before it: little, but it is seen.
BEHIND_HEART = 0.05


def mark(finding: Finding, scene: Scene) -> Mark | None:
    """Return what `finding` does; None where the anatomy shows it (a large heart)."""
    painter = _PAINTERS.get(finding.name)
    return painter(finding, scene) if painter else None


def _strength(finding: Finding, *by_grade: float) -> float:
    return by_grade[finding.grade] * (0.66 if finding.assertion == "uncertain" else 1.0)


def _sides(finding: Finding) -> tuple[int, ...]:
    return (-1, 1) if finding.side == "bilateral" else (SIGN[finding.side],)


def _effusion(finding: Finding, scene: Scene) -> Mark:
    """Fluid: blunts the angle, then climbs the wall in a meniscus, highest laterally."""
    body, total, boxes = scene.body, np.zeros_like(scene.x), []
    for side in _sides(finding):
        high = (6.2, 10.0, 15.5)[finding.grade] * scene.dice.uniform(0.93, 1.07)
        high *= 0.85 if finding.assertion == "uncertain" else 1.0
        floor = (0.32, 0.62, 0.86)[finding.grade]
        out = np.clip(np.abs(scene.x) / body.half, 0, 1)
        level = body.dome(side) + body.recess - high * (floor + (1 - floor) * out**3)
        fluid = scene.lungs[side] / (1 + np.exp(np.clip((level - scene.y) / 0.28, -30, 30)))
        total = np.maximum(total, fluid)
        boxes.append(scene.canvas.box(fluid, 0.5))
    return Mark(finding.name, fill=0.97 * total, boxes=tuple(boxes))


def _pneumothorax(finding: Finding, scene: Scene) -> Mark:
    """Air outside the lung: its edge stands off the wall, most at the apex; the rest is denser."""
    body, side = scene.body, SIGN[finding.side]
    keep = (0.76, 0.58, 0.34)[finding.grade] + (0.06 if finding.assertion == "uncertain" else 0)
    edge = lung(body, side)
    root = np.array([side * 2.6, body.hilum + 1.5])
    low = np.clip((edge[:, 1] - 1) / (body.dome(side) + 3), 0, 1)
    hold = keep + (1 - keep) * (0.75, 0.4, 0.05)[finding.grade] * low
    shrunk = root + (edge - root) * np.stack([hold, 0.25 * keep + 0.75 * hold], axis=1)
    inner = scene.canvas.fill(shrunk, soft=0.06) * scene.lungs[side]
    outside = np.clip(scene.lungs[side] - inner, 0, 1)
    line = scene.canvas.stroke([shrunk[: len(shrunk) * 2 // 3]], 0.12, soft=0.04)
    dense = _strength(finding, 0.14, 0.26, 0.45)
    return Mark(
        finding.name,
        fill=dense * inner,
        clear=outside,
        add=0.09 * line * scene.lungs[side],
        boxes=(scene.canvas.box(outside, 0.6),),
    )


def _patch(finding: Finding, scene: Scene) -> Mark:
    """Airspace disease: a cloud in a lobe, its bronchi full of air; an opacity is thinner."""
    assert finding.box is not None
    u, v, du, dv = finding.box
    body, side = scene.body, SIGN[finding.side]
    cx, cy = inside(body, side, u, v)
    rx, ry = du * body.half * 0.5, dv * body.dome(side) * 0.5
    far = ((scene.x - cx) / rx) ** 2 + ((scene.y - cy) / ry) ** 2
    cloud = 1.15 - 0.85 * far + 0.30 * scene.canvas.mottle(scene.grain, 2.0)
    cloud += 0.10 * scene.canvas.mottle(scene.grain, 0.7)
    cloud = np.clip(cloud, 0, 1) * scene.lungs[side]
    boxes = (scene.canvas.box(scene.canvas.blur(cloud, 0.4), 0.4),)
    if finding.name == "Lung Opacity":
        haze = scene.canvas.blur(cloud, 0.9) * scene.lungs[side]
        return Mark(finding.name, fill=_strength(finding, 0.36, 0.44, 0.52) * haze, boxes=boxes)
    cloud = scene.canvas.blur(cloud, 0.22)
    open_bronchi = scene.canvas.stroke(_bronchi(scene, side, cx, cy), 0.3, soft=0.07)
    strong = _strength(finding, 0.74, 0.86, 0.96)
    cloud *= strong * (1 - 0.4 * open_bronchi)
    return Mark(finding.name, fill=cloud, add=BEHIND_HEART * cloud, boxes=boxes)


def _bronchi(scene: Scene, side: int, cx: float, cy: float) -> list[np.ndarray]:
    """Return a few air-filled bronchi from the hilum's direction through (cx, cy)."""
    hx, hy = side * 3.2, scene.body.hilum + 1.5
    lines = []
    for _ in range(4):
        ex = cx + (cx - hx) * 0.35 + scene.dice.gauss(0, 1.3)
        ey = cy + (cy - hy) * 0.35 + scene.dice.gauss(0, 1.3)
        mx, my = (hx + ex) / 2 + scene.dice.gauss(0, 0.5), (hy + ey) / 2 + scene.dice.gauss(0, 0.5)
        lines.append(curve([(0.4 * hx + 0.6 * mx, 0.4 * hy + 0.6 * my), (mx, my), (ex, ey)]))
    return lines


def _edema(finding: Finding, scene: Scene) -> Mark:
    """Water: a butterfly of haze around the hila, and septal lines at the edges of the bases."""
    body = scene.body
    out = (np.abs(scene.x - 0.7 * body.shift) - 4.6) / 4.3
    down = (scene.y - body.hilum - 2.6) / 6.4
    wing = np.exp(-(out**2) - down**2) * (1 + 0.22 * scene.canvas.mottle(scene.grain, 0.9))
    both = scene.lungs[-1] + scene.lungs[1]
    haze = np.clip(_strength(finding, 0.46, 0.62, 0.82) * wing + 0.06 + 0.05 * finding.grade, 0, 1)
    septa = []
    for side in (-1, 1):
        for i in range(6 + 3 * finding.grade):
            y = body.dome(side) - 5.4 + 0.75 * i + scene.dice.uniform(-0.2, 0.2)
            x = side * body.half * 0.97
            septa.append(
                curve([(x, y), (x - side * scene.dice.uniform(1.2, 2.2), y - 0.25)], steps=2)
            )
    lines = scene.canvas.stroke(septa, 0.09, soft=0.03)
    return Mark(finding.name, fill=haze * both, add=0.08 * lines * both)


def _atelectasis(finding: Finding, scene: Scene) -> Mark:
    """Collapse: dense bands across the base, and behind the heart a wedge when a lobe is lost."""
    body, total, boxes = scene.body, np.zeros_like(scene.x), []
    for side in _sides(finding):
        part = _bands(scene, side, 2 + finding.grade, (0.5, 0.62, 0.75)[finding.grade])
        part *= _strength(finding, 0.74, 0.8, 0.86)
        if finding.grade:
            crowd = np.clip(
                1 - np.abs(scene.y - body.dome(side) + 0.6) / (1.4 + finding.grade), 0, 1
            )
            part = np.maximum(part, (0.3 + 0.1 * finding.grade) * crowd)
        part = part * scene.lungs[side]
        boxes.append(scene.canvas.box(part, 0.3))
        total = np.maximum(total, part)
    behind = BEHIND_HEART * total
    if finding.kind == "lobar" and finding.grade == 2:
        low = body.dome(1)
        shape = curve([(2.0, body.hilum + 2), (3.4, low - 4), (7.4, low + 0.6), (2.0, low + 2)])
        behind += 0.11 * scene.canvas.fill(moved(shape, body.shift), soft=0.12)
    return Mark(finding.name, fill=total, add=behind, boxes=tuple(boxes))


def _bands(scene: Scene, side: int, count: int, thick: float) -> np.ndarray:
    """Return plates of collapsed lung above the diaphragm, each at its own slant."""
    body, dice = scene.body, scene.dice
    total = np.zeros_like(scene.x)
    for i in range(count):
        y = body.dome(side) - 0.9 - 1.35 * i + dice.uniform(-0.3, 0.3)
        start, long = dice.uniform(0.28, 0.44), dice.uniform(0.42, 0.6)
        inner, outer = y + dice.uniform(-0.9, 1.1), y + dice.uniform(-1.0, 0.5)
        knots = [(start, inner), (start + 0.5 * long, y), (start + long, outer)]
        line = curve([(side * a * body.half, b) for a, b in knots], steps=12)
        wide = thick * dice.uniform(0.8, 1.25)
        for cut, share, grey in ((0, 0.4, 0.45), (3, 0.75, 0.75), (7, 1.0, 1.0)):
            core = scene.canvas.stroke([line[cut : len(line) - cut]], wide * share, soft=0.05)
            total = np.maximum(total, grey * core)
    return scene.canvas.blur(total, 0.18)


def _lesion(finding: Finding, scene: Scene) -> Mark:
    """A nodule or mass: round, lobulated, the larger ones now and then with spicules."""
    assert finding.box is not None
    x, y = inside(scene.body, SIGN[finding.side], finding.box[0], finding.box[1])
    r, turn = finding.size_cm / 2, scene.dice.uniform(0, 3.1)
    edge = oval(x, y, r, r * scene.dice.uniform(0.82, 1.0), turn)
    wobble = 1 + 0.07 * np.sin(3 * np.linspace(0, 6.28, len(edge)) + 6 * turn)
    edge = (edge - (x, y)) * wobble[:, None] + (x, y)
    ball = scene.canvas.fill(edge)
    deep = scene.canvas.bulge(ball, 0.55 * r)
    boxes = (scene.canvas.box(ball, 0.5),)
    if finding.kind == "mass" and scene.dice.random() < 0.4:
        rays = [
            curve([(x, y), (x + 1.55 * r * np.cos(t), y + 1.55 * r * np.sin(t))], steps=2)
            for t in np.arange(0, 6.2, 0.42) + turn
        ]
        deep = np.maximum(deep, 0.45 * scene.canvas.stroke(rays, 0.12, soft=0.08))
    fill = _strength(finding, 0.92, 0.92, 0.92) * scene.canvas.blur(deep, 0.13)
    ball = fill * scene.lungs[SIGN[finding.side]]
    return Mark(finding.name, fill=ball, add=BEHIND_HEART * ball, boxes=boxes)


def _thickening(finding: Finding, scene: Scene) -> Mark:
    """Pleural thickening: a band along the wall, over the apex or down the flank."""
    side = SIGN[finding.side]
    line = wall(scene.body, side)
    part = line[: len(line) // 3] if finding.zone == "upper" else line[len(line) // 2 :]
    thick = _strength(finding, 1.3, 1.9, 2.6)
    band = scene.canvas.stroke([part], thick, soft=0.12) * scene.lungs[side]
    return Mark(finding.name, fill=0.85 * band, boxes=(scene.canvas.box(band),))


def _fibrosis(finding: Finding, scene: Scene) -> Mark:
    """A net of scars, densest at the edges of both bases."""
    net = np.exp(-((scene.canvas.mottle(scene.grain, 0.55) / 0.35) ** 2))
    out = np.abs(scene.x) / scene.body.half
    down = scene.y / scene.body.domes[0]
    where = np.clip(0.9 * out + 1.1 * down - 0.95, 0, 1) * (scene.lungs[-1] + scene.lungs[1])
    return Mark(finding.name, fill=_strength(finding, 0.45, 0.6, 0.75) * net * where)


def _hernia(finding: Finding, scene: Scene) -> Mark:
    """A hiatal hernia: a round shadow behind the heart, air above a level of fluid."""
    y = scene.body.base - 3.2
    r = 2.2 + 0.5 * finding.grade
    sac = scene.canvas.fill(oval(1.2, y, 1.2 * r, r), soft=0.1)
    air = sac * (scene.y < y)
    box = scene.canvas.box(sac, 0.5)
    return Mark(finding.name, add=0.08 * sac - 0.24 * air, boxes=(box,))


_PAINTERS: Mapping[str, Callable[[Finding, Scene], Mark]] = {
    "Pleural Effusion": _effusion,
    "Pneumothorax": _pneumothorax,
    "Consolidation": _patch,
    "Pneumonia": _patch,
    "Lung Opacity": _patch,
    "Edema": _edema,
    "Atelectasis": _atelectasis,
    "Lung Lesion": _lesion,
    "Pleural Other": _thickening,
    "Fibrosis": _fibrosis,
    "Hernia": _hernia,
}
