"""The command: `cxr-vlp synthetic --out DIR`.

In: flags. Out: one raw tree a source below DIR, its truth file beside it, and a table of what was
written. A tree that is there with the same settings stays; one that was drawn otherwise is drawn
again; a folder that this command did not make is never touched. Exit 0 when done, 2 on arguments
that cannot be used, 74 when the disk refuses, 130 when stopped.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from cxr_vlp.pipelines import errors
from cxr_vlp.pipelines.executor.progress import State, showing
from cxr_vlp.pipelines.files import addresses
from cxr_vlp.pipelines.synthetic import marker
from cxr_vlp.pipelines.synthetic.cases import SOURCES
from cxr_vlp.pipelines.synthetic.layouts import chexpert, mimic, nih, openi
from cxr_vlp.pipelines.synthetic.layouts.faults import FaultError
from cxr_vlp.pipelines.synthetic.real_content import (
    Content,
    ContentError,
    find_pictures,
    read_reports,
)
from cxr_vlp.pipelines.synthetic.tree_writer import Laid

STOPPED = "started again, it draws the unfinished tree anew"

_WRITERS: Mapping[str, Callable[..., list[Laid]]] = {
    "mimic": mimic.write,
    "chexpert": chexpert.write,
    "nih": nih.write,
    # the demo evaluates frontal images, and Open-i's own files do not say which are
    "openi": partial(openi.write, views=True),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Write the trees that `argv` asks for and return the exit code."""
    args = _parser().parse_args(argv)
    try:
        content = Content(
            find_pictures(args.images) if args.images else (),
            read_reports(args.reports) if args.reports else (),
        )
        table = _write_all(args, content)
    except (ContentError, FaultError, marker.ForeignError) as fault:
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
    drawings = {source: _drawing(args) for source in args.sources}
    there = {s for s, tree in trees.items() if _is_there(args, tree, drawings[s])}
    again = [trees[source] for source in trees if source not in there]
    for tree in again:  # all are looked at before one is removed
        marker.refuse_foreign(tree)
    for tree in again:
        marker.clear(tree)
    table = Table("source", "patients", "studies", "images", "MB", title=f"Written to {args.out}")
    for source, tree in trees.items():
        if source in there:
            sys.stderr.write(f"{tree}: is there, drawn with these settings\n")
            continue
        sys.stderr.write(f"{tree}: drawing {args.studies:,} studies\n")
        marker.begin(tree, drawings[source])
        done: Counter[str] = Counter()
        with showing(source, partial(_state, done, args.studies)):
            laid = _WRITERS[source](
                args.out,
                studies=args.studies,
                seed=args.seed,
                height=args.height,
                workers=args.workers,
                content=content,
                faults=args.faults,
                advance=lambda studies, done=done: done.update(studies=studies),
            )
        marker.finish(tree, drawings[source])
        table.add_row(*_counts(tree, source, laid))
    return table


def _state(done: Mapping[str, int], total: int) -> State:
    return State(done["studies"], total, "studies")


def _drawing(args: argparse.Namespace) -> dict[str, Any]:
    """Return what decides a tree's bytes, but for the content of the user's own files."""
    names = ("studies", "seed", "height", "faults")
    own = bool(args.images or args.reports)
    return {name: getattr(args, name) for name in names} | {"own": own, "code": marker.code()}


def _is_there(args: argparse.Namespace, tree: Path, drawing: dict[str, Any]) -> bool:
    own = args.images or args.reports  # may have changed since
    return not own and marker.is_drawn(tree, drawing)


def _counts(tree: Path, source: str, laid: Sequence[Laid]) -> tuple[str, ...]:
    patients = {line["patient"] for one in laid for line in one.truth}
    size = sum(path.stat().st_size for path in tree.rglob("*") if path.is_file())
    studies, images = sum(len(one.truth) for one in laid), sum(one.images for one in laid)
    return source, f"{len(patients):,}", f"{studies:,}", f"{images:,}", f"{size / 1e6:,.1f}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cxr-vlp synthetic",
        description="Write small raw trees in the exact layouts of MIMIC-CXR, CheXpert, NIH "
        "ChestX-ray14 and Open-i, with drawn pictures and invented reports (or your own), and "
        "beside each tree SOURCE.truth.jsonl: what was put into it. Same seed, same bytes.",
    )
    parser.add_argument(
        "--out", type=addresses.path, required=True, help="folder to write the trees below"
    )
    parser.add_argument("--studies", type=_positive, default=60, help="a source (default: 60)")
    parser.add_argument("--seed", type=int, default=0, help="another seed, other patients")
    parser.add_argument(
        "--sources", type=_sources, default=SOURCES, help=f"default: {','.join(SOURCES)}"
    )
    parser.add_argument("--images", type=_existing, help="folder of PNG or JPEG films to lay out")
    parser.add_argument(
        "--reports",
        type=_existing,
        help="reports to lay out: Open-i's NLMCXR_reports.tgz, a .csv with columns findings and "
        "impression, or a folder of .txt. Pairing them with any picture is synthetic",
    )
    parser.add_argument("--height", type=_tall, default=512, help="pixels (default: 512)")
    parser.add_argument("--workers", type=_positive, default=1, help="processes (default: 1)")
    parser.add_argument(
        "--faults", action="store_true", help="damage some files the way real downloads are"
    )
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 on")
    return int(text)


def _tall(text: str) -> int:
    if _positive(text) < 32:
        raise argparse.ArgumentTypeError("a film of fewer than 32 pixels shows nothing: give 32+")
    return int(text)


def _sources(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(text.split(",")))
    unknown = sorted(set(names) - set(SOURCES))
    if unknown:
        known = ", ".join(SOURCES)
        raise argparse.ArgumentTypeError(f"unknown {', '.join(unknown)}: choose from {known}")
    return names


def _existing(text: str) -> Path:
    path = addresses.path(text)
    if not path.exists():
        raise argparse.ArgumentTypeError(f"{path} does not exist")
    return path


def run() -> int:
    """Run the command on the words of the command line; return its exit code."""
    return errors.run(main, STOPPED)


if __name__ == "__main__":
    sys.exit(run())
