"""A sample's json record comes in, whether it asserts an abnormality goes out.

OFF-CLIP's label of a pair and its filter both rest on what the shards say of every sentence:
normal, abnormal, uncertain, or nothing of the picture.
"""

from __future__ import annotations

from cxr_vlp.nlp.labels import NO_FINDING
from cxr_vlp.pipelines.format.sample import Sample, Sentence

NOT_ABNORMAL = frozenset({NO_FINDING, "Support Devices"})


def is_normal(record: Sample, uncertain: str = "abnormal") -> bool:
    """Tell whether a sample asserts no abnormality.

    Where there is a report: none of its sentences is abnormal. Where there is none: its labels say
    No Finding, and no finding: labels that say nothing of No Finding are not normal, whatever they
    lack. `uncertain`: what counts for what is not sure, abnormal | normal.
    """
    statuses = {row.status for row in record.sentences} - {"nonfinding"}
    if statuses:
        return not statuses & _abnormal(uncertain)
    labels = record.all_labels
    values = {1} if uncertain == "normal" else {1, -1}
    found = any(value in values for name, value in labels.items() if name not in NOT_ABNORMAL)
    return labels.get(NO_FINDING) == 1 and not found


def of_picture(record: Sample) -> list[Sentence]:
    """Return the rows of the sentences that say something of the picture.

    A tube or a pacemaker is no finding, but it can be seen; who was called, or how the film was
    taken, can not.
    """
    rows = record.sentences
    return [row for row in rows if row.status != "nonfinding" or _names_device(row)]


def filtered(record: Sample, uncertain: str = "abnormal") -> list[str]:
    """Return the sentences of the picture that a filtered report keeps.

    In an abnormal report the abnormal ones and those that name a device, in a normal one the normal
    ones: the default of the engine's own filter (cxr_vlp.nlp.status.FilterPolicy), which wrote the sample's
    `abnormal`. A report that says of the picture nothing but its devices keeps these.
    """
    rows = of_picture(record)
    abnormal = _abnormal(uncertain)
    if any(row.status in abnormal for row in rows):
        kept = [row for row in rows if row.status in abnormal or _names_device(row)]
    else:  # a tube is no text for every normal film
        kept = [row for row in rows if not _names_device(row)] or rows
    return [row.text.strip() for row in kept]


def _abnormal(uncertain: str) -> frozenset[str]:
    """Return the statuses of a sentence that count as abnormal."""
    return frozenset({"abnormal"} if uncertain == "normal" else {"abnormal", "uncertain"})


def _names_device(row: Sentence) -> bool:
    # The engine's rules are named kind.rule (cxr_vlp.nlp.status_rules).
    return row.status == "nonfinding" and row.rule.startswith("device.")
