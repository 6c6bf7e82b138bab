"""Detects whether a raw tree changed since the last scan, by names, sizes and times only.

The row that it stores in .cxr/ has a digest of paths and times and is never tracked; the inventory
that `scan` writes has neither.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxr_vlp.pipelines.cache import row_digest
from cxr_vlp.pipelines.executor.progress import COUNTS
from cxr_vlp.pipelines.files import jsonl, paths
from cxr_vlp.pipelines.files.paths import Root
from cxr_vlp.pipelines.format import fingerprints


@dataclass(frozen=True)
class TreeState:
    """The state of a raw tree, and the file that holds the state at the last scan."""

    digest: str
    header: Path  # of the output
    row: Path

    @classmethod
    def read(
        cls,
        root: Root,
        recorded: Mapping[str, Any],
        header: Path,
        state: Path,
        others: Iterable[Path] = (),
    ) -> TreeState:
        """Walk the tree; digest names, sizes and times together with the recorded parameters.

        `others` are files outside the tree that the inventory is made from too.
        """
        digest = hashlib.sha256(fingerprints.of(dict(recorded)).encode())
        for relative in paths.walk(root, members=False):  # an archive has one time for all
            COUNTS.add("seen")
            digest.update(_line(relative, paths.state(root, relative)))
        for path in others:
            digest.update(_line(str(path), path.stat()))
        name = fingerprints.of([str(paths.tree(root).root), str(header.resolve())])[:16]
        return cls(digest.hexdigest(), header, state / "scan" / f"{name}.json")

    def unchanged(self) -> bool:
        """Return whether the output was made from the tree in this state."""
        if not (self.row.is_file() and self.header.is_file()):
            return False
        return bool(row_digest.read(self.row) == self._values())

    def save(self) -> None:
        """Save the state. Call this after the output is published."""
        row_digest.write(self.row, self._values())

    def _values(self) -> dict[str, str]:
        return {"tree": self.digest, "output": jsonl.folder_sha256(self.header.parent)}


def _line(name: str, stat: os.stat_result) -> bytes:
    line = f"{name}\0{stat.st_size}\0{stat.st_mtime_ns}\0{stat.st_ino}\n"
    return line.encode("utf-8", "surrogateescape")
