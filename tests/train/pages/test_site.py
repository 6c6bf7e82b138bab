"""The site in headless Chromium: no request, every page reached, every size and colour."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest

from tests.train.pages.waiting import until

WIDTHS = (400, 1400)
LEAST = 4.5  # contrast of text, WCAG 2.2 level AA
# the contrast of each text with the first opaque background behind it; large text is not excused
CONTRAST = """() => {
  const luminance = (c) => {
    const part = (v) => { v /= 255; return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4 };
    return .2126 * part(c[0]) + .7152 * part(c[1]) + .0722 * part(c[2]);
  };
  const read = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const low = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    const style = getComputedStyle(element);
    const box = element.getBoundingClientRect();
    if (!own || !box.width || style.visibility === "hidden" || element.tagName === "TITLE"
        || element.tagName === "DESC") continue;
    const ink = read(element instanceof SVGElement ? style.fill : style.color);
    let behind = element, paper = [0, 0, 0, 0];
    while (behind) {
      const found = read(getComputedStyle(behind).backgroundColor);
      if (found.length === 3 || found[3] === 1) { paper = found; break }
      behind = behind.parentElement;
    }
    const [a, b] = [luminance(ink), luminance(paper)].sort((x, y) => y - x);
    const ratio = (a + .05) / (b + .05);
    if (ratio < 4.5) low.push(`${element.tagName} ${element.className} ${ratio.toFixed(2)}`);
  }
  return low;
}"""


def pages(site: Path) -> list[str]:
    return sorted(path.name for path in site.glob("*.html"))


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_no_page_scrolls_sideways_fetches_anything_or_says_an_error(site, chromium, width, colours):
    context = chromium.new_context(
        viewport={"width": width, "height": 800}, color_scheme=colours, offline=True
    )
    page = context.new_page()
    wrong: list[str] = []
    page.on("console", lambda said: wrong.append(said.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    # images that are still being read when the next page is opened are aborted
    page.on(
        "requestfailed",
        lambda request: wrong.append(request.url) if "ABORTED" not in request.failure else None,
    )
    asked: set[str] = set()
    page.on("request", lambda request: asked.add(request.url))
    for name in pages(site):
        page.goto((site / name).as_uri())
        wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, f"{name} is {wide} pixels too wide at {width}"
        assert page.evaluate(CONTRAST) == [], name
    assert wrong == []
    assert all(url.startswith((site.as_uri(), "data:")) for url in asked)
    assert len(asked) > len(pages(site))
    context.close()


def test_the_contrast_is_measured(site, chromium):
    page = chromium.new_page()
    page.goto((site / "index.html").as_uri())
    page.evaluate("document.querySelector('h1').style.color = '#999'")
    assert [each.split()[0] for each in page.evaluate(CONTRAST)] == ["H1"]
    page.close()


def test_every_page_is_reached_by_links(site, chromium):
    page = chromium.new_page()
    seen: set[str] = set()
    waiting = ["index.html"]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        page.goto((site / name).as_uri())
        found = page.evaluate("[...document.links].map((each) => each.getAttribute('href'))")
        for link in found:
            target = link.partition("#")[0]
            assert not target or (site / target).is_file(), f"{name} links to {link}"
            if target:
                waiting.append(target)
    assert seen == set(pages(site))
    page.close()


def test_a_keyboard_is_enough(site, chromium):
    page = chromium.new_page()
    page.goto((site / "index.html").as_uri())
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    assert page.evaluate("document.activeElement.getBoundingClientRect().top") >= 0
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
    reached = []
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate(
                "[document.activeElement.tagName,"
                " getComputedStyle(document.activeElement).outlineStyle]"
            )
        )
    assert ["SUMMARY", "solid"] in reached
    assert ["DIV", "solid"] in reached, "a table that scrolls is reached"
    page.close()


def test_the_switch_changes_the_colours_and_the_next_page_keeps_them(site, chromium):
    context = chromium.new_context(color_scheme="light")
    page = context.new_page()
    page.goto((site / "index.html").as_uri())
    paper = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(paper)
    page.click("#theme")
    dark = page.evaluate(paper)
    assert dark != light
    page.goto((site / "labels.html").as_uri())
    assert page.evaluate(paper) == dark
    page.click("#theme")
    assert page.evaluate(paper) == light
    context.close()


def test_paper_is_white_and_shows_fold_outs_but_no_numbers_of_charts_and_prompts(site, chromium):
    context = chromium.new_context(color_scheme="dark")
    page = context.new_page()
    page.goto((site / "index.html").as_uri())
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    closed = "[...document.querySelectorAll('details:not([open])')]"
    assert page.evaluate(f"{closed}.length") > 0
    assert page.evaluate(f"{closed}.every((each) => each.classList.contains('screen'))")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate(f"{closed}.every((each) => getComputedStyle(each).display === 'none')")
    assert page.locator("details[open] >> text=protocol_digest").first.is_visible()
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.evaluate("document.querySelectorAll('details[open]').length") == 0
    context.close()


@pytest.mark.parametrize("name", ["index.html", "collections.html"])
def test_a_phone_shows_every_name_of_the_navigation(site, chromium, name):
    page = chromium.new_page(viewport={"width": 300, "height": 800})
    page.goto((site / name).as_uri())
    ends = page.evaluate(
        "[...document.querySelectorAll('nav[aria-label=Pages] a')].map("
        "(each) => each.getBoundingClientRect().right)"
    )
    assert len(ends) >= 4
    assert max(ends) <= 300
    page.close()


def test_a_heat_map_lies_on_its_image(site, chromium):
    page = chromium.new_page()
    page.goto((site / "label-cardiomegaly.html").as_uri())
    image, heat = (page.locator(f".mapped img{kind}").first for kind in (":not(.heat)", ".heat"))
    heat.scroll_into_view_if_needed()
    until(page, "document.querySelector('.heat').naturalWidth > 0")
    assert image.bounding_box() == heat.bounding_box()
    sides = "(each) => each.naturalWidth / each.naturalHeight"
    assert image.evaluate(sides) == pytest.approx(heat.evaluate(sides), rel=0.02)
    assert heat.evaluate("(each) => getComputedStyle(each).backgroundColor") == "rgba(0, 0, 0, 0)"
    page.close()


def test_heat_maps_are_shown_and_hidden(site, chromium):
    page = chromium.new_page()
    page.goto((site / "label-cardiomegaly.html").as_uri())
    heat = page.locator(".image .heat").first
    assert heat.is_visible()
    page.uncheck("#heat")
    assert not heat.is_visible()
    page.locator(".image img").first.scroll_into_view_if_needed()
    page.wait_for_load_state("networkidle")
    assert page.evaluate("document.querySelector('.image img').naturalWidth") > 0
    page.close()


@pytest.mark.parametrize("name", ["index.html", "labels.html", "label-cardiomegaly.html"])
def test_a_screen_reader_finds_its_way(site, chromium, name):
    page = chromium.new_page()
    page.goto((site / name).as_uri())
    levels = page.evaluate(
        "[...document.querySelectorAll('h1,h2,h3,h4')].map((h) => +h.tagName[1])"
    )
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    for landmark in ("header", "nav[aria-label]", "main", "footer"):
        assert page.locator(landmark).count() >= 1
    count = "[...document.querySelectorAll('{}')].filter((each) => !({})).length"
    assert page.evaluate(count.format("img", "each.alt")) == 0
    assert page.evaluate(count.format("table", "each.caption")) == 0
    assert page.evaluate(count.format("th", "each.scope")) == 0
    titled = "each.querySelector('title') && each.querySelector('desc')"
    assert page.evaluate(count.format("svg[role=img]", titled)) == 0
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((each) => each.id)")
    assert len(ids) == len(set(ids))
    page.close()


def test_the_colours_of_the_style_sheet_have_enough_contrast():
    css = Path(__file__).parents[3].joinpath("train/pages/static/site.css").read_text()
    found = re.findall(r"--(\w[\w-]*): light-dark\((#\w{6}), (#\w{6})\)", css)
    colours = {name: (light, dark) for name, light, dark in found}
    for mode in (0, 1):
        for text in ("ink", "soft", "accent", "bad", "warn", "good", "s2", "s3", "s4", "s5", "s6"):
            for paper in ("paper", "wash"):
                ratio = contrast(colours[text][mode], colours[paper][mode])
                assert ratio >= LEAST, (text, paper, mode, ratio)
        # lines that carry meaning need 3 : 1 (WCAG 1.4.11)
        assert contrast(colours["rule"][mode], colours["paper"][mode]) >= 2.9


def contrast(one: str, other: str) -> float:
    a, b = sorted((luminance(one), luminance(other)), reverse=True)
    return (a + 0.05) / (b + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (v / 12.92 if v <= 0.03928 else ((v + 0.055) / 1.055) ** 2.4 for v in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_the_contrast_of_black_and_white_is_21():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
