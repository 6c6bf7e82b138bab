"""A sample's json record comes in, the text that its picture is paired with goes out.

A policy is a name, with a number where it needs one (`sentences(3)`); a recipe lists policies,
and the first that gives words is used. Behind the last stands the shard's caption, which is never
empty, so no sample needs a filler text and none is lost.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from train.errors import ConfigError

Record = Mapping[str, Any]
Policy = Callable[[Record, random.Random], str]


def choose(policies: tuple[Policy, ...], record: Record, rng: random.Random, caption: str) -> str:
    """Return the text of the first policy that has one, else the caption."""
    for policy in policies:
        text = policy(record, rng)
        if text:
            return text
    return caption


@lru_cache(maxsize=16)
def parse(names: tuple[str, ...]) -> tuple[Policy, ...]:
    """Return the policies of a recipe's list; an unknown name fails with the known ones."""
    return tuple(_parse(name) for name in names)


def _parse(name: str) -> Policy:
    if "|" in name:
        return either(tuple(_parse(part.strip()) for part in name.split("|")))
    match = re.fullmatch(r"(\w+)\(([1-9]\d*)\)", name.replace(" ", ""))
    if match and match[1] in COUNTED:
        return COUNTED[match[1]](int(match[2]))
    if name in PLAIN:
        return PLAIN[name]
    known = ", ".join([*sorted(PLAIN), *(f"{each}(k)" for each in sorted(COUNTED))])
    raise ConfigError(f"text.policies: unknown {name!r}; known: {known}")


def field_of(name: str) -> Policy:
    """Return the policy that takes one of the record's text fields as it is."""

    def policy(record: Record, _: random.Random) -> str:
        return str(record.get(name) or "").strip()

    return policy


def either(policies: tuple[Policy, ...]) -> Policy:
    """Return the policy that draws one of these for each sample and epoch: `impression|longest`."""

    def policy(record: Record, rng: random.Random) -> str:
        return rng.choice(policies)(record, rng)

    return policy


def longest(record: Record, _: random.Random) -> str:
    """Return the longer of findings and impression: the fuller account of the same picture."""
    texts = [str(record.get(name) or "").strip() for name in ("impression", "findings")]
    return max(texts, key=len)


def prompt(record: Record, rng: random.Random) -> str:
    """Return one of the record's label prompts, else its single prompt."""
    prompts = [text for text in record.get("prompts") or () if text]
    return rng.choice(prompts) if prompts else str(record.get("prompt") or "")


def sentences(k: int) -> Policy:
    """Return the policy that draws k sentences without replacement and keeps their order.

    Sentences that say nothing of the picture (status `nonfinding`: who was called, how it was
    taken) are not drawn.
    """

    def policy(record: Record, rng: random.Random) -> str:
        rows = [row for row in record.get("sentences") or () if row.get("status") != "nonfinding"]
        chosen = sorted(rng.sample(range(len(rows)), min(k, len(rows))))
        return " ".join(str(rows[place]["text"]).strip() for place in chosen)

    return policy


def statement(record: Record, rng: random.Random) -> str:
    """Return one finding of the report re-said in standard form, present or absent."""
    statements = [text for text in record.get("statements") or () if text]
    return rng.choice(statements) if statements else ""


def prompt_sentences(k: int) -> Policy:
    """Return the policy that draws k sentences of one of the record's label prompts."""

    def policy(record: Record, rng: random.Random) -> str:
        found = re.split(r"(?<=\.)\s+", prompt(record, rng))
        chosen = sorted(rng.sample(range(len(found)), min(k, len(found))))
        return " ".join(found[place] for place in chosen)

    return policy


PLAIN: Mapping[str, Policy] = {
    "impression": field_of("impression"),
    "findings": field_of("findings"),
    "caption": field_of("caption"),
    "abnormal": field_of("abnormal"),
    "longest": longest,
    "prompt": prompt,
    "statement": statement,
}
COUNTED: Mapping[str, Callable[[int], Policy]] = {
    "sentences": sentences,
    "prompt_sentences": prompt_sentences,
}
