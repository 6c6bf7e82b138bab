"""What a page of the site is, and what the makers of pages get.

A maker of pages is a function `pages(site: Site, ...)` of one module. It may write files of its
own, such as images, below `site.out`; links on pages are relative, because the site is opened from
a folder. The site is flat: every page lies beside index.html.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cxr_vlp.train.config.params import ReportParams
from cxr_vlp.train.pages.site.differences import Difference
from cxr_vlp.train.pages.site.evaluations import Evaluated
from cxr_vlp.train.pages.site.trained import Trained

REPORTS = "reports.html"  # the report browser


@dataclass(frozen=True, slots=True)
class Page:
    """One page of the site.

    name: its file, beside index.html. title: its heading and its title. template: a file below
    templates/site that extends base.html. content: what the template gets. menu: its words in the
    navigation; "": it is not there. under: the name of the page of the navigation that it belongs
    to. scripts and styles: files of static/ that it loads beside site.js and site.css.
    """

    name: str
    title: str
    template: str
    content: Mapping[str, Any] = field(default_factory=dict)
    menu: str = ""
    under: str = ""
    scripts: tuple[str, ...] = ()
    styles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ShownSet:
    """A set of shards: its name, folder, manifest's header, and whether its texts are shown."""

    name: str
    folder: Path
    header: Mapping[str, Any]
    with_text: bool


@dataclass(frozen=True, slots=True)
class Site:
    """What the site shows. `out` is the folder in which it is made.

    differences: of each evaluation from the first. linked: the keys of the samples that other pages
    link to in the report browser; it must hold them all.
    """

    out: Path
    sets: tuple[ShownSet, ...]
    evaluations: tuple[Evaluated, ...]
    models: tuple[Trained, ...]
    section: ReportParams
    differences: tuple[Difference, ...] = ()
    linked: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Stored:
    """The image of a sample in the site: its file, and the caption ("": none, or not shown)."""

    file: str
    caption: str


@dataclass(frozen=True, slots=True)
class Browser:
    """The pages of the report browser, and what it stored of the samples of `Site.linked`."""

    pages: tuple[Page, ...]
    stored: Mapping[str, Stored]


def sample_link(key: str) -> str:
    """Return the link to a sample in the report browser."""
    return f"{REPORTS}#sample={quote(key, safe='')}"
