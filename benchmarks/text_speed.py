"""Measures reading reports: our engine against negspaCy, pysbd, spaCy and scispaCy, on one core.

    python benchmarks/text_speed.py [--shared DIR] [--seconds N]

The input are real Open-i reports; all systems take turns (timing.py). Our caches are emptied before
every turn: a sentence that occurs twice in one turn is read once, as in a stage, but nothing is
kept from round to round. Our whole engine finds sections, sentences, status, mentions, labels and
statements. negspaCy does less: it splits sentences, finds the same terms and negates them. So the
part of our engine that does the same is measured as well ("ours, mentions only"). Besides the
speed: how many difficult sentence ends each splitter gets right (split traps), and the F1 of
`absent` on the project's own clinical sentences (tests/nlp/clinic.tsv).
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import json
import os
import re
import sys
import tarfile
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

# ruff: noqa: E402 - the folders have to be known before
import timing

Report = dict[str, str]
CHUNK = 200  # reports a turn
HOW = "not installed: pip install --no-deps --target DIR {}, then PYTHONPATH=DIR"


def main() -> int:
    """Measure, print the tables, write results/text_speed.json; 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    default = Path(os.environ.get("CXR_SHARED", ROOT.parent / "shared"))
    parser.add_argument("--shared", type=Path, default=default, help="folder of data/ and gold/")
    parser.add_argument("--seconds", type=float, default=20, help="time for each comparison")
    flags = parser.parse_args()
    archive = flags.shared / "data" / "openi" / "NLMCXR_reports.tgz"
    if not archive.is_file():
        sys.stderr.write(f"error: no {archive}: give the folder with --shared or CXR_SHARED\n")
        return 2
    reports = list(read(archive))
    cold, whole = start(), chain(reports)
    chunks = [reports[i : i + CHUNK] for i in range(0, 4 * CHUNK, CHUNK)]
    rows = [*race("whole chain, a report", readers(), chunks, flags.seconds)]
    rows += race("sentences of a report", splitters(), chunks, flags.seconds)
    note = "; ".join([
        f"cold start {cold:.2f} s", f"{len(reports)} reports in one go: {whole:.0f} a second",
        *traps(flags.shared / "gold" / "split_traps.json"), *negation(),
    ])  # fmt: skip
    packages = ("spacy", "scispacy", "pysbd", "negspacy")
    timing.publish("text_speed", rows, packages=packages, note=note)
    print(note.replace("; ", "\n"))
    return 0 if cold < 3 and whole > 1000 else 1


def read(path: Path) -> Iterable[Report]:
    """Yield the four sections of each Open-i report."""
    with tarfile.open(path) as archive:
        for member in archive:
            file = archive.extractfile(member)
            if file is not None and member.name.endswith(".xml"):
                root = ET.fromstring(file.read())
                yield {str(a.get("Label")).lower(): a.text or "" for a in root.iter("AbstractText")}


def start() -> float:
    """Return the CPU seconds from nothing to the first annotation."""
    begin = timing.cpu()
    from cxr_vlp.nlp.annotate import annotate

    annotate("FINDINGS: Clear lungs.")
    return timing.cpu() - begin


def chain(reports: Sequence[Report]) -> float:
    """Return the reports a second of CPU time over all of them, nothing known before."""
    forget()
    from cxr_vlp.nlp.annotate import annotate

    begin = timing.cpu()
    for report in reports:
        annotate(report)
    return len(reports) / (timing.cpu() - begin)


def forget() -> None:
    """Empty the caches of wordings."""
    from cxr_vlp.nlp import annotate, status
    from cxr_vlp.nlp.findings import mentions

    for cached in (annotate._split, mentions._analyze, status.classify, status.abnormal_part):
        cached.cache_clear()


def race(
    group: str,
    candidates: dict[str, Callable[[Sequence[Report]], Any]],
    chunks: Sequence[Sequence[Report]],
    seconds: float,
) -> list[timing.Row]:
    """Return the rows of one comparison."""
    times = timing.race(candidates, chunks, seconds=seconds)
    return timing.compare(group, times, to="ours", items=CHUNK)


def readers() -> dict[str, Callable[[Sequence[Report]], Any]]:
    """Return the systems that read reports, by name."""
    from cxr_vlp.nlp.annotate import annotate
    from cxr_vlp.nlp.findings.mentions import mentions
    from cxr_vlp.nlp.layout.sentences import split

    def ours(reports: Sequence[Report]) -> None:
        forget()
        for report in reports:
            annotate(report)

    def only(reports: Sequence[Report]) -> None:
        forget()
        for report in reports:
            for sentence in split(text(report)):
                mentions(sentence.text)

    found: dict[str, Callable[[Sequence[Report]], Any]] = {
        "ours": ours,
        "ours, mentions only": only,
    }
    if importlib.util.find_spec("negspacy"):
        pipeline = negspacy(terms())
        found["negspaCy"] = lambda reports: [pipeline(text(report)) for report in reports]
    else:
        print("negspaCy", HOW.format("negspacy"))
    return found


def terms() -> list[str]:
    """Return the wordings of our findings."""
    from cxr_vlp.nlp import lexicon

    groups = lexicon.load("findings").values()
    return [term for group in groups for row in group for term in row["terms"]]


def negspacy(wordings: Sequence[str]) -> Any:
    """Return negspaCy's pipeline with the given wordings as its entities."""
    import spacy
    from negspacy.negation import Negex  # noqa: F401

    pipeline = spacy.blank("en")
    pipeline.add_pipe("sentencizer")
    ruler: Any = pipeline.add_pipe("entity_ruler", config={"phrase_matcher_attr": "LOWER"})
    ruler.add_patterns([{"label": "FINDING", "pattern": wording} for wording in wordings])
    pipeline.add_pipe("negex", config={"ent_types": ["FINDING"]})
    return pipeline


def text(report: Report) -> str:
    """Return what is read of a report."""
    return f"{report['findings']} {report['impression']}"


def splitters() -> dict[str, Callable[[Sequence[Report]], Any]]:
    """Return the sentence splitters as work over reports."""
    return {
        name: lambda reports, split=split: [split(text(report)) for report in reports]
        for name, split in peers().items()
    }


def peers() -> dict[str, Callable[[str], list[str]]]:
    """Return the splitters that are installed, by name."""
    import spacy

    from cxr_vlp.nlp.layout.sentences import split

    sentencizer = spacy.blank("en")
    sentencizer.add_pipe("sentencizer")
    found: dict[str, Callable[[str], list[str]]] = {
        "ours": lambda text: [s.text for s in split(text)],
        "spaCy sentencizer": lambda text: [s.text.strip() for s in sentencizer(text).sents],
    }
    if importlib.util.find_spec("pysbd"):
        import pysbd

        segmenter = pysbd.Segmenter(language="en", clean=False)
        found["pysbd"] = lambda text: [s.strip() for s in segmenter.segment(text)]
    else:
        print("pysbd", HOW.format("pysbd"))
    if importlib.util.find_spec("scispacy"):
        found["scispaCy pysbd"] = scispacy_splitter()
    return found


def scispacy_splitter() -> Callable[[str], list[str]]:
    """Return scispaCy's model-free splitter on its own tokenizer."""
    import spacy
    from scispacy.custom_sentence_segmenter import pysbd_sentencizer  # noqa: F401
    from scispacy.custom_tokenizer import combined_rule_tokenizer

    pipeline = spacy.blank("en")
    pipeline.tokenizer = combined_rule_tokenizer(pipeline)
    pipeline.add_pipe("pysbd_sentencizer")
    return lambda text: [s.text.strip() for s in pipeline(text).sents]


def traps(path: Path) -> Iterable[str]:
    """Yield how many of the split traps each splitter gets right."""
    rows = json.loads(path.read_text(encoding="utf-8"))
    for name, split in peers().items():
        right = sum([" ".join(s.split()) for s in split(r["text"])] == r["expect"] for r in rows)
        yield f"split traps, {name}: {right} of {len(rows)}"


def negation() -> Iterable[str]:
    """Yield each system's F1 of `absent` on the project's own sentences.

    Ours was mended on these after its first sight of them (README has that figure), the peer not.
    """
    from cxr_vlp.nlp.findings.mentions import assertion

    path = ROOT / "tests" / "nlp" / "clinic.tsv"
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    yield f"absent F1, ours: {f1(rows, lambda s, a, b: assertion(s, a, b) == 'absent'):.3f}"
    if importlib.util.find_spec("negspacy"):
        pipeline = negspacy(["-"])
        negex = pipeline.get_pipe("negex")

        def denies(sentence: str, start: int, end: int) -> bool:
            doc = pipeline.make_doc(sentence)
            doc = pipeline.get_pipe("sentencizer")(doc)
            span = doc.char_span(start, end, label="FINDING", alignment_mode="expand")
            doc.ents = (span,)
            return bool(negex(doc).ents[0]._.negex)

        yield f"absent F1, negspaCy: {f1(rows, denies):.3f}"


def f1(rows: Sequence[dict[str, str]], denies: Callable[[str, int, int], bool]) -> float:
    """Return the F1 of `denies` over sentences whose span is in brackets."""
    hit = said = wanted = 0
    for row in rows:
        found = re.search(r"\[(.*?)\]", row["sentence"])
        assert found
        sentence = row["sentence"].replace("[", "").replace("]", "")
        is_denied = denies(sentence, found.start(), found.start() + len(found.group(1)))
        is_absent = row["assertion"] == "absent"
        hit, said = hit + (is_denied and is_absent), said + is_denied
        wanted += is_absent
    return 2 * hit / max(1, said + wanted)


if __name__ == "__main__":
    raise SystemExit(main())
