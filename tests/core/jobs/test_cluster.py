"""The cluster that computes jobs: by TLS alone, at an address or on this machine, of so many workers."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest

from core.errors import InputError
from core.jobs import runner
from core.jobs.runner import JobRunner
from core.settings import settings
from store import Store
from tests.core.jobs.sleeping_job import KINDS, wait_for


@pytest.fixture
def certificates(tmp_path):
    """Dask's configuration of a clinic that made certificates: files, and the settings that name them."""
    import dask
    from distributed import Security

    made = Security.temporary()
    (tmp_path / "cert.pem").write_text(made.tls_scheduler_cert)
    (tmp_path / "key.pem").write_text(made.tls_scheduler_key)
    cert, key = str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")
    roles = {role: {"cert": cert, "key": key} for role in ("client", "scheduler", "worker")}
    with dask.config.set(
        {"distributed.comm.tls": {**dask.config.get("distributed.comm.tls"), "ca-file": cert, **roles}}
    ):
        yield


def test_a_cluster_by_address_computes_by_tls(store: Store, monkeypatch, certificates):
    from distributed import LocalCluster, Security

    with LocalCluster(
        n_workers=1,
        threads_per_worker=1,
        dashboard_address=":0",
        host="127.0.0.1",
        silence_logs=logging.ERROR,
        protocol="tls://",
        security=Security(require_encryption=True),
    ) as cluster:
        monkeypatch.setenv("TWIN_DASK", cluster.scheduler_address)
        remote = JobRunner(store, KINDS)
        assert wait_for(store, remote.submit("sleep", {}, "demo")).status == "done"
        remote.close()


@pytest.mark.parametrize(
    ("address", "allowed", "words"),
    [
        ("nonsense://nowhere", "yes", "Expected an address with TLS"),
        ("tcp://127.0.0.1:1", "", "Expected an address with TLS"),
        ("127.0.0.1:1", "", "Expected an address with TLS"),
        ("tcp://192.0.2.1:8786", "yes", "Expected an address with TLS"),
        ("tcp://127.0.0.1.example.org:8786", "yes", "Expected an address with TLS"),
        ("tcp://127.0.0.1:1", "yes", "No Dask scheduler answers"),
        ("tls://127.0.0.1:1", "", "No Dask scheduler answers"),  # nor are there certificates
    ],
)
def test_a_wrong_address_or_one_without_tls_is_refused_in_words(store: Store, monkeypatch, address, allowed, words):
    monkeypatch.setenv("TWIN_DASK", address)
    monkeypatch.setenv("TWIN_DASK_WITHOUT_TLS", allowed)
    monkeypatch.setattr(runner, "CONNECT_S", 1)
    lost = JobRunner(store, KINDS)
    row = wait_for(store, lost.submit("sleep", {}, "demo"))
    lost.close()
    assert row.status == "failed"
    assert words in row.message


#: Another account's process: asks for the scheduler at an address, with a certificate of its own making or none.
ANOTHER = """
import sys
from distributed import Client, Security
try:
    Client(sys.argv[1], security=Security.temporary() if sys.argv[2] == "own" else None, timeout=2)
except (OSError, TypeError, ValueError):
    sys.exit(7)
"""


def test_who_has_no_certificate_runs_nothing_on_the_workers(running):
    """Everybody with an account on the machine reaches loopback."""
    assert wait_for(running.store, running.submit("sleep", {}, "demo")).status == "done"
    address = running._cluster.scheduler_address
    assert address.startswith("tls://127.0.0.1:")
    for url, certificate in ((address.replace("tls://", "tcp://"), "none"), (address, "own"), (address, "none")):
        command = [sys.executable, "-c", ANOTHER, url, certificate]
        assert subprocess.run(command, check=False, capture_output=True, timeout=60).returncode == 7
    worker = next(iter(running._client.scheduler_info()["workers"]))
    assert worker.startswith("tls://127.0.0.1:"), "nor does a worker listen without"
    assert wait_for(running.store, running.submit("sleep", {}, "demo")).status == "done"


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5", ""])
def test_a_nonsensical_number_of_workers_is_refused(monkeypatch, text):
    monkeypatch.setenv("TWIN_WORKERS", text)
    with pytest.raises(InputError, match="Expected TWIN_WORKERS as a whole number"):
        settings()
