"""What all visitors share: the store, the job runner, loaded volumes. The only place that uses Streamlit's caches.

Volumes and masks are read-only arrays, so that visitors can share them; `max_entries` bounds the memory they take.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from core.errors import TwinReviewError
from core.runner import JobRunner
from core.types import LabelMap, MaskRecord, Scan, Volume, VolumePoint
from store import Store, open_store

if TYPE_CHECKING:  # what only some pages need is imported by those that come to need it
    from core.engines.interactive import PromptService
    from core.growth.forecast import Forecast
    from core.metrics import SurfaceDistances
    from core.ood.rfdeep import Reference
    from core.registration import RigidTransform
    from core.surface import Surface

logger = logging.getLogger("twinreview.pages")


def data_root() -> Path:
    """The folder of everything that is remembered: TWIN_DATA, else ./data."""
    return Path(os.environ.get("TWIN_DATA", "data"))


@st.cache_resource(show_spinner=False, on_release=lambda store: store.close())
def get_store() -> Store:
    """The one store of this process. Raises StoreError while another process (a command line) holds it."""
    return open_store(data_root())


@st.cache_resource(show_spinner=False, on_release=lambda runner: runner.close())
def get_runner() -> JobRunner:
    """The one job runner; as it is made, it takes up the jobs that an earlier process left behind."""
    from core.pipeline import KINDS

    runner = JobRunner(get_store(), KINDS)
    runner.recover()
    return runner


@st.cache_resource(show_spinner=False, on_release=lambda service: service.close())
def get_prompt_service() -> PromptService:
    """The one process for boxes and points; it starts with the first prompt. Usable outside a page's run, too."""
    from core.engines.interactive import PromptService

    return PromptService()


def load_volume(scan: Scan) -> Volume:
    """A scan's voxels, (I, J, K) float32 and read-only; the last six are kept."""
    return _volume(scan.sha256, scan)


def load_mask(record: MaskRecord) -> LabelMap:
    """A mask version's labels, (I, J, K) uint8 and read-only; the last 24 are kept."""
    return _mask(record.mask_sha256, record)


@st.cache_resource(show_spinner="Loading the scan", max_entries=6)
def _volume(sha256: str, _scan: Scan) -> Volume:
    return get_store().load_volume(_scan)


@st.cache_resource(show_spinner="Loading the mask", max_entries=24)
def _mask(sha256: str, _record: MaskRecord) -> LabelMap:
    return get_store().load_mask(_record)


def align(fixed: Scan, moving: Scan) -> RigidTransform:
    """`core.registration.rigid` of two scans; seconds the first time, and the last 32 are kept."""
    return _alignment(fixed.sha256, moving.sha256, fixed, moving)


@st.cache_resource(show_spinner="Aligning the two scans", max_entries=32)
def _alignment(fixed_sha256: str, moving_sha256: str, _fixed: Scan, _moving: Scan) -> RigidTransform:
    from core.registration import rigid

    store = get_store()  # not `load_volume`: nothing else needs these voxels, so they are not kept
    return rigid(store.load_volume(_fixed), store.load_volume(_moving))


def surface_distances(first: MaskRecord, second: MaskRecord) -> SurfaceDistances:
    """`core.metrics.surface_distances` of two versions on one grid, all lesions together; the last 64 are kept."""
    return _distances(first.mask_sha256, second.mask_sha256, first, second)


@st.cache_resource(show_spinner="Measuring distances", max_entries=64)
def _distances(first_sha256: str, second_sha256: str, _first: MaskRecord, _second: MaskRecord) -> SurfaceDistances:
    from core.metrics import surface_distances as measure

    first, second = load_mask(_first), load_mask(_second)
    return measure(first.array, second.array, first.grid.spacing_mm)


def readers_of_timepoint(patient: str, timepoint: str, readings: Sequence[MaskRecord], person: str) -> dict[str, Any]:
    """`core.stages.readers.readers_of_timepoint`, of these readings; the last 16 are kept."""
    return _readers(patient, timepoint, tuple(record.mask_sha256 for record in readings), person)


@st.cache_resource(show_spinner="Comparing the readers", max_entries=16)
def _readers(patient: str, timepoint: str, readings_sha256: tuple[str, ...], person: str) -> dict[str, Any]:
    from core.stages.readers import readers_of_timepoint as compare

    store: Any = get_store()
    return compare(store, patient, timepoint, person)


def correction(records: Sequence[MaskRecord]) -> dict[str, Any]:
    """`core.correction.correction` of the whole cohort, of these versions; the last two are kept."""
    return _correction(tuple((record.mask_id, record.status) for record in records))


@st.cache_resource(show_spinner="Measuring what was corrected", max_entries=2)
def _correction(versions: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    from core.correction import correction as measure

    return measure(get_store())


def lesion_surfaces(record: MaskRecord) -> list[Surface]:
    """`core.surface.lesion_surfaces` of a version; the last 8 are kept (a megabyte each at most)."""
    return _surfaces(record.mask_sha256, record)


@st.cache_resource(show_spinner="Making the surfaces", max_entries=8)
def _surfaces(sha256: str, _record: MaskRecord) -> list[Surface]:
    from core.surface import lesion_surfaces as make

    return make(load_mask(_record))


def forecast(
    series: Mapping[str, Sequence[VolumePoint]], lesion: str, horizon_days: Sequence[float], noise: Mapping[str, float]
) -> Forecast:
    """`core.twin.look_ahead` of one lesion or the total; the last 64 are kept."""
    from core.growth.population import KIND

    frozen = tuple((name, tuple(points)) for name, points in series.items())
    own = get_store().reference_sets(KIND)
    key = str(own[-1]["set_id"]) if own else "shipped"
    return _forecast(frozen, lesion, tuple(horizon_days), tuple(noise.items()), key, own)


@st.cache_resource(show_spinner="Looking ahead", max_entries=64)
def _forecast(
    series: tuple[tuple[str, tuple[VolumePoint, ...]], ...], lesion: str, horizon_days: tuple[float, ...],
    noise: tuple[tuple[str, float], ...], population: str, _own: list[dict[str, Any]],
) -> Forecast:  # fmt: skip
    from core.growth.population import in_force
    from core.twin import look_ahead

    return look_ahead(dict(series), lesion, horizon_days, dict(noise), in_force(_own))


def curve_fits(points: Sequence[VolumePoint]) -> dict[str, Any]:
    """`core.twin.fits` of one lesion's points; the last 64 are kept."""
    return _fits(tuple(points))


@st.cache_resource(show_spinner="Fitting the curves", max_entries=64)
def _fits(points: tuple[VolumePoint, ...]) -> dict[str, Any]:
    from core.twin import fits

    return fits(points)


def thumbnail(key: str, draw: Callable[[], str]) -> str:
    """A small picture (data URI) by what it shows, drawn when it is first asked for; the last 200 are kept."""
    return _thumbnail(key, draw)


@st.cache_resource(show_spinner=False, max_entries=200)
def _thumbnail(key: str, _draw: Callable[[], str]) -> str:
    return _draw()


def rfdeep_reference(path: Path, sha256: str) -> Reference:
    """The scan gate's reference features; the caller has verified the file to have that hash."""
    return _reference(sha256, path)


@st.cache_resource(show_spinner="Reading the reference scans' features", max_entries=2)
def _reference(sha256: str, _path: Path) -> Reference:
    from core.ood.rfdeep import read_reference

    return read_reference(_path)


def warm_up() -> None:
    """At start, beside the server: opens the store and takes up left jobs, without waiting for a visitor.

    Without left jobs the runner, which brings the whole pipeline with it, waits for the first job: seconds matter to
    the first page.
    """
    try:
        store = get_store()
        if any(store.jobs(limit=1, status=status) for status in ("queued", "running")):
            get_runner()
    except TwinReviewError as error:
        logger.warning("not ready yet: %s", error)  # the pages say so too, and try again


def shut_down() -> None:
    """At the end: stops Dask (jobs are taken up at the next start) and closes the database."""
    get_prompt_service.clear()
    get_runner.clear()
    get_store.clear()
