"""What workers are started with survives every way to one."""

from __future__ import annotations

import os
import pickle
import sys
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smc_bench.dispatch.worker.command import WorkerSpec, worker_parser
from smc_bench.engine.execution import Execution
from smc_bench.errors import SmcBenchError
from smc_bench.sources import Roots
from smc_bench.store.store import Store

NAMES = st.text("ab -'\"$é中=", min_size=1, max_size=12)
PATHS = NAMES.map(lambda name: Path("/") / name)
SPECS = st.builds(
    WorkerSpec,
    PATHS,
    PATHS,
    PATHS,
    st.builds(Execution, micro_batch=st.none() | st.integers(1, 99), trackers=st.just(("wandb",))),
    st.lists(PATHS, max_size=3).map(tuple),
    st.none() | st.integers(1, 8),
)


@given(SPECS)
def test_argv_and_pickle_give_back_the_spec(spec: WorkerSpec) -> None:
    assert WorkerSpec.from_argv(spec.to_argv()) == spec
    assert pickle.loads(pickle.dumps(spec)) == spec


def test_it_can_not_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        WorkerSpec(Path("/r"), Path("/c")).processes = 2  # type: ignore[misc]


def test_paths_hold_wherever_a_worker_starts() -> None:
    roots = Roots(Path("data"), Path("cache"), offline=True)
    spec = WorkerSpec.of(Store(Path("results")), roots, Execution(), (Path("mine.py"),))
    here = Path.cwd()
    assert (spec.results, spec.cache, spec.data_root) == tuple(
        here / name for name in ("results", "cache", "data")
    )
    assert spec.include == (here / "mine.py",)


def test_the_command_names_cell_and_parent() -> None:
    spec = WorkerSpec(Path("/r"), Path("/c"))
    command = spec.command("sst2/cell")
    assert command[0] == sys.executable
    given = worker_parser().parse_args(command[4:])
    assert (given.folder, given.parent) == ("sst2/cell", os.getpid())
    assert worker_parser().parse_args(spec.command()[4:]).folder is None


def test_wrong_execution_settings_are_told() -> None:
    argv = ["--results", "/r", "--execution", '{"micro_batch": 0}']
    with pytest.raises(SmcBenchError, match="--execution: micro_batch: "):
        WorkerSpec.from_argv(argv)
