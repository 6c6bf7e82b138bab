"""Tubes, lines and metal on a frontal film: a device and the scene go in, a Mark comes out.

Tips lie where a radiologist wants them: the tube above the carina, the line in the superior vena
cava, the feeding tube below the diaphragm.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from cxr_vlp.pipelines.synthetic.findings import Finding
from cxr_vlp.pipelines.synthetic.phantom.anatomy import SIGN
from cxr_vlp.pipelines.synthetic.phantom.canvas import curve, moved, oval
from cxr_vlp.pipelines.synthetic.phantom.scene import Mark, Scene


def device(finding: Finding, scene: Scene) -> Mark:
    """Return the density of one device, with ECG leads over it where the film is a bedside one."""
    metal = _PAINTERS[finding.kind](finding, scene)
    box = scene.canvas.box(metal, 0.12)
    if scene.body.portable and finding.kind in ("ett", "line", "ng", "tube"):
        metal = metal + _leads(scene)
    return Mark(finding.name, add=metal, boxes=(box,))


def _ett(_: Finding, scene: Scene) -> np.ndarray:
    """An endotracheal tube: two faint walls, one bright stripe, the tip 3-5 cm above the carina."""
    tip = scene.body.hilum - 2.2 - scene.dice.uniform(0.2, 1.6)
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
    tip = (-1.9 + 0.6 * scene.body.shift, scene.body.hilum + scene.dice.uniform(1.2, 3.2))
    if scene.dice.random() < 0.7:
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
        x = 0.5 * scene.body.turn + scene.dice.uniform(-0.15, 0.15)
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
    """Electrodes and their wires, which cross the film of everybody who is monitored."""
    wires, pads = [], []
    for side, y in ((-1, 2.5), (1, 3.5), (1, scene.body.dome(1) - 2)):
        x = side * scene.body.half * scene.dice.uniform(0.75, 1.05)
        pads.append(oval(x, y, 0.55, 0.45))
        end = (side * scene.dice.uniform(2, 16), scene.body.base + 12)
        wires.append(
            curve([(x, y), (x + side * 2.5, y + 4), (x + scene.dice.gauss(0, 4), y + 9), end])
        )
    return 0.22 * scene.canvas.stroke(wires, 0.16, soft=0.02) + 0.4 * scene.canvas.fill(*pads)


_PAINTERS: Mapping[str, Callable[[Finding, Scene], np.ndarray]] = {
    "ett": _ett,
    "line": _line,
    "ng": _ng,
    "pacemaker": _pacemaker,
    "wires": _wires,
    "tube": _tube,
}
