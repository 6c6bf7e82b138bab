"""Decides whether a sample is normal, and what the normal-sentence filter keeps of its report.

OFF-CLIP's label of a pair and its filter both need the status of every sentence, which a shard's
sample holds: normal, abnormal, uncertain, or nonfinding. The filter and the policy for what is
uncertain are those of `cxr_vlp.nlp`.
"""

from __future__ import annotations

from cxr_vlp.nlp import uncertainty
from cxr_vlp.nlp.labels import DEVICES, NO_FINDING
from cxr_vlp.nlp.status import FilterPolicy, filter_sentences, shows_in_image
from cxr_vlp.pipelines.format.sample import Sample, Sentence


def is_normal(sample: Sample, uncertain: str = "abnormal") -> bool:
    """Return whether a sample asserts no abnormality.

    With a report: none of its sentences is abnormal. Without one: No Finding is positive and no
    finding is. A sample whose labels do not name No Finding is not normal. `uncertain`: what an
    uncertain sentence or label counts as, abnormal or normal.
    """
    statuses = {uncertainty.status(each.status, uncertain) for each in sample.sentences}
    if statuses - {"nonfinding"}:
        return "abnormal" not in statuses
    labels = sample.all_labels
    decided = uncertainty.resolve(labels, uncertain)
    found = any(state == 1 for name, state in decided.items() if name not in (NO_FINDING, DEVICES))
    return labels.get(NO_FINDING) == 1 and not found


def of_image(sample: Sample) -> list[Sentence]:
    """Return the sentences that describe something visible in the image."""
    return [sentence for sentence in sample.sentences if shows_in_image(sentence)]


def filtered(sample: Sample, uncertain: str = "abnormal") -> list[str]:
    """Return what the engine's filter keeps of a report; of a mixed sentence its abnormal part.

    In an abnormal report these are the abnormal sentences and those that name a device, as in the
    sample's `abnormal`; in a normal one the normal sentences, or those on devices where there is no
    other. A report that says nothing of the image keeps nothing.
    """
    kept = filter_sentences(of_image(sample), FilterPolicy(uncertain=uncertain)).kept
    return [text.strip() for text in kept]
