"""The records of a whole cohort, read at once, as `core.twin.outcomes` asks for them: patient by patient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Protocol

from core.errors import StoreError
from core.imaging.reference_scan import reference_of
from core.remembered.hand_measurements import HandMeasurement
from core.remembered.links import LesionLink, StoredTransform
from core.remembered.lists import CohortMask, CohortRow, CohortScan
from core.remembered.protocols import StoredProtocol
from core.remembered.rows import Event, MaskVerdict, ReferenceSet, ScanVerdict
from core.remembered.sources import ReferenceSetSource
from core.twin.own_noise import KIND as OWN_NOISE
from core.types import Decision, Grid


class CohortRecords:
    """What the store would answer about each patient, from rows that are there already.

    Of masks it knows the accepted ones and what they were drawn from, of verdicts the newest, and of decisions those
    that accepted; so a timeline made of it does not say why a timepoint has no accepted mask.

    Args:
        grids: reads where a scan lies, one header at a time, for the few lesions of which no link says what became of
            them.
        reference_sets: has this installation's own noise.
    """

    def __init__(
        self,
        rows: Sequence[CohortRow],
        grids: GridSource,
        reference_sets: ReferenceSetSource,
    ) -> None:
        by_patient = {row.patient_id: row for row in rows}
        self.patients = _Timepoints(by_patient)
        self.masks = _Masks(by_patient)
        self.scans = _Scans(by_patient, grids)
        self.links = _Links(by_patient)
        self.transforms = _Transforms(by_patient)
        self.events = _Events(by_patient)
        self.measurements = _ByHand(by_patient)
        self.decisions = _Acceptances(by_patient)
        self.verdicts = _Doubts(by_patient)
        self.reference_sets = _AskedOnce(reference_sets)
        self.readings = _NoneOpen()
        self.protocols = _Protocols(by_patient)
        self._rows = by_patient

    def state_of(self, patient_id: str) -> str:
        """What one patient's response is made of, as a key: another one as soon as any of it changes."""
        told = repr((self._rows[patient_id], [one.set_id for one in self.reference_sets.all(OWN_NOISE)]))
        return sha256(told.encode()).hexdigest()


class GridSource(Protocol):
    """Where scans lie in space."""

    def reference_grid(self, patient_id: str, timepoint: str) -> Grid: ...


class _AskedOnce:
    """Reference sets, asked for once a kind and not once a patient."""

    def __init__(self, sets: ReferenceSetSource) -> None:
        self._sets, self._known = sets, dict[str | None, list[ReferenceSet]]()

    def all(self, kind: str | None = None) -> list[ReferenceSet]:
        if kind not in self._known:
            self._known[kind] = self._sets.all(kind)
        return self._known[kind]


class _Part:
    def __init__(self, rows: Mapping[str, CohortRow]) -> None:
        self._rows = rows


class _Timepoints(_Part):
    def timepoints(self, patient_id: str) -> list[str]:
        return list(self._rows[patient_id].timepoints)


class _Masks(_Part):
    def of(self, patient_id: str, timepoint: str | None = None) -> list[CohortMask]:
        return [r for r in self._rows[patient_id].masks if timepoint in (None, r.timepoint)]

    def problems(self, patient_id: str | None = None) -> dict[str, str]:
        rows = self._rows.values() if patient_id is None else [self._rows[patient_id]]
        return {mask_id: why for row in rows for mask_id, why in row.mask_problems.items()}


class _Scans(_Part):
    def __init__(self, rows: Mapping[str, CohortRow], grids: GridSource) -> None:
        super().__init__(rows)
        self._grids = grids

    def of(self, patient_id: str, timepoint: str | None = None) -> list[CohortScan]:
        return [s for s in self._rows[patient_id].scans if timepoint in (None, s.timepoint)]

    def reference(self, patient_id: str, timepoint: str) -> CohortScan:
        scans = self.of(patient_id, timepoint)
        if not scans:
            raise StoreError(f"There is no scan of {patient_id!r} on {timepoint!r}. Import one first.")
        return reference_of(scans)

    def reference_grid(self, patient_id: str, timepoint: str) -> Grid:
        return self._grids.reference_grid(patient_id, timepoint)


class _Links(_Part):
    def of(self, patient_id: str, timepoint: str | None = None) -> list[LesionLink]:
        return [link for link in self._rows[patient_id].links if timepoint in (None, link.timepoint)]


class _Transforms(_Part):
    def of(self, patient_id: str) -> list[StoredTransform]:
        return list(self._rows[patient_id].transforms)


class _Events(_Part):
    def of(self, patient_id: str) -> list[Event]:
        return list(self._rows[patient_id].events)


class _ByHand(_Part):
    def of(self, patient_id: str) -> list[HandMeasurement]:
        return list(self._rows[patient_id].by_hand)


class _Acceptances(_Part):
    def of(self, patient_id: str) -> list[Decision]:
        return list(self._rows[patient_id].acceptances)

    def to_affirm(self) -> dict[str, str]:
        return {}


class _Doubts(_Part):
    def of_masks(self, patient_id: str) -> list[MaskVerdict]:
        return list(self._rows[patient_id].mask_verdicts)

    def of_scans(self, patient_id: str) -> list[ScanVerdict]:
        return list(self._rows[patient_id].scan_verdicts)


class _Protocols(_Part):
    def of(self, patient_id: str) -> StoredProtocol | None:
        return self._rows[patient_id].protocol


class _NoneOpen:
    """What is read blind has no accepted mask, and why a timepoint has none is not said here."""

    def is_blind(self, patient_id: str, timepoint: str) -> bool:
        return False
