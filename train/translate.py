"""`cxr-vlp translate`: reports come in, the same reports in other words go out.

    cxr-vlp translate --texts data/texts/mimic --there opus-mt-en-it --back opus-mt-it-en \\
        --out nlp/lexicon/own/translations.jsonl

Back-translation, as CXR-CLIP augments its texts (You et al., MICCAI 2023, arXiv 2310.13292): each
findings and each impression into another language and back. FILE has a line a text that goes by
the text's digest: what it holds already is not translated again, and a killed run goes on. Name it
in `texts.translations` and run the texts and shards stages again; recipes with `text.translated`
then draw from either wording. The file is as confidential as the reports. Other models: another
file.
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

from cxr_vlp.nlp import translations
from cxr_vlp.train import addresses, cli, translator
from cxr_vlp.train.errors import ConfigError, DataError

KEPT = 4  # batches of texts after which they are written: what a kill loses
TORN = b'{"sha256": "'  # how a line begins that was not written to its end
STOPPED = "what was translated is kept; started again, it goes on from there"
Speak = Callable[[Sequence[str]], list[str]]


def main(argv: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    arguments = _parser().parse_args(argv)
    return cli.guarded(lambda: translate(arguments), STOPPED)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cxr-vlp translate", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add(
        "--texts",
        type=addresses.path,
        nargs="+",
        required=True,
        metavar="DIR",
        help="of the texts stage",
    )
    add(
        "--there",
        type=addresses.path,
        required=True,
        metavar="MODEL",
        help="a folder: from English",
    )
    add("--back", type=addresses.path, required=True, metavar="MODEL", help="a folder: to English")
    add(
        "--out",
        type=addresses.path,
        required=True,
        metavar="FILE",
        help="what is known; is added to",
    )
    names = translations.FIELDS
    add("--fields", nargs="+", choices=names, default=names, metavar="FIELD", help=" ".join(names))
    add("--batch", type=_positive, default=32, metavar="N", help="texts at a time (32)")
    add("--limit", type=_positive, metavar="N", help="at most N texts in this run")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def translate(arguments: argparse.Namespace) -> None:
    """Translate what the file lacks, and say how much that was."""
    paths = files(arguments.texts)
    there, back = translator.load(arguments.there), translator.load(arguments.back)

    def speak(texts: Sequence[str]) -> list[str]:
        across = translator.translate(texts, there, arguments.batch)
        return translator.translate(across, back, arguments.batch)

    with cache(arguments.out) as (stream, known):
        missing = list(islice(wordings(paths, arguments.fields, known), arguments.limit))
        with cli.progress() as bar:
            task = bar.add_task("texts", total=len(missing))
            for number in written(missing, speak, stream, arguments.batch * KEPT):
                bar.advance(task, number)
    counts = [("known before", str(len(known))), ("translated now", str(len(missing)))]
    cli.table("translations", ("texts", "number"), counts)


def files(folders: Iterable[Path]) -> list[Path]:
    """Return the files of rows that the texts stage wrote into the folders.

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


def wordings(
    paths: Iterable[Path], fields: Sequence[str], known: Collection[bytes]
) -> Iterator[str]:
    """Yield the texts of these fields whose digests are not known, each once, as they come.

    Raises DataError with its number where a line is no row of the texts stage.
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
    """Open a file of translations to be added to, and give the digests of the texts it holds.

    A last line that a killed run left unfinished is cut off. Raises ConfigError where another run
    is writing the file, and where it is no such file: it then stays as it is.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(f"{path}: another run is adding to it; wait for its end") from None
        stream.seek(0)
        known, end = _known(stream, path)
        stream.truncate(end)
        yield stream, known


def _known(lines: Iterable[bytes], path: Path) -> tuple[set[bytes], int]:
    """Return the digests, and where the last whole line ends."""
    known, end = set(), 0
    for number, line in enumerate(lines, start=1):
        if not line.endswith(b"\n") and line[: len(TORN)] == TORN[: len(line)]:
            break
        try:
            name, _ = translations.parse(line)
        except ValueError:
            raise ConfigError(
                f"{path}: line {number} is no translation; delete it, or name another file in --out"
            ) from None
        known.add(bytes.fromhex(name))
        end += len(line)
    return known, end


def written(texts: Sequence[str], speak: Speak, stream: BinaryIO, at_once: int) -> Iterator[int]:
    """Translate the texts and yield how many, whenever some more are on the disk.

    A run that goes on after a kill has the batches, and so the bytes, of one that was not killed.
    """
    for start in range(0, len(texts), at_once):
        some = texts[start : start + at_once]
        stream.write(b"".join(map(translations.line, some, speak(some))))
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
    """Run the command on the words of the command line; return its exit code."""
    return main()


if __name__ == "__main__":
    sys.exit(run())
