"""What the pages of one run share: the opened sets, and all that is computed from them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cxr_vlp.pipelines.files import privacy
from cxr_vlp.pipelines.format import manifest
from cxr_vlp.pipelines.inspector import choices, opened
from cxr_vlp.pipelines.inspector.choices import Choices
from cxr_vlp.pipelines.inspector.opened import Opened
from cxr_vlp.pipelines.inspector.results import Results
from cxr_vlp.pipelines.inspector.search import Search


@dataclass(frozen=True)
class Snapshot:
    """The sets as they were opened, the values of their filters, their results and indexes."""

    opened: Opened
    choices: Choices
    search: Search
    results: Results


class Session:
    """One run of the command: where its sets are, and the latest snapshot of them."""

    def __init__(self, folder: Path, state: Path, workers: int = 1) -> None:
        self.folder, self.state, self.workers = folder, state, workers
        self._lock = threading.Lock()
        self.now = self._read()

    def read_again(self) -> None:
        """Open the sets again. Raises the errors of `opened.read`; the old snapshot then stays."""
        with self._lock, protected(self.folder, self.state):
            self.now = self._read()

    def _read(self) -> Snapshot:
        sets = opened.read(self.folder, self.state, self.workers)
        search = Search(sets, self.state)
        return Snapshot(sets, choices.of(sets.table), search, Results(sets.table, search.find))

    def changes(self) -> list[tuple[str, str]]:
        """Return (name of a set, "changed", "gone" or "new") for all that differs by now."""
        found = [(each.name, each.change()) for each in self.now.opened.sets]
        known = {each.folder for each in self.now.opened.sets}
        new = [path for path in manifest.sets(self.folder) if path not in known]
        return [(n, how) for n, how in found if how] + [(opened.name_of(p), "new") for p in new]


@contextlib.contextmanager
def protected(folder: Path, state: Path) -> Iterator[None]:
    """Make what the block writes private if one of the sets in a folder is."""
    header = opened.private_header(folder)
    if header is None:
        yield
        return
    with privacy.protecting(opened.protection(header), folder.absolute(), state):
        yield
