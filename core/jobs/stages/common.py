"""What every stage needs: the store it asks, the scans of a timepoint, and the way a mask becomes a version."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Protocol

from core.errors import InputError, TwinReviewError
from core.gates.mask.probability import doubting_unsure
from core.gates.mask.verdicts import GateStore, look_and_judge
from core.imaging.volumes import file_sha256, read_volume
from core.remembered.compartments import Compartments, clipped
from core.remembered.sources import HasDecisions, HasPatients, HasScans, HasScratch, HasStudies
from core.remembered.vocabulary import MaskMethod
from core.review.scan_measures import LookedAt, looked_at, measured_lesions
from core.types import LabelMap, MaskRecord, Scan, Volume, parse_date

logger = logging.getLogger("twinreview.jobs")
#: Ways of making a mask that begin anew, whatever version was there before.
_OF_ITS_OWN = (MaskMethod.NNUNET, MaskMethod.IMPORT, MaskMethod.STAPLE)


class ScanStore(HasPatients, HasScans, Protocol):
    """Store parts that find the scans of a timepoint."""


class StageStore(GateStore, HasStudies, HasDecisions, HasScratch, Protocol):
    """Store parts that the pipeline uses (see `store.Store`)."""


def describe(store: StageStore, scan: Scan) -> dict[str, str]:
    """A scan as a worker gets it: path, modality, sequence, sha256. Raises StoreError if its file is not as stored."""
    return {
        "path": str(store.scans.path(scan).resolve()),
        "modality": scan.modality,
        "sequence": scan.sequence,
        "sha256": scan.sha256,
    }


def read_scan(described: Mapping[str, str]) -> Volume:
    """In the worker: the described scan, if its file is still the one that was stored (a job may have waited long)."""
    path = Path(described["path"])
    if not path.is_file() or file_sha256(path) != described["sha256"]:
        raise InputError(
            "A scan's file was altered or is gone since the job was begun. Run `verify`. Nothing was stored."
        )
    return read_volume(Path(described["path"]), described["modality"], described["sequence"])  # type: ignore[arg-type]


def timepoint_scans(store: ScanStore, patient_id: str, timepoint: str) -> list[Scan]:
    """All scans, the reference scan first. Raises InputError when there is none."""
    parse_date(timepoint)
    scans = store.scans.of(patient_id, timepoint)
    if not scans:
        known = ", ".join(store.patients.timepoints(patient_id)) or "none"
        raise InputError(f"Patient {patient_id!r} has no scans on {timepoint} (timepoints: {known}). Import one first.")
    reference = store.scans.reference(patient_id, timepoint)
    return [reference, *[scan for scan in scans if scan.scan_id != reference.scan_id]]


def add_version(
    store: StageStore,
    labels: LabelMap,
    patient_id: str,
    timepoint: str,
    *,
    method: str,
    author: str,
    parent_version: int | None,
    compartments: Compartments | None = None,
    mean_probability: Mapping[int, float] | None = None,
    **more: Any,
) -> MaskRecord:
    """Stores a mask version with its measurements, its vectors and what the mask gate says of it, in one write.

    Args:
        parent_version: the version that its maker began with; None where there was none, or they could see none.
        compartments: which part of its lesion each voxel is, as the network told. None: those of the parent.
        mean_probability: label -> how sure the network is of it, 0..1; of a version that a network did not make, none.
        more: what else `store.masks.add` takes: model_checkpoint, checkpoint_sha256, model_files, prompts, links.
    """
    scans = list(scans_of_timepoint(store, patient_id, timepoint))  # read once: they are measured and looked at
    links = tuple(more.get("links", ()))
    vectors, verdict = look_and_judge(store, labels, patient_id, timepoint, author, links, scans)
    sure = mean_probability or {}
    parts = compartments or compartments_of_parent(store, patient_id, timepoint, method, parent_version, labels)
    measured = measured_lesions(labels, scans, parts)
    lesions = tuple(replace(one, mean_probability=sure.get(one.label)) for one in measured)
    return store.masks.add(
        labels,
        patient_id=patient_id,
        timepoint=timepoint,
        method=method,
        author=author,
        parent_version=parent_version,
        lesions=lesions,
        vectors=vectors,
        verdict=doubting_unsure(verdict, [asdict(one) for one in lesions]),
        compartments=parts,
        **more,
    )


def compartments_of_parent(
    store: StageStore, patient_id: str, timepoint: str, method: str, parent_version: int | None, labels: LabelMap
) -> Compartments | None:
    """The compartments that a drawn or refined version keeps of the one that it was made from, within its own lesions;
    None where that one has none, or its file is lost. A network's or an imported mask keeps none of another's."""
    if parent_version is None or method in _OF_ITS_OWN:
        return None
    try:
        found = store.masks.compartments(store.masks.version(patient_id, timepoint, parent_version))
    except TwinReviewError:
        return None  # `masks.add` says what is wrong with the parent
    return None if found is None else clipped(found, labels)


def scans_of_timepoint(store: StageStore, patient_id: str, timepoint: str) -> Iterator[LookedAt]:
    """A timepoint's scans to measure on, each read when it is asked for; one that cannot be read says why."""
    return (looked_at(scan, store.scans.load) for scan in store.scans.of(patient_id, timepoint))


def summary(record: MaskRecord) -> dict[str, Any]:
    """What a job's row and the command line say of a version."""
    plain: dict[str, Any] = json.loads(json.dumps(record.to_json()))
    return plain
