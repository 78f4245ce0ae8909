"""Features of any network behind one interface: around a mask, of one scan, and none without an anchor."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from core.errors import InputError
from core.gates.scan.backbones import CropBackbone, NnUNetBackbone, SliceBackbone
from core.types import Grid, LabelMap, Volume
from tests.core.gates.test_rfdeep import ThresholdSegmenter, volume


class Brightness:
    """Embeds a slice as its mean brightness and its size."""

    model_id, checkpoint_sha256 = "brightness", "c" * 64

    def embed(self, image):
        import torch

        return SimpleNamespace(features=torch.full((1, 2, 4, 4), float(image.mean())))


def test_slices_through_the_mask_are_what_a_slice_encoder_sees():
    scan = volume("MR")
    scan.array.setflags(write=False)
    backbone = SliceBackbone(Brightness())
    marked = np.zeros(scan.grid.shape, np.uint8)
    marked[9, 9, 7:9] = 1
    rows = backbone.rows([scan], LabelMap(marked, scan.grid), crops=4)
    assert rows.shape == (4, 2)
    assert len(np.unique(rows)) == 2, "two slices hold the mask"
    assert backbone.rows([scan], crops=5).shape == (5, 2)
    assert backbone.rows([scan], LabelMap(marked * 0, scan.grid)).shape == (0, 2)
    assert backbone.name == "brightness@cccccccccccc"
    with pytest.raises(InputError, match="one scan"):
        backbone.rows([scan, scan])


def test_the_network_that_made_the_mask_is_a_backbone_like_any_other():
    backbone = NnUNetBackbone(ThresholdSegmenter())
    scans = [volume("CT"), volume("PET", seed=1)]
    assert backbone.rows(scans).shape == (8, 11)
    assert backbone.name == "threshold@aaaaaaaaaaaa"


class Middle:
    """Pools a cube to what lies in its middle, beside each of its faces, and in its eight corners."""

    model_id, checkpoint_sha256, side = "middle", "d" * 64, 9

    def pooled(self, crop):
        m = len(crop) // 2
        faces = [crop[-1, m, m], crop[m, -1, m], crop[m, m, -1]]
        return np.array([crop[m, m, m], *faces, crop[0, 0, 0]], np.float32)


def ramp(turned: bool) -> Volume:
    """A CT whose value is x + 100 y + 10,000 z, in whole millimetres from its corner; stored as RAS or as LPS."""
    i, j, k = np.ogrid[:20, :20, :10]
    array, affine = (i + 100 * j + 10_000 * 2 * k).astype(np.float32), np.diag([1.0, 1.0, 2.0, 1.0])
    if turned:
        affine = np.array([[-1.0, 0, 0, 19], [0, -1, 0, 19], [0, 0, 2, 0], [0, 0, 0, 1]])
        array = np.ascontiguousarray(array[::-1, ::-1])
    return Volume(array, Grid(array.shape, affine), "CT")


@pytest.mark.parametrize("turned", [False, True])
def test_a_ct_encoder_sees_cubes_of_a_millimetre_around_the_mask_however_the_scan_is_stored(turned):
    scan = ramp(turned)
    marked = np.zeros(scan.grid.shape, np.uint8)
    place = np.rint(scan.grid.to_index(np.array([[8.0, 9, 10]])))[0].astype(int)
    marked[tuple(place)] = 1
    pet = Volume(scan.array, scan.grid, "PET")
    rows = CropBackbone(Middle()).rows([pet, scan], LabelMap(marked, scan.grid), crops=3)
    middle = 8 + 900 + 100_000
    assert rows.tolist() == [[middle, middle + 4, middle + 400, middle + 40_000, middle - 4 - 400 - 40_000]] * 3
    assert CropBackbone(Middle()).name == "middle@dddddddddddd"


def test_a_cube_stays_inside_the_scan_and_what_a_small_scan_lacks_is_air():
    scan = ramp(False)
    marked = np.zeros(scan.grid.shape, np.uint8)
    marked[0, 19, 9] = 1  # a corner: the cube is shifted to lie in the scan
    row = CropBackbone(Middle()).rows([scan], LabelMap(marked, scan.grid), crops=1)[0]
    assert row[0] == 4 + 100 * 15 + 10_000 * 14
    thin = Volume(scan.array[:, :, :2], Grid((20, 20, 2), scan.grid.affine), "CT")
    row = CropBackbone(Middle()).rows([thin], None, crops=1)[0]
    assert row[3] == row[4] == -1000
    assert row[0] == pytest.approx(9.5 + 100 * 9.5 + 10_000)


def test_without_a_ct_or_with_an_empty_mask_a_ct_encoder_makes_up_nothing():
    scan = ramp(False)
    none = LabelMap(np.zeros(scan.grid.shape, np.uint8), scan.grid)

    class Small(Middle):
        def pooled(self, crop):
            return np.zeros(5, np.float32)

    assert CropBackbone(Small()).rows([scan], none).shape == (0, 5)
    with pytest.raises(InputError, match="Expected one CT"):
        CropBackbone(Middle()).rows([Volume(scan.array, scan.grid, "MR")])
