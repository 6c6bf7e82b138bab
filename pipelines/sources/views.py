"""Finds the view of an image in words: ViewPosition, a view code, or the text of a procedure.

The single words are looked up, not the whole text: AP ERECT, ap_erect and "erect (AP)" mean the
same. Every word of a text must be known: "CHEST (PORTABLE AP)" is AP, "RIBS W/AP CHEST" is unknown.
A text that names two projections ("PA AND LAT") is unknown too. An absent or unknown word is
"unknown", never "frontal": a lateral image among frontal ones would mislead a model. The views are
those of the MIMIC-CXR authors (generate-stats-from-paper.ipynb of MIT-LCP/mimic-cxr).
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Sequence

from cxr_vlp.pipelines.files import cells

UNKNOWN = ("unknown", "")

# Words of one projection, in English, Spanish, Portuguese, French, German and Italian.
_AP = "AP ANTEROPOSTERIOR ANTEROPOSTERIEUR ANTEROPOSTERIEURE ANTEROPOSTERIORE VENTRODORSAL"
_PA = "PA POSTEROANTERIOR POSTEROANTERIEUR POSTEROANTERIEURE POSTEROANTERIORE DORSOVENTRAL"
_FRONTAL = "FRONTAL FRONTALE FRONTALAUFNAHME FRENTE FRONT FACE"
_LATERAL = (
    "LAT LATERAL LATERALS LATERALE LATERALES LATERALIS PROFIL PROFILE PROFILO PERFIL SEITLICH "
    "SEITLICHE SEITLICHER SEITENAUFNAHME SEITAUFNAHME LATEROLATERAL"
)
_LEFT_LATERAL = "LL LLAT LTLAT LEFTLATERAL SINISTROLATERAL"
_RIGHT_LATERAL = "RL RLAT RTLAT RIGHTLATERAL DEXTROLATERAL"
# Neither frontal nor lateral: oblique, decubitus, lordotic, axial, cross-table.
_OBLIQUE = (
    "OBL OBLIQUE OBLIQUES OBLICUA OBLICUAS OBLICUO OBLIQUA OBLIQUO OBLIQ SCHRAG SCHRAEG SCHRAGE "
    "SCHRAEGE SCHRAGAUFNAHME LAO RAO LPO RPO LLO RLO OAD OAI OPD OPI"
)
_DECUBITUS = "DECUB DECUBITUS DECUBITO DECUBITI LLD RLD LDEC RDEC LATDEC"
_OTHER = (
    "AXIAL AXIALE LORDOTIC LORDOTICA LORDOTICO LORDOTIQUE LORDOSE APICOLORDOTIC APICOLORDOTICA "
    "LORDOTISCH XTABLE CROSSTABLE SWIMMERS SWIMMER COSTAL APICAL APICALES TANGENTIAL TANG "
    "SUBMENTOVERTICAL CAUDOCRANIAL CRANIOCAUDAL TRANSTHORACIC L5 S1 LINDBLOM"
)
# Words that accompany a projection: posture, side, place, machine, the chest itself.
_LEFT = "L LT LEFT IZQ IZQUIERDA IZQUIERDO ESQ ESQUERDA ESQUERDO LINKS GAUCHE SINISTRA SINISTRO"
_RIGHT = "R RT RIGHT DER DERECHA DERECHO DIR DIREITA DIREITO RECHTS DROIT DROITE DESTRA DESTRO"
_LYING = "SUPINE SUPINO SUPINA"
_BESIDE = (
    "ERECT UPRIGHT STANDING STAND SITTING SEATED SEMI SEMIERECT SEMIUPRIGHT SEMISUPINE "
    "SEMIRECUMBENT RECUMBENT PRONE PRONO VERTICAL HORIZONTAL ERGUIDO ERECTA ERECTO PIE "
    "BIPEDESTACION SENTADO SENTADA ACOSTADO ACOSTADA CAMA DEITADO DEITADA ORTOSTATICA "
    "ORTOSTATISMO ORTOSTATICO LEITO STEHEND LIEGEND SITZEND STEHEN LIEGEN SITZEN BETT "
    "BETTAUFNAHME DEBOUT COUCHE ASSIS LIT "
    "PORTABLE PORT PORTATIL MOBILE MOVIL BEDSIDE STAT TRAUMA ICU ER ED IP OP PRE PREOP POSTOP POST "
    "CHEST THORAX TORAX THORACIC LUNG LUNGS PULMON POUMON CXR CHST XR XRAY XRAYS RX CR DX DR RAD "
    "X RAY RADIOGRAPH RADIOGRAPHY RADIOGRAFIA RADIOGRAPHIE ROENTGEN RONTGEN AUFNAHME UEBERSICHT "
    "VIEW VW PROJECTION PROYECCION PROJECAO PROJEKTION INCIDENCE STRAHLENGANG POSITION SINGLE ONE "
    "1 1V 1VW ONLY EXAM EXAMINATION IMAGE SERIES P ADULT PEDIATRIC PED PEDS CHILD INFANT "
    "GRID NONGRID BUCKY NON NO WITH WITHOUT W WO INSPIRATION EXPIRATION INSP EXP LARGE SMALL "
    "GENERICA GENERICO GENERIC UNKNOWN UNSPECIFIED DESCONOCIDA DESCONOCIDO DESCONHECIDA "
    "LINE TUBE PLACEMENT PLCMT DE DEL EN EM IN OF THE LA EL LE DA DO A O UN UNA FOR TO"
)
_SEVERAL = "AND Y E ET UND VIEWS 2 2V 2VW TWO 3 THREE BOTH BILATERAL PLUS"
_AND = frozenset(_SEVERAL.split())

_KINDS: dict[str, str] = {
    word: kind
    for kind, words in (
        ("AP", _AP), ("PA", _PA), ("FRONTAL", _FRONTAL), ("LATERAL", _LATERAL),
        ("LL", _LEFT_LATERAL), ("RL", _RIGHT_LATERAL), ("oblique", _OBLIQUE),
        ("decubitus", _DECUBITUS), ("other", _OTHER), ("left", _LEFT), ("right", _RIGHT),
        ("lying", _LYING), ("", _BESIDE),
    )
    for word in words.split()
}  # fmt: skip

# Compounds and phrases, joined to one word before the look-up; Â and Ó have become A and O by then.
_PHRASES = tuple(
    (re.compile(rf"\b{pattern}\b"), word)
    for pattern, word in (
        (r"(?:ANTER\w*|VENTR\w*) ?(?:POSTER\w*|DORSAL\w*)", "AP"),
        (r"(?:POSTER\w*|DORS\w*) ?(?:ANTER\w*|VENTRAL\w*)", "PA"),
        (r"(?:ANTER\w*|POSTER\w*) OBLIQUE", "OBLIQUE"),
        (r"(?:OBLIQUE|OBLICUA|OBLIQUA|OBLICUO|OBLIQUO) (?:ANTER\w*|POSTER\w*)", "OBLIQUE"),
        (r"(?:DORSAL|VENTRAL) DECUBITUS", "DECUBITUS"),  # English: across the table
        (r"DECUBITUS (?:DORSAL|VENTRAL)", "LIEGEND"),  # French: on the back, on the belly
        (r"(?:CROSS|X) ?TABLE", "XTABLE"),
        (r"LATERO LATERAL\w*", "LATEROLATERAL"),
        (r"CAUDO CRANIAL", "CAUDOCRANIAL"), (r"CRANIO CAUDAL", "CRANIOCAUDAL"),
        (r"A P", "AP"), (r"P A", "PA"), (r"L L D", "LLD"), (r"R L D", "RLD"),
        (r"X RAY", "XRAY"), (r"EM PE", "STEHEND"), (r"D PROFIL", "PROFIL"),
    )
)  # fmt: skip

# (0008,0100) of a view code where its meaning is empty: CID 4010, as SRT and as SNOMED CT.
CODES: dict[str, str] = {
    "R-10206": "AP", "399348003": "AP",
    "R-10214": "PA", "R-40888": "PA", "272479007": "PA",
    "R-10202": "FRONTAL", "399033003": "FRONTAL",
    "R-10236": "LL", "399173006": "LL",
    "R-10232": "RL", "399198007": "RL",
    "R-102CD": "LATERAL", "399067008": "LATERAL",
    "R-10208": "OBLIQUE", "399312000": "OBLIQUE", "R-10216": "OBLIQUE", "399059000": "OBLIQUE",
    "R-10204": "OBLIQUE", "399160007": "OBLIQUE", "R-40783": "OBLIQUE", "260427002": "OBLIQUE",
    "R-10220": "LAO", "399135007": "LAO", "R-40985": "RAO", "399356000": "RAO",
    "R-10212": "LPO", "399006002": "LPO", "R-10210": "RPO", "399038007": "RPO",
    "R-10238": "OBLIQUE", "399184004": "OBLIQUE", "R-10234": "OBLIQUE", "399236003": "OBLIQUE",
    "R-102C1": "OBLIQUE", "399182000": "OBLIQUE",
    "R-10241": "AXIAL", "399061009": "AXIAL", "R-102C2": "TANGENTIAL", "399110001": "TANGENTIAL",
    "111069": "XTABLE",
}  # fmt: skip


def of(text: str) -> tuple[str, str]:
    """Return (view, projection) of a ViewPosition, a view code's meaning or value, or a procedure.

    view is frontal, lateral, other or unknown; projection is AP, PA, LL, ... or the upper-case
    words of one that has no short form, "" for what is unknown.
    """
    return _of(cells.known(text)[:200])


@functools.lru_cache(maxsize=4096)
def _of(text: str) -> tuple[str, str]:
    text = CODES.get(text.upper(), text)
    words = _words(text)
    kinds = [_KINDS.get(word) for word in words]
    if None in kinds or not set(words).isdisjoint(_AND):
        return UNKNOWN
    named = {kind for kind in kinds if kind}
    if named == {"left"}:
        return ("lateral", "L") if words == ["L"] else UNKNOWN  # PadChest's L is a lateral
    if "decubitus" in named and not ("lying" in named and named & {"AP", "PA"}):
        named -= {"LATERAL", "LL", "RL", "AP", "PA", "FRONTAL", "left", "right", "lying"}
        return ("other", _short(words)) if named == {"decubitus"} else UNKNOWN
    if named & {"oblique", "other"}:
        several = named & {"AP", "PA", "FRONTAL"} and named & {"LATERAL", "LL", "RL"}
        return UNKNOWN if several else ("other", _short(words))
    return _plain(named - {"lying", "decubitus"}, words)


def _short(words: Sequence[str]) -> str:
    return " ".join(word for word in words if _KINDS[word])


def _plain(named: set[str], words: list[str]) -> tuple[str, str]:
    """Return the view where neither an oblique nor a decubitus is named."""
    sides = named & {"left", "right"}
    named = named - sides
    if named in ({"AP"}, {"PA"}, {"FRONTAL"}, {"AP", "FRONTAL"}, {"PA", "FRONTAL"}):
        if sides:
            return UNKNOWN  # L may be a lateral here, or the side of a marker
        projection = next((p for p in ("AP", "PA") if p in named), "FRONTAL")
        return "frontal", f"{projection}_HORIZONTAL" if "HORIZONTAL" in words else projection
    if named in ({"LL"}, {"LL", "LATERAL"}) and "right" not in sides:
        return "lateral", "LL"
    if named in ({"RL"}, {"RL", "LATERAL"}) and "left" not in sides:
        return "lateral", "RL"
    if named == {"LATERAL"} and len(sides) < 2:
        if sides:
            return "lateral", "LL" if "left" in sides else "RL"
        return "lateral", "LARGE LATERAL" if "LARGE" in words else "LATERAL"
    return UNKNOWN


def _words(text: str) -> list[str]:
    """Return the words of a text in capitals, without accents, with compounds joined."""
    text = text.upper().replace("ß", "SS")
    flat = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    flat = re.sub(r"[^A-Z0-9&+]+", " ", flat)
    flat = re.sub(r"[&+]", " AND ", flat)
    flat = re.sub(r" +", " ", flat).strip()
    for pattern, word in _PHRASES:
        flat = pattern.sub(word, flat)
    return [part for word in flat.split() for part in _parted(word)]


def _parted(word: str) -> Sequence[str]:
    """Return a word, split in two if it consists of two known words: APSUPINE."""
    if word in _KINDS or word in _AND or len(word) < 5:
        return (word,)
    for place in range(2, len(word) - 1):
        pair = word[:place], word[place:]
        if all(part in _KINDS for part in pair) and max(map(len, pair)) > 3:
            return pair
    return (word,)


def first(*texts: str) -> tuple[str, str]:
    """Return the view of the first text that names one; ("unknown", "") where none does."""
    return next((v for v in map(of, texts) if v[0] != "unknown"), UNKNOWN)


def decide(stated: Sequence[str], procedures: Sequence[str]) -> tuple[str, str]:
    """Return the view that is stated for the image, else the view in the name of the procedure.

    A procedure belongs to the whole study: it is used only if nothing is stated for the image. If
    a stated word is not known, the view stays unknown.
    """

    found = first(*stated)
    if found != UNKNOWN or not all(map(_says_nothing, stated)):
        return found
    return first(*procedures)


def _says_nothing(text: str) -> bool:
    return all(_KINDS.get(word) == "" for word in _words(cells.known(text)))
