"""Decides whether a sample is normal, and what the normal-sentence filter keeps of its report.

OFF-CLIP's label of a pair and its filter both need the status of every sentence, which a shard's
sample holds: normal, abnormal, uncertain, or nonfinding. The filter and the policy for what is
uncertain are those of `cxr_vlp.nlp`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cxr_vlp.nlp import uncertainty
from cxr_vlp.nlp.labels import DEVICES, NO_FINDING
from cxr_vlp.nlp.status import FilterPolicy, filter_sentences, shows_in_image

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Sentence:
    """A sentence of a sample, as the filter of cxr_vlp.nlp.status wants it."""

    text: str
    status: str
    rule: str


def is_normal(record: Record, uncertain: str = "abnormal") -> bool:
    """Return whether a sample asserts no abnormality.

    With a report: none of its sentences is abnormal. Without one: its labels say No Finding, and no
    finding. Labels without No Finding are not normal, whatever else they lack. `uncertain`: what an
    uncertain sentence or label counts as, abnormal or normal.
    """
    statuses = {uncertainty.status(s.status, uncertain) for s in _sentences(record)}
    if statuses - {"nonfinding"}:
        return "abnormal" not in statuses
    labels = record.get("labels") or {}
    decided = uncertainty.resolve(labels, uncertain)
    found = any(state == 1 for name, state in decided.items() if name not in (NO_FINDING, DEVICES))
    return labels.get(NO_FINDING) == 1 and not found


def of_image(record: Record) -> list[str]:
    """Return the sentences that describe something visible in the image."""
    return [sentence.text for sentence in _sentences(record) if shows_in_image(sentence)]


def filtered(record: Record, uncertain: str = "abnormal") -> list[str]:
    """Return what the engine's filter keeps of a report; of a mixed sentence its abnormal part.

    In an abnormal report these are the abnormal sentences and those that name a device, as in the
    sample's `abnormal`; in a normal one the normal sentences, or those on devices where there is no
    other. A report that says nothing of the image keeps nothing.
    """
    sentences = [sentence for sentence in _sentences(record) if shows_in_image(sentence)]
    return list(filter_sentences(sentences, FilterPolicy(uncertain=uncertain)).kept)


def _sentences(record: Record) -> list[_Sentence]:
    return [
        _Sentence(str(row.get("text", "")).strip(), row.get("status", ""), row.get("rule", ""))
        for row in record.get("sentences") or ()
    ]
