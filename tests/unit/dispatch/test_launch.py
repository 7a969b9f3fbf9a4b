"""What a worker process is given: memory that it keeps, threads that wait a while."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys

import pytest

from smc_bench.dispatch.worker.command import worker_environment

# Ten times 64 MB: 16384 pages of 4 KB each time they are asked for anew.
_TEN_BLOCKS = """
import resource
for _ in range(10):
    b"x" * (64 << 20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""


def _page_faults(environment: dict[str, str]) -> int:
    command = [sys.executable, "-c", _TEN_BLOCKS]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's settings")
def test_a_worker_uses_large_blocks_again() -> None:
    # Pages asked for from the second block on: about 147,000 by default, none where they are kept.
    plain = {key: value for key, value in os.environ.items() if key != "GLIBC_TUNABLES"}
    blocks, pages = 10, (64 << 20) // os.sysconf("SC_PAGESIZE")

    kept, given_back = _page_faults(worker_environment(1)), _page_faults(plain)

    assert given_back - kept > 0.8 * (blocks - 1) * pages


def test_the_users_own_memory_settings_come_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")

    assert worker_environment(1)["GLIBC_TUNABLES"].endswith(":glibc.malloc.hugetlb=1")


def _spin_count(environment: dict[str, str]) -> int:
    """What libgomp itself says that it goes by."""
    shown = {**environment, "OMP_DISPLAY_ENV": "VERBOSE"}
    done = subprocess.run(
        [sys.executable, "-c", "import torch"], env=shown, capture_output=True, text=True
    )
    found = re.search(r"GOMP_SPINCOUNT = '(\d+)'", done.stderr)
    if found is None:
        pytest.skip("torch's threads here are not libgomp's")
    return int(found[1])


def test_threads_look_for_work_a_little_before_they_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)

    assert 0 < _spin_count(worker_environment(2)) < 300_000  # asleep at once; libgomp's default

    monkeypatch.setenv("GOMP_SPINCOUNT", "17")
    assert _spin_count(worker_environment(2)) == 17
