"""The demo cohort: who is in it, how their tumours fare, and what goes wrong. Simulated, and labelled so throughout.

Here is only what happens; `core.simulation.demo_timepoints` makes the scans of it, and whoever stores and segments them
reads `what`.
"""

from __future__ import annotations

from core.remembered.vocabulary import EventKind
from core.simulation.story import LesionScript, Story

_DRUGS = "doxorubicin and ifosfamide"
_CHEMO = EventKind.DRUG_START, {"drug": _DRUGS}
_CHEMO_ENDS = EventKind.DRUG_STOP, {"drug": _DRUGS, "reason": "end of planned cycles"}

DEMO: tuple[Story, ...] = (
    Story(
        "DEMO-01",
        "Steady growth under observation",
        "2025-02-03",
        (0, 6, 13, 20, 26),
        (LesionScript((62, 78, 103, 136, 172), suv=7.5, shape_seed=1),),
        anatomy=11,
        leg_mm=(28, -12),
        shape=(160, 160, 56),
        warped=True,
        fates={4: "arrived"},
    ),
    Story(
        "DEMO-02",
        "Response to chemotherapy, then relapse",
        "2025-01-20",
        (0, 6, 12, 20, 28, 36),
        (LesionScript((185, 130, 94, 80, 112, 170), (9, 7, 6, 5.5, 7.5, 9.5), necrosis=0.35, shape_seed=2),),
        anatomy=12,
        leg_mm=(-22, 10),
        shape=(160, 160, 56),
        fates={5: "open"},
        events=((1, *_CHEMO), (19, *_CHEMO_ENDS), (29, EventKind.DRUG_START, {"drug": "pazopanib"})),
    ),
    Story(
        "DEMO-03",
        "Complete response: nothing is left at the fourth visit",
        "2025-04-07",
        (0, 7, 14, 22, 30),
        (LesionScript((112, 86, 64, 0, 0), (8, 7, 6, 0, 0), shape_seed=3),),
        anatomy=13,
        leg_mm=(12, -24),
        fates={3: "correct", 4: "correct"},
        events=((1, *_CHEMO), (18, *_CHEMO_ENDS)),
    ),
    Story(
        "DEMO-04",
        "A new lesion appears at the third visit",
        "2025-03-17",
        (0, 8, 16, 24, 32),
        (
            LesionScript((92, 98, 106, 115, 126), suv=6.0, centre_mm=(0, 0, -38), shape_seed=4),
            LesionScript((0, 0, 44, 64, 88), suv=8.0, centre_mm=(-6, 10, 50), shape_seed=14),
        ),
        anatomy=14,
        leg_mm=(24, 8),
        shape=(156, 156, 68),
        fates={4: "open"},
        events=((17, EventKind.DRUG_START, {"drug": "pazopanib"}),),
    ),
    Story(
        "DEMO-05",
        "Two lesions grow until they merge",
        "2025-05-05",
        (0, 6, 12, 19, 26),
        (
            LesionScript((46, 52, 74, 106, 150), suv=7.0, centre_mm=(3, 0, -42), elongation=1.6, shape_seed=5),
            LesionScript((40, 45, 64, 94, 136), suv=6.5, centre_mm=(-3, 3, 42), elongation=1.6, shape_seed=15),
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
        (LesionScript((140, 143, 138, 146, 142), suv=5.0, necrosis=0.5, shape_seed=6),),
        anatomy=16,
        leg_mm=(16, 20),
        warped=True,
        fates={3: "ood"},
        fault="calibration",
        events=((2, EventKind.DRUG_START, {"drug": "trabectedin"}),),
    ),
    Story(
        "DEMO-07",
        "Growth; the mask handed in at the fourth visit leaked into a thin sheet",
        "2025-07-14",
        (0, 5, 10, 16, 23),
        (LesionScript((74, 90, 112, 140, 178), suv=10.0, hu=42, shape_seed=7),),
        anatomy=17,
        leg_mm=(-18, -16),
        shape=(160, 160, 56),
        pet_spacing_mm=4.69,
        fates={3: "bad_mask"},
        fault="sheet",
    ),
    Story(
        "DEMO-08",
        "Slow response under treatment",
        "2025-08-11",
        (0, 6, 13, 20, 28, 36),
        (LesionScript((240, 214, 178, 150, 126, 108), (6, 5.6, 5.2, 4.8, 4.5, 4.2), necrosis=0.45, shape_seed=8),),
        anatomy=18,
        leg_mm=(26, 4),
        shape=(164, 164, 58),
        warped=True,
        fates={5: "open"},
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
        (LesionScript((1, 1.28, 1.65, 2.1, 2.7), suv=(1, 1, 1.05, 1.1, 1.1)),),
        fates={4: "open"},
        source="STS_003",
    ),
    Story(
        "SIM-STS_010",
        "Simulated follow-up: response, then relapse",
        "2025-01-27",
        (0, 6, 12, 20, 28),
        (LesionScript((1, 0.68, 0.45, 0.62, 1.05), suv=(1, 0.8, 0.65, 0.8, 1.05)),),
        fates={4: "open"},
        source="STS_010",
        events=((1, *_CHEMO), (17, *_CHEMO_ENDS)),
    ),
    Story(
        "SIM-STS_008",
        "Simulated follow-up: complete response",
        "2025-04-14",
        (0, 7, 14, 22),
        (LesionScript((1, 0.75, 0.5, 0), suv=(1, 0.8, 0.7, 1)),),
        fates={3: "correct"},
        source="STS_008",
        events=((1, *_CHEMO),),
    ),
    Story(
        "SIM-STS_029",
        "Simulated follow-up: stable; the fourth scan is out of distribution",
        "2025-03-24",
        (0, 8, 16, 24, 32),
        (LesionScript((1, 1.03, 0.97, 1.05, 1.01), suv=1),),
        fates={3: "ood"},
        fault="calibration",
        source="STS_029",
    ),
    Story(
        "SIM-STS_026",
        "Simulated follow-up: growth; the fourth mask leaked into a thin sheet",
        "2025-05-12",
        (0, 5, 10, 16, 23),
        (LesionScript((1, 1.15, 1.3, 1.5, 1.75), suv=1),),
        fates={3: "bad_mask"},
        fault="sheet",
        source="STS_026",
    ),
    Story(
        "SIM-STS_034",
        "Simulated follow-up: slow response under treatment",
        "2025-06-16",
        (0, 7, 14, 22, 30),
        (LesionScript((1, 0.88, 0.75, 0.63, 0.52), suv=(1, 0.95, 0.9, 0.85, 0.8)),),
        fates={4: "open"},
        source="STS_034",
        events=((1, *_CHEMO),),
    ),
)
