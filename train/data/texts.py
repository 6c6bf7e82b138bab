"""Chooses the one or two texts that an image is paired with.

A recipe lists policies, and the first that finds words is used. After the last comes the sample's
caption, which is never empty, so no sample needs a filler text and none is lost.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence

from cxr_vlp.pipelines.format.sample import Sample
from cxr_vlp.train.config.recipe import TextConfig
from cxr_vlp.train.data.policies import Policy, parse


def policies(recipe: TextConfig) -> tuple[Policy, ...]:
    """Return the policies of a recipe. Raises ConfigError for an unknown name."""
    return tuple(parse(name, recipe.uncertain) for name in recipe.policies)


def drawn(
    recipe: TextConfig, sample: Sample, rngs: Sequence[random.Random], caption: str
) -> tuple[str, ...]:
    """Return a text for each generator.

    With a sample's `translations` (section -> its back-translation), each section is replaced by
    its translation with probability `recipe.translated`. Where two texts would be the same, the
    second uses the other wording if it can: CXR-CLIP's pair of a report with one section.
    """
    among = policies(recipe)
    there = _translated(sample) if recipe.translated else frozenset()
    if not there:
        return tuple(choose(among, sample, rng, caption) for rng in rngs)
    found: list[str] = []
    for rng in rngs:
        swapped = {section for section in sorted(there) if rng.random() < recipe.translated}
        state = rng.getstate()
        text = choose(among, _worded(sample, swapped), rng, caption)
        if text in found:
            rng.setstate(state)
            text = choose(among, _worded(sample, there - swapped), rng, caption)
        found.append(text)
    return tuple(found)


def choose(among: Sequence[Policy], sample: Sample, rng: random.Random, caption: str) -> str:
    """Return the text of the first policy that finds one, else the caption."""
    for policy in among:
        text = policy(sample, rng)
        if text:
            return text
    return caption


def _translated(sample: Sample) -> frozenset[str]:
    return frozenset(name for name, text in sample.translations.items() if text)


def _worded(sample: Sample, sections: Collection[str]) -> Sample:
    """Return the sample with some sections replaced by their translation."""
    return sample.translated(sections)
