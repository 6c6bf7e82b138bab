"""Has the raw tree moved since the last scan? Names, sizes and times in, a yes or no out.

What it keeps (.cxr/) holds paths and times and is never tracked; what `scan` writes holds neither.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxr_vlp.pipelines.cache import row_digest
from cxr_vlp.pipelines.executor.progress import COUNTS
from cxr_vlp.pipelines.files import jsonl, paths
from cxr_vlp.pipelines.files.paths import Root
from cxr_vlp.pipelines.format import fingerprints


@dataclass(frozen=True)
class Glance:
    """One look at a tree, and where the last one is remembered."""

    tree: str
    header: Path
    receipt: Path

    @classmethod
    def take(cls, root: Root, recorded: Mapping[str, Any], header: Path, state: Path) -> Glance:
        """Walk the tree and digest names, sizes and times together with the parameters."""
        digest = hashlib.sha256(fingerprints.of(dict(recorded)).encode())
        for relative in paths.walk(root):
            COUNTS.add("seen")
            stat = paths.state(root, relative)
            line = f"{relative}\0{stat.st_size}\0{stat.st_mtime_ns}\0{stat.st_ino}\n"
            digest.update(line.encode("utf-8", "surrogateescape"))
        place = fingerprints.of([str(paths.tree(root).root), str(header.resolve())])[:16]
        return cls(digest.hexdigest(), header, state / "scan" / f"{place}.json")

    def unchanged(self) -> bool:
        """Tell whether the output is the one that was made of this very tree."""
        if not (self.receipt.is_file() and self.header.is_file()):
            return False
        return bool(row_digest.read(self.receipt) == self._now())

    def keep(self) -> None:
        """Remember this look; called when the output it led to is published."""
        row_digest.write(self.receipt, self._now())

    def _now(self) -> dict[str, str]:
        return {"tree": self.tree, "output": jsonl.folder_sha256(self.header.parent)}
