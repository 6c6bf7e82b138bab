"""Makes the texts of one part: sections, sentences, labels, prompts and statements of each study.

Report text is read only here. It goes into data/texts and from there into the shards;
never into a log, a count or an exception.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxr_vlp.nlp import annotate, labels
from cxr_vlp.nlp.status import FilterPolicy
from cxr_vlp.nlp.wording import prompts, relations
from cxr_vlp.nlp.wording.translations import FIELDS
from cxr_vlp.pipelines.cache import identity
from cxr_vlp.pipelines.cache.entries import Entry
from cxr_vlp.pipelines.cache.images import CachedImages
from cxr_vlp.pipelines.cache.incremental import PartResult
from cxr_vlp.pipelines.config import Texts
from cxr_vlp.pipelines.errors import DataError, IngestError
from cxr_vlp.pipelines.executor.worker import WorkerState
from cxr_vlp.pipelines.files import jsonl, paths
from cxr_vlp.pipelines.format import fingerprints
from cxr_vlp.pipelines.format.sample import key_hash
from cxr_vlp.pipelines.records import (
    Reject,
    ReportRef,
    Study,
    dumps,
    lines,
    reject,
    study_from_json,
)
from cxr_vlp.pipelines.sources import ids
from cxr_vlp.pipelines.sources.base import Report, Source
from cxr_vlp.pipelines.stages import text_resources, text_stats
from cxr_vlp.pipelines.stages.text_resources import TextResources
from cxr_vlp.pipelines.storage.place import place


@dataclass(frozen=True)
class TextPart:
    """The input of one part (a PartInput): its file of the inventory, read once."""

    name: str
    data: bytes
    fingerprint: str
    digests: Mapping[str, str]  # of the file, under "scan"

    def studies(self) -> Iterator[Study]:
        """Yield the studies of the part."""
        yield from map(study_from_json, lines(self.data))

    def __len__(self) -> int:
        """Return the number of studies."""
        return self.data.count(b"\n")


@dataclass(frozen=True)
class TextBuilder:
    """Makes the texts of a part; a PartBuilder (cache/incremental.py)."""

    source: Source
    root: str
    scan: str
    texts: Texts
    resources: TextResources
    links: bool = False  # links may lead out of the root
    kept: str = ""  # the folder in which the indices of tars are kept
    isolated: bool = False  # it decodes nothing
    images: str = ""

    def file(self, part: str) -> str:
        """Return the path of the part's texts in the output."""
        return f"{part}.jsonl"

    def load(self, part: str) -> TextPart:
        """Read the part's inventory; it holds the digests of the reports."""
        data, sha256 = identity.read(place(self.scan) / f"{part}.jsonl")
        return TextPart(part, data, self._fingerprint(sha256), {"scan": sha256})

    def inputs(self, digests: Mapping[str, str]) -> str:
        """Return the part's fingerprint from the digest of its file of the inventory."""
        return self._fingerprint(digests["scan"])

    def build(
        self,
        part: TextPart,
        path: Path,
        cached: CachedImages,  # noqa: ARG002 - texts have no images
        worker: WorkerState,
    ) -> PartResult:
        """Write the part's texts; the result holds its counts and rejects."""
        text_resources.check_worker(self.texts, self.resources)
        counts: Counter[str] = Counter()
        rows, rejects = [], []
        for study in part.studies():
            worker.step()
            try:
                rows.append(self.study(study, counts))
            except IngestError as error:
                key = f"{study.source}-{study.key}"
                rejects.append(reject(key, error.code, "texts", len(study.images)))
        data = "".join(f"{dumps(row)}\n" for row in rows).encode()
        with jsonl.replacing(path) as stream:
            stream.write(data)
        return PartResult(
            sha256=hashlib.sha256(data).hexdigest(),
            md5=hashlib.md5(data, usedforsecurity=False).hexdigest(),
            bytes=len(data),
            result={"counts": dict(counts), "rejects": [_row(r) for r in rejects]},
            listed=len(part),
            written=len(rows),
        )

    def agrees(self, entry: Entry) -> bool:
        """Return whether an entry's numbers fit each other: every study has a text or a reject."""
        counts, rejects = entry.result.get("counts"), entry.result.get("rejects")
        if not isinstance(counts, dict) or not isinstance(rejects, list):
            return False
        studies = int(counts.get("studies", 0))
        if entry.listed < 0:  # an entry of 0.8 does not have the numbers
            return True
        return studies == entry.written == entry.listed - len(rejects)

    def _fingerprint(self, inventory_sha256: str) -> str:
        rules = {key: dataclasses.asdict(rule) for key, rule in self.resources.rules.items()}
        parameters = self.texts.text_parameters()
        made_by = fingerprints.text(inventory_sha256, {}, parameters, self.resources.digest, rules)
        # only the reports, which are not read yet, show which translations this part needs
        translations = self.resources.translations
        return fingerprints.of([made_by, translations.digest]) if translations else made_by

    def study(self, study: Study, counts: Counter[str]) -> dict[str, Any]:
        """Return the texts of one study, and add to the counts.

        Raises IngestError with the report's code if there is neither a report nor a label.
        """
        annotation, code = self._annotated(study, counts)
        if code:
            counts[f"note:{code}"] += 1
        states, labels_from = self._labels(study, annotation)
        if relations.contradicts_itself(states):
            counts["note:labels.contradict"] += 1
        written = prompts.report_prompts(
            states,
            k=self.texts.prompts,
            seed=self.texts.seed,
            epoch=0,
            key=f"{study.source}-{study.key}",
            negatives=self.texts.negatives,
            prompts=self.resources.bank,
        )
        if annotation is None and not written:
            raise IngestError(code or "text.none")
        report = annotation or _NOTHING
        sha256 = ids.digest(study, study.report.sha256) if study.report else ""
        abnormal, abnormal_from = self._abnormal(annotation, states, written)
        made_by = fingerprints.text(
            sha256, states, self.texts.text_parameters(), self.resources.digest, self._rule(study)
        )
        translations = self._translations(report)
        row: dict[str, Any] = {
            "key": study.key,
            "findings": report.findings,
            "impression": report.impression,
            "abnormal": abnormal,
            "abnormal_from": abnormal_from,
            "prior_free": report.prior_free,
            "prompt": written[0] if written else "",
            "prompts": list(written),
            "sections": dict(report.sections),
            "labels": states,
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
        """Return (annotation, "") or (None, the code why there is none)."""
        if study.report is None:
            return None, "report.missing" if self.source.has_reports else ""
        try:
            report = self._read(study.report, study)
        except IngestError as error:
            return None, error.code
        # a rule does not apply to a report that comes in sections
        if self._rule(study) and isinstance(report, str):
            counts["note:report.cut_by_rule"] += 1
        done = annotate.annotate(
            _readable(report),
            policy=self._policy(),
            several=self.texts.impressions,
            model=self.texts.model,
            rule=self.resources.rules.get(ids.of_origin(study)),
        )
        return (None, done.code) if done.code else (done, "")

    def _read(self, ref: ReportRef, study: Study) -> Report:
        """Return the report, which must be the one that `scan` read.

        Raises IngestError report.* for a report that `scan` also could not read, and DataError
        for a report that changed or vanished since: the inventory then describes another tree.
        """
        name = key_hash(f"{study.source}-{study.key}")
        kept = Path(self.kept) if self.kept else None
        tree = paths.RawTree(place(self.root), self.links, kept)
        try:
            read = self.source.report(tree, ref)
        except IngestError:
            if not ref.sha256:
                raise
            code = "changed" if _exists(tree, ref) else "gone"
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
        rule = self.resources.rules.get(ids.of_origin(study))
        return dataclasses.asdict(rule) if rule else None

    def _translations(self, report: annotate.Annotation) -> dict[str, str]:
        """Return the translations of the report's sections that the user's file has."""
        if self.resources.translations is None:
            return {}
        texts = {name: getattr(report, name) for name in FIELDS}
        found = {name: self.resources.translations.of(text) for name, text in texts.items() if text}
        return {name: text for name, text in found.items() if text}

    def _abnormal(
        self,
        annotation: annotate.Annotation | None,
        states: Mapping[str, int],
        written: Sequence[str],
    ) -> tuple[str, str]:
        """Return the abnormal text and where it comes from; ("", "") if nothing is abnormal."""
        if annotation is None:
            return "", ""
        fallback = self.texts.filter.fallback if labels.is_abnormal(states) else ()
        return annotate.described(annotation, written, fallback)

    def _labels(
        self, study: Study, annotation: annotate.Annotation | None
    ) -> tuple[dict[str, int], str]:
        if self.texts.labels == "source":
            return dict(study.labels), study.labels_from
        found = dict(annotation.labels) if annotation else {}
        return found, "report" if found else ""


def _exists(root: paths.Root, ref: ReportRef) -> bool:
    try:
        return paths.inside(root, ref.path).exists()
    except IngestError:  # a link that leads out of the root
        return True


_NOTHING = annotate.annotate({})  # for a study without a report: every field empty


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
        "prior_free": sentence.prior_free,
        "edit": sentence.edit,
    }


def _row(lost: Reject) -> Mapping[str, Any]:
    return dataclasses.asdict(lost)
