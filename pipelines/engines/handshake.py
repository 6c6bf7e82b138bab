"""Compares what a worker has installed with what the run has, before its first element.

Workers of other machines have an installation of their own, and another version of the code or of a
decoder would write other bytes without an error. So the driver sends `versions()` with the work,
and a worker answers with `refusal(...)`, which says what differs and what to install.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import cxr_vlp
from cxr_vlp.nlp import lexicon
from cxr_vlp.pipelines.format import versions as numbers
from cxr_vlp.pipelines.format.fingerprints import DECODERS

ROOMS = ("nlp", "pipelines")  # what decides bytes; `train` does not
KINDS = (".py", ".yaml", ".json")
ABSENT = "none"
SHOWN = 3  # differences that a message names
REMEDY = "install the wheel of the run and requirements-worker.txt on every worker"


def versions() -> dict[str, str]:
    """Return what must be equal on all machines of a run, by name."""
    return {**_own(), **{name: _version(name) for name in DECODERS}}


def refusal(wanted: Mapping[str, str]) -> str:
    """Return why this process cannot work for a run with these versions, "" if it can."""
    here = versions()
    pairs = {name: (here.get(name, ABSENT), version) for name, version in wanted.items()}
    differing = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
    return _message(differing) if differing else ""


def absent(error: ImportError) -> str:
    """Return the message for a worker that cannot import a module: which one, and the remedy."""
    name = (error.name or "a module").partition(".")[0]
    return f"worker.differs: a worker cannot import {name}: {REMEDY}"


def _message(differing: Mapping[str, tuple[str, str]]) -> str:
    facts = [f"{name} {here} (the run has {run})" for name, (here, run) in differing.items()]
    more = f" and {len(facts) - SHOWN} more" if len(facts) > SHOWN else ""
    return f"worker.differs: a worker has {', '.join(facts[:SHOWN])}{more}: {REMEDY}"


@functools.cache
def _own() -> dict[str, str]:
    """Return the versions of Python, this package and what it writes, in a message's order."""
    return {
        "Python": f"{sys.version_info.major}.{sys.version_info.minor}",  # pickles depend on it
        "cxr-vlp": cxr_vlp.__version__,
        "FORMAT": str(numbers.FORMAT),
        "SCAN": str(numbers.SCAN),
        "TEXTS": str(numbers.TEXTS),
        "PIXELS": str(numbers.PIXELS),
        "lexicon": lexicon.digest()[:12],
        "code": _code(Path(cxr_vlp.__file__).parent)[:12],
    }


def _code(package: Path) -> str:
    """Return the digest of the modules and data files that decide bytes: two checkouts differ."""
    total = hashlib.sha256()
    for path in sorted(_files(package)):
        name = path.relative_to(package).as_posix()
        total.update(name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def _files(package: Path) -> Iterator[Path]:
    for room in ROOMS:
        yield from (path for path in (package / room).rglob("*") if path.suffix in KINDS)


@functools.cache
def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ABSENT
