"""A cell of two GPUs in a real job: two processes that save together and go on together."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from tests.slurm.conftest import Bench, Cluster, check_record, uninterrupted

pytestmark = [pytest.mark.slurm, pytest.mark.slurm_long, pytest.mark.timeout(3000)]

PLAIN = ("--only", "arm=plain")


def test_two_processes_save_at_one_step_and_go_on_with_the_same_bits(
    long_cells: Bench, cluster: Cluster, tmp_path: Path
) -> None:
    bench = long_cells
    bench.settings[0] = "seeds=[1]"
    bench.smc("run", "--slurm", *PLAIN, "--gpus", 2, "--mem", "3GB")
    cell = bench.cell("*-s1-*")
    main = bench.freeze(cell)
    cluster.ask("scancel", "--signal", "USR2", bench.job_of(cell))
    os.kill(main, signal.SIGCONT)
    bench.wait_done(cell)
    bench.wait_idle(cluster)
    record = check_record(cell)
    assert (record["attempt"], record["execution"]["processes"]) == (2, 2)
    assert "processes_changed" not in record["execution"]
    assert json.loads(cell.attempt_file(1).read_text())["how"] == "interrupted"
    assert {job["gpus"] for job in bench.jobs()} == {2}
    expected = uninterrupted(bench, tmp_path, "arm=plain", "seed=1")
    assert expected == {cell.path.name: record["weights_sha256"]}
