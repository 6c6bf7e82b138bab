"""Denial: where it ends, what it takes for granted, and what only looks like one."""

from __future__ import annotations

import traps


@traps.cases("denial.tsv")
def test_trap(row: traps.Row) -> None:
    traps.check(row)
