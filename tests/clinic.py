"""A small clinic for the tests of the pages: patients whose every volume is known, on scans that can be aligned."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, shift

from core.jobs.stages.common import add_version
from core.jobs.stages.mask_gate import fit_if_outdated
from core.remembered.rows import Event
from core.review.readers import newest_visible_version
from core.twin.stored_forecasts import make_and_store_forecast
from core.types import Grid, LabelMap, MaskRecord, Volume
from store import Store, open_store
from tests.store_phantom import ANSWER

SHAPE = (64, 56, 24)
SPACING = (2.0, 2.0, 3.0)
VOXEL_ML = 0.012
DAYS = ("2024-01-01", "2024-02-26", "2024-04-22", "2024-06-17", "2024-08-12", "2024-10-07")


def grid() -> Grid:
    return Grid(SHAPE, np.diag([*SPACING, 1.0]))


def body(seed: int, moved: tuple[int, int, int] = (0, 0, 0)) -> Volume:
    """A limb with two bones and soft structure, in HU; `seed` makes noise, not anatomy."""
    i, j, k = np.meshgrid(*[np.arange(n) for n in SHAPE], indexing="ij")
    structure = gaussian_filter(np.random.default_rng(7).normal(size=SHAPE), 2.5)
    array = np.where(((i - 32) / 26) ** 2 + ((j - 28) / 22) ** 2 < 1, 40 + 900 * structure, -900.0)
    array[((i - 22 - 0.2 * k) / 5) ** 2 + ((j - 24) / 4) ** 2 < 1] = 800
    array[((i - 44) / 4) ** 2 + ((j - 34 + 0.2 * k) / 5) ** 2 < 1] = 700
    array = shift(array, moved, order=1, mode="nearest") + np.random.default_rng(seed).normal(0, 10, SHAPE)
    return Volume(array.astype(np.float32), grid(), "CT")


def noise(seed: int) -> Volume:
    """A scan that shows nothing."""
    return Volume(np.random.default_rng(seed).normal(0, 50, SHAPE).astype(np.float32), grid(), "CT")


def lesion(voxels: int, flat: float = 1.0) -> NDArray[np.bool_]:
    """The `voxels` voxels nearest to a point: a ball, or flatter along the third axis."""
    steps = [(np.arange(n) - n / 2) * mm for n, mm in zip(SHAPE, SPACING, strict=True)]
    i, j, k = np.meshgrid(*steps, indexing="ij")
    nearest = np.argsort((i**2 + j**2 + (flat * k) ** 2).ravel(), kind="stable")[:voxels]
    mask = np.zeros(int(np.prod(SHAPE)), bool)
    mask[nearest] = True
    return mask.reshape(SHAPE)


def add_scan(store: Store, patient: str, day: str, volume: Volume, simulated: bool = False) -> None:
    metadata = {"simulated": True} if simulated else {}
    store.scans.add(volume, dataset="clinic", patient_id=patient, timepoint=day, person="demo", metadata=metadata)


def event(date: str, kind: str, detail: Any = "") -> Event:
    """An event of some patient, as the store lists it."""
    return Event(f"{date} {kind}", "P1", date, kind, detail, "demo", f"{date}T00:00:00Z")


def add_mask(
    store: Store, patient: str, day: str, voxels: int, flat: float = 1.0, method: str = "nnunet"
) -> MaskRecord:
    labels = LabelMap(lesion(voxels, flat).astype(np.uint8), grid())
    checkpoint = "ab" * 32 if method == "nnunet" else None
    return add_child(store, labels, patient, day, method=method, author="demo", checkpoint_sha256=checkpoint)


def add_child(store: Store, labels: LabelMap, patient: str, day: str, **more: Any) -> MaskRecord:
    """A version made from the newest one, unless `parent_version` says another."""
    parent = {"parent_version": newest_visible_version(store, patient, day, str(more["author"]))}
    return add_version(store, labels, patient, day, **{**parent, **more})


def accept(store: Store, record: MaskRecord, reviewer: str = "demo") -> None:
    """As the Review page and the command line do: a decision, which answers what the gates doubt or have not judged,
    and the mask gate is fitted to it."""
    store.decisions.decide(record.patient_id, record.timepoint, record.version, "accept", reviewer, *ANSWER)
    fit_if_outdated(store)


def build(root: Path) -> None:
    """ANNA: 1000, 1300, 1700, 2200 voxels accepted, then a rejected mask, then none. BEN: 1200 (of 800) and 600 voxels,
    the second scan shows nothing. CARA: a scan alone. DORA to FAY: two timepoints each, shapes of their own."""
    with open_store(root) as store:
        for name in ("demo", "second reader"):
            if name not in [p.name for p in store.people.all()]:
                store.people.add(name, by="demo")
        for n, day in enumerate(DAYS):
            add_scan(store, "ANNA", day, body(n, (n, 0, 0)), simulated=n > 0)
        for day, voxels in zip(DAYS, (1000, 1300, 1700, 2200), strict=False):
            accept(store, add_mask(store, "ANNA", day, voxels), "second reader" if day == DAYS[1] else "demo")
        rejected = add_mask(store, "ANNA", DAYS[4], 3000)
        store.decisions.decide("ANNA", DAYS[4], rejected.version, "reject", "demo", "leak")
        store.events.add("ANNA", DAYS[1], "treatment-start", "doxorubicin", "demo")
        add_scan(store, "BEN", DAYS[0], body(10))
        add_scan(store, "BEN", DAYS[1], noise(11))
        add_mask(store, "BEN", DAYS[0], 800, flat=2)
        accept(store, add_mask(store, "BEN", DAYS[0], 1200, flat=2, method="medsam"))
        accept(store, add_mask(store, "BEN", DAYS[1], 600, flat=2))
        add_scan(store, "CARA", DAYS[0], body(12))
        for n, patient in enumerate(("DORA", "ELLA", "FAY")):
            for m, day in enumerate(DAYS[:2]):
                add_scan(store, patient, day, body(20 + 2 * n + m))
                accept(store, add_mask(store, patient, day, 900 + 300 * m, flat=1.2 + 0.2 * n))


def keep_before_the_last_visit(root: Path) -> None:
    """What is forecast of ANNA's total at her third visit is kept by "second reader"; then her fourth counts again."""
    with open_store(root) as store:
        last = store.masks.accepted("ANNA", DAYS[3])
        assert last is not None
        store.decisions.decide("ANNA", DAYS[3], last.version, "withdraw", "demo", "second-look")
        make_and_store_forecast(store, "ANNA", "total", 12, "second reader")
        accept(store, last)


def two_lesions(first: int, second: int) -> LabelMap:
    """L1 of `first` voxels in the middle, L2 of `second` voxels 40 mm beside it."""
    array = lesion(first).astype(np.uint8)
    array[np.roll(lesion(second), 20, axis=0)] = 2
    return LabelMap(array, grid())


def build_long(root: Path) -> None:
    """IDA: forty timepoints six weeks apart, three lesions, the first nearly doubles at the end. JON: three."""
    store: Store
    with open_store(root) as store:
        for patient, count in (("IDA", 40), ("JON", 3)):
            for n in range(count):
                day = str(dt.date(2018, 1, 1) + dt.timedelta(days=42 * n))
                add_scan(store, patient, day, noise(100 * count + n))
                array = two_lesions(
                    400 + int(300 * np.sin(n / 5)) + 10 * n + 900 * (n == 39), 60 + 5 * (n % 9)
                ).array.copy()
                if n > 12:
                    array[np.roll(lesion(40 + n), -18, axis=0)] = 3
                accept(store, add_child(store, LabelMap(array, grid()), patient, day, method="manual", author="demo"))
        store.events.add("IDA", "2018-02-01", "treatment-start", "doxorubicin", "demo")
        store.events.add("IDA", "2019-01-01", "treatment-stop", "doxorubicin", "demo")
        store.events.add("IDA", "2019-03-01", "treatment-start", "pazopanib", "demo")
        store.events.add("IDA", "2021-12-01", "radiotherapy", "5 x 5 Gy", "demo")


def build_history(root: Path) -> None:
    """GWEN: three visits of two lesions, the first two accepted, v2 from v1 proposed on the third. HUGO: one visit with
    41 versions: v1 to v40 in a row, of which every tenth has a branch, and v41 accepted."""
    store: Store
    with open_store(root) as store:
        store.people.add("second reader", by="demo")
        for n, day in enumerate(DAYS[:3]):
            add_scan(store, "GWEN", day, body(40 + n))
            labels = two_lesions(1000 + 300 * n, 200 + 100 * n)
            record = add_child(store, labels, "GWEN", day, method="nnunet", author="demo")
            if n < 2:
                accept(store, record)
        add_child(store, two_lesions(1700, 500), "GWEN", DAYS[2], method="medsam", author="second reader")
        add_scan(store, "HUGO", DAYS[0], body(50))
        previous = 0
        for n in range(40):
            branch = n % 10 == 9
            record = add_version(
                store,
                two_lesions(600 + 10 * n, 100 + 5 * n),
                "HUGO",
                DAYS[0],
                method="medsam" if n else "nnunet",
                author=("demo", "second reader")[n % 2],
                parent_version=previous or None,
            )
            previous = previous if branch else record.version
            if n == 20:
                accept(store, record)
        accept(store, add_child(store, two_lesions(1000, 300), "HUGO", DAYS[0], method="manual", author="demo"))
