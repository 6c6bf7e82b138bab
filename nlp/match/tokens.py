"""Words of a sentence: text in, tokens with their places and a plain form out.

The plain form is lower case and singular, so that one lexicon line finds "Opacities" and "opacity";
hyphens only join ("non-displaced" is two tokens), and de-identification masks are no tokens at all.
"""

from __future__ import annotations

import functools
import re
from typing import NamedTuple

_TOKEN = re.compile(
    r"(?P<mask>\[\*\*.*?\*\*\]|X{3,}|_{2,})"
    r"|(?P<number>\d+(?:[.,:]\d+)*)"
    r"|(?P<word>[^\W\d_]+(?:['’][^\W\d_]{1,2}\b)?)"
    r"|(?P<mark>--+|[^\w\s])"
)

# plurals that no rule gives
_IRREGULAR = {
    "atelectases": "atelectasis", "metastases": "metastasis", "pneumothoraces": "pneumothorax",
    "bullae": "bulla", "hila": "hilum", "hili": "hilum", "vertebrae": "vertebra",
    "apices": "apex", "bronchi": "bronchus", "foci": "focus", "sulci": "sulcus",
    "emboli": "embolus", "calculi": "calculus", "diagnoses": "diagnosis",
    "prostheses": "prosthesis", "bronchiectases": "bronchiectasis", "lungs": "lung",
    "haemothoraces": "hemothorax", "hydropneumothoraces": "hydropneumothorax",
    "scapulae": "scapula", "pleurae": "pleura", "alveoli": "alveolus", "bases": "base",
    "viscera": "viscus", "fibroses": "fibrosis", "stenoses": "stenosis", "axillae": "axilla",
    "can't": "cannot", "cant": "cannot", "processes": "process", "abscesses": "abscess",
    "masses": "mass", "densities": "density", "x": "x", "lenses": "lens", "pus": "pus",
    "gas": "gas", "gases": "gas", "discs": "disc", "disk": "disc", "disks": "disc",
    "oedema": "edema", "tumour": "tumor", "haemorrhage": "hemorrhage", "visualised": "visualized",
    "calibre": "caliber", "oesophagus": "esophagus", "grey": "gray", "xray": "xray",
    "identifed": "identified", "wnl": "wnl", "an't": "not",
}  # fmt: skip
_NEGATED = {"isn't", "aren't", "wasn't", "weren't", "doesn't", "don't", "didn't", "hasn't",
            "haven't", "hadn't", "won't", "wouldn't", "couldn't", "shouldn't"}  # fmt: skip


class Token(NamedTuple):
    """A word or mark: its plain form and its place in the sentence."""

    word: str
    start: int
    end: int


@functools.lru_cache(maxsize=65536)
def plain(word: str) -> str:
    """Return `word` in lower case and singular; wrong singulars do no harm, being the same
    in lexicon and text."""
    word = word.lower().replace("’", "'")
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if word in _NEGATED:
        return "not"
    word = word.removesuffix("'s")
    if len(word) <= 3 or not word.endswith("s") or word.endswith(("ss", "us", "is", "ous")):
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "xes", "shes", "ches")):
        return word[:-2]
    return word[:-1]


def tokenize(text: str) -> tuple[Token, ...]:
    """Return the tokens of `text` in order, without masks and joining hyphens."""
    tokens = []
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup
        if kind == "mask":
            continue
        if kind == "mark" and _joins(text, match.start(), match.end()):
            continue
        tokens.append(Token(plain(match.group()), match.start(), match.end()))
    return tuple(tokens)


def _joins(text: str, start: int, end: int) -> bool:
    """Whether the mark at `start` is a hyphen between two letters or digits."""
    if text[start:end] not in ("-", "‐", "‑"):
        return False
    return start > 0 and end < len(text) and not text[start - 1].isspace() and text[end].isalnum()
