from __future__ import annotations

import pytest
from pydantic import ValidationError

from smc_bench.engine.pruning.obert.options import FLOAT32_EPS, ObertOptions, to_bytes


def test_options() -> None:
    assert to_bytes("4GB") == 4 * 10**9
    assert to_bytes("1.5 GiB") == 3 * 2**29
    assert ObertOptions(fisher_memory=" 4.0 gb").fisher_memory == "4GB"
    assert ObertOptions(fisher_memory="2gib").fisher_memory == "2GiB"
    assert ObertOptions(eps=True) == ObertOptions() == ObertOptions(eps=FLOAT32_EPS)
    assert ObertOptions(eps=False).eps == 0.0
    for wrong in ("4", "GB", "0GB", "4 apples", 4):
        with pytest.raises(ValidationError, match="unit"):
            ObertOptions(fisher_memory=wrong)
