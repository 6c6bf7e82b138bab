"""Writes the card of a set, or the cards of a folder of sets and a folder that joins them.

    cxr-vlp card data/shards/mimic --out data/cards/mimic
    cxr-vlp card data/shards --out data/cards

A card is a folder: a link to every tar, the table of samples, a page for the Hugging Face hub,
indexes for other readers, plots. card.py lists its files. --out gets the card of the one set; for a
folder of sets it gets a card for each, and `joined`, the card of all of them with links to all
tars, so that a trainer reads all sets as one.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from cxr_vlp.pipelines import cli, config, errors, interrupts
from cxr_vlp.pipelines.cards import card, ownership, subject
from cxr_vlp.pipelines.cards.subject import JOINED, Part, Subject
from cxr_vlp.pipelines.errors import ConfigError
from cxr_vlp.pipelines.format import manifest


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    flags = _parser().parse_args(arguments)
    settings = config.load(flags.params)  # reports mistakes even if no parameter is needed
    folders = _folders(flags, settings)
    parts = [subject.read(folder, flags.state, flags.workers) for folder in folders]
    cards = {flags.out / name: each for name, each in _cards(flags, parts)}
    options = card.Options(images=not flags.no_images, figures=not flags.no_plots)
    for out, each in cards.items():
        ownership.check(out, each)  # all, before the first is written
    for out, each in cards.items():
        card.publish(each, out, flags.state, options)
    _show(cards)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = cli.parser(
        "card", "Write the card of a set, or of all sets of a folder.", source=False
    )
    parser.epilog = (
        "Exit codes: 0 done, 2 wrong arguments or parameters, 65 a set is damaged or empty, "
        "74 disk full or unreadable, 75 another run is writing the same output, 130 stopped."
    )
    parser.add_argument("shards", type=cli.folder, metavar="DIR", help="a set, or a folder of sets")
    parser.add_argument("--out", type=cli.folder, required=True, metavar="DIR", help="the card")
    parser.add_argument(
        "--joined",
        action="store_true",
        help="of a folder of sets: write the joined folder only, as --out itself",
    )
    parser.add_argument(
        "--no-images", action="store_true", help="leave the contact sheet out: no image is shown"
    )
    parser.add_argument("--no-plots", action="store_true", help="leave the plots out")
    parser.add_argument(
        "--state",
        type=cli.folder,
        default=".cxr",
        metavar="DIR",
        help="the cache of tables (default: .cxr); it may be deleted at any time",
    )
    return parser


def _folders(flags: argparse.Namespace, settings: config.Params) -> list[Path]:
    """Return the sets that get a card.

    With --params, those of a folder are limited to the `collections` of the file, as in training.
    """
    found = list(manifest.sets(flags.shards))
    if not found:
        raise ConfigError(f"no {manifest.NAME} in {flags.shards} or in the folders right below it")
    named = settings.content.get("collections") if flags.params else None
    if named is None or found == [flags.shards]:
        return found
    if absent := [name for name in named if name not in {folder.name for folder in found}]:
        raise ConfigError(
            f"{flags.shards}: no set of {', '.join(absent)}, which `collections` of {flags.params} "
            f"names: make it (dvc repro shards@{absent[0]}), or remove it from `collections`"
        )
    if others := [folder.name for folder in found if folder.name not in named]:
        cli.say(f"{flags.shards} also holds {', '.join(others)}: not in collections, not used")
    return [folder for folder in found if folder.name in named]


def _cards(flags: argparse.Namespace, parts: Sequence[Part]) -> Iterator[tuple[str, Subject]]:
    """Yield (folder below --out, what its card is about). Raises ConfigError."""
    alone = parts[0].folder == flags.shards
    if not flags.joined:
        yield from (("" if alone else part.name, Subject(part.name, (part,))) for part in parts)
    if flags.joined or not alone:
        if any(part.name == JOINED for part in parts):
            raise ConfigError(f"a set is called {JOINED!r}, as the joined folder is: rename it")
        yield "" if flags.joined else JOINED, Subject(JOINED, tuple(parts), joined=True)


def _show(cards: Mapping[Path, Subject]) -> None:
    rows = [
        (str(out.name), len(each.parts), len(each.shards), each.table.num_rows)
        for out, each in cards.items()
    ]
    cli.show("cards", ("card", "sets", "tars", "samples"), rows)
    for out, each in cards.items():
        if repeated := each.repeated_keys():
            cli.say(
                f"{out.name}: {repeated:,} samples are in more than one set: a trainer sees them "
                "more than once; leave one of the sets out"
            )
        if crossing := each.crossing_patients():
            cli.say(
                f"{out.name}: {crossing:,} patients are in more than one split, because the sets "
                "are split differently: do not train on one and test on the other"
            )


def run() -> int:
    """Run the command on the words of the command line; return its exit code."""
    return errors.run(main, interrupts.NOTHING_KEPT)


if __name__ == "__main__":
    sys.exit(run())
