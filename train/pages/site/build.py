"""Renders the pages of the site into a folder, with the files that they load."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import jinja2

from cxr_vlp import __version__
from cxr_vlp.nlp.wording.summary import summary
from cxr_vlp.train.errors import ConfigError
from cxr_vlp.train.pages import charts
from cxr_vlp.train.pages.site import labels, words
from cxr_vlp.train.pages.site.page import Page, Site, sample_link

PAGES = Path(__file__).parents[1]
STATIC = "static"


def write(site: Site, pages: Iterable[Page]) -> None:
    """Write every page, and the files of static/ that pages load, to the site's folder.

    Raises ConfigError where two pages have one name.
    """
    made = list(pages)
    names = [page.name for page in made]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"two pages of the site are named {twice[0]}")
    environment = _environment()
    menu = [page for page in made if page.menu]
    for page in made:
        shown = environment.get_template(f"site/{page.template}").render(
            page=page, menu=menu, site=site, names=names, **page.content
        )
        (site.out / page.name).write_text(shown, encoding="utf-8")
    _copy_static(site.out / STATIC)


def _copy_static(out: Path) -> None:
    """Write the files of static/ with the rights of all other files, and not with their own."""
    for path in sorted((PAGES / STATIC).rglob("*")):
        if path.is_file():
            target = out / path.relative_to(PAGES / STATIC)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())


def _environment() -> jinja2.Environment:
    # Report text may hold any character, so everything is escaped except our own charts.
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(PAGES / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "summary": summary,
        "number": words.number,
        "interval": words.interval,
        "count": words.count,
        "measure": words.measure,
        "p_value": words.p_value,
        "short": words.short,
        "signed": words.signed,
        "truth": words.truth,
        "label_page": labels.page_of,
        "spread": words.spread,
    }
    environment.globals |= {
        "sample_link": sample_link,
        "legend": charts.key,
        "version": __version__,
    }
    return environment
