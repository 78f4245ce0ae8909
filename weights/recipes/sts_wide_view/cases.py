"""Cases at the network's spacing, in one small file: what `prepare` writes and training reads. Needs NumPy alone.

CT is kept in steps of 1.6 HU, PET in steps of the root of the SUV: finer than either's noise. A variant of a scan (the
tumour shrunk or painted out) is kept as its difference from the scan, which is zero almost everywhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

#: What is kept of CT (HU) and PET (SUV); beyond, values are set to the limit.
CT_HU = (-160.0, 240.0)
PET_SUV = (0.0, 25.0)


@dataclass(frozen=True)
class Window:
    """How nnU-Net's "CTNormalization" scales one channel: (clip(value, low, high) - low) / scale.

    The lower limit becomes zero, so that the zeros which nnU-Net pads a small scan with look like air without uptake.
    With the usual mean they looked like the mean voxel of a tumour.
    """

    low: float
    high: float
    scale: float

    def __call__(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        return ((np.clip(values, self.low, self.high) - self.low) / self.scale).astype(np.float32)


#: CT and PET. "narrow" has about the limits of the first shipped network, "wide" tells fat from air.
WINDOWS = {
    "narrow": (Window(-90.0, 146.0, 41.0), Window(0.0, 20.0, 3.75)),
    "wide": (Window(*CT_HU, 60.0), Window(0.0, 20.0, 3.75)),
}


@dataclass(frozen=True, eq=False)
class Case:
    """One scan with its truth.

    Args:
        name: unique; a patient's own scan bears the patient's name.
        patient: whose, or the phantom; what folds are made by.
        kind: "real", "small" (tumour shrunk), "free" (nothing to find).
        way: how it was made: "" for a real scan.
        image: (2, X, Y, Z) uint8, CT and PET as `encode` makes them; axes as nnU-Net's preprocessing leaves them.
        tumour: (X, Y, Z) bool.
    """

    name: str
    patient: str
    kind: str
    way: str
    image: NDArray[np.uint8]
    tumour: NDArray[np.bool_]


def encode(ct: NDArray[np.float32], pet: NDArray[np.float32]) -> NDArray[np.uint8]:
    """HU and SUV of one shape -> (2, ...) uint8."""
    hu = (np.clip(ct, *CT_HU) - CT_HU[0]) / (CT_HU[1] - CT_HU[0])
    suv = np.sqrt(np.clip(pet, *PET_SUV) / PET_SUV[1])
    return np.rint(255 * np.stack([hu, suv])).astype(np.uint8)


def decode(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(2, ...) uint8 -> (2, ...) float32: HU and SUV."""
    part = image.astype(np.float32) / 255
    return np.stack([CT_HU[0] + part[0] * (CT_HU[1] - CT_HU[0]), part[1] ** 2 * PET_SUV[1]])


def normalise(values: NDArray[np.float32], windows: tuple[Window, Window]) -> NDArray[np.float32]:
    """(2, ...) HU and SUV -> (2, ...) float32 as the network sees them, from 0."""
    return np.stack([window(channel) for window, channel in zip(windows, values, strict=True)])


def save(path: Path, cases: Iterable[Case]) -> None:
    """One .npz; a case of the same patient and shape as the real scan before it is kept as a difference from it."""
    arrays: dict[str, NDArray[np.uint8]] = {}
    index: list[dict[str, str | list[int]]] = []
    real: dict[str, NDArray[np.uint8]] = {}
    for n, case in enumerate(cases):
        base = real.get(case.patient) if case.kind != "real" else None
        if base is not None and base.shape != case.image.shape:
            base = None
        if case.kind == "real":
            real[case.patient] = case.image
        arrays[f"image{n}"] = case.image if base is None else case.image - base  # wraps around, and back in `load`
        arrays[f"tumour{n}"] = np.packbits(case.tumour)
        index.append(
            {
                "name": case.name,
                "patient": case.patient,
                "kind": case.kind,
                "way": case.way,
                "of": "" if base is None else case.patient,
                "shape": list(case.tumour.shape),
            }
        )
    text = np.frombuffer(json.dumps(index).encode(), np.uint8)
    np.savez_compressed(path, allow_pickle=False, index=text, **arrays)


def load(path: Path) -> list[Case]:
    """What `save` wrote."""
    with np.load(path) as file:
        index = json.loads(file["index"].tobytes())
        cases: list[Case] = []
        real: dict[str, NDArray[np.uint8]] = {}
        for n, line in enumerate(index):
            image = file[f"image{n}"]
            if line["of"]:
                image = image + real[line["of"]]
            if line["kind"] == "real":
                real[line["patient"]] = image
            shape = tuple(line["shape"])
            bits = np.unpackbits(file[f"tumour{n}"], count=int(np.prod(shape)))
            tumour = bits.reshape(shape).astype(bool)
            cases.append(Case(line["name"], line["patient"], line["kind"], line["way"], image, tumour))
    return cases


def folds(patients: Iterable[str], tumour_voxels: dict[str, int], count: int = 3) -> list[list[str]]:
    """Patients dealt out by tumour size, so that every fold spans the sizes."""
    ordered = sorted(patients, key=lambda name: tumour_voxels[name])
    return [sorted(ordered[n::count]) for n in range(count)]
