"""The first page: the evaluations beside each other, their losses, and what decided the numbers."""

from __future__ import annotations

from collections.abc import Iterator

from cxr_vlp.train.pages.site.page import Page, Site


def pages(site: Site) -> Iterator[Page]:
    """Yield the overview."""
    yield Page("index.html", "Overview", "overview.html", {}, menu="Overview")
