"""Decides on which side of a hedge its finding stands, where the hedge may have it on either.

"possible pneumonia", "likely edema"      the finding follows
"pneumonia possible.", "edema likely at"  the finding is before: the hedge is its predicate
"atelectasis or, less likely, edema"      a remark between commas is said of what follows
"""

from __future__ import annotations

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.context.boundaries import VERBS
from cxr_vlp.nlp.match.tokens import Token
from cxr_vlp.nlp.match.trie import Match

_SIDES = ({"uncertain_after", "uncertain_before"}, {"absent_after", "absent_before"})
_BOTH_SIDES = lexicon.words("grammar", "both_sides")
_PREDICATE_ENDS = lexicon.words("grammar", "predicate_ends")
_NEGATIVE = "neg"
# they deny what follows ("no residual effusion"), or what is before them where nothing follows
_DENYING_EITHER = {
    (_NEGATIVE,),
    *((a, b) for a in ("no", "without") for b in ("residual", "residua", "remnant")),
}
_IF_ANY = ["if", "any"]


def adjusted(text: str, tokens: tuple[Token, ...], cue: Match) -> Match:
    """Return a cue that may apply to both sides with the one side that it applies to here."""
    if len(cue.values) == 1:
        return _of_opinion(text, tokens, cue)
    words = [token.word for token in tokens[cue.start : cue.end]]
    if set(cue.values) == _SIDES[1] and tuple(words) not in _DENYING_EITHER:
        return cue
    if set(cue.values) not in _SIDES or not _BOTH_SIDES.isdisjoint(words):
        return cue
    end = _past_mark(tokens, cue, words)
    if end > cue.end or not is_predicate(text, tokens, cue):
        return Match(cue.start, end, tuple(v for v in cue.values if v.endswith("_after")))
    return Match(cue.start, end, tuple(v for v in cue.values if v.endswith("_before")))


def _of_opinion(text: str, tokens: tuple[Token, ...], cue: Match) -> Match:
    """Return "be considered" without a meaning where it only calls the finding something."""
    is_opinion = cue.values == ("uncertain_before",) and tokens[cue.end - 1].word == "considered"
    if is_opinion and not is_predicate(text, tokens, cue):  # "may be considered benign"
        return Match(cue.start, cue.end, ("neutral",))
    return cue


def _past_mark(tokens: tuple[Token, ...], cue: Match, words: list[str]) -> int:
    """Return the end of a cue, after the mark that only sets it off: "less likely,", "Neg."."""
    following = tokens[cue.end : cue.end + 2]
    if len(following) < 2:
        return cue.end
    before = tokens[cue.start - 1].word if cue.start else ""
    is_neg = words == [_NEGATIVE] and following[0].word == "." and before in ("", ",", ".")
    if words == _IF_ANY:
        is_open = following[0].word == "," and following[1].word not in VERBS
        return cue.end + 1 if is_open else cue.end
    is_remark = following[0].word == "," and (
        before in ("or", "and", "(") or (not before and words[0] == "if")
        or (before == "," and cue.start > 1 and tokens[cue.start - 2].word in ("or", "and"))
    )  # fmt: skip
    return cue.end + 1 if is_neg or is_remark else cue.end


def is_predicate(text: str, tokens: tuple[Token, ...], cue: Match) -> bool:
    """Whether the cue is said of what is before it: nothing follows that it could hedge."""
    if not cue.start:
        return False
    if cue.end == len(tokens):
        return True
    last, following = tokens[cue.end - 1], tokens[cue.end]
    if tokens[cue.start].word == "if":  # "effusion, if present, is small", "little if any effusion"
        return last.word == "present" or following.word in VERBS or not following.word.isalnum()
    if last.word == "?":  # a question mark clings to its finding
        is_apart = last.end < following.start or not following.word.isalnum()
        return not text[last.start - 1].isspace() and is_apart
    return following.word in _PREDICATE_ENDS or not following.word[0].isalnum()
