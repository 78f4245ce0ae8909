"""How far this installation's readers differ on one scan: its own noise, learned from readings and put in force.

Two scans of one patient on one day would tell more; a timepoint is a day here, and its masks lie on one scan, so there
are none. What readers of one scan differ by is less than what two scans differ by: it widens nothing and narrows
nothing of the rule for one reader, and is used between two.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Protocol

from core.errors import InputError
from core.remembered.links import lesion_number
from core.remembered.rows import ReferenceSet
from core.remembered.sources import HasMasks, HasPatients, HasReadings, HasReferenceSets, HasScans
from core.remembered.untyped import JsonDict
from core.review.decisions import counted_lesions
from core.review.readers import newest_by_reader
from core.twin.installation_noise import ENOUGH_PAIRS, NoiseEstimate, RepeatedMeasurement, estimate_noise
from core.types import MaskRecord

#: The reference sets of a store that hold it.
KIND = "own-noise"


class OwnNoiseStore(HasPatients, HasScans, HasMasks, HasReadings, HasReferenceSets, Protocol):
    """The parts of a store that its own noise is learned from and kept in."""


def reader_pairs(store: OwnNoiseStore) -> list[RepeatedMeasurement]:
    """Every lesion that two readers measured on one scan: the first two by name who have finished, once a lesion.

    Timepoints that are read blind count once both have finished; of a lesion that several timepoints have, the first.
    """
    pairs = []
    for patient in store.patients.all():
        seen: set[str] = set()
        for day in store.patients.timepoints(patient.patient_id):
            two = _two_readings(store, patient.patient_id, day)
            if two is None:
                continue
            scan = store.scans.reference(patient.patient_id, day)
            for lesion, pair in _lesions_of_both(*two).items():
                if lesion not in seen:
                    seen.add(lesion)
                    pairs.append(RepeatedMeasurement(*pair, scan.modality, scan.sequence))
    return pairs


def _two_readings(store: OwnNoiseStore, patient_id: str, day: str) -> tuple[MaskRecord, MaskRecord] | None:
    readings = newest_by_reader(store.masks.of(patient_id, day))
    if store.readings.is_blind(patient_id, day):
        done = {row.person for row in store.readings.finished(patient_id, day)}
        readings = {name: record for name, record in readings.items() if name in done}
    if len(readings) < 2:
        return None
    first, second = list(readings.values())[:2]
    return None if first.mask_sha256 == second.mask_sha256 else (first, second)


def _lesions_of_both(first: MaskRecord, second: MaskRecord) -> dict[str, tuple[float, float, float]]:
    """Lesion -> both volumes, mm3, and the smaller diameter, mm, of lesions that both readings have."""
    measured = []
    for record in (first, second):
        volumes: dict[str, tuple[float, float]] = {}
        for lesion in counted_lesions(record):
            name = str(lesion["lesion_id"])
            volume, diameter = volumes.get(name, (0.0, 0.0))
            volumes[name] = (
                volume + float(lesion["volume_mm3"]),
                diameter + float(lesion["longest_diameter_mm"]),
            )
        measured.append(volumes)
    both = [name for name in measured[0] if name in measured[1] and lesion_number(name)]
    return {
        name: (measured[0][name][0], measured[1][name][0], min(measured[0][name][1], measured[1][name][1]))
        for name in both
        if min(measured[0][name][1], measured[1][name][1]) > 0
    }


def estimates(pairs: Iterable[RepeatedMeasurement]) -> tuple[NoiseEstimate, ...]:
    """One estimate a modality and sequence, from few pairs too (`NoiseEstimate.is_enough`)."""
    by_channel: dict[tuple[str, str], list[RepeatedMeasurement]] = {}
    for pair in pairs:
        by_channel.setdefault((pair.modality, pair.sequence), []).append(pair)
    return tuple(estimate_noise(found, "readers") for _, found in sorted(by_channel.items()))


def learn_own_noise(store: OwnNoiseStore, person: str) -> JsonDict:
    """Learn how far readers differ here, and put it in force: a reference set, in the audit, never overwritten.

    Raises:
        InputError: no modality has ten lesions that two readers measured: too few to learn from.
    """
    found = estimates(reader_pairs(store))
    if not any(one.is_enough for one in found):
        most = max((one.pairs for one in found), default=0)
        raise InputError(
            f"Expected at least {ENOUGH_PAIRS} lesions that two readers measured on one scan, got {most}. Have more "
            "timepoints read twice; until then the published figure between readers is used."
        )
    detail = {"estimates": [asdict(one) for one in found]}
    set_id = store.reference_sets.add(KIND, detail, person)
    return {"set_id": set_id, "estimates": [{**asdict(one), "used": one.is_enough} for one in found]}


def own_noise_in_force(reference_sets: Sequence[ReferenceSet]) -> tuple[NoiseEstimate, ...]:
    """The estimates of the newest of the reference sets of `KIND`, which the store lists oldest first; () for none."""
    if not reference_sets:
        return ()
    return tuple(NoiseEstimate(**one) for one in reference_sets[-1].detail["estimates"])
