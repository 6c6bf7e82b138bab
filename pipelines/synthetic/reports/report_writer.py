"""Writes the report of a study: sections, and sentences whose status is known.

`report` words the plan of `report_plan` in one of many ways; `report_text` formats it as the file
of a collection. Most impressions name what was found in common words, so a model can learn which
words belong to which image.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from cxr_vlp.pipelines.synthetic.cases.findings import Finding
from cxr_vlp.pipelines.synthetic.cases.patients import Study
from cxr_vlp.pipelines.synthetic.reports import wordings as words
from cxr_vlp.pipelines.synthetic.reports.report_plan import Plan, plan
from cxr_vlp.pipelines.synthetic.reports.report_text import Report
from cxr_vlp.pipelines.synthetic.reports.wordings import Sentence
from cxr_vlp.pipelines.synthetic.seeding import stream

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
    """Return the report of `study`; `seed` changes the wording, never what it states."""
    rng = stream("report", seed, study.source, study.patient, study.number)
    said, mask = plan(study), "XXXX" if study.source == "openi" else "___"
    findings, impression = _written(study, said, rng, mask)
    sections = _frame(study, rng, mask)
    place = "body" if said.shape == "body" else "findings"
    if findings:
        heading = "" if place == "body" else "FINDINGS"
        sections.append((heading, " ".join(s.text for s in findings)))
    if impression:
        sections.append(("IMPRESSION", _numbered(impression, rng)))
    sentences = [(s.text, place, s.status) for s in findings]
    sentences += [(s.text, "impression", s.status) for s in impression]
    return Report(tuple(sections), tuple(sentences))


def _written(
    study: Study, said: Plan, rng: Random, mask: str
) -> tuple[list[Sentence], list[Sentence]]:
    """Return the sentences of (findings, impression) in their order in the report."""
    described = _described(study, said, rng, mask)
    if said.shape in ("findings", "body"):
        return described, []
    if said.shape == "impression":
        # A single section must contain every denial and every finding.
        named = _concluded(study, said, rng, mask, named=1.0)
        return [], named + _denials(study, said.denied, rng)
    return described, _concluded(study, said, rng, mask, named=_NAMED_IN_IMPRESSION)


def _described(study: Study, said: Plan, rng: Random, mask: str) -> list[Sentence]:
    """Return the findings section: devices, findings, denials, the rest of the chest."""
    lines = _opening(study, rng, mask)
    left = set(said.denied)
    devices = [f for f in said.stated if f.name == "Support Devices"]
    lines += [words.device(f, rng) for f in devices]
    body: list[Sentence] = []
    for finding in said.stated:
        if finding in devices:
            continue
        other = _GOES_WITHOUT.get(finding.name, "")
        fresh = finding.assertion == "present" and finding.age_of == "new"
        if other in left and fresh and rng.random() < 0.2:
            left.discard(other)
            body.append(words.stated_without(finding, other, rng))
        else:
            body.append(words.stated(finding, rng, prior=study.prior))
    body += [words.resolved(f, rng) for f in study.resolved]
    body += _other_side(study, rng)
    body += _denials(study, [name for name in said.denied if name in left], rng)
    body += _rest(study, rng)
    rng.shuffle(body)
    return lines + body


def _concluded(study: Study, said: Plan, rng: Random, mask: str, *, named: float) -> list[Sentence]:
    """Return the impression: the findings or that there are none, then recommendations."""
    real = [f for f in said.stated if f.name != "Support Devices"]
    chosen = [f for f in real if rng.random() < named] or real
    lines = [words.stated(f, rng, prior=study.prior, brief=True) for f in _worst_first(chosen)]
    if not real:
        lines.append(words.fixed(rng, "normal", "normal", "impression"))
    if named == 1.0:
        lines += [words.resolved(f, rng) for f in study.resolved]
    for finding in said.stated:
        if finding.name == "Support Devices" and rng.random() < max(0.85, named):
            lines.append(words.device(finding, rng, brief=True))
    for finding in chosen:
        if finding.name in words.phrases()["prose"]["follow"] and rng.random() < 0.35:
            lines.append(words.fixed(rng, "nonfinding", "prose", "follow", finding.name))
            break
    if any(f.name == "Pneumothorax" for f in real) and rng.random() < 0.5:
        lines.append(words.fixed(rng, "nonfinding", "prose", "told", mask=mask))
    return lines


def _worst_first(findings: list[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda f: (f.assertion != "present", -f.grade))


def _opening(study: Study, rng: Random, mask: str) -> list[Sentence]:
    """Return opening sentences: comparison, views, quality of the image."""
    lines = []
    if study.prior and rng.random() < 0.3:
        lines.append(words.fixed(rng, "nonfinding", "prose", "compared", mask=mask))
    if "LATERAL" in study.views and rng.random() < 0.2:
        lines.append(words.fixed(rng, "nonfinding", "prose", "views"))
    if "AP" in study.views and rng.random() < 0.12:
        lines.append(words.fixed(rng, "nonfinding", "prose", "quality"))
    return lines


def _denials(study: Study, denied: Sequence[str], rng: Random) -> list[Sentence]:
    """Return sentences that deny each name once, the common ones as a list with one negation."""
    listed = [name for name in _IN_LISTS if name in denied]
    rng.shuffle(listed)
    lines = [words.denied(listed, rng)] if listed else []
    for name in denied:
        if name in words.phrases()["sentences"]:
            lines.append(words.fixed(rng, "normal", "sentences", name))
        elif name not in _IN_LISTS:
            lines.append(words.denied([name], rng))
    if not any(f.name in _LUNG for f in study.findings) and rng.random() < 0.45:
        lines.insert(0, words.fixed(rng, "normal", "normal", "lungs"))
    return lines


def _other_side(study: Study, rng: Random) -> list[Sentence]:
    """Return a sentence that the other side has no effusion, where one side has one."""
    for finding in study.findings:
        one_sided = finding.name == "Pleural Effusion" and finding.side != "bilateral"
        if one_sided and rng.random() < 0.15:
            side = "left" if finding.side == "right" else "right"
            return [words.fixed(rng, "normal", "normal", "other_side", side=side)]
    return []


def _rest(study: Study, rng: Random) -> list[Sentence]:
    """Return other sentences: a normal structure, a degenerative change in an elderly patient."""
    lines = []
    if rng.random() < 0.5:
        lines.append(words.fixed(rng, "normal", "normal", "rest"))
    if study.findings and study.age > 60 and rng.random() < 0.15:
        lines.append(words.fixed(rng, "abnormal", "aside"))
    return lines


def _frame(study: Study, rng: Random, mask: str) -> list[tuple[str, str]]:
    """Return the sections before the findings."""
    lateral, portable = "LATERAL" in study.views, "AP" in study.views
    views = "PA AND LAT" if lateral else "PORTABLE AP" if portable else "SINGLE VIEW"
    sex = {"F": "woman", "M": "man"}[study.sex]
    age = mask if mask == "___" else f"{mask}-year-old"
    person = rng.choice((f"{mask} year old {sex}", f"{mask}-year-old {sex}", f"{age} {sex}"))
    reason = words.fixed(rng, "nonfinding", "prose", "indication", person=person).text
    compared = rng.choice((f"{mask}.", f"Chest radiograph {mask}.")) if study.prior else "None."
    how = "Chest PA and lateral." if lateral else "Portable AP chest." if portable else "Chest PA."
    return [
        ("EXAMINATION", f"CHEST ({views})"),
        ("INDICATION", reason),
        ("TECHNIQUE", how),
        ("COMPARISON", compared),
    ]


def _numbered(lines: list[Sentence], rng: Random) -> str:
    """Return the impression as running text, or as a numbered list with a line for each point."""
    if len(lines) < 2 or rng.random() < 0.55:
        return " ".join(s.text for s in lines)
    return "\n".join(f"{i}. {s.text}" for i, s in enumerate(lines, start=1))
