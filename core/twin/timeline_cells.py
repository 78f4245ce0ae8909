"""What is known of one lesion at one timepoint: exactly one state, its figures, and where they come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from core.errors import InputError
from core.twin.cell_measures import CellMeasures

CellState = Literal[
    "measured",
    "absent",
    "too small to measure",
    "not in view",
    "merged into",
    "split into",
    "rejected",
    "not assessed",
]
CELL_STATES: tuple[CellState, ...] = get_args(CellState)
#: The states that are a number; "absent" alone is 0.
NUMBER_STATES: frozenset[CellState] = frozenset({"measured", "absent"})
#: The states that go on at later visits until the lesion is seen, or said to be gone.
PASSED_ON_STATES: frozenset[CellState] = frozenset({"merged into", "split into"})


@dataclass(frozen=True)
class CellLink:
    """How sure it is that this is the lesion.

    Args:
        confidence: 0..1, the least of its labels; None where nothing was measured.
        confirmed_by: who confirmed all of it; None: proposed, and nobody has.
        doubts: why it may be another lesion, in sentences; () once a person confirmed it.
    """

    confidence: float | None
    confirmed_by: str | None
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cell:
    """One lesion at one timepoint.

    Args:
        state: one of `CELL_STATES`; into: the lesions that it was merged or split into.
        volume_mm3: of all its labels, > 0 where "measured"; 0 where "absent"; None in every other state.
        longest_diameter_mm: in-plane, of its labels and their fragments added up; as the volume.
        short_axis_mm: the longest perpendicular in the same slice, added up likewise; None where it was not stored with
            the mask of one of its labels.
        hand_longest_diameter_mm, hand_short_axis_mm: as a person set them by hand at this timepoint, in whatever state,
            with who (`_by`); None where nobody did. hand_others: older ones that stand, in words.
        measures: uptake, density and compartments; None where it is not measured.
        slices: axial slices of the label that lies in most; None where not known for each of its labels.
        modality, slice_thickness_mm: of the scan; None where not known.
        mask_id, version, method, checkpoint_sha256, made_by, accepted_by: of the accepted mask and its contour; None
            where there is none, or it is not recorded.
        doubts: of the gates and of the link, in words, and which gate has not judged it; those that who
            accepted the mask answered with "answered by" and the comment.
        link: None for a mask without links: its labels are the lesions.
        why: a sentence for people.

    Raises:
        InputError: a state that is none, a volume where the state is no number, or none where it is.
    """

    lesion_id: str
    timepoint: str
    state: CellState
    why: str
    into: tuple[str, ...] = ()
    volume_mm3: float | None = None
    longest_diameter_mm: float | None = None
    short_axis_mm: float | None = None
    measures: CellMeasures | None = None
    modality: str | None = None
    slice_thickness_mm: float | None = None
    mask_id: str | None = None
    version: int | None = None
    method: str | None = None
    checkpoint_sha256: str | None = None
    made_by: str | None = None
    accepted_by: str | None = None
    doubts: tuple[str, ...] = ()
    link: CellLink | None = None
    hand_longest_diameter_mm: float | None = None
    hand_longest_diameter_by: str | None = None
    hand_short_axis_mm: float | None = None
    hand_short_axis_by: str | None = None
    hand_others: tuple[str, ...] = ()
    slices: int | None = None

    def __post_init__(self) -> None:
        if self.state not in CELL_STATES:
            raise InputError(f"Expected a state of {', '.join(CELL_STATES)}, got {self.state!r}.")
        known = self.volume_mm3 is not None
        if known != self.is_number or (self.state == "absent" and self.volume_mm3 != 0):
            raise InputError(
                f"Expected a volume where it is measured, 0 where absent, got {self.volume_mm3} mm3, "
                f"{self.state}. Give None in every other state."
            )

    @property
    def is_number(self) -> bool:
        """Whether it is a volume: measured, or looked for and gone."""
        return self.state in NUMBER_STATES

    @property
    def longest_in_force_mm(self) -> float | None:
        """The longest diameter that responses are told by: the one that a person set, else the mask's."""
        by_hand = self.hand_longest_diameter_mm
        return self.longest_diameter_mm if by_hand is None else by_hand

    @property
    def short_axis_in_force_mm(self) -> float | None:
        """The same of the short axis."""
        return self.short_axis_mm if self.hand_short_axis_mm is None else self.hand_short_axis_mm

    @property
    def confirmed(self) -> bool:
        """Whether a person said that this is the lesion."""
        return self.link is not None and self.link.confirmed_by is not None


@dataclass(frozen=True)
class Total:
    """All lesions of a visit together.

    Args:
        volume_mm3: None where a lesion is no number: a part of them is no total.
        lesions: those that are in it, the ones that are absent or rejected not.
        why: why it is not known, a sentence; "" where it is.
    """

    timepoint: str
    mask_id: str
    version: int
    volume_mm3: float | None
    lesions: tuple[str, ...]
    why: str = ""


@dataclass(frozen=True)
class UnlinkedLabel:
    """A label of an accepted mask of which nobody can tell which lesion it is: it is in no curve and no total."""

    timepoint: str
    mask_id: str
    version: int
    label: int
    lesion_id: str
    volume_mm3: float
