"""The type of a mention: what a sentence says of one finding or device, and the words for it.

A sample of a shard has the same fields (pipelines/format/sample.py).
"""

from __future__ import annotations

from dataclasses import dataclass

from cxr_vlp.nlp.context.certainty import DEFINITE, Certainty
from cxr_vlp.nlp.context.scope import Assertion

NEW, WORSE, BETTER, STABLE, RESOLVED = "new", "worse", "better", "stable", "resolved"
CHANGES = (NEW, WORSE, BETTER, STABLE, RESOLVED)
ADEQUATE, MALPOSITIONED, REMOVED = "adequate", "malpositioned", "removed"
POSITIONS = (ADEQUATE, MALPOSITIONED, REMOVED)
UNNAMED = "abnormality"  # the finding of a broken device, of a structure that is not normal


@dataclass(frozen=True, slots=True)
class Mention:
    """A finding or device named in a sentence, and what is said of it.

    "" and () stand for what the sentence does not say. `start` and `end` are characters of the
    sentence, `end` after the last.
    """

    finding: str  # the lexicon's name of the finding, or the type of the device
    label: str  # CheXpert-14 or ChestX-ray14 display name, "" for a finding that is in neither
    assertion: Assertion
    start: int
    end: int
    anatomy: str = ""  # the structure or lung zone
    side: str = ""  # left, right, bilateral
    severity: str = ""  # small, moderate, "mild to moderate", ...
    trigger: str = ""  # the words that made it absent or uncertain
    implied: bool = False  # not named: "the heart is normal" denies cardiomegaly
    device: bool = False
    certainty: Certainty = DEFINITE  # its assertion follows from it (context/certainty.py)
    change: str = ""  # one of CHANGES: since an earlier image
    change_words: str = ""  # the words that say so
    places: tuple[str, ...] = ()  # lobes and zones with their side: "right upper lobe"
    sizes_mm: tuple[float, ...] = ()  # in the order of the sentence: 1.4 x 0.9 cm is 14, 9
    suggests: tuple[str, ...] = ()  # findings of the sentence that it is said to point to
    position: str = ""  # of a device: one of POSITIONS
    tip: str = ""  # of a device: where its tip or end lies

    def __hash__(self) -> int:
        """Return a hash that is quick, because caches look mentions up: of its name and place."""
        return hash((self.finding, self.start, self.end))
