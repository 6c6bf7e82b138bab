"""Makes sets of shards with reports, and the pages of the report browser about them.

`record` is one sample whose report is read by the report engine, `write_set` a set with its
manifest, `make` the site's folder, `opened` a page of it in Chromium with what went wrong there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from cxr_vlp.nlp.annotate import annotate
from cxr_vlp.pipelines.format.sample import Sample
from cxr_vlp.train.config.params import ReportParams
from cxr_vlp.train.pages.browser import maker
from cxr_vlp.train.pages.site import build, gather
from cxr_vlp.train.pages.site.page import Site
from tests.train.conftest import sample, write_shard
from tests.train.pages.waiting import until

WIDTH, HEIGHT = 64, 72  # of the images that conftest draws


@cache
def _read(report: str) -> tuple[str, ...]:
    found = annotate(report)
    known = Sample.__dataclass_fields__["sentences"]
    assert known is not None
    rows = []
    for each in found.sentences:
        row = asdict(each)
        row.pop("subtype")
        rows.append(json.dumps(row))
    return tuple(rows)


def record(source: str, number: int, report: str = "", **changes: Any) -> dict[str, Any]:
    """Return a sample whose sentences are those of a report; without one it has none."""
    pixels = {"width": WIDTH, "height": HEIGHT, "source_width": 512, "source_height": 576}
    sentences = [json.loads(row) for row in _read(report)] if report else []
    own: dict[str, Any] = {"sentences": sentences, "pixels": pixels, "findings": report}
    own |= {"impression": "", "caption": report or f"Caption {number}."}
    return sample(source, number, **(own | changes))


def write_set(
    root: Path, name: str, splits: Mapping[str, Sequence[dict[str, Any]]], **header: Any
) -> Path:
    """Write a set: one tar a split, sizes.json, and a manifest with the fields the site reads."""
    folder, lines = root / name, []
    for split, records in splits.items():
        tar = folder / split / f"{name}-{split}-00000.tar"
        write_shard(tar, {f"{name}-{each['study']}": each for each in records})
        (tar.parent / "sizes.json").write_text(json.dumps({tar.name: len(records)}))
        size = tar.stat().st_size
        lines.append({"name": tar.name, "split": split, "samples": len(records), "bytes": size})
    total = sum(line["samples"] for line in lines)
    first = {
        "format": 4, "source": name, "title": name.title(), "licence": "CC0", "ids": "source",
        "credentialed": False, "listed": total, "dropped": {}, "written": total, "digest": "d",
        "layers": [], "texts": {"filter": {}},
    }  # fmt: skip
    rows = [first | header, *lines]
    (folder / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def make(out: Path, folders: Sequence[Path], *, linked: Sequence[str] = (), **section: Any) -> Path:
    """Write the pages about these sets to a new folder."""
    out.mkdir()
    given = ReportParams(**section)
    site = Site(out, gather.sets(folders, given), (), (), given, linked=frozenset(linked))
    build.write(site, maker.write(site).pages)
    return out


@contextmanager
def opened(browser: Any, address: str, **context: Any) -> Iterator[Any]:
    """Open a page in a window of its own; fail for a console message and for any request outside.

    Yields when all samples are loaded.
    """
    window = browser.new_context(**({"viewport": {"width": 1400, "height": 900}} | context))
    page, faults = window.new_page(), []
    page.on("console", lambda message: faults.append(message.text))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("dialog", lambda dialog: (faults.append(dialog.message), dialog.dismiss()))
    page.on(
        "request", lambda r: r.url.startswith(("file:", "data:")) or faults.append(f"asks {r.url}")
    )
    page.goto(address)
    if "reports.html" in address:
        until(page, "cxr.complete")
    yield page
    window.close()
    assert faults == []


def count(page: Any) -> int:
    """Return how many samples the page says that it found."""
    first = page.inner_text("#count").split()[0]
    return 0 if first == "No" else int(first.replace(",", ""))


def keys(page: Any) -> list[str]:
    """Return the keys of the list's samples, in order."""
    found: list[str] = page.eval_on_selector_all(".open", "all => all.map(e => e.dataset.key)")
    return found
