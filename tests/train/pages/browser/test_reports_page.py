"""The report browser in Chromium: search, filters, address, keyboard, dialog, boxes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.train.pages.browser.made_site import count, keys, opened
from tests.train.pages.waiting import until

ALL = 68  # samples of the fixture's site


def search(page, words):
    page.fill("#q", words)


def hash_of(page):
    return page.evaluate("location.hash")


@pytest.fixture(scope="module")
def loaded(chromium, site):
    """The page, loaded once: what a test needs is in the address that it goes to."""
    with opened(chromium, at(site)) as page:
        yield page


def at(site, state=""):
    return f"{site}/reports.html" + (f"#{state}" if state else "")


def test_the_first_page_and_the_next_ones(chromium, site):
    with opened(chromium, at(site)) as page:
        assert page.inner_text("#count") == f"{ALL} samples of {ALL}"
        first = keys(page)
        assert len(first) == 25
        page.click(".pager .on >> nth=0")
        page.click(".pager .on >> nth=0")
        assert len(keys(page)) == ALL - 50
        assert page.is_disabled(".pager .on >> nth=0")
        assert hash_of(page) == "#page=3"
        page.go_back()
        page.go_back()
        until(page, "location.hash === ''")
        assert keys(page) == first


@pytest.mark.parametrize(
    ("words", "number"),
    [
        ("effusion", 30),
        ("EFFUSION", 30),  # case does not matter
        ("left effusion", 30),  # all words, in any order and place
        ("effusion decreased", 15),
        ('"left effusion"', 15),  # side by side
        ('"left  EFFUSION', 15),  # a quote that is not closed yet is no error
        ("effus", 30),
        ("nodule effusion", 0),
        ("   ", ALL),
        ('""', ALL),
        ("prompt", 0),  # label prompts are not shown, so they are not searched
        (".*", 0),  # no pattern
    ],
)
def test_the_search(loaded, site, words, number):
    loaded.goto(at(site, "page=1"))
    search(loaded, words)
    assert count(loaded) == number
    assert loaded.is_visible("#empty") == (number == 0)


def test_found_words_are_marked_and_nothing_else(chromium, site):
    with opened(chromium, at(site)) as page:
        search(page, "left effusion")
        marked = page.eval_on_selector_all("mark", "all => all.map(e => e.textContent)")
        assert {each.lower() for each in marked} == {"left", "effusion"}
        # what is marked is still the sentence
        texts = page.eval_on_selector_all(
            ".sentence > span:last-child", "a => a.map(e => e.textContent)"
        )
        assert "Large left pleural effusion." in texts


@pytest.mark.parametrize(
    ("state", "number"),
    [
        ("set=beta", 8),
        ("split=test", 28),
        ("split=test&set=alpha", 20),
        ("view=lateral", 17),
        ("status=uncertain", 15),
        ("status=uncertain&q=effusion", 0),
        ("boxes=any", 1),
        ("boxes=ms", 1),
        ("boxes=collection", 1),
        ("boxes=other", 0),
        ("label=Mass%3A1", 4),
        ("label=Mass%3A0", 4),
        ("label=Mass%3Anone", 60),
        ("label=Edema%3A-1", 8),
        ("label=Mass%3A1&label=Edema%3A-1", 4),
        ("label=Cardiomegaly%3A1&set=alpha&q=effusion&split=train", 20),
        # what nobody can mean is left out, and the page works
        ("label=Mass%3A7", ALL),
        ("page=-3", ALL),
        ("page=two", ALL),
        ("page=99", ALL),
        ("unknown=1", ALL),
        ("%", ALL),
    ],
)
def test_an_address_restores_what_was_shown(loaded, site, state, number):
    loaded.goto(at(site, state))
    begins = f"{number} " if number else "No sample"
    until(loaded, "n => document.getElementById('count').textContent.startsWith(n)", begins)
    assert len(keys(loaded)) == (ALL - 50 if "page=99" in state else min(number, 25))


def test_an_address_restores_the_form_when_the_page_is_loaded(chromium, site):
    state = "label=Edema%3A-1&q=caption+3&set=beta&split=test"
    with opened(chromium, at(site, state)) as page:
        assert count(page) == 1
        values = [page.input_value(f"#{name}") for name in ("q", "set", "split", "view")]
        assert values == ["caption 3", "beta", "test", ""]
        assert page.inner_text("#conditions button") == "Edema: uncertain ×"


def test_a_page_beyond_the_last_is_the_last(chromium, site):
    with opened(chromium, at(site, "page=99")) as page:
        assert page.inner_text(".pager .at >> nth=0") == "Page 3 of 3"
        assert len(keys(page)) == ALL - 50


def test_filters_of_the_form_and_the_way_back(chromium, site):
    with opened(chromium, at(site)) as page:
        page.select_option("#set", "alpha")
        page.select_option("#label", "Pneumothorax")
        page.select_option("#value", "1")
        page.click("#add")
        assert hash_of(page) == "#label=Pneumothorax%3A1&set=alpha"
        assert count(page) == 28
        search(page, "nodule")
        assert count(page) == 7
        page.go_back()
        until(page, "document.getElementById('q').value === ''")
        assert count(page) == 28
        page.go_back()
        until(page, "!document.querySelector('#conditions button')")
        assert (count(page), page.input_value("#set")) == (60, "alpha")
        page.go_forward()
        page.click("#conditions button")
        assert count(page) == 60
        page.click("#clear")
        assert count(page) == ALL
        assert page.evaluate("document.activeElement.id") == "q"


def test_typing_a_word_is_one_step_of_the_history(chromium, site):
    with opened(chromium, at(site)) as page:
        page.click("#q")
        page.keyboard.type("nodule")
        assert hash_of(page) == "#q=nodule"
        page.go_back()
        until(page, "location.hash === ''")
        assert count(page) == ALL


def test_the_number_of_results_is_announced(chromium, site):
    with opened(chromium, at(site)) as page:
        assert page.get_attribute("#count", "role") == "status"
        search(page, "nothing of this kind")
        assert page.inner_text("#count") == f"No sample matches of {ALL}"


def sentence(page, words):
    return page.locator(".item .sentence", has_text=words).first


def test_kept_dropped_and_cut_sentences_are_said_not_coloured_only(chromium, site):
    with opened(chromium, at(site)) as page:
        dropped = sentence(page, "The heart is normal in size.")
        assert dropped.text_content() == "dropped, normal: The heart is normal in size."
        assert dropped.locator("s").count() == 1
        kept = sentence(page, "Large left pleural effusion.")
        assert kept.text_content() == "kept, abnormal: Large left pleural effusion."
        assert kept.locator("s").count() == 0
        # all of a normal report is kept
        assert sentence(page, "The lungs are clear.").text_content().startswith("kept, normal:")
        cut = sentence(page, "Hyperinflated but clear lungs.")
        assert cut.text_content() == "cut, abnormal: Hyperinflated but clear lungs. cut"


def test_a_sentence_shows_the_rule_what_is_kept_and_the_text_without_priors(chromium, site):
    with opened(chromium, at(site)) as page:
        sentence(page, "Hyperinflated but clear lungs.").evaluate("e => e.click()")
        page.wait_for_selector(".rule:not([hidden]) dl")
        said = page.inner_text(".rule:not([hidden])")
        assert "finding.present" in said
        assert "cut (mixed)" in said
        assert "Hyperinflated." in said
        sentence(page, "decreased since").evaluate("e => e.click()")
        until(page, "document.querySelectorAll('.rule:not([hidden]) dl').length === 2")
        assert "cut: Small LEFT effusion." in page.inner_text(".rule:not([hidden]) >> nth=1")
        sentence(page, "decreased since").evaluate("e => e.click()")
        assert page.locator(".rule:not([hidden])").count() == 1


def test_everything_works_with_the_keyboard_alone(chromium, site):
    with opened(chromium, at(site)) as page:
        page.keyboard.press("/")
        assert page.evaluate("document.activeElement.id") == "q"
        page.keyboard.type("large")
        assert count(page) == 15
        for _ in range(40):  # on to the first image
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.className") == "open":
                break
        page.keyboard.press("Tab")  # the report is one stop
        assert "Large left" in page.evaluate("document.activeElement.textContent")
        page.keyboard.press("ArrowRight")
        assert "The heart" in page.evaluate("document.activeElement.textContent")
        page.keyboard.press("Enter")
        page.wait_for_selector(".rule:not([hidden]) dl")
        assert page.evaluate("document.activeElement.getAttribute('aria-expanded')") == "true"
        page.keyboard.press("Home")
        assert "Large left" in page.evaluate("document.activeElement.textContent")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.dataset.key") == keys(page)[1]


def dialog_key(page):
    return page.inner_text("dialog code")


def test_the_dialog_opens_steps_closes_and_gives_the_focus_back(chromium, site):
    with opened(chromium, at(site)) as page:
        page.focus(".open >> nth=23")
        page.keyboard.press("Enter")
        page.wait_for_selector("dialog[open]")
        listed = keys(page)
        assert dialog_key(page) == listed[23]
        assert page.inner_text("dialog .place") == f"24 of {ALL}"
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")  # on to the next page of the list
        assert page.inner_text("dialog .place") == f"26 of {ALL}"
        shown = dialog_key(page)
        assert f"sample={shown}" in hash_of(page)
        assert page.evaluate("document.querySelector('dialog').contains(document.activeElement)")
        page.keyboard.press("Escape")
        until(page, "k => document.activeElement.dataset.key === k", arg=shown)
        assert hash_of(page) == "#page=2"


def test_previous_and_next_end_at_the_ends(chromium, site):
    with opened(chromium, at(site, "boxes=any")) as page:
        page.click(".open")
        assert page.is_disabled("text=← Previous")
        assert page.is_disabled("text=Next →")
        before = dialog_key(page)
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowLeft")
        assert dialog_key(page) == before


def test_the_way_back_closes_and_opens_the_dialog(chromium, site):
    with opened(chromium, at(site)) as page:
        page.click(".open >> nth=1")
        page.wait_for_selector("dialog[open]")
        page.go_back()
        until(page, "!document.querySelector('dialog').open")
        page.go_forward()
        page.wait_for_selector("dialog[open]")


def test_a_link_to_a_sample_opens_it_and_an_unknown_one_is_said(chromium, site):
    with opened(chromium, at(site, "sample=alpha-s0050")) as page:
        assert dialog_key(page) == "alpha-s0050"
    with opened(chromium, at(site, "sample=alpha-s0050&set=beta")) as page:
        assert dialog_key(page) == "alpha-s0050"  # also where the filter leaves it out
        page.keyboard.press("Escape")
        until(page, "document.activeElement.id === 'results'")
    with opened(chromium, at(site, "sample=%3Cb%3Enobody")) as page:
        assert (
            page.inner_text("#missing") == "The sample <b>nobody is not among those of this page."
        )


PERCENT = """() => {
  const image = document.querySelector("dialog .frame img").getBoundingClientRect();
  return Array.from(document.querySelectorAll("dialog .edge")).map(edge => {
    const box = edge.getBoundingClientRect();
    return [(box.left - image.left) / image.width, (box.top - image.top) / image.height,
      box.width / image.width, box.height / image.height, image.width];
  });
}"""


def test_boxes_lie_where_they_belong_also_when_enlarged(chromium, site):
    with opened(chromium, at(site, "sample=alpha-s0000")) as page:
        page.wait_for_selector("dialog .edge")
        first, second = page.evaluate(PERCENT)
        assert first[:4] == pytest.approx([0.125, 0.25, 0.5, 0.5], abs=0.01)
        assert second[:4] == pytest.approx([0, 0, 0.1, 0.1], abs=0.01)
        page.keyboard.press("+")
        page.keyboard.press("+")
        larger, _ = page.evaluate(PERCENT)
        assert larger[:4] == pytest.approx([0.125, 0.25, 0.5, 0.5], abs=0.01)
        assert larger[4] == pytest.approx(first[4] * 1.25**2, rel=0.01)
        page.keyboard.press("0")
        page.set_viewport_size({"width": 700, "height": 500})
        smaller, _ = page.evaluate(PERCENT)
        assert smaller[:4] == pytest.approx([0.125, 0.25, 0.5, 0.5], abs=0.01)
        # the image keeps its sides: 64 by 72
        box = page.locator("dialog .frame img").bounding_box()
        assert box["height"] / box["width"] == pytest.approx(72 / 64, rel=0.01)


def test_boxes_are_named_and_can_be_hidden_one_by_one_or_all(chromium, site):
    with opened(chromium, at(site, "sample=alpha-s0000")) as page:
        said = [each.strip() for each in page.locator(".box-list li").all_inner_texts()]
        assert said == ["1 Edema collection", "2 Nodule “a dot” ms"]
        page.uncheck(".box-list input >> nth=0")
        assert page.locator("dialog .edge").nth(0).is_hidden()
        assert page.locator("dialog .edge").nth(1).is_visible()
        page.keyboard.press("b")
        assert page.locator("dialog .edge").nth(1).is_hidden()


def test_grey_levels_change_and_come_back(chromium, site):
    with opened(chromium, at(site, "sample=alpha-s0000")) as page:
        style = "document.querySelector('dialog .frame img').style.filter"
        for key in "]].i":
            page.keyboard.press(key)
        assert page.evaluate(style) == "brightness(1.2) contrast(1.1) invert(1)"
        page.click("text=Reset")
        assert page.evaluate(style) == "brightness(1) contrast(1)"
        page.keyboard.press("]")
        page.keyboard.press("ArrowRight")  # another image begins as it is
        assert page.evaluate(style) == "brightness(1) contrast(1)"


def test_a_data_file_that_is_missing_is_said(chromium, site, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(Path(site.removeprefix("file://")), copy)
    (copy / "samples" / "beta" / "rows-0000.js").unlink()
    page = chromium.new_page()
    page.goto(f"file://{copy}/reports.html")
    until(page, "document.getElementById('count').textContent.includes('cannot')")
    assert "samples/beta/rows-0000.js" in page.inner_text("#count")
    page.close()
