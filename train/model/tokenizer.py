"""open_clip's own tokenizer comes in, the same tokenizer with a memory for words goes out.

Reports use few words again and again; CLIP's byte-pair code looks at each letter of each again,
after a repair of broken Unicode that plain English does not need: a sixth of a loader's time.
"""

from __future__ import annotations

from open_clip.tokenizer import SimpleTokenizer, get_clean_fn

WORDS = 50_000  # that a process remembers


class Remembering(SimpleTokenizer):
    """A tokenizer that gives the tokens of another one, sooner for plain English."""

    def __init__(self, tokenizer: SimpleTokenizer) -> None:
        self.__dict__.update(vars(tokenizer))
        self.known: dict[str, tuple[int, ...]] = {}

    def encode(self, text: str) -> list[int]:
        """Return a text's tokens, without those of its start and end."""
        # Printable ASCII is what CLIP's cleaning leaves as it is, HTML's entities apart; blanks it
        # joins, but none of the words holds one.
        if not (text.isascii() and text.isprintable()) or "&" in text:
            return self._whole(text)
        words = self.pat.findall(text.lower())
        return [token for word in words for token in self._tokens(word)]

    def _tokens(self, word: str) -> tuple[int, ...]:
        found = self.known.get(word)
        if found is None:
            found = tuple(self._whole(word))
            if len(self.known) < WORDS:
                self.known[word] = found
        return found

    def _whole(self, text: str) -> list[int]:
        tokens: list[int] = super().encode(text)
        return tokens


def remembering(tokenizer: SimpleTokenizer) -> SimpleTokenizer:
    """Return the tokenizer with a memory; one that cleans otherwise than CLIP's as it is."""
    plain = tokenizer.clean_fn is get_clean_fn("lower")
    return Remembering(tokenizer) if plain else tokenizer
