"""Makes the rows that the report browser reads: one of each sample, and its details.

A row has what the list shows and the search reads. The details, what each rule decided, come in a
file of their own that the page loads when somebody asks for them. Where the text of a set is not
shown, no row and no detail holds a word of a report: statuses, rules and labels stay.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from cxr_vlp.nlp.status import FilterDecision, FilterPolicy, filter_sentences
from cxr_vlp.nlp.wording.summary import summary
from cxr_vlp.pipelines.format.sample import Box, Sample, Sentence
from cxr_vlp.train.pages.browser.stored import Chosen

_NAMES = frozenset(field.name for field in fields(FilterPolicy))


def policy(header: Mapping[str, Any]) -> FilterPolicy:
    """Return the filter that made a set's `abnormal` texts; the default where it is not said."""
    given = header.get("texts", {}).get("filter", {})
    return FilterPolicy(**{name: value for name, value in given.items() if name in _NAMES})


def row(chosen: Chosen, image: str, rule: FilterPolicy, *, text: bool) -> dict[str, Any]:
    """Return the row of a sample; `image` is the address of its image file."""
    sample = chosen.sample
    judged = filter_sentences(sample.sentences, rule).decisions
    return {
        "key": chosen.place.key,
        "split": chosen.place.split,
        "study": sample.study,
        "view": sample.view or "unknown",
        "projection": sample.projection,
        "sex": sample.sex,
        "age": sample.age,
        "image": image,
        "width": chosen.width,
        "height": chosen.height,
        "labels": dict(sample.all_labels),
        # the caption of a report is one of its sections, which the sentences show
        "caption": chosen.caption if text and not sample.sentences else "",
        "sentences": [
            [each.section, each.status, _fate(decision), each.text if text else ""]
            for each, decision in zip(sample.sentences, judged, strict=True)
        ],
        "sections": _sections(sample) if text else {},
        "boxes": [_box(box, chosen, text=text) for box in sample.boxes],
    }


def details(sample: Sample, rule: FilterPolicy, *, text: bool) -> list[dict[str, Any]]:
    """Return what is known of each sentence of a sample: rule, decision, edit and mentions."""
    judged = filter_sentences(sample.sentences, rule).decisions
    pairs = zip(sample.sentences, judged, strict=True)
    return [_detail(sentence, decision, text=text) for sentence, decision in pairs]


def _detail(sentence: Sentence, decision: FilterDecision, *, text: bool) -> dict[str, Any]:
    found = {
        "rule": sentence.rule,
        "reason": decision.reason,
        "edit": sentence.edit,
        "kept": "",
        "prior_free": "",
        "mentions": [],
    }
    if not text:
        return found
    return found | {
        "kept": decision.kept if _fate(decision) == "cut" else "",
        "prior_free": sentence.prior_free,
        "mentions": [summary(asdict(mention)) for mention in sentence.mentions],
    }


def _fate(decision: FilterDecision) -> str:
    """Return keep, cut or drop."""
    return decision.reason.partition(":")[0]


def _sections(sample: Sample) -> dict[str, str]:
    """Return the other sections that have text, and the report's where no sentence was read."""
    found = {name: text for name, text in sample.sections.items() if text}
    if sample.sentences:
        return found
    read = {"findings": sample.findings, "impression": sample.impression}
    return {name: text for name, text in read.items() if text} | found


def _box(box: Box, chosen: Chosen, *, text: bool) -> dict[str, Any]:
    """Return a box in percent of the sides of the image."""
    across, down = 100 / chosen.width, 100 / chosen.height
    return {
        "label": box.label,
        "phrase": box.phrase if text else "",
        "layer": box.layer,
        "x": round(box.x * across, 3),
        "y": round(box.y * down, 3),
        "w": round(box.w * across, 3),
        "h": round(box.h * down, 3),
    }
