"""How far readers differ here: from readings of one scan, a lesion once, and only where there are enough."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest

from core.errors import InputError
from core.twin.change import change_between
from core.twin.installation_noise import NoiseEstimate
from core.twin.measured_end import MeasuredEnd
from core.twin.own_noise import KIND, learn_own_noise, own_noise_in_force, reader_pairs


def record(author: str, volume_mm3: float, sha256: str, lesion: str = "L1", status: str = "proposed") -> Any:
    lesion_row = {"lesion_id": lesion, "label": 1, "volume_mm3": volume_mm3, "longest_diameter_mm": 30.0}
    return SimpleNamespace(
        author=author, version=1, method="manual", status=status, mask_sha256=sha256, lesions=(lesion_row,)
    )


def store_of(patients: int, *, blind: bool = False, finished: tuple[str, ...] = ()) -> Any:
    """Each patient read on two days by ann (1000 mm3) and ben (1000 · e^0.2 mm3)."""
    days = ["2025-01-01", "2025-02-01"]
    readings = [record("ann", 1000.0, "a"), record("ben", 1000.0 * math.exp(0.2), "b")]
    added: list[Any] = []

    def remember(kind: str, detail: Any, person: str) -> str:
        added.append(SimpleNamespace(kind=kind, detail=detail))
        return "set-1"

    return SimpleNamespace(
        patients=SimpleNamespace(
            all=lambda: [SimpleNamespace(patient_id=f"P{n}") for n in range(patients)], timepoints=lambda _: days
        ),
        masks=SimpleNamespace(of=lambda patient, day: readings),
        scans=SimpleNamespace(reference=lambda patient, day: SimpleNamespace(modality="CT", sequence="")),
        readings=SimpleNamespace(
            is_blind=lambda patient, day: blind,
            finished=lambda patient, day: [SimpleNamespace(person=name) for name in finished],
        ),
        reference_sets=SimpleNamespace(
            add=remember,
            added=added,
        ),
    )


def test_a_lesion_that_two_readers_measured_counts_once_however_often_it_was_read() -> None:
    pairs = reader_pairs(store_of(3))
    assert len(pairs) == 3
    assert {round(pair.second_mm3 / pair.first_mm3, 4) for pair in pairs} == {round(math.exp(0.2), 4)}


def test_the_sd_is_that_of_one_volume_and_is_put_in_force_from_ten_lesions_on() -> None:
    store = store_of(10)
    answer = learn_own_noise(store, "ann")
    [estimate] = own_noise_in_force(store.reference_sets.added)
    assert answer["set_id"] == "set-1"
    assert store.reference_sets.added[0].kind == KIND
    assert estimate.is_enough
    assert estimate.log_sd == pytest.approx(0.2 / math.sqrt(2)), "two volumes differ by the root of two of one's"
    with pytest.raises(InputError, match="at least 10 lesions"):
        learn_own_noise(store_of(9), "ann")


def test_what_is_read_blind_counts_once_both_have_finished() -> None:
    assert reader_pairs(store_of(2, blind=True, finished=("ann",))) == []
    assert len(reader_pairs(store_of(2, blind=True, finished=("ann", "ben")))) == 2


def test_without_a_learned_set_there_is_no_own_noise() -> None:
    assert own_noise_in_force([]) == ()


def test_two_readers_of_one_change_are_told_apart_by_the_noise_that_was_learned_here() -> None:
    """Readers who differ little here widen a change less than the published figure does; who differ much, more."""
    before, after = (
        MeasuredEnd(
            volume, 30.0, "CT", slice_thickness_mm=3.0, method="manual", reader=reader, edited_share=1.0, day=day
        )
        for volume, reader, day in ((1000.0, "ann", 0.0), (1900.0, "ben", 60.0))
    )
    published = change_between(before, after)
    widths = []
    for log_sd in (0.05, 0.5):
        own = NoiseEstimate("readers", "CT", "", log_sd, log_sd, log_sd, 20, 10.0, 60.0)
        widths.append(change_between(before, after, (own,)).log_sd or 0.0)
    assert widths[0] < (published.log_sd or 0.0) < widths[1]
