"""Small scans, masks and histories for the tests of the store."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any

import numpy as np

from core.errors import StoreError
from core.remembered.hand_measurements import Drawn, HandMeasurement, Measured
from core.remembered.identifiers import ScanIdentifiers, SliceIdentifiers
from core.remembered.incoming import NewMask, NewScan, StoredStudy
from core.remembered.judgements import DOUBTS, JUDGEMENT, PASSES, UNJUDGED, Judged, Judgement
from core.remembered.links import NewTransform
from core.remembered.looks import LesionLook, no_look
from core.remembered.marks import EvidenceMark, EvidenceQuestion, NewMark
from core.remembered.protocols import ResponseProtocol
from core.review.decisions import DOUBT_ANSWERED
from core.types import Grid, LabelMap, LesionMeasure, MaskRecord, Prompt, Scan, Volume
from store import Store

SHAPE = (12, 10, 8)
#: More than `core.lesions.sizes.MIN_LESION_MM3`: one voxel is a lesion that a network may find.
VOXEL_MM3 = 1280.0
#: What a mask gate says that has nothing against a mask; the store adds which file it saw.
JUDGED: dict[str, Any] = {
    "verdict": "usual",
    "p_value": 0.5,
    "flagged": False,
    "n_reference": 40,
    "lesions": [],
    JUDGEMENT: Judgement(PASSES, "It is like the reference.", "mask-1", ()).to_json(),
}
#: The reason and comment of who accepts what a gate doubts.
ANSWER = (DOUBT_ANSWERED, "the border follows the tumour")
#: The same for a command line.
ANSWERED = ("--reason", ANSWER[0], "--comment", ANSWER[1])
DAY1, DAY2, DAY3 = "2020-01-01", "2020-03-01", "2020-05-30"


def grid(shape: tuple[int, int, int] = SHAPE, origin: float = 0.0) -> Grid:
    """8 x 8 x 20 mm."""
    affine = np.diag([8.0, 8.0, 20.0, 1.0])
    affine[0, 3] = origin
    return Grid(shape, affine)


def scan_volume(seed: int, modality: Any = "CT", sequence: str = "", where: Grid | None = None) -> Volume:
    where = where or grid()
    return Volume(np.random.default_rng(seed).normal(size=where.shape).astype(np.float32), where, modality, sequence)


def add_scan(store: Store, patient: str = "P1", day: str = DAY1, seed: int = 1, **changes: Any) -> Scan:
    volume = scan_volume(seed, changes.pop("modality", "CT"), changes.pop("sequence", ""), changes.pop("where", None))
    values: dict[str, Any] = {"dataset": "set", "patient_id": patient, "timepoint": day, "person": "demo", **changes}
    return store.scans.add(volume, **values)


def uids(seed: int, slices: int = SHAPE[2]) -> ScanIdentifiers:
    """Of a series of its own."""
    study = f"1.2.826.4711.{seed}"
    images = tuple(SliceIdentifiers("1.2.840.10008.5.1.4.1.1.2", f"{study}.3.{k}") for k in range(slices))
    return ScanIdentifiers(study, f"{study}.1", f"{study}.2", images)


def labels(first: int, second: int = 0, where: Grid | None = None) -> LabelMap:
    """`first` voxels of lesion 1 (from i = 0 on) and `second` of lesion 2, each along i."""
    where = where or grid()
    array = np.zeros(where.shape, np.uint8)
    array[:first, 2, 2] = 1
    array[:second, 6, 5] = 2
    return LabelMap(array, where)


def measures(mask: LabelMap) -> list[LesionMeasure]:
    out = []
    for label in mask.labels:
        voxels = np.argwhere(mask.array == label)
        centroid = mask.grid.to_mm(voxels).mean(axis=0)
        out.append(
            LesionMeasure(
                label,
                f"L{label}",
                len(voxels) * mask.grid.voxel_volume_mm3,
                len(voxels),
                float(len(voxels)),
                (float(centroid[0]), float(centroid[1]), float(centroid[2])),
            )
        )
    return out


def add_mask(
    store: Store,
    first: int,
    second: int = 0,
    patient: str = "P1",
    day: str = DAY1,
    scans_pass: bool = True,
    **changes: Any,
) -> MaskRecord:
    """A version that both gates pass, by default the child of the newest one.

    Args:
        scans_pass: writes the scan gate's pass where there is none; an entry of its own.
    """
    mask = LabelMap(labels(first, second).array, store.scans.reference_grid(patient, day))
    newest = store.masks.latest(patient, day)
    values: dict[str, Any] = {
        "patient_id": patient,
        "timepoint": day,
        "method": "nnunet",
        "author": "demo",
        "lesions": measures(mask),
        "parent_version": newest.version if newest else None,
        "verdict": JUDGED,
        **changes,
    }
    record = store.masks.add(mask, **values)
    if scans_pass:
        pass_scans(store, patient, day)
    return record


def scan_result(store: Store, patient: str = "P1", day: str = DAY1, verdict: Judged = PASSES) -> dict[str, Any]:
    """What a scan gate says that looked at every scan that is there."""
    seen = tuple(scan.sha256 for scan in store.scans.of(patient, day))
    state = {PASSES: "in distribution", DOUBTS: "out of distribution", UNJUDGED: "cannot be judged"}[verdict]
    said = Judgement(
        verdict, f"The scan gate says: {verdict}.", "scan-1", seen, kinds=() if verdict == PASSES else ("appearance",)
    )
    return {"state": state, "score": 0.125, "threshold": 0.5, "crops": [0.1, 0.15], JUDGEMENT: said.to_json()}


def pass_scans(store: Store, patient: str = "P1", day: str = DAY1) -> None:
    """The scan gate passes the scans that are there now, where it has not."""
    newest = [row.result for row in store.verdicts.of_scans(patient, day)][-1:]
    result = scan_result(store, patient, day)
    if newest != [result]:
        store.verdicts.add_scan_verdict(patient, day, result, "demo")


def add_study(store: Store, patient: str = "P1", day: str = DAY1, seed: int = 40, **changes: Any) -> StoredStudy:
    """A CT and a PET of one day and a mask on the CT, in one change."""
    mask = labels(5, 2)
    values: dict[str, Any] = {"dataset": "set", "patient_id": patient, "timepoint": day, "person": "demo", **changes}
    scans = [NewScan(scan_volume(seed, "PET", where=grid((6, 5, 4)))), NewScan(scan_volume(seed + 1), {"kvp": 120.0})]
    return store.studies.add(scans, [NewMask(mask, tuple(measures(mask)), verdict=JUDGED)], **values)


def with_people(store: Store, *names: str) -> Store:
    """The store, in which these names may review too."""
    for name in names:
        store.people.add(name, "reader", by="demo")
    return store


def transform(store: Store, patient: str = "P1", first: str = DAY1, second: str = DAY2) -> NewTransform:
    """Between the reference scans of two days, which lie alike; not stored yet."""
    ends = [store.scans.reference(patient, day).sha256 for day in (first, second)]
    same = tuple(tuple(float(i == j) for j in range(4)) for i in range(4))
    return NewTransform(first, second, ends[0], ends[1], same, "good", overlap=1.0)


def add_length(
    store: Store, person: str = "ann", patient: str = "P1", day: str = DAY1, mm: float = 16.0, **more: Any
) -> HandMeasurement:
    """A length along i on the reference scan, which lies as `grid`."""
    scan = store.scans.reference(patient, day)
    drawn = Drawn(scan.sha256, "length", "axial", ((8.0, 16.0, 40.0), (8.0 + mm, 16.0, 40.0)), **more)
    return store.measurements.add(drawn, Measured(mm, "mm"), person)


def looks_of(store: Store, record: MaskRecord, encoder: str = "tiny", **vectors: list[float]) -> list[LesionLook]:
    """Looks at the reference scan of every lesion of a mask, as its file numbers them: `L1=[…]`, else [1, its label].
    An empty one is a lesion that cannot be looked at."""
    scan = store.scans.reference(record.patient_id, record.timepoint)
    found = []
    for label in (int(lesion["label"]) for lesion in record.lesions):
        numbers = vectors.get(f"L{label}", [1.0, float(label)])
        if numbers:
            vector = np.array(numbers, np.float32)
            found.append(LesionLook(f"L{label}", encoder, scan.modality, scan.sha256, vector))
        else:
            found.append(no_look(f"L{label}", encoder, "too small to be looked at"))
    return found


def add_mark(
    store: Store,
    mask: MaskRecord,
    other: MaskRecord,
    person: str = "ann",
    relevant: bool = True,
    lesions: tuple[str, str] = ("L1", "L1"),
) -> EvidenceMark:
    """A mark of a lesion that was found first, by shape."""
    said = NewMark(mask.mask_id, lesions[0], other.mask_id, lesions[1], relevant, "shape", 1, 0.25)
    return store.marks.add(said, person)


def busy_history(store: Store) -> None:
    """Two patients, three timepoints, every kind of write at least once."""
    store.people.add("ann", "administrator", by="demo")
    store.people.add("cleo", "viewer", by="demo")
    store.people.grant("cleo", ["set"], by="demo")
    for patient, day, seed in (("P1", DAY1, 1), ("P1", DAY2, 2), ("P2", DAY1, 3)):
        facts = {"scanner": "phantom", "kvp": 120.0, "filters": ["B30f"]}
        add_scan(store, patient, day, seed, metadata=facts, identifiers=uids(seed))
        add_scan(store, patient, day, seed + 10, modality="PET", where=grid((6, 5, 4)))
    box = Prompt("box", 2, (1, 1, 4, 4))
    add_mask(store, 4, 2)
    second = add_mask(store, 5, 2, method="medsam", prompts=[box], model_checkpoint="lite", checkpoint_sha256="ab" * 32)
    add_mask(store, 6, author="ann", parent_version=1)
    store.decisions.decide("P1", DAY1, 3, "reject", "ann", "leak", "into the bone:\n\u00e9\u00df")
    store.decisions.decide("P1", DAY1, 2, "accept", "ann", "good-boundary")
    add_mask(store, 7, day=DAY2)
    store.decisions.decide("P1", DAY2, 1, "accept", "demo", "good")
    store.decisions.decide("P1", DAY2, 1, "reject", "ann", "withdrawn")
    registered = store.transforms.add("P1", transform(store), "ann")
    store.transforms.judge(registered.transform_id, "accepted", "demo", "looked at it")
    store.links.set(store.masks.version("P1", DAY2, 1).mask_id, 1, "L1", "ann", "the same")
    gone = add_mask(store, 3, patient="P2")
    image = store.masks.path(gone)
    os.rename(image, store.root / "away")
    with suppress(StoreError):
        store.masks.load(gone)
    store.losses.mark_lost("P2", DAY1, 1, "a disk broke", "ann")
    os.rename(store.root / "away", image)
    store.losses.mark_found("P2", DAY1, 1, "demo")
    store.verdicts.add_scan_verdict("P1", DAY1, scan_result(store), "demo")
    store.verdicts.add_mask_verdict(second.mask_id, {"verdict": "usual", "p_value": 0.5}, "demo")
    store.events.add("P1", DAY2, "steroids", {"dexamethasone_mg": 4}, "ann")
    store.protocols.set("P1", ResponseProtocol("recist-1.1", DAY1), "ann", "signed at the board")
    store.events.add("P1", DAY1, "treatment", "started", "ann")
    add_length(store, lesion_id="L1", sets="longest diameter")
    store.measurements.withdraw(add_length(store, day=DAY2).measurement_id, "demo", "on the wrong slice")
    store.forecasts.add("P1", "L1", "gompertz", {"masks": [second.mask_id], "rate": 0.01}, "demo")
    store.models.add("lite", "ab" * 32, {"licence": "Apache-2.0"}, "demo")
    store.reference_sets.add("mask-gate", {"members": [second.mask_id]}, "demo")
    store.reference_sets.add("scan-gate-in-force", {"gate": "shipped"}, "ann")
    for lesion in ("L1", "L2"):
        store.vectors.add(second.mask_id, lesion, "P1", [1.0, -2.5, 1e-9], ["a", "b", "c"], "demo")
    store.looks.add(second.mask_id, looks_of(store, second, L2=[]), "system")
    add_mark(store, second, gone, relevant=False)
    store.marks.withdraw(add_mark(store, second, gone).mark_id, "demo")
    add_mark(store, gone, second, "demo", lesions=("L1", "L2"))
    store.evidence_questions.record(EvidenceQuestion(second.mask_id, "L1", "ab" * 32, "localhost:8000", "small"), "ann")
    store.readings.set_blind("P1", DAY1, True, "ann")
    store.readings.set_blind("P1", DAY2, True, "ann")
    store.readings.set_blind("P1", DAY1, False, "demo")
    store.readings.finish("P1", DAY1, "ann")
    job = store.jobs.create("segment", {"patient_id": "P1"}, "demo")
    store.jobs.update(job, status="running", progress=0.25, message="half\tway")
    store.jobs.update(job, progress=0.5)
    store.jobs.update(job, status="done", progress=1.0, result={"version": 2})
    store.jobs.create("segment", {"patient_id": "P2"}, "ann")


def folder(store: Store, patient: str = "P1", day: str = DAY1) -> Any:
    return store.root / "processed" / "set" / patient / day
