"""The workers that compute jobs: those of this machine, or a cluster of somebody else's, both by TLS alone."""

from __future__ import annotations

import logging
import os
from typing import Any

from core.errors import InputError
from core.settings import settings


def private_cluster(workers: int, retries: int) -> Any:
    """Worker processes on this machine that obey this process alone.

    A Dask scheduler runs whatever anybody sends who can reach it, and everybody with an account on the machine reaches
    loopback. So it takes only who shows a certificate, which is made anew each time and never leaves these processes.
    """
    import dask
    from distributed import LocalCluster, Security

    dask.config.set(_settings(workers, retries))
    return LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        protocol="tls://",
        security=Security.temporary(),
        dashboard_address="127.0.0.1:0",
        scheduler_kwargs={"dashboard": False},
        memory_limit=0,
        silence_logs=logging.ERROR,
    )


def security_for(address: str) -> Any:
    """How a cluster of somebody else's is spoken to: by TLS, with the certificates that Dask's configuration names.

    Raises:
        InputError: for an address without TLS, unless it is on this machine and TWIN_DASK_WITHOUT_TLS allows it.
    """
    from distributed import Security

    scheme, _, rest = address.rpartition("://")
    if scheme == "tls":
        return Security(require_encryption=True)
    host = rest.rpartition(":")[0].strip("[]")
    here = host in ("127.0.0.1", "::1", "localhost")
    if scheme in ("", "tcp") and here and settings().dask_without_tls:
        return None
    raise InputError(
        "Expected an address with TLS in TWIN_DASK, as tls://scheduler:8786: without it everybody who reaches the "
        "scheduler runs what they like and reads the scans. Give it certificates (docs/operation.md), or unset it."
    )


def _settings(workers: int, retries: int) -> dict[str, Any]:
    """Workers may have children (nnU-Net's pools), use their share of the cores, and are replaced `retries` times."""
    threads = settings().omp_num_threads or str(max(1, (os.cpu_count() or 1) // workers))
    return {
        "distributed.worker.daemon": False,
        "distributed.worker.profile.enabled": False,
        "distributed.scheduler.allowed-failures": retries,
        # On a busy machine a new worker takes longer than Dask's 15 s, after which it would go on with none at all.
        "distributed.deploy.lost-worker-timeout": "365 days",
        "distributed.scheduler.http.routes": [],  # no status pages
        "distributed.worker.http.routes": [],
        "distributed.nanny.pre-spawn-environ": {"OMP_NUM_THREADS": threads, "MALLOC_TRIM_THRESHOLD_": "65536"},
    }
