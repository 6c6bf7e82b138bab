"""Prints requirements-worker.txt: the locked packages that a worker on another machine needs.

    python .ci/requirements_worker.py > requirements-worker.txt

They are the packages of pyproject.toml's `dependencies` and of the extras below, and what those
need in turn, as the environment of the lock says. So no torch, no DVC and no tool for tests.
"""

from __future__ import annotations

import importlib.metadata
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = ("s3", "spark")  # what workers may need beside the core: object storage, Spark's Python


def wanted() -> list[str]:
    """Return the requirements of a worker that pyproject.toml names."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    optional = project["optional-dependencies"]
    return [*project["dependencies"], *(each for name in EXTRAS for each in optional[name])]


def closure(requirements: list[str]) -> set[str]:
    """Return the names of the packages of some requirements, and of all that these need."""
    seen: set[tuple[str, frozenset[str]]] = set()
    left = [Requirement(each) for each in requirements]
    while left:
        each = left.pop()
        key = (canonicalize_name(each.name), frozenset(each.extras))
        if key not in seen:
            seen.add(key)
            left += needs(each)
    return {name for name, _ in seen}


def needs(requirement: Requirement) -> Iterator[Requirement]:
    """Yield what a package needs here, with the extras that the requirement names."""
    for text in importlib.metadata.requires(requirement.name) or ():
        found = Requirement(text)
        extras = ("", *requirement.extras)
        if found.marker is None or any(found.marker.evaluate({"extra": e}) for e in extras):
            yield found


def lines() -> list[str]:
    """Return the lines of requirements-worker.txt: those of the lock that a worker needs.

    Raises SystemExit if the lock lacks one.
    """
    locked = (ROOT / "requirements.lock").read_text(encoding="utf-8").split()
    by_name = {canonicalize_name(line.partition("==")[0]): line for line in locked}
    names = closure(wanted())
    if names - by_name.keys():
        raise SystemExit(f"not in requirements.lock: {', '.join(sorted(names - by_name.keys()))}")
    return [by_name[name] for name in sorted(names)]


if __name__ == "__main__":
    sys.stdout.write("".join(f"{line}\n" for line in lines()))
