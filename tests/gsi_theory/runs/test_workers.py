"""What a worker does for itself before its first job."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

# Page faults of 500 arrays of half a megabyte, each freed before the next.
CODE = """
import resource, sys, numpy as np
from gsi_theory.runs.workers import keep_memory
if sys.argv[1] == "keep":
    assert keep_memory()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(500):
    np.ones(65536)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def _faults(how: str) -> int:
    # as dask's nanny starts its workers
    given = os.environ | {"MALLOC_TRIM_THRESHOLD_": "65536"}
    done = subprocess.run([sys.executable, "-c", CODE, how], capture_output=True, text=True, check=True, env=given)
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mallopt is glibc's")
def test_a_worker_keeps_the_memory_that_it_frees() -> None:
    assert _faults("plain") > 500 * 100  # 128 pages each time
    assert _faults("keep") < 5000


def test_nothing_is_set_where_nothing_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    from gsi_theory.runs.workers import keep_memory

    monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_", raising=False)
    assert keep_memory.__wrapped__() is False


def test_a_cluster_client_is_loaded_only_where_a_cluster_is_asked_for() -> None:
    code = (
        "import sys; from gsi_theory.runs.workers import cluster_pool; cluster_pool('tcp://host:8786')\n"
        "print(*({'dask', 'distributed'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
