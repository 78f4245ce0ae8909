"""The mask gate over a real store, with shape vectors of one number so that every distance is known by hand."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from core.gates.mask import verdicts
from core.jobs.stages.common import add_version
from core.jobs.stages.mask_gate import fit_if_outdated
from core.lesions.shape import VECTOR_NAMES
from core.remembered.judgements import Judgement
from core.types import LabelMap
from store import Store, open_store
from tests.store_phantom import ANSWER, DAY1, DAY2, SHAPE, add_mask, add_scan, grid, labels

#: 24 other patients with one lesion each, of the values 0, 1 ... 23: median 11.5, MAD 6.
N = 24
SPREAD = 1.4826 * 6


def _lesions(store: Store, patient: str, day: str, *values: float):
    """A proposed mask with one or two lesions of these vectors."""
    if day not in store.patients.timepoints(patient):
        add_scan(store, patient, day, seed=zlib.crc32(f"{patient} {day}".encode()))
    record = add_mask(store, 4, 2 if len(values) > 1 else 0, patient, day)
    for number, value in enumerate(values, start=1):
        store.vectors.add(record.mask_id, f"L{number}", patient, [value], ["size"], "demo")
    return record


def _accepted(store: Store, patient: str, day: str, *values: float) -> None:
    record = _lesions(store, patient, day, *values)
    store.decisions.decide(patient, day, record.version, "accept", "demo", *ANSWER)


def score_mask(store: Store, *place):
    """As the command line scores: by the gate of what is accepted by now."""
    fit_if_outdated(store)
    return verdicts.score_mask(store, *place)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    with open_store(tmp_path_factory.mktemp("gates") / "data") as store:
        for number in range(N):
            _accepted(store, f"R{number:02d}", DAY1, float(number))
        yield store


def test_the_score_is_the_mean_distance_to_the_five_nearest_and_p_its_rank(cohort):
    """Neighbours of 11.2: 11, 12, 10, 13, 9. Every reference lesion is farther from its own five (1.8 or more)."""
    record = _lesions(cohort, "usual", DAY1, 11.2)
    result = score_mask(cohort, "usual", DAY1, record.version, "demo")
    (lesion,) = result["lesions"]
    assert lesion["score"] == pytest.approx((0.2 + 0.8 + 1.2 + 1.8 + 2.2) / 5 / SPREAD, rel=1e-5)
    assert (result["p_value"], result["verdict"], result["flagged"]) == (1.0, "usual", False)
    assert result["n_reference"] == N
    stored = cohort.verdicts.of_masks(mask_id=record.mask_id)[-1]
    assert (stored.person, stored.p_value, stored.verdict) == ("demo", 1.0, "usual")


def test_a_lesion_unlike_all_others_is_flagged_at_the_smallest_p(cohort):
    record = _lesions(cohort, "odd", DAY1, 500.0)
    result = score_mask(cohort, "odd", DAY1, record.version, "demo")
    assert result["p_value"] == pytest.approx(1 / (N + 1))
    assert (result["verdict"], result["flagged"]) == ("unusual", True)


def test_a_mask_is_as_odd_as_its_oddest_lesion(cohort):
    """Bonferroni made 1/25 of the odd one 2/25, which is above 0.05: two slabs were usual, and one was not."""
    odd = _lesions(cohort, "two", DAY1, 500.0, 11.2)
    result = score_mask(cohort, "two", DAY1, odd.version, "demo")
    assert [lesion["p_value"] for lesion in result["lesions"]] == [pytest.approx(1 / 25), 1.0]
    assert result["p_value"] == pytest.approx(1 / 25)
    assert (result["verdict"], result["flagged"]) == ("unusual", True)
    usual = _lesions(cohort, "two", DAY1, 11.2, 12.2)
    assert score_mask(cohort, "two", DAY1, usual.version, "demo")["p_value"] == 1.0


def test_a_judgement_says_what_was_seen_and_which_reference_lesions_were_nearest(cohort):
    record = _lesions(cohort, "said", DAY1, 500.0)
    said = Judgement.from_json(score_mask(cohort, "said", DAY1, record.version, "demo")["judgement"])
    assert (said.verdict, said.kinds) == ("doubtful", ("shape",))
    assert said.reason.startswith("shape: its shape is unlike those of other patients")
    assert record.mask_sha256 in said.seen
    (nearest,) = cohort.masks.of("R23", DAY1)
    assert said.nearest[0] == f"{nearest.mask_id}/L1"


def test_only_accepted_masks_of_other_patients_are_the_reference(store: Store):
    """19 scores are needed for a verdict at 0.05: 18 accepted, one proposed, one withdrawn and one own do not do."""
    for number in range(18):
        _accepted(store, f"R{number:02d}", DAY1, float(number))
    _lesions(store, "proposed", DAY1, 18.0)
    _accepted(store, "withdrawn", DAY1, 19.0)
    store.decisions.decide("withdrawn", DAY1, 1, "reject", "demo", "mistake")
    _accepted(store, "P1", DAY1, 9.0)
    record = _lesions(store, "P1", DAY2, 9.0)
    result = score_mask(store, "P1", DAY2, record.version, "demo")
    assert (result["verdict"], result["p_value"], result["flagged"]) == ("not enough reference masks", None, None)
    assert result["n_reference"] == 18
    assert "18 other patients have masks to compare with, 19 are needed" in result["judgement"]["reason"]
    assert result["lesions"][0]["score"] is not None, "the distance is told all the same"
    store.decisions.decide("proposed", DAY1, 1, "accept", "demo", *ANSWER)
    assert score_mask(store, "P1", DAY2, record.version, "demo")["verdict"] == "usual"


def test_without_any_reference_nothing_is_claimed(store: Store):
    record = _lesions(store, "P1", DAY1, 3.0, 4.0)
    result = score_mask(store, "P1", DAY1, record.version, "demo")
    assert (result["verdict"], result["p_value"], result["flagged"]) == ("not enough reference masks", None, None)
    assert [lesion["lesion_id"] for lesion in result["lesions"]] == ["L1", "L2"]


def test_an_empty_mask_is_called_so_and_has_no_p(store: Store):
    add_scan(store)
    empty = LabelMap(np.zeros(SHAPE, np.uint8), grid())
    record = add_version(store, empty, "P1", DAY1, method="import", author="demo", parent_version=None)
    (stored,) = store.verdicts.of_masks(mask_id=record.mask_id)
    assert (stored.verdict, stored.p_value, stored.flagged, stored.lesions) == (
        "empty mask",
        None,
        None,
        [],
    )


def test_a_mask_whose_vectors_were_lost_to_a_crash_is_measured_and_not_called_empty(store: Store):
    add_scan(store)
    record = add_mask(store, 5, 3, verdict=None)  # as an older TwinReview left it that died right after storing it
    assert store.vectors.all() == []
    result = score_mask(store, "P1", DAY1, record.version, "demo")
    assert result["verdict"] == "not enough reference masks"
    measured = store.vectors.all()
    assert [row.lesion_id for row in measured] == ["L1", "L2"]
    assert tuple(measured[0].names)[: len(VECTOR_NAMES)] == VECTOR_NAMES
    add_scan(store, "P2", seed=2)
    whole = add_version(store, labels(5, 3), "P2", DAY1, method="import", author="demo", parent_version=None)
    assert [row.vector for row in store.vectors.all() if row.mask_id == whole.mask_id] == [
        row.vector for row in measured
    ]
    assert store.verify() == []
