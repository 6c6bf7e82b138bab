"""The pages in a real browser: the scripts run, the policy allows what they need, images show."""

from __future__ import annotations

import contextlib
import html
import io
import json
import re
import shutil
import subprocess
import threading
from pathlib import Path

import flask
import numpy as np
import pytest
from inspecting import rewrite
from PIL import Image
from processes import PATIENCE

from cxr_vlp.pipelines.inspector import server
from cxr_vlp.pipelines.inspector.session import Session

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))),
                None)  # fmt: skip
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")


@contextlib.contextmanager
def serving_pages(session, script=""):
    """Serve a session, with a script that runs after that of the page; give addresses of pages."""
    serving = server.bind(session, "127.0.0.1", 0)
    app = serving.server.app
    own = (Path(app.root_path) / "static" / "page.js").read_text()

    def static(filename):
        if filename == "page.js":
            return flask.Response(own + script, mimetype="text/javascript")
        return app.send_static_file(filename)

    app.view_functions["static"] = static
    threading.Thread(target=serving.server.serve_forever, daemon=True).start()

    def of(path):
        sign = "&" if "?" in path else "?"
        return f"http://127.0.0.1:{serving.guard.port}{path}{sign}token={serving.guard.token}"

    yield of
    serving.server.shutdown()


@pytest.fixture
def address(session):
    """The addresses of the pages of all four sets."""
    with serving_pages(session) as of:
        yield of


def chromium(profile, *words):
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
               "--enable-logging=stderr", "--v=0", f"--user-data-dir={profile}",
               "--virtual-time-budget=10000"]  # fmt: skip
    return subprocess.run([*command, *words], capture_output=True, text=True, timeout=PATIENCE)


def test_a_browser_shows_the_grid_and_breaks_no_policy(address, session, tmp_path):
    picture = tmp_path / "grid.png"
    done = chromium(
        tmp_path / "profile", f"--screenshot={picture}", "--window-size=1400,1000",
        address("/?view=frontal"),
    )  # fmt: skip
    assert "Content Security Policy" not in done.stderr
    assert not re.search(r"CONSOLE.*(Error|Refused)", done.stderr)
    grey = np.asarray(Image.open(picture).convert("L"))
    images = grey[300:, 350:]  # right of the filters, below the summary
    assert (images < 60).mean() > 0.05, "no radiographs are shown"
    assert grey.std() > 30


@pytest.mark.slow
@pytest.mark.parametrize("width", [1400, 400])
def test_a_sample_fits_the_window_and_its_script_runs(address, session, tmp_path, width):
    key = session.now.opened.table.column("key")[0].as_py()
    done = chromium(
        tmp_path / "profile", "--dump-dom", f"--window-size={width},900",
        address(f"/sample/chexpert/{key}"),
    )  # fmt: skip
    assert key in done.stdout
    assert "token=" not in done.stdout
    assert not re.search(r"CONSOLE.*(Error|Refused)", done.stderr)


# drives the page as a user does, and leaves what it sees in the page
_DRIVE = """
addEventListener("load", async () => {
  const stage = document.querySelector(".stage"), plate = document.querySelector(".plate");
  const picture = plate.querySelector("img"), seen = {};
  await picture.decode();
  const key = (name, on = document.body) =>
    on.dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true, cancelable: true }));
  const mouse = (name, x, y, Kind = PointerEvent, more = {}) => {
    const area = stage.getBoundingClientRect();
    stage.dispatchEvent(new Kind(name, { clientX: area.left + x, clientY: area.top + y,
      pointerId: 1, bubbles: true, cancelable: true, ...more }));
  };
  const look = (name) => {
    const area = plate.getBoundingClientRect(), rects = [...plate.querySelectorAll("rect")];
    const edges = (r) => [r.left, r.top, r.right, r.bottom];
    seen[name] = {
      scale: new DOMMatrix(getComputedStyle(plate).transform).a, plate: edges(area),
      stage: edges(stage.getBoundingClientRect()), filter: picture.style.filter,
      natural: [picture.naturalWidth, picture.naturalHeight],
      rects: rects.map((r) => {
        const box = r.getBBox(), m = r.getScreenCTM();
        const [a, b] = [[box.x, box.y], [box.x + box.width, box.y + box.height]].map(
          ([x, y]) => new DOMPoint(x, y).matrixTransform(m));
        return [a.x, a.y, b.x, b.y];
      }),
      thick: rects.map((r) => parseFloat(getComputedStyle(r).strokeWidth)),
      hidden: rects.every((r) => !r.getClientRects().length),
    };
  };
  look("start");
  key("+"); key("+"); look("keys");
  key("ArrowLeft", stage); look("moved");
  mouse("pointerdown", 100, 100); mouse("pointermove", 70, 80); mouse("pointerup", 70, 80);
  look("dragged");
  for (let i = 0; i < 40; i++) mouse("wheel", 50, 60, WheelEvent, { deltaY: -200 });
  look("most");
  key("0"); look("fit");
  key("i"); look("inverted"); key("i");
  key("b"); look("without"); key("b");
  key("-"); look("least");
  mouse("dblclick", 10, 10, MouseEvent); look("double");
  document.body.dataset.seen = JSON.stringify(seen);
});
"""


@pytest.mark.slow
@pytest.mark.parametrize("width", [1400, 400])
@pytest.mark.parametrize("shape", [(600, 200), (200, 600), (32, 900), (300, 301)])
def test_zoom_and_keys_work_and_boxes_stay_on_the_image(copied, tmp_path, shape, width):
    folder = copied("nih")
    wide, high = shape
    box = {"label": "Nodule", "x": wide * 0.25, "y": high * 0.5, "w": wide * 0.5, "h": high * 0.25}
    box |= {"phrase": "", "layer": ""}

    def shaped(name, data):
        if name.endswith(".jpg"):
            out = io.BytesIO()
            Image.open(io.BytesIO(data)).resize(shape).save(out, "JPEG")
            data = out.getvalue()
        elif name.endswith(".json"):
            row = json.loads(data)
            row["pixels"] |= {"width": wide, "height": high}
            data = json.dumps(row | {"boxes": [box]}).encode()
        yield name, data

    rewrite(folder, shaped)
    session = Session(folder, tmp_path / "state")
    key = session.now.opened.table.column("key")[0].as_py()
    with serving_pages(session, _DRIVE) as address:
        done = chromium(
            tmp_path / "profile", "--dump-dom", f"--window-size={width},900",
            address(f"/sample/nih/{key}"),
        )  # fmt: skip
    seen = json.loads(html.unescape(re.search(r'data-seen="([^"]*)"', done.stdout)[1]))
    for name, state in seen.items():
        if name != "without":
            expected = on_screen(state, box)
            assert np.allclose(state["rects"][0], expected, atol=0.5 * state["scale"]), name
        assert state["thick"][0] * state["scale"] == pytest.approx(2, rel=0.01)
        left, top, right, bottom = state["stage"]  # the image never leaves the stage
        assert state["plate"][0] <= left + 0.5
        assert state["plate"][2] >= right - 0.5
        assert state["plate"][1] <= top + 0.5
        assert state["plate"][3] >= bottom - 0.5
    scales = {name: round(state["scale"], 2) for name, state in seen.items()}
    assert scales == {
        "start": 1, "keys": 1.96, "moved": 1.96, "dragged": 1.96, "most": 16, "fit": 1,
        "inverted": 1, "without": 1, "least": 1, "double": 2.5,
    }  # fmt: skip
    assert seen["moved"]["plate"][0] == pytest.approx(seen["keys"]["plate"][0] + 60, abs=0.1)
    assert seen["dragged"]["plate"][0] == pytest.approx(seen["moved"]["plate"][0] - 30, abs=0.1)
    assert "invert" in seen["inverted"]["filter"]
    assert "invert" not in seen["without"]["filter"]
    assert seen["without"]["hidden"]
    assert not seen["least"]["hidden"]


def on_screen(state, box):
    """Return where a box of the image is on the screen; the image is fitted into the plate."""
    left, top, right, bottom = state["plate"]
    wide, high = state["natural"]
    scale = min((right - left) / wide, (bottom - top) / high)
    x = (left + right - wide * scale) / 2 + box["x"] * scale
    y = (top + bottom - high * scale) / 2 + box["y"] * scale
    return [x, y, x + box["w"] * scale, y + box["h"] * scale]
