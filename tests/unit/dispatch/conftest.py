from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from smc_bench.cli.common import Session
from smc_bench.engine.execution import Execution
from smc_bench.sources import Roots
from smc_bench.store.store import CellFolder, Store
from smc_bench.suite.expand import Plan
from tests.helpers.fake_slurm import FakeSlurm


@pytest.fixture
def fake_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    """SLURM's commands on the PATH, as a stand-in that runs nothing by itself."""
    fake = FakeSlurm(tmp_path / "fake-slurm")
    monkeypatch.setenv("FAKE_SLURM", str(fake.root))
    monkeypatch.setenv("PATH", f"{fake.root / 'bin'}{os.pathsep}{os.environ['PATH']}")
    for name in [name for name in os.environ if name.startswith("SLURM")]:
        monkeypatch.delenv(name)
    return fake


@pytest.fixture
def session(suite_file: Path, mirror: Path, tmp_path: Path) -> Session:
    """The tiny suite: one teacher, one free student, one that needs the teacher."""
    roots = Roots.from_environment(mirror, tmp_path / "cache")
    return Session(suite_file, None, (), roots, Store(tmp_path / "results"))


@pytest.fixture
def plan(session: Session) -> Plan:
    return session.plan()


@pytest.fixture
def finish(monkeypatch: pytest.MonkeyPatch) -> Callable[[CellFolder], None]:
    """Make a cell done, as far as its folder's state goes."""
    monkeypatch.setattr(CellFolder, "record", lambda _: None)

    def make(folder: CellFolder) -> None:
        folder.path.mkdir(parents=True, exist_ok=True)
        (folder.path / "record.json").write_text(json.dumps({}))

    return make


@pytest.fixture
def execution() -> Execution:
    return Execution()
