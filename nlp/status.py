"""Status: a sentence in, normal / abnormal / uncertain / nonfinding out; and the filter on it.

The filter takes a report's sentences and gives those that describe its abnormalities, with the
reason for each. It is OFF-CLIP's filter with an explicit policy: a normal sentence in an abnormal
report teaches the model nothing about that picture, so it goes; what is hedged stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from cxr_vlp.nlp.status_clauses import abnormal_part
from cxr_vlp.nlp.status_rules import STATUSES, Status, classify

__all__ = ["STATUSES", "FilterPolicy", "Filtered", "Status", "classify", "filter_report"]


@dataclass(frozen=True, slots=True)
class FilterPolicy:
    """What the filter does with each kind of sentence."""

    drop_normal: bool = True
    drop_nonfinding: bool = True  # technique, comparison, devices, recommendations
    keep_devices: bool = True  # a device is no finding, but it is in the picture
    keep_uncertain: bool = True
    cut_mixed: bool = True  # "hyperinflated but clear" -> "hyperinflated"
    normal_report: str = "keep"  # a report with nothing abnormal: keep its sentences, or empty


@dataclass(frozen=True, slots=True)
class Filtered:
    """The filter's answer: sentences kept and dropped in order, and why, one reason a sentence."""

    kept: tuple[str, ...]
    dropped: tuple[str, ...]
    why: tuple[str, ...]  # "keep:abnormal", "cut:mixed", "drop:normal", ... one an input sentence
    fallback: str = ""  # "" or which one filled an empty result: "normal_report", "nothing_left"


def filter_report(
    sentences: Iterable[str],
    policy: FilterPolicy = FilterPolicy(),
    judge: Callable[[str], Status] = classify,
) -> Filtered:
    """Return what is left of a report's sentences under `policy`; `judge` gives each its status.

    Where nothing abnormal is said the report is normal: its findings and normal sentences stay
    (fallback "normal_report"), since dropping them would leave a study without text.
    """
    texts = tuple(sentences)
    statuses = [judge(text) for text in texts]
    if not any(s.status in ("abnormal", "uncertain") for s in statuses):
        return _of_normal_report(texts, statuses, policy)
    kept, dropped, why = [], [], []
    for text, status in zip(texts, statuses, strict=True):
        left, reason = _verdict(text, status, policy)
        why.append(reason)
        if left:
            kept.append(left)
        else:
            dropped.append(text)
    fallback = "" if kept else "nothing_left"
    return Filtered(tuple(kept), tuple(dropped), tuple(why), fallback)


def _of_normal_report(
    texts: tuple[str, ...], statuses: list[Status], policy: FilterPolicy
) -> Filtered:
    if policy.normal_report == "empty":
        return Filtered((), texts, ("drop:normal_report",) * len(texts), "nothing_left")
    kept = tuple(t for t, s in zip(texts, statuses, strict=True) if s.status == "normal")
    kept = kept or texts
    dropped = tuple(t for t in texts if t not in kept)
    why = tuple("keep:normal_report" if t in kept else "drop:nonfinding" for t in texts)
    return Filtered(kept, dropped, why, "normal_report")


def _verdict(text: str, status: Status, policy: FilterPolicy) -> tuple[str, str]:
    """Return what is left of one sentence ("" = dropped) and the reason."""
    if status.status == "abnormal":
        part = abnormal_part(text) if policy.cut_mixed and status.mixed else text
        return (part, "cut:mixed") if part != text else (text, "keep:abnormal")
    if status.status == "uncertain":
        return (text, "keep:uncertain") if policy.keep_uncertain else ("", "drop:uncertain")
    if status.status == "normal":
        return ("", "drop:normal") if policy.drop_normal else (text, "keep:normal")
    if not policy.drop_nonfinding or (policy.keep_devices and status.subtype == "device"):
        return text, f"keep:{status.subtype or 'nonfinding'}"
    return "", f"drop:{status.subtype or 'nonfinding'}"
