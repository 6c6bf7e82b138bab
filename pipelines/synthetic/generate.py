"""The command `cxr-vlp synthetic --out DIR`: writes a synthetic raw tree for each collection.

Each tree is written below DIR, with its truth file beside it. A complete tree made with the same
settings is kept; one made with other settings is made again; a folder that this command did not
make is never changed. Exit codes: 0 done, 2 wrong arguments, 74 disk error, 130 stopped.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from cxr_vlp.pipelines import errors
from cxr_vlp.pipelines.executor.progress import State, showing
from cxr_vlp.pipelines.format import local_paths
from cxr_vlp.pipelines.synthetic import layouts, ownership
from cxr_vlp.pipelines.synthetic.cases.people import SOURCES
from cxr_vlp.pipelines.synthetic.cases.real_content import (
    Content,
    ContentError,
    find_images,
    read_reports,
)
from cxr_vlp.pipelines.synthetic.writing.faults import FaultError
from cxr_vlp.pipelines.synthetic.writing.tree_writer import Written

STOPPED = "run it again: the unfinished tree is made from the start"


def main(argv: Sequence[str] | None = None) -> int:
    """Write the trees that `argv` asks for and return the exit code."""
    args = _parser().parse_args(argv)
    try:
        content = Content(
            find_images(args.images) if args.images else (),
            read_reports(args.reports) if args.reports else (),
        )
        table = _write_all(args, content)
    except (ContentError, FaultError, ownership.ForeignError) as fault:
        sys.stderr.write(f"{fault}\n")
        return 2
    except OSError as fault:
        sys.stderr.write(f"cannot write below {args.out}: {fault.strerror}\n")
        return 74
    if table.row_count:
        Console().print(table)
    return 0


def _write_all(args: argparse.Namespace, content: Content) -> Table:
    trees = {source: args.out / source for source in args.sources}
    settings = _settings(args)
    current = {s for s, tree in trees.items() if _is_current(args, tree, settings)}
    again = [trees[source] for source in trees if source not in current]
    for tree in again:  # all are checked before one is removed
        ownership.refuse_foreign(tree)
    for tree in again:
        ownership.clear(tree)
    table = Table("source", "patients", "studies", "images", "MB", title=f"Written to {args.out}")
    for source, tree in trees.items():
        if source in current:
            sys.stderr.write(f"{tree}: kept, it was made with these settings\n")
            continue
        sys.stderr.write(f"{tree}: making {args.studies:,} studies\n")
        ownership.begin(tree, settings)
        done: Counter[str] = Counter()
        with showing(source, partial(_state, done, args.studies)):
            written = layouts.writer(source)(
                args.out,
                studies=args.studies,
                seed=args.seed,
                height=args.height,
                workers=args.workers,
                content=content,
                faults=args.faults,
                advance=lambda studies, done=done: done.update(studies=studies),
            )
        ownership.finish(tree, settings)
        table.add_row(*_counts(tree, source, written))
    return table


def _state(done: Mapping[str, int], total: int) -> State:
    return State(done["studies"], total, "studies")


def _settings(args: argparse.Namespace) -> dict[str, Any]:
    """Return all that decides the bytes of a tree, except the content of the user's own files."""
    names = ("studies", "seed", "height", "faults")
    own = bool(args.images or args.reports)
    return {name: getattr(args, name) for name in names} | {"own": own, "code": ownership.code()}


def _is_current(args: argparse.Namespace, tree: Path, settings: dict[str, Any]) -> bool:
    own = args.images or args.reports  # may have changed since
    return not own and ownership.is_current(tree, settings)


def _counts(tree: Path, source: str, written: Sequence[Written]) -> tuple[str, ...]:
    patients = {line["patient"] for one in written for line in one.truth}
    size = sum(path.stat().st_size for path in tree.rglob("*") if path.is_file())
    if not written:  # a layer has no images of its own
        return source, "", "", "", f"{size / 1e6:,.1f}"
    studies, images = sum(len(one.truth) for one in written), sum(one.images for one in written)
    return source, f"{len(patients):,}", f"{studies:,}", f"{images:,}", f"{size / 1e6:,.1f}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cxr-vlp synthetic",
        description="Write small synthetic trees in the exact layouts of the published "
        "collections, with drawn images and invented reports (or your own). "
        "SOURCE.truth.jsonl beside each tree says what was put into it. The same seed gives the "
        "same bytes. Example: cxr-vlp synthetic --out data/synthetic --studies 100",
    )
    parser.add_argument("--out", type=local_paths.path, required=True, help="folder for the trees")
    parser.add_argument(
        "--studies", type=_positive, default=60, help="studies in each tree (default: 60)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="another seed gives other patients (default: 0)"
    )
    parser.add_argument(
        "--sources",
        type=_sources,
        default=SOURCES,
        metavar="NAMES",
        help="collections and layers to write, separated by commas, or `all` (default: "
        f"{','.join(SOURCES)}); there are {', '.join((*layouts.WRITERS, *layouts.LAYERS))}",
    )
    parser.add_argument("--images", type=_existing, help="folder of PNG or JPEG images to use")
    parser.add_argument(
        "--reports",
        type=_existing,
        help="reports to use: Open-i's NLMCXR_reports.tgz, a .csv with columns findings and "
        "impression, or a folder of .txt. A report and the image beside it are not of one person",
    )
    parser.add_argument(
        "--height",
        type=_tall,
        default=512,
        help="of images in pixels; your own are shrunk to it where taller (default: 512)",
    )
    parser.add_argument("--workers", type=_positive, default=1, help="processes (default: 1)")
    parser.add_argument(
        "--faults", action="store_true", help="damage some files as in real downloads"
    )
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return int(text)


def _tall(text: str) -> int:
    if _positive(text) < 32:
        raise argparse.ArgumentTypeError(
            "an image of fewer than 32 pixels shows nothing: give 32 or more"
        )
    return int(text)


def _sources(text: str) -> tuple[str, ...]:
    every = (*layouts.WRITERS, *layouts.LAYERS)
    if text == "all":
        return every
    names = tuple(dict.fromkeys(text.split(",")))
    unknown = sorted(set(names) - set(every))
    if unknown:
        known = ", ".join(every)
        raise argparse.ArgumentTypeError(f"unknown {', '.join(unknown)}: choose from {known}")
    # a layer is made from the tree of its collection
    return tuple(sorted(names, key=lambda name: name in layouts.LAYERS))


def _existing(text: str) -> Path:
    path = local_paths.path(text)
    if not path.exists():
        raise argparse.ArgumentTypeError(f"{path} does not exist")
    return path


def run() -> int:
    """Run the command with the arguments of the command line; return its exit code."""
    return errors.run(main, STOPPED)


if __name__ == "__main__":
    sys.exit(run())
