"""Which units go, by exhaustive search; how many, by counting; and what the audit makes of it."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from smc_bench.engine.pruning.audit import Claims, audit
from smc_bench.engine.pruning.model_units import ModelUnits, remove_units
from smc_bench.engine.pruning.scorers.registry import SCORERS, checked_options
from smc_bench.engine.pruning.targets import UnitGroup, unit_target_problem
from smc_bench.engine.recipe import Recipe
from smc_bench.errors import AuditError, ModelError
from smc_bench.export.shrink import shrink
from smc_bench.models.components import component_map
from smc_bench.models.units import Unit, units
from tests.helpers.engine import MemoryContext, recipe, tiny_classifier, trained, trainer
from tests.helpers.shrinking import tiny

KINDS: dict[str, Any] = {
    "heads": ["head"], "neurons": ["neuron"], "layers": ["layer"],
    "heads+neurons": ["head", "neuron"],
}  # fmt: skip
RAMP = {"kind": "ramp", "start": "1it", "end": "5it", "every": "1it"}


def encoder(model: Any) -> dict[str, torch.Tensor]:
    named = dict(model.named_parameters())
    return {name: named[name].detach() for name in component_map(model).in_scope(["encoder"])}


def worth(unit: Unit, weights: dict[str, torch.Tensor]) -> float:
    """Sum of |w| over a unit, slice by slice."""
    return sum(float(part.of(weights[part.tensor]).double().abs().sum()) for part in unit.members)


def removed(
    model: Any, structure: str, zeros: int, threshold: str = "global", old: Any = None
) -> list[bool]:
    """Which units go by magnitude, read off the masks slice by slice."""
    weights = encoder(model)
    found = units(model, KINDS[structure])
    masks = old or {name: torch.ones_like(w, dtype=torch.bool) for name, w in weights.items()}
    settings = recipe(structure=structure, threshold=threshold)
    saliency = {name: w.abs() for name, w in weights.items()}
    new = remove_units(saliency, masks, ModelUnits(found), zeros, settings)
    gone = []
    for unit in found:
        states = {bool(v) for part in unit.members for v in part.of(new[part.tensor]).unique()}
        assert len(states) == 1, "a unit goes or stays as a whole"
        gone.append(states == {False})
    assert sum(u.size for u, g in zip(found, gone, strict=True) if g) == sum(
        int((~m).sum()) for m in new.values()
    )
    return gone


@pytest.mark.parametrize("kind", ["bert", "distilbert", "mpnet", "llama"])
@pytest.mark.parametrize("structure", ["heads", "neurons", "layers"])
def test_of_one_size_the_least_are_found_as_by_exhaustive_search(kind: str, structure: str) -> None:
    model = tiny(kind, layers=3, heads=4, groups=2, size=4, neurons=3)
    found, weights = units(model, KINDS[structure]), encoder(model)
    values = [worth(unit, weights) for unit in found]
    for count in range(len(found) + 1):
        zeros = count * found[0].size + (found[0].size - 1 if count < len(found) else 0)
        gone = removed(model, structure, zeros)
        least = min(combinations(range(len(found)), count), key=lambda c: sum(values[i] for i in c))
        assert [i for i, g in enumerate(gone) if g] == sorted(least)


def test_of_several_sizes_no_other_choice_of_as_many_weights_costs_less() -> None:
    """Exhaustive, at each count that whole units by rising mean |w| meet exactly."""
    model = tiny("bert", layers=2, heads=2, size=2, neurons=4)
    found, weights = units(model), encoder(model)
    values, sizes = [worth(unit, weights) for unit in found], [unit.size for unit in found]
    assert len(set(sizes)) == 2
    order = sorted(range(len(found)), key=lambda i: values[i] / sizes[i])
    for count in range(1, len(found)):
        zeros = sum(sizes[i] for i in order[:count])
        gone = removed(model, "heads+neurons", zeros)
        mine = sum(v for v, g in zip(values, gone, strict=True) if g)
        best = min(
            sum(values[i] for i in range(len(found)) if bits >> i & 1)
            for bits in range(2 ** len(found))
            if sum(sizes[i] for i in range(len(found)) if bits >> i & 1) >= zeros
        )
        assert sum(s for s, g in zip(sizes, gone, strict=True) if g) == zeros
        assert mine == pytest.approx(best, rel=1e-12)


@settings(max_examples=30, deadline=None)
@given(share=st.floats(0, 1), later=st.floats(0, 1), neurons=st.integers(1, 6))
def test_nothing_that_still_fits_stays_and_what_went_stays_away(
    share: float, later: float, neurons: int
) -> None:
    model = tiny("bert", layers=2, heads=2, size=2, neurons=neurons)
    found = units(model)
    total = sum(unit.size for unit in found)
    masks, before = None, [False] * len(found)
    for zeros in sorted((int(share * total), int(later * total))):
        gone = removed(model, "heads+neurons", zeros, old=masks)
        left = zeros - sum(u.size for u, g in zip(found, gone, strict=True) if g)
        stay = [u.size for u, g in zip(found, gone, strict=True) if not g]
        assert left >= 0
        assert not stay or left < min(stay)
        assert all(now for now, then in zip(gone, before, strict=True) if then)
        weights = encoder(model)
        masks = {n: torch.ones_like(w, dtype=torch.bool) for n, w in weights.items()}
        for unit, went in zip(found, gone, strict=True):
            for part in unit.members:
                part.of(masks[part.tensor]).fill_(not went)
        before = gone


def test_by_layer_each_loses_the_same_share_of_each_kind() -> None:
    model = tiny("bert", layers=3, heads=4, size=4, neurons=8)
    found, weights = units(model), encoder(model)
    zeros = sum(unit.size for unit in found) // 2
    gone = removed(model, "heads+neurons", zeros, "per_layer")
    for layer in range(3):
        for kind, count in (("head", 2), ("neuron", 4)):
            these = [i for i, u in enumerate(found) if (u.layer, u.kind) == (layer, kind)]
            values = sorted(these, key=lambda i: worth(found[i], weights))
            assert {i for i in these if gone[i]} == set(values[:count])


@pytest.mark.parametrize("structure", sorted(KINDS))
@pytest.mark.parametrize("threshold", ["global", "per_layer"])
def test_trained_resumed_audited_and_shrunk(structure: str, threshold: str, tmp_path: Path) -> None:
    if (structure, threshold) == ("layers", "per_layer"):
        pytest.skip("one unit in each layer")
    cell = recipe(
        structure=structure, threshold=threshold, sparsity_over="structure",
        sparsity_schedule=RAMP, train={"duration": "7it", "batch": 8, "dropout": 0.1},
    )  # fmt: skip
    whole = trained(cell, 0.5, tmp_path / "whole").raw
    cut = trained(cell, 0.5, tmp_path / "cut", stop_after=3).raw
    state, again = whole.state_dict(), cut.state_dict()
    assert all(torch.equal(state[name], again[name]) for name in state)
    found = units(whole, KINDS[structure])
    dead = [
        unit
        for unit in found
        if not any(bool(part.of(state[part.tensor]).any()) for part in unit.members)
    ]
    assert 0.4 < sum(u.size for u in dead) / sum(u.size for u in found) <= 0.5
    small, what = shrink(whole.eval())
    assert what.parameters[1] - what.parameters[0] >= sum(unit.size for unit in dead)
    ids = torch.tensor([[2, 7, 31, 9, 3]])
    with torch.no_grad():
        assert float((small(ids).logits - whole(ids).logits).abs().max()) <= 1e-6


def finished(folder: Path, structure: str = "heads+neurons", **more: Any) -> Any:
    cell = recipe(structure=structure, **more)
    run: Any = trainer(tiny_classifier(), cell, 0.5, MemoryContext(folder))
    run.run()
    return run


def audited(run: Any, weights: dict[str, torch.Tensor], target: float = 0.5) -> Any:
    born = dict.fromkeys(weights, 0)
    found = ModelUnits(units(run.raw, KINDS[run.recipe.structure]))
    return audit(
        weights, run.pruner.parts, run.recipe, target, born, Claims(run.pruner.masks), found
    )


def copied(run: Any) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in run.raw.state_dict().items()}


def a_unit(run: Any, *, dead: bool) -> Unit:
    masks = run.pruner.masks
    for unit in units(run.raw, KINDS[run.recipe.structure]):
        part = unit.members[0]
        if bool(part.of(masks[part.tensor]).any()) != dead:
            return unit
    raise AssertionError("no such unit")


@pytest.mark.parametrize("threshold", ["global", "per_layer"])
def test_audit_sees_one_revived_weight(threshold: str, tmp_path: Path) -> None:
    """In the file alone, or in the masks too."""
    run = finished(tmp_path, threshold=threshold)
    measured = audited(run, copied(run))
    assert measured.structure is not None
    assert measured.structure.total == measured.encoder.total
    assert measured.structure.zeros == measured.encoder.zeros
    for part in a_unit(run, dead=True).members:
        weights = copied(run)
        part.of(weights[part.tensor])[0, 0] = 0.5
        with pytest.raises(AuditError, match="1 pruned weights are not zero"):
            audited(run, weights)
        part.of(run.pruner.masks[part.tensor])[0, 0] = True
        with pytest.raises(AuditError, match="without the rest of their unit"):
            audited(run, weights)
        part.of(run.pruner.masks[part.tensor])[0, 0] = False


@pytest.mark.parametrize("threshold", ["global", "per_layer"])
@pytest.mark.parametrize("dead", [True, False])
def test_audit_sees_a_unit_too_few_or_too_many(dead: bool, threshold: str, tmp_path: Path) -> None:
    """Masks and file agree; the recipe says otherwise."""
    run = finished(tmp_path, threshold=threshold)
    weights = copied(run)
    for part in a_unit(run, dead=dead).members:
        part.of(weights[part.tensor]).fill_(0.5 if dead else 0.0)
        part.of(run.pruner.masks[part.tensor]).fill_(dead)
    with pytest.raises(AuditError, match="removed in the saved file"):
        audited(run, weights)


def test_audit_sees_another_target_and_zeros_of_no_unit(tmp_path: Path) -> None:
    run = finished(tmp_path)
    for target in (0.45, 0.55):
        with pytest.raises(AuditError, match="final sparsity"):
            audited(run, copied(run), target)
    weights = copied(run)
    part = a_unit(run, dead=False).members[0]
    part.of(weights[part.tensor]).zero_()
    with pytest.raises(AuditError, match="without being pruned"):
        audited(run, weights)


def test_audit_needs_the_units(tmp_path: Path) -> None:
    run = finished(tmp_path)
    claims = Claims(run.pruner.masks)
    born = dict.fromkeys(copied(run), 0)
    with pytest.raises(AuditError, match="without the units"):
        audit(copied(run), run.pruner.parts, run.recipe, 0.5, born, claims)


@pytest.mark.parametrize("scorer", ["magnitude", "random", "snip", "wanda", "movement", "obert"])
def test_other_scorers_are_summed_over_units(scorer: str, tmp_path: Path) -> None:
    given = {"obert": {"gradients": 4, "gradient_batch": 2, "block": 5}}.get(scorer, {})
    options = checked_options(SCORERS[scorer], given)
    run = finished(tmp_path, scorer=scorer, scorer_options=options)
    audited(run, copied(run))


def test_an_unreachable_sparsity_names_the_largest(tmp_path: Path) -> None:
    """In BERT's proportions (four d squared of twelve) heads are a third."""
    groups = [UnitGroup("a", 12, 4 * 64 * 768), UnitGroup("b", 12, 4 * 64 * 768)]
    scope = 2 * 12 * 768**2
    heads = recipe(structure="heads")
    assert unit_target_problem(heads, scope, groups, 1 / 3) is None
    said = unit_target_problem(heads, scope, groups, 0.34)
    assert said is not None
    assert "at most 0.3333" in said
    alone = recipe(structure="heads", sparsity_over="structure")
    assert unit_target_problem(alone, scope, groups, 0.9) is None
    assert "less than one unit" in str(unit_target_problem(alone, scope, groups, 0.04))
    with pytest.raises(ModelError, match=r"at most 0\.5000 of the encoder"):
        trainer(tiny_classifier(), heads, 0.6, MemoryContext(tmp_path))


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"structure": "heads", "scope": ["encoder", "head"]}, "scope: encoder alone"),
    ({"structure": "neurons", "threshold": "per_row"}, "has no rows"),
    ({"structure": "layers", "threshold": "per_layer"}, "one unit in each layer"),
    ({"sparsity_over": "structure"}, "counts the weights of units"),
    ({"structure": "2:4", "sparsity_over": "structure"}, "counts the weights of units"),
    ({"structure": "heads", "regrowth": {"every": "2it"}}, "exchanges single weights"),
    ({"structure": "neurons+heads"}, "is no structure"),
]


@pytest.mark.parametrize(("changes", "message"), WRONG)
def test_what_does_not_go_together_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        recipe(**changes)


def test_identity_tells_the_denominator_of_units() -> None:
    own, scope, over = (
        recipe(structure="heads", sparsity_over=value).normalised()
        for value in ("structure", "scope", "encoder")
    )
    assert own != scope == over
    assert Recipe.model_validate(own.model_dump()) == own
