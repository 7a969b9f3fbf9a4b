"""``jobs.jsonl``: which SLURM job was given which cells; written as soon as SLURM has named it."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from smc_bench.errors import StoreError


@dataclass(frozen=True)
class Submitted:
    """One job and what it was given.

    Attributes:
        job: Id as squeue prints it: ``12``, or ``12_3`` in an array.
        cells: Ids of the cells that it runs, one after the other.
        folder: Where submitit keeps the job's script, logs and pickles, below the results folder.
        gpus: GPUs that it was given.
        submitted: When, UTC.
    """

    job: str
    cells: tuple[str, ...]
    folder: str
    gpus: int
    submitted: str

    def log(self, results: Path, ending: str = "err") -> Path:
        """The job's own log, which holds what SLURM says when it kills one."""
        return results / self.folder / f"{self.job}_0_log.{ending}"


class JobsFile:
    """The jobs of one results folder, oldest first; only ever appended to."""

    def __init__(self, results: Path) -> None:
        """Nothing is made before the first write."""
        self.folder = results / "slurm"
        self.path = self.folder / "jobs.jsonl"

    def read(self) -> list[Submitted]:
        """All jobs; a line torn by a full disk is passed over.

        Raises:
            StoreError: If the file can't be read.
        """
        try:
            lines = self.path.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StoreError(f"{self.path}: can't be read: {error.strerror}") from None
        jobs = []
        for line in lines:
            try:
                content = json.loads(line)
                content["cells"] = tuple(content["cells"])
                jobs.append(Submitted(**content))
            except (ValueError, TypeError, KeyError, RecursionError):
                continue
        return jobs

    def append(self, jobs: Sequence[Submitted]) -> None:
        """Add jobs in one write and flush it to the disk.

        Raises:
            OSError: If the disk is full.
        """
        # The leading newline ends a line that an earlier, failed write may have torn.
        text = "".join(f"\n{json.dumps(asdict(job))}" for job in jobs) + "\n"
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            os.write(descriptor, text.encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def of_cells(self, cells: set[str]) -> dict[str, list[Submitted]]:
        """Jobs of each cell, oldest first, for the cells that have any."""
        by_cell: dict[str, list[Submitted]] = {}
        for job in self.read():
            for cell in job.cells:
                if cell in cells:
                    by_cell.setdefault(cell, []).append(job)
        return by_cell

    @contextmanager
    def submitting(self) -> Iterator[None]:
        """Hold the right to look at the queue and submit; a second runner waits for the first.

        Where the file system has no locks two runners may submit the same cell twice; the second
        job then finds it taken or done.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "submit.lock").open("w") as file:
            with suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_EX)
            yield
