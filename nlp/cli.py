"""The command `cxr-vlp annotate`: annotates reports that it reads as JSON lines.

    cxr-vlp annotate [--source NAME] [--model NAME] [--pretty] < reports.jsonl > annotations.jsonl

A line is {"id", "text"} (a raw report), {"id", "sections": {...}} or {"id", "sentence"}. It
writes one JSON object a line, in the same order; with --pretty it prints coloured sentences.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from cxr_vlp.nlp import spacy_backend
from cxr_vlp.nlp.annotate import AnnotatedSentence, Annotation, annotate, judge
from cxr_vlp.nlp.findings.mention import Mention
from cxr_vlp.nlp.priors import rewriting
from cxr_vlp.nlp.report_status import CONVENTIONS
from cxr_vlp.nlp.wording.summary import summary

OK, BAD_ARGUMENTS, BAD_DATA = 0, 2, 65
_COLOURS = {"normal": "green", "abnormal": "red", "uncertain": "yellow", "nonfinding": "dim"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 0, 2 where the model cannot be used, 65 where a line is no report.

    The row of such a line has its number and a code.
    """
    flags = _parser().parse_args(arguments)
    try:
        spacy_backend.toolchain(flags.model)
    except spacy_backend.ModelError as error:
        sys.stderr.write(f"error: --model: {error}\n")
        return BAD_ARGUMENTS
    console = Console(file=sys.stdout, highlight=False)
    result = OK
    for number, line in enumerate(sys.stdin, start=1):
        if not line.strip():
            continue
        row = _row(line, number, flags.model, flags.normal)
        result = BAD_DATA if row.get("code") == "line.unreadable" else result
        if flags.source:
            row["source"] = flags.source
        if flags.pretty:
            _show(console, row)
        else:
            sys.stdout.write(json.dumps(row, sort_keys=True, ensure_ascii=False) + "\n")
    return result


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cxr-vlp annotate",
        description="Annotate reports that are given as JSON lines: sections, sentences with "
        'status, mentions, labels, statements. A line is {"id", "text"} (a raw report), '
        '{"id", "sections": {"findings": ...}} or {"id", "sentence"}.',
    )
    parser.add_argument(
        "--source", default="", metavar="NAME", help="a name to write into every row"
    )
    parser.add_argument(
        "--pretty", action="store_true", help="coloured sentences for people instead of JSON"
    )
    parser.add_argument(
        "--model",
        default="",
        metavar="NAME",
        help="an installed spaCy or scispaCy pipeline for what the lexicon does not know "
        f"({spacy_backend.REMEDY})",
    )
    parser.add_argument(
        "--normal",
        choices=CONVENTIONS,
        default=CONVENTIONS[0],
        help="what a normal report may name: nothing an indexer would code, or devices too",
    )
    return parser


def _row(line: str, number: int, model: str, convention: str) -> dict[str, Any]:
    """Return the row for one line; that of an unreadable line has only its number and a code."""
    try:
        given = json.loads(line)
    except json.JSONDecodeError:
        given = None
    if not isinstance(given, dict) or not {"text", "sections", "sentence"} & set(given):
        return {"line": number, "code": "line.unreadable"}
    key = {"id": given["id"]} if "id" in given else {}
    if "sentence" in given:
        return key | sentence_row(str(given["sentence"]), model)
    report = given.get("sections") or str(given.get("text", ""))
    return key | report_row(annotate(report, model=model, convention=convention))


def sentence_row(text: str, model: str = "") -> dict[str, Any]:
    """Return the JSON form of one sentence by itself."""
    status = judge(text, model)
    return {
        "sentence": text,
        "status": status.status,
        "subtype": status.subtype,
        "mixed": status.mixed,
        "rule": status.rule,
        "mentions": _mentions(status.mentions),
    }


def report_row(annotation: Annotation) -> dict[str, Any]:
    """Return the JSON form of a whole report."""
    return {
        "code": annotation.code,
        "sections": annotation.sections,
        "sentences": [_sentence(s) for s in annotation.sentences],
        "abnormal": annotation.abnormal,
        "prior_free": annotation.prior_free,
        "labels": annotation.labels,
        "normal": annotation.normal,
        "statements": [
            {"text": text, "sentence": place}
            for text, place in zip(
                annotation.statements, annotation.statement_sentences, strict=True
            )
        ],
        "kept": list(annotation.filtered.kept),
        "dropped": list(annotation.filtered.dropped),
        "why": list(annotation.filtered.why),
        "fallback": annotation.filtered.fallback,
    }


def _sentence(sentence: AnnotatedSentence) -> dict[str, Any]:
    row = {f.name: getattr(sentence, f.name) for f in dataclasses.fields(sentence)}
    return row | {"mentions": _mentions(sentence.mentions)}


def _mentions(mentions: Iterable[Mention]) -> list[dict[str, Any]]:
    rows = [{f.name: getattr(m, f.name) for f in dataclasses.fields(m)} for m in mentions]
    return [{k: v for k, v in row.items() if v not in ("", False, ())} for row in rows]


def _show(console: Console, row: dict[str, Any]) -> None:
    """Print a row for a person: each sentence coloured by status, with the rule, and what it says.

    Under a sentence stand its mentions, and its text without priors where that differs.
    """
    console.print(Text(str(row.get("id", row.get("line", ""))), style="bold"))
    if row.get("code"):
        console.print(Text(f"  {row['code']}", style="magenta"))
    dropped = set(row.get("dropped", ()))
    for sentence in row.get("sentences") or ([row] if "sentence" in row else []):
        text = sentence.get("text", sentence.get("sentence", ""))
        style = _COLOURS[sentence["status"]] + (" strike" if text in dropped else "")
        mark = f"  {sentence['status']:<10} {sentence['rule']:<20} "
        console.print(Text(mark, style="dim") + Text(text, style=style))
        for mention in sentence["mentions"]:
            console.print(Text(f"    {summary(mention)}", style="dim"))
        if sentence.get("edit", rewriting.KEPT) != rewriting.KEPT:
            console.print(Text(f"    {sentence['edit']}: {sentence['prior_free']}", style="blue"))
    for statement in row.get("statements", ()):
        console.print(Text(f"  = {statement['text']}", style="cyan"))


def run() -> int:
    """Run the command with the arguments of the command line; return its exit code."""
    return main()


if __name__ == "__main__":
    sys.exit(run())
