from __future__ import annotations

from pathlib import Path

import pytest

from smc_bench.errors import SuiteError
from smc_bench.suite.expand import Plan
from smc_bench.suite.only import select
from tests.unit.suite.test_resolve import plan


@pytest.fixture
def planned(tmp_path: Path) -> Plan:
    return plan(tmp_path, "arms: {gmp: {recipe: gmp-30ep}, smc: {recipe: smc}}\n")


def test_values_of_a_key_are_alternatives_and_keys_narrow(planned: Plan) -> None:
    found = select(planned, ("arm=gmp", "arm=smc", "sparsity=0.80", "task=mnli"), teachers=False)
    by_hand = {
        e.cell.id
        for e in planned.entries
        if e.arm in ("gmp", "smc") and e.target == 0.8 and e.cell.task.name == "mnli"
    }
    assert by_hand == found.keys()
    assert len(by_hand) == 2


@pytest.mark.parametrize(
    ("only", "message"),
    [
        ("sparsity=50%", "write a share from 0 to 1"),
        ("sparsity=nan", "write a share from 0 to 1"),
        ("sparsity=1e999", "write a share from 0 to 1"),
        ("sparsity=", "write a share from 0 to 1"),
        ("seed=one", "write a whole number"),
        ("seed=-1", "write a whole number"),
        ("arn=gmp", "write key=value; did you mean 'arm'"),
        ("gmp", "write key=value"),
        ("", "write key=value"),
        ("=", "write key=value"),
        ("arm=gpm", "no cell of this suite matches; did you mean 'gmp'"),
        ("task=mnil", "no cell of this suite matches; did you mean 'mnli'"),
        ("id=**", "no cell of this suite matches"),
        ("arm=a\nb", "no cell of this suite matches"),
    ],
)
def test_wrong_filters_are_one_line(only: str, message: str, planned: Plan) -> None:
    with pytest.raises(SuiteError, match=message) as caught:
        select(planned, (only,))
    assert str(caught.value).startswith("--only ")
    assert str(caught.value).isprintable()
