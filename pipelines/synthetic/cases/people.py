"""Lists the persons of a tree and their cases, and assigns the persons to splits.

A case is a study with what is needed to write it: its place in the tree, and real images and a real
report where the user gave some. A person is complete, so any worker can write any person.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from cxr_vlp.pipelines.synthetic.cases.patients import Study, cohort
from cxr_vlp.pipelines.synthetic.cases.real_content import Content, RealImage, RealReport
from cxr_vlp.pipelines.synthetic.seeding import stream

Visit = tuple[Study, tuple[RealImage, ...]]
SOURCES = ("mimic", "chexpert", "nih", "openi")  # of the demo


@dataclass(frozen=True, slots=True)
class Case:
    """One study to be written. Without `images` they are drawn, without `report` it is invented."""

    study: Study
    serial: int  # place among the tree's studies, from 0
    first: int  # place of its first view among the tree's images, from 0
    images: tuple[RealImage, ...] = ()
    report: RealReport | None = None

    @property
    def pairing(self) -> str:
        """Return "drawn" where image and report follow from the findings, else "synthetic"."""
        return "synthetic" if self.images or self.report else "drawn"


@dataclass(frozen=True, slots=True)
class Person:
    """One patient to be written, the cases in the order of time."""

    number: int
    image_group: (
        int  # number of the first person with the same images: where real images are used again
    )
    cases: tuple[Case, ...]


def people_of(source: str, studies: int, seed: int, content: Content) -> tuple[Person, ...]:
    """Return the persons of a tree, `studies` studies in all."""
    patients = cohort(source, studies, seed)
    lives: list[list[Visit]] = [[(study, ()) for study in patient.studies] for patient in patients]
    groups = list(range(1, len(lives) + 1))
    if content.images:
        lives, groups = _visits_of_real_images(
            source, [s for p in patients for s in p.studies], content
        )
    persons: list[Person] = []
    serial = first = 0
    for life, group in zip(lives, groups, strict=True):
        cases = []
        for study, images in life:
            report = _report(source, serial, content, studies)
            cases.append(Case(study, serial, first, images, report))
            serial, first = serial + 1, first + len(study.views)
        persons.append(Person(life[0][0].patient, group, tuple(cases)))
    return tuple(persons)


def _report(source: str, serial: int, content: Content, studies: int) -> RealReport | None:
    if not content.reports:
        return None
    # each source starts where the one before it ended, so trees differ as long as reports last
    return content.reports[(_place(source) * studies + serial) % len(content.reports)]


def _place(source: str) -> int:
    """Return where a collection starts in the user's own reports and images."""
    return SOURCES.index(source) if source in SOURCES else sum(source.encode()) % len(SOURCES)


def _visits_of_real_images(
    source: str, studies: Sequence[Study], content: Content
) -> tuple[list[list[Visit]], list[int]]:
    """Return (visits of each person, first person with the same images), one image a visit.

    All images of one real person go to one invented person, else they could be in train and in
    test. Findings, sex and age are invented and do not depend on the image.
    """
    groups = content.by_patient()
    start = _place(source) * len(groups) // len(SOURCES)
    lives: list[list[Visit]] = []
    placed = 0
    while placed < len(studies):
        group = groups[(start + len(lives)) % len(groups)][: len(studies) - placed]
        lives.append(
            _visits_of_one_person(group, studies[placed : placed + len(group)], len(lives) + 1)
        )
        placed += len(group)
    return lives, [i % len(groups) + 1 for i in range(len(lives))]


def _visits_of_one_person(
    images: Sequence[RealImage], studies: Sequence[Study], number: int
) -> list[Visit]:
    sex, age = studies[0].sex, studies[0].age
    visits: list[Visit] = []
    for visit, (image, study) in enumerate(zip(images, studies, strict=True), start=1):
        own = replace(study, patient=number, number=visit, sex=sex, age=age, prior=visit > 1)
        visits.append((replace(own, views=(image.view,)), (image,)))
    return visits


def deal_splits(persons: Sequence[Person], seed: int, names: Sequence[str]) -> Mapping[int, str]:
    """Return each person's split: about 70 % the first name, 10 % the second, 20 % the third.

    The numbers are fixed and not random, so a tree of a few persons still has all three.
    """
    groups = sorted({p.image_group for p in persons})
    stream("splits", seed).shuffle(groups)
    held_out = max(1, round(0.2 * len(groups))) if len(groups) > 1 else 0
    validation = max(1, round(0.1 * len(groups))) if len(groups) > 2 else 0
    cuts = [names[2]] * held_out + [names[1]] * validation
    split = dict(zip(groups, cuts + [names[0]] * (len(groups) - len(cuts)), strict=True))
    return {p.number: split[p.image_group] for p in persons}
