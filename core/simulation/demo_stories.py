"""The demo cohort: who is in it, how their tumours fare, and what goes wrong. Simulated, and labelled so throughout.

Here is only what happens; `core.simulation.simulate` makes the scans, and whoever stores and segments them reads
`what`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from core.errors import InputError
from core.simulation.simulate import (
    LesionSpec,
    PhantomSpec,
    SimulatedTimepoint,
    bad_mask,
    follow_up,
    out_of_distribution,
    phantom,
)
from core.types import LabelMap, Volume

#: What becomes of a timepoint's mask in the demo:
#: "accept"    the demo reviewer accepts the network's mask;
#: "correct"   nothing is left of the tumour: where the network finds some all the same, the reviewer hands in the empty
#:             `DemoTimepoint.mask`; the newest is accepted;
#: "open"      left for the visitor to review;
#: "arrived"   the scans alone: the visitor runs the network;
#: "ood"       the scan is out of distribution; its mask stays proposed;
#: "bad_mask"  `DemoTimepoint.mask` was handed in and went wrong; it stays proposed.
What = Literal["accept", "correct", "open", "arrived", "ood", "bad_mask"]


@dataclass(frozen=True)
class DemoEvent:
    """Something in the patient's history: `date` YYYY-MM-DD, `kind` as "treatment start", `detail` in words."""

    date: str
    kind: str
    detail: str


@dataclass(frozen=True, eq=False)
class DemoTimepoint:
    """One visit of one demo patient.

    Args:
        patient_id, dataset, date: where it is stored; the date (YYYY-MM-DD) names the timepoint.
        story: one line for people; the same at all of the patient's timepoints.
        scan: CT, PET, truth, true volumes and true motion.
        what: what becomes of the mask, see `What`.
        events: since the visit before.
        mask: the mask that is handed in, for "bad_mask" and "correct"; else None.
    """

    patient_id: str
    dataset: str
    date: str
    story: str
    scan: SimulatedTimepoint
    what: What
    events: tuple[DemoEvent, ...] = ()
    mask: LabelMap | None = None

    @property
    def metadata(self) -> dict[str, Any]:
        """What each of the scans is stored with; "simulated" is always True."""
        return {**self.scan.metadata, "simulated": True, "story": self.story}


@dataclass(frozen=True)
class Course:
    """One lesion over time: its volume in mL at each visit (0 = not there), and what it looks like."""

    volumes_ml: tuple[float, ...]
    suv: float | tuple[float, ...] = 6.0
    centre_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    hu: float = 36.0
    necrosis: float = 0.0
    elongation: float = 1.25
    shape_seed: int = 0

    def at(self, visit: int, label: int) -> LesionSpec:
        """The lesion as asked for at a visit."""
        suv = self.suv if isinstance(self.suv, float | int) else self.suv[visit]
        return LesionSpec(
            label,
            1e3 * self.volumes_ml[visit],
            self.centre_mm,
            suv,
            self.hu,
            self.necrosis,
            self.elongation,
            self.shape_seed,
        )


@dataclass(frozen=True)
class Story:
    """One patient of the demo.

    Args:
        patient_id: unique in an installation.
        text: one line for people.
        start: date of the first visit; `weeks` counts the others' from it.
        courses: the lesions; the first is label 1.
        anatomy, leg_mm, shape: the phantom's body and scan; not used for a real scan.
        warped: later visits are the first one warped, not drawn anew.
        what: visit -> what becomes of it; absent: "accept".
        fault: kind of the out-of-distribution scan or of the bad mask, where `what` says so.
        events: (week, kind, detail).
        source: the folder of the real scan that the patient is made from, "" for a phantom.
    """

    patient_id: str
    text: str
    start: str
    weeks: tuple[int, ...]
    courses: tuple[Course, ...]
    anatomy: int = 0
    leg_mm: tuple[float, float] = (18.0, 6.0)
    shape: tuple[int, int, int] = (152, 152, 52)
    pet_spacing_mm: float = 5.47
    warped: bool = False
    what: Mapping[int, What] = field(default_factory=dict)
    fault: str = ""
    events: tuple[tuple[int, str, str], ...] = ()
    source: str = ""

    def date(self, week: int) -> str:
        """The day, YYYY-MM-DD, that many weeks after the first visit."""
        return (dt.date.fromisoformat(self.start) + dt.timedelta(weeks=week)).isoformat()


_CHEMO = "treatment start", "doxorubicin and ifosfamide"
_CHEMO_ENDS = "treatment stop", "end of planned cycles"

DEMO: tuple[Story, ...] = (
    Story(
        "DEMO-01",
        "Steady growth under observation",
        "2025-02-03",
        (0, 6, 13, 20, 26),
        (Course((62, 78, 103, 136, 172), suv=7.5, shape_seed=1),),
        anatomy=11,
        leg_mm=(28, -12),
        shape=(160, 160, 56),
        warped=True,
        what={4: "arrived"},
    ),
    Story(
        "DEMO-02",
        "Response to chemotherapy, then relapse",
        "2025-01-20",
        (0, 6, 12, 20, 28, 36),
        (Course((185, 130, 94, 80, 112, 170), (9, 7, 6, 5.5, 7.5, 9.5), necrosis=0.35, shape_seed=2),),
        anatomy=12,
        leg_mm=(-22, 10),
        shape=(160, 160, 56),
        what={5: "open"},
        events=((1, *_CHEMO), (19, *_CHEMO_ENDS), (29, "treatment start", "pazopanib")),
    ),
    Story(
        "DEMO-03",
        "Complete response: nothing is left at the fourth visit",
        "2025-04-07",
        (0, 7, 14, 22, 30),
        (Course((112, 86, 64, 0, 0), (8, 7, 6, 0, 0), shape_seed=3),),
        anatomy=13,
        leg_mm=(12, -24),
        what={3: "correct", 4: "correct"},
        events=((1, *_CHEMO), (18, *_CHEMO_ENDS)),
    ),
    Story(
        "DEMO-04",
        "A new lesion appears at the third visit",
        "2025-03-17",
        (0, 8, 16, 24, 32),
        (
            Course((92, 98, 106, 115, 126), suv=6.0, centre_mm=(0, 0, -38), shape_seed=4),
            Course((0, 0, 44, 64, 88), suv=8.0, centre_mm=(-6, 10, 50), shape_seed=14),
        ),
        anatomy=14,
        leg_mm=(24, 8),
        shape=(156, 156, 68),
        what={4: "open"},
        events=((17, "treatment start", "pazopanib"),),
    ),
    Story(
        "DEMO-05",
        "Two lesions grow until they merge",
        "2025-05-05",
        (0, 6, 12, 19, 26),
        (
            Course((46, 52, 74, 106, 150), suv=7.0, centre_mm=(3, 0, -42), elongation=1.6, shape_seed=5),
            Course((40, 45, 64, 94, 136), suv=6.5, centre_mm=(-3, 3, 42), elongation=1.6, shape_seed=15),
        ),
        anatomy=15,
        leg_mm=(-26, -8),
        shape=(160, 160, 84),
        pet_spacing_mm=4.69,
    ),
    Story(
        "DEMO-06",
        "Stable disease; the scan of the fourth visit is out of distribution",
        "2025-06-02",
        (0, 8, 16, 25, 34),
        (Course((140, 143, 138, 146, 142), suv=5.0, necrosis=0.5, shape_seed=6),),
        anatomy=16,
        leg_mm=(16, 20),
        warped=True,
        what={3: "ood"},
        fault="calibration",
        events=((2, "treatment start", "trabectedin"),),
    ),
    Story(
        "DEMO-07",
        "Growth; the mask handed in at the fourth visit leaked into a thin sheet",
        "2025-07-14",
        (0, 5, 10, 16, 23),
        (Course((74, 90, 112, 140, 178), suv=10.0, hu=42, shape_seed=7),),
        anatomy=17,
        leg_mm=(-18, -16),
        shape=(160, 160, 56),
        pet_spacing_mm=4.69,
        what={3: "bad_mask"},
        fault="sheet",
    ),
    Story(
        "DEMO-08",
        "Slow response under treatment",
        "2025-08-11",
        (0, 6, 13, 20, 28, 36),
        (Course((240, 214, 178, 150, 126, 108), (6, 5.6, 5.2, 4.8, 4.5, 4.2), necrosis=0.45, shape_seed=8),),
        anatomy=18,
        leg_mm=(26, 4),
        shape=(164, 164, 58),
        warped=True,
        what={5: "open"},
        events=((1, *_CHEMO),),
    ),
)

#: Made from the patients that the shipped network never saw (weights/recipes/sts_ctpet). Volumes are in units of the
#: real tumour's own. A warp cannot make a new lesion or merge two: those two stories are the phantoms' alone.
REAL: tuple[Story, ...] = (
    Story(
        "SIM-STS_003",
        "Simulated follow-up: steady growth",
        "2025-02-10",
        (0, 6, 13, 20, 27),
        (Course((1, 1.28, 1.65, 2.1, 2.7), suv=(1, 1, 1.05, 1.1, 1.1)),),
        what={4: "open"},
        source="STS_003",
    ),
    Story(
        "SIM-STS_010",
        "Simulated follow-up: response, then relapse",
        "2025-01-27",
        (0, 6, 12, 20, 28),
        (Course((1, 0.68, 0.45, 0.62, 1.05), suv=(1, 0.8, 0.65, 0.8, 1.05)),),
        what={4: "open"},
        source="STS_010",
        events=((1, *_CHEMO), (17, *_CHEMO_ENDS)),
    ),
    Story(
        "SIM-STS_008",
        "Simulated follow-up: complete response",
        "2025-04-14",
        (0, 7, 14, 22),
        (Course((1, 0.75, 0.5, 0), suv=(1, 0.8, 0.7, 1)),),
        what={3: "correct"},
        source="STS_008",
        events=((1, *_CHEMO),),
    ),
    Story(
        "SIM-STS_029",
        "Simulated follow-up: stable; the fourth scan is out of distribution",
        "2025-03-24",
        (0, 8, 16, 24, 32),
        (Course((1, 1.03, 0.97, 1.05, 1.01), suv=1),),
        what={3: "ood"},
        fault="calibration",
        source="STS_029",
    ),
    Story(
        "SIM-STS_026",
        "Simulated follow-up: growth; the fourth mask leaked into a thin sheet",
        "2025-05-12",
        (0, 5, 10, 16, 23),
        (Course((1, 1.15, 1.3, 1.5, 1.75), suv=1),),
        what={3: "bad_mask"},
        fault="sheet",
        source="STS_026",
    ),
    Story(
        "SIM-STS_034",
        "Simulated follow-up: slow response under treatment",
        "2025-06-16",
        (0, 7, 14, 22, 30),
        (Course((1, 0.88, 0.75, 0.63, 0.52), suv=(1, 0.95, 0.9, 0.85, 0.8)),),
        what={4: "open"},
        source="STS_034",
        events=((1, *_CHEMO),),
    ),
)


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
    what = story.what.get(visit, "accept")
    mask = scan.truth if what == "correct" else bad_mask(scan, story.fault, visit) if what == "bad_mask" else None
    if what == "ood":
        scan = out_of_distribution(scan, story.fault, visit)
    since = story.weeks[visit - 1] if visit else -1000
    events = tuple(
        DemoEvent(story.date(week), kind, detail)
        for week, kind, detail in story.events
        if since < week <= story.weeks[visit]
    )
    return DemoTimepoint(
        story.patient_id, dataset, story.date(story.weeks[visit]), story.text, scan, what, events, mask
    )


def real_scan(folder: Path) -> SimulatedTimepoint:
    """A real patient's scans and contour, as a first visit.

    Raises:
        InputError: a file is not there.
    """
    from core.imaging.volumes import read_label_map, read_volume

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
