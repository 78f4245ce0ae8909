"""Make the cases of training: the real scans at the network's spacing, and what is made from them.

`python -m weights.recipes.sts_wide_view.prepare --sts DIR --to FILE`. Of the training patients alone; ten minutes.
Each patient: the scan; the tumour shrunk to 40 % and to 15 % (`follow_up`); the tumour gone (`follow_up`, and each of
`painting.WAYS` twice, and once where it was small). Beside them phantoms with a small tumour or none.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from core.imaging.volumes import resample
from core.simulation.demo_timepoints import real_scan
from core.simulation.simulate import SimulatedTimepoint, follow_up
from weights.recipes.sts_ctpet.prepare import split
from weights.recipes.sts_ctpet.simulated import FIRST_ANATOMY, tumour_free_phantom, tumour_phantom
from weights.recipes.sts_wide_view.cases import CT_HU, PET_SUV, Case, decode, encode, save
from weights.recipes.sts_wide_view.painting import WAYS, paint
from weights.recipes.sts_wide_view.plans import dataset, plans

SHRUNK = (0.4, 0.15)
PHANTOMS = 12
TIMES = 2


class Preprocessor:
    """nnU-Net's own preprocessing by the network's plans, its values left in HU and SUV."""

    def __init__(self) -> None:
        from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
        from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

        content = plans("narrow")
        for channel, (low, high) in enumerate((CT_HU, PET_SUV)):
            content["foreground_intensity_properties_per_channel"][str(channel)].update(
                mean=0.0, std=1.0, percentile_00_5=low, percentile_99_5=high
            )
        self.plans: Any = PlansManager(content)
        self.configuration: Any = self.plans.get_configuration("3d_fullres")
        self.preprocessor: Any = DefaultPreprocessor(verbose=False)

    def __call__(self, scan: SimulatedTimepoint) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """(2, X, Y, Z) HU and SUV, and (X, Y, Z) the tumour, at the network's spacing and in its axes."""
        grid = scan.ct.grid
        pet = scan.pet.array if scan.pet.grid.matches(grid) else resample(scan.pet.array, scan.pet.grid, grid, "linear")
        data = np.stack([a.transpose(2, 1, 0) for a in (scan.ct.array, pet)]).astype(np.float32)
        truth = (scan.truth.array > 0).transpose(2, 1, 0)[None].astype(np.int16)
        properties = {"spacing": list(grid.spacing_mm[::-1])}
        out, seg, _ = self.preprocessor.run_case_npy(
            data, truth, properties, self.plans, self.configuration, dataset(18)
        )
        return np.asarray(out, np.float32), np.asarray(seg[0] > 0)


def cases_of(sts: Path, patient: str, number: int, preprocess: Preprocessor) -> Iterator[Case]:
    """The real scan first, then what is made from it."""
    real = real_scan(sts / patient)
    values, tumour = preprocess(real)
    yield Case(patient, patient, "real", "", encode(*values), tumour)
    small = (values, tumour)
    for growth in (*SHRUNK, 0.0):
        try:
            made = follow_up(real.ct, real.pet, real.truth, growth, seed=number, ct_noise_hu=0, pet_noise=0)
        except InputError as problem:
            print(f"{patient}, growth {growth}: left out: {problem}")
            continue
        found = preprocess(made)
        small = found if growth else small
        kind = "small" if growth else "free"
        yield Case(f"{patient} {growth:g}", patient, kind, "follow-up", encode(*found[0]), found[1])
    for way_number, way in enumerate(WAYS):
        for time_number in range(TIMES + 1):
            rng = np.random.default_rng([number, way_number, time_number, 3])
            of, hole = (values, tumour) if time_number < TIMES else small
            ct, pet = decode(encode(*of))
            image = encode(*paint(ct, pet, hole, way, rng))
            yield Case(f"{patient} {way} {time_number}", patient, "free", way, image, np.zeros_like(hole))


def phantoms(preprocess: Preprocessor) -> Iterator[Case]:
    """Thighs with a small tumour or none, of anatomies that no demo and no evaluation has."""
    for anatomy in range(FIRST_ANATOMY, FIRST_ANATOMY + PHANTOMS):
        for kind, scan in (("free", tumour_free_phantom(anatomy)), ("small", tumour_phantom(anatomy + 50))):
            values, tumour = preprocess(scan)
            name = f"phantom {anatomy} {kind}"
            yield Case(name, f"phantom {anatomy}", kind, "phantom", encode(*values), tumour)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sts", type=Path, required=True)
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--most", type=int, default=0, help="only so many patients, to try it out")
    arguments = parser.parse_args()
    training, _ = split(arguments.sts)
    preprocess = Preprocessor()
    cases: list[Case] = []
    for number, patient in enumerate(training[: arguments.most or None]):
        began = time.perf_counter()
        cases += cases_of(arguments.sts, patient, number, preprocess)
        print(f"{patient}: {len(cases)} cases, {time.perf_counter() - began:.1f} s", flush=True)
    cases += phantoms(preprocess)
    save(arguments.to, cases)
    print(f"{len(cases)} cases, {arguments.to.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
