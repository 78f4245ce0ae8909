"""The wide-view network as it is shipped: pinned, of two folds, and the same tumour wherever the scan ends."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from core.engines.auto.choice import IN_FORCE
from core.engines.auto.nnunet import load_segmenter
from core.imaging.volumes import resample
from core.lesions.metrics import dice
from core.simulation.demo_timepoints import real_scan
from core.types import Volume
from weights import registry
from weights.recipes.sts_wide_view.evaluate import fields_of_view, seen_part

MODEL = "sts-ctpet-wide-view"


def test_both_folds_are_pinned_and_loaded():
    entry = registry.find(MODEL)
    assert entry.pinned
    assert registry.status(entry) == "ready"
    assert [name for name in registry.load_model(entry).content if name.startswith("fold_")] == [
        "fold_0/checkpoint_final.pth",
        "fold_1/checkpoint_final.pth",
    ]


def test_it_is_in_force_and_the_one_before_it_is_still_offered():
    assert {MODEL, "sts-ctpet-small"} <= {entry.id for entry in registry.models() if entry.kind == "nnunet"}
    assert IN_FORCE[0] == MODEL


def test_a_held_out_tumour_is_found_as_well_with_the_field_of_view_moved_by_42_mm(shared_data):
    real = real_scan(shared_data / "sts" / "STS_003")
    pet = replace(real.pet, array=resample(real.pet.array, real.pet.grid, real.ct.grid, "linear"), grid=real.ct.grid)
    segmenter, truth = load_segmenter(MODEL), real.truth.array > 0
    whole = dice(segmenter.segment([real.ct, pet]).labels.array > 0, truth)
    _, axis, start, end = next(iter(fields_of_view(real.truth)))
    moved = [seen_part(real.ct, axis, start, end, -1024.0), seen_part(pet, axis, start, end, 0.0)]
    there = seen_part(Volume(truth.astype(np.float32), real.ct.grid, "CT"), axis, start, end, 0.0).array > 0
    assert whole > 0.85
    assert dice(segmenter.segment(moved).labels.array > 0, there) > whole - 0.05
