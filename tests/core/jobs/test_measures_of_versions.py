"""What a new version keeps of its scans and of a model's classes, and what becomes of it when a person draws."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from core.engines.auto import nnunet
from core.jobs.jobs import run_inline
from core.jobs.pipeline import KINDS
from core.jobs.stages.common import add_version
from core.jobs.stages.draft import save_draft
from core.lesions.compartments import NOT_TOLD
from core.twin.timeline_json import timeline_report
from core.types import LabelMap, MaskRecord
from store import Store, open_store, rebuild
from tests.core.jobs.scene import CT, DAY1, PET, add_scans, as_the_network_finds, ball_of, body_image
from tests.store_phantom import ANSWER, JUDGED, measures

NAMES = {1: "oedema", 2: "enhancing tumour", 3: "necrosis"}
MIDDLE = (0.0, 0.0, 0.0)


class ThreeClasses:
    """A network that answers oedema of 18 mm around an enhancing ball of 12 mm around necrosis of 6 mm."""

    compartment_names = NAMES

    def segment(self, volumes: Any, progress: Any) -> Any:
        classes = np.zeros(CT.shape, np.uint8)
        for number, radius in ((1, 18.0), (2, 12.0), (3, 6.0)):
            classes[ball_of(CT, MIDDLE, radius)] = number
        return SimpleNamespace(
            labels=LabelMap(classes, CT), checkpoint_sha256="0" * 64, channels=("CT", "PET"), model_files={},
            seconds={}, coverage=(), probability=None,
        )  # fmt: skip

    def lesion_mask(self, labels: np.ndarray) -> np.ndarray:
        return labels > 0


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with open_store(tmp_path / "data") as opened:
        yield opened


def parts_of(record: MaskRecord) -> dict[str, float]:
    return {part["name"]: part["volume_mm3"] for part in record.lesions[0]["compartments"]}


def segmented(store: Store, monkeypatch: pytest.MonkeyPatch) -> MaskRecord:
    monkeypatch.setattr(nnunet, "load_segmenter", lambda model_id: ThreeClasses())
    add_scans(store, DAY1, 1)
    run_inline(store, KINDS["segment"], {"patient_id": "P1", "timepoint": DAY1}, "demo")
    return store.masks.version("P1", DAY1, 1)


def test_a_model_s_classes_stay_beside_the_lesion_through_the_stage_an_edit_and_a_rebuild(
    store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    record = segmented(store, monkeypatch)
    voxel = CT.voxel_volume_mm3
    balls = {radius: float(np.count_nonzero(ball_of(CT, MIDDLE, radius))) * voxel for radius in (18.0, 12.0, 6.0)}
    told = {"oedema": balls[18] - balls[12], "enhancing tumour": balls[12] - balls[6], "necrosis": balls[6]}
    assert parts_of(record) == pytest.approx(told)
    assert len(record.lesions) == 1, "one lesion, not one for each class"
    kept = store.masks.compartments(record)
    assert kept is not None
    assert np.array_equal(kept.array == 3, ball_of(CT, MIDDLE, 6.0))

    array = store.masks.load(record).array.copy()
    array[:20] = 0  # a person cuts off a half
    array[33:36, 14:17, 6:8] = 1  # and adds what no network told
    added = int(np.count_nonzero(array) - np.count_nonzero(store.masks.load(record).array[20:]))
    save_draft(store, "P1", DAY1, parent_version=1, labels=LabelMap(array, CT), answers=(), person="demo")
    edited = store.masks.version("P1", DAY1, 2)
    assert parts_of(edited)[NOT_TOLD] == pytest.approx(added * voxel)
    assert sum(parts_of(edited).values()) == pytest.approx(edited.volume_mm3)
    assert parts_of(edited)["necrosis"] == pytest.approx(np.count_nonzero(ball_of(CT, MIDDLE, 6.0)[20:]) * voxel)

    store.decisions.decide("P1", DAY1, 2, "accept", "demo", *ANSWER)
    (cell,) = timeline_report(store, "P1")["cells"]
    assert cell["compartments_mm3"] == pytest.approx(parts_of(edited))
    assert 0 < cell["enhancing_mm"] < cell["longest_diameter_mm"]
    (cohort,) = store.views.cohort()
    assert [one["name"] for one in cohort.accepted[0].lesions[0]["compartments"]] == [*NAMES.values(), NOT_TOLD]
    assert store.verify() == []
    store.close()
    rebuild(tmp_path / "data")
    with open_store(tmp_path / "data") as again:
        assert again.masks.version("P1", DAY1, 2).lesions == edited.lesions
        assert again.masks.compartments(again.masks.version("P1", DAY1, 1)) is not None


def test_uptake_and_density_are_stored_with_a_new_mask_and_read_in_the_timeline(store: Store):
    add_scans(store, DAY1, 1)
    labels = LabelMap(as_the_network_finds((MIDDLE, 12.0)).astype(np.uint8), CT)
    record = add_version(store, labels, "P1", DAY1, method="manual", author="demo", parent_version=None)
    ct, pet = sorted(record.lesions[0]["intensities"], key=lambda one: one["channel"])
    assert ct["mean"] == pytest.approx(60, abs=5), "the ball of 60 HU"
    assert (ct["carried"], pet["carried"]) == (False, True)
    assert 8.0 <= pet["suv_max"] < 9.0
    assert pet["mtv_ml"] == pytest.approx(record.volume_mm3 / 1000, rel=0.02)
    assert pet["sul_peak"] is None
    store.decisions.decide("P1", DAY1, 1, "accept", "demo", *ANSWER)
    (cell,) = timeline_report(store, "P1")["cells"]
    assert (cell["suv_max"], cell["suv_peak"], cell["tlg_g"]) == (pet["suv_max"], pet["suv_peak"], pet["tlg_g"])
    assert cell["hu_mean"] == pytest.approx(ct["mean"])
    assert "height" in cell["sul_why"]
    assert store.verify() == []


def test_a_mask_from_before_has_none_of_it_and_the_timeline_says_null(store: Store):
    add_scans(store, DAY1, 1)
    labels = LabelMap(as_the_network_finds((MIDDLE, 12.0)).astype(np.uint8), CT)
    made: dict[str, Any] = {"method": "manual", "author": "demo", "parent_version": None}
    old = store.masks.add(labels, patient_id="P1", timepoint=DAY1, lesions=measures(labels), verdict=JUDGED, **made)
    assert "intensities" not in old.lesions[0]
    assert store.masks.compartments(old) is None
    store.decisions.decide("P1", DAY1, 1, "accept", "demo", *ANSWER)
    (cell,) = timeline_report(store, "P1")["cells"]
    assert [cell[name] for name in ("suv_max", "mtv_ml", "hu_mean", "compartments_mm3", "enhancing_mm3")] == [None] * 5
    assert cell["sul_why"] == "No PET was measured with this mask."


def test_sul_is_known_where_the_pet_s_header_told_the_lean_mass(store: Store):
    for grid, modality, facts in ((CT, "CT", {}), (PET, "PET", {"lean_mass_ratio": 0.7})):
        volume = body_image(grid, modality, 1, ((MIDDLE, 12.0),))
        store.scans.add(volume, dataset="d", patient_id="P1", timepoint=DAY1, person="demo", metadata=facts)
    labels = LabelMap(as_the_network_finds((MIDDLE, 12.0)).astype(np.uint8), CT)
    record = add_version(store, labels, "P1", DAY1, method="manual", author="demo", parent_version=None)
    pet = next(one for one in record.lesions[0]["intensities"] if one["unit"] == "SUV")
    assert pet["sul_peak"] == pytest.approx(0.7 * pet["suv_peak"])
