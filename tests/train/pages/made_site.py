"""Helpers of the tests of the site: shards with manifests, and where Chromium is."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from tests.train.conftest import write_source

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SIZES = {"train": (12,), "validate": (8,), "test": (24, 24)}


def chromium_of(api: Any) -> str:
    """Return the path of a Chromium, "" where there is none.

    It is the one that CXR_CHROMIUM names, else one of the PATH, else Playwright's own.
    """
    named = os.environ.get("CXR_CHROMIUM", "")
    found = [named] if named else [*filter(None, map(shutil.which, NAMES)), api.executable_path]
    return next((path for path in found if Path(path).is_file()), "")


def write_set(root: Path, name: str, **header: Any) -> Path:
    """Write a set of shards with the manifest that the site reads."""
    folder = write_source(root, name, SIZES)
    written = sum(sum(counts) for counts in SIZES.values())
    first = {
        "format": 4, "source": name, "ids": "source", "layers": [], "digest": "d",
        "texts": {}, "title": name.upper(), "licence": "of nobody", "credentialed": False,
        "dropped": {"scan image.unreadable": 2}, "listed": written + 2, "written": written,
        "studies": written,
    } | header  # fmt: skip
    tars = [
        {"name": path.name, "split": path.parent.name, "samples": 12, "bytes": 9}
        for path in sorted(folder.glob("*/*.tar"))
    ]
    lines = [json.dumps(each) + "\n" for each in (first, *tars)]
    (folder / "manifest.jsonl").write_text("".join(lines))
    return folder
