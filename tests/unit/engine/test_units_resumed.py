"""Units by Taylor and ZipLM: killed between events or while scoring, resumed, audited."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from smc_bench.engine.context import Progress
from smc_bench.engine.pruning.audit import Claims, audit
from smc_bench.engine.pruning.model_units import ModelUnits
from smc_bench.engine.pruning.scorers.registry import SCORERS, checked_options
from smc_bench.engine.recipe import Recipe
from smc_bench.errors import AuditError, Interrupted
from smc_bench.models.units import UnitKind, units
from tests.helpers.engine import MemoryContext, recipe, tiny_classifier, trainer

EVENTS = {"kind": "ramp", "start": "0it", "end": "6it", "every": "2it"}
KINDS: tuple[UnitKind, ...] = ("head", "neuron")


def cell(scorer: str, **more: Any) -> Recipe:
    options = checked_options(SCORERS[scorer], {"batches": 3, "batch": 4})
    return recipe(
        structure="heads+neurons", scorer=scorer, scorer_options=options, sparsity_schedule=EVENTS,
        train={"duration": "8it", "batch": 8, "dropout": 0.1}, **more,
    )  # fmt: skip


class KilledWhileScoring(MemoryContext):
    """Is asked to stop after so many batches of the scorer, at an event that is under way."""

    def __init__(self, folder: Path, step: int, batches: int) -> None:
        super().__init__(folder)
        self.at, self.batches, self.scored = step, batches, 0

    def progress(self, now: Progress) -> None:
        super().progress(now)
        if now.phase == "score" and self.steps == self.at:
            self.scored += 1

    def should_stop(self) -> bool:
        return self.scored == self.batches


def digest(run: Any) -> str:
    """Of all weights and all masks, by name."""
    found = hashlib.sha256()
    both: Mapping[str, torch.Tensor] = {**run.raw.state_dict(), **run.pruner.state()}
    for name in sorted(both):
        tensor = both[name].contiguous()
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(tensor.numpy().tobytes())
    return found.hexdigest()


def begun(settings: Recipe, context: MemoryContext) -> Any:
    return trainer(tiny_classifier(dropout=0.1), settings, 0.5, context)


@pytest.mark.parametrize("slices", [1, 2])
@pytest.mark.parametrize("scorer", ["taylor", "ziplm"])
def test_killed_between_events_and_while_scoring(scorer: str, slices: int, tmp_path: Path) -> None:
    settings = cell(scorer, recomputations=slices)
    whole = begun(settings, MemoryContext(tmp_path / "whole"))
    whole.run()
    folder = tmp_path / "cut"
    with pytest.raises(Interrupted, match="stopped at step 3"):  # one event is over
        begun(settings, MemoryContext(folder, stop_after=3)).run()
    # In the last slice of the second event: what earlier slices removed must be forgotten.
    killed = begun(settings, KilledWhileScoring(folder, 4, 3 * slices - 1))
    with pytest.raises(Interrupted, match="stopped while scoring at step 4"):
        killed.run()
    assert [event["step"] for event in killed.events] == [2]
    resumed = begun(settings, MemoryContext(folder))
    assert resumed.step == 3
    resumed.run()
    assert resumed.events == whole.events
    assert len(whole.events) == 3
    assert digest(resumed) == digest(whole)


@pytest.mark.parametrize("scorer", ["taylor", "ziplm"])
def test_killed_while_the_first_event_is_scored(scorer: str, tmp_path: Path) -> None:
    """No checkpoint is there yet: training begins anew."""
    whole = begun(cell(scorer), MemoryContext(tmp_path / "whole"))
    whole.run()
    with pytest.raises(Interrupted, match="while scoring at step 2"):
        begun(cell(scorer), KilledWhileScoring(tmp_path / "cut", 2, 2)).run()
    again = begun(cell(scorer), MemoryContext(tmp_path / "cut"))
    assert again.step == 0
    again.run()
    assert digest(again) == digest(whole)


@pytest.mark.parametrize("scorer", ["taylor", "ziplm"])
def test_audit_catches_one_revived_weight_of_a_resumed_cell(scorer: str, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        begun(cell(scorer), MemoryContext(tmp_path, stop_after=5)).run()
    run = begun(cell(scorer), MemoryContext(tmp_path))
    run.run()
    found = units(run.raw, KINDS)

    def audited(weights: dict[str, torch.Tensor]) -> Any:
        born = dict.fromkeys(weights, 0)
        claims = Claims(run.pruner.masks)
        return audit(weights, run.pruner.parts, run.recipe, 0.5, born, claims, ModelUnits(found))

    def copied() -> dict[str, torch.Tensor]:
        return {name: tensor.clone() for name, tensor in run.raw.state_dict().items()}

    measured = audited(copied())
    dead = [
        unit
        for unit in found
        if not any(bool(part.of(run.pruner.masks[part.tensor]).any()) for part in unit.members)
    ]
    assert measured.encoder.zeros == sum(unit.size for unit in dead)
    assert {unit.kind for unit in dead} >= {"neuron"}
    for unit in (dead[0], dead[-1]):
        for part in unit.members:
            weights = copied()
            part.of(weights[part.tensor])[-1, -1] = 1e-30
            with pytest.raises(AuditError, match=f"{part.tensor}: 1 pruned weights are not zero"):
                audited(weights)
