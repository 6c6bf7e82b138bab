"""Words for a projection: an absent or unknown word gives unknown, never frontal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_vlp.pipelines.sources import views

FRONTAL = [
    ("PA", "PA"), ("ap", "AP"), ("antero-posterior", "AP"), ("postero_anterior", "PA"),
    ("AP_horizontal", "AP_HORIZONTAL"), ("Frontal", "FRONTAL"), ("POSTEROANTERIOR", "PA"),
    ("ANTEROPOSTERIOR", "AP"), ("AP Supine", "AP"), ("AP ERECT", "AP"), ("PA VERTICAL", "PA"),
    ("Póstero-Anterior", "PA"), ("thorax de face", "FRONTAL"), ("Thorax p.a. stehend", "PA"),
    ("A.P.", "AP"), ("anterior posterior", "AP"), ("AP DECUBITO SUPINO", "AP"),
    ("PA em pé", "PA"), ("R-10206", "AP"), ("399348003", "AP"), ("R-10214", "PA"),
    ("APSUPINE", "AP"), ("CHEST (PORTABLE AP)", "AP"), ("P CHEST (PORTABLE AP) PORT", "AP"),
    ("XR CHEST 1 VIEW AP", "AP"), ("AP SEMI-UPRIGHT", "AP"), ("RX TORAX PA", "PA"),
]  # fmt: skip
LATERAL = [
    ("LL", "LL"), ("left lateral", "LL"), ("LARGE LATERAL", "LARGE LATERAL"), ("L", "L"),
    ("LLAT", "LL"), ("LATERAL IZQUIERDA", "LL"), ("SEITLICH", "LATERAL"), ("PROFIL", "LATERAL"),
    ("Lat", "LATERAL"), ("PERFIL ESQUERDO", "LL"), ("RLAT", "RL"), ("lateral right", "RL"),
    ("Thorax seitlich links", "LL"), ("R-10236", "LL"), ("399198007", "RL"),
]  # fmt: skip
OTHER = [
    "LLD", "PA  RLD", "XTABLE LATERAL", "cross-table lat", "LT-DECUB", "RLO", "LLO", "OBLICUA",
    "DECUBITO", "LORDOTIC", "AP LORDOTIC", "left anterior oblique", "oblicua anterior derecha",
    "LATERAL DECUBITUS", "Left Lateral Decubitus", "décubitus latéral gauche", "AP LLD",
    "DECUB RIGHT AP", "CHEST (LAT DECUB ONLY)", "AP AXIAL", "L5 S1", "SWIMMERS", "COSTAL",
    "antero-posterior oblique", "LPO", "RAO", "schräg", "DORSAL DECUBITUS", "R-10220",
]  # fmt: skip
UNKNOWN = [
    "", "CHEST", "CHEST (PA AND LAT)", "PA/LAT", "PALATERAL", "AP/PA", "FRONTAL Y LATERAL",
    "CHEST 2 VIEWS", "CHEST (SINGLE VIEW)", "RIB BILAT, W/AP CHEST", "AP KNEE", "PA OF HAND",
    "APPLE", "LEFT", "R", "AP L", "nan", "NaN", "<NA>", "None", "null", "NA", "LATEX", "PAT",
    "ABDOMEN AP", "LATERAL SKULL", "CHEST PA LAT OBL", "décubitus dorsal", "PA LATERAL",
]  # fmt: skip


@pytest.mark.parametrize(("word", "projection"), FRONTAL)
def test_words_for_a_frontal(word, projection):
    assert views.of(word) == ("frontal", projection)


@pytest.mark.parametrize(("word", "projection"), LATERAL)
def test_words_for_a_lateral(word, projection):
    assert views.of(word) == ("lateral", projection)


@pytest.mark.parametrize("word", OTHER)
def test_an_oblique_or_a_decubitus_is_no_lateral_and_no_frontal(word):
    assert views.of(word)[0] == "other"


@pytest.mark.parametrize("word", UNKNOWN)
def test_absent_unknown_or_ambiguous_words_give_unknown(word):
    assert views.of(word) == ("unknown", "")


BESIDE = st.sampled_from(["ERECT", "SUPINE", "PORTABLE", "CHEST", "UPRIGHT", "TORAX", "MOBILE"])
NAMED = st.sampled_from([
    ("AP", "frontal"), ("PA", "frontal"), ("FRONTAL", "frontal"), ("LATERAL", "lateral"),
    ("LLAT", "lateral"), ("LL", "lateral"), ("RL", "lateral"), ("PROFIL", "lateral"),
    ("OBLIQUE", "other"), ("LLD", "other"), ("LORDOTIC", "other"), ("DECUB", "other"),
])  # fmt: skip
CASES = st.sampled_from([str.upper, str.lower, str.title])
BETWEEN = st.sampled_from([" ", "_", "-", ", ", " / ", " (", "."])


@given(NAMED, st.lists(BESIDE, max_size=3), st.data(), CASES, BETWEEN)
def test_case_order_and_separator_do_not_matter(named, beside, data, case, between):
    word, view = named
    if view == "other" and word == "DECUB":
        beside = [b for b in beside if b != "SUPINE"]  # on the back: then it may be a frontal
    words = data.draw(st.permutations([word, *beside]))
    assert views.of(case(between.join(words)))[0] == view


@given(NAMED, st.text("BCDFGHJKMNQVWXZ", min_size=4, max_size=9), st.data(), BETWEEN)
def test_one_unknown_word_leaves_the_view_unknown(named, stranger, data, between):
    words = data.draw(st.permutations([named[0], stranger]))
    assert views.of(between.join(words)) == ("unknown", "")


# The words of PadChest, BIMCV-COVID19+, BRAX and ReXGradient, as their tables have them.
PUBLISHED = {
    "frontal": ("PA", "AP", "AP_horizontal", "POSTEROANTERIOR", "ANTEROPOSTERIOR", "AP Supine",
                "POSTERO_ANTERIOR", "ANTERO_POSTERIOR"),
    "lateral": ("L", "LATERAL", "LL", "RL", "LLAT", "latero-lateral"),
    "other": ("COSTAL", "OBLICUA", "LLD", "AP LLD", "LT-DECUB", "RLO", "LLO", "LAO", "RAO"),
    "unknown": ("EXCLUDE", "GENERICA", "UNKNOWN", "N/A", "None", "", "AP (KUB)"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("view", "word"), [(view, word) for view, words in PUBLISHED.items() for word in words]
)
def test_the_words_of_published_tables(view, word):
    assert views.of(word)[0] == view


@pytest.mark.parametrize("word", ["GENERICA", "UNKNOWN", "N/A", "None", ""])
def test_a_word_that_says_nothing_leaves_the_view_to_the_procedure(word):
    assert views.decide([word], ["CHEST (PORTABLE AP)"]) == ("frontal", "AP")
    assert views.decide(["EXCLUDE"], ["CHEST (PORTABLE AP)"]) == ("unknown", "")


@given(st.text(max_size=40))
def test_any_text_has_a_view(text):
    assert views.of(text)[0] in ("frontal", "lateral", "other", "unknown")


def test_the_first_text_with_a_known_view_counts():
    assert views.first("", "lateral", "PA") == ("lateral", "LATERAL")
    assert views.first("", "?") == ("unknown", "")


@pytest.mark.parametrize(
    ("stated", "procedures", "view"),
    [
        (["", ""], ["", "CHEST (PORTABLE AP)"], "frontal"),
        (["nan", ""], ["LAT", "CHEST (PORTABLE AP)"], "lateral"),  # the series before the study
        (["CHEST"], ["CHEST (PORTABLE AP)"], "frontal"),
        (["LL"], ["CHEST (PORTABLE AP)"], "lateral"),
        (["GRASHEY"], ["CHEST (PORTABLE AP)"], "unknown"),  # something is stated, and it is not AP
        (["", ""], ["CHEST (PA AND LAT)", "CHEST"], "unknown"),
    ],
)
def test_a_procedure_is_used_only_if_nothing_is_stated_of_the_image(stated, procedures, view):
    assert views.decide(stated, procedures)[0] == view
