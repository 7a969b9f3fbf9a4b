"""The launcher of a cell's processes, over stand-ins for workers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from smc_bench.dispatch.worker import launcher
from smc_bench.dispatch.worker.launcher import ProcessGroup, launched, size
from smc_bench.store.files import write_json
from smc_bench.store.store import CellFolder

# A main process that holds the cell's newest attempt.
CLAIM = """
import os, sys, time
sys.path.insert(0, os.environ["HERE"])
from smc_bench.store.store import CellFolder
from pathlib import Path
CellFolder(Path(os.environ["CELL"])).claim()
"""

# What waits for a file, and what never ends.
WAIT = """
import os, time
while not os.path.exists({!r}): time.sleep(0.02)
"""
HANG = """
import signal
while True: signal.pause()
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CellFolder:
    monkeypatch.setenv("CELL", str(tmp_path / "cell"))
    monkeypatch.setenv("HERE", str(Path(__file__).parents[3]))
    return CellFolder(tmp_path / "cell")


@pytest.fixture
def run(folder: CellFolder, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., int]]:
    """Run a process group whose ranks are programs."""
    popen = subprocess.Popen
    handlers = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2)}

    def start(*programs: str) -> int:
        def rank(command: list[str], env: dict[str, str]) -> Any:
            assert command[-2:] == ["--parent", str(os.getpid())]
            assert (env["WORLD_SIZE"], env["MASTER_ADDR"]) == (str(len(programs)), "127.0.0.1")
            return popen([sys.executable, "-c", programs[int(env["RANK"])]], env=env)

        monkeypatch.setattr(launcher.subprocess, "Popen", rank)
        return ProcessGroup(folder, len(programs), ["cell"]).run(None)

    yield start
    for number, handler in handlers.items():
        signal.signal(number, handler)


EXIT = "import sys; sys.exit({})"


@pytest.mark.parametrize("code", [0, 1, 3, 4])
def test_the_main_processs_exit_code_counts(run: Any, code: int) -> None:
    assert run(EXIT.format(code), EXIT.format(code)) == code


def test_what_hangs_after_a_loss_is_killed_with_a_failure(
    run: Any, folder: CellFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launcher, "_LAST_WORDS_SECONDS", 0.0)
    dies = WAIT.format(str(folder.attempt_file(1))) + "os.kill(os.getpid(), 9)"
    assert run(CLAIM + HANG, dies) == 1
    failure = folder.failure()
    assert failure is not None
    assert (failure.type, failure.attempt, folder.state()) == ("killed", 1, "failed")
    assert "process 1: -9" in failure.message


def test_the_lost_processs_own_word_stays(
    run: Any, folder: CellFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launcher, "_LAST_WORDS_SECONDS", 0.0)
    word = {"type": "out_of_memory", "message": "in process 1", "attempt": 1, "time": "now"}
    path = folder.path / "failure.json"
    says = f"""{WAIT.format(str(folder.attempt_file(1)))}
import pathlib, sys
pathlib.Path({str(path)!r}).write_text({json.dumps(word)!r})
sys.exit(1)
"""
    assert run(CLAIM + HANG, says) == 1
    failure = folder.failure()
    assert failure is not None
    assert failure.type == "out_of_memory"
    assert json.loads(folder.attempt_file(1).read_text())["how"] == "out_of_memory"


def test_another_runners_attempt_is_left_alone(run: Any, folder: CellFolder) -> None:
    assert folder.claim() == 1  # by this process
    assert run("import os; os.kill(os.getpid(), 9)", EXIT.format(0)) == 1
    assert folder.failure() is None
    assert folder.state() == "running"


def test_a_signal_reaches_all_and_the_main_one_has_time_to_save(run: Any, tmp_path: Path) -> None:
    waits = """
import os, signal, sys, time
def stop(*_):
    while not os.path.exists({!r}): time.sleep(0.02)
    open(os.environ["CELL"] + ".saved" + os.environ["RANK"], "w").close()
    sys.exit(4)
signal.signal(signal.SIGTERM, stop)
open(os.environ["CELL"] + ".ready" + os.environ["RANK"], "w").close()
while True: signal.pause()
"""

    def tell() -> None:
        while len(list(tmp_path.glob("cell.ready*"))) < 2:
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGUSR2)

    threading.Thread(target=tell, daemon=True).start()
    # The main one saves only after the other has ended its part.
    assert run(waits.format(f"{tmp_path}/cell.saved1"), waits.format(str(tmp_path))) == 4
    assert len(list(tmp_path.glob("cell.saved*"))) == 2


def test_a_later_attempt_starts_as_many_as_the_first(
    folder: CellFolder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(launcher, "visible_gpus", lambda: ())
    caplog.set_level("INFO")
    assert (size(folder, None), size(folder, 2)) == (1, 2)
    write_json(folder.path / "execution.json", {"execution": {}, "processes": 3})
    assert (size(folder, None), size(folder, 2)) == (3, 3)
    assert "began with 3 processes and keeps them" in caplog.text
    monkeypatch.setattr(launcher, "visible_gpus", lambda: ("0", "1"))
    assert size(folder, None) == 2
    assert "3 processes need as many GPUs: 2 visible" in caplog.text


def test_what_other_launchers_started(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert launched() == 1
    monkeypatch.setenv("WORLD_SIZE", "4")  # left over from somewhere: nobody said which one we are
    assert launched() == 1
    monkeypatch.setenv("RANK", "0")
    assert launched() == 4
    monkeypatch.setenv("WORLD_SIZE", "1")
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "2")
    assert launched() == 2


def test_accelerate_without_mpi_is_told(
    folder: CellFolder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("ACCELERATE_USE_CPU", "True")
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setattr(launcher, "visible_gpus", lambda: ())
    assert size(folder, None) == 1
    assert "--processes N" in caplog.text
    caplog.clear()
    assert size(folder, 2) == 2
    assert caplog.text == ""
