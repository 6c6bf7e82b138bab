"""Writes sets in the form that a library, an own program or a published trainer reads.

    cxr-vlp export data/shards --to hf --out data/exported/hf
    cxr-vlp export data/shards --for cxrclip --where "view = 'frontal'" --out data/exported/cxrclip

The folder also gets export.json (what was exported, from which sets, with which flags) and the
terms of the collections in LICENCE.txt. Image bytes are copied, unless --side asks for others.
"""

from __future__ import annotations

import argparse
import re
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cxr_vlp.pipelines import cli, codes, config, errors, interrupts
from cxr_vlp.pipelines.errors import ConfigError
from cxr_vlp.pipelines.exports import choice, ownership, registry, terms
from cxr_vlp.pipelines.exports.base import Request, Result
from cxr_vlp.pipelines.files import atomic_dir, privacy
from cxr_vlp.pipelines.format import local_paths
from cxr_vlp.pipelines.format.sample import SPLITS

# the texts of a sample that may become its caption
CAPTIONS = ("caption", "findings", "impression", "abnormal", "prior_free", "prompt")
SMALLEST, LARGEST = 16, 8192  # pixels, as for `shards.side`


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    flags = _parser(asked=bool({"-h", "--help"} & set(words))).parse_args(words)
    config.load(flags.params)  # reports mistakes even if the parameters are not needed
    options = _options(flags)
    exporter = registry.load(flags.to or flags.trainer, _among(flags))
    found = choice.find(flags.path)
    place = _shown(flags.out)  # now: an export into the working directory replaces that directory
    ownership.check(flags.out, [each.folder for each in found])
    with privacy.protecting(terms.protection(found), flags.out, flags.state):
        chosen = choice.choose(
            found, flags.where, flags.split, state=flags.state, workers=flags.workers
        )
        with atomic_dir.publishing(flags.out, ownership.NAME) as staging:
            request = Request(chosen, staging, options)
            result = exporter.write(request)
            choice.check(request, result)
            terms.write(staging, chosen)
            ownership.write(staging, _name(flags), request, result)
    _show(flags, request, result, place)
    return 0


def _parser(*, asked: bool = False) -> argparse.ArgumentParser:
    """Return the parser; `asked` says that the help is wanted, for which all exporters load."""
    about = "Write sets in the form that a library, an own program or a published trainer reads."
    parser = cli.parser("export", about, source=False, stage=False)
    parser.add_argument(
        "path", type=local_paths.path, metavar="PATH", help="a set, or a folder of sets"
    )
    form = parser.add_mutually_exclusive_group(required=True)
    form.add_argument("--to", choices=tuple(registry.FORMATS), help="the form")
    form.add_argument(
        "--for", choices=tuple(registry.TRAINERS), dest="trainer", help="the trainer that reads it"
    )
    cli.folders(parser, out="the export")
    parser.add_argument(
        "--where",
        default="",
        metavar="SQL",
        help="only samples for which this is true, such as \"view = 'frontal' and Edema = 1\"",
    )
    parser.add_argument("--split", default="", choices=SPLITS, help="only samples of this split")
    _add_content_flags(parser)
    parser.add_argument(
        "--state", type=cli.folder, default=".cxr", metavar="DIR",
        help="the cache of earlier runs (default: .cxr); it may be deleted at any time",
    )  # fmt: skip
    if asked:
        _describe(parser)
    return parser


def _add_content_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--caption",
        type=_fields,
        default=(),
        metavar="FIELDS",
        help=f"the text of a sample: the first of these that has text, of {', '.join(CAPTIONS)} "
        "(default: the stored caption); samples without any are left out and counted",
    )
    parser.add_argument(
        "--side",
        type=_side,
        default=0,
        metavar="PIXELS",
        help="shorten the shorter side of larger images to this (default: copy the stored images, "
        "and decode none)",
    )
    images = parser.add_mutually_exclusive_group()
    images.add_argument(
        "--no-images",
        action="store_false",
        dest="images",
        help="of csv, jsonl and parquet: write the place of each image in its tar, and no image",
    )
    images.add_argument(
        "--embed-images",
        action="store_true",
        dest="embed",
        help="of parquet: write the images into the table, as a column of bytes",
    )


def _describe(parser: argparse.ArgumentParser) -> None:
    """Add a line for every exporter to the help."""
    lines = [textwrap.fill(parser.description or "", 100)]
    for title, among in (("--to", registry.FORMATS), ("--for", registry.TRAINERS)):
        lines += ["", *(f"  {title} {name:<9}{about}" for name, about in registry.described(among))]
    parser.description = "\n".join(lines)
    parser.epilog = textwrap.fill(parser.epilog or "", 100)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter


def _fields(text: str) -> tuple[str, ...]:
    """Return the fields of --caption. Raises ArgumentTypeError."""
    names = tuple(re.split(r"[,\s]+", text.strip()))
    for name in names:
        if name not in CAPTIONS:
            raise argparse.ArgumentTypeError(f"{name!r} is no text; known: {', '.join(CAPTIONS)}")
    return names


def _side(text: str) -> int:
    if not text.isdecimal() or not SMALLEST <= int(text) <= LARGEST:
        raise argparse.ArgumentTypeError(f"must be a number of {SMALLEST} to {LARGEST}")
    return int(text)


def _among(flags: argparse.Namespace) -> dict[str, str]:
    return registry.FORMATS if flags.to else registry.TRAINERS


def _name(flags: argparse.Namespace) -> str:
    return f"--to {flags.to}" if flags.to else f"--for {flags.trainer}"


def _options(flags: argparse.Namespace) -> dict[str, Any]:
    """Return the options of the request. Raises ConfigError for flags that contradict."""
    if not flags.images and flags.to not in ("csv", "jsonl", "parquet"):
        raise ConfigError("--no-images is for --to csv, jsonl and parquet")
    if not flags.images and flags.side:
        raise ConfigError("--side resizes images, and --no-images writes none: leave one out")
    if flags.embed and flags.to != "parquet":
        raise ConfigError("--embed-images is for --to parquet (--to hf always embeds them)")
    names = ("caption", "side", "split", "where", "images", "embed", "workers")
    return {name: getattr(flags, name) for name in names}


def _show(flags: argparse.Namespace, request: Request, result: Result, place: str) -> None:
    written = sum(result.written.values())
    rows: list[tuple[str, int]] = [("samples chosen", request.rows)]
    rows += [(f"- {code}", number) for code, number in sorted(result.left_out.items())]
    rows += [(split, result.written[split]) for split in SPLITS if result.written[split]]
    rows += [("samples written", written)]
    sets = ", ".join(str(each.header["source"]) for each in request.chosen)
    cli.show(f"export {_name(flags)}: {sets}", ("", "samples"), rows)
    for line in codes.remedies(sorted(result.left_out), table=codes.EXPORTS):
        cli.say(line)
    cli.say(f"written to {place}; the terms of the data are in {terms.NAME}")


def _shown(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def run() -> int:
    """Run the command on the words of the command line; return its exit code."""
    return errors.run(main, interrupts.NOTHING_KEPT)


if __name__ == "__main__":
    sys.exit(run())
