"""Makes labels from mentions and from a collection's own terms.

It holds the names of CheXpert-14, ChestX-ray14 and VinDr-CXR in one spelling, the maps between the
collections, and the rules that merge the mentions of a report. A label is 1 (positive), 0
(negative) or -1 (uncertain); `cxr_vlp.nlp.uncertainty` says what an uncertain one counts as.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.context import scope
from cxr_vlp.nlp.findings import terms
from cxr_vlp.nlp.findings.mention import MALPOSITIONED, Mention
from cxr_vlp.nlp.report_status import AnnotatedLike
from cxr_vlp.nlp.uncertainty import NEGATIVE, POSITIVE, UNCERTAIN

NO_FINDING, DEVICES = "No Finding", "Support Devices"
ADDENDUM = "addendum"  # the section whose sentences overrule the others

CHEXPERT14 = (
    "No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion",
    "Edema", "Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion",
    "Pleural Other", "Fracture", "Support Devices",
)  # fmt: skip
CHESTXRAY14 = (
    "Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion", "Emphysema",
    "Fibrosis", "Hernia", "Infiltration", "Mass", "Nodule", "Pleural Thickening", "Pneumonia",
    "Pneumothorax",
)  # fmt: skip
VINDR = (
    "Aortic Enlargement", "Atelectasis", "Calcification", "Cardiomegaly", "Clavicle Fracture",
    "Consolidation", "Edema", "Emphysema", "Enlarged PA", "ILD", "Infiltration", "Lung Opacity",
    "Lung Cavity", "Lung Cyst", "Mediastinal Shift", "Nodule/Mass", "Pleural Effusion",
    "Pleural Thickening", "Pneumothorax", "Fibrosis", "Rib Fracture", "Other Lesion", "COPD",
    "Lung Tumor", "Pneumonia", "Tuberculosis", "Other Disease", "No Finding",
)  # fmt: skip

_STATES = {scope.PRESENT: POSITIVE, scope.UNCERTAIN: UNCERTAIN, scope.ABSENT: NEGATIVE}
_RANK = {POSITIVE: 2, UNCERTAIN: 1, NEGATIVE: 0}


@functools.lru_cache(maxsize=4096)
def canonical(name: str) -> str:
    """Return the display name of a label in any collection's spelling.

    An unknown name is returned tidied (blanks for underscores, capitals) and is no error: a
    collection may have labels of its own.

    >>> canonical("Pleural_Thickening"), canonical("effusion"), canonical("some_new label")
    ('Pleural Thickening', 'Pleural Effusion', 'Some New Label')
    """
    key = _key(name)
    known = _names().get(key)
    if known is not None:
        return known
    words = name.replace("_", " ").split()
    return " ".join(w if any(c.isupper() for c in w) else w[:1].upper() + w[1:] for w in words)


def _key(name: str) -> str:
    return " ".join(re.sub(r"[_\s]+", " ", name).strip().lower().split())


@functools.cache
def _names() -> Mapping[str, str]:
    spellings = {_key(n): n for n in (*CHEXPERT14, *CHESTXRAY14, *VINDR)}
    for name, others in lexicon.load("labels")["spellings"].items():
        spellings.update({_key(other): name for other in others})
    return spellings


@functools.lru_cache(maxsize=1024)
def labels_of(finding: str) -> tuple[str, ...]:
    """Return every label that a finding or type of device counts for, in all label sets."""
    entry = terms.findings().get(finding) or terms.devices().get(finding)
    return entry.labels if entry else ()


def from_mentions(mentions: Iterable[Mention]) -> dict[str, int]:
    """Return label -> 1, 0 or -1 over the mentions of a report; no key for what is not mentioned.

    Positive outweighs uncertain, uncertain outweighs negative. No Finding is 1 where there is a
    mention and none, with or without a label, is positive or uncertain but devices that are not
    said to lie in a wrong place; else it is 0.
    """
    merged: dict[str, int] = {}
    is_normal, said = True, False
    for mention in mentions:
        said = True
        is_normal = is_normal and (_is_well(mention) or mention.assertion == scope.ABSENT)
        for label, state in _states(mention.finding, mention.assertion):
            if label not in merged or _RANK[state] > _RANK[merged[label]]:
                merged[label] = state
    if said:
        merged[NO_FINDING] = POSITIVE if is_normal else NEGATIVE
    return dict(sorted(merged.items()))


@functools.lru_cache(maxsize=1024)
def _states(finding: str, assertion: scope.Assertion) -> tuple[tuple[str, int], ...]:
    """Return each label of a finding and the state that it gives the label."""
    state = _softened(finding, _STATES[assertion])
    return tuple((label, state) for label in labels_of(finding))


def _is_well(mention: Mention) -> bool:
    """Whether a mention is a device that does not lie in a wrong place."""
    return mention.device and mention.position != MALPOSITIONED


def from_sentences(sentences: Sequence[AnnotatedLike]) -> dict[str, int]:
    """Return the labels of a report's sentences: those of its mentions, and No Finding by status.

    A status may say more than the mentions: "Chest unremarkable." names no finding and is normal; a
    structure with an unknown predicate names none either and is not normal. What an addendum says
    of a label counts alone.
    """
    late = [m for s in sentences if s.section == ADDENDUM for m in s.mentions]
    early = [m for s in sentences if s.section != ADDENDUM for m in s.mentions]
    merged = from_mentions(early) | (from_mentions(late) if late else {})
    statuses = {s.status for s in standing(sentences)}
    if statuses & {"abnormal", "uncertain"}:
        merged[NO_FINDING] = NEGATIVE
    elif "normal" in statuses or NO_FINDING in merged:
        merged[NO_FINDING] = POSITIVE
    return dict(sorted(merged.items()))


def standing(sentences: Sequence[AnnotatedLike]) -> Sequence[AnnotatedLike]:
    """Return the sentences without those whose every finding an addendum states otherwise."""
    late = {m.finding for s in sentences if s.section == ADDENDUM for m in s.mentions}
    if not late:
        return sentences
    return [s for s in sentences if s.section == ADDENDUM or not _is_overruled(s, late)]


def _is_overruled(sentence: AnnotatedLike, late: Collection[str]) -> bool:
    claimed = {m.finding for m in sentence.mentions if m.assertion != scope.ABSENT}
    restated = {label for finding in late for label in labels_of(finding)}
    return bool(claimed) and all(
        finding in late or (labels_of(finding) and restated.issuperset(labels_of(finding)))
        for finding in claimed
    )


def is_abnormal(labels: Mapping[str, int]) -> bool:
    """Return whether anything but a device is positive or uncertain in a study's labels."""
    return any(state != NEGATIVE for n, state in labels.items() if n not in (NO_FINDING, DEVICES))


def _softened(finding: str, state: int) -> int:
    """Return the state a finding gives its label: "congestion" alone makes edema uncertain."""
    entry = terms.findings().get(finding)
    return UNCERTAIN if entry and entry.soft_labels and state == POSITIVE else state


def from_mesh(mesh: Iterable[str]) -> dict[str, int]:
    """Return the labels of an Open-i report from its MeSH major terms: positives only.

    "normal" alone is No Finding. An unknown heading is kept under its own name. "No Indexing" and
    remarks on image quality give no label.
    """
    merged: dict[str, int] = {}
    table = lexicon.load("labels")["mesh"]
    for term in mesh:
        parts = [" ".join(p.lower().split()) for p in term.strip().split("/")]
        if parts == ["normal"]:
            merged.setdefault(NO_FINDING, POSITIVE)
            continue
        for label in _mesh_labels(table, parts):
            merged[label] = POSITIVE
    if any(label not in (NO_FINDING, DEVICES) for label in merged):
        merged.pop(NO_FINDING, None)
    return dict(sorted(merged.items()))


def _mesh_labels(table: Mapping[str, list[str]], parts: list[str]) -> list[str]:
    """Return the labels of one path: the most specific line of the table that it contains."""
    for depth in range(len(parts), 1, -1):
        for part in parts[1:]:
            if depth == len(parts) and f"{parts[0]}/{part}" in table:
                return list(table[f"{parts[0]}/{part}"])
    if parts[0] in table:
        return list(table[parts[0]])
    return [canonical(parts[0])] if parts[0] else []
