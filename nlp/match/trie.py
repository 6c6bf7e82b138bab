"""Finds the phrases of a table among the tokens of a sentence.

The table is a trie over plain words. "~" in a phrase matches up to four filler words, so that
"no ~ change in" finds "no change in" and "no significant interval change in". No phrase begins
with it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence, Set
from typing import Any, NamedTuple

from cxr_vlp.nlp.match.tokens import Token, tokenize

GAP = "~"
MAX_FILLERS = 4
_END = " "  # no token has a blank


class Match(NamedTuple):
    """A phrase found at tokens[start:end], and the values that the table has for it."""

    start: int
    end: int
    values: tuple[Any, ...]


class Phrases:
    """A table phrase -> values that finds the longest phrase at each place, left to right."""

    def __init__(
        self, entries: Iterable[tuple[str, Any]], fillers: Collection[str] = frozenset()
    ) -> None:
        self._root: dict[str, Any] = {}
        self._fillers = frozenset(fillers)
        for phrase, value in entries:
            node = self._root
            for piece in phrase.split():
                words = [GAP] if piece == GAP else [t.word for t in tokenize(piece)]
                for word in words:
                    node = node.setdefault(word, {})
            known = node.get(_END, ())
            node[_END] = known if value in known else (*known, value)

    def first_words(self) -> Set[str]:
        """Return the words that a phrase can begin with."""
        return self._root.keys()

    def may_be_in(self, words: Collection[str]) -> bool:
        """Whether a phrase can begin with one of `words`: a cheap test before `find`."""
        return not self._root.keys().isdisjoint(words)

    def find(self, tokens: Sequence[Token]) -> list[Match]:
        """Return the phrases in `tokens`, none overlapping another."""
        return self.find_words([token.word for token in tokens])

    def find_words(self, words: list[str]) -> list[Match]:
        """Return what `find` does, of the words of tokens."""
        matches, end = [], 0
        first = self._root.get
        for at, word in enumerate(words):
            node = first(word)
            if node is not None and at >= end:
                found = self._longest(words, node, at + 1)
                if found is not None:
                    end, values = found
                    matches.append(Match(at, end, values))
        return matches

    def _longest(
        self, words: list[str], node: dict[str, Any], at: int
    ) -> tuple[int, tuple[Any, ...]] | None:
        """Return the end and the values of the longest phrase that goes on from `node` at `at`."""
        best: tuple[int, tuple[Any, ...]] | None = None
        for place in range(at, len(words) + 1):
            if _END in node:
                best = (place, node[_END])
            if GAP in node:
                return self._longest_of_many(words, node, place) or best
            following = node.get(words[place]) if place < len(words) else None
            if following is None:
                break
            node = following
        return best

    def _longest_of_many(
        self, words: list[str], start: dict[str, Any], at: int
    ) -> tuple[int, tuple[Any, ...]] | None:
        """Return what `_longest` does, from the first gap of a phrase on: paths divide there."""
        best: tuple[int, tuple[Any, ...]] | None = None
        paths = [(start, at)]
        while paths:
            node, place = paths.pop()
            if _END in node and (best is None or place >= best[0]):
                same = best[1] if best and place == best[0] else ()
                best = (place, tuple(dict.fromkeys((*same, *node[_END]))))
            if GAP in node:
                paths.extend((node[GAP], after) for after in self._gap(words, place))
            if place < len(words) and words[place] in node:
                paths.append((node[words[place]], place + 1))
        return best

    def _gap(self, words: list[str], place: int) -> Iterable[int]:
        """Yield the places where a phrase may continue after 0 to MAX_FILLERS fillers."""
        yield place
        for after in range(place, min(place + MAX_FILLERS, len(words))):
            if words[after] not in self._fillers:
                return
            yield after + 1
