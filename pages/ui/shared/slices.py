"""Slices as pictures: radiological display, windows, outlines. Values in, PNG out; nothing here knows Streamlit."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from core.imaging.volumes import resample
from core.remembered.untyped import Voxels
from core.review.identity import numbered_id
from core.types import Grid, LabelMap, Volume
from pages.ui.shared.charts import lesion_colour

#: name -> (centre, width) in the modality's unit; MR has no unit, so its window follows the scan.
WINDOWS: Mapping[str, Mapping[str, tuple[float, float]]] = {
    "CT": {"Soft tissue": (40, 400), "Lung": (-600, 1500), "Bone": (400, 1800), "Brain": (40, 80)},
    "PET": {"SUV 0-10": (5, 10), "SUV 0-5": (2.5, 5), "SUV 0-20": (10, 20)},
}
ADDED, REMOVED = (199, 125, 255), (230, 159, 0)
#: Of outlines that one looks for in a small picture: no scan has it.
BRIGHT = (255, 214, 10)
#: Pixels on the longer side of a picture; the page scales it to the room there is.
LONG_SIDE = 720
#: No label is another lesion than "L<label>".
NUMBERED: Mapping[int, str] = MappingProxyType({})
_OPPOSITE = dict(zip("LRAPSI", "RLPAIS", strict=True))


@dataclass(frozen=True)
class View:
    """How slice k of a file is turned for the screen: patient's right on the left, front or head at the top.

    Args:
        transpose: True where the file's j runs across the screen.
        flip_x, flip_y: True where the screen runs against the index.
        letters: what lies at the screen's (left, right, top, bottom).
        pixel_mm: size of a voxel across and down the screen.
    """

    transpose: bool
    flip_x: bool
    flip_y: bool
    letters: tuple[str, str, str, str]
    pixel_mm: tuple[float, float]

    def to_screen(self, plane: Voxels) -> Voxels:
        """(I, J) -> (rows, columns) as shown."""
        shown = plane if self.transpose else plane.T
        return shown[:: -1 if self.flip_y else 1, :: -1 if self.flip_x else 1]

    def to_index(self, column: float, row: float, shape: tuple[int, int, int]) -> tuple[float, float]:
        """Screen (column, row) in voxels -> file index (i, j)."""
        across, down = (shape[1], shape[0]) if self.transpose else (shape[0], shape[1])
        x = across - 1 - column if self.flip_x else column
        y = down - 1 - row if self.flip_y else row
        return (y, x) if self.transpose else (x, y)

    def from_index(self, i: float, j: float, shape: tuple[int, int, int]) -> tuple[float, float]:
        """File index (i, j) -> screen (column, row)."""
        x, y = (j, i) if self.transpose else (i, j)
        across, down = (shape[1], shape[0]) if self.transpose else (shape[0], shape[1])
        return across - 1 - x if self.flip_x else x, down - 1 - y if self.flip_y else y


def view_of(grid: Grid) -> View:
    """The turn that shows slices k of this grid as radiologists hang them."""
    codes = nib.aff2axcodes(grid.affine)[:2]
    # Across the screen: left-right if there is one, else front-back; the other axis runs down it.
    order = "LRAPSI"
    transpose = order.index(codes[1]) // 2 < order.index(codes[0]) // 2
    across, down = (codes[1], codes[0]) if transpose else (codes[0], codes[1])
    flip_x = across in "RA"  # screens run towards the patient's left, or to the back
    flip_y = down in "AS"  # and downwards to the back or the feet
    right = _OPPOSITE[across] if flip_x else across
    bottom = _OPPOSITE[down] if flip_y else down
    size = grid.spacing_mm
    return View(
        transpose,
        flip_x,
        flip_y,
        (_OPPOSITE[right], right, _OPPOSITE[bottom], bottom),
        (size[1], size[0]) if transpose else (size[0], size[1]),
    )


def window_for(volume: Volume, name: str | None) -> tuple[float, float]:
    """(centre, width): the preset of that name, else the modality's first, else the scan's 0.5 to 99.5 percentiles."""
    presets = WINDOWS.get(volume.modality, {})
    if presets:
        return presets.get(name or "", next(iter(presets.values())))
    low, high = np.percentile(volume.array[volume.array > volume.array.min()], (0.5, 99.5))
    return float(low + high) / 2, max(float(high - low), 1e-6)


def labels_on(labels: LabelMap, grid: Grid) -> NDArray[np.uint8]:
    """The mask's labels on a scan's own grid (nearest neighbour), (I, J, K)."""
    if labels.grid.matches(grid):
        return labels.array
    return np.asarray(resample(labels.array, labels.grid, grid, "nearest"), dtype=np.uint8)


def picture(
    plane: NDArray[np.float32],
    view: View,
    window: tuple[float, float],
    labels: NDArray[np.uint8] | None = None,
    parent: NDArray[np.uint8] | None = None,
    lesion_of: Mapping[int, str] = NUMBERED,
) -> str:
    """One slice as a data URI; arguments as for `png`."""
    made = png(plane, view, window, labels, parent, lesion_of=lesion_of)
    return "data:image/png;base64," + base64.b64encode(made).decode()


def png(
    plane: NDArray[np.float32],
    view: View,
    window: tuple[float, float],
    labels: NDArray[np.uint8] | None = None,
    parent: NDArray[np.uint8] | None = None,
    long_side: int = LONG_SIDE,
    lesion_of: Mapping[int, str] = NUMBERED,
    bright: bool = False,
) -> bytes:
    """One slice as a PNG file.

    Args:
        plane: (I, J) voxels of slice k.
        window: (centre, width).
        labels: (I, J) labels, outlined in the colours of their lesions.
        parent: (I, J) the version before: voxels added since are filled violet, removed ones orange.
        long_side: pixels of the longer side.
        lesion_of: label -> lesion id as records name it; of a label that is not there, "L<label>".
        bright: outlines in one colour within a dark rim, which are seen on any grey, also in a small picture.
    """
    scale = long_side / max(plane.shape[0] * _ratio(view)[0], plane.shape[1] * _ratio(view)[1])
    rows, columns = view.to_screen(plane).shape
    size = (
        max(1, round(columns * view.pixel_mm[0] / min(view.pixel_mm) * scale)),
        max(1, round(rows * view.pixel_mm[1] / min(view.pixel_mm) * scale)),
    )
    low = window[0] - window[1] / 2
    grey = np.clip((view.to_screen(plane) - low) / window[1] * 255, 0, 255).astype(np.uint8)
    canvas = np.stack([np.asarray(Image.fromarray(grey).resize(size, Image.Resampling.BILINEAR))] * 3, -1).astype(float)
    if labels is not None:
        large = _enlarged(labels, view, size)
        if parent is not None:
            before = _enlarged(parent, view, size)
            _fill(canvas, (large > 0) & (before == 0), ADDED)
            _fill(canvas, (large == 0) & (before > 0), REMOVED)
        for label in np.unique(large[large > 0]):
            inside = large == label
            if bright:
                _rim(canvas, inside, max(2, long_side // 120))
                continue
            canvas[inside & ~ndimage.binary_erosion(inside, iterations=2)] = outline_rgb(
                lesion_of.get(int(label), numbered_id(int(label)))
            )
    sink = io.BytesIO()
    Image.fromarray(canvas.astype(np.uint8)).save(sink, "PNG", compress_level=1)
    return sink.getvalue()


def _ratio(view: View) -> tuple[float, float]:
    """Voxel size along (i, j) in units of the smaller one."""
    across, down = view.pixel_mm
    i, j = (down, across) if view.transpose else (across, down)
    return i / min(i, j), j / min(i, j)


def _enlarged(plane: NDArray[np.uint8], view: View, size: tuple[int, int]) -> NDArray[np.uint8]:
    shown = np.ascontiguousarray(view.to_screen(plane))
    return np.asarray(Image.fromarray(shown).resize(size, Image.Resampling.NEAREST))


def _rim(canvas: NDArray[np.float64], inside: NDArray[np.bool_], pixels: int) -> None:
    canvas[ndimage.binary_dilation(inside, iterations=pixels) & ~inside] = 0
    canvas[inside & ~ndimage.binary_erosion(inside, iterations=pixels)] = BRIGHT


def _fill(canvas: NDArray[np.float64], where: NDArray[np.bool_], colour: tuple[int, int, int]) -> None:
    canvas[where] = 0.45 * canvas[where] + 0.55 * np.array(colour)


def outline_rgb(lesion_id: str) -> tuple[int, ...]:
    """The lesion's colour, a third of the way to white: the charts' own is too dark on a scan. Grey for no lesion."""
    colour = lesion_colour(lesion_id)
    return tuple(round(int(colour[n : n + 2], 16) * 2 / 3 + 85) for n in (1, 3, 5))
