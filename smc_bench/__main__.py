"""``python -m smc_bench``."""

import os
import sys

# Python's -m puts the current folder first: a random.py that lies there would be imported, and an
# entry point run. This package is found already.
if not sys.flags.safe_path and sys.path and sys.path[0] in {"", os.getcwd()}:
    del sys.path[0]

from smc_bench.cli.main import main

if __name__ == "__main__":
    main()
