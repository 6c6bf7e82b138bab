"""Tells the language of a report, so that a report that the engine cannot read gets no labels.

Each word counts for the languages that have it (lexicon/languages.yaml), and for English where it
is in the lexicon or is a small word of English. The language with the most words wins; English
wins a tie. A word that no list has counts for nobody, so that names, slips and telegrams ("Lungs
clear.") stay English. A text of another script is told by its letters.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Mapping

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.match.words import singular

_WORD = re.compile(r"[^\W\d_]{2,}")
_ENGLISH = lexicon.words("layout", "english")
_SHARED = lexicon.words("layout", "english_shared")
_INTERNATIONAL = lexicon.words("layout", "international")
_ENOUGH = 5  # a text with one word in so many that only English has is English
_WITHOUT_MARKS = str.maketrans(".,;:", "    ")
_LEAST_STEM = 4
_SCRIPTS = {
    "ko": re.compile("[\u1100-\u11ff\uac00-\ud7af]"),
    "ja": re.compile("[\u3040-\u30ff]"),
    "zh": re.compile("[\u3400-\u9fff\uf900-\ufaff]"),
    "el": re.compile("[\u0370-\u03ff\u1f00-\u1fff]"),
    "ru": re.compile("[\u0400-\u052f]"),
    "he": re.compile("[\u0590-\u05ff]"),
    "ar": re.compile("[\u0600-\u06ff\u0750-\u077f\ufb50-\ufdff\ufe70-\ufeff]"),
    "hi": re.compile("[\u0900-\u0dff]"),
    "th": re.compile("[\u0e00-\u0eff]"),
}
_OTHER_SCRIPT = re.compile("[\u0370-\u1dff\u1f00-\u1fff\u2c00-\ud7ff\uf900-\ufdff\ufe70-\ufeff]")
_LATIN = re.compile("[A-Za-z\u00c0-\u024f\u1e00-\u1eff]")
_STROKES = str.maketrans({"ł": "l", "ø": "o", "đ": "d", "ß": "ss", "æ": "ae", "œ": "oe", "ı": "i"})


def of(text: str) -> str:
    """Return the code of the language of a text ("de"); that of the lexicon where unsure.

    >>> of("Lungs clear."), of("Herz nicht vergrößert."), of("cardiomegali . sin hallazg agud .")
    ('en', 'de', 'es')
    """
    if not text.isascii():
        script = _script(text)
        if script:
            return script
    words = text.lower().translate(_WITHOUT_MARKS).split()
    if sum(map(_ENGLISH.__contains__, words)) * _ENOUGH > len(words):
        return lexicon.LANGUAGE
    return _of_words(text)


def _script(text: str) -> str:
    """Return the language of the script that most letters have; "" where they are Latin."""
    others = len(_OTHER_SCRIPT.findall(text))
    if others * 2 <= len(_LATIN.findall(text)):
        return ""
    counts = {code: len(letters.findall(text)) for code, letters in _SCRIPTS.items()}
    return max(counts, key=counts.__getitem__) if any(counts.values()) else ""


def _of_words(text: str) -> str:
    counts: dict[str, int] = {}
    for word in _WORD.findall(text):
        for code in _languages(word):
            counts[code] = counts.get(code, 0) + 1
    english = counts.pop(lexicon.LANGUAGE, 0)
    if not counts:
        return lexicon.LANGUAGE
    code, most = max(counts.items(), key=lambda item: (item[1], item[0]))
    return code if most > english else lexicon.LANGUAGE


@functools.lru_cache(maxsize=32768)
def _languages(word: str) -> tuple[str, ...]:
    """Return the languages that have `word`; () for a word that tells none."""
    folded = _folded(word.lower())
    if folded in _INTERNATIONAL:
        return ()
    words, stems = _tables()
    found = set(words.get(folded, ()))
    for length in range(_LEAST_STEM, len(folded) + 1):
        found.update(stems.get(folded[:length], ()))
    if folded in _ENGLISH or folded in _SHARED or _is_in_lexicon(folded):
        found.add(lexicon.LANGUAGE)
    return tuple(sorted(found))


def _is_in_lexicon(word: str) -> bool:
    return not lexicon.vocabulary().isdisjoint((word, singular(word)))


@functools.cache
def _tables() -> tuple[Mapping[str, tuple[str, ...]], Mapping[str, tuple[str, ...]]]:
    """Return word -> languages and stem -> languages."""
    tables: tuple[dict[str, tuple[str, ...]], ...] = ({}, {})
    for code, lists in lexicon.languages().items():
        for table, group in zip(tables, ("words", "stems"), strict=True):
            for word in lists[group]:
                table[_folded(word)] = (*table.get(_folded(word), ()), code)
    return tables[0], tables[1]


def _folded(word: str) -> str:
    """Return a word in lower case without accents."""
    if word.isascii():
        return word
    parts = unicodedata.normalize("NFD", word.translate(_STROKES))
    return "".join(c for c in parts if not unicodedata.combining(c))
