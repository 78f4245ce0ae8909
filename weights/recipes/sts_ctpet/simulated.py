"""Simulated cases for the second training: scans without a tumour, and small tumours, which the real ones lack.

Made from the training patients and from phantoms whose anatomies (seeds from 900) are in no demo and no evaluation.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from core.simulation.demo_timepoints import real_scan
from core.simulation.simulate import LesionSpec, PhantomSpec, SimulatedTimepoint, follow_up, phantom

FIRST_ANATOMY = 900
#: A third of its volume: the smallest training tumours become 6 to 30 mL.
SHRUNK = 0.33


def without_tumour(folder: Path, seed: int) -> SimulatedTimepoint:
    """The patient with the tumour shrunk and what is left painted over: nothing to find."""
    real = real_scan(folder)
    return follow_up(real.ct, real.pet, real.truth, 0.0, shift_mm=(4, -4, 3), seed=seed)


def tumour_free_phantom(anatomy: int) -> SimulatedTimepoint:
    """A thigh without a tumour."""
    rng = np.random.default_rng([anatomy, 3])
    x, y = rng.uniform(-28, 28, 2).tolist()
    return phantom(PhantomSpec(anatomy, (), (x, y), (152, 152, 52)), seed=anatomy)


def tumour_phantom(anatomy: int) -> SimulatedTimepoint:
    """A thigh with one tumour of 8 to 60 mL."""
    rng = np.random.default_rng([anatomy, 5])
    x, y, z = rng.uniform((-26, -26, -25), (26, 26, 25)).tolist()
    lesion = LesionSpec(
        1,
        float(rng.uniform(8e3, 60e3)),
        (0, 0, z),
        float(rng.uniform(3, 9)),
        shape_seed=anatomy,
        necrosis=float(rng.choice([0, 0.4])),
    )
    return phantom(PhantomSpec(anatomy, (lesion,), (x, y), (152, 152, 52)), seed=anatomy)


def simulated_cases(sts: Path, training: list[str]) -> Iterator[tuple[str, SimulatedTimepoint]]:
    """(name, case): every second training patient tumour-free, the others shrunk; six phantoms of each kind."""
    for n, patient in enumerate(training):
        if n % 2:
            yield f"FREE_{patient}", without_tumour(sts / patient, n)
        else:
            real = real_scan(sts / patient)
            yield f"SMALL_{patient}", follow_up(real.ct, real.pet, real.truth, SHRUNK, shift_mm=(-4, 4, 3), seed=n)
    for anatomy in range(FIRST_ANATOMY, FIRST_ANATOMY + 6):
        yield f"FREE_PHANTOM_{anatomy}", tumour_free_phantom(anatomy)
        yield f"SMALL_PHANTOM_{anatomy}", tumour_phantom(anatomy + 50)
