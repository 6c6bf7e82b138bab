"""Writes the page of a card, README.md: a header for the Hugging Face hub, then Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cxr_vlp.pipelines.cards import hub_header, terms
from cxr_vlp.pipelines.cards.facts import Facts
from cxr_vlp.pipelines.cards.subject import Subject


def markdown(subject: Subject, facts: Facts, figures: Mapping[str, str]) -> str:
    """Return the page. It holds counts only: no id, no report text."""
    parts = [hub_header.front_matter(subject, facts), f"# {subject.title}", *_body(subject, facts)]
    return "\n\n".join(parts)


def _body(subject: Subject, facts: Facts) -> Iterator[str]:
    yield terms.of(subject.parts[0].header).sharing
