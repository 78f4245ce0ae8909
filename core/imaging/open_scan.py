"""Whatever a person hands in as one scan: an image file, a DICOM folder or its files, a zip of either.

Image files are read by `core.imaging.volumes`, DICOM series by `core.imaging.dicom`; this chooses between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.errors import InputError
from core.imaging import dicom
from core.imaging.archives import unpacked
from core.imaging.image_files import image_suffix, read_image, reading
from core.imaging.judging import checked_by_values
from core.imaging.volumes import make_volume
from core.types import Modality, Volume


def open_scan(
    paths: Sequence[Path],
    modality: Modality,
    sequence: str = "",
    *,
    scratch: Path | None = None,
    without_broken: bool = False,
) -> tuple[Volume, dict[str, Any]]:
    """Whatever a person hands in: one image file, a DICOM folder, the files of a DICOM series, or a zip of either.

    Args:
        scratch: a folder of the data root's own, in which a zip is unpacked; without one, a zip is refused.
        without_broken: as `core.imaging.dicom.read_files`.

    Returns:
        The volume, and scanner metadata: "format", "warnings" (list of sentences) and, from DICOM, what
        `core.imaging.dicom.read_series` gives. Never names, patients' ids, birth dates or comments.

    Raises:
        InputError, GeometryError: as `read_volume` and `core.imaging.dicom.read_series`; nothing given; several images
            at once.
    """
    paths = [Path(path) for path in paths]
    if not paths:
        raise InputError("Expected at least one file or folder, got none. Choose an image, a DICOM folder or a zip.")
    with reading(paths[0]):
        return _open_paths(paths, modality, sequence, scratch, without_broken)


def _open_paths(
    paths: Sequence[Path], modality: Modality, sequence: str, scratch: Path | None, without_broken: bool
) -> tuple[Volume, dict[str, Any]]:
    first = paths[0]
    if len(paths) == 1 and first.is_dir():
        return dicom.read_series(first, modality, sequence=sequence, without_broken=without_broken)
    if len(paths) == 1 and first.name.lower().endswith(".zip") and first.is_file():
        if scratch is None:
            raise InputError(f"{first.name}: expected an image or a folder here, got a zip. Unpack it first.")
        with unpacked(first, scratch) as files:
            return _open_files(files, modality, sequence, first.name, without_broken)
    if len(paths) == 1 and not dicom.is_dicom(first):
        return _with_metadata(first.name, first, modality, sequence)
    name = first.name if len(paths) == 1 else f"{len(paths)} files"
    return _open_files(paths, modality, sequence, name, without_broken)


def _open_files(
    files: Sequence[Path], modality: Modality, sequence: str, name: str, without_broken: bool
) -> tuple[Volume, dict[str, Any]]:
    images = [path for path in files if image_suffix(path.name)]
    if len(images) > 1:
        raise InputError(
            f"{name}: expected one image, got {len(images)}. Import them one at a time, each with its modality."
        )
    if images and not any(dicom.is_dicom(path) for path in files):
        return _with_metadata(images[0].name if len(files) == 1 else name, images[0], modality, sequence)
    return dicom.read_files(files, modality, name, sequence=sequence, without_broken=without_broken)


def _with_metadata(name: str, path: Path, modality: Modality, sequence: str) -> tuple[Volume, dict[str, Any]]:
    image = read_image(path)
    volume = make_volume(name, image, modality, sequence)
    kind = {".nrrd": "NRRD", ".mha": "MetaImage"}.get(image_suffix(path.name) or "", "NIfTI")
    return volume, {"format": kind, "warnings": [*image.warnings, *checked_by_values(name, volume)]}
