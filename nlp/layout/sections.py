"""Splits a report into its sections: findings, impression, indication and so on.

It handles the layouts of MIMIC-CXR (a blank, capitals, a colon) and CheXpert Plus, mixed case,
headings in mid-line, joint headings, wet reads, addenda, several impressions and reports without
headings. `reason` gives a code for a file that is no report. The headings are in
lexicon/en/headings.yaml, the other words of the layout in lexicon/en/layout.yaml.

Where the headings of a study mislead, a user's file of cut rules decides. MIT-LCP publishes such a
list for MIMIC-CXR. YAML, one line a study:

    s50000001: {section: impression}          # the last section of the report is an impression
    s50000002: {section: findings, start: 120, end: 480}   # these characters of the raw file
    s50000003: {start: 0, end: 0}             # the report says nothing
"""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.layout import prose
from cxr_vlp.nlp.layout.nontext import is_text

TEXT_SECTIONS = ("findings", "impression", "body", "wet_read", "addendum")
_RULE = re.compile(r"^[ \t]*[_=*-]{6,}[ \t]*$", re.MULTILINE)
_BANNER = re.compile(rf"^[ \t]*(?:{lexicon.pattern('layout', 'banners')})[ \t]*:?", re.MULTILINE)
_LINE_HEAD = re.compile(
    r"^[ \t*#]*(?P<name>[A-Za-z][A-Za-z0-9/&,.()' \t-]{1,60}?)[ \t]*"
    r"(?P<end>::?\**(?!\d)|(?:-{1,2}|[–—])(?=\s)|(?=[ \t*]*$))",
    re.MULTILINE,
)
_ADDENDUM = re.compile(
    rf"^[ \t]*(?P<name>{lexicon.pattern('layout', 'addendum')})\b"
    r"(?P<end>[ \t]*(?:#?\d+\b)?[ \t]*:?)",
    re.MULTILINE,
)
# a stamp may follow: who and when ("WET READ: ABC MON 9:40 PM"), or masks
_WET_READ = re.compile(
    rf"^[ \t]*(?P<name>{lexicon.pattern('layout', 'wet_read')})\b[ \t]*(?:VERSION[^\n:]*)?:?"
    r"(?P<end>[^\n]{0,60}?\b\d{1,2}:\d\d(?:[ \t]*[AP]M\b)?|(?:[ \t]*_{2,})*)",
    re.MULTILINE,
)
_CODE = re.compile(r"\s*\d[ \t]*-[ \t]*[A-Z]{3}")  # 1-NORMAL, 4-POSSIBLE SIGNIFICANT FINDING
_SIGNATURE = re.compile(
    r"(?:^[ \t]*|(?<=[.;]\s)|(?<=[.;]\s\s))"
    rf"(?:{lexicon.pattern('layout', 'signatures')})\b[ \t]*:?",
    re.MULTILINE,
)
_MID_HEAD = re.compile(
    rf"(?:(?<=[.:;!?\]\s])(?P<name>[A-Z][A-Z/&() ]{{2,40}}|{lexicon.pattern('layout', 'mid_line')})"
    rf"|(?<=[.;!?]\s)(?P<other>{lexicon.pattern('layout', 'after_sentence')}))"
    r"[ \t]*(?P<end>:)(?=\s|[A-Z])"
)
_MASK = re.compile(r"X{3,}|_+")
_LETTER = re.compile(r"[^\W\d_]")
_GAP = re.compile(r"\n[ \t]*\n")
_MARGIN = 60  # a heading further in is in mid-line
_LFS = "version https://git-lfs"
_VIEW_WORDS = re.compile(rf"\b(?:{lexicon.pattern('layout', 'view_words')})\b")
_NOT_VIEWS = re.compile(rf"\b(?:{lexicon.pattern('layout', 'not_views')})\b")
_AFTER_CAPITALS = lexicon.words("layout", "after_capitals")
_KEYWORDS: tuple[str, ...] = tuple(lexicon.load("layout")["keywords"])


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a report: its name, its place in the raw text, its text with blanks joined."""

    name: str
    start: int
    end: int
    text: str


class _Head(NamedTuple):
    name: str
    start: int
    end: int


def reason(text: str) -> str:
    """Return the reason code of a text that is no report, or "" where it is one."""
    if not text.strip():
        return "report.empty"
    if text.lstrip().startswith(_LFS):
        return "report.lfs_pointer"
    if not is_text(text):
        return "report.not_text"
    if not _says_something(text):
        return "report.no_text"
    if not any(s.name in TEXT_SECTIONS and _says_something(s.text) for s in split(text)):
        return "report.no_text"
    return ""


def _says_something(text: str) -> bool:
    return bool(_LETTER.search(_MASK.sub(" ", text)))


@functools.lru_cache(maxsize=8)  # `reason` and `cut` both ask for it
def split(text: str) -> tuple[Section, ...]:
    """Return the sections of a report in order; empty ones are left out.

    Text under no heading is `preamble`, or `body` where the report has neither findings nor
    impression. A heading that names the views counts as findings where its text is the only prose.
    """
    heads = _heads(text)
    edges = [*heads, _Head("", len(text), len(text))]
    found = []
    if edges[0].start > 0:
        found.append(_section(text, "preamble", 0, edges[0].start))
    for head, following in pairwise(edges):
        found.append(_section(text, head.name, head.end, following.start))
    sections = [s for s in found if any(c.isalnum() or c == "_" for c in s.text)]
    return tuple(_with_prose(text, _with_views(sections)))


def _section(text: str, name: str, start: int, end: int) -> Section:
    while start < end and (text[start].isspace() or text[start] in ":"):
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return Section(name, start, end, " ".join(text[start:end].split()))


def _with_views(sections: list[Section]) -> list[Section]:
    """Rename a prose "views" heading to findings where the report has no findings of its own."""
    has_findings = any(s.name == "findings" for s in sections)
    renamed = []
    for s in sections:
        name = s.name
        if name == "views":
            is_prose = len(s.text.split()) >= 5 and not has_findings
            name = "findings" if is_prose else "examination"
        renamed.append(Section(name, s.start, s.end, s.text))
    return renamed


def _with_prose(text: str, sections: list[Section]) -> list[Section]:
    """Give the findings that stand under another heading a name, where none are under their own.

    They are `findings` beside an impression, and `body` without one.
    """
    names = [s.name for s in sections]
    if not sections or "findings" in names:
        return sections
    if "impression" in names:
        before, after = sections[: names.index("impression")], sections[names.index("impression") :]
        return [part for s in before for part in _parted(text, s, "findings")] + after
    found = [part for s in sections for part in _parted(text, s, "body")]
    return found if any(s.name == "body" for s in found) else _with_body(text, sections)


def _parted(text: str, section: Section, name: str) -> list[Section]:
    """Return a section, or what stands before its findings and the findings as `name`."""
    if section.name not in (*prose.ABOUT_IMAGE, *prose.ABOUT_PATIENT):
        return [section]
    if section.name == "preamble" and name == "body":
        return [section]  # it is taken as a whole
    within = text[section.start : section.end]
    place = prose.start(section.name, within, after_gap=name == "findings")
    return [section] if place < 0 else _cut(text, section, place, name)


def _with_body(text: str, sections: list[Section]) -> list[Section]:
    """Name the text after the last heading `body` where there are no findings and no impression."""
    if not sections or any(s.name in ("findings", "impression") for s in sections):
        return sections
    last = max((i for i, s in enumerate(sections) if s.name != "end"), default=None)
    if last is None:
        return sections
    head = sections[last]
    if head.name == "preamble":
        place = prose.after_request(text[head.start : head.end])
    else:
        gap = _GAP.search(text, head.start, head.end)
        if gap is None:
            return sections
        place = gap.end() - head.start
    return [*sections[:last], *_cut(text, head, place, "body"), *sections[last + 1 :]]


def _cut(text: str, section: Section, place: int, name: str) -> list[Section]:
    """Return what stands before `place` of a section under its name, and the rest as `name`."""
    middle = section.start + place
    first = _section(text, section.name, section.start, middle)
    return [s for s in (first, _section(text, name, middle, section.end)) if s.text]


def _heads(text: str) -> list[_Head]:
    """Return the headings in order, none overlapping another."""
    found = [*_line_heads(text), *_mid_heads(text)]
    found += [_Head("preamble", m.start(), m.end()) for m in _RULE.finditer(text)]
    found += [_Head("preamble", m.start(), m.end()) for m in _BANNER.finditer(text)]
    found += [_Head("addendum", m.start(), m.end()) for m in _ADDENDUM.finditer(text)]
    found += [_Head("wet_read", m.start(), m.end()) for m in _WET_READ.finditer(text)]
    found += [_Head("end", m.start(), m.end()) for m in _SIGNATURE.finditer(text)]
    kept: list[_Head] = []
    for head in sorted(found, key=lambda h: (h.start, -h.end)):
        is_free = not kept or head.start >= kept[-1].end
        if is_free and not (head.name == "views" and any(k.name == "findings" for k in kept)):
            kept.append(head)
    return [_settled(head, kept, text) for head in kept]


def _settled(head: _Head, heads: list[_Head], text: str) -> _Head:
    """Return `head`; a summary that is a code ("2-ABNORMAL") or beside one is no impression."""
    if head.name == "summary":
        is_other = any(h.name == "impression" for h in heads) or _CODE.match(text, head.end)
        return head._replace(name="end" if is_other else "impression")
    return head


def _line_heads(text: str) -> Iterable[_Head]:
    for match in _LINE_HEAD.finditer(text):
        words = match["name"]
        if match["end"].startswith(":"):
            name = heading(words) or (_caps_heading(words) if words.isupper() else "")
        else:  # a dash, or a line of its own
            name = heading(words) if words.isupper() or words.istitle() else ""
            name = "" if name == "end" else name
        if name:
            yield _Head(name, match.start(), match.end())


def _mid_heads(text: str) -> Iterable[_Head]:
    for match in _MID_HEAD.finditer(text):
        words = match["name"] or match["other"]
        name = heading(words) if len(words.strip()) > 3 else ""
        if name and name != "end":
            yield _Head(name, match.start(), match.end())
        elif match["name"]:
            yield from _last_words(match)


def _last_words(match: re.Match[str]) -> Iterable[_Head]:
    """Yield the heading with which a run of capitals ends: "VIEWS 10:00 AM FINDINGS:"."""
    for word in re.finditer(r"(?<=[ ])[A-Z]", match["name"]):
        words = match["name"][word.start() :]
        if words.strip().lower() in _AFTER_CAPITALS:
            yield _Head(heading(words), match.start() + word.start(), match.end())
            return


@functools.lru_cache(maxsize=4096)
def heading(words: str) -> str:
    """Return the section that a heading names ("" = no heading); one misspelling is allowed."""
    key = " ".join(re.sub(r"\(.*?\)", " ", words).lower().replace("\t", " ").split()).strip(" .,-")
    table = _table()
    if key in table:
        return table[key]
    if words.isupper() and len(key) >= 7 and " " not in key:
        close = difflib.get_close_matches(key, _long_names(), n=1, cutoff=0.85)
        if close:
            return table[close[0]]
    return ""


def _caps_heading(words: str) -> str:
    """Return the section of a capital heading that merely contains a known word or a view."""
    lower = words.lower()
    for keyword in _KEYWORDS:
        if keyword in lower:
            return table_name(keyword)
    is_view = _VIEW_WORDS.search(lower) and not _NOT_VIEWS.search(lower)
    return "views" if is_view else ""


def table_name(word: str) -> str:
    """Return the section that the exact heading `word` names."""
    return _table()[word]


@functools.cache
def _table() -> dict[str, str]:
    return {term: name for name, terms in lexicon.load("headings").items() for term in terms}


@functools.cache
def _long_names() -> tuple[str, ...]:
    return tuple(sorted(term for term in _table() if len(term) >= 7 and " " not in term))


def merge(
    sections: Iterable[Section], policy: str = "last", raw: str | None = None
) -> dict[str, str]:
    """Return name -> text; `policy` says which of several impressions counts.

    With the report's `raw` text the values keep its line ends, and the blanks before their first
    line for its heading: the width of the lines shows where a sentence ends.

    last (the radiologist's final word, as MIT-LCP's parser takes it), first, or join. Findings in
    several places are always joined in order: each part is about other images.
    """
    if policy not in ("last", "first", "join"):
        raise ValueError(f"policy of several sections must be last, first or join, not {policy!r}")
    texts: dict[str, list[str]] = {}
    for section in sections:
        text = section.text if raw is None else _in_place(raw, section)
        texts.setdefault(section.name, []).append(text)
    return {
        name: _pick(parts, "join" if name != "impression" else policy)
        for name, parts in texts.items()
    }


def _in_place(raw: str, section: Section) -> str:
    column = section.start - raw.rfind("\n", 0, section.start) - 1
    return " " * min(column, _MARGIN) + raw[section.start : section.end] + "\n"


def _pick(parts: list[str], policy: str) -> str:
    if policy == "join":
        return " ".join(parts)
    return parts[-1] if policy == "last" else parts[0]


@dataclass(frozen=True, slots=True)
class CutRule:
    """How the report of one study is cut; it overrides the report's headings."""

    section: str = "findings"
    start: int = -1  # -1 = the sections as found, only the last one renamed
    end: int = -1


def load_rules(path: Path) -> Mapping[str, CutRule]:
    """Return study -> rule. Raises ValueError that names a wrong entry by its number."""
    try:
        rows: Any = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML") from error
    if not isinstance(rows, Mapping):
        raise ValueError(f"{path}: expected one line for each study")  # noqa: TRY004 - the file is wrong
    return {
        str(study): _rule(row, f"{path}: entry {number}")
        for number, (study, row) in enumerate(rows.items(), start=1)
    }


def _rule(row: Any, where: str) -> CutRule:
    try:
        rule = CutRule(**row)
    except TypeError:
        raise ValueError(f"{where}: only section, start and end are allowed") from None
    if not all(isinstance(n, int) for n in (rule.start, rule.end)) or not (
        rule.start == rule.end == -1 or 0 <= rule.start <= rule.end
    ):
        raise ValueError(f"{where}: start and end are characters of the file, start first")
    return rule


def cut(text: str, rule: CutRule | None) -> tuple[Section, ...]:
    """Return the sections of a report, by its rule where it has one.

    The places of a rule are characters of the raw file, so they are cut before anything is
    normalised.
    """
    if rule is None:
        return split(text)
    if rule.start < 0:
        *others, last = split(text) or (Section("", 0, 0, ""),)
        renamed = Section(rule.section, last.start, last.end, last.text)
        return (*others, renamed) if last.text else ()
    start, end = rule.start, min(rule.end, len(text))
    content = " ".join(text[start:end].split())
    return (Section(rule.section, start, end, content),) if content else ()
