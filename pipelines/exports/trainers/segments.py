"""Which sentences of a text a trainer keeps, so that no sample is lost unsaid when it reads.

The rules are those of the dataset classes, read from their code: GLoRIA's, which CARZero and MGCA
took over, and MedCLIP's. All of them drop what is not ASCII.
"""

from __future__ import annotations

import re

_NUMBERED = re.compile(r"[0-9]+\.")
_NUMBERED_MEDCLIP = re.compile(r"[0-9]+\.+[^0-9]")
_WORD = re.compile(r"\w+")
_WORD_OR_MARKS = re.compile(r"\w+|[^\w\s]+")  # nltk.wordpunct_tokenize
_MEDCLIP_SHORTEST = 5  # tokens


def gloria(text: str) -> list[str]:
    """Return the sentences that CARZero and MGCA keep: of two words and more."""
    pieces = (piece for part in _NUMBERED.split(text) for piece in part.split("."))
    return [kept for piece in pieces if (kept := _ascii(_WORD.findall(piece.lower())))]


def medclip(text: str) -> list[str]:
    """Return the sentences that MedCLIP keeps: of five words and marks and more."""
    pieces = (piece for part in _NUMBERED_MEDCLIP.split(text) for piece in part.split(". "))
    found = (_ascii(_WORD_OR_MARKS.findall(piece.lower())) for piece in pieces)
    return [kept for kept in found if len(kept.split(" ")) >= _MEDCLIP_SHORTEST]


def _ascii(tokens: list[str]) -> str:
    if len(tokens) < 2:
        return ""
    plain = (token.encode("ascii", "ignore").decode() for token in tokens)
    return " ".join(token for token in plain if token)
