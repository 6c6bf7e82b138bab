"""Every file of a corpus of odd files, and thousands of mutants, gives an image or a code.

All are decoded in worker processes, as in `shards`: a file that crashes its worker or hangs gets a
code.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pydicom
import pytest
from mutants import Decoding, results, total
from sound import dicom, xray

from cxr_vlp.pipelines.executor.pool import PartPool
from cxr_vlp.pipelines.synthetic.writing import dicom_files

PATIENCE = 60.0
LARGEST = 1 << 20  # bytes of a file that is damaged in many ways


@pytest.fixture(scope="module")
def written_files(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A file of every kind that we write ourselves."""
    folder = tmp_path_factory.mktemp("written_files")
    eight = (xray() >> 4).astype(np.uint8)
    files = {f"{n}.dcm": dicom(syntax) for n, syntax in enumerate(dicom_files.SYNTAXES)}
    files["deep.png"] = cv2.imencode(".png", xray())[1].tobytes()
    files["colour.png"] = cv2.imencode(".png", cv2.merge([eight] * 3))[1].tobytes()
    files["grey.jpg"] = cv2.imencode(".jpg", eight)[1].tobytes()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return [str(folder / name) for name in files]


def installed() -> list[str]:
    """Return the test files of pydicom and, where it is installed, of pydicom-data."""
    roots = [Path(pydicom.__file__).parent / "data"]
    extra = importlib.util.find_spec("data_store")
    if extra is not None and extra.submodule_search_locations:
        roots += map(Path, extra.submodule_search_locations)
    return sorted(str(p) for root in roots for p in root.rglob("*") if _is_data(p))


def _is_data(path: Path) -> bool:
    return path.is_file() and path.suffix not in (".py", ".pyc")


def run(work: Decoding, parts: int) -> dict[str, Any]:
    names = [f"part-{number}" for number in range(parts)]
    totals = total(results(work, names, PartPool(2, image_timeout=PATIENCE)))
    print("\n", totals)
    assert not [name for name in totals["outcomes"] if name.startswith("uncoded")], totals
    assert totals["memory"] < 1024, totals
    return totals


def test_a_sample_of_mutants(written_files):
    totals = run(Decoding(tuple(written_files), mutants=75), 2)
    assert sum(totals["outcomes"].values()) == 150
    assert 10 < totals["outcomes"]["image"] < 140


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_thousands_of_mutants_of_files_of_our_own(written_files):
    totals = run(Decoding(tuple(written_files), mutants=500), 20)
    assert sum(totals["outcomes"].values()) == 10_000


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_thousands_of_mutants_of_real_files(shared):
    real = [*(shared / "data").rglob("*"), *map(Path, installed())]
    small = sorted(str(p) for p in real if _is_data(p) and p.stat().st_size < LARGEST)
    totals = run(Decoding(tuple(small), mutants=500), 20)
    assert sum(totals["outcomes"].values()) == 10_000


def test_every_installed_test_file(tmp_path):
    files = installed()
    totals = run(Decoding(tuple(files), parts=4), 4)
    assert sum(totals["outcomes"].values()) == len(files) > 100


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_every_shared_file(shared):
    files = sorted(str(p) for p in (shared / "data").rglob("*") if p.is_file())
    totals = run(Decoding(tuple(files), parts=4), 4)
    assert sum(totals["outcomes"].values()) == len(files)
    assert totals["outcomes"]["image"] > 100
