"""`verify` as a job: its sentences are kept, it runs beside the store, and it is for administrators."""

from __future__ import annotations

import json

import pytest

from core.errors import TwinReviewError
from core.jobs.jobs import run_inline
from core.jobs.pipeline import KINDS
from core.jobs.runner import JobRunner
from core.jobs.stages import verify
from store import Store
from tests.core.jobs.sleeping_job import wait_for
from tests.store_phantom import DAY1, add_mask, add_scan, folder


def test_what_it_finds_is_kept_with_the_job_and_is_what_verify_says(store: Store):
    add_scan(store)
    add_mask(store, 5)
    runner = JobRunner(store, KINDS)
    row = wait_for(store, runner.submit("verify", {}, "demo"))
    assert row.result == {"problems": [], "count": 0, "remarks": [], "full": False}
    sidecar = folder(store, "P1", DAY1) / "mask_v001.json"
    sidecar.write_text(json.dumps({**json.loads(sidecar.read_text()), "reviewer": "somebody else"}))
    row = wait_for(store, runner.submit("verify", {"full": True}, "demo"))
    runner.close()
    assert row.result is not None
    assert (row.result["count"], row.result["full"], row.person) == (1, True, "demo")
    assert row.result["problems"] == store.verify()
    assert [job.job_id for job in store.jobs.newest(1, status="done", kind="verify")] == [row.job_id]


def test_of_very_many_sentences_the_first_are_kept_and_all_are_counted(store: Store, monkeypatch):
    monkeypatch.setattr(Store, "verify", lambda self, full, progress: [f"file {n} is gone" for n in range(9_999)])
    kept = run_inline(store, KINDS["verify"], {}, "demo")
    assert (kept["count"], len(kept["problems"])) == (9_999, verify.MOST_SENTENCES)


@pytest.mark.parametrize("who", ["ann", "vic", "nobody"])
def test_who_is_no_administrator_cannot_begin_it(store: Store, who: str):
    store.people.add("vic", "viewer", by="demo")
    with pytest.raises(TwinReviewError, match="administrator"):
        JobRunner(store, KINDS).submit("verify", {}, who)
    assert store.jobs.newest() == []
