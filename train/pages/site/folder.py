"""Publishes the site's folder as a whole; an earlier site is replaced."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from cxr_vlp.train import output_dir
from cxr_vlp.train.errors import ConfigError
from cxr_vlp.train.output_dir import Kind

SITE = Kind(frozenset(), "report", record="site.json")


@contextlib.contextmanager
def staged(out: Path) -> Iterator[Path]:
    """Yield an empty folder that becomes `out` at the end of the block, if nothing was raised.

    Raises ConfigError for the name of a page, and as output_dir.staged does.
    """
    if out.suffix.lower() in (".html", ".htm"):
        raise ConfigError(f"{out}: the report is a folder: give one as --out, such as reports/site")
    with output_dir.staged(out, None, SITE) as staging:
        yield staging
        output_dir.publish(staging, out, SITE)
