"""Text speed and splitting, ours beside the peers', in one run on one core.

    python benchmarks/text_speed.py [--shared DIR] [--out FILE]

Whole chain (sections, sentences, status, labels, statements) over the 3,955 Open-i reports;
sentence splitting by ours, spaCy's sentencizer, pysbd and scispaCy's pysbd component, with the
split traps each gets right. negspaCy is compared only where it is installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
import tarfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    """Measure, print a table, and write it as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    default = Path(os.environ.get("CXR_SHARED", ROOT.parent / "shared"))
    parser.add_argument("--shared", type=Path, default=default, help="folder of data/ and gold/")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    flags = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    archive = flags.shared / "data" / "openi" / "NLMCXR_reports.tgz"
    if not archive.is_file():
        sys.stderr.write(f"error: no {archive}: give the folder with --shared or CXR_SHARED\n")
        return 2
    reports = list(read(archive))
    traps = json.loads((flags.shared / "gold" / "split_traps.json").read_text(encoding="utf-8"))
    rows = [chain(reports), *splitters(reports, traps), *negation(reports)]
    for row in rows:
        print("  ".join(f"{name}: {value}" for name, value in row.items()))
    if flags.out:
        flags.out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return 0


def read(path: Path) -> Iterable[dict[str, str]]:
    """Yield the four sections of each Open-i report."""
    with tarfile.open(path) as archive:
        for member in archive:
            file = archive.extractfile(member)
            if file is not None and member.name.endswith(".xml"):
                root = ET.fromstring(file.read())
                yield {str(a.get("Label")).lower(): a.text or "" for a in root.iter("AbstractText")}


def chain(reports: Sequence[dict[str, str]]) -> dict[str, Any]:
    """Measure the cold start and the whole chain, caches empty at the start."""
    start = time.perf_counter()
    from nlp.annotate import annotate

    annotate("FINDINGS: Clear lungs.")
    cold = time.perf_counter() - start
    seconds = timed(lambda: [annotate(report) for report in reports])
    return {
        "system": "whole chain",
        "reports/s": round(len(reports) / seconds),
        "cold s": round(cold, 2),
    }


def splitters(
    reports: Sequence[dict[str, str]], traps: Sequence[dict[str, Any]]
) -> Iterable[dict[str, Any]]:
    """Measure each sentence splitter on speed and on the traps."""
    texts = [" ".join((r["findings"], r["impression"])).strip() for r in reports[:1000]]
    for name, split in peers().items():
        right = sum([" ".join(s.split()) for s in split(t["text"])] == t["expect"] for t in traps)
        seconds = timed(lambda split=split: [split(text) for text in texts])  # type: ignore[misc]
        yield {
            "system": f"split: {name}",
            "reports/s": round(len(texts) / seconds),
            "traps": f"{right}/{len(traps)}",
        }


def peers() -> dict[str, Callable[[str], list[str]]]:
    """Return the splitters that are installed, by name."""
    import pysbd
    import spacy

    from nlp.sentences import split

    sentencizer = spacy.blank("en")
    sentencizer.add_pipe("sentencizer")
    segmenter = pysbd.Segmenter(language="en", clean=False)
    found: dict[str, Callable[[str], list[str]]] = {
        "ours": lambda text: [s.text for s in split(text)],
        "spaCy sentencizer": lambda text: [s.text.strip() for s in sentencizer(text).sents],
        "pysbd": lambda text: [s.strip() for s in segmenter.segment(text)],
    }
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


def negation(reports: Sequence[dict[str, str]]) -> Iterable[dict[str, Any]]:
    """Measure negspaCy over a part of the reports, with our findings as its entities."""
    if not importlib.util.find_spec("negspacy"):
        return [{"system": "negspaCy", "reports/s": "not installed"}]
    import spacy
    from negspacy.negation import Negex  # noqa: F401

    from nlp import lexicon

    groups = lexicon.load("findings").values()
    patterns = [
        {"label": "FINDING", "pattern": t} for g in groups for row in g for t in row["terms"]
    ]
    pipeline = spacy.blank("en")
    pipeline.add_pipe("sentencizer")
    pipeline.add_pipe("entity_ruler").add_patterns(patterns)  # type: ignore[attr-defined]
    pipeline.add_pipe("negex", config={"ent_types": ["FINDING"]})
    texts = [f"{r['findings']} {r['impression']}" for r in reports[:500]]
    seconds = timed(lambda: [pipeline(text) for text in texts])
    return [{"system": "negspaCy", "reports/s": round(len(texts) / seconds)}]


def timed(work: Callable[[], Any]) -> float:
    """Return the seconds `work` takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    raise SystemExit(main())
