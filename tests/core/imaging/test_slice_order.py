"""Where slices lie: order and spacing as highdicom has them; a tilted stack keeps what lies in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from highdicom.spatial import get_volume_positions
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset

from core.errors import GeometryError
from core.imaging.dicom import read_series
from core.imaging.dicom_files import DicomSlice
from core.imaging.slice_order import stacked
from tests.core.imaging.outcomes import shows
from tests.dicom_phantom import write_series


def slices(positions: np.ndarray, axes: np.ndarray) -> list[DicomSlice]:
    made = []
    for position in positions:
        header = Dataset()
        header.ImagePositionPatient, header.ImageOrientationPatient = list(position), list(axes)
        header.PixelSpacing, header.Rows, header.Columns = [0.8, 0.7], 6, 5
        made.append(DicomSlice(Path("x.dcm"), header, None))
    return made


@given(
    st.permutations(range(7)),
    st.floats(0.3, 10),
    st.tuples(*[st.floats(-200, 200)] * 3),
    st.tuples(st.floats(-1, 1), st.floats(-1, 1), st.floats(-1, 1)),
)
def test_order_and_spacing_are_those_of_highdicom(order, step, origin, turn):
    from scipy.spatial.transform import Rotation

    axes = Rotation.from_rotvec(turn).as_matrix()
    row, column, normal = axes[:, 0], axes[:, 1], axes[:, 2]
    positions = np.round(np.array(origin) + np.outer(np.array(order) * step, normal), 6)
    orientation = np.round(np.concatenate([row, column]), 9)
    spacing, index = get_volume_positions(positions.tolist(), orientation.tolist(), index_convention="RD")
    assert spacing is not None
    assert index is not None
    found = slices(positions, orientation)
    stack = stacked(found, "x")
    assert np.linalg.norm(stack.affine[:3, 2]) == pytest.approx(spacing, rel=1e-4)
    assert [found.index(item) for item in stack.slices] == list(np.argsort(index))
    assert stack.shifts is None


def ball(tilt_deg: float, folder: Path, step: float = 2.0) -> tuple[Path, float, np.ndarray]:
    """A ball of 60 HU in air of -1000, of which each tilted slice has the voxels at its own place: its mm3 and LPS."""
    radius, centre = 17.3, np.array([3.0, -5.0, 24.0])
    lean = np.tan(np.radians(tilt_deg)) * step
    n, rows, columns, spacing = 25, 60, 64, 1.0
    positions = np.array([[-30.0, -36.0 + k * lean - 12 * lean, k * step] for k in range(n)])
    row, column = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
    planes = []
    for position in positions:
        points = np.stack(
            [position[0] + column * spacing, position[1] + row * spacing, np.full(row.shape, position[2])]
        )
        # partial volume: the share of a voxel's width within the ball, near enough at its edge
        far = np.linalg.norm(points - centre[:, None, None], axis=0)
        share = np.clip((radius - far) / spacing + 0.5, 0, 1)
        planes.append(np.rint(-1000 + 1060 * share))
    write_series(folder, stored=np.array(planes, np.int16), positions=positions, pixel_spacing=(spacing, spacing))
    return folder, 4 / 3 * np.pi * radius**3, centre * [-1, -1, 1]


@shows(
    "DICOM: files and series",
    "gantry tilt",
    "read and said",
    "each slice moved within its plane onto a grid at right angles; volume within 1.5 %",
)
@pytest.mark.parametrize("tilt_deg", [0.0, 3.0, -12.0, 22.5, 30.0])
def test_a_ball_keeps_its_volume_and_place_however_the_gantry_leans(tmp_path: Path, tilt_deg: float):
    folder, volume_mm3, centre = ball(tilt_deg, tmp_path)
    volume, metadata = read_series(folder, "CT")
    share = (volume.array + 1000).clip(0) / 1060
    assert share.sum() * volume.grid.voxel_volume_mm3 == pytest.approx(volume_mm3, rel=0.01)
    over_half = np.argwhere(share > 0.5)
    assert len(over_half) * volume.grid.voxel_volume_mm3 == pytest.approx(volume_mm3, rel=0.015)
    assert np.abs(volume.grid.to_mm(over_half).mean(axis=0) - centre).max() < 0.1
    assert volume.grid.spacing_mm == pytest.approx((1.0, 1.0, 2.0))
    told = [warning for warning in metadata["warnings"] if "gantry tilt" in warning]
    assert bool(told) == bool(tilt_deg)
    assert all(f"lean by {abs(tilt_deg):.1f} degrees" in warning for warning in told)


def test_a_tilted_grid_reaches_as_far_as_its_slices_and_is_air_beyond(tmp_path: Path):
    positions = [(0.0, 1.6 * n, 2.5 * n) for n in range(4)]  # two rows of 0.8 mm a slice
    stored = np.full((4, 6, 5), 40, np.int16)
    write_series(tmp_path, stored=stored, positions=positions)
    volume, _ = read_series(tmp_path, "CT")
    assert volume.array.shape == (5, 12, 4)
    for n in range(4):
        assert (volume.array[:, 2 * n : 2 * n + 6, n] == 40).all()
        assert (volume.array[..., n] == 40).sum() == 30
        assert (volume.array[..., n] == -1024).sum() == 30


@shows("DICOM: files and series", "positions, orientations or spacings that are none", "refused")
@pytest.mark.parametrize(
    ("position", "orientation", "spacing"),
    [
        ([0, 0], None, None),
        ([0, 0, float("nan")], None, None),
        (None, [1, 0, 0, 1, 0, 0], None),
        (None, [2, 0, 0, 0, 1, 0], None),
        (None, [0, 0, 0, 0, 0, 0], None),
        (None, None, [1]),
    ],
)
def test_a_geometry_that_is_none_is_refused(position, orientation, spacing):
    made = slices(np.array([[0, 0, n] for n in range(3)], float), np.array([1, 0, 0, 0, 1, 0]))
    for item in made:
        item.header.ImageOrientationPatient = orientation or item.header.ImageOrientationPatient
        item.header.PixelSpacing = spacing or item.header.PixelSpacing
    made[1].header.ImagePositionPatient = position or made[1].header.ImagePositionPatient
    with pytest.raises(GeometryError):
        stacked(made, "x")
