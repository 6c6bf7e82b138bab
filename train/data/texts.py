"""A sample's json record comes in, the one or two texts that its picture is paired with go out.

A recipe lists policies, and the first that gives words is used. Behind the last stands the shard's
caption, which is never empty, so no sample needs a filler text and none is lost.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence

from cxr_vlp.pipelines.format.sample import Sample
from cxr_vlp.train.config.recipe import Texts
from cxr_vlp.train.data.policies import Policy, parse


def policies(recipe: Texts) -> tuple[Policy, ...]:
    """Return the policies of a recipe; an unknown name fails with the known ones."""
    return tuple(parse(name, recipe.uncertain) for name in recipe.policies)


def drawn(
    recipe: Texts, record: Sample, rngs: Sequence[random.Random], caption: str
) -> tuple[str, ...]:
    """Return a text for each generator.

    With a record's `translations` (section -> the section's back-translation), each section stands
    in its other wording with probability `recipe.translated`. Two texts that would be the same
    come in different wordings where they can: CXR-CLIP's pair of a report with one section.
    """
    among = policies(recipe)
    there = _translated(record) if recipe.translated else frozenset()
    if not there:
        return tuple(choose(among, record, rng, caption) for rng in rngs)
    found: list[str] = []
    for rng in rngs:
        swapped = {section for section in sorted(there) if rng.random() < recipe.translated}
        state = rng.getstate()
        text = choose(among, _worded(record, swapped), rng, caption)
        if text in found:
            rng.setstate(state)
            text = choose(among, _worded(record, there - swapped), rng, caption)
        found.append(text)
    return tuple(found)


def choose(among: Sequence[Policy], record: Sample, rng: random.Random, caption: str) -> str:
    """Return the text of the first policy that has one, else the caption."""
    for policy in among:
        text = policy(record, rng)
        if text:
            return text
    return caption


def _translated(record: Sample) -> frozenset[str]:
    return frozenset(name for name, text in record.translations.items() if text)


def _worded(record: Sample, sections: Collection[str]) -> Sample:
    """Return the record with some sections in the words of their translation."""
    return record.translated(sections)
