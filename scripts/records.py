"""Small records of finished cells: out of a results folder into files to commit, and back.

    records.py collect RESULTS RECORDS     what is finished and not there yet
    records.py restore RECORDS RESULTS     [--without-dense]

See smc_bench/store/packed.py. No weights: a dense model that has to teach is trained again, which
``--without-dense`` leaves room for. ``smc-bench merge`` restores too.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from smc_bench.errors import SmcBenchError
from smc_bench.store.collecting import collect
from smc_bench.store.merge import merge
from smc_bench.store.store import Store


def main() -> int:
    """Do it and count; 1 where something was left out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("collect", "restore"))
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--without-dense", action="store_true")
    given = parser.parse_args()
    if given.what == "collect":
        outcomes = collect(Store(given.source), given.target)
    else:
        outcomes = merge(Store(given.target), given.source, dense=not given.without_dense)
    added, whole = 0, True
    try:
        for outcome in outcomes:
            added += outcome.what == "added"
            whole = whole and outcome.whole
            if outcome.why:
                print(f"{outcome.source}: {outcome.what}: {outcome.why}", file=sys.stderr)
    except SmcBenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{added} new records in {given.target}")
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(main())
