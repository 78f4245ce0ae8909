"""What a browser may say over the WebSocket, and what lives on whatever it says."""

from __future__ import annotations

import threading
import time

import pytest
from streamlit.proto.BackMsg_pb2 import BackendOperationRequest, BackMsg

from core.errors import StoreError
from core.gates.scan.evaluate import RFDEEP
from pages.ui.frame import resources
from pages.ui.guard import messages
from pages.ui.system.caches_panel import is_administrator
from store import Store, open_store
from tests import clinic
from tests.wire import Tab

NEEDED = {"rerun_script", "stop_script", "app_heartbeat", "file_urls_request", "backend_operation_request"}


def message(kind):
    """A BackMsg of that kind."""
    made = BackMsg()
    field = BackMsg.DESCRIPTOR.fields_by_name[kind]
    if field.message_type is None:
        setattr(made, kind, True)
    else:
        getattr(made, kind).SetInParent()
    return made


@pytest.mark.parametrize("kind", [field.name for field in BackMsg.DESCRIPTOR.oneofs_by_name["type"].fields])
def test_of_all_kinds_of_message_only_those_that_pages_need_pass(kind):
    made = message(kind)
    if kind == "backend_operation_request":
        made.backend_operation_request.dataframe_chunk.SetInParent()
    assert messages.may_pass(made.SerializeToString()) is (kind in NEEDED)


@pytest.mark.parametrize(
    "operation", [f.name for f in BackendOperationRequest.DESCRIPTOR.oneofs_by_name["payload"].fields]
)
def test_of_all_operations_only_tables_and_files_pass(operation):
    made = BackMsg()
    getattr(made.backend_operation_request, operation).SetInParent()
    assert messages.may_pass(made.SerializeToString()) is (operation in {"dataframe_chunk", "deferred_file"})


def test_a_message_that_says_two_things_is_taken_for_the_last_as_streamlit_does():
    harmless, harmful = message("app_heartbeat").SerializeToString(), message("clear_cache").SerializeToString()
    assert not messages.may_pass(harmless + harmful)
    assert messages.may_pass(harmful + harmless)
    assert not messages.may_pass(b"")


def test_what_lasts_is_made_once_for_all_and_again_after_it_was_closed():
    made: list[object] = []
    closed: list[object] = []
    begin = threading.Barrier(8)

    def make():
        time.sleep(0.05)
        made.append(object())
        return made[-1]

    lasting, got = resources.Lasting(make, closed.append), list[object]()

    def ask():
        begin.wait()
        got.append(lasting())

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert set(map(id, got)) == {id(made[0])}
    lasting.clear()
    lasting.clear()
    assert closed == made
    assert lasting() is made[1]


def test_what_could_not_be_made_is_tried_again_and_nothing_is_made_while_the_server_ends(monkeypatch):
    outcomes = [StoreError("held"), "store"]

    def make():
        outcome = outcomes.pop(0)
        if isinstance(outcome, StoreError):
            raise outcome
        return outcome

    lasting = resources.Lasting(make, lambda thing: None)
    with pytest.raises(StoreError, match="held"):
        lasting()
    monkeypatch.setattr(resources, "_ENDING", threading.Event())
    resources._ENDING.set()
    with pytest.raises(StoreError, match="is being stopped"):
        lasting()
    resources._ENDING.clear()
    assert lasting() == "store"


def test_only_an_administrator_may_clear_caches(store: Store):
    for name, role in (("ann", "administrator"), ("ben", "reader"), ("cleo", "viewer")):
        store.people.add(name, role, by="demo")
    people = ("ann", "ben", "cleo")
    assert [name for name in people if is_administrator(store.seen_by(name), name)] == ["ann"]


@pytest.fixture
def queued(tmp_path):
    """A data root with a patient and a job that waits: some seconds of work, the measuring of one detector of scans."""
    with open_store(tmp_path / "data") as store:
        clinic.add_scan(store, "ANNA", clinic.DAYS[0], clinic.body(0))
        asked = {"resamplings": 1, "trees": 40, "detectors": [RFDEEP]}
        job = store.jobs.create("evaluate_ood", asked, "demo")
    return tmp_path / "data", job


def wait_until(condition, seconds=240):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)


@pytest.mark.browser
@pytest.mark.timeout(600)
def test_no_message_ends_the_job_the_store_or_the_session_of_anybody(start_server, queued):
    root, job = queued
    dashboard = start_server(root)
    wait_until((root / "jobs" / job / "taken").exists)
    with Tab(dashboard.url) as tab:
        before = tab.open("worklist")
        for _ in range(3):
            tab.send(clear_cache=True)
            tab.send(set_run_on_save=True)
            tab.send(debug_shutdown_runtime=True)
        assert b"ANNA" in before
        assert b"ANNA" in tab.open("worklist"), "the tab goes on"
        assert (root / "jobs" / job).exists(), "and so does the job"
        wait_until(lambda: not (root / "jobs" / job).exists())
        tab.send(clear_cache=True)
        assert b"ANNA" in tab.open("worklist")
    dashboard.stop()
    assert "Traceback" not in dashboard.log
    with open_store(root) as store:
        assert (store.jobs.get(job).status, store.jobs.get(job).message) == ("done", "Done")


@pytest.mark.browser
@pytest.mark.timeout(600)
def test_a_job_of_a_killed_server_is_taken_up_though_the_database_was_held_at_the_next_start(start_server, queued):
    root, job = queued
    killed = start_server(root)
    wait_until((root / "jobs" / job / "taken").exists)
    killed.process.kill()
    killed.process.wait()
    # This server had taken the job up from the test, which counts as a start; a third would be one too many.
    (root / "jobs" / job / "restarts").unlink()
    with open_store(root) as holder:
        assert holder.jobs.get(job).status in ("queued", "running")
        dashboard = start_server(root)
        wait_until(lambda: "not ready yet" in dashboard.log)
        with Tab(dashboard.url) as tab:
            assert b"ANNA" not in tab.open("worklist")
    with Tab(dashboard.url) as tab:
        assert b"ANNA" in tab.open("worklist")
        wait_until(lambda: not (root / "jobs" / job).exists())
    dashboard.stop()
    with open_store(root) as store:
        assert (store.jobs.get(job).status, store.jobs.get(job).message) == ("done", "Done")
