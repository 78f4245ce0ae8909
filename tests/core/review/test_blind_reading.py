"""What a person may see of a whole store while timepoints are read blind, on versions written by hand."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from core.access import Scope
from core.errors import StoreError
from core.remembered.lists import ClosedRow
from core.review.blind_reading import Hidden, closed_timepoints, seen_of_all, seen_of_patient, seen_version
from core.types import MaskRecord
from tests.store_phantom import DAY1, DAY2

BLANK: dict[str, Any] = dict.fromkeys(MaskRecord.__dataclass_fields__)


def drawn(patient: str, day: str, number: int, author: str, method: Any = "manual") -> MaskRecord:
    made = MaskRecord(**BLANK)
    name = f"{patient}-{day}-{number}"
    return replace(made, mask_id=name, patient_id=patient, timepoint=day, version=number, author=author, method=method)


#: Each timepoint of two patients: the network's first version, ann's second.
RECORDS = [
    version
    for patient in ("P1", "P2")
    for day in (DAY1, DAY2)
    for version in (drawn(patient, day, 1, "ann", "nnunet"), drawn(patient, day, 2, "ann"))
]


def blind_store(*closed: tuple[str, str]) -> Any:
    """A store in which these timepoints are closed to ben; P1 is of data set "one", P2 of "two"."""

    def of(patient: str, day: str | None = None) -> list[MaskRecord]:
        return [record for record in RECORDS if record.patient_id == patient and day in (None, record.timepoint)]

    def rows(person: str) -> list[ClosedRow]:
        readings = [ClosedRow(*place, f"{place[0]}-{place[1]}-2") for place in closed]
        return readings if person == "ben" else []

    return SimpleNamespace(
        masks=SimpleNamespace(of=of, of_all=lambda: list(RECORDS)),
        readings=SimpleNamespace(
            closed_to=lambda person: list(closed) if person == "ben" else [],
            is_closed=lambda patient, day, person: (patient, day) in closed and person == "ben",
        ),
        views=SimpleNamespace(closed_to=rows),
        patients=SimpleNamespace(
            all=lambda: [SimpleNamespace(patient_id=f"P{n}", dataset=name) for n, name in ((1, "one"), (2, "two"))]
        ),
    )


def ids(records: Collection[MaskRecord]) -> list[str]:
    return [record.mask_id for record in records]


def test_a_closed_timepoint_of_another_patient_closes_nothing_of_this_one():
    store = blind_store(("P1", DAY2), ("P2", DAY1))
    assert closed_timepoints(store, "P1", "ben") == [DAY2]
    assert closed_timepoints(store, "P1", "ann") == []


def test_of_a_closed_timepoint_the_automatic_version_is_left_and_of_the_others_all():
    store = blind_store(("P1", DAY2))
    left = [f"P1-{DAY1}-1", f"P1-{DAY1}-2", f"P1-{DAY2}-1"]
    others = [f"P2-{day}-{number}" for day in (DAY1, DAY2) for number in (1, 2)]
    assert ids(seen_of_patient(store, "P1", "ben")) == left
    assert ids(seen_of_patient(store, "P2", "ben")) == others
    assert ids(seen_of_all(store, "ben")) == left + others
    assert seen_of_patient(store, "P1", "ann") == [record for record in RECORDS if record.patient_id == "P1"]
    assert seen_of_all(store, "ann") == RECORDS


def test_a_version_that_is_hidden_is_refused_in_the_words_of_one_that_is_not_there():
    store = blind_store(("P1", DAY1))
    assert seen_version(store, "P1", DAY1, 2, "ann").mask_id == f"P1-{DAY1}-2"
    for number in (2, 3):
        with pytest.raises(StoreError, match=rf"no mask version {number} of 'P1' .* that you may see; there is 1\."):
            seen_version(store, "P1", DAY1, number, "ben")
    with pytest.raises(StoreError, match=r"there are none\."):
        seen_version(store, "P1", "2031-01-01", 1, "ben")


@pytest.mark.parametrize(
    ("granted", "patients", "masks"),
    [
        (None, set(), {f"P1-{DAY1}-2"}),
        (("one", "two"), set(), {f"P1-{DAY1}-2"}),
        (("one",), {"P2"}, {f"P1-{DAY1}-2"} | {f"P2-{day}-{n}" for day in (DAY1, DAY2) for n in (1, 2)}),
    ],
)
def test_hidden_are_the_patients_of_other_data_sets_and_what_is_read_blind(
    granted: tuple[str, ...] | None, patients: set[str], masks: set[str]
):
    hidden = Hidden.of(blind_store(("P1", DAY1)), Scope("ben", "reader", granted, ()))
    assert (hidden.patients, hidden.places, hidden.mask_ids) == (patients, {("P1", DAY1)}, masks)


def test_a_closed_timepoint_without_a_reading_is_hidden_all_the_same():
    store = blind_store()
    store.views.closed_to = lambda person: [ClosedRow("P1", DAY1, None)]
    nobody = frozenset[str]()
    found = Hidden.of(store, Scope("ben", "reader", None, ()))
    assert found == Hidden(nobody, frozenset({("P1", DAY1)}), nobody)


def test_something_is_hidden_where_a_patient_or_a_timepoint_is():
    nothing = frozenset[Any]()
    assert not Hidden(nothing, nothing, nothing)
    assert Hidden(frozenset({"P2"}), nothing, nothing)
    assert Hidden(nothing, frozenset({("P1", DAY1)}), nothing)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"patient": "P2"}, True),
        ({"path": f"set/P1/{DAY1}/mask.nii.gz"}, True),
        ({"text": f"The file of P1, {DAY1}."}, True),
        ({"made_of": [{"mask": "secret"}]}, True),
        (["P1", DAY1], True),
        ({"patient": "P1", "day": DAY2}, False),
        ({"patient": "P3", "day": DAY1}, False),
        ({"patient": "P2-b"}, False),
        ({}, False),
    ],
)
def test_an_entry_names_what_is_hidden_by_patient_mask_or_timepoint_with_its_patient(values: Any, named: bool):
    hidden = Hidden(frozenset({"P2"}), frozenset({("P1", DAY1)}), frozenset({"secret"}))
    assert hidden.is_named_in(values) is named
