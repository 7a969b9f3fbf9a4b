"""Units chosen for a speed: against exhaustive search, and what the audit makes of the result."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from smc_bench.engine.pruning.audit import Claims, audit
from smc_bench.engine.pruning.latency import TICKS, LatencyTable, SpeedTarget, unreachable
from smc_bench.engine.pruning.model_units import ModelUnits
from smc_bench.engine.pruning.speed import Options, check_table, least_loss, remove_for_speed
from smc_bench.engine.recipe import Recipe
from smc_bench.errors import AuditError, Interrupted, ModelError
from smc_bench.models.units import Unit, units
from tests.helpers.engine import MemoryContext, recipe, tiny_classifier, trainer
from tests.helpers.shrinking import tiny
from tests.unit.engine.test_removed_units import encoder, worth

KINDS: dict[str, Any] = {
    "heads": ["head"], "neurons": ["neuron"], "heads+neurons": ["head", "neuron"],
}  # fmt: skip


def table(
    heads: list[float], neurons: list[tuple[int, float]], layers: int = 2, **more: Any
) -> LatencyTable:
    content = {
        "processor": "toy", "threads": 1, "engine": "torch", "version": "1", "torch": "1",
        "batch": 1, "length": 128, "layers": layers, "rest_ms": 1.0, "whole_ms": 20.0, "load": 0.0,
        "heads": list(enumerate(heads)), "neurons": neurons, **more,
    }  # fmt: skip
    return LatencyTable.model_validate(content)


# Fewer heads hardly help until one is left: a plateau, as engines have them.
TOY = table([0.0, 1.0, 2.9, 3.0], [(0, 0.0), (2, 1.5), (4, 4.0)])


def speed(speedup: float, toy: LatencyTable = TOY) -> SpeedTarget:
    return SpeedTarget(speedup=speedup, table=toy)


def toy_model() -> Any:
    return tiny("bert", layers=2, heads=3, size=2, neurons=4)


def chosen(
    model: Any, structure: str, target: SpeedTarget, gone: float, old: Any = None
) -> list[bool]:
    """Which units go by magnitude, read off the masks slice by slice."""
    weights, found = encoder(model), units(model, KINDS[structure])
    masks = old or {name: torch.ones_like(w, dtype=torch.bool) for name, w in weights.items()}
    saliency = {name: w.abs() for name, w in weights.items()}
    new = remove_for_speed(saliency, masks, ModelUnits(found), target, gone)
    went = []
    for unit in found:
        states = {bool(v) for part in unit.members for v in part.of(new[part.tensor]).unique()}
        assert len(states) == 1
        went.append(states == {False})
    return went


def milliseconds(found: list[Unit], gone: list[bool], toy: LatencyTable = TOY) -> float:
    """By the table, layer by layer, from the numbers that it was written with."""
    counts, times = zip(*toy.neurons, strict=True)
    total = toy.rest_ms
    for layer in range(toy.layers):
        stay = [u for u, g in zip(found, gone, strict=True) if u.layer == layer and not g]
        kinds = {u.kind for u in found}
        heads = sum(u.kind == "head" for u in stay) if "head" in kinds else toy.heads[-1][0]
        neurons = sum(u.kind == "neuron" for u in stay) if "neuron" in kinds else counts[-1]
        total += toy.heads[heads][1] + float(np.interp(neurons, counts, times))
    return total


@pytest.mark.parametrize("structure", sorted(KINDS))
@pytest.mark.parametrize("speedup", [1.05, 1.3, 1.45, 2.0, 3.5])
def test_no_other_choice_that_is_as_fast_costs_less(structure: str, speedup: float) -> None:
    """All subsets of the units of a tiny model; times may be off by the rounding of ticks."""
    model, target = toy_model(), speed(speedup)
    found, weights = units(model, KINDS[structure]), encoder(model)
    if speedup > TOY.fastest(structure):
        with pytest.raises(ModelError, match="out of reach"):
            chosen(model, structure, target, target.sparsity)
        return
    values = [worth(unit, weights) for unit in found]
    gone = chosen(model, structure, target, target.sparsity)
    limit, rounding = TOY.dense_ms / speedup, 10 * 0.5 * TOY.dense_ms / TICKS
    assert milliseconds(found, gone) <= limit + rounding
    best = min(
        sum(v for v, g in zip(values, subset, strict=True) if g)
        for subset in product([False, True], repeat=len(found))
        if milliseconds(found, list(subset)) <= limit - rounding
    )
    mine = sum(v for v, g in zip(values, gone, strict=True) if g)
    assert mine <= best + 1e-9
    as_fast = [
        sum(v for v, g in zip(values, subset, strict=True) if g)
        for subset in product([False, True], repeat=len(found))
        if milliseconds(found, list(subset)) <= milliseconds(found, gone) + 1e-9
    ]
    assert mine == pytest.approx(min(as_fast), rel=1e-12)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_the_knapsack_is_exact(data: st.DataObject) -> None:
    groups = []
    for _ in range(data.draw(st.integers(1, 3))):
        count = data.draw(st.integers(1, 4))
        steps = data.draw(st.lists(st.integers(0, 5), min_size=count, max_size=count))
        worths = sorted(data.draw(st.lists(st.integers(0, 9), min_size=count, max_size=count)))
        forced = data.draw(st.integers(0, count))
        values = np.array([0.0] * forced + [float(v) for v in worths[forced:]])
        ticks = np.array([sum(steps[n:]) for n in range(count + 1)])
        groups.append(Options(values, ticks, forced))
    least = sum(int(group.ticks[-1]) for group in groups)
    budget = least + data.draw(st.integers(0, 20))
    counts = least_loss(groups, budget)
    choices = [
        (sum(float(g.worth[:n].sum()) for g, n in zip(groups, option, strict=True)), option)
        for option in product(*(range(g.gone, len(g.ticks)) for g in groups))
        if sum(int(g.ticks[n]) for g, n in zip(groups, option, strict=True)) <= budget
    ]
    mine = sum(float(g.worth[:n].sum()) for g, n in zip(groups, counts, strict=True))
    taken = sum(int(g.ticks[n]) for g, n in zip(groups, counts, strict=True))
    assert taken <= budget
    assert mine == min(choices)[0]
    for group, n in zip(groups, counts, strict=True):
        assert n == group.gone or group.ticks[n - 1] - group.ticks[n] > budget - taken


def test_what_went_stays_away() -> None:
    model = toy_model()
    found, weights = units(model, KINDS["heads+neurons"]), encoder(model)
    target, masks, before = speed(4.0), None, [False] * len(found)
    for gone in (0.2, 0.5, 0.75):
        went = chosen(model, "heads+neurons", target, gone, masks)
        assert all(now for now, then in zip(went, before, strict=True) if then)
        masks = {n: torch.ones_like(w, dtype=torch.bool) for n, w in weights.items()}
        for unit, lost in zip(found, went, strict=True):
            for part in unit.members:
                part.of(masks[part.tensor]).fill_(not lost)
        before = went
    assert TOY.dense_ms / milliseconds(found, before) >= 4.0 - 1e-2


# Of tests.helpers.engine.tiny_classifier: two layers of two heads and 32 neurons.
TINY = table([0.0, 2.0, 3.0], [(0, 0.0), (8, 2.0), (32, 6.0)])


def cell(**more: Any) -> Recipe:
    ramp = {"kind": "ramp", "start": "0it", "end": "6it", "every": "2it"}
    target = {"speedup": 2.0, "table": TINY.model_dump()}
    return recipe(
        structure="heads+neurons", target=target, sparsity_schedule=ramp,
        train={"duration": "8it", "batch": 8, "dropout": 0.1}, **more,
    )  # fmt: skip


def run(settings: Recipe, context: MemoryContext) -> Any:
    assert settings.target is not None
    model = tiny_classifier(dropout=0.1)
    return trainer(model, settings, settings.target.sparsity, context)


def audited(done: Any, weights: dict[str, torch.Tensor]) -> Any:
    born, claims = dict.fromkeys(weights, 0), Claims(done.pruner.masks)
    found = ModelUnits(units(done.raw, KINDS["heads+neurons"]))
    return audit(weights, done.pruner.parts, done.recipe, 0.5, born, claims, found)


def copied(done: Any) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in done.raw.state_dict().items()}


def test_trained_along_the_schedule_resumed_and_audited(tmp_path: Path) -> None:
    whole = run(cell(), MemoryContext(tmp_path / "whole"))
    whole.run()
    with pytest.raises(Interrupted):
        run(cell(), MemoryContext(tmp_path / "cut", stop_after=5)).run()
    again = run(cell(), MemoryContext(tmp_path / "cut"))
    again.run()
    state = whole.raw.state_dict()
    assert all(torch.equal(state[name], t) for name, t in again.raw.state_dict().items())
    found = units(whole.raw, KINDS["heads+neurons"])
    dead = [not any(bool(p.of(state[p.tensor]).any()) for p in u.members) for u in found]
    times = milliseconds(found, dead, TINY)
    assert TINY.dense_ms / times == pytest.approx(2.0, abs=0.05)
    assert times <= TINY.dense_ms / 2 + 1e-2
    audited(whole, copied(whole))


def test_audit_sees_a_model_that_is_too_slow_or_too_small(tmp_path: Path) -> None:
    """Masks and file agree; the table says otherwise."""
    done = run(cell(), MemoryContext(tmp_path))
    done.run()
    masks, found = done.pruner.masks, units(done.raw, KINDS["heads+neurons"])
    kept = {name: mask.clone() for name, mask in masks.items()}
    for alive, message in ((True, "is the target"), (False, "that was removed still fits")):
        weights = copied(done)
        for unit in found:
            part = unit.members[0]
            if bool(part.of(kept[part.tensor]).any()) != alive:
                for part in unit.members:
                    part.of(weights[part.tensor]).fill_(0.5 if alive else 0.0)
                    part.of(masks[part.tensor]).fill_(alive)
        with pytest.raises(AuditError, match=message):
            audited(done, weights)


def test_audit_sees_one_revived_weight(tmp_path: Path) -> None:
    done = run(cell(), MemoryContext(tmp_path))
    done.run()
    for unit in units(done.raw, KINDS["heads+neurons"]):
        part = unit.members[0]
        if not bool(part.of(done.pruner.masks[part.tensor]).any()):
            weights = copied(done)
            part.of(weights[part.tensor])[0, 0] = 0.5
            with pytest.raises(AuditError, match="1 pruned weights are not zero"):
                audited(done, weights)
            return
    raise AssertionError("nothing was removed")


def test_out_of_reach_names_the_fastest(tmp_path: Path) -> None:
    """Heads alone: all that is not heads stays, 1 + 2 x 6 of 1 + 2 x 9 milliseconds."""
    said = unreachable(speed(1.5, TINY), "heads")
    assert said is not None
    assert f"at most {19 / 13:.2f} times as fast" in said
    assert unreachable(speed(1.46, TINY), "heads") is None
    settings = cell().model_copy(update={"structure": "heads"})
    with pytest.raises(ModelError, match=r"1\.46 times as fast"):
        run(settings, MemoryContext(tmp_path))
    other = SpeedTarget(speedup=1.2, batch=8, table=TINY)
    assert "its table is of batch 1, not 8" in str(unreachable(other, "heads"))


def test_a_table_of_another_architecture_is_refused() -> None:
    with pytest.raises(ModelError, match="2 layers of 3 heads, the model has"):
        check_table(TOY, ModelUnits(units(tiny_classifier(), ["head"])))


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"structure": "layers"}, "needs structure: heads, neurons"),
    ({}, "needs structure: heads, neurons"),
    ({"structure": "heads", "threshold": "per_layer"}, "chooses among all units by time"),
    ({"structure": "heads", "sparsity_over": "structure"}, "chooses among all units by time"),
]


@pytest.mark.parametrize(("changes", "message"), WRONG)
def test_what_does_not_go_together_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        recipe(target={"speedup": 2.0}, **changes)


@pytest.mark.parametrize(
    ("times", "message"),
    [([0.0, 2.0, 1.0], "can't be faster"), ([0.5, 1.0, 2.0], "rise from 0")],
)
def test_a_table_that_can_not_be_is_refused(times: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        table(times, [(0, 0.0), (2, 1.0)])


def test_identity_has_the_table_and_nothing_where_there_is_no_target() -> None:
    assert "target" not in recipe(structure="heads").model_dump()
    one, other = (
        recipe(structure="heads", target={"speedup": 2.0, "table": toy.model_dump()})
        for toy in (TOY, TINY)
    )
    assert one != other
    assert Recipe.model_validate(one.model_dump(mode="json")) == one
    assert one.target is not None
    assert one.target.measured.sha256 != TINY.sha256
