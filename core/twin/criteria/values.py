"""What a response criterion is told and what it answers: visits, the protocol, and one call a visit.

Values only. A criterion never asks a store: whoever has a timeline makes visits from it (`adapter`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from core.errors import InputError
from core.remembered.protocols import LEAST_NEW_MM, LEAST_NEW_NODE_MM, FollowedLesion
from core.twin.timeline_cells import CELL_STATES, CellState

NontargetStatus = Literal["CR", "non-CR/non-PD", "PD", "NE"]
ClinicalStatus = Literal["better", "stable", "worse", "unknown"]
UptakeChange = Literal["lower", "same", "higher"]
Unit = Literal["mm", "mm3", "SUL", ""]
#: Calls that are no response: the visit that others are compared with, and those before it.
BASELINE, BEFORE_BASELINE = "baseline", "before baseline"

#: RECIST 1.1 section 3.2: below this short axis a node is normal (10.1016/j.ejca.2008.10.026; PMC2872013).
NORMAL_NODE_MM = 10.0
#: RECIST 1.1 section 4.3.2: what a lesion counts that is there but too small to be measured.
TOO_SMALL_MM = 5.0


@dataclass(frozen=True)
class Enhancing:
    """The enhancing part of a lesion. Args: not_told_mm3: of the lesion that has no compartment, drawn by a person."""

    longest_mm: float
    short_axis_mm: float
    volume_mm3: float
    not_told_mm3: float = 0.0


@dataclass(frozen=True)
class Measurement:
    """One lesion at one visit.

    Args:
        state: one of `CELL_STATES`; into: of "merged into" and "split into", which lesions.
        longest_mm: longest in-plane diameter; short_axis_mm: of a node; volume_mm3: each None where not known.
        sul_peak: lean-body-mass SUVpeak in 1 mL, of PET; no_sul: why it is not known, a sentence.
        enhancing: of a lesion with compartments, the same of its enhancing part; None where no network told.
        slices: axial slices in which it lies; None: not known.

    Raises:
        InputError: a state that is none, or a negative figure.
    """

    lesion_id: str
    state: CellState = "measured"
    longest_mm: float | None = None
    short_axis_mm: float | None = None
    volume_mm3: float | None = None
    sul_peak: float | None = None
    into: tuple[str, ...] = ()
    no_sul: str = ""
    enhancing: Enhancing | None = None
    slices: int | None = None

    def __post_init__(self) -> None:
        if self.state not in CELL_STATES:
            raise InputError(f"Expected a state of {', '.join(CELL_STATES)}, got {self.state!r}.")
        for figure in (self.longest_mm, self.short_axis_mm, self.volume_mm3, self.sul_peak, self.slices):
            _check_not_negative(figure, f"of lesion {self.lesion_id}")


@dataclass(frozen=True)
class NewLesion:
    """A lesion that was not there at baseline and is there at this visit; listed at every visit at which it is there.

    Args:
        size_mm: longest diameter, of a node the short axis; None: not known.
        unequivocal: a person's word; None: nobody was asked, and its size decides.
        grew: a person's word that it grew since the visit before; None: its size tells.
    """

    lesion_id: str
    size_mm: float | None = None
    is_node: bool = False
    unequivocal: bool | None = None
    grew: bool | None = None

    def __post_init__(self) -> None:
        _check_not_negative(self.size_mm, f"of new lesion {self.lesion_id}")


@dataclass(frozen=True)
class Visit:
    """What is known at one timepoint.

    Args:
        days: since any one day, the same for all visits; ascending.
        nontarget: a person's word on the non-target lesions; None: not asked.
        nontarget_grew: any growth of them since the visit before (iRECIST); None: not asked.
        dexamethasone_mg: corticosteroid a day as dexamethasone; 0: none; None: not known.
        clinical: the patient's clinical or neurological status since baseline.
        deauville: 1..5, by a person. uptake_change: since baseline, by a person.
        uptake_like_background: a person's word that no lesion stands out of its surroundings; None: not asked.
        liver_sul_mean, liver_sul_sd: of the reference region. tlg_ml: total lesion glycolysis, SUL x mL.
    """

    timepoint: str
    days: float
    measurements: tuple[Measurement, ...] = ()
    nontarget: NontargetStatus | None = None
    nontarget_grew: bool | None = None
    new_lesions: tuple[NewLesion, ...] = ()
    dexamethasone_mg: float | None = None
    clinical: ClinicalStatus = "unknown"
    deauville: int | None = None
    uptake_change: UptakeChange | None = None
    uptake_like_background: bool | None = None
    liver_sul_mean: float | None = None
    liver_sul_sd: float | None = None
    tlg_ml: float | None = None

    def __post_init__(self) -> None:
        _check_word(self.nontarget, (*get_args(NontargetStatus), None), "status of the non-target lesions")
        _check_word(self.clinical, get_args(ClinicalStatus), "clinical status")
        _check_word(self.uptake_change, (*get_args(UptakeChange), None), "change of uptake")
        _check_word(self.deauville, (1, 2, 3, 4, 5, None), "Deauville score")
        for figure in (self.dexamethasone_mg, self.liver_sul_mean, self.liver_sul_sd, self.tlg_ml):
            _check_not_negative(figure, f"at {self.timepoint}")
        _check_once([m.lesion_id for m in self.measurements], f"measurements at {self.timepoint}")
        _check_once([lesion.lesion_id for lesion in self.new_lesions], f"new lesions at {self.timepoint}")


@dataclass(frozen=True)
class Protocol:
    """By what a patient's response is told; a property of the patient or data set.

    Args:
        criterion: a name of `table.CRITERIA`.
        baseline: its timepoint. An older scan that is accepted later changes nothing.
        targets, nontargets: lesions at baseline; () for none there.
        least_new_mm, least_new_node_mm: the longest diameter (node: short axis) from which a new lesion counts without
            a person's word. RECIST names no size, only "unequivocal" (4.3.5); that what it calls measurable is enough
            (10 mm, node 15 mm) is assumed.
        log_sd: of one measurement of the criterion's own kind (diameter, volume, SUL); None: not known.
        confirmation_days: after how many days a response must be seen again; None: as the criterion says.
    """

    criterion: str
    baseline: str
    targets: tuple[FollowedLesion, ...] = ()
    nontargets: tuple[FollowedLesion, ...] = ()
    least_new_mm: float = LEAST_NEW_MM
    least_new_node_mm: float = LEAST_NEW_NODE_MM
    log_sd: float | None = None
    confirmation_days: int | None = None

    def __post_init__(self) -> None:
        _check_once([lesion.lesion_id for lesion in (*self.targets, *self.nontargets)], "targets and non-targets")
        for figure in (self.least_new_mm, self.least_new_node_mm, self.log_sd, self.confirmation_days):
            _check_not_negative(figure, "in the protocol")


@dataclass(frozen=True)
class Call:
    """One visit's answer under one criterion.

    Args:
        call: "baseline", "before baseline", or the criterion's own word: CR, PR, SD, PD, NE, non-CR/non-PD; iCR, iPR,
            iSD, iUPD, iCPD; CMR, PMR, SMD, NMR, PMD.
        by_measure: what the target measurements alone say; "" at baseline and where nothing is measured.
        sentence: the call and why, with its numbers.
        value, baseline, nadir: sums in `unit`; None where not known. The nadir is the least before this visit, baseline
            included, and stops at progression.
        missing: targets that have no measurement here. new_lesions: those that count.
        flips_within_noise: whether the call differs at either end of the 95 % band of this change; None: no noise is
            known.
        confirmed: whether a response was seen again as late as is asked for; None: not asked for.
        progressed_on: the timepoint of progression, from it on; a lesion that was first in doubt counts from where it
            was first seen. None: none.
        notes: what else a reader must know, in sentences.
    """

    timepoint: str
    days: float
    criterion: str
    call: str
    sentence: str
    by_measure: str = ""
    unit: Unit = ""
    value: float | None = None
    baseline: float | None = None
    nadir: float | None = None
    missing: tuple[str, ...] = ()
    new_lesions: tuple[str, ...] = ()
    flips_within_noise: bool | None = None
    confirmed: bool | None = None
    progressed_on: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def sum_mm(self) -> float | None:
        """The sum of diameters; None for a criterion that has none."""
        return self.value if self.unit == "mm" else None

    @property
    def baseline_mm(self) -> float | None:
        """The sum at baseline; None for a criterion that has none."""
        return self.baseline if self.unit == "mm" else None

    @property
    def nadir_mm(self) -> float | None:
        """The least sum before; None for a criterion that has none."""
        return self.nadir if self.unit == "mm" else None

    @property
    def change_from_baseline_percent(self) -> float | None:
        """None where either is not known, or baseline is 0."""
        return percent(self.value, self.baseline)

    @property
    def change_from_nadir_percent(self) -> float | None:
        """None where either is not known, or the nadir is 0."""
        return percent(self.value, self.nadir)


def percent(value: float | None, reference: float | None) -> float | None:
    """The change in percent of the reference; None where either is not known, or the reference is 0."""
    return None if value is None or not reference else 100.0 * (value - reference) / reference


def visits_from_baseline(visits: Sequence[Visit], protocol: Protocol) -> tuple[list[Visit], list[Visit]]:
    """The visits before the baseline, and those from it on.

    Raises:
        InputError: the protocol's baseline is no visit, or visits are not in order of time.
    """
    days = [visit.days for visit in visits]
    if any(later <= earlier for earlier, later in itertools.pairwise(days)):
        raise InputError("Expected visits in order of time, each on its own day. Sort them by days.")
    start = next((n for n, visit in enumerate(visits) if visit.timepoint == protocol.baseline), None)
    if start is None:
        raise InputError(f"Expected a visit at the baseline {protocol.baseline!r}, got none. Choose another baseline.")
    return list(visits[:start]), list(visits[start:])


def call_before_baseline(visit: Visit, protocol: Protocol) -> Call:
    """Of a visit that is older than the baseline: no response."""
    sentence = f"Before the baseline of {protocol.baseline}: not judged."
    return Call(visit.timepoint, visit.days, protocol.criterion, BEFORE_BASELINE, sentence)


def _check_not_negative(figure: float | None, where: str) -> None:
    if figure is not None and not (math.isfinite(figure) and figure >= 0):
        raise InputError(f"Expected figures of at least 0 {where}, got {figure}. Give None where it is not known.")


def _check_word(word: object, known: Sequence[object], what: str) -> None:
    if word not in known:
        raise InputError(f"Expected a {what} of {', '.join(str(k) for k in known if k is not None)}, got {word!r}.")


def _check_once(lesion_ids: Sequence[str], what: str) -> None:
    if len(set(lesion_ids)) != len(lesion_ids):
        raise InputError(f"Expected each lesion once among the {what}, got {', '.join(lesion_ids)}.")
