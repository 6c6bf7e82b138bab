"""`cxr-vlp translate`: translates reports to another language and back (back-translation).

    cxr-vlp translate --texts data/texts/mimic --there opus-mt-en-it --back opus-mt-it-en \\
        --out nlp/lexicon/own/translations.jsonl

CXR-CLIP augments its texts in this way (You et al., MICCAI 2023, arXiv 2310.13292): each findings
and each impression is translated to another language and back. The file has one line for each text,
named by the text's digest. Texts that the file holds already are not translated again, and a killed
run can be continued. Name the file in `texts.translations` and run the texts and shards stages
again; recipes with `text.translated` then draw from both wordings. The file is as confidential as
the reports. For other models, use another file.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from cxr_vlp.nlp.wording import translations
from cxr_vlp.train import addresses, cli, translator
from cxr_vlp.train.errors import ConfigError, DataError

WRITE_EVERY = 4  # batches of texts between writes: what a killed run loses
LINE_START = b'{"sha256": "'  # how an incomplete last line begins
STOPPED = "the finished translations are kept; start the command again to continue"
Translate = Callable[[Sequence[str]], list[str]]


def main(argv: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    arguments = _parser().parse_args(argv)
    return cli.guarded(lambda: translate(arguments), STOPPED)


def _parser() -> argparse.ArgumentParser:
    parser = cli.parser(
        "translate",
        "Translate report texts to another language and back, with one model for each direction\n"
        "in a local folder. Recipes with text.translated then draw from both wordings. The file\n"
        "is as confidential as the reports.",
    )
    parser.add_argument(
        "--texts", type=addresses.path, nargs="+", required=True, metavar="DIR",
        help="folders that cxr-vlp texts wrote",
    )  # fmt: skip
    cli.path_flag(parser, "--there", "the model's folder, from English", metavar="MODEL")
    cli.path_flag(parser, "--back", "the model's folder, to English", metavar="MODEL")
    cli.path_flag(parser, "--out", "the file; new translations are added to it", metavar="FILE")
    names = translations.FIELDS
    parser.add_argument(
        "--fields", nargs="+", choices=names, default=names, metavar="FIELD",
        help=f"the fields to translate (default: {' '.join(names)})",
    )  # fmt: skip
    parser.add_argument(
        "--batch", type=cli.positive, default=32, metavar="N",
        help="texts that are translated together (default: 32)",
    )  # fmt: skip
    parser.add_argument(
        "--limit", type=cli.positive, metavar="N",
        help="translate at most N texts in this run (default: all)",
    )  # fmt: skip
    return parser


def translate(arguments: argparse.Namespace) -> None:
    """Translate the texts that the file lacks, and print their number."""
    paths = files(arguments.texts)
    there, back = translator.load(arguments.there), translator.load(arguments.back)

    def there_and_back(texts: Sequence[str]) -> list[str]:
        foreign = translator.translate(texts, there, arguments.batch)
        return translator.translate(foreign, back, arguments.batch)

    with cache(arguments.out) as (stream, known):
        missing = list(islice(untranslated(paths, arguments.fields, known), arguments.limit))
        with cli.progress() as bar:
            task = bar.add_task("texts", total=len(missing))
            for number in written(missing, there_and_back, stream, arguments.batch * WRITE_EVERY):
                bar.advance(task, number)
    counts = [("translated before", str(len(known))), ("translated now", str(len(missing)))]
    cli.table("translations", ("texts", "number"), counts)


def files(folders: Iterable[Path]) -> list[Path]:
    """Return the files of rows in folders that the texts stage wrote.

    Raises ConfigError for a folder that it did not write.
    """
    found: list[Path] = []
    for folder in folders:
        header = folder / "texts.json"
        if not header.is_file():
            raise ConfigError(f"no texts.json in {folder}: run `cxr-vlp texts` first")
        source = _object(header.read_bytes(), str(header)).get("source")
        found += sorted(folder.glob(f"{source}-*.jsonl"))
    return found


def untranslated(
    paths: Iterable[Path], fields: Sequence[str], known: Collection[bytes]
) -> Iterator[str]:
    """Yield the texts of these fields whose digests are not known, each once, in file order.

    Raises DataError with the line number where a line is no row of the texts stage.
    """
    seen: set[bytes] = set()
    for path in paths:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                row = _object(line, f"{path}, line {number}")
                for text in (str(row.get(name) or "") for name in fields):
                    name = bytes.fromhex(translations.digest(text))
                    if text and name not in known and name not in seen:
                        seen.add(name)
                        yield text


@contextmanager
def cache(path: Path) -> Iterator[tuple[BinaryIO, set[bytes]]]:
    """Open a file of translations for appending; yield it and the digests of the texts it holds.

    An incomplete last line, from a killed run, is removed. Raises ConfigError where another run is
    writing the file, and where it is no file of translations; the file is then not changed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(f"{path}: another run is writing it: wait until it ends") from None
        stream.seek(0)
        known, end = _known(stream, path)
        stream.truncate(end)
        yield stream, known


def _known(lines: Iterable[bytes], path: Path) -> tuple[set[bytes], int]:
    """Return the digests, and the offset in bytes of the end of the last complete line."""
    known, end = set(), 0
    for number, line in enumerate(lines, start=1):
        if not line.endswith(b"\n") and line[: len(LINE_START)] == LINE_START[: len(line)]:
            break
        try:
            name, _ = translations.parse(line)
        except ValueError:
            raise ConfigError(
                f"{path}: line {number} is no translation: delete it, or give another file as --out"
            ) from None
        known.add(bytes.fromhex(name))
        end += len(line)
    return known, end


def written(
    texts: Sequence[str], translated: Translate, stream: BinaryIO, at_once: int
) -> Iterator[int]:
    """Translate and write the texts in groups of `at_once`; yield the size of each written group.

    A continued run has the same batches, and so the same bytes, as a run that was not killed.
    """
    for start in range(0, len(texts), at_once):
        some = texts[start : start + at_once]
        stream.write(b"".join(map(translations.line, some, translated(some))))
        stream.flush()
        os.fsync(stream.fileno())
        yield len(some)


def _object(found: bytes, where: str) -> dict[str, Any]:
    try:
        row = json.loads(found)
    except (ValueError, RecursionError):
        row = None
    if not isinstance(row, dict):
        raise DataError(f"{where} is damaged: run `cxr-vlp texts` again")
    return row


def run() -> int:
    """Run the command with the arguments of the command line; return its exit code."""
    return main()


if __name__ == "__main__":
    sys.exit(run())
