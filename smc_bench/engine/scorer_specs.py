"""Where plug-ins written for 0.1 look for the registry of scorers; deprecated."""

from __future__ import annotations

import warnings

from smc_bench.engine.pruning.scorers.registry import (
    SCORERS as SCORERS,
)
from smc_bench.engine.pruning.scorers.registry import (
    NoOptions as NoOptions,
)
from smc_bench.engine.pruning.scorers.registry import (
    ScorerSpec as ScorerSpec,
)
from smc_bench.engine.pruning.scorers.registry import (
    register as register,
)

warnings.warn(
    "smc_bench.engine.scorer_specs is now smc_bench.engine.pruning.scorers.registry",
    FutureWarning,
    stacklevel=2,
)
