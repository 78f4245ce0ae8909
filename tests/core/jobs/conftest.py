"""A runner with a worker, started once for a module."""

from __future__ import annotations

import pytest

from core.jobs.runner import JobRunner
from store import open_store
from tests.core.jobs.sleeping_job import KINDS, workers


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """One runner, with one worker, for the tests of this file."""
    with open_store(tmp_path_factory.mktemp("jobs")) as store:
        started = JobRunner(store, KINDS)
        yield started
        started.close()
        assert workers() == []
