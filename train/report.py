"""`cxr-vlp report`: writes a static site about the shards, models and their evaluations.

    cxr-vlp report --shards data/shards --model models/chexzero_tiny \\
        --evaluation reports/evaluate/chexzero_tiny --out reports/site

The site is a folder that opens without a server: its pages load nothing but files of the folder. It
shows the evaluations beside each other, a page for each label, the collections, and the reports.
Its numbers come from the files that `dvc plots` reads too. It shows images, and report text where
`report.show_text` of the parameters allows it (auto: not of credentialed collections, and not of
those with salted ids, which are a hospital's own patients). It is as confidential as the
collections it is made of.
"""

from __future__ import annotations

import argparse
import sys

from cxr_vlp.train import addresses, cli, privacy
from cxr_vlp.train.config import params
from cxr_vlp.train.data import parameter_check
from cxr_vlp.train.data.set_choice import choose
from cxr_vlp.train.pages.browser import maker as browser
from cxr_vlp.train.pages.site import (
    build,
    differences,
    evaluations,
    folder,
    gather,
    labels,
    overview,
    tasks,
    trained,
)
from cxr_vlp.train.pages.site.page import Page, Site


def main(argv: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    arguments = _parser().parse_args(argv)
    return cli.guarded(lambda: report(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = cli.parser(
        "report",
        "Write a static site about the shards, models and their evaluations: a folder that opens\n"
        "without a server and loads nothing from the internet. It shows images and report text:\n"
        "it is as confidential as the collections.",
    )
    cli.shards_flag(parser)
    for name, about in (
        ("--evaluation", "a folder that cxr-vlp evaluate wrote; may be repeated"),
        ("--model", "a folder that cxr-vlp fit wrote, for losses and heat maps; may be repeated"),
    ):
        parser.add_argument(
            name,
            type=addresses.path,
            action="append",
            default=[],
            required=name == "--evaluation",
            metavar="DIR",
            help=about,
        )
    cli.path_flag(parser, "--out", "the folder of the site; an earlier site in it is replaced")
    cli.params_flag(parser, "report")
    return parser


def report(arguments: argparse.Namespace) -> None:
    """Collect what the site shows, and write it."""
    given = params.load(arguments.params)
    cli.shards_here(arguments)
    used = choose(arguments.shards, given.collections)
    privacy.narrow(used.folders)
    parameter_check.check(arguments.shards, given)
    for line in used.unused:
        cli.note(line)
    found = evaluations.read_all(arguments.evaluation)
    with folder.staged(arguments.out) as staging:
        site = Site(
            staging,
            gather.sets(used.folders, given.report),
            found,
            tuple(trained.read(each) for each in arguments.model),
            given.report,
            differences.of(found),
            labels.linked(found),
        )
        build.write(site, _pages(site))


def _pages(site: Site) -> list[Page]:
    """Return all pages, in the order of the navigation."""
    made = browser.write(site)  # first: the pages of labels show its images
    return [
        *overview.pages(site),
        *labels.pages(site, made.stored),
        *tasks.pages(site),
        *made.pages,
    ]


def run() -> int:
    """Run the command with the arguments of the command line; return its exit code."""
    return main()


if __name__ == "__main__":
    sys.exit(run())
