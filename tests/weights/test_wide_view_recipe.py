"""The recipe of the wide-view network: what its crops show, what is air, and what painting leaves behind."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

from core.engines.auto.nnunet import NnUNetSegmenter
from core.types import Grid, LabelMap, Volume
from weights.recipes.sts_wide_view.batches import Volumes, change_values, join, with_bladders
from weights.recipes.sts_wide_view.cases import WINDOWS, Case, decode, encode, folds, load, normalise, save
from weights.recipes.sts_wide_view.crops import LEAST, Crop, Drawer, beside, cut, place_of, whole
from weights.recipes.sts_wide_view.evaluate import fields_of_view, seen_part
from weights.recipes.sts_wide_view.export import export
from weights.recipes.sts_wide_view.measure import starts
from weights.recipes.sts_wide_view.network import Average, build, loss
from weights.recipes.sts_wide_view.painting import HOT_SUV, WAYS, paint
from weights.recipes.sts_wide_view.plans import FEATURES, PATCH, dataset, plans
from weights.recipes.sts_wide_view.train import write_weights

CPU = torch.device("cpu")


def ball(shape: tuple[int, int, int], centre: tuple[int, int, int], radius: float) -> np.ndarray:
    return np.linalg.norm(np.indices(shape) - np.reshape(centre, (3, 1, 1, 1)), axis=0) <= radius


@pytest.fixture
def case() -> Case:
    """A block of muscle with a hot tumour away from its middle."""
    rng = np.random.default_rng(0)
    tumour = ball((40, 44, 36), (14, 25, 18), 6)
    ct = rng.normal(50, 12, tumour.shape).astype(np.float32)
    pet = np.where(tumour, 6.0, rng.uniform(0.3, 0.9, tumour.shape)).astype(np.float32)
    return Case("A", "A", "real", "", encode(ct, pet), tumour)


def free(case: Case) -> Case:
    return Case("A free", "A", "free", "level", case.image // 2, np.zeros_like(case.tumour))


def straight(number: int, centre: tuple[float, ...], box: np.ndarray) -> Crop:
    return Crop(number, np.eye(3), np.array(centre), box)


def test_a_patch_holds_the_scans_own_voxels_and_air_beyond_the_scan(case):
    volumes = Volumes([case], WINDOWS["narrow"], CPU)
    image, tumour, inside = volumes.batch([straight(0, (3.5, 20.5, 30.5), whole(np.array(case.tumour.shape)))], 32)
    values = normalise(decode(case.image), WINDOWS["narrow"])
    # The patch's first voxel is the scan's voxel (-12, 5, 15).
    assert np.allclose(image[0, :, 12:, :, :21], values[:, :20, 5:37, 15:], atol=1e-4)
    assert np.array_equal(tumour[0, 0, 12:, :, :21] > 0, case.tumour[:20, 5:37, 15:])
    assert not image[0, :, :12].any()
    assert not image[0, :, :, :, 21:].any()
    assert inside[0, 0, 12:, :, :21].all()
    assert not inside[0, 0, :12].any()


def test_what_a_cut_field_of_view_leaves_out_is_air_and_no_tumour(case):
    volumes = Volumes([case], WINDOWS["wide"], CPU)
    box = whole(np.array(case.tumour.shape))
    box[0, 0] = 14  # through the tumour's middle
    image, tumour, _ = volumes.batch([straight(0, (19.5, 21.5, 17.5), box)], 40)
    assert not image[0, :, :14].any()
    assert not tumour[0, :, :14].any()
    assert np.array_equal(tumour[0, 0, 14:, :, 2:38] > 0, case.tumour[14:, 2:42])


def test_a_mirrored_crop_is_the_crop_mirrored(case):
    volumes = Volumes([case], WINDOWS["narrow"], CPU)
    box = whole(np.array(case.tumour.shape))
    middle = (19.5, 21.5, 17.5)
    plain, tumour, _ = volumes.batch([straight(0, middle, box)], 24)
    turned, other, _ = volumes.batch([Crop(0, np.diag([-1.0, 1.0, -1.0]), np.array(middle), box)], 24)
    assert torch.allclose(turned, plain.flip((2, 4)), atol=1e-4)
    assert torch.equal(other, tumour.flip((2, 4)))


def test_crops_show_the_tumour_off_the_middle_and_often_none(case):
    drawer = Drawer([case, free(case)], seed=1)
    volumes = Volumes([case, free(case)], WINDOWS["narrow"], CPU)
    _, tumour, _ = volumes.batch([drawer.draw() for _ in range(120)], 64)
    there = tumour.sum((1, 2, 3, 4)) > 0
    assert 0.2 < float((~there).float().mean()) < 0.5
    middles = [np.argwhere(one[0].numpy()).mean(0) for one in tumour[there]]
    away = np.abs(np.array(middles) - 31.5).max(1)
    assert np.median(away) > 6, "the tumour is not in the middle of the patch"
    assert away.max() > 22, "nor far from its edge"


def test_fields_of_view_beside_the_tumour_hold_none_of_it_and_no_scan_becomes_too_thin(case):
    rng, place = np.random.default_rng(2), place_of(case)
    for _ in range(60):
        seen = beside(place, rng)
        assert seen is not None
        first, last = seen
        assert not case.tumour[tuple(slice(a, b + 1) for a, b in zip(first, last, strict=True))].any()
        box = cut(place.size, rng)
        assert ((box[1] - box[0] + 1) >= LEAST).all()
        assert (box[0] >= 0).all()
        assert (box[1] < place.size).all()


def test_joined_patches_take_every_voxel_and_its_label_from_one_of_two():
    rng = np.random.default_rng(0)
    image = torch.rand(6, 2, 16, 16, 16)
    tumour = (image[:, :1] > 0.5).float()
    mixed, labels, _ = join((image, tumour, tumour), rng)
    assert torch.equal(labels, (mixed[:, :1] > 0.5).float())
    either = (mixed == image) | (mixed == image.roll(1, 0))
    assert either.all()


def test_bladders_are_hot_water_away_from_the_tumour_and_inside_the_scan():
    inside = torch.zeros(40, 1, 32, 32, 32)
    inside[:, :, 4:] = 1
    tumour = torch.zeros_like(inside)
    tumour[:, :, 14:17, 14:17, 14:17] = 1
    image = torch.full((40, 2, 32, 32, 32), 0.2) * inside
    got = with_bladders((image, tumour, inside), np.random.default_rng(5), WINDOWS["wide"])
    hot = got[:, 1] > 0.9
    assert 1 <= int(hot.flatten(1).any(1).sum()) <= 20, "in some patches"
    assert not (hot[:, None] & (tumour > 0)).any()
    assert not got[:, :, :4].any()
    water = got[:, 0][hot] * 60 - 160
    assert -20 < float(water.median()) < 25
    cold = got[:, 1].amax((1, 2, 3)) < 0.21
    assert torch.allclose(got[cold], image[cold], atol=1e-3)


def test_changed_values_stay_in_the_window_and_air_outside_the_scan_stays_air():
    inside = torch.zeros(8, 1, 16, 16, 16)
    inside[:, :, 4:12] = 1
    image = torch.rand(8, 2, 16, 16, 16) * 4 * inside
    changed = change_values(image, inside, np.random.default_rng(3), (5.7, 5.3))
    assert not changed[:, :, :4].any()
    assert not changed[:, :, 12:].any()
    assert changed.min() >= 0
    assert changed[:, 0].max() <= 5.7
    assert changed[:, 1].max() <= 5.4
    assert not torch.equal(changed, image)


@pytest.mark.parametrize("way", WAYS)
def test_painting_removes_the_uptake_and_leaves_what_is_far_away(case, way):
    ct, pet = decode(case.image)
    painted_ct, painted_pet = paint(ct, pet, case.tumour, way, np.random.default_rng(4))
    far = ndimage.distance_transform_edt(~case.tumour) > 14
    assert np.allclose(painted_ct[far], ct[far], atol=1)
    assert np.allclose(painted_pet[far], pet[far], atol=0.05)
    assert painted_pet[case.tumour].max() <= HOT_SUV
    assert np.isfinite(painted_ct).all()
    assert np.isfinite(painted_pet).all()
    assert not np.allclose(painted_ct[case.tumour], ct[case.tumour], atol=1)


def test_cases_come_back_as_they_were_written(case, tmp_path):
    cases = [case, free(case)]
    save(tmp_path / "cases.npz", cases)
    for before, after in zip(cases, load(tmp_path / "cases.npz"), strict=True):
        assert (before.name, before.patient, before.kind, before.way) == (
            after.name,
            after.patient,
            after.kind,
            after.way,
        )
        assert np.array_equal(before.image, after.image)
        assert np.array_equal(before.tumour, after.tumour)


def test_coding_keeps_values_to_less_than_the_scanners_noise():
    ct = np.linspace(-160, 240, 1000).astype(np.float32)
    pet = np.linspace(0, 25, 1000).astype(np.float32)
    hu, suv = decode(encode(ct, pet))
    assert np.abs(hu - ct).max() < 0.8
    assert (np.abs(suv - pet) / np.sqrt(pet + 0.02)).max() < 0.03


@pytest.mark.parametrize("window", WINDOWS)
def test_nnunets_zero_padding_is_air_without_uptake_by_the_plans(window):
    content = plans(window)
    for channel, air in (("0", -1024), ("1", 0)):
        scaling = content["foreground_intensity_properties_per_channel"][channel]
        clipped = np.clip(air, scaling["percentile_00_5"], scaling["percentile_99_5"])
        assert (clipped - scaling["mean"]) / scaling["std"] == 0
    for scaling, channel in zip(WINDOWS[window], ("0", "1"), strict=True):
        told = content["foreground_intensity_properties_per_channel"][channel]
        assert (told["percentile_99_5"] - told["mean"]) / told["std"] == scaling(np.array([9e3], np.float32))[0]


def test_folds_keep_patients_apart_and_span_the_sizes():
    sizes = {f"P{n}": n for n in range(18)}
    parts = folds(sizes, sizes)
    assert sorted(itertools.chain(*parts)) == sorted(sizes)
    means = [np.mean([sizes[name] for name in part]) for part in parts]
    assert max(means) - min(means) <= 2


def test_windows_reach_both_ends_half_a_window_apart_at_most():
    for size in (20, 64, 65, 100, 200):
        at = starts(size)
        assert at[0] == 0
        assert size <= 64 or at[-1] == size - 64
        assert max(np.diff(at), default=0) <= 32


def test_a_tumour_where_there_is_none_costs_and_the_truth_costs_least():
    tumour = torch.zeros(2, 1, 16, 16, 16)
    tumour[0, 0, 4:12, 4:12, 4:12] = 1

    def outputs(found: torch.Tensor) -> list[torch.Tensor]:
        logits = torch.cat([6 - 12 * found, 12 * found - 6], 1)
        return [logits, torch.nn.functional.max_pool3d(logits, 2), torch.nn.functional.max_pool3d(logits, 4)]

    right, nothing, false = tumour, torch.zeros_like(tumour), tumour.clone()
    false[1, 0, :6, :6, :6] = 1
    costs = [float(loss(outputs(found), tumour)) for found in (right, false, nothing)]
    assert costs[0] < costs[1] < costs[2]


def test_the_average_of_equal_weights_is_those_weights():
    network, shown = build(), build()
    average = Average(network)
    for _ in range(3):
        average.update()
    average.copy_to(shown)
    assert all(torch.allclose(a, b) for a, b in zip(network.parameters(), shown.parameters(), strict=True))


def test_fields_of_view_move_without_moving_the_voxels_that_stay():
    grid = Grid((60, 50, 40), np.diag([-1.0, 2.0, 3.0, 1.0]))
    array = np.arange(60 * 50 * 40, dtype=np.float32).reshape(60, 50, 40)
    mask = np.zeros(grid.shape, np.uint8)
    mask[43:50, 20:30, 5:10] = 1
    moves = list(fields_of_view(LabelMap(mask, grid)))
    assert ("i start", 0, 42, 0) in moves
    assert ("k end", 2, 0, 14) in moves
    assert not any(which in ("i end", "j start", "j end", "k start") for which, *_ in moves)
    for _, axis, start, end in moves:
        for air in (None, -1.0):
            part = seen_part(Volume(array, grid, "CT"), axis, start, end, air)
            assert (part.array.shape == grid.shape) is (air is not None)
            voxels = np.argwhere(part.array > 0)
            there = np.rint(grid.to_index(part.grid.to_mm(voxels))).astype(int)
            assert np.array_equal(array[tuple(there.T)], part.array[tuple(voxels.T)])


def test_exported_folds_answer_with_the_mean_of_their_logits(tmp_path):
    networks = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        networks.append(build())
        write_weights(tmp_path / f"seed{seed}.pth", networks[-1])
        (tmp_path / f"seed{seed}.json").write_text(json.dumps({"window": "narrow", "done_iterations": 5}))
    assert (tmp_path / "seed0.pth").stat().st_size < 8 * 2**20, "each tensor once, in half precision"
    home = tmp_path / "out"
    export(tmp_path, ["seed0", "seed1"], home)
    states = [
        torch.load(file, weights_only=True, map_location="cpu")
        for file in sorted(home.glob("fold_*/checkpoint_final.pth"))
    ]
    segmenter = NnUNetSegmenter(
        (home / "plans.json").read_bytes(),
        (home / "dataset.json").read_bytes(),
        states,
        model_id="mine",
        checkpoint_sha256="",
    )
    data = np.random.default_rng(0).random((2, PATCH, PATCH, PATCH)).astype(np.float32)
    found = segmenter.raw_logits(data).float().numpy()
    with torch.no_grad():
        parts = [network.eval()(torch.from_numpy(data)[None])[0][0].numpy() for network in networks]
    assert len(states) == 2
    assert not np.allclose(parts[0], parts[1], atol=0.1)
    # nnU-Net weighs the window's edge so little that its half precision rounds there.
    middle = (slice(None), *[slice(16, 48)] * 3)
    assert np.allclose(found[middle], np.mean(parts, axis=0)[middle], atol=0.05)
    assert segmenter.configuration.patch_size == [PATCH] * 3
    assert tuple(FEATURES) == (24, 48, 96, 192)
    assert dataset(18)["labels"]["tumour"] == 1
    assert Path(home / "training.json").exists()
