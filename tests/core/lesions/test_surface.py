"""Surfaces of lesions: area and volume of known bodies, place in space, size."""

from __future__ import annotations

import math

import numpy as np
import pytest

from core.errors import InputError
from core.lesions.surface import Surface, lesion_surface, lesion_surfaces
from core.types import Grid, LabelMap

SPACING = (1.0, 1.0, 2.0)


def ball(radius_mm: float, affine=None, shape=(60, 60, 34), centre_mm=(30.0, 28.0, 33.0), label: int = 1) -> LabelMap:
    grid = Grid(shape, np.diag([*SPACING, 1.0]) if affine is None else affine)
    indices = np.indices(shape).reshape(3, -1).T
    distance = np.linalg.norm(grid.to_mm(indices) - centre_mm, axis=1).reshape(shape)
    return LabelMap(np.where(distance <= radius_mm, label, 0).astype(np.uint8), grid)


def surface_of(labels: LabelMap, label: int = 1, max_triangles: int = 30_000) -> Surface:
    surface = lesion_surface(labels, label, max_triangles)
    assert surface is not None
    return surface


@pytest.mark.parametrize("radius_mm", [8.0, 12.0, 20.0])
def test_a_sphere_has_its_area_and_volume(radius_mm):
    labels = ball(radius_mm)
    surface = surface_of(labels)
    assert surface.area_mm2 == pytest.approx(4 * math.pi * radius_mm**2, rel=0.03)
    assert surface.volume_mm3 == pytest.approx(labels.volume_mm3, rel=0.025)
    assert surface.volume_mm3 == pytest.approx(4 / 3 * math.pi * radius_mm**3, rel=0.03)
    reach = np.linalg.norm(surface.vertices_mm - np.array([30.0, 28.0, 33.0]), axis=1)
    assert np.abs(reach - radius_mm).max() < 1.0


def test_every_edge_belongs_to_two_triangles_so_the_surface_is_closed_also_at_the_edge_of_the_image():
    surface = surface_of(ball(15, centre_mm=(0.0, 28.0, 33.0)))
    edges = np.sort(surface.triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    assert set(np.unique(edges, axis=0, return_counts=True)[1]) == {2}


def test_a_mirrored_and_turned_image_gives_the_same_body_facing_outwards():
    straight = surface_of(ball(12))
    affine = np.array([[0, -1.0, 0, 59], [-1.0, 0, 0, 59], [0, 0, -2.0, 66], [0, 0, 0, 1]])
    turned = surface_of(ball(12, affine))
    assert turned.volume_mm3 == pytest.approx(straight.volume_mm3, rel=0.01)
    assert turned.volume_mm3 > 0
    np.testing.assert_allclose(turned.vertices_mm.mean(axis=0), [30, 28, 33], atol=0.5)


def test_few_triangles_are_enough_for_the_same_body():
    labels = ball(22)
    whole, coarse = surface_of(labels), surface_of(labels, 1, 1000)
    assert len(whole.triangles) > 5000
    assert len(coarse.triangles) <= 1000
    assert coarse.volume_mm3 == pytest.approx(whole.volume_mm3, rel=0.05)
    assert coarse.area_mm2 == pytest.approx(whole.area_mm2, rel=0.05)


@pytest.mark.parametrize("size", [(1, 1, 1), (2, 1, 1), (12, 12, 1)])
def test_what_is_one_voxel_small_or_thin_is_still_there(size):
    array = np.zeros((30, 30, 20), np.uint8)
    array[10 : 10 + size[0], 10 : 10 + size[1], 10 : 10 + size[2]] = 3
    labels = LabelMap(array, Grid(array.shape, np.diag([*SPACING, 1.0])))
    surface = surface_of(labels, 3)
    assert len(surface.triangles) >= 8
    assert 0.1 * labels.volume_mm3 < surface.volume_mm3 < 1.5 * labels.volume_mm3
    assert lesion_surface(labels, 1) is None


def test_lesions_share_the_room_and_an_empty_mask_has_none():
    array = ball(9).array + ball(9, centre_mm=(30.0, 50.0, 33.0), label=4).array
    labels = LabelMap(array.astype(np.uint8), ball(9).grid)
    surfaces = lesion_surfaces(labels, 3000)
    assert [surface.label for surface in surfaces] == [1, 4]
    assert sum(len(surface.triangles) for surface in surfaces) <= 3000
    assert lesion_surfaces(LabelMap(np.zeros((5, 5, 5), np.uint8), Grid((5, 5, 5), np.eye(4)))) == []
    with pytest.raises(InputError, match="at least 100"):
        lesion_surface(labels, 1, 10)


def test_specks_that_so_few_triangles_cannot_show_give_an_empty_surface_and_no_error():
    specks = np.zeros((60, 60, 60), dtype=np.uint8)
    specks[::19, ::19, ::19] = 1  # 64 single voxels, which take 512 triangles
    labels = LabelMap(specks, Grid(specks.shape, np.eye(4)))
    assert len(surface_of(labels).triangles) == 512
    assert len(surface_of(labels, 1, 100).triangles) == 0
