"""Recognizes content that is no report text: RTF, web pages, PDFs, git-annex pointers, binary data.

Such a file can have the name of a report: a login page that was saved, a word processor's file, a
pointer whose content was never fetched.
"""

from __future__ import annotations

import re

_HEADS = re.compile(
    r"%PDF-|%!PS|\{\\rtf|PK\x03\x04|GIF8|<!doctype|<html|<head|<body|<\?xml|<\?php|"
    r'\{\s*"(?:error|errors|message|detail|status)"\s*:|'
    r"(?:\.\./)*(?:\.git/|/)annex/objects/",
    re.IGNORECASE,
)
_INSIDE = re.compile(r"</(?:html|body|head|script|style)>|<script\b|\\pard\b", re.IGNORECASE)
_CONTROL = re.compile("[\x00-\x08\x0e-\x1a\x7f-\x84\x86-\x9f\ufffd\ufffe\uffff\ud800-\udfff]")
SHARE = 50  # text may hold one control character in so many: an old terminal leaves a few


def is_text(text: str) -> bool:
    """Return whether a report's content is text; an empty one is."""
    if "\0" in text:
        return False
    if not text.isascii() or not text.isprintable():
        odd = len(_CONTROL.findall(text))
        if odd * SHARE > len(text):
            return False
    if _HEADS.match(text.lstrip("\ufeff \t\r\n")):
        return False
    return not (("<" in text or "\\" in text) and _INSIDE.search(text))
