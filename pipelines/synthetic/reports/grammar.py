"""Invented reports: a study goes in, sections and sentences whose status is known come out.

`report` words the plan of `report_plan` in one of many ways; `report_layout` sets it as the text
file of a collection. The impression names what was found in plain words, most of the time, so that
a model can learn which words go with which picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from cxr_vlp.pipelines.synthetic.reports import wordings as words
from cxr_vlp.pipelines.synthetic.seeding import stream
from cxr_vlp.pipelines.synthetic.findings import Finding
from cxr_vlp.pipelines.synthetic.patients import Study
from cxr_vlp.pipelines.synthetic.reports.layout import Report, layout_mimic, openi_sections
from cxr_vlp.pipelines.synthetic.reports.plan import Plan, labels, plan
from cxr_vlp.pipelines.synthetic.reports.wordings import Sentence

__all__ = ["Report", "labels", "layout_mimic", "openi_sections", "report"]

_IN_LISTS = ("Consolidation", "Pleural Effusion", "Pneumothorax", "Edema", "Lung Lesion")
_LUNG = frozenset(
    (
        "Consolidation",
        "Pneumonia",
        "Lung Opacity",
        "Edema",
        "Atelectasis",
        "Lung Lesion",
        "Pneumothorax",
        "Emphysema",
        "Fibrosis",
    )
)
_GOES_WITHOUT = {
    "Cardiomegaly": "Edema",
    "Pleural Effusion": "Pneumothorax",
    "Consolidation": "Pleural Effusion",
    "Fracture": "Pneumothorax",
}
_NAMED_IN_IMPRESSION = 0.92


def report(study: Study, *, seed: int) -> Report:
    """Return the report of `study`; `seed` changes the wording, never what is said."""
    luck = stream("report", seed, study.source, study.patient, study.number)
    said, mask = plan(study), "XXXX" if study.source == "openi" else "___"
    findings, impression = _written(study, said, luck, mask)
    sections = _frame(study, luck, mask)
    place = "body" if said.shape == "body" else "findings"
    if findings:
        heading = "" if place == "body" else "FINDINGS"
        sections.append((heading, " ".join(s.text for s in findings)))
    if impression:
        sections.append(("IMPRESSION", _numbered(impression, luck)))
    sentences = [(s.text, place, s.status) for s in findings]
    sentences += [(s.text, "impression", s.status) for s in impression]
    return Report(tuple(sections), tuple(sentences))


def _written(
    study: Study, said: Plan, luck: Random, mask: str
) -> tuple[list[Sentence], list[Sentence]]:
    """Return the sentences of (findings, impression) in the order in which they stand."""
    described = _described(study, said, luck, mask)
    if said.shape in ("findings", "body"):
        return described, []
    if said.shape == "impression":
        # The only section has to deny what is denied, and to name every finding.
        named = _concluded(study, said, luck, mask, named=1.0)
        return [], named + _denials(study, said.denied, luck)
    return described, _concluded(study, said, luck, mask, named=_NAMED_IN_IMPRESSION)


def _described(study: Study, said: Plan, luck: Random, mask: str) -> list[Sentence]:
    """Return the findings section: devices, what is there, what is not, the rest of the chest."""
    lines = _opening(study, luck, mask)
    left = set(said.denied)
    devices = [f for f in said.stated if f.name == "Support Devices"]
    lines += [words.device(f, luck) for f in devices]
    body: list[Sentence] = []
    for finding in said.stated:
        if finding in devices:
            continue
        other = _GOES_WITHOUT.get(finding.name, "")
        fresh = finding.assertion == "present" and finding.age_of == "new"
        if other in left and fresh and luck.random() < 0.2:
            left.discard(other)
            body.append(words.stated_without(finding, other, luck))
        else:
            body.append(words.stated(finding, luck, prior=study.prior))
    body += [words.resolved(f, luck) for f in study.resolved]
    body += _other_side(study, luck)
    body += _denials(study, [name for name in said.denied if name in left], luck)
    body += _rest(study, luck)
    luck.shuffle(body)
    return lines + body


def _concluded(
    study: Study, said: Plan, luck: Random, mask: str, *, named: float
) -> list[Sentence]:
    """Return the impression: findings in plain words, or that there are none; then what to do."""
    real = [f for f in said.stated if f.name != "Support Devices"]
    chosen = [f for f in real if luck.random() < named] or real
    lines = [words.stated(f, luck, prior=study.prior, brief=True) for f in _worst_first(chosen)]
    if not real:
        lines.append(words.fixed(luck, "normal", "normal", "impression"))
    if named == 1.0:
        lines += [words.resolved(f, luck) for f in study.resolved]
    for finding in said.stated:
        if finding.name == "Support Devices" and luck.random() < max(0.85, named):
            lines.append(words.device(finding, luck, brief=True))
    for finding in chosen:
        if finding.name in words.phrases()["prose"]["follow"] and luck.random() < 0.35:
            lines.append(words.fixed(luck, "nonfinding", "prose", "follow", finding.name))
            break
    if any(f.name == "Pneumothorax" for f in real) and luck.random() < 0.5:
        lines.append(words.fixed(luck, "nonfinding", "prose", "told", mask=mask))
    return lines


def _worst_first(findings: list[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda f: (f.assertion != "present", -f.grade))


def _opening(study: Study, luck: Random, mask: str) -> list[Sentence]:
    """Return how a report may begin: the comparison, the views, the quality of the film."""
    lines = []
    if study.prior and luck.random() < 0.3:
        lines.append(words.fixed(luck, "nonfinding", "prose", "compared", mask=mask))
    if "LATERAL" in study.views and luck.random() < 0.2:
        lines.append(words.fixed(luck, "nonfinding", "prose", "views"))
    if "AP" in study.views and luck.random() < 0.12:
        lines.append(words.fixed(luck, "nonfinding", "prose", "quality"))
    return lines


def _denials(study: Study, denied: Sequence[str], luck: Random) -> list[Sentence]:
    """Return sentences that deny each name once, the common ones in a list under one negation."""
    listed = [name for name in _IN_LISTS if name in denied]
    luck.shuffle(listed)
    lines = [words.denied(listed, luck)] if listed else []
    for name in denied:
        if name in words.phrases()["sentences"]:
            lines.append(words.fixed(luck, "normal", "sentences", name))
        elif name not in _IN_LISTS:
            lines.append(words.denied([name], luck))
    if not any(f.name in _LUNG for f in study.findings) and luck.random() < 0.45:
        lines.insert(0, words.fixed(luck, "normal", "normal", "lungs"))
    return lines


def _other_side(study: Study, luck: Random) -> list[Sentence]:
    """Return that the other side is free of fluid, where one side is not."""
    for finding in study.findings:
        one_sided = finding.name == "Pleural Effusion" and finding.side != "bilateral"
        if one_sided and luck.random() < 0.15:
            side = "left" if finding.side == "right" else "right"
            return [words.fixed(luck, "normal", "normal", "other_side", side=side)]
    return []


def _rest(study: Study, luck: Random) -> list[Sentence]:
    """Return what else is said of a chest: a normal structure, an age-old finding in the sick."""
    lines = []
    if luck.random() < 0.5:
        lines.append(words.fixed(luck, "normal", "normal", "rest"))
    if study.findings and study.age > 60 and luck.random() < 0.15:
        lines.append(words.fixed(luck, "abnormal", "aside"))
    return lines


def _frame(study: Study, luck: Random, mask: str) -> list[tuple[str, str]]:
    """Return the sections before the findings."""
    lateral, portable = "LATERAL" in study.views, "AP" in study.views
    views = "PA AND LAT" if lateral else "PORTABLE AP" if portable else "SINGLE VIEW"
    sex = {"F": "woman", "M": "man"}[study.sex]
    age = mask if mask == "___" else f"{mask}-year-old"
    person = luck.choice((f"{mask} year old {sex}", f"{mask}-year-old {sex}", f"{age} {sex}"))
    reason = words.fixed(luck, "nonfinding", "prose", "indication", person=person).text
    compared = luck.choice((f"{mask}.", f"Chest radiograph {mask}.")) if study.prior else "None."
    how = "Chest PA and lateral." if lateral else "Portable AP chest." if portable else "Chest PA."
    return [
        ("EXAMINATION", f"CHEST ({views})"),
        ("INDICATION", reason),
        ("TECHNIQUE", how),
        ("COMPARISON", compared),
    ]


def _numbered(lines: list[Sentence], luck: Random) -> str:
    """Return the impression as running text, or as a numbered list with a line for each point."""
    if len(lines) < 2 or luck.random() < 0.55:
        return " ".join(s.text for s in lines)
    return "\n".join(f"{i}. {s.text}" for i, s in enumerate(lines, start=1))
