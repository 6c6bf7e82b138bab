"""Makes the text policies of a recipe: functions from a sample to a text.

A policy is a name, with a number where it needs one: `sentences(3)`, or `sentences(any)` for a
random number; `a|b` draws one of two. A policy that finds no words returns "".
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from cxr_vlp.nlp.wording.prompts import report_prompts
from cxr_vlp.pipelines.format.sample import Sample
from cxr_vlp.train.data.normality import filtered, is_normal, of_image
from cxr_vlp.train.errors import ConfigError

Policy = Callable[[Sample, random.Random], str]
Draws = Callable[[Sample, random.Random], Sequence[str]]  # the texts from which a policy takes some
ANY = 0  # as a number of sentences: a random number


@lru_cache(maxsize=64)
def parse(name: str, uncertain: str = "abnormal") -> Policy:
    """Return the policy of that name. Raises ConfigError for an unknown name, with the known ones.

    `uncertain`: what an uncertain sentence counts as for the filter: abnormal | normal.
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
    """Return the policy that takes one of the sample's text fields as it is."""

    def policy(sample: Sample, _: random.Random) -> str:
        return str(getattr(sample, name)).strip()

    return policy


def either(policies: Sequence[Policy]) -> Policy:
    """Return the policy that draws one of these for each sample and epoch: `impression|longest`."""

    def policy(sample: Sample, rng: random.Random) -> str:
        return rng.choice(policies)(sample, rng)

    return policy


def some(source: Draws, k: int) -> Policy:
    """Return the policy that draws k of some texts without replacement and keeps their order."""

    def policy(sample: Sample, rng: random.Random) -> str:
        found = [text for text in source(sample, rng) if text]
        if not found:
            return ""
        count = min(k, len(found)) if k else rng.randint(1, len(found))
        return " ".join(found[place] for place in sorted(rng.sample(range(len(found)), count)))

    return policy


def report(sample: Sample, rng: random.Random) -> str:
    """Return findings and impression, joined."""
    sections = (field_of(name)(sample, rng) for name in ("findings", "impression"))
    return " ".join(text for text in sections if text)


def longest(sample: Sample, rng: random.Random) -> str:
    """Return the longer of findings and impression: the fuller description of the image."""
    return max((field_of(name)(sample, rng) for name in ("impression", "findings")), key=len)


def prompt(sample: Sample, rng: random.Random) -> str:
    """Return one of the sample's label prompts, else its single prompt."""
    prompts = [text for text in sample.prompts if text]
    return rng.choice(prompts) if prompts else sample.prompt


def labels(sample: Sample, rng: random.Random) -> str:
    """Return a new label prompt: other words in every epoch. It denies zeros only."""
    return _prompt_of(sample.all_labels, rng, negatives=3)


def filtered_labels(sample: Sample, rng: random.Random) -> str:
    """Return a new label prompt that denies nothing: the findings, or that there is none."""
    row = sample.all_labels
    said = {name: value for name, value in row.items() if value}
    return _prompt_of(said, rng, negatives=0)


def sentences(sample: Sample, _: random.Random) -> list[str]:
    """Return the report's sentences, without those that say nothing of the image."""
    return [sentence.text.strip() for sentence in of_image(sample)]


def prior_free_sentences(sample: Sample, _: random.Random) -> list[str]:
    """Return the report's sentences as a single image can justify them (nlp/wording/priors)."""
    return [sentence.prior_free.strip() for sentence in of_image(sample)]


def statements(sample: Sample, _: random.Random) -> Sequence[str]:
    """Return the findings of the report in standard form, present or absent."""
    return sample.statements


def prompt_sentences(sample: Sample, rng: random.Random) -> list[str]:
    """Return the sentences of one of the sample's label prompts."""
    return re.split(r"(?<=\.)\s+", prompt(sample, rng))


def _filters(uncertain: str) -> Mapping[str, Draws]:
    def kept_statements(sample: Sample, rng: random.Random) -> list[str]:
        normal = is_normal(sample, uncertain)
        return [text for text in statements(sample, rng) if _denies(text) == normal]

    return {
        "filtered": lambda sample, _: filtered(sample, uncertain),
        "filtered_statements": kept_statements,
    }


def _denies(statement: str) -> bool:
    # The standard form denies in two ways: "There is no edema.", "Pneumonia is unlikely.".
    return statement.startswith(("There is no ", "There are no ")) or statement.endswith(
        " unlikely."
    )


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
    "prior_free": field_of("prior_free"),
    "report": report,
    "longest": longest,
    "prompt": prompt,
    "labels": labels,
    "filtered_labels": filtered_labels,
    "statement": some(statements, 1),
}
COUNTED: Mapping[str, Draws] = {
    "sentences": sentences,
    "prior_free_sentences": prior_free_sentences,
    "statements": statements,
    "prompt_sentences": prompt_sentences,
}
