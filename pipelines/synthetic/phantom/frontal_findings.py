"""Draws disease and devices in the frontal view: one function for each finding.

The density of a finding rises with its grade. A finding that the report hedges is drawn at about
two thirds of a mild one. The tips of devices are at the correct places: the endotracheal
tube above the carina, the central line in the superior vena cava, the feeding tube below the
diaphragm.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from cxr_vlp.pipelines.synthetic.cases.findings import Finding
from cxr_vlp.pipelines.synthetic.phantom.anatomy import SIGN, inside, lung, wall
from cxr_vlp.pipelines.synthetic.phantom.canvas import curve, moved, oval
from cxr_vlp.pipelines.synthetic.phantom.scene import Mark, Scene, sides

# Density that a filled lung adds to the heart in front of it: little, but visible.
BEHIND_HEART = 0.05


def mark(finding: Finding, scene: Scene) -> Mark | None:
    """Return the mark of `finding`; None if the anatomy already shows it (a large heart)."""
    painter = _PAINTERS.get(finding.name)
    return painter(finding, scene) if painter else None


def _strength(finding: Finding, *by_grade: float) -> float:
    return by_grade[finding.grade] * (0.66 if finding.assertion == "uncertain" else 1.0)


def _effusion(finding: Finding, scene: Scene) -> Mark:
    """Fluid: blunts the angle, then climbs the wall in a meniscus, highest laterally."""
    body, total, boxes = scene.body, np.zeros_like(scene.x), []
    for side in sides(finding):
        high = (6.2, 10.0, 15.5)[finding.grade] * scene.rng.uniform(0.93, 1.07)
        high *= 0.85 if finding.assertion == "uncertain" else 1.0
        floor = (0.32, 0.62, 0.86)[finding.grade]
        out = np.clip(np.abs(scene.x) / body.half, 0, 1)
        level = body.dome(side) + body.recess - high * (floor + (1 - floor) * out**3)
        fluid = scene.lungs[side] / (1 + np.exp(np.clip((level - scene.y) / 0.28, -30, 30)))
        total = np.maximum(total, fluid)
        boxes.append(scene.canvas.box(fluid, 0.5))
    return Mark(finding.name, fill=0.97 * total, boxes=tuple(boxes))


def _pneumothorax(finding: Finding, scene: Scene) -> Mark:
    """Air outside the lung: its edge is off the wall, most at the apex; the rest is denser."""
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
    cloud = 1.15 - 0.85 * far + 0.30 * scene.canvas.mottle(scene.noise, 2.0)
    cloud += 0.10 * scene.canvas.mottle(scene.noise, 0.7)
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
        ex = cx + (cx - hx) * 0.35 + scene.rng.gauss(0, 1.3)
        ey = cy + (cy - hy) * 0.35 + scene.rng.gauss(0, 1.3)
        mx, my = (hx + ex) / 2 + scene.rng.gauss(0, 0.5), (hy + ey) / 2 + scene.rng.gauss(0, 0.5)
        lines.append(curve([(0.4 * hx + 0.6 * mx, 0.4 * hy + 0.6 * my), (mx, my), (ex, ey)]))
    return lines


def _edema(finding: Finding, scene: Scene) -> Mark:
    """Water: a butterfly of haze around the hila, and septal lines at the edges of the bases."""
    body = scene.body
    out = (np.abs(scene.x - 0.7 * body.shift) - 4.6) / 4.3
    down = (scene.y - body.hilum - 2.6) / 6.4
    wing = np.exp(-(out**2) - down**2) * (1 + 0.22 * scene.canvas.mottle(scene.noise, 0.9))
    both = scene.lungs[-1] + scene.lungs[1]
    haze = np.clip(_strength(finding, 0.46, 0.62, 0.82) * wing + 0.06 + 0.05 * finding.grade, 0, 1)
    septa = []
    for side in (-1, 1):
        for i in range(6 + 3 * finding.grade):
            y = body.dome(side) - 5.4 + 0.75 * i + scene.rng.uniform(-0.2, 0.2)
            x = side * body.half * 0.97
            septa.append(
                curve([(x, y), (x - side * scene.rng.uniform(1.2, 2.2), y - 0.25)], steps=2)
            )
    lines = scene.canvas.stroke(septa, 0.09, soft=0.03)
    return Mark(finding.name, fill=haze * both, add=0.08 * lines * both)


def _atelectasis(finding: Finding, scene: Scene) -> Mark:
    """Collapse: dense bands across the base, and behind the heart a wedge when a lobe is lost."""
    body, total, boxes = scene.body, np.zeros_like(scene.x), []
    for side in sides(finding):
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
    body, rng = scene.body, scene.rng
    total = np.zeros_like(scene.x)
    for i in range(count):
        y = body.dome(side) - 0.9 - 1.35 * i + rng.uniform(-0.3, 0.3)
        start, long = rng.uniform(0.28, 0.44), rng.uniform(0.42, 0.6)
        inner, outer = y + rng.uniform(-0.9, 1.1), y + rng.uniform(-1.0, 0.5)
        knots = [(start, inner), (start + 0.5 * long, y), (start + long, outer)]
        line = curve([(side * a * body.half, b) for a, b in knots], steps=12)
        wide = thick * rng.uniform(0.8, 1.25)
        for cut, share, grey in ((0, 0.4, 0.45), (3, 0.75, 0.75), (7, 1.0, 1.0)):
            core = scene.canvas.stroke([line[cut : len(line) - cut]], wide * share, soft=0.05)
            total = np.maximum(total, grey * core)
    return scene.canvas.blur(total, 0.18)


def _lesion(finding: Finding, scene: Scene) -> Mark:
    """A nodule or mass: round, lobulated, the larger ones now and then with spicules."""
    assert finding.box is not None
    x, y = inside(scene.body, SIGN[finding.side], finding.box[0], finding.box[1])
    r, turn = finding.size_cm / 2, scene.rng.uniform(0, 3.1)
    edge = oval(x, y, r, r * scene.rng.uniform(0.82, 1.0), turn)
    wobble = 1 + 0.07 * np.sin(3 * np.linspace(0, 6.28, len(edge)) + 6 * turn)
    edge = (edge - (x, y)) * wobble[:, None] + (x, y)
    ball = scene.canvas.fill(edge)
    deep = scene.canvas.bulge(ball, 0.55 * r)
    boxes = (scene.canvas.box(ball, 0.5),)
    if finding.kind == "mass" and scene.rng.random() < 0.4:
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
    net = np.exp(-((scene.canvas.mottle(scene.noise, 0.55) / 0.35) ** 2))
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


def _device(finding: Finding, scene: Scene) -> Mark:
    """One device; in a bedside image, ECG leads as well."""
    metal = _DEVICES[finding.kind](finding, scene)
    box = scene.canvas.box(metal, 0.12)
    if scene.body.portable and finding.kind in ("ett", "line", "ng", "tube"):
        metal = metal + _leads(scene)
    return Mark(finding.name, add=metal, boxes=(box,))


def _ett(_: Finding, scene: Scene) -> np.ndarray:
    """An endotracheal tube: two faint walls, one bright stripe, the tip 3-5 cm above the carina."""
    tip = scene.body.hilum - 2.2 - scene.rng.uniform(0.2, 1.6)
    x = 0.25 + 0.6 * scene.body.shift
    knots = [(x - 0.5, -9.0), (x - 0.1, -4.0), (x, tip - 3), (x + 0.1, tip)]
    path = curve(knots)
    walls = scene.canvas.stroke([moved(path, -0.42), moved(path, 0.42)], 0.13, soft=0.02)
    stripe = scene.canvas.stroke([moved(path, 0.15)], 0.22, soft=0.02)
    sheath = scene.canvas.stroke([path], 0.95, soft=0.05)
    return 0.20 * walls + 0.34 * stripe + 0.10 * sheath


def _line(finding: Finding, scene: Scene) -> np.ndarray:
    """A central line: from the arm or the neck along the vein into the superior vena cava."""
    side, h = SIGN[finding.side], scene.body.half
    tip = (-1.9 + 0.6 * scene.body.shift, scene.body.hilum + scene.rng.uniform(1.2, 3.2))
    if scene.rng.random() < 0.7:
        knots = [(side * (h + 6.5), 7.5), (side * (h + 2.5), 2.6), (side * 0.72 * h, 2.6),
                 (side * 0.34 * h, 4.2), (side * 1.9 - 0.3, 5.0), (-1.9, 6.4), tip]  # fmt: skip
    else:
        knots = [(side * 5.4, -6.5), (side * 4.4, -1.0), (side * 2.9, 3.6), (-1.8, 6.0), tip]
    return 0.34 * scene.canvas.stroke([curve(knots)], 0.21, soft=0.02)


def _ng(_: Finding, scene: Scene) -> np.ndarray:
    """A feeding tube: down the midline, through the hiatus, curled in the stomach."""
    low = scene.body.base
    knots = [(0.9, -9.0), (0.5, 0.0), (0.7, 8.0), (1.1, low - 2), (2.2, low + 3.4),
             (5.0, low + 6.0), (7.6, low + 5.6)]  # fmt: skip
    path = moved(curve(knots), 0.4 * scene.body.shift)
    tip = scene.canvas.stroke([path[-8:]], 0.36, soft=0.02)
    return 0.32 * scene.canvas.stroke([path], 0.22, soft=0.02) + 0.2 * tip


def _pacemaker(finding: Finding, scene: Scene) -> np.ndarray:
    """A pacemaker: a can below the clavicle, leads to the right atrium and ventricle."""
    side, body = SIGN[finding.side], scene.body
    cx, cy = side * 0.83 * body.half, 4.6
    can = oval(cx, cy, 2.5, 2.1, 0.3 * side)
    low = body.base
    vein = [(cx, cy - 1.2), (side * 0.55 * body.half, 2.6), (side * 2.4, 4.6), (-1.7, 7.0)]
    ventricle = [*vein, (-2.6, low - 5.5), (0.6, low - 0.8), (0.55 * body.heart[1], low - 0.6)]
    atrium = [*vein, (-2.5, low - 6.5), (-2.9, low - 4.6), (-1.5, low - 5.6)]
    leads = scene.canvas.stroke([curve(ventricle), curve(atrium)], 0.24, soft=0.02)
    tips = scene.canvas.fill(oval(*ventricle[-1], 0.4, 0.22), oval(*atrium[-1], 0.22, 0.4))
    battery = scene.canvas.fill(oval(cx, cy - 0.5, 1.5, 1.0, 0.3 * side))
    return (
        0.36 * scene.canvas.fill(can, soft=0.03) + 0.14 * battery + 0.36 * np.maximum(leads, tips)
    )


def _wires(_: Finding, scene: Scene) -> np.ndarray:
    """Sternotomy wires: six twisted loops down the midline."""
    loops = []
    for i in range(6):
        y = 3.6 + i * 2.35
        x = 0.5 * scene.body.turn + scene.rng.uniform(-0.15, 0.15)
        loops.append(curve([(x - 1.05, y + 0.2), (x, y - 0.5), (x + 1.05, y + 0.15),
                            (x + 0.1, y + 0.6), (x - 0.95, y + 0.4)]))  # fmt: skip
        loops.append(curve([(x + 0.1, y + 0.5), (x + 0.5, y + 1.1)], steps=3))
    return 0.46 * scene.canvas.stroke(loops, 0.15, soft=0.02)


def _tube(finding: Finding, scene: Scene) -> np.ndarray:
    """A chest tube: through the flank, up to the apex, its stripe broken at the side hole."""
    side, h = SIGN[finding.side], scene.body.half
    low = scene.body.dome(side) - 4.5
    path = curve([(side * (h + 5), low + 2.5), (side * h, low), (side * 0.7 * h, low - 3.4),
                  (side * 0.6 * h, 6.5), (side * 0.55 * h, 3.2)])  # fmt: skip
    stripe = scene.canvas.stroke([path[:14], path[16:]], 0.22, soft=0.02)
    return 0.36 * stripe + 0.13 * scene.canvas.stroke([path], 0.85, soft=0.05)


def _leads(scene: Scene) -> np.ndarray:
    """Electrodes and their wires, as in the images of monitored patients."""
    wires, pads = [], []
    for side, y in ((-1, 2.5), (1, 3.5), (1, scene.body.dome(1) - 2)):
        x = side * scene.body.half * scene.rng.uniform(0.75, 1.05)
        pads.append(oval(x, y, 0.55, 0.45))
        end = (side * scene.rng.uniform(2, 16), scene.body.base + 12)
        wires.append(
            curve([(x, y), (x + side * 2.5, y + 4), (x + scene.rng.gauss(0, 4), y + 9), end])
        )
    return 0.22 * scene.canvas.stroke(wires, 0.16, soft=0.02) + 0.4 * scene.canvas.fill(*pads)


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
    "Support Devices": _device,
}
_DEVICES: Mapping[str, Callable[[Finding, Scene], np.ndarray]] = {
    "ett": _ett,
    "line": _line,
    "ng": _ng,
    "pacemaker": _pacemaker,
    "wires": _wires,
    "tube": _tube,
}
