"""The audit of saved weights: what it lets pass, and what it must not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from smc_bench.engine.pruning.audit import Claims, audit, check_excess
from smc_bench.engine.pruning.targets import targets
from smc_bench.engine.recipe import Recipe
from smc_bench.errors import AuditError
from tests.helpers.engine import MemoryContext, recipe, tiny_classifier, trainer

ALL = ("embeddings", "encoder", "head")
RIGL: dict[str, Any] = {
    "scope": ALL,
    "scorer": "random",
    "regrowth": {"every": "2it", "rate": 0.5},
    "train": {"duration": "9it", "batch": 8, "clip": 1.0, "dropout": 0.0},
}
TARGET = 0.8
RAMP = {"kind": "ramp", "start": "1it", "end": "6it", "every": "1it"}
QUERY = "bert.encoder.layer.0.attention.self.query.weight"


def wide(unused: int = 400, zero_rows: int = 0) -> Any:
    """The tiny classifier with tokens that no row has, some of them with nothing but zeros."""
    model = tiny_classifier()
    model.resize_token_embeddings(40 + unused, mean_resizing=False)
    with torch.no_grad():
        model.bert.embeddings.word_embeddings.weight[40 : 40 + zero_rows] = 0.0
    return model


def finished(settings: Recipe, folder: Path, model: Any) -> Any:
    born = {name: int((weight == 0).sum()) for name, weight in model.named_parameters()}
    run: Any = trainer(model, settings, TARGET, MemoryContext(folder))
    run.born = born
    run.run()
    return run


def audited(
    run: Any, weights: dict[str, torch.Tensor] | None = None, target: float = TARGET
) -> Any:
    found = run.raw.state_dict() if weights is None else weights
    claims = Claims(run.pruner.masks, run.pruner.method.natural_zeros(run.optimizer))
    return audit(found, run.pruner.parts, run.recipe, target, run.born, claims)


def test_rigl_may_grow_what_can_not_move(tmp_path: Path) -> None:
    """Tokens that no batch has: grown from zero, without a gradient, zero to the end."""
    run = finished(recipe(**RIGL), tmp_path, wide())
    weights, masks = run.raw.state_dict(), run.pruner.masks
    stray = sum(int(((weights[name] == 0) & mask).sum()) for name, mask in masks.items())
    total = sum(mask.numel() for mask in masks.values())
    assert stray > 0.001 * total  # what the audit used to end such cells for
    assert run.pruner.method.natural_zeros(run.optimizer) == stray
    measured = audited(run)
    assert measured.scope.zeros == int(TARGET * total + 0.5) + stray


def test_rigl_audits_alike_after_a_resume(tmp_path: Path) -> None:
    whole = finished(recipe(**RIGL), tmp_path / "whole", wide())
    first = trainer(wide(), recipe(**RIGL), TARGET, MemoryContext(tmp_path / "cut"))
    first.reach(5)
    first._save()
    resumed = finished(recipe(**RIGL), tmp_path / "cut", wide())
    assert audited(resumed) == audited(whole)


@pytest.mark.parametrize("scorer", ["random", "snip", "magnitude"])
def test_zeros_of_the_original_weights_are_no_fault(scorer: str, tmp_path: Path) -> None:
    """Such as rows of padding and of reserved tokens; with 100 of 440 rows they are many."""
    options = {"batches": 1, "batch": None} if scorer == "snip" else {}
    settings = recipe(scope=ALL, scorer=scorer, scorer_options=options, threshold="per_layer")
    run = finished(settings, tmp_path, wide(zero_rows=100))
    measured = audited(run)
    stray = measured.scope.zeros - sum(int((~m).sum()) for m in run.pruner.masks.values())
    assert (stray > 0) is (scorer == "random")


CELLS: dict[str, dict[str, Any]] = {
    "rigl": RIGL,
    "one shot": RIGL | {"regrowth": None},
    "gmp": {"threshold": "per_layer", "sparsity_schedule": RAMP, "train": RIGL["train"]},
    "movement": {
        "scorer": "movement",
        "scorer_options": {"score_lr": 0.05, "reselect": 1},
        "sparsity_schedule": RAMP,
        "train": RIGL["train"],
    },
}
Damage = Callable[[Any, dict[str, torch.Tensor]], None]


def revive(run: Any, weights: dict[str, torch.Tensor]) -> None:
    """One weight, and the pruner does not know."""
    flat, mask = weights[QUERY].view(-1), run.pruner.masks[QUERY].flatten()
    flat[(~mask).nonzero()[0]] = 1e-30


def revive_and_tell(run: Any, weights: dict[str, torch.Tensor]) -> None:
    """One weight, and the pruner says that it is right so."""
    revive(run, weights)
    run.pruner.masks[QUERY] = weights[QUERY] != 0


def prune_one_more(run: Any, weights: dict[str, torch.Tensor]) -> None:
    name, mask = next((n, m) for n, m in run.pruner.masks.items() if bool(m.any()))
    at = tuple(mask.nonzero()[0].tolist())
    mask[at], weights[name][at] = False, 0.0


def keep_one_more(run: Any, weights: dict[str, torch.Tensor]) -> None:
    mask = run.pruner.masks[QUERY]
    mask[tuple((~mask).nonzero()[0].tolist())] = True


def forget(run: Any, weights: dict[str, torch.Tensor]) -> None:
    run.pruner.masks = {}


def forget_one(run: Any, weights: dict[str, torch.Tensor]) -> None:
    del run.pruner.masks[QUERY]


def restore(run: Any, weights: dict[str, torch.Tensor]) -> None:
    """Dense weights, and masks that prune nothing."""
    for name, mask in run.pruner.masks.items():
        weights[name][~mask] = 1e-3
        mask.fill_(True)


def spoil(run: Any, weights: dict[str, torch.Tensor]) -> None:
    weights["classifier.bias"][0] = float("nan")


def spoil_a_pruned_one(run: Any, weights: dict[str, torch.Tensor]) -> None:
    weights[QUERY][~run.pruner.masks[QUERY]] = float("inf")


def zero_what_stays(run: Any, weights: dict[str, torch.Tensor]) -> None:
    weights["bert.encoder.layer.1.intermediate.dense.weight"].zero_()


def zero_and_tell(run: Any, weights: dict[str, torch.Tensor]) -> None:
    zero_what_stays(run, weights)
    name = "bert.encoder.layer.1.intermediate.dense.weight"
    run.pruner.masks[name] = weights[name] != 0


def lose(run: Any, weights: dict[str, torch.Tensor]) -> None:
    del weights[QUERY]


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (revive, "1 pruned weights are not zero"),
        (revive_and_tell, "weights of .* but the schedule's final sparsity"),
        (prune_one_more, "are masked, but"),
        (keep_one_more, "are masked, but"),
        (forget, "nothing was pruned"),
        (forget_one, "nothing was pruned in 1 of"),
        (restore, "weights of .* are zero in the saved file, .* final sparsity"),
        (spoil, "not finite"),
        (spoil_a_pruned_one, "not finite"),
        (zero_what_stays, "zero in the saved file without being pruned"),
        (zero_and_tell, "are masked, but"),
        (lose, "is not in the saved file"),
    ],
)
def test_every_damage_is_seen(kind: str, damage: Damage, message: str, tmp_path: Path) -> None:
    run = finished(recipe(**CELLS[kind]), tmp_path, wide(zero_rows=5))
    audited(run)
    weights = {name: tensor.clone() for name, tensor in run.raw.state_dict().items()}
    damage(run, weights)
    with pytest.raises(AuditError, match=message):
        audited(run, weights)


@pytest.mark.parametrize("kind", ["gmp", "movement"])
def test_a_pruner_that_never_prunes_is_seen(kind: str, tmp_path: Path) -> None:
    """Its masks agree with the file, which is dense: the recipe does not."""
    run = finished(recipe(**CELLS[kind]), tmp_path, wide())
    weights = {n: t.clone() for n, t in tiny_classifier().state_dict().items()}
    for mask in run.pruner.masks.values():
        mask.fill_(True)
    with pytest.raises(AuditError, match="nothing was pruned: 0 weights of"):
        audited(run, weights)


@pytest.mark.parametrize("kind", ["gmp", "movement"])
def test_another_target_than_the_recipes_is_seen(kind: str, tmp_path: Path) -> None:
    run = finished(recipe(**CELLS[kind]), tmp_path, wide())
    for target in (TARGET - 0.01, TARGET + 0.01):
        with pytest.raises(AuditError, match="final sparsity"):
            audited(run, target=target)


def test_a_file_with_too_many_zeros_is_seen_without_the_masks() -> None:
    """Beyond the recipe's count and what was zero before, by the file alone."""
    (target,) = targets(recipe(), {"w": (10, 100)}, {"w": "encoder"}, 0.5)
    scope = {"w": torch.cat([torch.zeros(502), torch.ones(498)]).view(10, 100)}
    check_excess([target], scope, natural=1)
    with pytest.raises(AuditError, match=r"502 weights are zero in the saved file, but .* 500"):
        check_excess([target], scope, natural=0)


SHAPES = {"a": (6, 8), "b": (4, 16)}  # 48 and 64 weights
COUNTS: list[tuple[dict[str, Any], float, list[int]]] = [
    # Worked out by hand: 0.3 of 112 is 33.6; of 48 and 64 it is 14.4 and 19.2.
    ({}, 0.3, [34]),
    ({"threshold": "per_layer"}, 0.3, [15, 19]),  # 34/112 of 48 is 14.57, of 64 19.43
    ({"threshold": "per_row"}, 0.3, [2, 5]),  # 34/112 of 8 is 2.43, of 16 4.86
    ({"structure": "block4"}, 0.3, [36]),  # 34/112 of 28 blocks is 8.5: nine
    ({"structure": "2:4"}, 0.5, [2, 2]),
]


@pytest.mark.parametrize(("changes", "sparsity", "zeros"), COUNTS)
def test_targets_by_hand(changes: dict[str, Any], sparsity: float, zeros: list[int]) -> None:
    found = targets(recipe(**changes), SHAPES, dict.fromkeys(SHAPES, "encoder"), sparsity)
    assert [target.zeros for target in found] == zeros


def test_targets_over_other_denominators() -> None:
    """Of 48 encoder weights half is 24, whatever else is in scope."""
    parts = {"a": "encoder", "b": "embeddings"}
    both = ["encoder", "embeddings"]
    over = recipe(scope=both, sparsity_over="encoder")
    assert [(t.tensors, t.zeros) for t in targets(over, SHAPES, parts, 0.5)] == [(("a",), 24)]
    zeros = recipe(scope=both, sparsity_over="encoder_zeros")
    assert [(t.tensors, t.zeros) for t in targets(zeros, SHAPES, parts, 0.5)] == [(("a", "b"), 24)]


STRUCTURES: list[dict[str, Any]] = [
    {"threshold": "per_row"},
    {"structure": "block4"},
    {"structure": "block4", "threshold": "per_row"},
    {"structure": "2:4"},
]


@pytest.mark.parametrize("changes", STRUCTURES, ids=str)
def test_a_weight_that_changes_places_breaks_rows_and_structures(
    changes: dict[str, Any], tmp_path: Path
) -> None:
    """The count over all stays; file and masks agree."""
    target = 0.5 if "structure" in changes else TARGET
    run = trainer(tiny_classifier(), recipe(**changes), target, MemoryContext(tmp_path))
    run.born = dict.fromkeys(run.raw.state_dict(), 0)  # type: ignore[attr-defined]
    run.run()
    audited(run, target=target)
    weights = {name: tensor.clone() for name, tensor in run.raw.state_dict().items()}
    weight, mask = weights[QUERY], run.pruner.masks[QUERY]
    row = int(mask.any(dim=1).nonzero()[0])
    kept, lost = (int(m[row].nonzero()[0]) for m in (mask, ~mask))
    other = int((mask[row + 1 :].any(dim=1)).nonzero()[0]) + row + 1
    taken = int(mask[other].nonzero()[0])
    assert (kept, lost) != (row, taken)
    weight[row, lost], weight[other, taken] = 0.5, 0.0
    mask[row, lost], mask[other, taken] = True, False
    with pytest.raises(AuditError, match="final sparsity"):
        audited(run, weights, target)


def test_rigl_zeros_that_had_moved_are_a_fault(tmp_path: Path) -> None:
    """Also where the weights themselves, not only the file, were zeroed."""
    run = finished(recipe(**RIGL), tmp_path, wide())
    with torch.no_grad():
        run.raw.bert.encoder.layer[1].intermediate.dense.weight.zero_()
    with pytest.raises(AuditError, match="without being pruned"):
        audited(run)
