"""The contract of a reader: the example in its documentation is a reader that works."""

from __future__ import annotations

import hashlib
import inspect
import textwrap
from pathlib import Path
from typing import Any

from joining import join, lay

from cxr_vlp.pipelines.sources import base


def example() -> Any:
    """Return the reader class of the example in base.py."""
    lines = inspect.cleandoc(base.__doc__ or "").splitlines()
    blocks = [line for line in lines if not line or line.startswith("    ")]
    code = textwrap.dedent("\n".join(blocks))
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(code, "example", "exec", dont_inherit=True), names)
    return names["Folder"]


def test_the_example_reads_a_folder(tmp_path: Path):
    lay(tmp_path, {"a1/0.png": b"one", "a1/1.png": b"two", "a1/report.txt": "Clear lungs.\n",
                   "b2/0.png": b"three", "c3/report.txt": "No image."})  # fmt: skip
    joined = join(example()(), tmp_path)
    assert joined.balanced()
    assert joined.listed == 3
    assert sorted(joined.studies) == ["a1", "b2"]
    assert [image.key for image in joined.studies["a1"].images] == ["0", "1"]
    assert joined.studies["b2"].report is None
    assert joined.notes["study.no_image"] == 1
    report = joined.studies["a1"].report
    assert report is not None
    assert report.sha256 == hashlib.sha256(b"Clear lungs.\n").hexdigest()
    assert example()().report(tmp_path, report).report == "Clear lungs.\n"


def test_the_example_has_everything_that_the_contract_names():
    members = {*base.Source.__annotations__, "tables", "rows", "assemble", "report"}
    assert {name for name in members if not hasattr(example(), name)} == set()
