"""What holds for every page: width, contrast, hostile text, text switched off, many samples."""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path

import pytest

from tests.train.pages.browser.conftest import REPORTS
from tests.train.pages.browser.made_site import count, keys, make, opened, record, write_set
from tests.train.pages.waiting import until

PAGES = ("reports.html", "collections.html", "collection-alpha.html", "collection-beta.html")
NARROW = {"viewport": {"width": 400, "height": 800}}

# the contrast of every text with what is painted behind it, by WCAG 2.2
CONTRAST = """() => {
  const curve = v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const numbers = colour => colour.match(/[\\d.]+/g).map(Number);
  const parts = colour => numbers(colour).length < 4 ? [...numbers(colour), 1] : numbers(colour);
  const luminance = c => 0.2126 * curve(c[0] / 255) + 0.7152 * curve(c[1] / 255)
    + 0.0722 * curve(c[2] / 255);
  const over = (top, below) => [0, 1, 2].map(i => top[i] * top[3] + below[i] * (1 - top[3]));
  function behind(element) {
    if (!element) return [255, 255, 255];
    const own = parts(getComputedStyle(element).backgroundColor);
    return own[3] === 1 ? own : over(own, behind(element.parentElement));
  }
  const left_out = ".hidden, .skip, noscript, svg, :disabled";
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const low = [];
  let seen = 0;
  while (walker.nextNode()) {
    const text = walker.currentNode.textContent.trim(), element = walker.currentNode.parentElement;
    if (!text || !element.checkVisibility() || element.closest(left_out)) continue;
    const ground = behind(element), ink = over(parts(getComputedStyle(element).color), ground);
    const [a, b] = [luminance(ink), luminance(ground)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    seen += 1;
    if (ratio < 4.5) low.push([text.slice(0, 40), element.className, ratio.toFixed(2)]);
  }
  return [seen, low];
}"""


def fits(page):
    return page.evaluate("document.documentElement.scrollWidth") <= 400


@pytest.mark.parametrize("name", PAGES)
def test_a_phone_scrolls_down_only(chromium, site, name):
    with opened(chromium, f"{site}/{name}", **NARROW) as page:
        assert fits(page)
        if name == "reports.html":
            assert page.is_hidden("#set")  # the filters are folded
            page.click("#more > summary")
            assert page.is_visible("#set")
            page.fill("#q", "hyperinflated")
            page.eval_on_selector(".sentence[data-place]", "e => e.click()")
            page.wait_for_selector(".rule dl")
            assert fits(page)
            page.click(".open >> nth=0")
            page.wait_for_selector("dialog[open]")
            assert fits(page)
            assert page.evaluate("document.querySelector('dialog').scrollWidth") <= 400


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_contrast_of_all_text(chromium, site, scheme):
    for name in PAGES:
        with opened(chromium, f"{site}/{name}", color_scheme=scheme) as page:
            if name == "reports.html":
                page.fill("#q", "effusion")
                page.eval_on_selector(".sentence[data-place]", "e => e.click()")
                page.wait_for_selector(".rule dl")
            seen, low = page.evaluate(CONTRAST)
            assert seen > 20
            assert low == []
            if name == "reports.html":
                page.click(".open >> nth=0")
                page.wait_for_selector("dialog[open]")
                assert page.evaluate(CONTRAST)[1] == []


def test_the_measure_of_contrast_finds_grey_on_grey(chromium):
    page = chromium.new_page()
    page.set_content('<body style="background:#ccc"><p style="color:#999">pale</p>')
    assert [each[0] for each in page.evaluate(CONTRAST)[1]] == ["pale"]
    page.close()


def test_headings_are_in_order_and_parts_have_names(chromium, site):
    for name in PAGES:
        with opened(chromium, f"{site}/{name}") as page:
            levels = page.evaluate(
                "[...document.querySelectorAll('h1,h2,h3,h4')].map(e => Number(e.tagName[1]))"
            )
            assert levels[0] == 1
            assert all(after - before <= 1 for before, after in pairwise(levels))
            nameless = page.evaluate(
                "Array.from(document.querySelectorAll('button, a, select, input')).filter(e =>"
                " !(e.textContent.trim() || e.ariaLabel || e.labels?.length)).length"
            )
            assert nameless == 0


HOSTILE = (
    "</script><script>alert(1)</script>", "<img src=x onerror=alert(2)>", "a \u2028 b \u2029 c",
    "'; alert(3); '", "${alert(4)}", "]]> --> <!--", "\\u003cb\\u003e", "{{ 7 * 7 }}", "🫁 é",
)  # fmt: skip


def test_hostile_text_is_shown_as_it_is_and_runs_nothing(chromium, tmp_path):
    said = [
        {"text": text, "section": "findings", "status": "abnormal", "rule": text,
         "prior_free": text, "edit": "cut",
         "mentions": [{"finding": text, "label": "", "assertion": "present"}]}
        for text in HOSTILE
    ]  # fmt: skip
    evil = HOSTILE[1]
    box = {"label": evil, "phrase": HOSTILE[0], "layer": evil, "x": 1, "y": 1, "w": 9, "h": 9}
    made = record("alpha", 0, sentences=said, boxes=[box], projection=evil,
                  sections={"technique": HOSTILE[0]},
                  labels_other=[{"name": evil, "value": 1}])  # fmt: skip
    folder = write_set(tmp_path, "alpha", {"train": [made]}, title=evil, licence=HOSTILE[0],
                       dropped={f"scan {evil}": 1})  # fmt: skip
    out = make(tmp_path / "out", [folder])
    with opened(chromium, f"file://{out}/reports.html") as page:
        assert page.locator(".item img").count() == 1  # the sample's own
        texts = page.eval_on_selector_all(
            ".item .sentence > span:last-child", "all => all.map(e => e.textContent)"
        )
        assert texts == list(HOSTILE)
        page.fill("#q", "onerror=alert(2)")
        assert count(page) == 1
        page.eval_on_selector(".item .sentence", "e => e.click()")
        page.wait_for_selector(".rule dl")
        page.select_option("#label", evil)
        page.click("#add")
        page.select_option("#boxes", evil)
        assert count(page) == 1
        page.click(".open")
        page.wait_for_selector("dialog[open]")
        assert page.inner_text("dialog h2") == evil
        page.reload()
        page.wait_for_selector("dialog[open]")
        assert page.locator("script:not([src])").count() == 0
    for name in ("collections.html", "collection-alpha.html"):
        with opened(chromium, f"file://{out}/{name}") as page:
            assert evil in page.inner_text("main")
            assert page.locator("script:not([src])").count() == 0


def test_no_page_has_code_or_style_of_its_own(site):
    for path in Path(site.removeprefix("file://")).glob("*.html"):
        page = path.read_text().lower()
        assert "<style" not in page, path.name
        assert " style=" not in page, path.name
        assert " onclick=" not in page, path.name
        assert page.count("<script") == page.count("<script src="), path.name


SECRET = "Xylophone"  # in every text of the set that is not shown


def hidden_record(number):
    mention = {"finding": SECRET, "label": "Edema", "assertion": "present", "trigger": SECRET}
    said = {
        "text": f"{SECRET} here.", "section": "findings", "status": "abnormal", "index": 0,
        "rule": "finding.present", "prior_free": f"{SECRET}.", "edit": "cut", "mentions": [mention],
    }  # fmt: skip
    texts = ("findings", "impression", "caption", "abnormal", "prior_free", "prompt")
    box = {"label": "Edema", "phrase": SECRET, "layer": "ms", "x": 1, "y": 1, "w": 9, "h": 9}
    return record("alpha", number, sentences=[said], boxes=[box], prompts=[SECRET],
                  statements=[SECRET], sections={"indication": SECRET},
                  translations={"findings": SECRET}, **dict.fromkeys(texts, SECRET))  # fmt: skip


@pytest.mark.parametrize(
    ("header", "section"),
    [
        ({"credentialed": True}, {}),
        ({"ids": "salted"}, {}),
        ({}, {"show_text": False}),
    ],
)
def test_text_that_is_not_shown_is_in_no_file(chromium, tmp_path, header, section):
    hidden = write_set(tmp_path, "alpha", {"test": [hidden_record(n) for n in range(3)]}, **header)
    out = make(tmp_path / "out", [hidden], **section)
    for path in out.rglob("*"):
        if path.is_file():
            assert SECRET.lower().encode() not in path.read_bytes().lower(), path.name
    with opened(chromium, f"file://{out}/reports.html") as page:
        assert "Alpha is not on this site" in page.inner_text("main")
        assert page.locator(".item img").count() == 3
        assert page.locator(".item .label").count() > 0
        page.eval_on_selector(".item .sentence", "e => e.click()")
        page.wait_for_selector(".rule dl")
        assert "finding.present" in page.inner_text(".rule dl")
        assert "kept (abnormal)" in page.inner_text(".rule dl")
        page.fill("#q", SECRET)
        assert count(page) == 0


def test_the_text_of_other_sets_is_shown_beside_a_hidden_one(tmp_path):
    hidden = write_set(tmp_path, "alpha", {"test": [hidden_record(0)]}, ids="salted")
    shown = write_set(tmp_path, "beta", {"test": [record("beta", 0, REPORTS[1])]})
    out = make(tmp_path / "out", [hidden, shown])
    assert "Large left" in (out / "samples/beta/rows-0000.js").read_text()
    assert SECRET not in (out / "samples/alpha/rows-0000.js").read_text()
    everything = make(tmp_path / "all", [hidden], show_text=True)
    assert SECRET in (everything / "samples/alpha/rows-0000.js").read_text()


@pytest.mark.slow
def test_ten_thousand_samples_load_page_and_filter(chromium, tmp_path):
    records = [record("alpha", n, REPORTS[n % 4]) for n in range(10_000)]
    folder = write_set(tmp_path, "alpha", {"train": records[:8000], "test": records[8000:]})
    out = make(tmp_path / "out", [folder], samples=0)
    with opened(chromium, "about:blank") as page:
        begun = time.perf_counter()
        page.goto(f"file://{out}/reports.html")
        page.wait_for_selector(".item")
        first = time.perf_counter() - begun
        until(page, "cxr.complete")
        whole = time.perf_counter() - begun
        assert count(page) == 10_000
        took = page.evaluate(
            "q => { const t = performance.now(); const field = document.getElementById('q');"
            " field.value = q; field.dispatchEvent(new Event('input'));"
            " return performance.now() - t; }",
            "left effusion decreased",
        )
        assert count(page) == 2_500
        page.select_option("#split", "test")
        assert count(page) == 500
        for place, last in ((320, "alpha-s7999"), (400, "alpha-s9999")):
            page.goto(f"file://{out}/reports.html#page={place}")
            page.wait_for_selector(f"text=Page {place} of 400 >> nth=0")
            assert keys(page)[-1] == last
        print(f"first page {first:.2f} s, all {whole:.2f} s, a search {took:.0f} ms")
