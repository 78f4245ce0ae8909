"""Scans, mask versions and decisions: what is stored, what is refused, and what follows."""

from __future__ import annotations

import json
import os
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from core.errors import GeometryError, InputError, StoreError
from core.imaging.volumes import file_sha256, read_label_map
from core.lesions.masks import measure
from core.twin.curve_points import volume_points
from core.types import Grid, LabelMap, MaskRecord, Prompt, Volume
from store import Store, open_store, rebuild
from store.files import mask_files
from tests.store_phantom import (
    DAY1,
    DAY2,
    DAY3,
    SHAPE,
    VOXEL_MM3,
    add_mask,
    add_scan,
    folder,
    grid,
    labels,
    measures,
    scan_volume,
)


def test_a_scan_is_stored_with_its_sidecar_and_read_back_the_same(store: Store) -> None:
    scan = add_scan(store, metadata={"kvp": np.float32(120), "filters": ("a", "b")})
    assert scan.path == "raw/set/P1/2020-01-01/CT.nii.gz"
    assert scan.spacing_mm == (8.0, 8.0, 20.0)
    assert scan.orientation == "RAS"
    assert scan.sha256 == file_sha256(store.root / scan.path)
    assert scan.metadata == {"kvp": 120.0, "filters": ["a", "b"]}
    assert json.loads((store.root / "raw/set/P1/2020-01-01/CT.json").read_text())["sha256"] == scan.sha256
    assert store.scans.of("P1") == [scan]
    np.testing.assert_array_equal(store.scans.load(scan).array, scan_volume(1).array)
    assert store.scans.reference_grid("P1", DAY1).matches(grid())


def test_the_same_image_is_recognised_under_any_name(store: Store) -> None:
    add_scan(store)
    with pytest.raises(StoreError, match=r"there already: CT of patient P1 on 2020-01-01"):
        add_scan(store, "P2", DAY2, seed=1)
    assert store.patients.timepoints("P2") == []
    assert store.verify() == []


def test_several_scans_of_one_kind_are_numbered(store: Store) -> None:
    ids = [add_scan(store, seed=n, modality="MR", sequence="T1").scan_id for n in (1, 2, 3)]
    assert ids == ["MR-T1", "MR-T1-2", "MR-T1-3"]


@pytest.mark.parametrize(
    ("kinds", "reference"),
    [(["PET"], "PET"), (["PET", "MR"], "MR"), (["MR", "PET", "CT"], "CT"), (["CT", "CT"], "CT")],
)
def test_the_reference_is_ct_then_the_first_mr_then_pet(store: Store, kinds: list[str], reference: str) -> None:
    for seed, kind in enumerate(kinds):
        add_scan(store, seed=seed, modality=kind)
    assert store.scans.reference("P1", DAY1).scan_id == reference


def test_a_scan_that_would_take_over_as_reference_is_refused_once_there_are_masks(store: Store) -> None:
    add_scan(store, modality="MR")
    add_mask(store, 3)
    with pytest.raises(StoreError, match="would become the reference"):
        add_scan(store, seed=2)
    add_scan(store, seed=3, modality="PET")  # changes nothing about the reference
    assert store.verify() == []


def test_a_patient_belongs_to_one_dataset(store: Store) -> None:
    add_scan(store)
    with pytest.raises(StoreError, match="belongs to dataset set, not other"):
        add_scan(store, day=DAY2, seed=2, dataset="other")


BAD_IDS = ["", ".", "..", ".hidden", "a/b", "../../etc", "a\\b", "a b", "x" * 65, "a\n", "ä", "P1\x00", None, 7]


def test_an_id_that_cannot_be_a_path_is_refused(store: Store) -> None:
    for field in ("patient_id", "dataset"):
        for bad in BAD_IDS:
            arguments: dict[str, Any] = {field: bad}
            with pytest.raises(InputError, match=field.replace("_", " ")):
                add_scan(store, **arguments)
    assert store.patients.all() == []
    assert not (store.root / "raw").exists()


def test_other_arguments_that_are_none_are_refused_and_nothing_remains(store: Store) -> None:
    refused: list[tuple[dict[str, Any], str]] = [
        ({"timepoint": "2020-1-1"}, "YYYY-MM-DD"),
        ({"timepoint": "../2020-01-01"}, "YYYY-MM-DD"),
        ({"sequence": "../T1", "modality": "MR"}, "sequence"),
        ({"person": " "}, "person"),
        ({"metadata": {"x": float("nan")}}, "metadata.x"),
        ({"metadata": {"x": object()}}, "JSON"),
    ]
    for change, message in refused:
        with pytest.raises(InputError, match=message):
            add_scan(store, **change)
    assert store.patients.all() == []
    assert store.verify() == []
    assert list((store.root / "incoming").glob("*")) == []


def test_an_image_with_nan_or_without_contrast_leaves_nothing(store: Store) -> None:
    array = scan_volume(1).array.copy()
    array[0, 0, 0] = np.nan
    for volume in (Volume(array, grid(), "CT"), Volume(np.zeros(grid().shape, np.float32), grid(), "CT")):
        with pytest.raises(InputError):
            store.scans.add(volume, dataset="set", patient_id="P1", timepoint=DAY1, person="demo")
    assert list((store.root / "incoming").glob("*")) == []
    assert store.verify() == []


def test_the_first_version_has_no_parent_and_all_its_voxels_are_added(store: Store) -> None:
    scan = add_scan(store)
    record = add_mask(store, 4, 2)
    assert (record.version, record.parent_version, record.status) == (1, None, "proposed")
    assert record.dice_vs_previous_version is None
    assert record.volume_delta_mm3 is None
    assert (record.voxels_added, record.voxels_removed, record.voxels_unchanged) == (6, 0, 0)
    assert record.volume_mm3 == 6 * VOXEL_MM3
    assert record.scan_sha256 == scan.sha256
    assert record.mask_sha256 == file_sha256(store.masks.path(record))


def test_a_method_or_a_verdict_that_there_is_not_is_refused(store: Store) -> None:
    add_scan(store)
    with pytest.raises(InputError, match=r"a method of nnunet, medsam, .* got 'magic'"):
        add_mask(store, 4, method="magic")
    with pytest.raises(InputError, match=r"verdict of the mask gate of usual, .* got 'odd'"):
        add_mask(store, 4, verdict={"verdict": "odd"})
    with pytest.raises(InputError, match=r"state of the scan gate of in distribution, .* got 'odd'"):
        store.verdicts.add_scan_verdict("P1", DAY1, {"state": "odd"}, "demo")
    record = add_mask(store, 4)
    with pytest.raises(InputError, match=r"verdict of the mask gate of usual"):
        store.verdicts.add_mask_verdict(record.mask_id, {"verdict": "odd"}, "demo")
    assert [one.mask_id for one in store.masks.of("P1")] == [record.mask_id]


def test_a_version_is_compared_with_its_parent(store: Store) -> None:
    add_scan(store)
    add_mask(store, 4)
    record = add_mask(store, 2, 3)  # 2 of 4 kept, 3 new ones: Dice = 2*2/(4+5)
    assert record.parent_version == 1
    assert record.dice_vs_previous_version == pytest.approx(4 / 9, abs=1e-15)
    assert (record.voxels_added, record.voxels_removed, record.voxels_unchanged) == (3, 2, 2)
    assert record.volume_delta_mm3 == 1 * VOXEL_MM3
    branch = add_mask(store, 4, parent_version=1)
    assert (branch.version, branch.parent_version, branch.dice_vs_previous_version) == (3, 1, 1.0)
    empty = add_mask(store, 0)
    assert (empty.dice_vs_previous_version, empty.voxels_removed, empty.volume_mm3, empty.lesions) == (0.0, 4, 0.0, ())
    assert add_mask(store, 0).dice_vs_previous_version == 1.0  # both empty
    with pytest.raises(StoreError, match="no mask version 9"):
        add_mask(store, 1, parent_version=9)
    assert store.verify() == []


def test_the_sidecar_is_the_record_key_for_key_in_the_design_s_order(store: Store) -> None:
    add_scan(store)
    record = add_mask(store, 4, 2, prompts=[Prompt("point", 3, (1, 2), positive=False)], method="medsam")
    text = (folder(store) / "mask_v001.json").read_text()
    sidecar = json.loads(text)
    assert list(sidecar) == [
        "mask_id",
        "patient_id",
        "timepoint",
        "version",
        "parent_version",
        "method",
        "model_checkpoint",
        "prompts",
        "reviewer",
        "status",
        "created_at",
        "dice_vs_previous_version",
        "volume_mm3",
        "voxels_added",
        "voxels_removed",
        "voxels_unchanged",
        "volume_delta_mm3",
        "scan_sha256",
        "mask_sha256",
        "checkpoint_sha256",
        "lesions",
        "software",
        "format_version",
        "model_files",
    ]
    assert MaskRecord.from_json(sidecar) == record == store.masks.version("P1", DAY1, 1)
    assert sidecar["prompts"][0]["coords"] == [1.0, 2.0]
    assert [lesion["lesion_id"] for lesion in sidecar["lesions"]] == ["L1", "L2"]
    assert sum(lesion["volume_mm3"] for lesion in sidecar["lesions"]) == sidecar["volume_mm3"]
    store.decisions.decide("P1", DAY1, 1, "accept", "ann", "good")
    changed = (folder(store) / "mask_v001.json").read_text()
    assert changed == text.replace('"proposed"', '"accepted"')


def test_the_stored_mask_reads_back_as_it_was_also_by_another_library(store: Store) -> None:
    add_scan(store)
    record = add_mask(store, 4, 2)
    np.testing.assert_array_equal(store.masks.load(record).array, labels(4, 2).array)
    image = nib.nifti1.load(store.masks.path(record))
    assert image.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(np.asarray(image.dataobj), labels(4, 2).array)
    np.testing.assert_allclose(np.asarray(image.affine), grid().affine)


@pytest.mark.parametrize("where", [grid(origin=1.0), grid((12, 10, 9))])
def test_a_mask_on_another_grid_is_refused(store: Store, where: Any) -> None:
    add_scan(store)
    mask = labels(3, where=where)
    with pytest.raises(GeometryError, match="grid of the reference scan"):
        store.masks.add(
            mask,
            patient_id="P1",
            timepoint=DAY1,
            method="import",
            author="demo",
            lesions=measures(mask),
            parent_version=None,
        )
    assert store.masks.of("P1") == []


def test_measurements_of_another_mask_are_refused(store: Store) -> None:
    add_scan(store)
    for other in (labels(3), labels(4, 1), labels(0)):
        with pytest.raises(InputError, match="measurement"):
            add_mask(store, 4, lesions=measures(other))
    assert store.masks.of("P1") == []
    assert store.verify() == []


def test_short_axis_3d_diameter_and_slices_are_kept_where_measured_and_no_key_of_them_where_not(tmp_path: Any) -> None:
    root = tmp_path / "data"
    with open_store(root) as store:
        add_scan(store)
        old = add_mask(store, 3)  # as every mask from before they were measured
        mask = LabelMap(labels(3, 2).array, store.scans.reference_grid("P1", DAY1))
        new = add_mask(store, 3, 2, lesions=measure(mask))
        assert store.verify() == []
        store.decisions.decide("P1", DAY1, 2, "accept", "demo", "clinical-review")
        (patient,) = store.views.cohort()
    assert not set(mask_files.LATER_MEASURES) & set(old.lesions[0])
    first, second = new.lesions
    # 3 and 2 voxels in a row of 8 x 8 x 20 mm: the ends of the row are half a voxel beyond the outermost centres
    shape = ("short_axis_mm", "longest_diameter_3d_mm", "slices")
    assert [first[name] for name in shape] == pytest.approx([8.0, np.hypot(16, 20), 1], abs=1e-3)
    assert (second["longest_diameter_mm"], second["short_axis_mm"]) == pytest.approx((16.0, 8.0), abs=1e-3)
    in_cohort = patient.masks[-1].lesions
    assert [[one[name] for name in shape] for one in in_cohort] == [
        [one[name] for name in shape] for one in new.lesions
    ]
    rebuild(root)
    with open_store(root) as store:
        assert [record.lesions for record in store.masks.of("P1", DAY1)] == [old.lesions, new.lesions]
        assert store.verify() == []


def test_a_mask_needs_a_scan(store: Store) -> None:
    with pytest.raises(StoreError, match="no scan"):
        add_mask(store, 3)


def test_accepting_supersedes_the_accepted_and_the_proposed(store: Store) -> None:
    add_scan(store)
    for first in (1, 2, 3, 4):
        add_mask(store, first)
    store.decisions.decide("P1", DAY1, 2, "reject", "ann", "leak")
    store.decisions.decide("P1", DAY1, 1, "accept", "ann", "good")
    assert [r.status for r in store.masks.of("P1")] == ["accepted", "rejected", "superseded", "superseded"]
    store.decisions.decide("P1", DAY1, 3, "accept", "bob", "better", "second look")
    assert [r.status for r in store.masks.of("P1")] == ["superseded", "rejected", "accepted", "superseded"]
    link = folder(store) / "mask_final.nii.gz"
    assert os.readlink(link) == "mask_v003.nii.gz"
    final = store.masks.accepted("P1", DAY1)
    assert final is not None
    assert file_sha256(link) == final.mask_sha256
    assert [(d.verdict, d.reviewer, d.reason) for d in store.decisions.of("P1")] == [
        ("reject", "ann", "leak"),
        ("accept", "ann", "good"),
        ("accept", "bob", "better"),
    ]
    assert store.verify() == []


def test_an_accepted_version_can_be_withdrawn_and_its_number_is_never_used_again(store: Store) -> None:
    add_scan(store)
    add_mask(store, 1)
    store.decisions.decide("P1", DAY1, 1, "accept", "ann", "good")
    store.decisions.decide("P1", DAY1, 1, "reject", "ann", "wrong-patient")
    assert store.masks.accepted("P1", DAY1) is None
    assert not os.path.lexists(folder(store) / "mask_final.nii.gz")
    assert volume_points(store, "P1") == []
    assert add_mask(store, 2).version == 2
    with pytest.raises(StoreError, match="rejected, which is final"):
        store.decisions.decide("P1", DAY1, 1, "accept", "ann", "good")
    assert store.verify() == []


def test_decisions_that_make_no_sense_are_refused(store: Store) -> None:
    add_scan(store)
    add_mask(store, 1)
    for arguments in (
        ("P1", DAY1, 1, "maybe", "ann", "x"),
        ("P1", DAY1, 1, "accept", "", "x"),
        ("P1", DAY1, 1, "accept", "ann", ""),
        ("P1", DAY1, 1, "accept", "ann", "two words"),
        ("P1", DAY1, 1, "accept", "ann", "x", "nul\x00"),
    ):
        with pytest.raises(InputError):
            store.decisions.decide(*arguments)
    with pytest.raises(StoreError, match="no mask version 2"):
        store.decisions.decide("P1", DAY1, 2, "accept", "ann", "x")
    store.decisions.decide("P1", DAY1, 1, "accept", "ann", "x")
    with pytest.raises(StoreError, match="already"):
        store.decisions.decide("P1", DAY1, 1, "accept", "ann", "x")
    assert len(store.decisions.of("P1")) == 1


def test_a_version_keeps_clear_of_a_file_that_nobody_recorded(store: Store) -> None:
    add_scan(store)
    folder(store).mkdir(parents=True)
    (folder(store) / "mask_v001.nii.gz").write_bytes(b"somebody's")
    assert add_mask(store, 1).version == 2
    assert (folder(store) / "mask_v001.nii.gz").read_bytes() == b"somebody's"


def test_only_accepted_masks_enter_the_curve_and_an_absent_lesion_counts_zero(store: Store) -> None:
    for seed, day in enumerate((DAY1, DAY2, DAY3)):
        add_scan(store, day=day, seed=seed)
    add_mask(store, 4, 0, day=DAY1)
    add_mask(store, 9, 9, day=DAY2)
    add_mask(store, 3, 5, day=DAY3)
    assert volume_points(store, "P1") == []
    store.decisions.decide("P1", DAY1, 1, "accept", "ann", "good")
    store.decisions.decide("P1", DAY3, 1, "accept", "ann", "good")
    points = [(p.timepoint, p.days, p.lesion_id, p.volume_mm3 / VOXEL_MM3) for p in volume_points(store, "P1")]
    assert points == [
        (DAY1, 0.0, "L1", 4.0),
        (DAY3, 150.0, "L1", 3.0),
        (DAY1, 0.0, "L2", 0.0),
        (DAY3, 150.0, "L2", 5.0),
        (DAY1, 0.0, "total", 4.0),
        (DAY3, 150.0, "total", 8.0),
    ]


def test_days_count_from_the_first_timepoint_even_while_it_waits_for_review(store: Store) -> None:
    for seed, day in enumerate((DAY1, DAY2)):
        add_scan(store, day=day, seed=seed)
    add_mask(store, 2, day=DAY2)
    store.decisions.decide("P1", DAY2, 1, "accept", "ann", "good")
    assert [p.days for p in volume_points(store, "P1")] == [60.0, 60.0]


def test_a_real_scan_and_its_contour_go_in_and_come_out(store: Store, shared_data: Any) -> None:
    from core.imaging.volumes import read_label_map, read_volume

    patient = sorted((shared_data / "sts").glob("STS_*"))[0]
    ct = read_volume(next(patient.glob("*[cC][tT]*.nii*")), "CT")
    contour = read_label_map(next(patient.glob("*_mask.nii.gz")), ct.grid, resample=True)
    scan = store.scans.add(ct, dataset="sts", patient_id=patient.name, timepoint=DAY1, person="demo")
    record = store.masks.add(
        contour,
        patient_id=patient.name,
        timepoint=DAY1,
        method="import",
        author="demo",
        parent_version=None,
        lesions=measures(contour),
    )
    np.testing.assert_array_equal(store.scans.load(scan).array, ct.array)
    np.testing.assert_array_equal(store.masks.load(record).array, contour.array)
    assert record.volume_mm3 == pytest.approx(contour.volume_mm3, rel=1e-5)
    assert store.verify() == []


def test_a_stored_mask_read_the_short_way_is_what_the_long_way_reads(store: Store) -> None:
    where = Grid(SHAPE, np.array([[0, -1.5, 0, 3], [1.25, 0, 0, -7], [0, 0, 2.0, 11], [0, 0, 0, 1]]))
    add_scan(store, where=where)
    mask = labels(4, 2, where)
    path = store.masks.path(
        store.masks.add(
            mask,
            patient_id="P1",
            timepoint=DAY1,
            method="import",
            author="demo",
            parent_version=None,
            lesions=measures(mask),
        )
    )
    short, long = mask_files.read_stored_mask(path), read_label_map(path)
    assert short is not None
    assert np.array_equal(short.array, long.array)
    assert np.array_equal(short.grid.affine, long.grid.affine)
    content = path.read_bytes()
    for damage in (content[:-20], b"", content[:40]):
        path.write_bytes(damage)
        assert mask_files.read_stored_mask(path) is None
