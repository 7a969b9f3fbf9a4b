"""How a worker process is started: its spec, its command line and its environment."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from pydantic import ValidationError

from smc_bench.dispatch import gpus
from smc_bench.engine.execution import Execution
from smc_bench.environment import fixed, passed, python_path
from smc_bench.errors import SmcBenchError
from smc_bench.sources import Roots
from smc_bench.store.store import Store

# Exit codes of a worker: done, failed, someone else has the cell, interrupted.
DONE, FAILED, TAKEN, INTERRUPTED = 0, 1, 3, 4

# How long a thread looks for work before it sleeps. Unpadded batches are many small pieces of work:
# libgomp's passive threads (0) are woken for each, its own default (300,000, libgomp's manual at
# GOMP_SPINCOUNT) holds a core that another process needs. Measured by benchmarks/workers.py, which
# says what either costs.
_SPIN = "4000"

PACKAGE_PARENT = Path(__file__).resolve().parents[3]

# -P: Python's -m would put the current folder before all others, and import what lies there.
WORKER = (sys.executable, "-P", "-m", "smc_bench.dispatch.worker.main")


@dataclass(frozen=True)
class WorkerSpec:
    """What every worker of a run is started with, whoever starts it; picklable.

    Attributes:
        results: Results folder, absolute.
        cache: Cache of wheels and fetched rows, absolute.
        data_root: Local mirror of data sets, or None where there is none.
        execution: How cells are run, before what an earlier attempt at one of them fixed.
        include: Plug-in files, absolute.
        processes: Processes that train a cell, or None: as many as its first attempt had, else one.
    """

    results: Path
    cache: Path
    data_root: Path | None = None
    execution: Execution = field(default_factory=Execution)
    include: tuple[Path, ...] = ()
    processes: int | None = None

    @classmethod
    def of(
        cls,
        store: Store,
        roots: Roots,
        execution: Execution,
        include: Sequence[Path] = (),
        processes: int | None = None,
    ) -> WorkerSpec:
        """The spec of a run; paths become absolute, because a worker may start anywhere."""
        return cls(
            store.root.absolute(),
            roots.cache.absolute(),
            None if roots.data is None else roots.data.absolute(),
            execution,
            tuple(path.absolute() for path in include),
            processes,
        )

    @property
    def store(self) -> Store:
        """The results that workers read cells from and write records to."""
        return Store(self.results)

    def to_argv(self) -> list[str]:
        """Options of the worker's command line; :meth:`from_argv` reads them back."""
        words = ["--results", str(self.results), "--cache", str(self.cache)]
        words += ["--execution", self.execution.model_dump_json()]
        if self.data_root is not None:
            words += ["--data-root", str(self.data_root)]
        for path in self.include:
            words += ["--include", str(path)]
        if self.processes is not None:
            words += ["--processes", str(self.processes)]
        return words

    @classmethod
    def from_argv(cls, argv: Sequence[str]) -> WorkerSpec:
        """Read what :meth:`to_argv` wrote."""
        return cls.from_options(worker_parser().parse_args(list(argv)))

    @classmethod
    def from_options(cls, given: argparse.Namespace) -> WorkerSpec:
        """The spec of a parsed command line; places not named come from the environment.

        Raises:
            SmcBenchError: If ``--execution`` holds no valid settings.
        """
        roots = Roots.from_environment(given.data_root, given.cache)
        try:
            execution = Execution.model_validate_json(given.execution)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "JSON"
            raise SmcBenchError(f"--execution: {where}: {first['msg']}") from None
        include = tuple(given.include)
        return cls(given.results, roots.cache, roots.data, execution, include, given.processes)

    def command(self, cell: str | None = None) -> list[str]:
        """Command line of a worker, which stops when this process is gone.

        Args:
            cell: The cell's folder below ``RESULTS/cells``, for one attempt at it; None for a
                persistent worker, which reads cells from its standard input
                (:mod:`smc_bench.dispatch.worker.serve`).
        """
        return [*WORKER, *([cell] if cell else []), *self.to_argv(), "--parent", str(os.getpid())]


def worker_parser() -> argparse.ArgumentParser:
    """Parser of a worker's command line."""
    parser = argparse.ArgumentParser(
        prog="smc_bench.dispatch.worker.main",
        description="One attempt at one cell. Exit codes: 0 done, 1 failed (failure.json says "
        "why), 3 someone else has the cell, 4 interrupted.",
    )
    help_folder = "the cell's folder below RESULTS/cells; without one, see dispatch/worker/serve.py"
    parser.add_argument("folder", nargs="?", help=help_folder)
    parser.add_argument("--results", required=True, type=Path)
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--parent", type=int, help="stop when this process is no longer the parent")
    parser.add_argument("--execution", default="{}", help="JSON, fixed by the first attempt")
    parser.add_argument("--include", action="append", default=[], type=Path, help="plug-in file")
    parser.add_argument("--processes", type=int, help="train in so many; one GPU each")
    return parser


def start_worker(
    spec: WorkerSpec, cell: str, threads: int, defaults: Mapping[str, str] = MappingProxyType({})
) -> subprocess.Popen[bytes]:
    """Start one attempt at a cell whose folder exists; what it prints goes to the cell's log.

    Args:
        spec: What workers are started with.
        cell: The cell's folder below ``RESULTS/cells``.
        threads: Threads that it may use.
        defaults: Variables that it gets unless the user has set them.
    """
    with (spec.store.folder(cell).path / "worker.log").open("ab") as log:
        return subprocess.Popen(
            spec.command(cell),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**defaults, **worker_environment(threads)},
        )


def worker_environment(threads: int) -> dict[str, str]:
    """Environment of a worker: what may pass, threads, memory, and this very package.

    See :mod:`smc_bench.environment`.
    """
    given = passed(os.environ)
    given |= {"GOMP_SPINCOUNT": given.get("GOMP_SPINCOUNT", _SPIN)}
    given |= {"OMP_NUM_THREADS": str(threads), **fixed(os.environ)}
    path = python_path(os.environ, PACKAGE_PARENT)
    return {**given, "PYTHONPATH": path} if path else given


def visible_gpus() -> tuple[str, ...]:
    """Ids of the GPUs that may be used, without torch."""
    return tuple(gpu.id for gpu in gpus.visible())
