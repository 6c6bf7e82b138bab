"""Who is laid into a tree, with which pictures and which report.

In: a source, a number of studies, a seed, and real pictures and reports where the user gave some.
Out: `Person`s with `Case`s, complete in themselves, so that any worker can lay any person.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from cxr_vlp.pipelines.synthetic.patients import Study, cohort
from cxr_vlp.pipelines.synthetic.phantom import render
from cxr_vlp.pipelines.synthetic.real_content import Content, Picture, RealReport, load, mimic_text
from cxr_vlp.pipelines.synthetic.reports import grammar
from cxr_vlp.pipelines.synthetic.seeding import stream

Visit = tuple[Study, tuple[Picture, ...]]
SOURCES = ("mimic", "chexpert", "nih", "openi")


@dataclass(frozen=True, slots=True)
class Case:
    """One study to be laid. Without `pictures` they are drawn, without `report` it is invented."""

    study: Study
    serial: int  # place among the tree's studies, from 0
    first: int  # place of its first view among the tree's pictures, from 0
    pictures: tuple[Picture, ...] = ()
    report: RealReport | None = None

    @property
    def pairing(self) -> str:
        """Return "drawn" where picture and report follow from the findings, else "synthetic"."""
        return "synthetic" if self.pictures or self.report else "drawn"


@dataclass(frozen=True, slots=True)
class Person:
    """One patient to be laid; the cases stand in the order of time."""

    number: int
    kin: int  # the first person with these same pictures; `number` itself but where they repeat
    cases: tuple[Case, ...]


def people(source: str, studies: int, seed: int, content: Content) -> tuple[Person, ...]:
    """Return the persons of a tree, their studies adding up to `studies`."""
    cohort_of = cohort(source, studies, seed)
    lives: list[list[Visit]] = [[(study, ()) for study in patient.studies] for patient in cohort_of]
    kin = list(range(1, len(lives) + 1))
    if content.pictures:
        lives, kin = _real_lives(source, [s for p in cohort_of for s in p.studies], content)
    persons: list[Person] = []
    serial = first = 0
    for life, eldest in zip(lives, kin, strict=True):
        cases = []
        for study, pictures in life:
            report = _report(source, serial, content, studies)
            cases.append(Case(study, serial, first, pictures, report))
            serial, first = serial + 1, first + len(study.views)
        persons.append(Person(life[0][0].patient, eldest, tuple(cases)))
    return tuple(persons)


def _report(source: str, serial: int, content: Content, studies: int) -> RealReport | None:
    if not content.reports:
        return None
    # each source starts where the one before it ended, so trees differ as long as reports last
    return content.reports[(SOURCES.index(source) * studies + serial) % len(content.reports)]


def _real_lives(
    source: str, studies: Sequence[Study], content: Content
) -> tuple[list[list[Visit]], list[int]]:
    """Return (visits of each person, first person with the same pictures), one picture a visit.

    Pictures of one real person stay with one invented person: dealt out singly they would sit in
    train and in test. Findings, sex and age are the invented ones, whatever the picture shows.
    """
    groups = content.by_patient()
    start = SOURCES.index(source) * len(groups) // len(SOURCES)
    lives: list[list[Visit]] = []
    laid = 0
    while laid < len(studies):
        group = groups[(start + len(lives)) % len(groups)][: len(studies) - laid]
        lives.append(_real_life(group, studies[laid : laid + len(group)], len(lives) + 1))
        laid += len(group)
    return lives, [i % len(groups) + 1 for i in range(len(lives))]


def _real_life(pictures: Sequence[Picture], studies: Sequence[Study], number: int) -> list[Visit]:
    sex, age = studies[0].sex, studies[0].age
    visits: list[Visit] = []
    for visit, (picture, study) in enumerate(zip(pictures, studies, strict=True), start=1):
        own = replace(study, patient=number, number=visit, sex=sex, age=age, prior=visit > 1)
        visits.append((replace(own, views=(picture.view,)), (picture,)))
    return visits


def film(case: Case, place: int, *, height: int, seed: int) -> render.Drawn:
    """Return the picture of the view at `place`: the real one where there is one, else drawn."""
    if case.pictures:
        return render.Drawn(load(case.pictures[place], height=height), ())
    return render.draw(case.study, case.study.views[place], height=height, seed=seed)


def sections(case: Case, *, seed: int) -> Mapping[str, str]:
    """Return findings, impression, indication, comparison as the Open-i set gives them."""
    if case.report:
        return case.report.sections
    return grammar.openi_sections(grammar.report(case.study, seed=seed))


def sentences(case: Case, *, seed: int) -> tuple[tuple[str, str, str], ...]:
    """Return (text, section, status) of each sentence; nothing is known of a real report's."""
    return () if case.report else grammar.report(case.study, seed=seed).sentences


def mimic_report(case: Case, *, seed: int) -> str:
    """Return the report as a MIMIC text file."""
    if case.report:
        return mimic_text(case.report)
    luck = stream("layout", seed, case.study.patient, case.study.number)
    return grammar.layout_mimic(grammar.report(case.study, seed=seed), luck.getrandbits(32))


def deal_splits(persons: Sequence[Person], seed: int, names: Sequence[str]) -> Mapping[int, str]:
    """Return each person's split: about 70 % the first name, 10 % the second, 20 % the third.

    Dealt by quota and not by chance, so that a tree of a few persons still has all three.
    """
    kins = sorted({p.kin for p in persons})
    stream("splits", seed).shuffle(kins)
    held_out = max(1, round(0.2 * len(kins))) if len(kins) > 1 else 0
    watched = max(1, round(0.1 * len(kins))) if len(kins) > 2 else 0
    cuts = [names[2]] * held_out + [names[1]] * watched
    split = dict(zip(kins, cuts + [names[0]] * (len(kins) - len(cuts)), strict=True))
    return {p.number: split[p.kin] for p in persons}
