"""Tell what is no report text: RTF, web pages, PDFs, pointers of git-annex, binary data.

Such files lie where a report should, with its name: a login page that was saved, a word
processor's file, a link's stand-in that was never fetched.
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
SHARE = 50  # one control character in so many: less is a slip of an old terminal


def is_text(text: str) -> bool:
    """Tell whether a report's content is text; of what is empty too."""
    if "\0" in text:
        return False
    if not text.isascii() or not text.isprintable():
        odd = len(_CONTROL.findall(text))
        if odd * SHARE > len(text):
            return False
    return not (_HEADS.match(text.lstrip("\ufeff \t\r\n")) or _INSIDE.search(text))
