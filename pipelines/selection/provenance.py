"""Says how a set was selected: the header's `selection`, with the command to select it again."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cxr_vlp.pipelines.files import jsonl
from cxr_vlp.pipelines.format import versions
from cxr_vlp.pipelines.selection import draws
from cxr_vlp.pipelines.selection.source_sets import SourceSet
from cxr_vlp.pipelines.selection.steps import Wanted


def of(
    source: SourceSet,
    sources: Sequence[SourceSet],
    wanted: Wanted,
    size: Sequence[str],
    counts: Sequence[tuple[str, Counter[int]]],
) -> dict[str, Any]:
    """Return the header's `selection` of the new set made from `source`, one of `sources`.

    `size` are the flags for the number of tars, `counts` are those of `steps.Chosen`.
    """
    place = sources.index(source)
    before = source.header.get("selection") or {"earlier": []}
    earlier = {name: value for name, value in before.items() if name != "earlier"}
    return {
        "source": source.digest,
        "sources": [each.digest for each in sources],
        "command": command(wanted, size),
        "files": {flag: jsonl.sha256(path) for flag, path in _files(wanted).items()},
        "steps": [{"step": step, "samples": number[place]} for step, number in counts],
        "version": versions.SELECTION,
        "earlier": [*before["earlier"], *([earlier] if earlier else [])],
    }


def command(wanted: Wanted, size: Sequence[str]) -> str:
    """Return the command of a selection; PATH, DIR and FILE stand for paths."""
    return shlex.join(["cxr-vlp", "select", "PATH", *flags(wanted), *size, "--out", "DIR"])


def flags(wanted: Wanted) -> list[str]:
    """Return the flags that describe what is selected; those with a default are left out."""
    words = [word for where in wanted.where for word in _where(where)]
    if wanted.keys:
        words += ["--keys", "FILE", *(["--ignore-missing"] if wanted.ignore_missing else [])]
    words += ["--unit", wanted.unit] if wanted.unit != "sample" else []
    if wanted.resplit:
        words += ["--resplit", "FILE", "--unlisted", wanted.unlisted]
    words += [word for split in wanted.splits for word in ("--split", split)]
    if wanted.shots:
        words += ["--shots", str(wanted.shots), "--per", wanted.per or draws.LABELS]
        words += ["--shots-from", wanted.shots_from]
    words += ["--studies", str(wanted.studies)] if wanted.studies else []
    words += ["--balance", wanted.balance] if wanted.balance else []
    return [*words, *(["--seed", str(wanted.seed)] if wanted.shots or wanted.studies else [])]


def _where(condition: str) -> list[str]:
    # in one word where argparse would take the condition for a flag: -1=Edema
    return [f"--where={condition}"] if condition.startswith("-") else ["--where", condition]


def _files(wanted: Wanted) -> dict[str, Path]:
    both = {"--keys": wanted.keys, "--resplit": wanted.resplit}
    return {flag: path for flag, path in both.items() if path}
