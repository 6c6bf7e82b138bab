"""Sets the doctests of docstrings as code on the API page; Markdown would read `>>>` as a quote."""

from __future__ import annotations

import re
from typing import Any

import griffe

DOCTEST = re.compile(r"^( *)>>> .*(?:\n(?! *$).+)*", re.M)


class Fenced(griffe.Extension):
    """Wraps each doctest, up to the next empty line, in a fence."""

    def on_instance(self, *, obj: griffe.Object | griffe.Alias, **kwargs: Any) -> None:  # noqa: ARG002
        """Change the docstring of a module, class or function."""
        if obj.is_alias or obj.docstring is None:
            return
        obj.docstring.value = DOCTEST.sub(_fenced, obj.docstring.value)


def _fenced(match: re.Match[str]) -> str:
    return f"{match[1]}```pycon\n{match[0]}\n{match[1]}```"
