"""Sections: the text of a report in, its named parts with their places out.

Knows the layouts of MIMIC-CXR (a blank, capitals, a colon) and CheXpert Plus, mixed case, headings
in mid-line, joint headings, wet reads, addenda, several impressions and reports without headings.
A report that is none gets a reason code instead.
"""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.nontext import is_text

TEXT_SECTIONS = ("findings", "impression", "body", "wet_read", "addendum")
_RULE = re.compile(r"^[ \t]*[_=*-]{6,}[ \t]*$", re.MULTILINE)
_FINAL = re.compile(r"^[ \t]*(?:FINAL|PRELIMINARY|INTERIM) REPORT[ \t]*:?", re.MULTILINE)
_LINE_HEAD = re.compile(
    r"^[ \t*#]*(?P<name>[A-Za-z][A-Za-z0-9/&,.()' \t-]{1,60}?)[ \t]*"
    r"(?P<end>::?\**(?!\d)|-{1,2}(?=\s)|(?=[ \t*]*$))",
    re.MULTILINE,
)
_ADDENDUM = re.compile(
    r"^[ \t]*(?P<name>ADDENDUM|Addendum)\b(?P<end>[ \t]*(?:#?\d+)?[ \t]*:?)", re.M
)
_WET = re.compile(r"^[ \t]*(?P<name>WET READ)\b(?P<end>[^\n]*)", re.MULTILINE)
_MID_HEAD = re.compile(
    r"(?:(?<=[.:;!?\]\s])(?P<name>[A-Z][A-Z/&() ]{2,40}|Impressions?|Findings|Conclusions?)"
    r"|(?<=[.;!?]\s)(?P<other>Indications?|Comparisons?|Technique|(?:Clinical )?History"
    r"|Recommendations?))[ \t]*(?P<end>:)(?=\s|[A-Z])"
)
_LFS = "version https://git-lfs"
_VIEW_WORDS = re.compile(
    r"\b(?:chest|portable|views?|frontal|lateral|radiographs?|ribs?|pa|ap|supine|upright|xr|cxr)\b"
)
_CAPS_KEYWORDS = ("impression", "findings", "indication", "history", "comparison", "technique",
                  "addendum", "recommendation", "notification")  # fmt: skip


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
    """Return why `text` is no report, as a code, or "" where it is one."""
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
    return any(word.isalpha() for word in re.sub(r"X{3,}|_+", " ", text).replace(".", " ").split())


def split(text: str) -> tuple[Section, ...]:
    """Return the sections of a report in order; empty ones are left out.

    Text under no heading is `preamble`, or `body` where the report has neither findings nor
    impression. A heading that names the views counts as findings if it leads the only prose.
    """
    heads = _heads(text)
    edges = [*heads, _Head("", len(text), len(text))]
    found = []
    if edges[0].start > 0:
        found.append(_section(text, "preamble", 0, edges[0].start))
    for head, following in pairwise(edges):
        found.append(_section(text, head.name, head.end, following.start))
    sections = [s for s in found if any(c.isalnum() or c == "_" for c in s.text)]
    return tuple(_with_body(text, _with_views(sections)))


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


def _with_body(text: str, sections: list[Section]) -> list[Section]:
    """Where neither findings nor impression is, name the text after the last heading `body`."""
    if not sections or any(s.name in ("findings", "impression") for s in sections):
        return sections
    last = max((i for i, s in enumerate(sections) if s.name != "end"), default=None)
    if last is None:
        return sections
    head = sections[last]
    if head.name == "preamble":
        return [
            *sections[:last],
            Section("body", head.start, head.end, head.text),
            *sections[last + 1 :],
        ]
    gap = re.compile(r"\n[ \t]*\n").search(text, head.start, head.end)
    if gap is None:
        return sections
    parts = [
        _section(text, head.name, head.start, gap.start()),
        _section(text, "body", gap.end(), head.end),
    ]
    return [*sections[:last], *(p for p in parts if p.text), *sections[last + 1 :]]


def _heads(text: str) -> list[_Head]:
    """Return the headings in order, none overlapping another."""
    found = [*_line_heads(text), *_mid_heads(text)]
    found += [_Head("preamble", m.start(), m.end()) for m in _RULE.finditer(text)]
    found += [_Head("preamble", m.start(), m.end()) for m in _FINAL.finditer(text)]
    found += [_Head("addendum", m.start(), m.end()) for m in _ADDENDUM.finditer(text)]
    found += [_Head("wet_read", m.start(), m.end()) for m in _WET.finditer(text)]
    kept: list[_Head] = []
    for head in sorted(found, key=lambda h: (h.start, -h.end)):
        is_free = not kept or head.start >= kept[-1].end
        if is_free and not (head.name == "views" and any(k.name == "findings" for k in kept)):
            kept.append(head)
    return [_settled(head, kept) for head in kept]


def _settled(head: _Head, heads: list[_Head]) -> _Head:
    """Return `head`; a summary beside an impression is its code, not another impression."""
    if head.name == "summary":
        is_other = any(h.name == "impression" for h in heads)
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
        words = (match["name"] or match["other"]).strip()
        name = heading(words) if len(words) > 3 else ""
        if name and name != "end":
            yield _Head(name, match.start(), match.end())


@functools.lru_cache(maxsize=4096)
def heading(words: str) -> str:
    """Return the section a heading's words stand for ("" = no heading); forgives a typing slip."""
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
    for keyword in _CAPS_KEYWORDS:
        if keyword in lower:
            return table_name(keyword)
    is_view = _VIEW_WORDS.search(lower) and not re.search(r"\btube|\bwall|line\b", lower)
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

    With the report's `raw` text the values keep its line ends (sentences are split by them).

    last (the radiologist's final word, as MIT-LCP's parser takes it), first, or join. Findings
    that stand in several places are always joined in order: each part is about other images.
    """
    if policy not in ("last", "first", "join"):
        raise ValueError(f"policy of several sections must be last, first or join, not {policy!r}")
    texts: dict[str, list[str]] = {}
    for section in sections:
        text = section.text if raw is None else raw[section.start : section.end] + "\n"
        texts.setdefault(section.name, []).append(text)
    return {
        name: _pick(parts, "join" if name != "impression" else policy)
        for name, parts in texts.items()
    }


def _pick(parts: list[str], policy: str) -> str:
    if policy == "join":
        return " ".join(parts)
    return parts[-1] if policy == "last" else parts[0]
