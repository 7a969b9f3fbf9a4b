"""The audit of saved weights: what it lets pass, and what it must not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from smc_bench.engine.pruning.audit import audit
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


def wide(unused: int = 400, zero_rows: int = 0) -> Any:
    """The tiny classifier with tokens that no row has, some of them with nothing but zeros."""
    model = tiny_classifier()
    model.resize_token_embeddings(40 + unused, mean_resizing=False)
    with torch.no_grad():
        model.bert.embeddings.word_embeddings.weight[40 : 40 + zero_rows] = 0.0
    return model


def finished(settings: Recipe, folder: Path, model: Any) -> Any:
    run = trainer(model, settings, TARGET, MemoryContext(folder))
    run.run()
    return run


def audited(
    run: Any, weights: dict[str, torch.Tensor] | None = None, target: float = TARGET
) -> Any:
    pruner = run.pruner
    natural = pruner.natural_zeros()
    found = run.raw.state_dict() if weights is None else weights
    return audit(found, pruner.masks, pruner.parts, run.recipe, target, natural)


def test_rigl_may_grow_what_can_not_move(tmp_path: Path) -> None:
    """Tokens that no batch has: grown from zero, without a gradient, zero to the end."""
    run = finished(recipe(**RIGL), tmp_path, wide())
    weights, masks = run.raw.state_dict(), run.pruner.masks
    stray = sum(int(((weights[name] == 0) & mask).sum()) for name, mask in masks.items())
    total = sum(mask.numel() for mask in masks.values())
    assert stray > 0.001 * total  # what the audit used to end such cells for
    assert run.pruner.natural_zeros() == stray
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


def revive(run: Any, weights: dict[str, torch.Tensor]) -> None:
    name = "bert.encoder.layer.0.attention.self.query.weight"
    weights[name][~run.pruner.masks[name]] = 1e-30


def keep_one_less(run: Any, weights: dict[str, torch.Tensor]) -> None:
    name, mask = next((n, m) for n, m in run.pruner.masks.items() if bool(m.any()))
    at = mask.nonzero()[0].tolist()
    mask[tuple(at)] = False
    weights[name][tuple(at)] = 0.0


def keep_one_more(run: Any, weights: dict[str, torch.Tensor]) -> None:
    mask = next(m for m in run.pruner.masks.values() if not bool(m.all()))
    mask[tuple((~mask).nonzero()[0].tolist())] = True


def forget(run: Any, weights: dict[str, torch.Tensor]) -> None:
    run.pruner.masks = {}


def spoil(run: Any, weights: dict[str, torch.Tensor]) -> None:
    weights["classifier.bias"][0] = float("nan")


def zero_what_stays(run: Any, weights: dict[str, torch.Tensor]) -> None:
    weights["bert.encoder.layer.1.intermediate.dense.weight"].zero_()


@pytest.mark.parametrize("kind", ["rigl", "one shot"])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (revive, "pruned weights are not zero"),
        (keep_one_less, "are masked"),
        (keep_one_more, "are masked"),
        (forget, "nothing was pruned"),
        (spoil, "not finite"),
        (zero_what_stays, "zero in the saved file without being pruned"),
    ],
)
def test_every_damage_is_seen(
    kind: str, damage: Callable[..., None], message: str, tmp_path: Path
) -> None:
    changes = RIGL if kind == "rigl" else RIGL | {"regrowth": None}
    run = finished(recipe(**changes), tmp_path, wide(zero_rows=5))
    audited(run)
    weights = {name: tensor.clone() for name, tensor in run.raw.state_dict().items()}
    damage(run, weights)
    with pytest.raises(AuditError, match=message):
        audited(run, weights)


def test_rigl_zeros_that_had_moved_are_a_fault(tmp_path: Path) -> None:
    """Also where the weights themselves, not only the file, were zeroed."""
    run = finished(recipe(**RIGL), tmp_path, wide())
    with torch.no_grad():
        run.raw.bert.encoder.layer[1].intermediate.dense.weight.zero_()
    with pytest.raises(AuditError, match="without being pruned"):
        audited(run)
