"""3D Slicer's `.seg.nrrd`: the segments that its header names, and its layers.

Segments that do not overlap share one label map. Others lie in layers: a fourth axis of kind "list", usually the
first. Source: https://apidocs.slicer.org (vtkMRMLSegmentationStorageNode).
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from core.imaging.headers.image_header import header_lines
from core.imaging.headers.nrrd_header import read_nrrd_header
from core.imaging.headers.pixels import read_payload
from core.imaging.image_files import check_grid, check_shape, reading
from core.imaging.limits import check_voxel_bytes
from core.imaging.masks.harmless import harmless_name
from core.types import Grid

_KEY = re.compile(r"Segment(\d{1,4})_(Name|LabelValue|Layer)", re.ASCII)
_LIST = "list"
_VECTORS = re.compile(r"none|\([^()]*\)", re.IGNORECASE)
_WHAT = "an NRRD image"


@dataclass(frozen=True)
class SlicerSegments:
    """What the header says of segments.

    Args:
        names: (layer, label value) -> name, as far as it names no person. unnamed: how many names were not kept.
        layers: how many, where they have an axis of their own; 0 where they have not. axis: that axis.
        is_slicers: whether it says anything of segments.
    """

    names: dict[tuple[int, int], str] = field(default_factory=dict)
    unnamed: int = 0
    layers: int = 0
    axis: int = 0
    is_slicers: bool = False

    def name_of(self, layer: int, value: int) -> str:
        """The name of the segment with this value in this layer; "" where none is known."""
        return self.names.get((layer, value), "")

    @property
    def tool(self) -> str:
        """The tool that writes such headers."""
        return "3D Slicer" if self.is_slicers else ""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was not kept."""
        if not self.unnamed:
            return ()
        return (f"The names of {self.unnamed} segments were not kept: they are not words of the field.",)


def read_slicer_segments(file: Path) -> SlicerSegments:
    """The segments that an NRRD's header names, and its layers; nothing for other files."""
    with reading(file), file.open("rb") as stream:
        if stream.read(7) != b"NRRD000":
            return SlicerSegments()
        stream.seek(0)
        lines = list(_header(stream, file.name))
    said: dict[int, dict[str, str]] = {}
    axis, layers = 0, 0
    kinds, sizes = _field(lines, "kinds").lower().split(), _field(lines, "sizes").split()
    if kinds.count(_LIST) == 1 and len(kinds) == len(sizes) == 4:
        axis = kinds.index(_LIST)
        layers = int(sizes[axis]) if re.fullmatch(r"\d{1,5}", sizes[axis], re.ASCII) else 0
    for line in lines:
        key, separator, value = line.partition(":=")
        found = _KEY.fullmatch(key.strip()) if separator else None
        if found:
            said.setdefault(int(found[1]), {})[found[2]] = value.strip()
    names, unnamed = {}, 0
    for place in sorted(said):
        segment = said[place]
        name = harmless_name(segment.get("Name"))
        unnamed += not name
        names[_whole(segment.get("Layer"), 0), _whole(segment.get("LabelValue"), place + 1)] = name
    return SlicerSegments(names, unnamed, layers, axis, bool(said))


def read_layers(file: Path, segments: SlicerSegments) -> tuple[list[NDArray[np.generic]], Grid, tuple[str, ...]]:
    """The label map of each layer, their grid, and warnings.

    Raises:
        InputError, GeometryError: as `core.imaging.image_files.read_image`.
    """
    with reading(file), file.open("rb") as stream:
        header = read_nrrd_header(stream, file.name)
        stream.seek(0)
        spatial = read_nrrd_header(
            io.BytesIO(_of_one_layer(list(_header(stream, file.name)), segments.axis)), file.name
        )
        shape = check_shape(file.name, spatial.shape, thin=True)
        check_voxel_bytes(file.name, (shape[0] * segments.layers, shape[1], shape[2]))
        grid = check_grid(file.name, shape, spatial.affine)
        flat = read_payload(stream, file.name, header, (shape[0] * segments.layers, shape[1], shape[2]))
    if header.dtype.kind not in "iu":
        raise InputError(
            f"{file.name}: expected layers of whole numbers, got fractions. Export the segmentation as one label map."
        )
    whole = flat.reshape(header.shape, order="F")
    layers = [np.take(whole, layer, axis=segments.axis) for layer in range(segments.layers)]
    return layers, grid, spatial.warnings


def _header(stream: io.BufferedReader, name: str) -> list[str]:
    lines = []
    for line in header_lines(stream, name, _WHAT):
        if not line:
            break
        lines.append(line)
    return lines


def _field(lines: list[str], name: str) -> str:
    for line in lines:
        before, colon, value = line.partition(":")
        if colon and not value.startswith("=") and "".join(before.split()).lower() == name:
            return value.strip()
    return ""


def _whole(text: str | None, default: int) -> int:
    return int(text) if text is not None and re.fullmatch(r"\d{1,6}", text, re.ASCII) else default


def _of_one_layer(lines: list[str], axis: int) -> bytes:
    """The header without the axis of layers, so that whoever reads headers of three axes reads this one too."""
    out = []
    for line in lines:
        before, colon, value = line.partition(":")
        name = "".join(before.split()).lower()
        if line.startswith("#") or (colon and value.startswith("=")):
            continue
        if name == "dimension":
            line = "dimension: 3"
        elif name in ("sizes", "kinds", "thicknesses", "spacings", "axismins", "axismaxs", "centers", "centerings"):
            parts = value.split()
            line = f"{before}: {' '.join(parts[:axis] + parts[axis + 1 :])}"
        elif name == "spacedirections":
            vectors = _VECTORS.findall(value)
            line = f"{before}: {' '.join(vectors[:axis] + vectors[axis + 1 :])}"
        elif name in ("labels", "units"):
            continue
        out.append(line)
    return ("\n".join(out) + "\n\n").encode("latin-1")
