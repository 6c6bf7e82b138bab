"""The plain form of a word: lower case, singular, abbreviations in full.

The tables are in lexicon/en/word_forms.yaml.
"""

from __future__ import annotations

from collections.abc import Mapping

from cxr_vlp.nlp import lexicon

_FORMS: Mapping[str, str] = {
    **lexicon.load("word_forms")["irregular"],
    **lexicon.load("word_forms")["abbreviations"],
}
_NEGATED = lexicon.words("word_forms", "negated")


def singular(word: str) -> str:
    """Return `word` in lower case and singular.

    A wrong singular does no harm: the lexicon's words go through the same function.
    """
    word = word.lower().replace("’", "'")
    if word in _FORMS:
        return _FORMS[word]
    if word in _NEGATED:
        return "not"
    word = word.removesuffix("'s")
    if len(word) <= 3 or not word.endswith("s") or word.endswith(("ss", "us", "is", "ous")):
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "xes", "shes", "ches")):
        return word[:-2]
    return _FORMS.get(word[:-1], word[:-1])
