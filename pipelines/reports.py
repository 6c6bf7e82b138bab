"""A study of the inventory in, its texts out: sections, sentences, labels, prompts, statements.

The one place where report text is read. It goes into data/texts and from there into the shards;
never into a log, a count or an exception.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nlp import annotate, lexicon, prompts
from pipelines import fingerprints, storage
from pipelines.faults import IngestError
from pipelines.params import Texts
from pipelines.records import Reject, Study, reject, study_from_json
from pipelines.sources.base import Report, Source


@dataclass(frozen=True)
class TextsOfPart:
    """The work of stage `texts` on one part: inventory file in, texts file out."""

    source: Source
    root: str
    scan: str
    out: str
    texts: Texts

    def __call__(self, part: str) -> dict[str, Any]:
        """Write the part's texts; return its counts and rejects."""
        counts: Counter[str] = Counter()
        rows, rejects = [], []
        for line in (Path(self.scan) / f"{part}.jsonl").read_text(encoding="utf-8").splitlines():
            study = study_from_json(line)
            try:
                row = self.study(study, counts)
            except IngestError as error:
                key = f"{study.source}-{study.key}"
                rejects.append(reject(key, error.code, "texts", len(study.images)))
                continue
            rows.append(row)
        storage.write_records(Path(self.out) / f"{part}.jsonl", rows)
        return {"counts": dict(counts), "rejects": [_row(r) for r in rejects]}

    def study(self, study: Study, counts: Counter[str]) -> dict[str, Any]:
        """Return the texts of one study.

        Raises IngestError with the report's code when there is neither a report nor a label to
        make a text of.
        """
        annotation, code = self._annotated(study)
        if code:
            counts[f"note:{code}"] += 1
        labels, labels_from = self._labels(study, annotation)
        written = prompts.report_prompts(
            labels,
            k=self.texts.prompts,
            seed=self.texts.seed,
            epoch=0,
            key=f"{study.source}-{study.key}",
            negatives=self.texts.negatives,
        )
        if annotation is None and not written:
            raise IngestError(code or "text.none")
        report = annotation or _NOTHING
        sha256 = study.report.sha256 if study.report else ""
        counts.update(["studies", *(f"status:{s.status}" for s in report.sentences)])
        return {
            "key": study.key,
            "findings": report.findings,
            "impression": report.impression,
            "abnormal": report.abnormal,
            "prompt": written[0] if written else "",
            "prompts": list(written),
            "sections": dict(report.sections),
            "labels": labels,
            "labels_from": labels_from,
            "sentences": [_sentence(s) for s in report.sentences],
            "statements": list(report.statements),
            "report_sha256": sha256,
            "text_fingerprint": fingerprints.text(sha256, labels, self.texts, lexicon.digest()),
        }

    def _annotated(self, study: Study) -> tuple[annotate.Annotation | None, str]:
        """Return (annotation, "") or (None, why there is none)."""
        if study.report is None:
            return None, "report.missing" if self.source.has_reports else ""
        try:
            report = self.source.report(Path(self.root), study.report)
        except IngestError as error:
            return None, error.code
        done = annotate.annotate(_readable(report), several=self.texts.impressions)
        return (None, done.code) if done.code else (done, "")

    def _labels(
        self, study: Study, annotation: annotate.Annotation | None
    ) -> tuple[dict[str, int], str]:
        if self.texts.labels == "source":
            return dict(study.labels), study.labels_from
        found = dict(annotation.labels) if annotation else {}
        return found, "report" if found else ""


_NOTHING = annotate.annotate({})  # what a study without a report has: every field empty


def _readable(report: Report) -> Report:
    return report if isinstance(report, str) else dict(report)


def _sentence(sentence: annotate.AnnotatedSentence) -> dict[str, Any]:
    mentions = [
        {
            name: value
            for name, value in dataclasses.asdict(mention).items()
            if value not in ("", None, (), False)
        }
        for mention in sentence.mentions
    ]
    return {
        "text": sentence.text,
        "section": sentence.section,
        "index": sentence.index,
        "status": sentence.status,
        "rule": sentence.rule,
        "mentions": mentions,
    }


def _row(lost: Reject) -> Mapping[str, Any]:
    return dataclasses.asdict(lost)
