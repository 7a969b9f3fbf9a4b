"""Who holds a lease: by the process table where it is the same one, else by the heartbeat."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from smc_bench.store import holder as holders
from smc_bench.store import lease as leases
from smc_bench.store.holder import holder, process_table
from smc_bench.store.lease import STALE_SECONDS, lease_held

NOBODY = 2**22 + 1  # more than Linux's largest process number


def write(path: Path, age: float = 0.0, **changes: Any) -> Path:
    path.write_text(json.dumps({**holder(), **changes}))
    then = time.time() - age
    os.utime(path, (then, then))
    return path


OLD = STALE_SECONDS + 60.0


@pytest.mark.parametrize("age", [0.0, OLD])
def test_this_process_holds_its_lease_however_long_it_was_silent(
    tmp_path: Path, age: float
) -> None:
    assert lease_held(write(tmp_path / "lease", age))


@pytest.mark.parametrize(
    "elsewhere",
    [
        {"processes": "another-boot pid:[4026531836]"},  # the host was started again, or is another
        {"processes": f"{(process_table() or ' ').split()[0]} pid:[1]"},  # a container on this host
        {"processes": None},  # its system does not tell
        {"host": "another"},
        {"processes": None, "boot": None, "born": None, "pid": None},  # of an older version
    ],
)
@pytest.mark.parametrize("pid", [NOBODY, os.getpid()], ids=["nobody", "alive"])
def test_elsewhere_only_the_heartbeat_counts(
    tmp_path: Path, elsewhere: dict[str, Any], pid: int
) -> None:
    given = {"pid": pid, **elsewhere}
    assert lease_held(write(tmp_path / "fresh", 0.0, **given))
    assert not lease_held(write(tmp_path / "stale", OLD, **given))


def test_a_lease_of_an_older_version_is_not_taken_for_dead_while_its_heartbeat_is_fresh(
    tmp_path: Path,
) -> None:
    path = tmp_path / "lease"
    path.write_text(json.dumps({"host": holders.host_name(), "pid": NOBODY, "born": 0.0}))
    assert lease_held(path)


def test_here_a_process_that_is_gone_frees_its_lease_at_once(tmp_path: Path) -> None:
    assert not lease_held(write(tmp_path / "lease", pid=NOBODY))


def test_a_zombie_holds_nothing(tmp_path: Path) -> None:
    code = (
        "import json, sys; from smc_bench.store.holder import holder; "
        "print(json.dumps(holder()), flush=True); sys.stdin.read()"
    )
    pipe = subprocess.PIPE
    child = subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, text=True)
    assert child.stdin is not None
    assert child.stdout is not None
    path = tmp_path / "lease"
    path.write_text(child.stdout.readline())
    assert lease_held(path)
    child.stdin.close()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # ended, but not reaped
    assert psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE
    assert not lease_held(path)
    child.wait()
    assert not lease_held(path)
    child.stdout.close()


def test_a_corrected_clock_does_not_make_a_living_holder_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "lease")
    born, boot = holders.started_at(os.getpid())
    monkeypatch.setattr(leases, "started_at", lambda pid: (born + 3600.0, boot + 3600.0))
    assert lease_held(path)
    monkeypatch.setattr(leases, "started_at", lambda pid: (born + 3600.0, boot))
    assert not lease_held(path)  # another process with the same number


def test_another_users_process_is_judged_by_its_heartbeat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hidden(pid: int) -> tuple[float, float]:
        raise psutil.AccessDenied(pid)

    monkeypatch.setattr(leases, "started_at", hidden)
    assert lease_held(write(tmp_path / "fresh"))
    assert not lease_held(write(tmp_path / "stale", OLD))


@pytest.mark.parametrize("content", ["[]", "7", '"text"', "null"])
def test_what_is_no_lease_is_held_by_nobody(tmp_path: Path, content: str) -> None:
    (tmp_path / "lease").write_text(content)
    assert not lease_held(tmp_path / "lease")


_CLAIM = """
import sys
from pathlib import Path
from smc_bench.store.store import CellFolder
cell = CellFolder(Path(sys.argv[1]))
print(cell.claim(), cell.state(), flush=True)
sys.stdin.read()
"""


def _unshare() -> list[str] | None:
    words = ["unshare", "--user", "--map-root-user", "--pid", "--fork"]
    for more in (["--mount-proc"], []):
        try:
            done = subprocess.run([*words, *more, "true"], capture_output=True, timeout=60)
        except (OSError, subprocess.TimeoutExpired):
            return None
        if done.returncode == 0:
            return [*words, *more]
    return None


def test_two_containers_with_one_host_name_do_not_evict_each_other(tmp_path: Path) -> None:
    words = _unshare()
    if words is None:
        pytest.skip("no pid namespaces for this user here")
    command = [*words, sys.executable, "-c", _CLAIM, str(tmp_path / "cell")]
    pipe = subprocess.PIPE

    def container() -> tuple[subprocess.Popen[str], str]:
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        assert process.stdout is not None
        return process, process.stdout.readline().strip()

    started = [container() for _ in range(3)]
    # Each may be process 1 of its own; the first has the cell, and the others see that.
    assert [said for _, said in started] == ["1 running", "None running", "None running"]
    assert holders.host_name()
    for process, _ in started:
        process.communicate("")
        assert process.returncode == 0
