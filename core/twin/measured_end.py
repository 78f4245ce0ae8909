"""One end of a change: a lesion's volume, and all that says how it was measured."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from core.errors import InputError
from core.types import MODALITIES

RegistrationState = Literal["good", "doubtful", "failed", "accepted"]


@dataclass(frozen=True)
class MeasuredEnd:
    """One end of a change: a lesion's volume in one mask, and all that says how it was measured.

    Args:
        volume_mm3: >= 0; 0: looked for and gone. longest_diameter_mm: >= 0, of the largest lesion for a total.
        modality: CT, PET or MR; sequence: "" for CT and PET.
        slice_thickness_mm: > 0; None: not known. spacing_mm: of the scan's voxels; None: not known.
        method, checkpoint_sha256: the segmenter whose contour it is, before a person changed it; None: not recorded.
        reader: whose hand is in the contour, and else who accepted it; None: not known.
        edited_share: 0..1, changed voxels as a share of the lesion's, 1 where a person drew it; None: not known.
        registration_state: of the pair that says that this is the same lesion; None: nothing was registered.
        doubts: standing doubts of the gates, in words.
        mask_id, day: where the number comes from; days on any axis common to both ends.

    Raises:
        InputError: a figure is out of range or not finite, or the modality or state is none of those named.
    """

    volume_mm3: float
    longest_diameter_mm: float
    modality: str
    sequence: str = ""
    slice_thickness_mm: float | None = None
    spacing_mm: tuple[float, ...] | None = None
    method: str = ""
    checkpoint_sha256: str | None = None
    reader: str | None = None
    edited_share: float | None = None
    registration_state: RegistrationState | None = None
    doubts: tuple[str, ...] = ()
    mask_id: str = ""
    day: float = 0.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.volume_mm3) and self.volume_mm3 >= 0):
            raise InputError(f"Expected volumes of at least 0 mm3, got {self.volume_mm3}. Measure the mask again.")
        if not (math.isfinite(self.longest_diameter_mm) and self.longest_diameter_mm >= 0 and math.isfinite(self.day)):
            got = f"{self.longest_diameter_mm} mm on day {self.day}"
            raise InputError(f"Expected a diameter of at least 0 mm and a day, got {got}. Measure the mask again.")
        if self.modality not in MODALITIES:
            raise InputError(f"Expected modality CT, PET or MR, got {self.modality!r}.")
        for length in (self.slice_thickness_mm, *(self.spacing_mm or ())):
            if length is not None and not (math.isfinite(length) and length > 0):
                raise InputError(f"Expected slices and voxels above 0 mm, got {length}. Give None where not known.")
        if self.edited_share is not None and not 0 <= self.edited_share <= 1:
            raise InputError(f"Expected a changed share of 0 to 1, got {self.edited_share}. Give None where not known.")
        if self.registration_state not in (None, *get_args(RegistrationState)):
            known = ", ".join(get_args(RegistrationState))
            raise InputError(f"Expected a registration that is {known} or None, got {self.registration_state!r}.")

    @property
    def slice_mm(self) -> float | None:
        """Slice thickness, or else the coarsest distance of its voxels, mm; None where neither is known."""
        if self.slice_thickness_mm is not None:
            return self.slice_thickness_mm
        return max(self.spacing_mm, default=None) if self.spacing_mm is not None else None
