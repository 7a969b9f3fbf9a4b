"""What the norm of a clipped gradient is taken over, against torch's own pruning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from smc_bench.engine.pruning.methods.base import Step
from smc_bench.engine.pruning.methods.rigl import RigL
from tests.helpers.engine import MemoryContext, recipe, tiny_classifier, trainer

CLIP, RATE, STEPS, SPARSITY, EPSILON = 0.05, 1e-2, 5, 0.6, 1e-2


def settings(**train: Any) -> Any:
    # With Adam's usual epsilon the length of gradients would hardly matter.
    base = {"duration": f"{STEPS}it", "batch": 8, "clip": CLIP, "dropout": 0.0, "epsilon": EPSILON}
    return recipe(train=base | train, lr_schedule={"kind": "constant", "peak": RATE})


def lively() -> Any:
    """The tiny classifier with weights so large that its encoder has gradients worth a norm."""
    model = tiny_classifier()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(10.0)
    return model


def by_torch(run: Any, over: str) -> dict[str, torch.Tensor]:
    """The same training with torch.nn.utils.prune (``kept``) or with weights zeroed (``all``).

    torch's pruning trains ``weight_orig`` through a product with the mask, so the gradient that is
    clipped is masked by autograd itself.
    """
    model = lively().train()
    encoder = [m for m in model.bert.encoder.modules() if isinstance(m, nn.Linear)]
    pairs = [(module, "weight") for module in encoder]
    prune.global_unstructured(pairs, pruning_method=prune.L1Unstructured, amount=SPARSITY)
    masks = {module: module.weight_mask.bool() for module in encoder}
    if over == "all":
        for module in encoder:
            prune.remove(module, "weight")
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.0, eps=EPSILON)
    for step in range(STEPS):
        rows = [run.features[i] for i in run.batches[step]]
        loss = torch.zeros(())
        for row in rows:
            ids, label = torch.tensor([row["input_ids"]]), torch.tensor([row["label"]])
            loss = loss + model(input_ids=ids, labels=label).loss / len(rows)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        if over == "all":
            with torch.no_grad():
                for module, mask in masks.items():
                    module.weight.mul_(mask)
    if over == "kept":
        for module in encoder:
            prune.remove(module, "weight")
    return {name: p.detach() for name, p in model.named_parameters()}


@pytest.mark.parametrize("over", ["kept", "all"])
def test_clipping_is_that_of_a_plain_loop(over: str, tmp_path: Path) -> None:
    run = trainer(lively(), settings(clip_over=over), SPARSITY, MemoryContext(tmp_path))
    run.run()
    other = by_torch(run, "all" if over == "kept" else "kept")
    different = 0.0
    for name, expected in by_torch(run, over).items():
        found = run.raw.get_parameter(name).detach()
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=2e-5)
        different = max(different, float((other[name] - expected).abs().max()))
    assert different > 1e-3  # the two are not the same thing


def test_kept_is_the_default_and_without_clipping_it_changes_nothing(tmp_path: Path) -> None:
    assert recipe().train.clip_over == "kept"
    runs = []
    for over in ("kept", "all"):
        context = MemoryContext(tmp_path / over)
        runs.append(
            trainer(tiny_classifier(), settings(clip=None, clip_over=over), SPARSITY, context)
        )
        runs[-1].run()
    for a, b in zip(runs[0].raw.parameters(), runs[1].raw.parameters(), strict=True):
        assert torch.equal(a, b)


def test_rigl_grows_by_gradients_of_pruned_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are masked for clipping, but only where no exchange is due."""
    seen: list[bool] = []
    whole = RigL.replaces_step

    def looked_at(self: RigL, step: Step) -> bool:
        gradients = {n: p.grad for n, p in self.pruner.parameters.items()}
        if step.number % 2 == 0 and step.number:
            masks = self.pruner.masks
            seen.append(
                any(bool((gradients[n][~m] != 0).any()) for n, m in masks.items())  # type: ignore[index]
            )
        return whole(self, step)

    monkeypatch.setattr(RigL, "replaces_step", looked_at)
    rigl = settings().model_copy(update={"regrowth": recipe(regrowth={"every": "2it"}).regrowth})
    run = trainer(tiny_classifier(), rigl, SPARSITY, MemoryContext(tmp_path))
    run.reach(1)
    before = {n: m.clone() for n, m in run.pruner.masks.items()}
    run.run()
    assert seen == [True, True]
    after = run.pruner.masks
    assert any(bool((after[n] & ~m).any()) for n, m in before.items())
    assert sum(int(m.sum()) for m in after.values()) == sum(int(m.sum()) for m in before.values())
