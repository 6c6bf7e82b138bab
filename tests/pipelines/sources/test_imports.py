"""Table readers load no image library."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PIPELINES = Path(__file__).parents[3] / "pipelines"
MODULES = sorted(path.stem for path in (PIPELINES / "sources").glob("[a-z]*.py"))
HEAVY = ("cv2", "pydicom", "imagecodecs", "PIL", "apache_beam", "torch")


@pytest.mark.parametrize("module", MODULES)
def test_a_table_reader_loads_no_image_library(module):
    """Importing a reader loaded OpenCV and pydicom, to parse an age."""
    script = (
        f"import sys, cxr_vlp.pipelines.sources.{module}\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr
