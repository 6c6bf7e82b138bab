"""Fixtures that every room uses: where the shared real data is, and quiet, single-threaded runs.

Modules are kept compiled, whatever the environment says: the tests start hundreds of processes, and
each would compile our modules, and each process of pytest would rewrite the asserts of all tests.
Commands work in their own process, whatever CXR_WORKERS says, unless a test asks for workers: the
processes of pytest use all cores already, and two workers take four times the CPU of none.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("DVC_NO_ANALYTICS", "1")
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
os.environ["CXR_WORKERS"] = "1"

# No test asserts a time: left to itself Hypothesis fails an example of more than 200 ms, and one
# that is drawn slowly, which on a busy machine is any.
settings.register_profile("cxr_vlp", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("cxr_vlp")

ROOT = Path(__file__).resolve().parents[1]
HUNG = 1800  # seconds after which a slow test counts as hung, also on a busy machine


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow the cases of a test with `sampled(n)` but each n-th; give slow ones time."""
    seen: Counter[str] = Counter()
    for item in items:
        marker = item.get_closest_marker("sampled")
        if marker is not None:
            name = item.nodeid.partition("[")[0]
            if seen[name] % marker.args[0]:
                item.add_marker(pytest.mark.slow)
            seen[name] += 1
        if item.get_closest_marker("slow") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(HUNG))


@pytest.fixture(scope="session", autouse=True)
def _no_fsync() -> Iterator[None]:
    """No test cuts the power, so no file has to reach the disk: waiting for it costs minutes."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real images, reports and gold labels; tests that need it skip without it."""
    folder = Path(os.environ.get("CXR_SHARED", ROOT.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip("no shared data: set CXR_SHARED to the folder that holds data/ and gold/")
    return folder
