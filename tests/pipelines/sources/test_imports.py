"""What the rooms import: table readers load no image library, files and imaging no stage."""

from __future__ import annotations

import ast
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


def imported(folder: str) -> dict[str, str]:
    """Return the modules of this package that a folder imports, and the file that does."""
    found = {}
    for path in sorted((PIPELINES / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                found |= {f"{node.module}.{alias.name}": path.name for alias in node.names}
            elif isinstance(node, ast.Import):
                found |= {alias.name: path.name for alias in node.names}
    return {name: file for name, file in found.items() if name.startswith("cxr_vlp.")}


@pytest.mark.parametrize(
    ("folder", "allowed"),
    [
        ("files", ("pipelines.files", "pipelines.errors", "pipelines.records")),
        ("imaging", ("pipelines.imaging", "pipelines.errors", "pipelines.files")),
    ],
)
def test_a_room_imports_only_the_rooms_below_it(folder, allowed):
    below = tuple(f"cxr_vlp.{name}." for name in allowed)
    assert {n: f for n, f in imported(folder).items() if not f"{n}.".startswith(below)} == {}
