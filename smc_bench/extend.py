"""Everything that a plug-in needs, in one place; docs/extend.md shows each in use. No torch.

Names here stay where they are between versions; other modules may move.
"""

from __future__ import annotations

from smc_bench.engine.pruning.methods.base import PruningMethod as PruningMethod
from smc_bench.engine.pruning.methods.base import Step as Step
from smc_bench.engine.pruning.methods.registry import method as method
from smc_bench.engine.pruning.methods.scored import ScoredPruning as ScoredPruning
from smc_bench.engine.pruning.scorers.registry import scorer as scorer
from smc_bench.engine.schedules.durations import Duration as Duration
from smc_bench.engine.schedules.durations import to_steps as to_steps
from smc_bench.engine.schedules.kinds import RateSchedule as RateSchedule
from smc_bench.engine.schedules.kinds import SparsitySchedule as SparsitySchedule
from smc_bench.engine.schedules.kinds import schedule as schedule
from smc_bench.engine.schedules.timeline import PruningEvent as PruningEvent
from smc_bench.engine.schedules.timeline import Timeline as Timeline
from smc_bench.engine.seeding import derived_seed as derived_seed
from smc_bench.engine.strict import Strict as Strict
from smc_bench.tasks.registry import register as register_task
from smc_bench.tasks.specs import EvalSplit as EvalSplit
from smc_bench.tasks.specs import TaskSpec as TaskSpec

__all__ = [
    "Duration",
    "EvalSplit",
    "PruningEvent",
    "PruningMethod",
    "RateSchedule",
    "ScoredPruning",
    "SparsitySchedule",
    "Step",
    "Strict",
    "TaskSpec",
    "Timeline",
    "derived_seed",
    "method",
    "register_task",
    "schedule",
    "scorer",
    "to_steps",
]
