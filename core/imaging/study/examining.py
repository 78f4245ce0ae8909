"""Looking into one series of a survey: what of it could be stored, and what it looks like. Runs in the reader."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.errors import TwinReviewError
from core.imaging.dicom import read_files
from core.imaging.image_files import read_image
from core.imaging.judging import judge
from core.imaging.masks.reading import describe_mask
from core.imaging.scanner_facts import suv_in_words
from core.imaging.study.found import SegmentFound, SeriesFound
from core.imaging.study.survey import NO_UID, SCANS
from core.imaging.volumes import make_volume
from core.types import Grid, Modality

#: The longer side of a thumbnail, pixels.
_THUMBNAIL = 96
#: From black to white, HU: soft tissue.
_SOFT_TISSUE_HU = (-160.0, 240.0)
#: What a person has to say before a series can be stored.
MODALITY, WITHOUT_BROKEN = "modality", "without broken files"


def examined(series: SeriesFound, paths: Sequence[Path]) -> SeriesFound:
    """The series with what reading it shows: geometry, warnings, a thumbnail; or why it becomes nothing.

    Args:
        paths: all files of the survey; the series knows which are its own.
    """
    if series.becomes is None:
        return series
    own = [paths[number] for number in series.files]
    try:
        if series.becomes == "mask":
            found = _mask(series, own[0])
        else:
            found = _dicom(series, own) if series.modality in SCANS.values() else _image(series, own[0])
    except TwinReviewError as error:
        return replace(series, becomes=None, ticked=False, why_not=str(error))
    return _without_broken(found) if series.broken else found


def _dicom(series: SeriesFound, own: Sequence[Path]) -> SeriesFound:
    modality: Modality = series.modality  # type: ignore[assignment]  # one of SCANS, as the caller looked
    volume, metadata = read_files(own, modality, "The series", None if series.uid == NO_UID else series.uid)
    return replace(
        series,
        shape=volume.grid.shape,
        spacing_mm=volume.grid.spacing_mm,
        warnings=(*series.warnings, *metadata["warnings"]),
        facts=tuple(filter(None, [suv_in_words(metadata)])),
        thumbnail=_thumbnail(volume.array, volume.grid, modality),
    )


def _image(series: SeriesFound, path: Path) -> SeriesFound:
    """An image file: its modality is judged by its values, and asked where they show nothing for certain."""
    if path.name.lower().endswith(".seg.nrrd"):
        return _mask(series, path)
    image = read_image(path)
    found = judge(image.array)
    if found.modality == "mask":
        shown = replace(series, shape=image.grid.shape, spacing_mm=image.grid.spacing_mm)
        return replace(_mask(shown, path), thumbnail=_thumbnail(image.array, image.grid, "mask"))
    make_volume("The image", image, "MR")  # whatever it is: finite, and not all the same
    return replace(
        series,
        modality=found.modality if found.certain else None,
        shape=image.grid.shape,
        spacing_mm=image.grid.spacing_mm,
        warnings=(*series.warnings, *image.warnings),
        facts=(f"By its values: {found.why}",),
        asked=() if found.certain else (MODALITY,),
        thumbnail=_thumbnail(image.array, image.grid, found.modality),
    )


def _mask(series: SeriesFound, path: Path) -> SeriesFound:
    """A mask: what it holds, and what is to be said of it. What of it is lesions, a person says."""
    mask = describe_mask(path)
    total = sum(segment.volume_mm3 for segment in mask.segments)
    return replace(
        series,
        becomes="mask",
        ticked=False,
        segments=tuple(SegmentFound(one.number, one.name, one.volume_mm3) for one in mask.segments),
        facts=(f"{mask.kind}: {len(mask.segments)} segment{'' if len(mask.segments) == 1 else 's'}, {total:,.0f} mm3",),
        warnings=(*series.warnings, *mask.warnings, *mask.doubts),
    )


def _without_broken(series: SeriesFound) -> SeriesFound:
    """A series beside which files lie that are called like its slices and cannot be read: a person says that it may be
    taken without them. That none is missing between two slices is known, as it could be read."""
    named = ", ".join(label.rpartition("/")[2] for label in series.broken[:3])
    more = " ..." if len(series.broken) > 3 else ""
    total = len(series.files) + len(series.broken)
    why = (
        f"{len(series.broken)} of {total} files that are called like its slices cannot be read ({named}{more}): the "
        "series may lack slices at its ends. Copy or export it again, or say that it is to be taken without them."
    )
    return replace(series, becomes=None, ticked=False, why_not=why, asked=(WITHOUT_BROKEN,))


def _thumbnail(array: NDArray[np.float32], grid: Grid, modality: str | None) -> str:
    """The middle axial slice as a small PNG in base64, the patient's right on the left, anterior above."""
    order = nib.orientations.ornt_transform(nib.io_orientation(grid.affine), nib.orientations.axcodes2ornt("LPS"))
    turned = nib.apply_orientation(array, order)
    plane = np.nan_to_num(np.asarray(turned[..., turned.shape[2] // 2], np.float32))
    low, high = _SOFT_TISSUE_HU if modality == "CT" else (float(plane.min()), float(np.percentile(plane, 99.5)))
    grey = np.clip((plane - low) / max(high - low, 1e-6), 0, 1)
    if modality == "PET":
        grey = 1 - grey
    spacing = np.array(grid.spacing_mm)[order[:, 0].argsort()][:2]
    size = np.array(plane.shape) * spacing
    width, height = np.maximum(1, np.rint(size / size.max() * _THUMBNAIL)).astype(int)
    picture = Image.fromarray((grey.T * 255).astype(np.uint8)).resize((int(width), int(height)))
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()
