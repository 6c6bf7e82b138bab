"""Makes the pages "Reports" and "Collections", with one page for each set of shards.

Every set is read once for its numbers. Then the chosen samples are read once: the report browser,
and the examples on the pages of the sets, show the same ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from cxr_vlp.pipelines.format.sample import SPLITS, STATUSES, VIEWS
from cxr_vlp.train.pages.browser import choice, set_page
from cxr_vlp.train.pages.browser.files import Row, Writer
from cxr_vlp.train.pages.browser.survey import Survey, survey
from cxr_vlp.train.pages.site.page import REPORTS, Browser, Page, ShownSet, Site

COLLECTIONS = "collections.html"
SCRIPTS = tuple(
    f"browser/{name}.js" for name in ("store", "matching", "parts", "viewer", "dialog", "page")
)
STYLES = ("browser/browser.css",)


@dataclass(slots=True)
class Offered:
    """How many of the shown samples have each value that the browser can filter by."""

    labels: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    splits: Counter[str] = field(default_factory=Counter)
    views: Counter[str] = field(default_factory=Counter)
    layers: Counter[str] = field(default_factory=Counter)

    def add(self, row: Row) -> None:
        """Count a sample."""
        self.labels.update(row["labels"].keys())
        self.statuses.update({sentence[1] for sentence in row["sentences"]})
        self.splits[row["split"]] += 1
        self.views[row["view"]] += 1
        self.layers.update({box["layer"] or "collection" for box in row["boxes"]})

    def choices(self) -> dict[str, list[str]]:
        """Return the values that occur, in the order of the format or of the alphabet."""
        return {
            "labels": sorted(self.labels),
            "statuses": [each for each in STATUSES if self.statuses[each]],
            "splits": [each for each in SPLITS if self.splits[each]],
            "views": [each for each in VIEWS if self.views[each]],
            "layers": sorted(self.layers),
        }


@dataclass(frozen=True, slots=True)
class Made:
    """A set whose files are written: its numbers, how many samples are shown, and examples."""

    shown: ShownSet
    survey: Survey
    samples: int
    examples: Sequence[Row]

    def facts(self) -> dict[str, Any]:
        """Return what the report browser says of the set."""
        return {
            "name": self.shown.name,
            "title": self.shown.header["title"],
            "total": self.survey.total,
            "shown": self.samples,
            "text": self.shown.with_text,
        }


def write(site: Site) -> Browser:
    """Write the files of the report browser to `site.out`; return its pages and linked images."""
    writer, offered = Writer(site.out, site.linked), Offered()
    made = [_made(shown, site, writer, offered) for shown in site.sets]
    facts = [each.facts() for each in made]
    writer.finish(facts)
    return Browser((_reports(facts, offered, site), *_collections(made)), writer.stored)


def _made(shown: ShownSet, site: Site, writer: Writer, offered: Offered) -> Made:
    found = survey(shown.folder)
    places = choice.choose(found.places, site.section.samples, site.linked)
    examples = set_page.Examples()
    for row in writer.add(shown, places):
        offered.add(row)
        examples.add(row)
    return Made(shown, found, len(places), examples.chosen())


def _reports(facts: Sequence[Row], offered: Offered, site: Site) -> Page:
    content = {
        "sets": facts,
        "choices": offered.choices(),
        "shown": sum(each["shown"] for each in facts),
        "total": sum(each["total"] for each in facts),
        "show_text": str(site.section.show_text).lower(),
    }
    return Page(
        REPORTS, "Reports", "reports.html", content, menu="Reports", scripts=SCRIPTS, styles=STYLES
    )


def _collections(made: Iterable[Made]) -> Iterator[Page]:
    parts = [set_page.content(each.shown, each.survey, each.examples) for each in made]
    content = {"sets": parts}
    yield Page(
        COLLECTIONS, "Collections", "collections.html", content, menu="Collections", styles=STYLES
    )
    for part in parts:
        name, title = part["address"], part["title"]
        yield Page(name, title, "collection.html", part, under=COLLECTIONS, styles=STYLES)
