"""What runs inside a SLURM job: each cell in a process of its own, the folder as only channel.

The pickled object holds folders' names and settings, never state: a job that SLURM starts again
(after a time-out, a preemption, a lost node) goes on from what is on disk.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from types import FrameType

from submitit.core.utils import DelayedSubmission

from smc_bench.dispatch.failures import settle_end
from smc_bench.dispatch.slurm.lease import release_if_over
from smc_bench.dispatch.worker.command import INTERRUPTED, TAKEN, WorkerSpec, start_worker
from smc_bench.errors import SlurmError
from smc_bench.store.lease import STALE_SECONDS
from smc_bench.store.record import Failure
from smc_bench.store.store import CellFolder, now

_POLL_SECONDS = 0.2
_STUCK_STARTS = 3
_ASKED_TO_STOP = {-signal.SIGTERM, -signal.SIGINT, -signal.SIGUSR2, INTERRUPTED}


class RunCells:
    """Brings cells to a record or a typed failure, one after the other.

    Args:
        cells: Their folders below ``RESULTS/cells``.
        spec: What their workers are started with.
        patient: Whether to wait for as long as somebody else runs the cell. A teacher's job does,
            because its students are held by the job's end.
        grace: Seconds that a worker is given to save when the job is told to stop.
    """

    # SLURM kills a job that it told to stop after KillWait, usually 30 s.
    hold_seconds = 60.0

    def __init__(
        self,
        cells: tuple[str, ...],
        spec: WorkerSpec,
        *,
        patient: bool = False,
        grace: float = 60.0,
    ) -> None:
        """Only names and settings: this object is pickled by submitit."""
        self.cells, self.spec, self.patient, self.grace = cells, spec, patient, grace
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: CellFolder | None = None
        self._told_to_stop = False

    def __call__(self) -> None:
        """Run what is not done yet.

        Raises:
            SlurmError: If a cell has no record at the end, so that the job counts as failed and
                what depends on it does not start.
        """
        signal.signal(signal.SIGTERM, self._note)
        left = [relative for relative in self.cells if not self._bring(relative)]
        if left:
            raise SlurmError(f"not done: {', '.join(left)}; smc-bench logs ID shows why")

    def checkpoint(self) -> DelayedSubmission | None:
        """Called by submitit on its signal: let the worker save, then start again from the disk.

        Returns:
            What to start again, or None to give up: a cell that never gets a step further between
            two signals would be started for ever.
        """
        self._stop_worker()
        if self._gives_up():
            return None
        return DelayedSubmission(
            RunCells(self.cells, self.spec, patient=self.patient, grace=self.grace)
        )

    def _gives_up(self) -> bool:
        folder = self._folder
        stuck = None if folder is None else folder.stuck_at(_STUCK_STARTS)
        if folder is None or stuck is None:
            return False
        message = (
            f"{_STUCK_STARTS} starts in a row were told to stop at step {stuck}, before one more "
            "step: the time limit is too short for starting up (--time)"
        )
        attempt = folder.latest_attempt() or 0
        folder.write_failure(Failure(type="timeout", message=message, attempt=attempt, time=now()))
        return True

    def _note(self, number: int, frame: FrameType | None) -> None:
        # The worker gets the same signal from SLURM, and saves.
        self._told_to_stop = True

    def _bring(self, relative: str) -> bool:
        """Bring one cell to its end; True if it has a record."""
        folder = self._folder = self.spec.store.folder(relative)
        while folder.state() not in {"done", "damaged"}:
            release_if_over(folder)
            code = self._attempt(relative)
            if code == TAKEN:
                if not self._wait_for_holder(folder):
                    return folder.state() == "done"
            elif code in _ASKED_TO_STOP:
                self._hold()
            else:
                settle_end(folder, code)
                return folder.state() == "done"
        return folder.state() == "done"

    def _attempt(self, relative: str) -> int:
        threads = int(os.environ.get("SLURM_CPUS_PER_TASK") or 1)
        # Compute nodes have no network; what is missing should fail at once, not after retries.
        offline = {"HF_HUB_OFFLINE": "1", "SMC_BENCH_OFFLINE": "1"}
        self._process = start_worker(self.spec, relative, threads, offline)
        # Not wait(): submitit's handler runs inside it, and would find its lock held.
        while (code := self._process.poll()) is None:
            time.sleep(_POLL_SECONDS)
        self._process = None
        return code

    def _wait_for_holder(self, folder: CellFolder) -> bool:
        """Wait until nobody holds the cell any more; False to leave it to who holds it."""
        limit = time.monotonic() + STALE_SECONDS + 20.0
        while folder.state() == "running":
            if not self.patient and time.monotonic() > limit:
                return False  # its heartbeat goes on, so it lives
            time.sleep(2.0)
            release_if_over(folder)
        return True

    def _hold(self) -> None:
        """After an unasked stop of the whole job wait for SLURM's kill; go on if none comes."""
        limit = time.monotonic() + self.hold_seconds
        while self._told_to_stop and time.monotonic() < limit:
            time.sleep(_POLL_SECONDS)
        self._told_to_stop = False

    def _stop_worker(self) -> None:
        """Ask the worker to save and leave, and wait for it without reaping it."""
        process = self._process
        if process is None:
            return
        try:
            os.kill(process.pid, signal.SIGUSR2)
        except ProcessLookupError:
            return
        limit = time.monotonic() + self.grace
        while time.monotonic() < limit:
            try:
                ended = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ended is not None:
                return
            time.sleep(_POLL_SECONDS)
