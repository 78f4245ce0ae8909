"""What treatments did to lesions of cited populations: how fast they changed at first, and how fast they grew again.

    python -m core.growth.effects FILE.csv > core/growth/effects.json

These are what was seen in people who were treated so, not what the treatment causes, and no ranking: who got which
treatment was no accident.

The file calls its arms by number. Which trial and treatment each is (`STUDIES`, `DOCETAXEL`) is assumed: a public
analysis of the same file names them so, after counting patients in the paper's figure 1; and on what is called
docetaxel lesions shrink more at first, as was published of POPLAR (Clin Cancer Res 2018; 24(14): 3292-8).
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from core.growth.series import Lesion, lesions_of, read_table

Floats = NDArray[np.float64]

#: The first scan on treatment is looked for up to this day; a rate needs so many days.
FIRST_UNTIL, MIN_DAYS = 100.0, 14.0
MIN_LESIONS = 15
LUNG, BLADDER = "non-small cell lung cancer", "urothelial cancer"
#: Study number -> trial and disease (assumed). All gave atezolizumab, the arms of `DOCETAXEL` docetaxel.
STUDIES = {
    "1": ("FIR", LUNG),
    "2": ("POPLAR", LUNG),
    "3": ("BIRCH", LUNG),
    "4": ("OAK", LUNG),
    "5": ("IMvigor210", BLADDER),
}
DOCETAXEL = frozenset({"Study_2_Arm_1", "Study_4_Arm_1"})
SOURCE = "Laleh et al. 2022, 10.1371/journal.pcbi.1009822 (CC BY)"


@dataclass(frozen=True)
class Effect:
    """One treatment's rates of ln(volume), per day, as 10, 50 and 90 % quantiles over lesions.

    Args:
        name: as its source calls it; source: citation; lesions: how many were measured.
        treatment, trial, disease: what it is (assumed, see above); "" where it is set by hand.
        first: net rate from the last scan before treatment to the first on it.
        regrowth: net rate from the nadir to the last scan, of those that grew again; regrown: how many did.
        radiotherapy: afterwards growth cannot be told from necrosis.
    """

    name: str
    source: str
    lesions: int
    first: tuple[float, float, float]
    regrowth: tuple[float, float, float]
    regrown: int
    radiotherapy: bool = False
    treatment: str = ""
    trial: str = ""
    disease: str = ""

    @property
    def label(self) -> str:
        """For people: "docetaxel, OAK (Study 4 Arm 1)"."""
        return f"{self.treatment}, {self.trial} ({self.name})" if self.treatment else self.name


def by_hand(first: float, regrowth: float, radiotherapy: bool = False) -> Effect:
    """An effect set by hand: both rates per day, each with a spread of half its size to either side (assumed)."""

    def spread(rate: float) -> tuple[float, float, float]:
        half = 0.5 * abs(rate)
        return rate - half, rate, rate + half

    return Effect("set by hand", "set by hand", 0, spread(first), spread(regrowth), 0, radiotherapy)


def first_rate(lesion: Lesion) -> float | None:
    """Rate of ln(volume) from the last scan on or before day 0 to the first after it, or None where there is none."""
    before = np.flatnonzero(lesion.days <= 0)
    after = np.flatnonzero((lesion.days > 0) & (lesion.days <= FIRST_UNTIL))
    if not before.size or not after.size:
        return None
    a, b = int(before[-1]), int(after[0])
    days = float(lesion.days[b] - lesion.days[a])
    return math.log(lesion.volumes_mm3[b] / lesion.volumes_mm3[a]) / days if days >= MIN_DAYS else None


def regrowth_rate(lesion: Lesion) -> float | None:
    """Rate of ln(volume) from the nadir to the last scan, or None where the lesion has not grown since."""
    low, last = int(np.argmin(lesion.volumes_mm3)), lesion.days.size - 1
    days = float(lesion.days[last] - lesion.days[low])
    grown = math.log(lesion.volumes_mm3[last] / lesion.volumes_mm3[low])
    return grown / days if days >= MIN_DAYS and grown > 0 else None


def _quantiles(rates: Sequence[float]) -> tuple[float, float, float]:
    low, middle, high = np.quantile(np.array(rates), (0.1, 0.5, 0.9))
    return round(float(low), 6), round(float(middle), 6), round(float(high), 6)


def learn(path: Path) -> list[Effect]:
    """One effect for every study arm of the file with at least `MIN_LESIONS` lesions, in the order of the file.

    Raises:
        InputError: the file is not one of lesions, or has no column Study_Arm.
    """
    table = read_table(path, ["Study_Arm"])
    lesions = lesions_of(table, 2)
    arms = {row.values["Pt_hashID"]: row.values["Study_Arm"] for row in table.rows}
    out = []
    for arm in dict.fromkeys(arms.values()):
        arm_lesions = [lesion for lesion in lesions if arms[lesion.patient_id] == arm]
        first = [rate for rate in map(first_rate, arm_lesions) if rate is not None]
        again = [rate for rate in map(regrowth_rate, arm_lesions) if rate is not None]
        if len(first) >= MIN_LESIONS and len(again) >= MIN_LESIONS:
            trial, disease = STUDIES.get(arm.split("_")[1] if arm.count("_") == 3 else "", ("", ""))
            treatment = "" if not trial else "docetaxel" if arm in DOCETAXEL else "atezolizumab"
            out.append(
                Effect(
                    arm.replace("_", " "),
                    SOURCE,
                    len(first),
                    _quantiles(first),
                    _quantiles(again),
                    len(again),
                    treatment=treatment,
                    trial=trial,
                    disease=disease,
                )
            )
    return out


@functools.cache
def default_effects() -> tuple[Effect, ...]:
    """`effects.json`, in the order of its source."""
    rows = json.loads(Path(__file__).with_name("effects.json").read_text(encoding="utf-8"))["effects"]
    return tuple(Effect(**{**row, "first": tuple(row["first"]), "regrowth": tuple(row["regrowth"])}) for row in rows)


def main(arguments: Sequence[str]) -> int:
    """Print the effects as JSON; one line on stderr and status 2 when that cannot be."""
    parser = argparse.ArgumentParser(prog="python -m core.growth.effects", description=__doc__)
    parser.add_argument("file", type=Path, metavar="FILE.csv")
    path = parser.parse_args(arguments).file
    try:
        effects = [asdict(effect) for effect in learn(path)]
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    made_by = f"python -m core.growth.effects {path.name}"
    print(json.dumps({"version": 1, "made_by": made_by, "source_sha256": digest, "effects": effects}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
