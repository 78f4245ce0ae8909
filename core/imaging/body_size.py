"""What SUV are also set against: lean mass and body surface, by formulas from weight, height and sex.

TwinReview keeps every PET as SUV by body weight, the one that its models were trained on. These factors turn it into
the others, and files made with the others into it.

Sources: Janmahasatian et al. 2005, 10.2165/00003088-200544100-00004 (what PERCIST and IBSI use for lean mass); James,
Research on Obesity, HMSO 1976; Du Bois and Du Bois 1916, 10.1001/archinte.1916.00080130010002.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pydicom import Dataset

from core.errors import InputError
from core.imaging.headers.image_header import code_word

WEIGHT_KG = (2.0, 300.0)
HEIGHT_M = (0.3, 2.5)
_LEANEST, _FATTEST = 0.2, 1.0


@dataclass(frozen=True)
class BodySize:
    """A person's size: weight_kg within `WEIGHT_KG`, height_m within `HEIGHT_M`, sex "F" or "M"."""

    weight_kg: float
    height_m: float
    sex: str

    @property
    def lean_mass_kg(self) -> float:
        """By Janmahasatian."""
        a, b = (8780.0, 244.0) if self.sex == "F" else (6680.0, 216.0)
        return 9270.0 * self.weight_kg / (a + b * self.weight_kg / self.height_m**2)

    @property
    def lean_mass_james_kg(self) -> float:
        """By James, with 128 for men."""
        a, b = (1.07, 148.0) if self.sex == "F" else (1.10, 128.0)
        return a * self.weight_kg - b * (self.weight_kg / (100.0 * self.height_m)) ** 2

    @property
    def surface_m2(self) -> float:
        """By Du Bois."""
        return 0.007184 * self.weight_kg**0.425 * (100.0 * self.height_m) ** 0.725

    @property
    def lean_mass_ratio(self) -> float:
        """SUV by lean mass = this x SUV by body weight."""
        return self.lean_mass_kg / self.weight_kg

    @property
    def surface_ratio_cm2_per_g(self) -> float:
        """SUV by body surface, cm2/mL = this x SUV by body weight, g/mL."""
        return 10.0 * self.surface_m2 / self.weight_kg


#: SUVType of DICOM (PS3.3 C.8.9.1) -> how its SUV is of the one by body weight.
_RATIOS: Mapping[str, Callable[[BodySize], float]] = {
    "LBMJANMA": lambda body: body.lean_mass_ratio,
    "LBMJAMES128": lambda body: body.lean_mass_james_kg / body.weight_kg,
    "BSA": lambda body: body.surface_ratio_cm2_per_g,
}


def body_size(header: Dataset) -> BodySize | None:
    """What a header says of the person's size; None where it lacks one of the three, or says what nobody has."""
    weight, height, sex = _real(header, "PatientWeight"), _real(header, "PatientSize"), header.get("PatientSex")
    possible = WEIGHT_KG[0] <= weight <= WEIGHT_KG[1] and HEIGHT_M[0] <= height <= HEIGHT_M[1]
    return BodySize(weight, height, str(sex)) if possible and sex in ("F", "M") else None


def size_facts(header: Dataset) -> dict[str, float]:
    """ "lean_mass_ratio" and "surface_ratio" as metadata, the person's size and sex left out; {} where not known."""
    body = body_size(header)
    if body is None:
        return {}
    return {"lean_mass_ratio": body.lean_mass_ratio, "surface_ratio": body.surface_ratio_cm2_per_g}


def to_body_weight(header: Dataset, kind: str, name: str) -> float:
    """The factor that makes SUV of another `SUVType` SUV by body weight.

    Raises:
        InputError: a type whose formula is not known ("LBM" alone is one of two), or no possible size and sex.
    """
    if kind not in _RATIOS:
        raise InputError(
            f"{name}: expected SUV by body weight (BW), or by {', '.join(_RATIOS)}, got {code_word(kind)}, which does "
            "not say by which formula. Export the series as SUV BW or BQML."
        )
    body = body_size(header)
    if body is None:
        raise InputError(
            f"{name}: expected SUV by body weight, got {kind}, which is converted by PatientWeight (0010,1030), "
            "PatientSize (0010,1020) in metres and PatientSex (0010,0040), and these are not all there or not "
            "possible. Export the series as SUV BW or BQML."
        )
    ratio = _RATIOS[kind](body)
    if kind != "BSA" and not _LEANEST <= ratio <= _FATTEST:
        raise InputError(
            f"{name}: expected a lean mass of {_LEANEST:.0%} to {_FATTEST:.0%} of the weight, got {ratio:.0%} of "
            f"{body.weight_kg:g} kg at {body.height_m:g} m. Correct (0010,1020) or (0010,1030)."
        )
    return 1.0 / ratio


def _real(header: Dataset, keyword: str) -> float:
    try:
        return float(header.get(keyword) or 0.0)
    except (TypeError, ValueError):
        return 0.0
