"""The access terms, citation and place of each known collection, as a hub and a reader need them.

What is not known here (a collection of your own, one of a plugin) has the licence that its reader
states, under the hub's id `other`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cxr_vlp.pipelines.files import privacy

OTHER = "other"  # the hub's id of a licence that is not in its list
_SYNTHETIC = "(synthetic)"  # ends the title of a synthetic tree (scan.py)


@dataclass(frozen=True)
class Terms:
    """What a reader of a card must know of a collection.

    `licence` is an id of the Hugging Face hub's list, `licence_name` and `licence_link` stand for
    the terms where the id is `other`. `published` is a year, "" if the collection is not published.
    `sharing` says what may be shared, in sentences.
    """

    licence: str
    licence_name: str = ""
    licence_link: str = ""
    home: str = ""
    citation: str = ""
    published: str = ""
    sharing: str = ""
    asked: Mapping[str, str] = field(default_factory=dict)  # fields of the hub's access form


_NO_REIDENTIFICATION = "I will not try to identify a patient or an institution"
_PHYSIONET = {
    "I am a credentialed user of PhysioNet and signed its data use agreement": "checkbox",
    _NO_REIDENTIFICATION: "checkbox",
    "PhysioNet user name": "text",
}
_STANFORD = {
    "I accepted the Stanford University Dataset Research Use Agreement": "checkbox",
    _NO_REIDENTIFICATION: "checkbox",
    "I use the data for research that is not commercial": "checkbox",
}
_SALTED = {"I have the agreement of the hospital that these images come from": "checkbox"}

# by the name of the source; `licence` of the reader says the same in words
KNOWN: Mapping[str, Terms] = {
    "mimic": Terms(
        licence=OTHER,
        licence_name="physionet-credentialed-health-data-license-1.5.0",
        licence_link="https://physionet.org/content/mimic-cxr/view-license/2.1.0/",
        home="https://physionet.org/content/mimic-cxr/",
        citation="Johnson AEW, Pollard TJ, Berkowitz SJ, et al. MIMIC-CXR, a de-identified "
        "publicly available database of chest radiographs with free-text reports. Scientific Data "
        "6, 317 (2019). https://doi.org/10.1038/s41597-019-0322-0",
        published="2019",
        sharing="Only credentialed users of PhysioNet who signed its data use agreement may see "
        "the images, the reports and what is made from them. Share a derived set through "
        "PhysioNet under the same agreement, not through another hub.",
        asked=_PHYSIONET,
    ),
    "chexpert": Terms(
        licence=OTHER,
        licence_name="stanford-university-dataset-research-use-agreement",
        licence_link="https://stanfordaimi.azurewebsites.net/datasets/"
        "8cbd9ed4-2eb9-4565-affc-111cf4f7ebe2",
        home="https://stanfordmlgroup.github.io/competitions/chexpert/",
        citation="Irvin J, Rajpurkar P, Ko M, et al. CheXpert: A Large Chest Radiograph Dataset "
        "with Uncertainty Labels and Expert Comparison. AAAI 33 (2019). "
        "https://doi.org/10.1609/aaai.v33i01.3301590",
        published="2019",
        sharing="Everybody who uses the images accepts the agreement at Stanford first. It allows "
        "no distribution of the images, in whole or in part, without Stanford's permission.",
        asked=_STANFORD,
    ),
    "nih": Terms(
        licence=OTHER,
        licence_name="nih-clinical-center-no-restrictions",
        licence_link="https://nihcc.app.box.com/v/ChestXray-NIHCC",
        home="https://nihcc.app.box.com/v/ChestXray-NIHCC",
        citation="Wang X, Peng Y, Lu L, Lu Z, Bagheri M, Summers RM. ChestX-ray8: Hospital-scale "
        "Chest X-ray Database and Benchmarks on Weakly-Supervised Classification and Localization "
        "of Common Thorax Diseases. CVPR 2017. https://doi.org/10.1109/CVPR.2017.369",
        published="2017",
        sharing="The images may be used and shared freely. Give the link to the download site, "
        "cite the paper, and name the NIH Clinical Center as the provider.",
    ),
    "openi": Terms(
        licence="cc-by-nc-nd-4.0",
        home="https://openi.nlm.nih.gov/",
        citation="Demner-Fushman D, Kohli MD, Rosenman MB, et al. Preparing a collection of "
        "radiology examinations for distribution and retrieval. Journal of the American Medical "
        "Informatics Association 23(2), 304-310 (2016). https://doi.org/10.1093/jamia/ocv080",
        published="2016",
        sharing="The licence asks for attribution and allows no commercial use. It allows no "
        "sharing of changed material: the images here are resized, so ask the National Library of "
        "Medicine before you share them.",
    ),
}  # fmt: skip

_MADE_UP = Terms(
    licence="apache-2.0",
    home="https://www.apache.org/licenses/LICENSE-2.0",
    citation="Synthetic images and reports of no patient, made by cxr-vlp in the layout of a "
    "published collection.",
    published="2026",  # of the generator: the trees themselves have no date
    sharing="Nothing here comes from a patient. The set may be shared.",
)


def of(header: Mapping[str, Any]) -> Terms:
    """Return the terms of the set with this manifest header."""
    if _SYNTHETIC in header["title"]:
        return _MADE_UP
    known = KNOWN.get(header["source"])
    if known is None:
        known = _unknown(header)
    if any(layer["credentialed"] for layer in header.get("layers", ())):
        known = _of_closed_layer(known)
    if header["ids"] == "salted":
        return _of_salted(known)
    return known


def _of_closed_layer(known: Terms) -> Terms:
    """Return terms of a set with annotations that only users who signed for them may see."""
    if known.asked:  # the collection itself is as closed
        return known
    says = "Its annotations are not open: only users who signed for them may see the set."
    return Terms(**{**vars(known), "sharing": f"{known.sharing} {says}", "asked": _SALTED})


def _unknown(header: Mapping[str, Any]) -> Terms:
    """Return the terms of a collection that only its reader describes."""
    closed = "Ask the owner of the collection before you share the set or a part of it."
    opened = f"The licence of the collection is: {header['licence']}."
    return Terms(
        licence=OTHER,
        licence_name=re.sub(r"[^a-z0-9.]+", "-", header["licence"].lower()).strip("-") or "unknown",
        sharing=closed if header["credentialed"] else opened,
        asked=_SALTED if header["credentialed"] else {},
    )


def _of_salted(known: Terms) -> Terms:
    """Return terms that say what salted ids hide, and what they do not."""
    says = (
        "The ids are hashed with a secret salt. This hides them and does not de-identify: sex, "
        "age, report text and pixels are as they were. Never share the salt, `data/scan` or `.cxr`."
    )
    return Terms(
        **{**vars(known), "sharing": f"{known.sharing} {says}", "asked": known.asked or _SALTED}
    )


def closed(header: Mapping[str, Any]) -> bool:
    """Return whether a set must not be shown to everybody: private, and of real patients."""
    return privacy.is_private(header) and _SYNTHETIC not in header["title"]
