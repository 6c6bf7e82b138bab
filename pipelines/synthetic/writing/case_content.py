"""Gives the image and the report of a case: the user's own, or made from the findings.

This module connects the layouts, which handle files, with `phantom` and `reports`, which handle
a study.
"""

from __future__ import annotations

from collections.abc import Mapping

from cxr_vlp.pipelines.synthetic.cases.people import Case
from cxr_vlp.pipelines.synthetic.cases.real_content import load
from cxr_vlp.pipelines.synthetic.phantom.render import BoxedImage, draw
from cxr_vlp.pipelines.synthetic.reports.report_text import (
    mimic_text,
    openi_sections,
    real_mimic_text,
)
from cxr_vlp.pipelines.synthetic.reports.report_writer import report
from cxr_vlp.pipelines.synthetic.seeding import stream


def image_of(case: Case, place: int, *, height: int, seed: int) -> BoxedImage:
    """Return the image of the view at `place`. A real one has no boxes."""
    if case.images:
        return BoxedImage(load(case.images[place], height=height), ())
    return draw(case.study, case.study.views[place], height=height, seed=seed)


def sections(case: Case, *, seed: int) -> Mapping[str, str]:
    """Return findings, impression, indication, comparison as Open-i gives them, "" if empty."""
    if case.report:
        return case.report.sections
    return openi_sections(report(case.study, seed=seed))


def sentences(case: Case, *, seed: int) -> tuple[tuple[str, str, str], ...]:
    """Return (text, section, status) of each sentence; () for a real report."""
    return () if case.report else report(case.study, seed=seed).sentences


def mimic_report(case: Case, *, seed: int) -> str:
    """Return the report as a MIMIC text file."""
    if case.report:
        return real_mimic_text(case.report.sections)
    rng = stream("layout", seed, case.study.patient, case.study.number)
    return mimic_text(report(case.study, seed=seed), rng.getrandbits(32))
