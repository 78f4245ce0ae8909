"""A mask drawn elsewhere becomes a version: read apart, brought to the reference scan, numbered by place, and stored
with where it comes from and what was done to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from core.errors import InputError
from core.imaging.masks.body import share_of_body
from core.imaging.masks.drawn import MaskOnGrid
from core.imaging.masks.shares import is_part_of
from core.imaging.reading_apart import read_mask
from core.imaging.reference_scan import reference_of
from core.jobs.stages.common import StageStore, add_version
from core.jobs.stages.linking import propose_for
from core.lesions.blobs import separate_blobs
from core.remembered.identifiers import any_of
from core.remembered.links import LinkProposal
from core.remembered.untyped import JsonDict
from core.remembered.vocabulary import MaskMethod
from core.review.readers import newest_visible_version, visible_masks
from core.types import Grid, MaskRecord, Volume

#: `type` of the one prompt of an imported version.
IMPORT = "import"
#: From this share of a scan on, it is asked how much of the body a mask covers.
_MUCH_OF_A_SCAN = 0.02
_MOST_OF_A_BODY = 0.5


def import_mask(
    store: StageStore,
    file: Path,
    *,
    patient_id: str,
    timepoint: str,
    author: str,
    segments: Sequence[int] = (),
) -> MaskRecord:
    """The mask in a file becomes the next version of a timepoint.

    Args:
        file: a label map, a probability map, a Slicer segmentation, an RTSTRUCT or a SEG
            (`core.imaging.masks.reading.mask_on`).
        segments: the numbers in the file of those that are lesions; all where there are none.

    Returns:
        The version. The one entry of its `prompts` is of type "import" and says what `MaskOnGrid.said` does: tool, hash
        of the file, each segment's volume where it was drawn and on the reference scan, warnings and doubts.

    Raises:
        InputError: no mask, off the scan, or over most of it. StoreError: no scan there.
    """
    grid = store.scans.reference_grid(patient_id, timepoint)
    with store.scratch() as scratch:
        return store_mask(
            store,
            read_mask(file, scratch, grid, segments),
            patient_id=patient_id,
            timepoint=timepoint,
            author=author,
        )


def store_mask(store: StageStore, mask: MaskOnGrid, *, patient_id: str, timepoint: str, author: str) -> MaskRecord:
    """A mask on the grid of a timepoint's reference scan becomes its next version, its lesions told by their place.

    Its parent is the newest version that its author may see.

    Raises:
        GeometryError: on another grid. StoreError: no scan there.
    """
    scans = store.scans.of(patient_id, timepoint)
    frames = store.scans.lie_under(patient_id, timepoint, mask.origin)
    looked_at = looked_at_mask(mask, lambda: [store.scans.load(scan) for scan in scans], frames)
    visible = {day: visible_masks(store, patient_id, day, author) for day in store.patients.timepoints(patient_id)}
    links = propose_for(store, looked_at.labels, patient_id, timepoint, visible, author)
    return add_version(
        store,
        looked_at.labels,
        patient_id,
        timepoint,
        method=MaskMethod.IMPORT,
        author=author,
        parent_version=newest_visible_version(store, patient_id, timepoint, author),
        prompts=[import_prompt(looked_at, links)],
        links=links,
    )


def looked_at_mask(
    mask: MaskOnGrid, scans: Callable[[], Sequence[Volume]], frames: Sequence[bool | None]
) -> MaskOnGrid:
    """The mask with blobs that lie apart as lesions of their own, and with what only the timepoint's scans tell of it.

    Args:
        scans: reads them; not called for a mask of the reference scan's own voxels that covers little of it.
        frames: of each of these scans whether the mask's file says that it lies in its frame (`MaskOrigin.lies_on`).
    """
    of_file, told = _of_file(mask, any_of(frames))
    apart = separate_blobs(mask.labels)
    return replace(
        mask,
        labels=apart.labels,
        warnings=(*mask.warnings, *told, *apart.words),
        doubts=(*mask.doubts, *of_file, *_doubts(mask, scans)),
    )


def import_prompt(mask: MaskOnGrid, links: Sequence[LinkProposal]) -> JsonDict:
    """Where a mask comes from and what was done to it, as the version's record keeps it."""
    lesion_of = {link.label: link.lesion_id for link in links if link.label is not None}
    return {
        "type": IMPORT,
        "kind": mask.kind,
        **asdict(mask.provenance),
        "resampling": mask.resampling,
        "segments": [
            {**asdict(s), "lesion_id": lesion_of.get(s.label), "change_percent": round(s.change_percent, 3)}
            for s in mask.segments
        ],
        "warnings": [*mask.warnings, *_link_words(links)],
        "doubts": [*mask.doubts, *(f"{_named(x)}: {doubt}" for x in links if x.label for doubt in x.doubts)],
    }


def _named(link: LinkProposal) -> str:
    return f"Label {link.label} ({link.lesion_id or 'linked to no lesion'})"


def _link_words(links: Sequence[LinkProposal]) -> list[str]:
    """Which lesions the labels are, where that is not their number."""
    other = [x for x in links if x.label is not None and x.lesion_id not in (None, f"L{x.label}")]
    if not other:
        return []
    each = ", ".join(f"{x.label} is {x.lesion_id}{' (new)' if x.relation == 'new' else ''}" for x in other)
    days = sorted({str(x.evidence["from_timepoint"]) for x in other if "from_timepoint" in x.evidence})
    where = f", as on {', '.join(days)}," if days else ""
    return [f"Lesions were told by their place{where} and not by the file's numbers: {each}."]


def import_of(record: MaskRecord) -> JsonDict:
    """What `import_prompt` said of an imported version; {} for others, and for those imported before it was kept."""
    return next((dict(prompt) for prompt in record.prompts if prompt.get("type") == IMPORT), {})


def _of_file(mask: MaskOnGrid, in_frame: bool | None) -> tuple[list[str], list[str]]:
    """Doubts and warnings of what the mask's file says it was drawn on."""
    if in_frame is False:
        return [
            "The file says that the mask was drawn in another frame of reference than the timepoint's scans have (by "
            "their DICOM UIDs). It may be of another day or patient: look whether it lies on the lesion."
        ], []
    if in_frame is None and (mask.origin.series or mask.origin.frames):
        return [], [
            "The file names the series that the mask was drawn on; whether it is of this timepoint cannot be told: a "
            "scan of it was stored without its DICOM UIDs."
        ]
    return [], []


def _doubts(mask: MaskOnGrid, scans: Callable[[], Sequence[Volume]]) -> list[str]:
    """What only the timepoint's scans tell: a grid that is none of theirs, and a mask over most of the body."""
    doubts = []
    if not mask.same_lattice and mask.drawn_on is not None:
        grids = [scan.grid for scan in scans()]
        if not any(is_part_of(mask.drawn_on, grid) for grid in grids):
            _refuse_all_or_nothing(mask, grids)
            doubts.append(
                "The mask was drawn on a grid that is of none of the timepoint's scans. Whether it lies in their frame "
                "cannot be told: look whether it lies on the lesion."
            )
    counts = mask.labels.voxel_counts
    if int(counts[1:].sum()) > _MUCH_OF_A_SCAN * int(counts.sum()):
        body = share_of_body(mask.labels, reference_of(scans()))
        if body is not None and body > _MOST_OF_A_BODY:
            doubts.append(
                f"The mask covers {body:.0%} of the body in the scan: more an outline or organs than lesions."
            )
    return doubts


def _refuse_all_or_nothing(mask: MaskOnGrid, grids: Sequence[Grid]) -> None:
    """Where a mask marks all of a grid that is foreign, or nothing of it, nothing tells that it was drawn on this scan:
    an empty one would say that the tumour is gone."""
    if mask.drawn_on is None:
        return
    whole = mask.drawn_on.voxel_volume_mm3 * np.prod(mask.drawn_on.shape)
    marked = sum(s.drawn_volume_mm3 for s in mask.segments)
    if 0 < marked < 0.999 * whole:
        return
    raise InputError(
        f"The mask's grid {mask.drawn_on.shape} fits none of the timepoint's scans "
        f"({', '.join(str(grid.shape) for grid in grids)}), and {'all' if marked else 'nothing'} of it is marked. Draw "
        "or resample it on one of them."
    )
