"""A small patient for the stages: scans on two grids, what a network would find in them, and masks of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from core.imaging.volumes import write_nifti
from core.jobs.stages import relinking, segment
from core.jobs.stages.common import add_version
from core.jobs.stages.linking import scans_here
from core.remembered.links import NewTransform, StoredTransform, TransformState
from core.review.readers import newest_visible_version
from core.types import Grid, LabelMap, Volume
from store import Store
from tests.store_phantom import ANSWER

DAY1, DAY2, DAY3 = "2024-01-01", "2024-02-01", "2024-03-01"
LEFT, RIGHT, FAR = (-9.0, 0.0, 0.0), (9.0, 0.0, 0.0), (0.0, 24.0, 0.0)


def grid_of(
    shape: tuple[int, int, int], spacing: tuple[float, float, float], origin: tuple[float, float, float]
) -> Grid:
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = origin
    return Grid(shape, affine)


CT = grid_of((40, 32, 16), (3.0, 3.0, 4.0), (-60.0, -48.0, -30.0))
PET = grid_of((24, 22, 12), (5.0, 5.0, 5.0), (-60.0, -50.0, -30.0))


def ball_of(grid: Grid, centre: tuple[float, float, float], radius_mm: float) -> np.ndarray:
    points = grid.to_mm(np.argwhere(np.ones(grid.shape)))
    return (np.linalg.norm(points - centre, axis=1) <= radius_mm).reshape(grid.shape)


def body_image(grid: Grid, modality: Any, seed: int, lesions=(), shift_mm: float = 0.0) -> Volume:
    """A trunk with two bones, moved along x by `shift_mm`; lesions are (centre in the patient, radius)."""
    rng = np.random.default_rng(seed)
    x, y, z = (grid.to_mm(np.argwhere(np.ones(grid.shape))) - (shift_mm, 0, 0)).T.reshape(3, *grid.shape)
    trunk = (x / 40) ** 2 + (y / 36) ** 2 + (z / 60) ** 2 <= 1
    array = np.where(trunk, -80.0, -1000.0) if modality == "CT" else np.where(trunk, 0.8, 0.05)
    for bone in ((-20, -20), (14, -22)):
        array[np.hypot(x - bone[0], y - bone[1]) <= 7] = 700 if modality == "CT" else 0.4
    for (cx, cy, cz), radius in lesions:
        array[np.hypot(np.hypot(x - cx, y - cy), z - cz) <= radius] = 60 if modality == "CT" else 8.0
    return Volume((array + rng.normal(0, 0.01 * np.ptp(array), grid.shape)).astype(np.float32), grid, modality)


def add_scans(
    store: Store, day: str, seed: int, lesions=(((0.0, 0.0, 0.0), 12.0),), shift_mm: float = 0.0, patient="P1"
) -> None:
    for grid, modality in ((CT, "CT"), (PET, "PET")):
        volume = body_image(grid, modality, seed, lesions, shift_mm)
        store.scans.add(volume, dataset="d", patient_id=patient, timepoint=day, person="demo")


def as_the_network_finds(*balls: tuple[tuple[float, float, float], float], shift_mm: float = 0.0) -> np.ndarray:
    """What a perfect network would answer."""
    array = np.zeros(CT.shape, dtype=bool)
    for (x, y, z), radius in balls:
        array |= ball_of(CT, (x + shift_mm, y, z), radius)
    return array


def propose(store: Store, day: str, found: np.ndarray, folder: Path) -> dict[str, Any]:
    """The segment job with this answer in the network's place."""
    params = segment.prepare_segment(store, {"patient_id": "P1", "timepoint": day}, "demo")
    here = scans_here(store, "P1", day)
    labels, proposed = segment.linked(LabelMap(found.astype(np.uint8), CT), here, params["linking"])
    write_nifti(folder / "mask.nii.gz", labels.array, CT, overwrite=True)
    said = {"proposed": proposed.to_json(), "seconds": {}}
    result = {"mask": "mask.nii.gz", "checkpoint_sha256": "0" * 64, **said}
    return segment.record_segment(store, params, result, folder, "demo")


def labels_of(**lesions: np.ndarray) -> LabelMap:
    """labels_of(L1=mask, L5=mask)."""
    array = np.zeros(CT.shape, dtype=np.uint8)
    for name, mask in lesions.items():
        array[mask] = int(name[1:])
    return LabelMap(array, CT)


def add_version_of(store: Store, labels: LabelMap, day: str = DAY1) -> Any:
    parent = newest_visible_version(store, "P1", day, "demo")
    return add_version(store, labels, "P1", day, method="import", author="demo", parent_version=parent)


def label_at(store: Store, day: str, version: int, centre: tuple[float, float, float]) -> int:
    """The lesion number at a point of the stored mask."""
    i, j, k = np.rint(CT.to_index(np.array([centre]))[0]).astype(int)
    return int(store.masks.load(store.masks.version("P1", day, version)).array[i, j, k])


def lesion_at(store: Store, day: str, version: int, centre: tuple[float, float, float]) -> str:
    """The lesion at a point of the stored mask, as its label is linked; "" for none."""
    label = label_at(store, day, version, centre)
    lesions = store.masks.version("P1", day, version).lesions
    return next((str(lesion["lesion_id"]) for lesion in lesions if lesion["label"] == label), "")


def accept(store: Store, day: str, version: int = 1, person: str = "ann") -> None:
    """As Review and the command line accept: what was told before others were accepted is told anew."""
    relinking.accept(store, "P1", day, version, person, *ANSWER)


def said_of(store: Store, day: str, version: int = 1) -> dict[int | str, tuple[str | None, str]]:
    """The links of a version: (lesion, relation) by label, or by lesion where it has none."""
    links = store.links.of_mask(store.masks.version("P1", day, version).mask_id)
    return {link.label or str(link.lesion_id): (link.lesion_id, link.relation) for link in links}


def registered(
    store: Store, first: str, second: str, state: TransformState = "good", shift_mm: float = 0.0
) -> StoredTransform:
    """The stored transform between two timepoints' reference scans, as if it had been computed: along x."""
    ends = [store.scans.reference("P1", day).sha256 for day in (first, second)]
    matrix = np.eye(4)
    matrix[0, 3] = shift_mm
    rows = tuple(tuple(float(x) for x in row) for row in matrix)
    return store.transforms.add("P1", NewTransform(first, second, ends[0], ends[1], rows, state), "demo")


def box_request(scan: str, grid: Grid, centre=(0.0, 0.0, 0.0), radius_mm=12.0, **more: Any) -> dict[str, Any]:
    low, high = (np.rint(grid.to_index(np.array([np.add(centre, d)]))[0]) for d in (-radius_mm, radius_mm))
    k = int(np.rint(grid.to_index(np.array([centre]))[0][2]))
    box = {"type": "box", "slice": k, "coords": [low[0], low[1], high[0], high[1]]}
    return {"patient_id": "P1", "timepoint": DAY1, "scan": scan, "prompts": [box], **more}
