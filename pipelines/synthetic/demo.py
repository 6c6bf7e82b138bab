"""Checks, records and cleans up a demo run: what `make demo` and `make clean` need besides `dvc`.

    python -m cxr_vlp.pipelines.synthetic.demo check    # stop if params.yaml reads other trees
    python -m cxr_vlp.pipelines.synthetic.demo record   # record the digests of the outputs
    python -m cxr_vlp.pipelines.synthetic.demo clean    # remove the outputs that did not change

The current folder must be a checkout. Only two kinds of things are removed: synthetic trees with
their marker, and outputs whose bytes are exactly those that the demo recorded. A model that
somebody trained, or a set built from a real collection, is kept. Exit codes: 0 done, 2 refused.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from cxr_vlp.pipelines.files import synthetic_marker
from cxr_vlp.pipelines.synthetic import ownership

TREES = Path("data/synthetic")
RECORD = TREES / ".demo.json"
STAGES = ("scan", "texts", "shards", "cards")
LISTED = ("data", "models", "reports")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one of the three commands; return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m cxr_vlp.pipelines.synthetic.demo", description=__doc__
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("what", choices=("check", "record", "clean"))
    what = parser.parse_args(argv).what
    if what == "clean":
        _say(clean())
        return 0
    elsewhere = foreign(_params())
    if elsewhere:
        sys.stderr.write(
            f"params.yaml reads {elsewhere}, which the demo did not make: set the roots back to "
            f"{TREES}/SOURCE for `make demo`, or run `dvc repro` for your own collections\n"
        )
        return 2
    if what == "record":
        record(_params())
    return 0


def foreign(params: Mapping[str, Any]) -> str:
    """Return the roots of the collections that are not synthetic trees, "" if all are."""
    roots = {name: str(params["sources"][name]["root"]) for name in params["collections"]}
    others = [f"{n} from {r}" for n, r in roots.items() if synthetic_marker.read(Path(r)) is None]
    return ", ".join(others)


def record(params: Mapping[str, Any]) -> None:
    """Record the digest of every output of the demo."""
    digests = {str(path): digest(path) for path in outputs(params) if path.exists()}
    text = json.dumps(digests, indent=2, sort_keys=True) + "\n"
    RECORD.write_text(text, encoding="utf-8")


def outputs(params: Mapping[str, Any]) -> Iterator[Path]:
    """Yield what `dvc repro report card joined` writes."""
    for stage in STAGES:
        yield from (Path("data") / stage / name for name in params["collections"])
    yield Path("data/cards/joined")
    recipe = params["train"]["recipe"]
    yield Path("data/recipes") / f"{recipe}.yaml"
    yield Path("models") / recipe
    yield Path("reports/evaluate") / recipe
    yield Path("reports/site")


def clean() -> list[str]:
    """Remove what the demo made; return a line for each thing that was removed or kept."""
    lines: list[str] = []
    recorded = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.is_file() else {}
    for name, expected in sorted(recorded.items()):
        path = Path(name)
        if path.exists() and digest(path) == expected:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
            lines.append(f"removed {path}")
    for tree in sorted(TREES.iterdir()) if TREES.is_dir() else ():
        try:
            if tree.is_dir() and synthetic_marker.read(tree) and ownership.clear(tree):
                lines.append(f"removed {tree}")
        except ownership.ForeignError as error:
            lines.append(f"kept {error}")
    RECORD.unlink(missing_ok=True)
    lines += [f"kept    {path}" for top in LISTED for path in _left(Path(top))]
    if Path(".cxr").exists():
        lines.append("kept    .cxr: the cache of earlier runs, and checkpoints of trainings")
    return lines or ["nothing to remove"]


def digest(path: Path) -> str:
    """Return a sha256 over the names and bytes of a file or of all files in a folder."""
    total = hashlib.sha256()
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    for file in files:
        with file.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
        total.update(f"{file.relative_to(path).as_posix()}\0{found}\n".encode())
    return total.hexdigest()


def _left(top: Path) -> Iterator[Path]:
    """Yield the paths of the outputs that are left in a folder; remove empty folders."""
    for folder in sorted(top.iterdir()) if top.is_dir() else ():
        inner = folder in (TREES, *(Path("data") / s for s in (*STAGES, "recipes")))
        inner = inner or folder == Path("reports/evaluate")
        if folder.name.startswith(".") and folder.is_file():
            continue  # a lock
        if not inner or not folder.is_dir():
            yield folder
            continue
        yield from (path for path in sorted(folder.iterdir()) if path.name[0] != ".")
        if not any(folder.iterdir()):
            folder.rmdir()


def _params() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    return found


def _say(lines: Sequence[str]) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))


if __name__ == "__main__":
    sys.exit(main())
