"""Plug-ins as texts, and how a test loads one."""

from __future__ import annotations

from pathlib import Path

from smc_bench import plugins

HEAD = """
from smc_bench.extend import *

"""


HALVES = (
    HEAD
    + """
@schedule(name="halves", version=1, source="a test")
class Halves(SparsitySchedule):
    events: int = 4

    def timeline(self, target, steps_per_epoch, total):
        levels = [target * (1 - 0.5**i) for i in range(1, self.events)] + [target]
        events = tuple(PruningEvent(2 * i, level) for i, level in enumerate(levels, 1))
        return Timeline(total, steps_per_epoch, events)
"""
)


STAIRS = (
    HEAD
    + """
@schedule(name="stairs", version=2, source="a test")
class Stairs(RateSchedule):
    every: Duration = "1ep"
    floor: float = 0.0

    def rate(self, step, timeline):
        return self.peak * 0.5 ** (step // to_steps(self.every, timeline.steps_per_epoch))
"""
)


METHOD = (
    HEAD
    + """
class Options(Strict):
    every: int = 3

@method(name="own", version=3, source="a test", options=Options)
class Own(ScoredPruning):
    pass
"""
)


AVERAGE = (
    HEAD
    + """
@method(name="average", version=1, source="a test")
class Average(PruningMethod):
    def __init__(self, pruner):
        super().__init__(pruner)
        self.sums = {n: p.detach().abs().clone() for n, p in pruner.parameters.items()}

    def on_event(self, event):
        self.pruner.set_masks(self.pruner.choose(self.sums, event.sparsity), event.sparsity)

    def after_step(self, step):
        super().after_step(step)
        for name, weight in self.pruner.parameters.items():
            self.sums[name] += weight.detach().abs()

    def state(self):
        return {f"sum/{name}": total for name, total in self.sums.items()}

    def load(self, state):
        for name, total in self.sums.items():
            total.copy_(state[f"sum/{name}"])
"""
)


SCORER = (
    HEAD
    + """
@scorer(name="inverse", version=1, source="a test")
def inverse(weights, statistics):
    return {name: -weight.abs() for name, weight in weights.items()}
"""
)


SUITE = """
name: own
title: Own
tasks: [sst2]
model: minilm-l6
sparsity: [0.5]
seeds: [1]
baseline: one-shot-magnitude
recipe:
  train: {duration: 20it}
arms:
  first: {}
"""


def load(tmp_path: Path, text: str, name: str = "own.py") -> list[str]:
    (tmp_path / name).write_text(text)
    return plugins.load_file(tmp_path / name)
