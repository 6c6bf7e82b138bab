"""What an outside engine gets at once of a scan: all that fits into the driver's memory."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import pytest

from cxr_vlp.pipelines.cache.file_index import FileIndex
from cxr_vlp.pipelines.engines.base import Element
from cxr_vlp.pipelines.records import Image, Study
from cxr_vlp.pipelines.stages import scan_update
from cxr_vlp.pipelines.stages.scan_study import Packed, Patients
from cxr_vlp.pipelines.stages.scan_update import Piece


def patients(number: int) -> Patients:
    image = Image("0", f"p{number}/0.dcm")
    study = Study("mimic", f"s{number}", f"p{number}", "train", (image,))
    return Patients(((study,),), FileIndex())


def pieces(number: int) -> Iterator[Piece]:
    """Yield elements of one patient each; nothing is left of every fifth."""
    for each in range(number):
        payload = patients(each) if each % 5 else None
        yield Element(f"patients-{each:06}", payload), {f"p{each}": ["x" * each]}


def test_a_payload_comes_back_as_it_was_packed():
    given = patients(1)
    assert Packed.of(given).patients == given
    assert Packed.of(given).unknown == given.unknown == 1


def test_what_is_known_is_not_counted_as_unknown():
    known = FileIndex({"p1/0.dcm": ((1, 1, "1"), {})})
    assert Packed.of(Patients(patients(1).studies, known)).unknown == 0


@pytest.mark.parametrize("room", [1, 2000, 1 << 20])
def test_batches_hold_every_element_once_in_order_and_no_more_than_their_room(room, monkeypatch):
    monkeypatch.setattr(scan_update, "ROOM", room)
    batches = list(scan_update.packed(pieces(23)))
    found, wanted = list(chain(*batches)), list(pieces(23))
    assert [(element.name, left) for element, left in found] == [
        (element.name, left) for element, left in wanted
    ]
    back = [element.payload and element.payload.patients for element, _ in found]
    assert back == [element.payload for element, _ in wanted]
    for batch in batches:  # the last element may go over it
        assert sum(size(piece) for piece in batch[:-1]) < room
    assert (len(batches) == 1) == (room == 1 << 20)


def size(piece: Piece) -> int:
    element, left = piece
    data = len(element.payload.data) if element.payload else 0
    return data + sum(scan_update.PER_PATIENT + sum(map(len, lines)) for lines in left.values())


def test_few_unknown_files_are_read_without_an_engine(monkeypatch):
    monkeypatch.setattr(scan_update, "FEW", 4)
    chosen = [Element(str(n), Packed.of(patients(n))) for n in range(4)]
    assert scan_update.is_small(chosen[:3])
    assert not scan_update.is_small(chosen)
