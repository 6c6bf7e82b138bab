"""A study of the inventory in, its texts out: sections, sentences, labels, prompts, statements.

The one place where report text is read. It goes into data/texts and from there into the shards;
never into a log, a count or an exception.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxr_vlp.nlp import annotate, prompts, relations
from cxr_vlp.nlp import labels as names
from cxr_vlp.nlp.status import FilterPolicy
from cxr_vlp.nlp.translations import FIELDS
from cxr_vlp.pipelines.cache.entries import Receipt
from cxr_vlp.pipelines.cache.images import OldPictures
from cxr_vlp.pipelines.cache.incremental import Made
from cxr_vlp.pipelines.config import Texts
from cxr_vlp.pipelines.errors import DataError, IngestError
from cxr_vlp.pipelines.executor.worker import Desk
from cxr_vlp.pipelines.files import jsonl, paths
from cxr_vlp.pipelines.format import fingerprints
from cxr_vlp.pipelines.format.sample import key_hash
from cxr_vlp.pipelines.records import Reject, ReportRef, Study, reject, study_from_json
from cxr_vlp.pipelines.sources import ids
from cxr_vlp.pipelines.sources.base import Report, Source
from cxr_vlp.pipelines.stages import text_stats
from cxr_vlp.pipelines.stages.text_resources import Wording


@dataclass(frozen=True)
class TextsOfPart:
    """A PartWork (reuse.py): inventory file in, texts file out."""

    source: Source
    root: str
    scan: str
    texts: Texts
    wording: Wording
    links: bool = False  # links may lead out of the root

    def file(self, part: str) -> str:
        """Return the path of the part's texts in the output."""
        return f"{part}.jsonl"

    def fingerprint(self, part: str) -> str:
        """Return the digest of what decides the texts; the inventory holds the reports' digests."""
        rules = {key: dataclasses.asdict(rule) for key, rule in self.wording.rules.items()}
        studies = jsonl.sha256(Path(self.scan) / f"{part}.jsonl")
        made_by = fingerprints.text(
            studies, {}, self.texts.text_parameters(), self.wording.digest, rules
        )
        # which of them this part needs is not known before its reports are read
        said = self.wording.translations
        return fingerprints.of([made_by, said.digest]) if said else made_by

    def make(self, part: str, path: Path, old: OldPictures, desk: Desk) -> Made:  # noqa: ARG002
        """Write the part's texts; the result holds its counts and rejects."""
        counts: Counter[str] = Counter()
        rows, rejects = [], []
        # not splitlines: JSON holds U+2028 and U+0085 as they are, and those end no record
        with (Path(self.scan) / f"{part}.jsonl").open(encoding="utf-8") as lines:
            for study in map(study_from_json, lines):
                try:
                    row = self.study(study, counts)
                except IngestError as error:
                    key = f"{study.source}-{study.key}"
                    rejects.append(reject(key, error.code, "texts", len(study.images)))
                    continue
                rows.append(row)
        jsonl.write_records(path, rows)
        data = path.read_bytes()
        return Made(
            sha256=hashlib.sha256(data).hexdigest(),
            md5=hashlib.md5(data, usedforsecurity=False).hexdigest(),
            bytes=len(data),
            result={"counts": dict(counts), "rejects": [_row(r) for r in rejects]},
        )

    def agrees(self, receipt: Receipt) -> bool:
        """Tell whether a receipt's numbers fit the part: every study has a text or a reject."""
        counts, rejects = receipt.result.get("counts"), receipt.result.get("rejects")
        if not isinstance(counts, dict) or not isinstance(rejects, list):
            return False
        with (Path(self.scan) / f"{receipt.part}.jsonl").open("rb") as lines:
            return int(counts.get("studies", 0)) + len(rejects) == sum(1 for _ in lines)

    def study(self, study: Study, counts: Counter[str]) -> dict[str, Any]:
        """Return the texts of one study.

        Raises IngestError with the report's code when there is neither a report nor a label to
        make a text of.
        """
        annotation, code = self._annotated(study, counts)
        if code:
            counts[f"note:{code}"] += 1
        labels, labels_from = self._labels(study, annotation)
        if relations.contradicts_itself(labels):
            counts["note:labels.contradict"] += 1
        written = prompts.report_prompts(
            labels,
            k=self.texts.prompts,
            seed=self.texts.seed,
            epoch=0,
            key=f"{study.source}-{study.key}",
            negatives=self.texts.negatives,
            prompts=self.wording.bank,
        )
        if annotation is None and not written:
            raise IngestError(code or "text.none")
        report = annotation or _NOTHING
        sha256 = ids.digest(study, study.report.sha256) if study.report else ""
        abnormal, abnormal_from = self._abnormal(annotation, labels, written)
        made_by = fingerprints.text(
            sha256,
            labels,
            self.texts.text_parameters(),
            self.wording.digest,
            self._rule(study),
        )
        translations = self._translations(report)
        row: dict[str, Any] = {
            "key": study.key,
            "findings": report.findings,
            "impression": report.impression,
            "abnormal": abnormal,
            "abnormal_from": abnormal_from,
            "prompt": written[0] if written else "",
            "prompts": list(written),
            "sections": dict(report.sections),
            "labels": labels,
            "labels_from": labels_from,
            "sentences": [_sentence(s) for s in report.sentences],
            "statements": list(report.statements),
            "report_sha256": sha256,
            "text_fingerprint": fingerprints.translated(made_by, translations),
        }
        if translations:
            row["translations"] = translations
        counts.update(text_stats.of_study(row))
        return row

    def _annotated(
        self, study: Study, counts: Counter[str]
    ) -> tuple[annotate.Annotation | None, str]:
        """Return (annotation, "") or (None, why there is none)."""
        if study.report is None:
            return None, "report.missing" if self.source.has_reports else ""
        try:
            report = self._read(study.report, study)
        except IngestError as error:
            return None, error.code
        if self._rule(study) and isinstance(report, str):  # sections that came apart need no cut
            counts["note:report.cut_by_rule"] += 1
        done = annotate.annotate(
            _readable(report),
            policy=self._policy(),
            several=self.texts.impressions,
            model=self.texts.model,
            rule=self.wording.rules.get(ids.of_origin(study)),
        )
        return (None, done.code) if done.code else (done, "")

    def _read(self, ref: ReportRef, study: Study) -> Report:
        """Return the report, which must be the one that `scan` digested.

        Raises IngestError report.* for one that `scan` could not read either, and DataError for
        one that changed or went since: the inventory is then of another tree.
        """
        name = key_hash(f"{study.source}-{study.key}")
        tree = paths.Tree(Path(self.root), self.links)
        try:
            read = self.source.report(tree, ref)
        except IngestError:
            if not ref.sha256:
                raise
            code = "changed" if _there(tree, ref) else "gone"
            raise DataError(
                f"source.{code}: a report that scan read can no longer be read; run scan again "
                f"({name})"
            ) from None
        if read.sha256 != ref.sha256:
            raise DataError(
                f"source.changed: a report is not the one in the inventory; run scan again ({name})"
            )
        return read.report

    def _policy(self) -> FilterPolicy:
        chosen = dataclasses.asdict(self.texts.filter)
        return FilterPolicy(**{k: v for k, v in chosen.items() if k != "fallback"})

    def _rule(self, study: Study) -> dict[str, Any] | None:
        rule = self.wording.rules.get(ids.of_origin(study))
        return dataclasses.asdict(rule) if rule else None

    def _translations(self, report: annotate.Annotation) -> dict[str, str]:
        """Return the report's sections in other words, those alone that the user's file has."""
        if self.wording.translations is None:
            return {}
        texts = {name: getattr(report, name) for name in FIELDS}
        found = {name: self.wording.translations.of(text) for name, text in texts.items() if text}
        return {name: text for name, text in found.items() if text}

    def _abnormal(
        self,
        annotation: annotate.Annotation | None,
        labels: Mapping[str, int],
        written: Sequence[str],
    ) -> tuple[str, str]:
        """Return the text of what is abnormal, and where it comes from; ("", "") if nothing is."""
        if annotation is None:
            return "", ""
        fallback = self.texts.filter.fallback if names.is_abnormal(labels) else ()
        return annotate.described(annotation, written, fallback)

    def _labels(
        self, study: Study, annotation: annotate.Annotation | None
    ) -> tuple[dict[str, int], str]:
        if self.texts.labels == "source":
            return dict(study.labels), study.labels_from
        found = dict(annotation.labels) if annotation else {}
        return found, "report" if found else ""


def _there(root: paths.Root, ref: ReportRef) -> bool:
    try:
        return paths.inside(root, ref.path).exists()
    except IngestError:  # a link that leads out by now
        return True


_NOTHING = annotate.annotate({})  # what a study without a report has: every field empty


def _readable(report: Report) -> Report:
    return report if isinstance(report, str) else dict(report)


def _sentence(sentence: annotate.AnnotatedSentence) -> dict[str, Any]:
    return {
        "text": sentence.text,
        "section": sentence.section,
        "index": sentence.index,
        "status": sentence.status,
        "rule": sentence.rule,
        "mentions": [dataclasses.asdict(mention) for mention in sentence.mentions],
    }


def _row(lost: Reject) -> Mapping[str, Any]:
    return dataclasses.asdict(lost)
