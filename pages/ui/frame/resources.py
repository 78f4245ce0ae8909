"""What all visitors share: the store, the job runner, loaded volumes. This and `measured`
alone use Streamlit's caches.

What must live as long as the server is a `Lasting`, closed by the lifespan; what can be made again is cached. Volumes
and masks are read-only arrays, so that visitors can share them; `max_entries` bounds the memory they take.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar, cast

import streamlit as st

from core.errors import StoreError, TwinReviewError
from core.jobs.runner import JobRunner
from core.remembered.rows import ReferenceSet
from core.settings import settings
from core.twin.trajectory import LawFit
from core.types import LabelMap, MaskRecord, Scan, Volume, VolumePoint
from store import Store, open_store
from store.files.file_checks import check_in_background

if TYPE_CHECKING:  # what only some pages need is imported by those that come to need it
    from core.engines.service.interactive import PromptService
    from core.gates.scan.reference import Reference
    from core.growth.forecast import Forecast
    from core.twin.cohort_records import CohortRecords
    from core.twin.edit_preview import Edit, EditPreview
    from core.twin.outcomes import PatientResponse
    from store import SeenStore

logger = logging.getLogger("twinreview.pages")
T = TypeVar("T")


def data_root() -> Path:
    """The folder of everything that is remembered: TWIN_DATA, else ./data."""
    return settings().data


class Lasting(Generic[T]):
    """Something that lives as long as the server, made when it is first asked for.

    It is no entry of a cache: a visitor's message or a full cache would close it under everybody's hands.
    """

    def __init__(self, make: Callable[[], T], close: Callable[[T], object]) -> None:
        self._make, self._close = make, close
        self._lock = threading.RLock()
        self._thing: T | None = None

    def __call__(self) -> T:
        """The thing. Raises what making it raises; the next call then tries again."""
        if (thing := self._thing) is not None:
            return thing
        with self._lock:
            if self._thing is None:
                if _ENDING.is_set():
                    raise StoreError("TwinReview is being stopped. Wait until it was started again.")
                self._thing = self._make()
            return self._thing

    def clear(self) -> None:
        """Closes it, if it was made; the next call makes another."""
        with self._lock:
            thing, self._thing = self._thing, None
            if thing is not None:
                self._close(thing)


#: Set while the server ends: nothing is made any more that nobody would close.
_ENDING = threading.Event()


def _open_store() -> Store:
    store = open_store(data_root())
    check_in_background(store.files)
    keepers = {
        "fit-mask-gate": _keep_gate_fitted,
        "rescore-masks": _keep_rescored,
        "look-at-lesions": _keep_looks,
        "learn-evidence": _keep_learned,
    }
    for name, keep in keepers.items():
        threading.Thread(target=keep, args=(store,), name=name, daemon=True).start()
    if any(store.jobs.newest(limit=1, status=status) for status in ("queued", "running")):
        # In a thread, as the page that opened the store need not wait for the pipeline to be imported.
        threading.Thread(target=_take_up, name="take-up", daemon=True).start()
    return store


def _take_up() -> None:
    try:
        get_runner()
    except TwinReviewError as error:
        logger.warning("left jobs were not taken up: %s", error)  # the next job that is started tries again


def _keep_gate_fitted(store: Store) -> None:
    from core.gates.mask.fitting import keep_fitted

    with suppress(store.db.Error):  # the store was closed meanwhile
        keep_fitted(store, lambda *job: get_runner().submit(*job), lambda: store.db.closed)


def _keep_rescored(store: Store) -> None:
    from core.jobs.stages.rescoring import keep_rescored

    with suppress(store.db.Error):  # the store was closed meanwhile
        keep_rescored(store, lambda *job: get_runner().submit(*job), lambda: store.db.closed)


def _keep_looks(store: Store) -> None:
    from core.jobs.stages.lesion_looks import keep_looks

    with suppress(store.db.Error):  # the store was closed meanwhile
        keep_looks(store, lambda *job: get_runner().submit(*job), lambda: store.db.closed)


def _keep_learned(store: Store) -> None:
    from core.jobs.stages.learn_evidence import keep_learned

    with suppress(store.db.Error):  # the store was closed meanwhile
        keep_learned(store, lambda *job: get_runner().submit(*job), lambda: store.db.closed)


def reference_changed() -> None:
    """After a decision, or a mark on a file: a small reference's mask gate is fitted before the next mask is judged."""
    from core.gates.mask.fitting import fit_small

    try:
        fit_small(whole_store())
    except TwinReviewError as error:
        logger.warning("the mask gate was not fitted: %s", error)  # `_keep_gate_fitted` tries again


def _make_runner() -> JobRunner:
    from core.jobs.pipeline import KINDS

    runner = JobRunner(whole_store(), KINDS)
    runner.recover()
    return runner


def _make_prompt_service() -> PromptService:
    from core.engines.service.interactive import PromptService

    return PromptService()


#: The one store of this process. Raises StoreError while another process (a command line) holds it. Whenever it is
#: opened, jobs that an earlier process left behind are taken up.
whole_store = Lasting(_open_store, lambda store: store.close())
#: The one job runner. Without left jobs it is made with the first job: it brings the whole pipeline with it.
get_runner = Lasting(_make_runner, lambda runner: runner.close())
#: The one process for boxes and points; it starts with the first prompt. Usable outside a page's run, too.
get_prompt_service = Lasting(_make_prompt_service, lambda service: service.close())


def load_volume(scan: Scan) -> Volume:
    """A scan's voxels, (I, J, K) float32 and read-only; the last six are kept."""
    return _volume(scan.sha256, scan)


def load_mask(record: MaskRecord) -> LabelMap:
    """A mask version's labels, (I, J, K) uint8 and read-only; the last 24 are kept."""
    return _mask(record.mask_sha256, record)


@st.cache_resource(show_spinner="Loading the scan", max_entries=6)
def _volume(sha256: str, _scan: Scan) -> Volume:
    return whole_store().scans.load(_scan)


@st.cache_resource(show_spinner="Loading the mask", max_entries=24)
def _mask(sha256: str, _record: MaskRecord) -> LabelMap:
    return whole_store().masks.load(_record)


def forecast(
    series: Mapping[str, Sequence[VolumePoint]], lesion: str, horizon_days: Sequence[float], noise: Mapping[str, float]
) -> Forecast:
    """`core.twin.trajectory.forecast_lesion_or_total` of one lesion or the total; the last 64 are kept."""
    from core.growth.population import KIND

    frozen = tuple((name, tuple(points)) for name, points in series.items())
    own = whole_store().reference_sets.all(KIND)
    key = str(own[-1].set_id) if own else "shipped"
    return _forecast(frozen, lesion, tuple(horizon_days), tuple(noise.items()), key, own)


@st.cache_resource(show_spinner="Looking ahead", max_entries=64)
def _forecast(
    series: tuple[tuple[str, tuple[VolumePoint, ...]], ...],
    lesion: str,
    horizon_days: tuple[float, ...],
    noise: tuple[tuple[str, float], ...],
    population: str,
    _own: list[ReferenceSet],
) -> Forecast:
    from core.growth.population import active_population
    from core.twin.trajectory import forecast_lesion_or_total

    return forecast_lesion_or_total(dict(series), lesion, horizon_days, dict(noise), active_population(_own))


def cohort_response(
    records: CohortRecords, patient: str, dataset: str, criterion: str | None
) -> PatientResponse | None:
    """`core.twin.outcomes.patient_response`, made once for a state of the patient's records; the last 4000 are kept."""
    return _cohort_response(patient, records.state_of(patient), dataset, criterion, records)


@st.cache_resource(show_spinner=False, max_entries=4000)
def _cohort_response(
    patient: str, state: str, dataset: str, criterion: str | None, _records: CohortRecords
) -> PatientResponse | None:
    from core.twin.outcomes import patient_response

    return patient_response(_records, patient, dataset, criterion)


def curve_fits(points: Sequence[VolumePoint]) -> dict[str, LawFit]:
    """`core.twin.trajectory.fit_all_growth_laws` of one lesion's points; the last 64 are kept."""
    return _fits(tuple(points))


@st.cache_resource(show_spinner="Fitting the curves", max_entries=64)
def _fits(points: tuple[VolumePoint, ...]) -> dict[str, LawFit]:
    from core.twin.trajectory import fit_all_growth_laws

    return fit_all_growth_laws(points)


def edit_preview(store: SeenStore, record: MaskRecord, edit: Edit) -> EditPreview:
    """`core.twin.edit_preview.preview_edit` for the person, as long as nothing is written; the last 32 are kept."""
    return _edit_preview(whole_store().audit.last()[0], str(store.scope), record.mask_id, edit, store, record)


@st.cache_resource(show_spinner="Looking what it changes", max_entries=32)
def _edit_preview(
    seq: int, scope: str, mask_id: str, edit: Edit, _store: SeenStore, _record: MaskRecord
) -> EditPreview:
    from core.twin.edit_preview import preview_edit

    return preview_edit(_store, _record, edit, _store.person)


def thumbnail(key: str, draw: Callable[[], str]) -> str:
    """A small picture (data URI) by what it shows, drawn when it is first asked for; the last 200 are kept."""
    return _thumbnail(key, draw)


@st.cache_resource(show_spinner=False, max_entries=200)
def _thumbnail(key: str, _draw: Callable[[], str]) -> str:
    return _draw()


def position(store: SeenStore) -> str:
    """What that person sees of the store, as it is now: another one after every write, and for everybody else.

    Every write ends in an entry of the audit, that a file was found altered too, and each entry's hash is over all
    before it: what is the same at one position never has to be made again there.
    """
    number, newest = whole_store().audit.last()
    return f"{number}/{newest}/{store.scope!r}"


def kept(key: str, make: Callable[[], T]) -> T:
    """What `make` gives, made once for that key, which holds the `position` that it was made at; the last 256."""
    return cast(T, _kept(key, make))


@st.cache_resource(show_spinner=False, max_entries=256)
def _kept(key: str, _make: Callable[[], object]) -> object:
    return _make()


def scan_gate_reference(path: Path, sha256: str) -> Reference:
    """The scan gate's reference features; the caller has verified the file to have that hash."""
    return _reference(sha256, path)


@st.cache_resource(show_spinner="Reading the reference scans' features", max_entries=2)
def _reference(sha256: str, _path: Path) -> Reference:
    from core.gates.scan.reference import read_reference

    return read_reference(_path, sha256)


def clear_caches() -> None:
    """Forgets loaded volumes, fits and pictures, of all visitors; they are made again when they are asked for."""
    st.cache_resource.clear()


def begin() -> None:
    """At the server's start: opens the store beside it, which takes up left jobs without waiting for a visitor."""
    _ENDING.clear()
    threading.Thread(target=_warm_up, name="warm-up", daemon=True).start()


def _warm_up() -> None:
    try:
        whole_store()
    except TwinReviewError as error:
        logger.warning("not ready yet: %s", error)  # the pages say so too, and try again


def shut_down() -> None:
    """At the end: stops Dask (jobs are taken up at the next start) and closes the database."""
    _ENDING.set()
    get_prompt_service.clear()
    get_runner.clear()
    whole_store.clear()
