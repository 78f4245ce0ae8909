"""The visits of the demo cohort: each story's scans, true contours and events, visit by visit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from core.errors import InputError
from core.imaging.volumes import read_label_map, read_volume
from core.simulation.demo_stories import DEMO, REAL
from core.simulation.simulate import PhantomSpec, SimulatedTimepoint, bad_mask, follow_up, out_of_distribution, phantom
from core.simulation.story import DemoEvent, DemoTimepoint, Story
from core.types import LabelMap, Volume


def demo_timepoints(stories: Sequence[Story] = DEMO) -> Iterator[DemoTimepoint]:
    """The phantom patients (dataset "demo"), visit by visit; the same every time. About a second a visit."""
    for story in stories:
        first = _drawn(story, 0)
        for visit in range(len(story.weeks)):
            yield _timepoint(story, "demo", _phantom_visit(story, visit, first), visit)


def demo_timepoint(story: Story, visit: int) -> DemoTimepoint:
    """One visit of a phantom patient by itself; the same as `demo_timepoints` gives."""
    first = _drawn(story, 0) if story.warped or visit == 0 else None
    return _timepoint(story, "demo", _phantom_visit(story, visit, first), visit)


def real_timepoints(sts_dir: Path, stories: Sequence[Story] = REAL) -> Iterator[DemoTimepoint]:
    """The same kinds of story made from real scans with their real contours (dataset "sts-sim").

    The first visit is the real scan, under an invented date; the others are simulated follow-ups of it.

    Args:
        sts_dir: holds STS_*/CT_image.nii.gz, PET_image.nii.gz, CT_mask.nii.gz (Vallieres 2015, CC BY 3.0).

    Raises:
        InputError: a patient's files are not there.
    """
    for story in stories:
        first = real_scan(sts_dir / story.source)
        for visit in range(len(story.weeks)):
            scan = first if visit == 0 else _warped(story, first, visit, 1.0)
            yield _timepoint(story, "sts-sim", scan, visit)


def _phantom_visit(story: Story, visit: int, first: SimulatedTimepoint | None) -> SimulatedTimepoint:
    if first is not None and visit == 0:
        return first
    if first is not None and story.warped:
        return _warped(story, first, visit, story.courses[0].volumes_ml[0])
    return _drawn(story, visit)


def _drawn(story: Story, visit: int) -> SimulatedTimepoint:
    turn, shift = _pose(story, visit)
    lesions = tuple(course.at(visit, label) for label, course in enumerate(story.courses, start=1))
    spec = PhantomSpec(
        story.anatomy,
        lesions,
        story.leg_mm,
        story.shape,
        pet_spacing_mm=story.pet_spacing_mm,
        rotation_deg=turn,
        shift_mm=shift,
    )
    scan = phantom(spec, seed=visit)
    return replace(scan, metadata={"simulated": True, "method": "phantom"})


def _warped(story: Story, first: SimulatedTimepoint, visit: int, unit: float) -> SimulatedTimepoint:
    turn, shift = _pose(story, visit)
    course = story.courses[0]
    suv = (1.0, 1.0) if isinstance(course.suv, float | int) else (course.suv[0], course.suv[visit])
    return follow_up(
        first.ct,
        first.pet,
        first.truth,
        course.volumes_ml[visit] / unit,
        rotation_deg=turn,
        shift_mm=shift,
        seed=visit,
        uptake=suv[1] / suv[0],
    )


def _pose(story: Story, visit: int) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """How the patient lies at a visit: the first as the scan was planned, later ones a few degrees and mm off."""
    if visit == 0:
        return (0.0, 0.0, 0.0), (0.0, 0.0, 0.0)
    rng = np.random.default_rng([story.anatomy, sum(map(ord, story.patient_id)), visit])
    a, b, c = rng.uniform(-1, 1, 3).tolist()
    x, y, z = rng.uniform(-6, 6, 3).tolist()
    return (2 * a, 2 * b, 4 * c), (x, y, z)


def _timepoint(story: Story, dataset: str, scan: SimulatedTimepoint, visit: int) -> DemoTimepoint:
    fate = story.fates.get(visit, "accept")
    mask = scan.truth if fate == "correct" else bad_mask(scan, story.fault, visit) if fate == "bad_mask" else None
    if fate == "ood":
        scan = out_of_distribution(scan, story.fault, visit)
    since = story.weeks[visit - 1] if visit else -1000
    events = tuple(
        DemoEvent(story.date(week), kind, detail)
        for week, kind, detail in story.events
        if since < week <= story.weeks[visit]
    )
    return DemoTimepoint(
        story.patient_id, dataset, story.date(story.weeks[visit]), story.text, scan, fate, events, mask
    )


def real_scan(folder: Path) -> SimulatedTimepoint:
    """A real patient's scans and contour, as a first visit.

    Raises:
        InputError: a file is not there.
    """
    paths = [folder / name for name in ("CT_image.nii.gz", "PET_image.nii.gz", "CT_mask.nii.gz")]
    missing = [path.name for path in paths if not path.exists()]
    if missing:
        raise InputError(
            f"Expected {', '.join(missing)} in the folder {folder.name}. Point to the folder of the sarcoma scans, "
            "or leave the real scans out: the demo cohort needs none."
        )
    ct, pet = read_volume(paths[0], "CT"), read_volume(paths[1], "PET")
    contour = read_label_map(paths[2], ct.grid)
    mask = LabelMap((contour.array > 0).astype(np.uint8), ct.grid)
    metadata = {"simulated": True, "method": "real scan, invented date", "source": folder.name}
    return SimulatedTimepoint(ct, _non_negative(pet), mask, {1: mask.volume_mm3}, np.eye(4), metadata)


def _non_negative(pet: Volume) -> Volume:
    return replace(pet, array=np.maximum(pet.array, 0))
