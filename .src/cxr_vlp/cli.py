"""The console script `cxr-vlp`: one command with the steps of the pipeline as subcommands.

A command's module is imported only when the command runs: `cxr-vlp --help` needs no torch.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import FrameType

from cxr_vlp import __version__

USAGE, STOPPED, BROKEN_PIPE = 2, 130, 141


@dataclass(frozen=True)
class Command:
    """A subcommand: the module whose `run()` does it, what it does, and an example."""

    module: str
    about: str
    example: str


COMMANDS = {
    "synthetic": Command(
        "cxr_vlp.pipelines.synthetic.generate",
        "make synthetic collections in the exact layouts of the real ones",
        "cxr-vlp synthetic --out data/synthetic --studies 100",
    ),
    "scan": Command(
        "cxr_vlp.pipelines.scan",
        "list the studies and images of a collection",
        "cxr-vlp scan mimic --root data/raw/mimic --out data/scan/mimic",
    ),
    "plan": Command(
        "cxr_vlp.pipelines.plan",
        "say what a conversion takes (hours, bytes, workers), and propose the number of shards",
        "cxr-vlp plan --collections mimic,chexpert,nih --images 100M",
    ),
    "texts": Command(
        "cxr_vlp.pipelines.texts",
        "annotate the reports: sentences, status, labels, prompts",
        "cxr-vlp texts mimic --scan data/scan/mimic --out data/texts/mimic",
    ),
    "shards": Command(
        "cxr_vlp.pipelines.shards",
        "decode the images and write WebDataset shards",
        "cxr-vlp shards mimic --scan data/scan/mimic --texts data/texts/mimic "
        "--out data/shards/mimic",
    ),
    "verify": Command(
        "cxr_vlp.pipelines.verify",
        "check finished sets of shards against the format",
        "cxr-vlp verify data/shards",
    ),
    "urls": Command(
        "cxr_vlp.pipelines.urls",
        "print the tars of sets, on a disk or an object store, for other loaders",
        "cxr-vlp urls s3://bucket/shards --split train",
    ),
    "card": Command(
        "cxr_vlp.pipelines.cards.command",
        "write the card of a set: its table of samples, a page for a hub, indexes",
        "cxr-vlp card data/shards/mimic --out data/cards/mimic",
    ),
    "inspect": Command(
        "cxr_vlp.pipelines.inspector.command",
        "look at the samples of sets in a web browser on this machine",
        "cxr-vlp inspect data/shards",
    ),
    "select": Command(
        "cxr_vlp.pipelines.selection.command",
        "write the samples that a query finds as a new set",
        "cxr-vlp select data/shards --where \"split = 'train' and Edema = 1\" --out data/selected",
    ),
    "export": Command(
        "cxr_vlp.pipelines.exports.command",
        "write a set in the form that another library or trainer reads",
        "cxr-vlp export data/shards --for cxrclip --out data/exported/cxrclip",
    ),
    "annotate": Command(
        "cxr_vlp.nlp.cli",
        "annotate reports from standard input, as JSON lines",
        "cxr-vlp annotate --pretty < reports.jsonl",
    ),
    "score": Command(
        "cxr_vlp.nlp.evaluate",
        "measure the annotation against labelled sentences or reports",
        "cxr-vlp score tests/nlp/sentences.tsv",
    ),
    "resolve": Command(
        "cxr_vlp.train.resolve",
        "write a recipe with all its values to one file",
        "cxr-vlp resolve chexzero --out chexzero.yaml",
    ),
    "fit": Command(
        "cxr_vlp.train.fit",
        "train an image and a text tower on shards",
        "cxr-vlp fit chexzero_tiny --shards data/shards --out models/chexzero_tiny",
    ),
    "evaluate": Command(
        "cxr_vlp.train.evaluate",
        "measure any model: zero-shot, retrieval, grounding, probe, negation",
        "cxr-vlp evaluate --model models/chexzero_tiny --shards data/shards "
        "--out reports/evaluate/chexzero_tiny",
    ),
    "benchmark-set": Command(
        "cxr_vlp.train.benchmark_set",
        "choose the images of CheXpert-5x200 or MIMIC-5x200",
        "cxr-vlp benchmark-set mimic5x200 --shards data/shards/mimic --out lists/mimic5x200.csv",
    ),
    "report": Command(
        "cxr_vlp.train.report",
        "make a static site about shards, models and their evaluations",
        "cxr-vlp report --shards data/shards --model models/chexzero_tiny "
        "--evaluation reports/evaluate/chexzero_tiny --out reports/site",
    ),
    "compare": Command(
        "cxr_vlp.train.compare",
        "show the differences between evaluations, with intervals and tests",
        "cxr-vlp compare reports/evaluate/chexzero_tiny reports/evaluate/cxrclip_tiny",
    ),
    "translate": Command(
        "cxr_vlp.train.translate",
        "translate report texts to another language and back",
        "cxr-vlp translate --texts data/texts/mimic --there MODEL --back MODEL "
        "--out translations.jsonl",
    ),
}


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line, by default that of the process; return its exit code.

    0 done, 2 wrong arguments, 130 stopped before the command began; else the command's own code.
    """
    name, *rest = [*(sys.argv[1:] if words is None else words)] or [""]
    if name in ("", "-h", "--help", "help"):
        sys.stdout.write(overview())
        return 0 if name else USAGE
    if name == "--version":
        sys.stdout.write(f"cxr-vlp {__version__}\n")
        return 0
    if name not in COMMANDS:
        sys.stderr.write(_unknown(name))
        return USAGE
    sys.argv = [f"cxr-vlp {name}", *rest]
    try:
        with _stopped_while_importing():
            module = importlib.import_module(COMMANDS[name].module)
        with _example_after_help(name, rest):
            return int(module.run())
    except KeyboardInterrupt:
        sys.stderr.write("stopped\n")
        return STOPPED
    except BrokenPipeError:  # the reader has ended: `cxr-vlp card --help | head`
        # Python flushes the output once more when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE


def overview() -> str:
    """Return the text of `cxr-vlp --help`: the commands in the order of the flow."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {command.about}" for name, command in COMMANDS.items()]
    return (
        "usage: cxr-vlp COMMAND ...\n\n"
        "Chest X-ray collections to WebDataset shards, and vision-language models trained on "
        "them.\n\ncommands, in the order of the flow:\n"
        + "\n".join(lines)
        + "\n\ncxr-vlp COMMAND --help shows its flags and an example.\n"
    )


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name.lower(), COMMANDS, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"cxr-vlp: no command {name!r}{hint}\ncommands: {', '.join(COMMANDS)}\n"


@contextlib.contextmanager
def _example_after_help(name: str, words: Sequence[str]) -> Iterator[None]:
    """Write the command's example below its own --help, which ends in a SystemExit of 0.

    The examples are in COMMANDS only: no command's module may import this one.
    """
    try:
        yield
    except SystemExit as end:
        if end.code in (0, None) and {"-h", "--help"} & set(words):
            sys.stdout.write(f"\nexample:\n  {COMMANDS[name].example}\n")
        raise


@contextlib.contextmanager
def _stopped_while_importing() -> Iterator[None]:
    """End at once on Ctrl-C or SIGTERM while torch or Beam is imported: nothing has begun."""

    def end(number: int, _frame: FrameType | None) -> None:
        os.write(2, b"stopped: nothing was written\n")
        os._exit(128 + number)

    before = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        before[number] = signal.getsignal(number)
        if before[number] is not signal.SIG_IGN:
            signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


if __name__ == "__main__":
    sys.exit(main())
