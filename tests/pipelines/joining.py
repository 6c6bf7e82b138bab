"""What the reader tests share: small raw trees written by hand, and a join without Beam."""

from __future__ import annotations

import gzip
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from cxr_vlp.pipelines.cache.file_index import Memory
from cxr_vlp.pipelines.files.paths import Tree
from cxr_vlp.pipelines.format.sample import key_hash
from cxr_vlp.pipelines.records import Reject, Study
from cxr_vlp.pipelines.sources import base
from cxr_vlp.pipelines.sources.ids import Ids
from cxr_vlp.pipelines.sources.splits import PatientRule
from cxr_vlp.pipelines.stages.scan_study import Reader, read_files

RULE_VALUES = ("cxr-vlp", 0.1, 0.2)


@dataclass
class Joined:
    """All that a reader made of a tree."""

    studies: dict[str, Study] = field(default_factory=dict)
    rejects: list[Reject] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)
    listed: int = 0

    def codes(self) -> dict[str, int]:
        """Return reject code -> images lost."""
        found: Counter[str] = Counter()
        for lost in self.rejects:
            found[lost.code] += lost.images
        return dict(found)

    def balanced(self) -> bool:
        """Tell whether every listed image is either kept or rejected."""
        kept = sum(len(study.images) for study in self.studies.values())
        return self.listed == kept + sum(self.codes().values())


def join(source, root: Path, *, links: bool = False) -> Joined:
    """Do what the Beam graph of `scan` does, in a loop."""
    root = Tree(root.resolve(), links)
    rule = PatientRule(source.name, *RULE_VALUES)
    ids = Ids(source.name, RULE_VALUES[0])
    tables = source.tables(root)
    rows: dict[str, dict[str, list]] = defaultdict(lambda: {t.name: [] for t in tables})
    for table in tables:
        for study, row in source.rows(root, table):
            rows[study][table.name].append(row)
    joined, files = Joined(), Reader(root, Memory())
    for study in sorted(rows):
        result = base.assembled(source, study, rows[study], rule)
        joined.listed += result.listed
        joined.rejects += [ids.reject(study, lost) for lost in result.lost]
        joined.notes.update(result.notes)
        if result.study is not None:
            done = read_files(ids.study(result.study), source, files)
            joined.rejects += done.rejects
            joined.notes.update(done.notes)
            if done.study is not None:
                joined.studies[study] = done.study
    return joined


def lay(root: Path, files: dict[str, str | bytes]) -> Path:
    """Write files below a root; a .gz name is compressed."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = content.encode() if isinstance(content, str) else content
        path.write_bytes(gzip.compress(data) if name.endswith(".csv.gz") else data)
    return root


def hashes(*keys: str) -> set[str]:
    """Return the hashes under which keys stand in reject rows."""
    return {key_hash(key) for key in keys}
