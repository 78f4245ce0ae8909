"""Several readers of one timepoint: whose versions count, what a blind reader sees, how far they agree, a consensus.

A reader is a person who drew or changed a mask. What an engine proposed by itself belongs to nobody, whoever
pressed the button; a consensus is of several readers and therefore nobody's reading either.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from core.errors import GeometryError, InputError
from core.lesions.metrics import bounding_box, confusion
from core.remembered.sources import HasMasks, HasPatients, HasReadings
from core.remembered.untyped import Span
from core.remembered.vocabulary import MaskMethod
from core.review.identity import numbered_id
from core.types import MM3_PER_ML, TOTAL_LESION_ID, Grid, LabelMap, MaskRecord

#: Methods that need no person's hand.
AUTOMATIC_METHODS = frozenset(method for method in MaskMethod if method.is_automatic)
CONSENSUS_METHOD = MaskMethod.STAPLE
#: Background voxels around the readers' union that STAPLE also sees: its prior is the share of lesion in the box.
MARGIN_VOXELS = 5
#: Cap on STAPLE iterations; with little overlap it converges slowly without changing the result.
MAX_ITERATIONS = 200
#: A voxel at exactly one half is undecided, and an undecided voxel is no lesion; this much is rounding.
_UNDECIDED = 0.5 + 1e-6


@dataclass(frozen=True)
class Pair:
    """How two readers' masks of one lesion (or of all: "total") agree; `first` is first by name.

    Args:
        dice: 0..1; 1 where neither drew it, 0 where one did.
        volume_first_mm3, volume_second_mm3: volumes, cubic millimetres.
        difference_ml: second minus first, millilitres.
        difference_percent: the same as a percentage of the two volumes' mean, since neither is the truth; None where
            both are empty.
    """

    first: str
    second: str
    lesion: str
    dice: float
    volume_first_mm3: float
    volume_second_mm3: float
    difference_ml: float
    difference_percent: float | None


@dataclass(frozen=True)
class Performance:
    """STAPLE's estimates of one reader for a lesion, 0..1 in the box it looked at; None where nothing tells."""

    sensitivity: float | None
    specificity: float | None


@dataclass(frozen=True)
class Consensus:
    """The consensus and, by reader and label, what it says of each reader."""

    labels: LabelMap
    readers: Mapping[str, Mapping[int, Performance]]


def is_reading(record: MaskRecord) -> bool:
    """True for a version that a person drew or changed; False for an engine's own and for a consensus."""
    return record.method not in AUTOMATIC_METHODS and record.method != CONSENSUS_METHOD


def newest_by_reader(records: Iterable[MaskRecord]) -> dict[str, MaskRecord]:
    """Each reader's newest version of one timepoint, readers by name; a rejected version is no one's reading."""
    newest: dict[str, MaskRecord] = {}
    for record in sorted(records, key=lambda r: r.version):
        if is_reading(record) and record.status != "rejected":
            newest[record.author] = record
    return dict(sorted(newest.items()))


def masks_visible_to(records: Iterable[MaskRecord], person: str, closed: bool) -> list[MaskRecord]:
    """The versions of one timepoint that a person may see, in the order given.

    The same rule for tables is `masks` in `store.ledger.scope`; a test holds the two together.

    Args:
        closed: whether the timepoint is closed to them: read blind, and they have not finished (`readings.closed_to`).

    Returns:
        All versions, unless it is closed: then the automatic ones and the person's own. A consensus is hidden with the
        readings that it is made of, even from whom made it. A version whose parent is hidden comes as one without a
        parent: its Dice and differences are of the hidden mask.
    """
    if not closed:
        return list(records)
    seen = [r for r in records if r.method in AUTOMATIC_METHODS or (is_reading(r) and r.author == person)]
    numbers = {record.version for record in seen}
    return [r if r.parent_version is None or r.parent_version in numbers else _without_parent(r) for r in seen]


def _without_parent(record: MaskRecord) -> MaskRecord:
    """The record as `store.masks.add` writes that of a version without a parent."""
    return replace(
        record,
        parent_version=None,
        dice_vs_previous_version=None,
        volume_delta_mm3=None,
        voxels_added=record.voxels_added + record.voxels_unchanged,
        voxels_removed=0,
        voxels_unchanged=0,
    )


class ReadingStore(HasPatients, HasMasks, HasReadings, Protocol):
    """Store parts that tell who sees what."""


def visible_masks(store: ReadingStore, patient_id: str, timepoint: str, person: str) -> list[MaskRecord]:
    """The versions of a timepoint that this person may see, oldest first (`masks_visible_to`)."""
    closed = store.readings.is_closed(patient_id, timepoint, person)
    return masks_visible_to(store.masks.of(patient_id, timepoint), person, closed)


def readable(store: ReadingStore, patient_id: str, records: Iterable[MaskRecord]) -> list[MaskRecord]:
    """Of some versions of a patient those from which something can be made: whose file is not lost, altered or
    missing."""
    problems = store.masks.problems(patient_id)
    return [record for record in records if record.mask_id not in problems]


def newest_visible_mask(store: ReadingStore, patient_id: str, timepoint: str, person: str) -> MaskRecord | None:
    """The newest version that this person may see and whose file can be read: the parent of what they make from the
    timepoint as it stands."""
    records = readable(store, patient_id, visible_masks(store, patient_id, timepoint, person))
    return records[-1] if records else None


def newest_visible_version(store: ReadingStore, patient_id: str, timepoint: str, person: str) -> int | None:
    """The number of `newest_visible_mask`; None where there is none."""
    newest = newest_visible_mask(store, patient_id, timepoint, person)
    return newest.version if newest else None


def masks_for_all_to_see(
    store: ReadingStore, patient_id: str, timepoint: str, person: str
) -> dict[str, list[MaskRecord]]:
    """Of what `person` may see, by timepoint, what may go into an automatic version of one timepoint.

    Everybody sees an automatic version. Where its timepoint is read blind it may therefore hold nothing of a reading
    that is hidden from anybody: of blind timepoints the automatic versions alone and, but not of its own timepoint,
    what was accepted (which is in the curve).
    """
    blind_here = store.readings.is_blind(patient_id, timepoint)
    found = {}
    for other in store.patients.timepoints(patient_id):
        records = visible_masks(store, patient_id, other, person)
        if blind_here and store.readings.is_blind(patient_id, other):
            public = {record.version for record in masks_visible_to(store.masks.of(patient_id, other), "", True)}
            accepted = {r.version for r in records if r.status == "accepted" and other != timepoint}
            records = [record for record in records if record.version in public | accepted]
        found[other] = records
    return found


def agreement(masks: Mapping[str, LabelMap], lesion_of: Mapping[int, str] | None = None) -> list[Pair]:
    """Every two readers by name, for each lesion that anyone drew (ascending) and last for the whole.

    The order of the mapping changes nothing. Fewer than two readers: [].

    Args:
        masks: label maps by reader; a label means the same lesion for everyone (`core.review.common_labels`).
        lesion_of: label -> lesion id; of a label that is not there, "L<label>".

    Raises:
        GeometryError: if the masks lie on different grids.
    """
    readers = sorted(masks)
    if len(readers) < 2:
        return []
    grid = masks[readers[0]].grid
    _box, arrays = _cropped(masks, grid, margin=0)
    labels = sorted({label for array in arrays.values() for label in _labels(array)})
    pairs, names = [], lesion_of or {}
    for first, second in combinations(readers, 2):
        for label in [*labels, None]:
            a, b = ((arrays[r] != 0) if label is None else (arrays[r] == label) for r in (first, second))
            lesion = TOTAL_LESION_ID if label is None else names.get(label, numbered_id(label))
            pairs.append(_pair(first, second, lesion, a, b, grid))
    return pairs


def _pair(first: str, second: str, lesion: str, a: NDArray[np.bool_], b: NDArray[np.bool_], grid: Grid) -> Pair:
    added, removed, both = confusion(a, b)
    total = added + removed + 2 * both
    voxel_mm3 = grid.voxel_volume_mm3
    return Pair(
        first=first,
        second=second,
        lesion=lesion,
        dice=1.0 if total == 0 else 2.0 * both / total,
        volume_first_mm3=(removed + both) * voxel_mm3,
        volume_second_mm3=(added + both) * voxel_mm3,
        difference_ml=(added - removed) * voxel_mm3 / MM3_PER_ML,
        difference_percent=None if total == 0 else 200.0 * (added - removed) / total,
    )


def staple(masks: Mapping[str, LabelMap], grid: Grid) -> Consensus:
    """The readers' consensus by STAPLE, each lesion by itself, in the box around all drawings of it and a margin.

    A voxel belongs to a lesion where its probability exceeds one half; where two lesions claim it, the higher
    probability wins, and of two equal ones the lower number. Answers that need no estimate:

    - one reader: that mask; sensitivity and specificity None, for nobody was there to compare with.
    - nobody drew anything: an empty mask, no lesion to say anything of.
    - all drew a lesion alike: that drawing; both 1.
    - one of two drew a lesion and the other did not: undecided at every voxel, and left out.

    With two readers STAPLE cannot tell who errs: where they differ it leans on its prior and no more.

    Args:
        masks: label maps by reader, all on `grid`; a label means the same lesion for everyone
            (`core.review.common_labels`).
        grid: the reference scan's grid.

    Raises:
        InputError: without any reader.
        GeometryError: if a mask lies on another grid.

    Source: Warfield 2004, 10.1109/TMI.2004.828354, as `SimpleITK.STAPLEImageFilter` has it.
    """
    if not masks:
        raise InputError("Expected at least one reader's mask for a consensus, got none.")
    readers = sorted(masks)
    out = np.zeros(grid.shape, np.uint8)
    box, arrays = _cropped(masks, grid, margin=MARGIN_VOXELS)
    labels = sorted({label for array in arrays.values() for label in _labels(array)})
    best = np.zeros(next(iter(arrays.values())).shape)
    part, found = out[box], dict[str, dict[int, Performance]]({reader: {} for reader in readers})
    for label in labels:
        drawn = {reader: arrays[reader] == label for reader in readers}
        inner = _with_margin(bounding_box(np.logical_or.reduce(list(drawn.values()))), best.shape, MARGIN_VOXELS)
        probability, performances = _estimate({reader: mask[inner] for reader, mask in drawn.items()})
        wins = (probability > _UNDECIDED) & (probability > best[inner])
        part[inner][wins] = label
        best[inner][wins] = probability[wins]
        for reader in readers:
            found[reader][label] = performances[reader]
    return Consensus(LabelMap(out, grid), found)


def _estimate(drawn: Mapping[str, NDArray[np.bool_]]) -> tuple[NDArray[np.float64], dict[str, Performance]]:
    """Probability of one lesion at each voxel, and each reader's performance."""
    first = next(iter(drawn.values()))
    if len(drawn) == 1:
        return first.astype(float), dict.fromkeys(drawn, Performance(None, None))
    if all(np.array_equal(first, mask) for mask in drawn.values()):
        return first.astype(float), dict.fromkeys(drawn, Performance(1.0, 1.0))
    import SimpleITK as sitk

    # By what was drawn, not by whom: sums in another order round differently, and names must not decide a voxel.
    order = sorted(drawn, key=lambda reader: hashlib.sha256(np.packbits(drawn[reader]).tobytes()).digest())
    staple_filter = sitk.STAPLEImageFilter()
    staple_filter.SetForegroundValue(1.0)
    staple_filter.SetMaximumIterations(MAX_ITERATIONS)
    images = [sitk.GetImageFromArray(np.ascontiguousarray(drawn[reader], dtype=np.uint8)) for reader in order]
    probability = np.asarray(sitk.GetArrayFromImage(staple_filter.Execute(images)), dtype=float)
    rates = zip(staple_filter.GetSensitivity(), staple_filter.GetSpecificity(), strict=True)
    known = {reader: Performance(_known(p), _known(q)) for reader, (p, q) in zip(order, rates, strict=True)}
    return np.nan_to_num(probability, nan=0.0), {reader: known[reader] for reader in drawn}


def _known(value: float) -> float | None:
    """A rate of nothing (no lesion, or no background, at all) is not known."""
    return float(np.clip(value, 0.0, 1.0)) if np.isfinite(value) else None


def _labels(array: NDArray[np.uint8]) -> list[int]:
    return [int(v) for v in np.flatnonzero(np.bincount(array.ravel())[1:]) + 1]


def _cropped(
    masks: Mapping[str, LabelMap], grid: Grid, margin: int
) -> tuple[tuple[Span, Span, Span], dict[str, NDArray[np.uint8]]]:
    """The box around everything that anyone drew, `margin` voxels wider, and each reader's part of it."""
    for reader, mask in masks.items():
        if not mask.grid.matches(grid):
            raise GeometryError(
                f"Expected all readers' masks on the grid of {grid.shape} voxels; that of {reader} has "
                f"{mask.grid.shape} or another position. Resample it to the reference scan first."
            )
    boxes = [box for box in (bounding_box(mask.array) for mask in masks.values()) if box is not None]
    union = (
        tuple(slice(min(b[n].start for b in boxes), max(b[n].stop for b in boxes)) for n in range(3)) if boxes else None
    )
    box = _with_margin(union, grid.shape, margin)  # type: ignore[arg-type]
    return box, {reader: mask.array[box] for reader, mask in masks.items()}


def _with_margin(box: tuple[Span, Span, Span] | None, shape: tuple[int, ...], margin: int) -> tuple[Span, Span, Span]:
    """A box made wider by `margin` voxels, within the array; one voxel where there is no box."""
    if box is None:
        one = slice(0, 1)
        return one, one, one
    i, j, k = (slice(max(p.start - margin, 0), min(p.stop + margin, n)) for p, n in zip(box, shape, strict=True))
    return i, j, k
