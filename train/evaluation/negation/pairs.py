"""Makes pairs of texts, one that states a finding and one that denies it in the same words.

From the prompt bank: the frames that state and those that deny, filled with the same name. Short
pairs have at most one word beside the name ("edema." and "No edema."), long ones more. From a
sample: each of its statements with the same statement of the other polarity ("There is a small left
pleural effusion." and "There is no small left pleural effusion."), so nothing differs but the
denial.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cxr_vlp.nlp.findings.mention import Mention
from cxr_vlp.nlp.wording import statements
from cxr_vlp.nlp.wording.bank import Bank
from cxr_vlp.nlp.wording.prompts import texts, zero_shot
from cxr_vlp.pipelines.format.sample import ASSERTION_OF, Sample

SHORT, LONG, STATEMENTS = "short", "long", "statements"
KINDS = (SHORT, LONG, STATEMENTS)
PRESENT, ABSENT, UNCERTAIN = "present", "absent", "uncertain"
TRUTHS = (PRESENT, ABSENT, UNCERTAIN)
_SHORT = 1  # words beside the name


@dataclass(frozen=True, slots=True)
class Named:
    """The texts of a label with one of its names, that state it and that deny it."""

    label: str
    kind: str
    stating: tuple[str, ...]
    denying: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Stated:
    """A statement of a sample's report and its denial; truth: what the report says."""

    label: str
    truth: str
    stating: str
    denying: str


def of_bank(label: str, bank: Bank) -> Iterator[Named]:
    """Yield the texts of a label, for each of its names the short and the long ones."""
    for name in bank.names.get(label) or zero_shot(label)[0]:
        only = dataclasses.replace(bank, names={label: (name,)})
        stating = _by_kind(texts(label, "positive", only), name)
        denying = _by_kind(texts(label, "negative", only), name)
        for kind in (SHORT, LONG):
            if stating[kind] and denying[kind]:
                yield Named(label, kind, stating[kind], denying[kind])


def of_sample(sample: Sample) -> tuple[Stated, ...]:
    """Return the pairs of a sample's statements that have a label, each once, in their order."""
    kept = frozenset(sample.statements)
    found: dict[tuple[str, str, str], Stated] = {}
    for sentence in sample.sentences:
        mentions = tuple(_mention(mention) for mention in sentence.mentions)
        contents = statements.contents_of(mentions, sentence.text)
        for mention, content in zip(mentions, contents, strict=True):
            if mention.label and statements.written(content) in kept:
                pair = _pair(mention, content)
                found.setdefault((pair.label, pair.stating, pair.denying), pair)
    return tuple(found.values())


def _by_kind(prompts: Sequence[str], name: str) -> dict[str, tuple[str, ...]]:
    words = len(name.split()) - name.startswith(("a ", "an "))
    short = tuple(text for text in prompts if len(text.split()) - words <= _SHORT)
    return {SHORT: short, LONG: tuple(text for text in prompts if text not in short)}


def _mention(stored: Any) -> Mention:
    """Return a mention of a sample as the report engine has it: the fields are the same."""
    return Mention(**{f.name: getattr(stored, f.name) for f in dataclasses.fields(Mention)})


def _pair(mention: Mention, content: statements.Content) -> Stated:
    stating = content._replace(assertion=PRESENT, certainty="definite")
    denying = content._replace(assertion=ABSENT, certainty="absent")
    truth = ASSERTION_OF.get(mention.certainty, mention.assertion)
    return Stated(mention.label, truth, statements.written(stating), statements.written(denying))
