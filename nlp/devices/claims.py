"""Finds what a sentence says of one device: where it lies, whether well, whether it is gone."""

from __future__ import annotations

from collections.abc import Sequence

from cxr_vlp.nlp.context import scope
from cxr_vlp.nlp.context.scope import ABSENT, PRESENT, UNCERTAIN, Assertion, Scopes, Verdict
from cxr_vlp.nlp.devices import places as device_places
from cxr_vlp.nlp.devices import words as device_words
from cxr_vlp.nlp.devices.heads import CARDIAC
from cxr_vlp.nlp.devices.items import Item
from cxr_vlp.nlp.devices.places import Place
from cxr_vlp.nlp.devices.words import Word
from cxr_vlp.nlp.findings.mention import ADEQUATE, MALPOSITIONED, REMOVED

_SAID = Verdict(PRESENT, "", "")
_FAULTS = ("wrong", "broken", "looped")
_GONE = Verdict(ABSENT, "", "")
_UAC = "umbilical arterial catheter"
_GATE = "gastroesophageal junction"
_ONE_OF_TWO = 2  # tokens of "high position"
_AIM = 12  # tokens from the advice to the place where the device should be


class Claims:
    """What is said of one device."""

    def __init__(
        self, scopes: Scopes, item: Item, places: Sequence[Place], words: Sequence[Word]
    ) -> None:
        self.scopes, self.item = scopes, item
        self.used: set[int] = set()
        self._name = range(item.start, item.end)
        self.broken: list[Word] = []
        self.wrong: Assertion | None = None  # a wrong place: PRESENT or UNCERTAIN
        self.position, self.tip = "", ""
        self._is_fault_denied = False  # "no line malposition" denies no line
        self._is_good = self._is_removed = False
        self._is_to_go = False  # advice to remove it: so it is there
        self._is_replaced = item.is_swapped
        self._moves = self._advice(words)
        self._read_places(places)
        self._read_words(words)
        self.verdict = self._verdict()
        self.position = self._position()
        self.is_device = not item.is_tip or bool(self.position or self.tip)

    # places

    def _read_places(self, places: Sequence[Place]) -> None:
        own = [
            p for p in places if self._has(p.start) and device_places.counts_for(p, self.item.name)
        ]
        self.used.update(i for p in own for i in range(p.start, p.end))
        ends = []
        for place in own:
            if self._is_of_side_port(place):
                self._judge_side_port(place)
            elif place.passed and place.tip == _GATE and self._is_denied(place):
                self.wrong = PRESENT  # "has not passed the GE junction"
            elif (
                (place.passed and not self._is_left(place))
                or self._is_former(place)
                or self._is_aim(place)
            ):
                continue
            elif self._is_denied(place):
                if device_places.is_home(place, self.item.name):
                    self.wrong = PRESENT
            else:
                ends.append(place)
        self._choose(ends)
        tokens, name = self.scopes.tokens, self.item.name
        levels = (device_places.level(tokens, region, name) for region in self.item.after)
        level = next((found for found in levels if found is not None), None)
        if level is not None:
            self._is_good, self.wrong = level, None if level else PRESENT

    def _choose(self, ends: Sequence[Place]) -> None:
        """Choose the place of the tip: the last, but the first of those that "or" joins."""
        name = self.item.name
        if self.item.is_listed:
            fitting = [p for p in ends if device_places.is_right(p, name, "")]
            ends = fitting[:1] or ends
        if not ends:
            return
        chosen = len(ends) - 1
        while chosen and ends[chosen].joined and name not in CARDIAC:
            chosen -= 1
        place = ends[chosen]
        if (place.view or place.tip == "below the diaphragm") and chosen:
            better = [p for p in ends[:chosen] if p.tip in ("stomach", "duodenum")]
            place = better[-1] if better else place
        self.tip = place.tip
        if device_places.is_wrong(place, name, self.item.side):
            self._mark(self._doubt(place.start, place.end))
        elif device_places.is_right(place, name, ""):
            self._is_good = True

    def _is_of_side_port(self, place: Place) -> bool:
        tokens = self.scopes.tokens
        for at in range(place.start - 1, max(0, place.start - 10) - 1, -1):
            word = tokens[at].word
            if word in ("tip", ";") or not self._has(at):
                return False
            if word in device_words.group("side_ports") and at not in self._name:
                return not any(t.word == "tip" for t in tokens[max(0, at - 3) : at])
        return False

    def _judge_side_port(self, place: Place) -> None:
        name = self.item.name
        is_out = (
            device_places.is_home(place, name)
            if self._is_denied(place)
            else device_places.is_wrong(place, name, "")
        )
        if is_out:
            self._mark(self._doubt(place.start, place.end))

    def _advice(self, words: Sequence[Word]) -> list[int]:
        """Return the ends of the words that advise to move the device."""
        tokens = self.scopes.tokens
        moves = ((w, self._region(w)) for w in words if w.kind in device_words.MOVES)
        return [
            word.end
            for word, region in moves
            if region and device_words.meaning(tokens, word, region) == device_words.ADVICE
        ]

    def _is_aim(self, place: Place) -> bool:
        """Whether the device should be moved there ("withdraw 2 cm to reach the SVC")."""
        tokens = self.scopes.tokens
        for end in self._moves:
            if 0 <= place.start - end <= _AIM:
                between = {t.word for t in tokens[end : place.end]}
                if between.isdisjoint(device_words.group("no_aim")):
                    return True
        return False

    def _is_left(self, place: Place) -> bool:
        """Whether the device should be moved from there ("pull back from the right bronchus")."""
        words = [t.word for t in self.scopes.tokens[place.begin - 6 : place.start]]
        near = any(0 <= place.start - end <= _AIM for end in self._moves)
        return near and "from" in words

    def _is_former(self, place: Place) -> bool:
        before = self.scopes.tokens[max(0, place.start - 4) : place.start]
        return any(t.word in device_words.group("former") or t.word == "if" for t in before)

    def _is_denied(self, place: Place) -> bool:
        tokens = self.scopes.tokens
        for at in range(place.start - 1, max(0, place.start - 6) - 1, -1):
            if tokens[at].word in (",", ";", "tip") or not self._has(at):
                return False
            if tokens[at].word in device_words.group("deny"):
                return not (at + 1 < len(tokens) and tokens[at + 1].word == "well")
        return False

    def _has(self, place: int) -> bool:
        return any(place in region for region in self.item.after) or place in self.item.before

    def _doubt(self, start: int, end: int) -> Assertion:
        found = scope.verdict(self.scopes, start, end)
        if found.assertion == UNCERTAIN:
            return PRESENT if self._is_past_denial(found) else UNCERTAIN
        between = {t.word for t in self.scopes.tokens[self.item.end : start]}
        if not between.isdisjoint(device_words.group("doubts")):
            return UNCERTAIN
        own = scope.verdict(self.scopes, self.item.start, self.item.end)
        is_between = own.category == "uncertain_before" and start > self.item.end
        if is_between and own.trigger in self.scopes.words(self.item.end, start):
            return UNCERTAIN  # "is suspected to be in the bronchus"
        return PRESENT

    def _mark(self, state: Assertion) -> None:
        if self.wrong != PRESENT:
            self.wrong = state

    # words

    def _read_words(self, words: Sequence[Word]) -> None:
        for word in words:
            region = self._region(word)
            if (
                region is not None
                and not self._is_name(word)
                and not self._is_of_body(word, region)
            ):
                self._read_word(word, region)

    def _read_word(self, word: Word, region: range) -> None:
        item = self.item
        is_height = self.scopes.tokens[word.start].word in ("low", "high")
        if is_height and item.name == _UAC and word.end - word.start == _ONE_OF_TWO:
            self.used.update(range(word.start, word.end))
            return  # "in a high position" names one of its two right places
        what = device_words.meaning(self.scopes.tokens, word, region, item.end)
        is_next = item.start <= word.start <= item.end + 1 and word.end > item.end
        if is_next and not what and word.kind in _FAULTS:
            self._is_fault_denied = True
        if word.start < item.start and word.start not in item.before:
            what = what if what in (device_words.REMOVED, device_words.ADVICE) else ""
        self._is_to_go |= word.kind == "removed" and not what
        if what:
            self._take(word, what)
        elif not word.kind.endswith("alone"):
            self.used.update(range(word.start, word.end))

    def _is_name(self, word: Word) -> bool:
        """Whether a word is only part of the name ("loop recorder"); "extubated" says more."""
        item = self.item
        if word.kind == "wrong" and item.start <= word.start < item.end:
            return True  # "coils in the left lung" are no coiled device
        return item.start <= word.start and word.end <= item.end and word.kind != "removed"

    def _is_of_body(self, word: Word, region: range) -> bool:
        """Whether a fracture is one of a bone: after a joint ("ETT in place, no fracture")."""
        tokens = self.scopes.tokens
        if tokens[word.start].word != "fracture":
            return False
        between = tokens[max(region.start, self.item.end) : word.start]
        return any(t.word in device_words.group("joints") for t in between)

    def _region(self, word: Word) -> range | None:
        item = self.item
        for region in (*item.after, item.before, item.shared):
            if word.start in region:
                begin = item.before.start if region.start == item.start else region.start
                return range(min(begin, region.start), region.stop)
        return None

    def _take(self, word: Word, what: str) -> None:
        """Note what one word says."""
        if what == device_words.GOOD and self._is_of_place(word):
            return
        self.used.update(range(word.start, word.end))
        if what == device_words.GOOD:
            before = self.scopes.tokens[max(0, word.start - 8) : word.start]
            if any(t.word in device_words.group("now") for t in before):
                self.wrong = None
            self._is_good = True
        elif what == device_words.REMOVED:
            self._is_removed = True
        elif what == device_words.REPLACED:
            self._is_replaced |= word.start >= self.item.end
        elif what == device_words.BROKEN:
            self.broken.append(word)
        elif what == device_words.ADVICE:
            self.wrong = PRESENT
        elif what == device_words.WRONG or self.tip != "stomach":
            self._mark(self._doubt(word.start, word.end))

    def _is_of_place(self, word: Word) -> bool:
        """Whether "expected location of the ..." only says where: it is no praise."""
        following = self.scopes.tokens[word.end : word.end + 1]
        return bool(following) and following[0].word == "of" and word.start >= self.item.start

    # the mention

    def _position(self) -> str:
        if self._is_removed or self._is_replaced:
            return REMOVED
        if self.verdict.assertion == ABSENT:
            return ""
        if self.wrong is not None:
            return MALPOSITIONED
        return ADEQUATE if self._is_good else ""

    def _verdict(self) -> Verdict:
        """Return what the cues say of the device itself, not of its removal or its tip."""
        if self._is_removed or self._is_replaced:
            return _GONE
        item = self.item
        found = scope.verdict(self.scopes, item.start, item.end)
        if found.assertion == ABSENT and self._is_of_other(found):
            return _SAID
        if found.assertion == ABSENT and self._was_there(found):
            self._is_removed = True
            return _GONE
        is_placed = self.wrong is not None or bool(self.tip) or self._is_good
        if found.assertion == ABSENT and ("remov" in found.trigger.lower() or is_placed):
            return _SAID
        if found.assertion == ABSENT and (self._is_fault_denied or self._is_past_denial(found)):
            return _SAID
        if found.assertion == UNCERTAIN and (self._is_to_go or (is_placed and item.start)):
            return _SAID
        return _SAID if found.assertion == ABSENT and self._only_part(found) else found

    def _is_of_other(self, found: Verdict) -> bool:
        """Whether the word that denies is said of what stands after the device."""
        if not found.category.endswith(("before", "suffix")):
            return False
        regions = [r for r in (self.item.before, *self.item.after) if r]
        return not any(found.trigger in self.scopes.words(r.start, r.stop) for r in regions)

    def _was_there(self, found: Verdict) -> bool:
        """Whether a device that is denied was there before: "no longer a tube"."""
        tokens, item = self.scopes.tokens, self.item
        own = {tokens[i].word for r in (item.before, item.shared, *item.after) for i in r}
        is_ended = "longer" in found.trigger.lower() and "longer" in own
        return is_ended or not own.isdisjoint(device_words.group("was_there"))

    def _is_past_denial(self, found: Verdict) -> bool:
        """Whether a denial before the device is of something else.

        "No pneumothorax after chest tube placement", "no effusion is seen, PICC unchanged".
        """
        if found.category.endswith(("before", "suffix", "inside")):
            return False
        tokens, comma = self.scopes.tokens, -1
        for place in range(self.item.start - 1, -1, -1):
            word = tokens[place].word
            if word in device_words.group("deny"):
                return False
            if word in device_words.group("after_event"):
                return True
            if word in (",", ";") and comma < 0:
                comma = place
                following = tokens[self.item.end : self.item.end + 1]
                if following and following[0].word in device_words.group("side_verbs"):
                    return True  # "no effusion, PICC unchanged"
            elif word in ("and", "or", "nor") and comma < 0:
                comma = 0
            elif comma > 0 and word in device_words.group("seen_verbs"):
                return True
        return False

    def _only_part(self, found: Verdict) -> bool:
        """Whether only the tip, a part or a fault of the device is denied, or its full view."""
        tokens = self.scopes.tokens
        denied = [i for region in self.item.after for i in region if i >= self.item.end
                  and tokens[i].word in ("not", "no", "cannot")]  # fmt: skip
        if not found.category.endswith("before") or not denied:
            return False
        first = denied[0]
        parts = device_words.group("tips") | device_words.group("side_ports")
        between = {tokens[i].word for i in (*self.item.before, *range(self.item.end, first))}
        return bool(between & parts) or (
            tokens[first + 1 : first + 2] != ()
            and (tokens[first + 1].word in ("well", "clearly", "fully", "completely", "entirely"))
        )
