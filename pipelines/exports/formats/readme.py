"""The README.md of an export: what it holds, and how to read it."""

from __future__ import annotations

from collections.abc import Iterator

from cxr_vlp.pipelines.exports.base import Request, Result
from cxr_vlp.pipelines.files import jsonl
from cxr_vlp.pipelines.format.sample import SPLITS

NAME = "README.md"


def write(request: Request, result: Result, about: str, body: str, header: str = "") -> None:
    """Write README.md: `header` (YAML, for a hub), what there is, and the text `body`."""
    lines = [*([header.rstrip("\n")] if header else []), *_lines(request, result, about)]
    jsonl.write_lines(request.out / NAME, [*lines, "", body.strip()])


def python(code: str) -> str:
    """Return a block of Python code."""
    return f"```python\n{code.strip()}\n```"


def _lines(request: Request, result: Result, about: str) -> Iterator[str]:
    titles = dict.fromkeys(str(each.header["title"]) for each in request.chosen)
    yield f"# {', '.join(titles)}"
    yield f"\nWritten by `cxr-vlp export`: {about}."
    yield "The terms of the collections are in LICENCE.txt.\n"
    yield "| split | samples |\n|---|---|"
    for split in SPLITS:
        if result.written[split]:
            yield f"| {split} | {result.written[split]:,} |"
    for code, number in sorted(result.left_out.items()):
        yield f"\nLeft out: {number:,} samples ({code})."
