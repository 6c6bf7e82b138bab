"""Searches the texts of all opened sets."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import numpy as np

from cxr_vlp.pipelines.inspector.opened import Opened
from cxr_vlp.pipelines.inspector.text_index import (
    NotReadyError,
    SearchError,
    TextIndex,
    fts_query,
)

PATIENCE = 1.5  # seconds in which a small set is indexed, so that no page of progress is shown

END = 5.0  # seconds; far below the grace period of a stopped command


class Search:
    """The indexes of the opened sets."""

    def __init__(self, opened: Opened, state: Path) -> None:
        self.indexes = [TextIndex(each, state.absolute()) for each in opened.sets]

    def find(self, words: str, column: str) -> np.ndarray[Any, Any]:
        """Return the places of the samples whose texts hold all words, rising.

        Raises SearchError for words that say nothing to find, NotReadyError while an index is
        being made, StorageError if one cannot be written.
        """
        query = fts_query(words, column)
        for index in self.indexes:
            index.start()
        for index in self.indexes:
            index.wait(PATIENCE / len(self.indexes))
        if not all(index.ready for index in self.indexes):
            done = [
                index.of.table.num_rows if index.ready else index.done for index in self.indexes
            ]
            raise NotReadyError(sum(done), sum(each.of.table.num_rows for each in self.indexes))
        try:
            found = [index.search(query) + index.of.first for index in self.indexes]
        except sqlite3.Error:
            raise SearchError("The index does not understand this search.") from None
        return np.concatenate(found)

    def end(self) -> None:
        """Wait for the threads of a stopped command."""
        for index in self.indexes:
            index.end(END / len(self.indexes))

    def unreadable(self) -> int:
        """Return the number of samples that no search finds, because they could not be read."""
        return sum(index.unreadable() for index in self.indexes if index.ready)
