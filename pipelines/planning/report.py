"""Prints what a conversion costs: tables of bytes, core hours, hours on workers, and rates."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from cxr_vlp.pipelines import cli
from cxr_vlp.pipelines.planning import costs, numbers
from cxr_vlp.pipelines.planning.costs import Estimate, Facts

WORKERS = (1, 2, 8, 64, 512)
ASSUMPTIONS = (
    "Times grow with the number of images, and the time of an image with the bytes of its file.",
    "Each worker has a core as fast as the measured one, and the workers do not slow each other: "
    "disks and the network are fast enough. On one machine memory is the first limit of raw DICOM.",
    "Each file is read twice: `scan` computes its digest, `shards` decodes it.",
    "DICOM files are not compressed. JPEG 2000 takes 40 times as long, JPEG lossless 5 times.",
    "Collections are converted one after the other. A part is done by one worker, so no more "
    "workers than parts are busy: smaller tars (--tar) employ more.",
    "No run fails, nothing is reused from an earlier run, and downloads are not counted.",
)


def show(estimates: Sequence[Estimate], workers: Sequence[int]) -> None:
    """Print the tables of the estimates; `workers` are the numbers of workers."""
    _show_bytes(estimates)
    _show_cores(estimates)
    names = [f"{number:,}" for number in workers]
    rows = [[e.title, *(numbers.hours(e.wall(n)) for n in workers)] for e in estimates]
    _show("hours from the first command to the last, by the number of workers", names, rows)
    rows = [[e.title, *(f"{numbers.size(e.rate(n))}/s" for n in workers)] for e in estimates]
    _show("what disk or network must deliver to `shards` so that it is not the limit", names, rows)


def show_parts(source: str, counts: Mapping[str, int], each: float, tar: float) -> None:
    """Print the proposed number of parts of a collection, and its line for params.yaml.

    `counts`: images by split, `each`: bytes of a sample, `tar`: bytes of a tar.
    """
    parts = costs.proposed(counts, each, tar)
    rows = [
        [split, f"{n:,}", f"{parts[split]:,}", f"{round(n * each / parts[split] / 1e6):,}"]
        for split, n in counts.items()
    ]
    title = f"plan {source}: {each / 1000:,.0f} kB a sample"
    _show(title, ("images", "parts", "MB a tar"), rows, "split")
    listed = ", ".join(f"{split}: {number}" for split, number in parts.items())
    cli.say(f"in params.yaml, under sources.{source}:  parts: {{{listed}}}\n")


def show_assumptions(measured: Facts, *more: str) -> None:
    """Print what the numbers rest on, in sentences."""
    facts = (
        f"Stored seconds were measured with cxr-vlp {measured.version} on {measured.date} on "
        f"{measured.machine}; benchmarks/plan_facts.py measures them again. A stored image has a "
        "short side of 512 and JPEG quality 95."
    )
    cli.say("assumptions")
    for line in (*more, facts, *ASSUMPTIONS):
        cli.say(textwrap.fill(f"- {line}", 110, subsequent_indent="  "))


def _show_bytes(estimates: Sequence[Estimate]) -> None:
    columns = ("images", "bytes read", "bytes of shards", "parts", "a tar")
    rows = []
    for each in estimates:
        written = each.sum_of("written")
        read, tar = numbers.size(each.sum_of("read")), numbers.size(written / each.parts)
        images = f"{each.sum_of('images'):,.0f}"
        rows.append([each.title, images, read, numbers.size(written), f"{each.parts:,}", tar])
    _show("images, bytes, parts", columns, rows)


def _show_cores(estimates: Sequence[Estimate]) -> None:
    columns = ("scan", "of it on one core", "texts", "shards", "all")
    rows = []
    for each in estimates:
        one = each.sum_of("rows")
        seconds = (
            one + each.sum_of("scan"),
            one,
            *map(each.sum_of, ("texts", "shards", "seconds")),
        )
        rows.append([each.title, *map(numbers.hours, seconds)])
    _show("core hours", columns, rows)


def _show(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], first: str = ""
) -> None:
    """Print a table with its numbers to the right; `first` is the head of the first column."""
    widths = [
        max(map(len, column)) for column in zip(columns, *(row[1:] for row in rows), strict=True)
    ]
    heads = [head.rjust(width) for head, width in zip(columns, widths, strict=True)]
    cells = [[row[0], *(c.rjust(w) for c, w in zip(row[1:], widths, strict=True))] for row in rows]
    cli.show(title, (first, *heads), cells)
    cli.say("")
