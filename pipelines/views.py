"""What a collection says of a projection in, (view, projection) out.

The map is that of the MIMIC-CXR authors (generate-stats-from-paper.ipynb of MIT-LCP/mimic-cxr)
widened by what the DICOM headers of other collections hold. An absent or unknown word is
"unknown", never "frontal": a lateral film among the frontals teaches a model nonsense.
"""

from __future__ import annotations

import re

FRONTAL = frozenset(
    {"AP", "PA", "FRONTAL", "AP_HORIZONTAL", "ANTERO-POSTERIOR", "POSTERO-ANTERIOR"}
)
LATERAL = frozenset(
    {"L", "LL", "RL", "LATERAL", "LARGE LATERAL", "LEFT LATERAL", "RIGHT LATERAL", "LAT"}
)
# oblique, decubitus, cross-table, lordotic: real projections that are neither
OTHER = frozenset(
    {
        "LPO", "RPO", "LAO", "RAO", "LLD", "RLD", "AP LLD", "AP RLD", "PA LLD", "PA RLD",
        "AP AXIAL", "XTABLE LATERAL", "L5 S1", "SWIMMERS", "COSTAL", "OBLIQUE", "LORDOTIC",
        "LEFT ANTERIOR OBLIQUE", "RIGHT ANTERIOR OBLIQUE", "LEFT POSTERIOR OBLIQUE",
        "RIGHT POSTERIOR OBLIQUE",
    }
)  # fmt: skip
SHORT = {
    "ANTERO-POSTERIOR": "AP",
    "POSTERO-ANTERIOR": "PA",
    "LEFT LATERAL": "LL",
    "RIGHT LATERAL": "RL",
}


def of(word: str) -> tuple[str, str]:
    """Return (view, projection) of a ViewPosition (0018,5101) or a view code's meaning.

    view is frontal, lateral, other or unknown; projection is the upper-case short form, "" for
    a word that is not known.
    """
    name = re.sub(r"\s+", " ", word.replace("_", " ").strip()).upper()
    name = re.sub(r"^(ANTERO|POSTERO) (POSTERIOR|ANTERIOR)$", r"\1-\2", name)
    name = "AP_HORIZONTAL" if name == "AP HORIZONTAL" else name
    for view, words in (("frontal", FRONTAL), ("lateral", LATERAL), ("other", OTHER)):
        if name in words:
            return view, SHORT.get(name, name)
    return "unknown", ""


def first(*words: str) -> tuple[str, str]:
    """Return the view of the first word that is known; ("unknown", "") where none is."""
    return next((v for v in map(of, words) if v[0] != "unknown"), ("unknown", ""))
