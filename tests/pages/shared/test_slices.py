"""Slices on the screen: right is on the left, pixels lie where their voxels are, colours mean what they say."""

from __future__ import annotations

import base64
import io
import itertools

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from core.types import Grid, LabelMap, Volume
from pages.ui.shared.slices import ADDED, LONG_SIDE, REMOVED, labels_on, outline_rgb, picture, view_of, window_for

#: All 48 ways in which a file can lie: every order of the three axes, each either way round.
ORIENTATIONS = [
    "".join(pair[turn] for pair, turn in zip(order, turns, strict=True))
    for order in itertools.permutations(("RL", "AP", "SI"))
    for turns in itertools.product((0, 1), repeat=3)
]
#: letter -> (RAS axis, sign)
TOWARDS = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}
SHAPE = (7, 5, 3)


def _grid(codes: str, shape=SHAPE, spacing=(1.0, 1.0, 1.0)) -> Grid:
    affine = np.eye(4)
    affine[:3, :3] = 0
    for column, letter in enumerate(codes):
        axis, sign = TOWARDS[letter]
        affine[axis, column] = sign * spacing[column]
    grid = Grid(shape, affine)
    assert "".join(nib.aff2axcodes(affine)) == codes
    return grid


def _decoded(uri: str) -> np.ndarray:
    """(rows, columns, 3) uint8."""
    head, data = uri.split(",", 1)
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_the_letters_say_where_the_screen_points_in_the_patient(codes):
    grid = _grid(codes)
    view = view_of(grid)
    left, right, top, bottom = view.letters
    i, j = np.indices(SHAPE[:2])
    where = grid.to_mm(np.stack([i, j, np.zeros_like(i)], -1).reshape(-1, 3)).reshape(*SHAPE[:2], 3)
    for letter, opposite, screen_axis in ((right, left, 1), (bottom, top, 0)):
        axis, sign = TOWARDS[letter]
        shown = view.to_screen(where[..., axis])
        assert (np.diff(shown, axis=screen_axis) * sign > 0).all()
        assert TOWARDS[opposite] == (axis, -sign)


@pytest.mark.parametrize(
    ("codes", "letters"),
    [
        ("RAS", "RLAP"),
        ("LPS", "RLAP"),
        ("LAS", "RLAP"),
        ("PLS", "RLAP"),
        ("ARS", "RLAP"),  # axial slices
        ("LSA", "RLSI"),
        ("SRP", "RLSI"),  # coronal
        ("ASL", "APSI"),
        ("IPR", "APSI"),  # sagittal
    ],
)
def test_slices_hang_as_radiologists_hang_them(codes, letters):
    """Axial and coronal: the patient's right on the left; sagittal: the front on the left, the head at the top."""
    assert "".join(view_of(_grid(codes)).letters) == letters


def test_lps_is_shown_as_it_is_stored_and_ras_turned_round():
    plane = np.arange(35).reshape(7, 5)
    assert np.array_equal(view_of(_grid("LPS")).to_screen(plane), plane.T)
    assert np.array_equal(view_of(_grid("RAS")).to_screen(plane), plane.T[::-1, ::-1])
    assert np.array_equal(view_of(_grid("PLS")).to_screen(plane), plane)


@given(
    st.sampled_from(ORIENTATIONS),
    st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(1, 4)),
    st.data(),
)
def test_screen_and_index_are_each_others_inverse_and_meet_the_picture(codes, shape, data):
    view = view_of(_grid(codes, shape))
    i = data.draw(st.integers(0, shape[0] - 1))
    j = data.draw(st.integers(0, shape[1] - 1))
    column, row = view.from_index(i, j, shape)
    assert view.to_index(column, row, shape) == (i, j)
    mark = np.zeros(shape[:2], dtype=np.uint8)
    mark[i, j] = 1
    assert view.to_screen(mark)[int(row), int(column)] == 1
    between = data.draw(st.floats(-0.5, 40, allow_nan=False))
    assert view.from_index(*view.to_index(between, row, shape), shape) == pytest.approx((between, row))


@pytest.mark.parametrize("codes", ["LPS", "PLS", "RAS"])
def test_a_picture_has_the_patients_proportions_and_not_the_files(codes):
    """30 mm across and 40 mm down, whatever the voxels: 540 x 720 pixels."""
    transposed = codes == "PLS"
    shape, spacing = ((20, 30, 3), (2.0, 1.0, 5.0)) if transposed else ((30, 20, 3), (1.0, 2.0, 5.0))
    view = view_of(_grid(codes, shape, spacing))
    shown = _decoded(picture(np.zeros(shape[:2], np.float32), view, (0, 2)))
    assert shown.shape == (LONG_SIDE, 540, 3)


def test_the_window_maps_its_ends_to_black_and_white():
    """Centre 40, width 400: -160 is black, 240 white, and 40 half."""
    plane = np.repeat(np.array([[-1000.0, -160.0, 40.0, 240.0, 3000.0]], np.float32), 5, axis=0)
    shown = _decoded(picture(plane, view_of(_grid("LPS", (5, 5, 1))), (40, 400)))
    centres = (np.arange(5) + 0.5) * LONG_SIDE / 5
    assert [int(shown[int(row), 360, 0]) for row in centres] == [0, 0, 127, 255, 255]
    assert np.array_equal(shown[..., 0], shown[..., 2]), "grey"


def _pixel(shown: np.ndarray, view, i: float, j: float, shape) -> tuple[int, ...]:
    """The picture's colour at a place given in voxels, 0.5 = half a voxel on."""
    column, row = view.from_index(i, j, shape)
    rows, columns = view.to_screen(np.zeros(shape[:2])).shape
    return tuple(
        int(v) for v in shown[int((row + 0.5) / rows * shown.shape[0]), int((column + 0.5) / columns * shown.shape[1])]
    )


@pytest.mark.parametrize("codes", ["LPS", "RAS", "PLS", "ASL"])
def test_an_outline_lies_on_the_masks_edge_in_the_lesions_colour(codes):
    shape = (12, 10, 1)
    view = view_of(_grid(codes, shape))
    labels = np.zeros(shape[:2], np.uint8)
    labels[2:6, 3:8] = 1
    labels[8:11, 1:4] = 2
    shown = _decoded(picture(np.full(shape[:2], 40, np.float32), view, (40, 400), labels))
    grey = (127, 127, 127)
    assert _pixel(shown, view, 3.5, 5, shape) == grey, "the inside stays visible"
    assert _pixel(shown, view, 6.5, 5, shape) == grey, "outside"
    assert _pixel(shown, view, 1.52, 5, shape) == outline_rgb("L1")
    assert _pixel(shown, view, 3.5, 2.52, shape) == outline_rgb("L1")
    assert _pixel(shown, view, 7.52, 2, shape) == outline_rgb("L2")
    assert outline_rgb("L1") != outline_rgb("L2")
    linked = {1: "L2", 2: "unlinked-2"}
    shown = _decoded(picture(np.full(shape[:2], 40, np.float32), view, (40, 400), labels, lesion_of=linked))
    assert _pixel(shown, view, 1.52, 5, shape) == outline_rgb("L2")
    assert len(set(_pixel(shown, view, 7.52, 2, shape))) == 1, "grey: nobody can tell which lesion it is"


def test_added_voxels_are_blue_and_removed_ones_orange():
    shape = (12, 10, 1)
    view = view_of(_grid("RAS", shape))
    labels, parent = np.zeros(shape[:2], np.uint8), np.zeros(shape[:2], np.uint8)
    labels[4:9, 2:8] = 1
    parent[2:7, 2:8] = 1
    shown = _decoded(picture(np.full(shape[:2], 40, np.float32), view, (40, 400), labels, parent))
    mixed = [tuple(int(0.45 * 127 + 0.55 * c) for c in colour) for colour in (ADDED, REMOVED)]
    assert _pixel(shown, view, 7.5, 5, shape) == mixed[0], "only in the new version"
    assert _pixel(shown, view, 2.5, 5, shape) == mixed[1], "only in the one before"
    assert _pixel(shown, view, 5.5, 5, shape) == (127, 127, 127), "in both"
    assert _pixel(shown, view, 10, 5, shape) == (127, 127, 127), "in neither"


def test_an_emptied_mask_still_shows_what_was_removed_and_an_empty_one_nothing():
    shape = (6, 6, 1)
    view = view_of(_grid("LPS", shape))
    plane, empty = np.full(shape[:2], 40, np.float32), np.zeros(shape[:2], np.uint8)
    parent = empty.copy()
    parent[1:4, 1:4] = 3
    orange = tuple(int(0.45 * 127 + 0.55 * c) for c in REMOVED)
    assert _pixel(_decoded(picture(plane, view, (40, 400), empty, parent)), view, 2, 2, shape) == orange
    bare = _decoded(picture(plane, view, (40, 400)))
    assert np.array_equal(_decoded(picture(plane, view, (40, 400), empty)), bare)
    assert np.array_equal(_decoded(picture(plane, view, (40, 400), empty, empty)), bare)


@pytest.mark.filterwarnings("error")
def test_windows_are_the_presets_and_for_mr_the_scans_own():
    array = np.linspace(0, 1000, 100_001, dtype=np.float32).reshape(1, 1, -1)
    grid = _grid("LPS", (1, 1, 100_001))
    assert window_for(Volume(array, grid, "CT"), "Lung") == (-600, 1500)
    assert window_for(Volume(array, grid, "CT"), None) == (40, 400)
    assert window_for(Volume(array, grid, "PET"), "no such window") == (5, 10)
    centre, width = window_for(Volume(array, grid, "MR", "T1"), "Lung")
    assert (centre, width) == (pytest.approx(500, abs=0.1), pytest.approx(990, abs=0.1))


def test_labels_on_another_grid_lie_at_the_same_place():
    """A mask of 1 mm voxels shown on 2 mm ones: each of these lies on the centre of one of those."""
    fine = _grid("RAS", (8, 8, 8))
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    coarse = Grid((4, 4, 4), affine)
    array = np.random.default_rng(0).integers(0, 4, (8, 8, 8)).astype(np.uint8)
    assert np.array_equal(labels_on(LabelMap(array, fine), coarse), array[::2, ::2, ::2])
    assert np.array_equal(labels_on(LabelMap(array, fine), fine), array)
