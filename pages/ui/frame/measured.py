"""What is measured of stored scans and masks for pages, cached for all visitors by the hashes of what it is of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st

from core.remembered.untyped import JsonDict
from core.types import MaskRecord, Scan
from pages.ui.frame import resources

if TYPE_CHECKING:  # what only some pages need is imported by those that come to need it
    from core.imaging.registration import RigidTransform
    from core.lesions.metrics import SurfaceDistances
    from core.lesions.surface import Surface
    from core.remembered.links import StoredTransform
    from core.review.scan_measures import VersionMeasures
    from store import SeenStore


def aligned(store: SeenStore, patient: str, first: str, second: str) -> StoredTransform:
    """`core.jobs.stages.relinking.registered`: where the scans of the first timepoint lie in those of the second.

    For a person whose role may not store it, what had to be computed has no id, and counts for this visit alone.
    """
    from core.jobs.stages.relinking import computed, registered
    from core.remembered.links import StoredTransform

    if store.people.may(store.person, "transform.added"):
        return registered(store, patient, first, second, store.person, align=_align)
    stored = store.transforms.between(patient, first, second)
    return stored or StoredTransform(**vars(computed(store, patient, first, second, _align)), patient_id=patient)


def _align(first: Scan, second: Scan) -> RigidTransform:
    return _alignment(first.sha256, second.sha256, first, second)


@st.cache_resource(show_spinner="Aligning the two scans", show_time=True, max_entries=32)
def _alignment(fixed_sha256: str, moving_sha256: str, _fixed: Scan, _moving: Scan) -> RigidTransform:
    from core.imaging.registration import rigid

    store = resources.whole_store()  # not `load_volume`: nothing else needs these voxels, so they are not kept
    return rigid(store.scans.load(_fixed), store.scans.load(_moving))


def surface_distances(first: MaskRecord, second: MaskRecord) -> SurfaceDistances:
    """`metrics.surface_distances` of two versions on one grid, all lesions together; the last 64 are kept."""
    return _distances(first.mask_sha256, second.mask_sha256, first, second)


@st.cache_resource(show_spinner="Measuring distances", max_entries=64)
def _distances(first_sha256: str, second_sha256: str, _first: MaskRecord, _second: MaskRecord) -> SurfaceDistances:
    from core.lesions.metrics import surface_distances as measure

    first, second = resources.load_mask(_first), resources.load_mask(_second)
    return measure(first.array, second.array, first.grid.spacing_mm)


def readers_of_timepoint(patient: str, timepoint: str, readings: Sequence[MaskRecord], person: str) -> JsonDict:
    """`core.jobs.stages.readers.readers_of_timepoint`, of these readings; the last 16 are kept."""
    made_of = tuple(
        (record.mask_sha256, *((int(one["label"]), str(one["lesion_id"])) for one in record.lesions))
        for record in readings
    )
    return _readers(patient, timepoint, made_of, person)


@st.cache_resource(show_spinner="Comparing the readers", max_entries=16)
def _readers(patient: str, timepoint: str, made_of: tuple[tuple[object, ...], ...], person: str) -> JsonDict:
    from core.jobs.stages.readers import readers_of_timepoint as compare

    return compare(resources.whole_store().seen_by(person), patient, timepoint, person)


def correction(records: Sequence[MaskRecord]) -> JsonDict:
    """`core.review.correction.correction` of the whole cohort, of these versions alone; the last eight are kept."""
    return _correction(tuple((record.mask_id, record.status) for record in records))


@st.cache_resource(show_spinner="Measuring what was corrected", max_entries=8)
def _correction(versions: tuple[tuple[str, str], ...]) -> JsonDict:
    from core.review.correction import correction as measure

    return measure(resources.whole_store(), seen=frozenset(mask_id for mask_id, _ in versions))


def lesion_surfaces(record: MaskRecord) -> list[Surface]:
    """`core.lesions.surface.lesion_surfaces` of a version; the last 8 are kept (a megabyte each at most)."""
    return _surfaces(record.mask_sha256, record)


@st.cache_resource(show_spinner="Making the surfaces", max_entries=8)
def _surfaces(sha256: str, _record: MaskRecord) -> list[Surface]:
    from core.lesions.surface import lesion_surfaces as make

    return make(resources.load_mask(_record))


def lesion_diameters(record: MaskRecord) -> list[JsonDict]:
    """`core.lesions.diameter_axes.diameter_axes` of a version; the last 64 are kept."""
    return _diameter_axes(record.mask_sha256, record)


@st.cache_resource(show_spinner=False, max_entries=64)
def _diameter_axes(sha256: str, _record: MaskRecord) -> list[JsonDict]:
    from core.lesions.diameter_axes import diameter_axes

    return diameter_axes(resources.load_mask(_record))


def version_measures(record: MaskRecord, scans: Sequence[Scan]) -> VersionMeasures:
    """`core.review.scan_measures.measured_version` of a version on these scans; the last 32 are kept."""
    return _measures(record.mask_sha256, tuple(scan.sha256 for scan in scans), record, tuple(scans))


@st.cache_resource(show_spinner="Measuring", max_entries=32)
def _measures(
    mask_sha256: str, scan_sha256: tuple[str, ...], _record: MaskRecord, _scans: tuple[Scan, ...]
) -> VersionMeasures:
    from core.review.scan_measures import looked_at, measured_version

    looked = (looked_at(scan, resources.load_volume) for scan in _scans)
    return measured_version(resources.load_mask(_record), looked, resources.whole_store().masks.compartments(_record))
