"""A recipe's list of text policies comes in, functions from a record to a text go out.

A policy is a name, with a number where it needs one: `sentences(3)`, or `sentences(any)` for a
drawn number; `a|b` draws one of two. A policy that finds no words gives "".
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from cxr_vlp.nlp.prompts import report_prompts
from cxr_vlp.pipelines.format.sample import Sample
from cxr_vlp.train.data.normality import filtered, is_normal, of_picture
from cxr_vlp.train.errors import ConfigError

Policy = Callable[[Sample, random.Random], str]
Draws = Callable[[Sample, random.Random], Sequence[str]]  # the texts of which a policy takes some
ANY = 0  # as a number of sentences: a drawn one


@lru_cache(maxsize=64)
def parse(name: str, uncertain: str = "abnormal") -> Policy:
    """Return the policy of that name; an unknown name fails with the known ones.

    `uncertain`: what a sentence counts as for a filter that is not sure: abnormal | normal.
    """
    if "|" in name:
        return either(tuple(parse(part.strip(), uncertain) for part in name.split("|")))
    match = re.fullmatch(r"(\w+)\(([1-9]\d*|any)\)", name.replace(" ", ""))
    counted = {**COUNTED, **_filters(uncertain)}
    if match and match[1] in counted:
        return some(counted[match[1]], ANY if match[2] == "any" else int(match[2]))
    if name in PLAIN:
        return PLAIN[name]
    known = ", ".join([*sorted(PLAIN), *(f"{each}(k)" for each in sorted(counted))])
    raise ConfigError(f"text.policies: unknown {name!r}; known: {known}")


def field_of(name: str) -> Policy:
    """Return the policy that takes one of the record's text fields as it is."""

    def policy(record: Sample, _: random.Random) -> str:
        return str(getattr(record, name)).strip()

    return policy


def either(policies: Sequence[Policy]) -> Policy:
    """Return the policy that draws one of these for each sample and epoch: `impression|longest`."""

    def policy(record: Sample, rng: random.Random) -> str:
        return rng.choice(policies)(record, rng)

    return policy


def some(source: Draws, k: int) -> Policy:
    """Return the policy that draws k of some texts without replacement and keeps their order."""

    def policy(record: Sample, rng: random.Random) -> str:
        found = [text for text in source(record, rng) if text]
        if not found:
            return ""
        count = min(k, len(found)) if k else rng.randint(1, len(found))
        return " ".join(found[place] for place in sorted(rng.sample(range(len(found)), count)))

    return policy


def report(record: Sample, rng: random.Random) -> str:
    """Return findings and impression, one behind the other."""
    sections = (field_of(name)(record, rng) for name in ("findings", "impression"))
    return " ".join(text for text in sections if text)


def longest(record: Sample, rng: random.Random) -> str:
    """Return the longer of findings and impression: the fuller account of the same picture."""
    return max((field_of(name)(record, rng) for name in ("impression", "findings")), key=len)


def prompt(record: Sample, rng: random.Random) -> str:
    """Return one of the record's label prompts, else its single prompt."""
    prompts = [text for text in record.prompts if text]
    return rng.choice(prompts) if prompts else record.prompt


def labels(record: Sample, rng: random.Random) -> str:
    """Return a label prompt made anew: in every epoch another wording. It denies zeros only."""
    return _prompt_of(record.all_labels, rng, negatives=3)


def filtered_labels(record: Sample, rng: random.Random) -> str:
    """Return a new label prompt that denies nothing: what is there, or that nothing is."""
    row = record.all_labels
    said = {name: value for name, value in row.items() if value}
    return _prompt_of(said, rng, negatives=0)


def sentences(record: Sample, _: random.Random) -> list[str]:
    """Return the report's sentences, without those that say nothing of the picture."""
    return [row.text.strip() for row in of_picture(record)]


def statements(record: Sample, _: random.Random) -> Sequence[str]:
    """Return the findings of the report re-said in standard form, present or absent."""
    return record.statements


def prompt_sentences(record: Sample, rng: random.Random) -> list[str]:
    """Return the sentences of one of the record's label prompts."""
    return re.split(r"(?<=\.)\s+", prompt(record, rng))


def _filters(uncertain: str) -> Mapping[str, Draws]:
    def kept_statements(record: Sample, rng: random.Random) -> list[str]:
        normal = is_normal(record, uncertain)
        return [text for text in statements(record, rng) if _denies(text) == normal]

    return {
        "filtered": lambda record, _: filtered(record, uncertain),
        "filtered_statements": kept_statements,
    }


def _denies(statement: str) -> bool:
    # The standard form has three beginnings: there is, there may be, there is no.
    return statement.startswith(("There is no ", "There are no "))


def _prompt_of(row: Mapping[str, int], rng: random.Random, negatives: int) -> str:
    made = report_prompts(
        row, k=1, seed=rng.getrandbits(32), epoch=0, key="", negatives=negatives
    )  # fmt: skip
    return made[0] if made else ""


PLAIN: Mapping[str, Policy] = {
    "impression": field_of("impression"),
    "findings": field_of("findings"),
    "caption": field_of("caption"),
    "abnormal": field_of("abnormal"),
    "report": report,
    "longest": longest,
    "prompt": prompt,
    "labels": labels,
    "filtered_labels": filtered_labels,
    "statement": some(statements, 1),
}
COUNTED: Mapping[str, Draws] = {
    "sentences": sentences,
    "statements": statements,
    "prompt_sentences": prompt_sentences,
}
