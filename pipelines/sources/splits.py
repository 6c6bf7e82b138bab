"""Assigns patients to the splits train, validate and test.

Splits are always by patient: by the official list if the collection has one, otherwise by a
salted hash of the patient's id. A hash needs no stored list, and gives each patient one split.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True)
class PatientRule:
    """The rule that splits the patients of one collection; made from section `scan`."""

    source: str
    salt: str
    validate: float
    test: float

    def split(self, patient: str, *, held_out: bool = True) -> str:
        """Return the split of a patient who is in no official list.

        With held_out=False there are only train and validate, in the remaining proportion: for
        collections whose official list names only the test patients (NIH).
        """

        text = "\x1f".join((self.salt, "split", self.source, patient))
        place = int(hashlib.sha256(text.encode()).hexdigest()[:12], 16) / 16**12
        test = self.test if held_out else 0.0
        validate = self.validate if held_out else self.validate / (1 - self.test)
        if place < test:
            return "test"
        return "validate" if place < test + validate else "train"
