"""Waits for a state of a page from outside of it.

Playwright's own `wait_for_function` evaluates text in the page, which the site's policy forbids as
soon as the first look finds another state: a test with it passes or fails with the machine's load.
"""

from __future__ import annotations

import time
from typing import Any

from playwright.sync_api import Page

LONGEST = 240.0  # seconds; it ends a test that would hang, and judges no time


def until(page: Page, script: str, arg: Any = None) -> None:
    """Return when the expression, or the function of `arg`, is true in the page."""
    end = time.monotonic() + LONGEST
    while not page.evaluate(script, arg):
        assert time.monotonic() < end, f"never true: {script}"
        page.wait_for_timeout(20)
