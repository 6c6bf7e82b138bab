"""Makes the texts that assert and deny a label, as a protocol says.

Whole texts of a label come first, then templates with the label's name, then a bank of ours.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from cxr_vlp.nlp.labels import NO_FINDING
from cxr_vlp.nlp.wording.prompts import zero_shot
from cxr_vlp.train.evaluation.protocols.prompt_files import own_prompts
from cxr_vlp.train.evaluation.protocols.protocol import PromptConfig, Protocol

# Two ways to ask for No Finding, beside its own column (zeroshot/no_finding.py has all four).
DIRECT, PAIR = "direct", "pair"


@dataclass(frozen=True, slots=True)
class LabelTexts:
    """The texts of a label in both polarities, and how its score is made of them."""

    label: str
    positive: tuple[str, ...]
    negative: tuple[str, ...]
    score: str  # Protocol.score

    def listed(self) -> dict[str, list[str]]:
        """Return the texts as metrics.json holds them."""
        return {"positive": list(self.positive), "negative": list(self.negative)}


def of_labels(labels: Sequence[str], protocol: Protocol) -> tuple[LabelTexts, ...]:
    """Return the texts of the labels. Raises ConfigError for a bank that cannot be read."""
    return tuple(_label(label, protocol.prompts, protocol.score) for label in labels)


def of_no_finding(protocol: Protocol) -> Mapping[str, LabelTexts]:
    """Return the texts of No Finding asked directly, and as a pair.

    direct: "There is no finding" alone; a raw similarity where the protocol's scores are raw. pair:
    the protocol's own texts; where it has none that deny No Finding, all our wordings for and
    against it.
    """
    prompts = protocol.prompts
    alone = replace(prompts, bank="direct", positive=(), negative=(), texts={})
    pair = _label(NO_FINDING, prompts, "pair")
    if not pair.negative:
        ours = replace(prompts, bank="frames", positive=(), negative=(), texts={})
        pair = _label(NO_FINDING, ours, "pair")
    raw = "positive" if protocol.score == "positive" else "sigmoid"
    return {DIRECT: _label(NO_FINDING, alone, raw), PAIR: pair}


def _label(label: str, prompts: PromptConfig, score: str) -> LabelTexts:
    positive, negative = _both(label, prompts)
    if prompts.plain:
        positive, negative = tuple(map(plain, positive)), tuple(map(plain, negative))
    return LabelTexts(label, positive, negative, score)


def _both(label: str, prompts: PromptConfig) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if label in prompts.texts:
        own = prompts.texts[label]
        return (own["positive"],), tuple(text for text in [own.get("negative", "")] if text)
    if not prompts.positive:
        return zero_shot(label, prompts.bank, own_prompts(prompts))
    name = prompts.names.get(label) or (_lower(label) if prompts.case == "lower" else label)
    return (
        tuple(template.replace("{}", name) for template in prompts.positive),
        tuple(template.replace("{}", name) for template in prompts.negative),
    )


def plain(text: str) -> str:
    """Return a text in lower case, words only, ASCII only, as CARZero's tokenizer gets it.

    >>> plain("There is nodule/mass.")
    'there is nodule mass'
    """
    words = re.findall(r"\w+", text.lower())
    return " ".join(word.encode("ascii", "ignore").decode() for word in words)


def _lower(label: str) -> str:
    """Return a label in lower case, but abbreviations."""
    return " ".join(word if word.isupper() else word.lower() for word in label.split())
