"""Writes the files of the report browser: images, rows and details of the chosen samples.

samples/index.js            the sets and the list of the other files; the page loads it first
samples/SET/rows-0000.js    what the list shows and the search reads, ROWS samples a file
samples/SET/details-0000.js what the rules decided on each sentence of these samples
samples/SET/images/         one file of each sample: the stored image where it is small

The pages of labels show these images too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cxr_vlp.train.pages.browser import data_files, rows, stored
from cxr_vlp.train.pages.browser.choice import Place
from cxr_vlp.train.pages.browser.stored import Chosen
from cxr_vlp.train.pages.site.page import ShownSet, Stored

FOLDER = "samples"
ROWS = 250  # samples of a file: few enough that the first page appears at once

Row = dict[str, Any]


@dataclass(slots=True)
class Writer:
    """Writes the files of all sets below `out`.

    linked: the samples that other pages show. stored: what these pages need to know of them.
    chunks: the files of rows, in order.
    """

    out: Path
    linked: Collection[str] = ()
    stored: dict[str, Stored] = field(default_factory=dict)
    chunks: list[dict[str, Any]] = field(default_factory=list)

    def add(self, shown: ShownSet, places: Sequence[Place]) -> Iterator[Row]:
        """Write the samples of a set, and yield their rows."""
        rule = rows.policy(shown.header)
        made: list[Row] = []
        details: list[list[Row]] = []
        for chosen in stored.read(places):
            image = self._image(shown, chosen)
            if chosen.place.key in self.linked:
                caption = chosen.caption if shown.with_text else ""
                self.stored[chosen.place.key] = Stored(image, caption)
            made.append(rows.row(chosen, image, rule, text=shown.with_text))
            details.append(rows.details(chosen.sample, rule, text=shown.with_text))
            yield made[-1]
            if len(made) == ROWS:
                self._flush(shown, made, details)
                made, details = [], []
        if made:
            self._flush(shown, made, details)

    def finish(self, sets: Sequence[Row]) -> None:
        """Write the index."""
        index = {"sets": sets, "chunks": self.chunks}
        data_files.write(self.out / FOLDER / "index.js", "index", 0, index)

    def _image(self, shown: ShownSet, chosen: Chosen) -> str:
        name = f"{data_files.part_of_path(chosen.place.key)}.{chosen.ending}"
        address = f"{folder_of(shown)}/images/{name}"
        path = self.out / address
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(chosen.image)
        return address

    def _flush(self, shown: ShownSet, made: list[Row], details: list[list[Row]]) -> None:
        place, folder = len(self.chunks), folder_of(shown)
        number = sum(chunk["set"] == shown.name for chunk in self.chunks)
        names = {kind: f"{folder}/{kind}-{number:04d}.js" for kind in ("rows", "details")}
        data_files.write(self.out / names["rows"], "rows", place, made)
        data_files.write(self.out / names["details"], "details", place, details)
        self.chunks.append({"set": shown.name, "count": len(made)} | names)


def folder_of(shown: ShownSet) -> str:
    """Return the folder of a set's files, relative to the site."""
    return f"{FOLDER}/{data_files.part_of_path(shown.name)}"
