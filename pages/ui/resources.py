"""What all visitors share: the store, the job runner, loaded volumes. The only place that uses Streamlit's caches.

Volumes and masks are read-only arrays, so that visitors can share them; `max_entries` bounds the memory they take.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

import streamlit as st

from core.errors import TwinReviewError
from core.runner import JobRunner
from core.types import LabelMap, MaskRecord, Scan, Volume
from store import Store, open_store

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
    get_runner.clear()
    get_store.clear()
