"""Labels: mentions or a collection's own terms in, label sets out.

CheXpert-14, ChestX-ray14 and VinDr-CXR names in one spelling, maps between the collections, the
rules that merge the mentions of a report, and the uncertainty policies.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping, Sequence

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.context.scope import ABSENT, PRESENT, UNCERTAIN
from cxr_vlp.nlp.findings import terms
from cxr_vlp.nlp.findings.mentions import Mention
from cxr_vlp.nlp.report_status import Judged

POSITIVE, NEGATIVE, UNSURE = 1, 0, -1
NO_FINDING, DEVICES = "No Finding", "Support Devices"

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

POLICIES = ("ones", "zeros", "ignore", "keep")
_STATES = {PRESENT: POSITIVE, UNCERTAIN: UNSURE, ABSENT: NEGATIVE}
_RANK = {POSITIVE: 2, UNSURE: 1, NEGATIVE: 0}


@functools.lru_cache(maxsize=4096)
def canonical(name: str) -> str:
    """Return the display name of a label in any collection's spelling.

    An unknown name comes back tidied (blanks for underscores, capitals), never as an error: a
    collection may bring labels of its own.
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


def labels_of(finding: str) -> tuple[str, ...]:
    """Return every label a lexicon finding counts for, in all label sets; () in the long tail."""
    if finding == "support device":
        return (DEVICES,)
    entry = terms.findings().get(finding)
    return entry.labels if entry else ()


def from_mentions(mentions: Iterable[Mention]) -> dict[str, int]:
    """Return label -> 1, 0 or -1 over the mentions of a report; not mentioned = no key.

    Positive outweighs uncertain outweighs negative. No Finding is 1 where something was said and
    nothing but Support Devices, not even in the long tail, is positive or uncertain, else 0.
    """
    merged: dict[str, int] = {}
    is_normal, said = True, False
    for mention in mentions:
        said = True
        state = _STATES[mention.assertion]
        is_normal = is_normal and (mention.device or state == NEGATIVE)
        for label in labels_of(mention.finding):
            _merge(merged, label, _softened(mention.finding, state))
    if said:
        merged[NO_FINDING] = POSITIVE if is_normal else NEGATIVE
    return dict(sorted(merged.items()))


def from_sentences(sentences: Sequence[Judged]) -> dict[str, int]:
    """Return the labels of a report's sentences: those of its mentions, and No Finding by status.

    A status may know more than the mentions: "Chest unremarkable." names no finding and is normal,
    a predicate the lexicon lacks is none either and is not.
    """
    merged = from_mentions(m for s in sentences for m in s.mentions)
    statuses = {s.status for s in sentences}
    if statuses & {"abnormal", "uncertain"}:
        merged[NO_FINDING] = NEGATIVE
    elif "normal" in statuses or NO_FINDING in merged:
        merged[NO_FINDING] = POSITIVE
    return dict(sorted(merged.items()))


def is_abnormal(labels: Mapping[str, int]) -> bool:
    """Whether anything but a device is positive or uncertain in a study's labels."""
    return any(state != NEGATIVE for n, state in labels.items() if n not in (NO_FINDING, DEVICES))


def _softened(finding: str, state: int) -> int:
    """Return the state a finding gives its label: "congestion" alone is no certain edema."""
    entry = terms.findings().get(finding)
    return UNSURE if entry and entry.soft_labels and state == POSITIVE else state


def _merge(merged: dict[str, int], label: str, state: int) -> None:
    if label not in merged or _RANK[state] > _RANK[merged[label]]:
        merged[label] = state


def from_mesh(mesh: Iterable[str]) -> dict[str, int]:
    """Return the labels of an Open-i report from its MeSH major terms: positives only.

    "normal" alone is No Finding; a heading we do not know is kept under its own name; "No
    Indexing" and remarks on image quality say nothing of the patient.
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


def resolve(
    labels: Mapping[str, int], policy: str = "keep", per_label: Mapping[str, str] | None = None
) -> dict[str, int]:
    """Return `labels` with the uncertain ones decided.

    ones, zeros, ignore (the label is dropped) or keep; `per_label` overrides it for single labels,
    as the CheXpert baselines do. Raises ValueError on another policy.
    """
    resolved = {}
    for label, state in labels.items():
        chosen = (per_label or {}).get(label, policy)
        if chosen not in POLICIES:
            raise ValueError(f"uncertainty policy must be one of {POLICIES}, not {chosen!r}")
        if state != UNSURE or chosen == "keep":
            resolved[label] = state
        elif chosen != "ignore":
            resolved[label] = POSITIVE if chosen == "ones" else NEGATIVE
    return resolved
