"""The pages in a real browser: the scripts run, the policy allows what they need, images show."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading

import numpy as np
import pytest
from PIL import Image

from cxr_vlp.pipelines.inspector import server

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))),
                None)  # fmt: skip
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")


@pytest.fixture
def address(session):
    """Serve the session; return the address of a page with its token."""
    serving = server.bind(session, "127.0.0.1", 0)
    threading.Thread(target=serving.server.serve_forever, daemon=True).start()

    def of(path):
        sign = "&" if "?" in path else "?"
        return f"http://127.0.0.1:{serving.guard.port}{path}{sign}token={serving.guard.token}"

    yield of
    serving.server.shutdown()


def chromium(profile, *words):
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
               "--enable-logging=stderr", "--v=0", f"--user-data-dir={profile}",
               "--virtual-time-budget=10000"]  # fmt: skip
    return subprocess.run([*command, *words], capture_output=True, text=True, timeout=120)


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
