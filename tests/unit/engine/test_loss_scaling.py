"""Loss scaling with torch's own scaler, which works on a CPU too."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from smc_bench.engine.loss.model_inputs import Feed
from smc_bench.engine.loss.scaling import LossScaling
from smc_bench.engine.schedules.sparsity import build_timeline
from smc_bench.engine.trainer import Trainer
from smc_bench.errors import DivergedError
from tests.helpers.engine import MemoryContext, recipe, tiny_classifier, tiny_features, tiny_feed
from tests.unit.engine.test_methods import METHODS

# Dense comes after its methods: with clipping each, as RigL with it met the scaler twice.
KINDS = {name: kind for name, kind in METHODS.items()}
KINDS["dense"] = {"sparsity_schedule": None, "train": {"duration": "8it", "batch": 8}}


def begun(kind: str, clip: float | None, folder: Path, scaler: Any, half: bool = False) -> Trainer:
    settings = recipe(
        **KINDS[kind] | {"train": KINDS[kind]["train"] | {"clip": clip, "dropout": 0.0}}
    )
    features = tiny_features()
    feed = tiny_feed(tiny_classifier())
    if half:
        cast = lambda: torch.autocast("cpu", torch.float16)  # noqa: E731
        feed = Feed(feed.model, feed.head, 0, cast, "none")
    return Trainer(
        feed,
        features,
        settings,
        build_timeline(settings, 0.36, len(features)),
        seed=5,
        accelerator=SimpleNamespace(scaler=scaler),  # type: ignore[arg-type]
        context=MemoryContext(folder),  # type: ignore[arg-type]
    )


def state(run: Trainer) -> dict[str, torch.Tensor]:
    """Weights, masks, learned scores and all moments."""
    found = {**run.raw.state_dict(), **run.pruner.state()}
    for at, moments in enumerate(run.optimizer.state.values()):
        found |= {f"{name}/{at}": torch.as_tensor(value) for name, value in moments.items()}
    return {name: tensor.detach().clone() for name, tensor in found.items()}


def same(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("clip", [None, 0.05])
@pytest.mark.parametrize("kind", KINDS)
def test_a_scale_that_is_a_power_of_two_changes_no_bit(
    kind: str, clip: float | None, tmp_path: Path
) -> None:
    """Gradients are unscaled once, and before anything looks at them."""
    plain = begun(kind, clip, tmp_path / "plain", None)
    plain.run()
    scaled = begun(kind, clip, tmp_path / "scaled", torch.amp.GradScaler("cpu", init_scale=2.0**9))
    scaled.run()
    assert same(state(plain), state(scaled))
    assert plain.events == scaled.events


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
@pytest.mark.parametrize("clip", [None, 0.05])
@pytest.mark.parametrize(("kind", "step"), [
    ("movement", 1), ("movement", 3), ("soft movement", 3), ("rigl", 2), ("rigl", 3),
    ("rounds", 4), ("ramp", 4), ("dense", 2),
])  # fmt: skip
def test_an_overflow_changes_nothing_but_the_scale(
    kind: str, step: int, clip: float | None, value: float, tmp_path: Path
) -> None:
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**9)
    run = begun(kind, clip, tmp_path, scaler)
    # In a weight outside every scope: the verdict is one on all gradients.
    run.raw.classifier.bias.register_hook(
        lambda gradient: gradient * value if run.step == step else gradient
    )
    run.reach(step)
    run._prune_if_due()
    before = state(run)
    run.reach(step + 1)
    assert same(state(run), before)
    assert scaler.get_scale() == 2.0**8
    run.run()
    assert not same(state(run), before)
    assert all(bool(tensor.isfinite().all()) for tensor in state(run).values())


@pytest.mark.parametrize("clip", [None, 0.05])
@pytest.mark.parametrize("kind", KINDS)
def test_fp16_overflows_at_first_and_goes_on(kind: str, clip: float | None, tmp_path: Path) -> None:
    """Real overflows: a scale that no fp16 gradient stands, halved until they fit."""
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**22)
    run = begun(kind, clip, tmp_path, scaler, half=True)
    first = state(run)
    run.reach(1)
    assert scaler.get_scale() < 2.0**22
    assert all(torch.equal(first[name], p) for name, p in run.raw.state_dict().items()
               if "encoder" not in name)  # fmt: skip
    run.run()
    assert run.step == run.total
    assert all(bool(tensor.isfinite().all()) for tensor in state(run).values())


def test_gradients_that_never_fit_are_divergence() -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.AdamW([weight])
    scaling = LossScaling(torch.amp.GradScaler("cpu", init_scale=1.0))

    def overflow() -> None:
        scaling.backward((weight * float("inf")).sum())
        assert not scaling.unscale(optimizer)
        scaling.update()
        optimizer.zero_grad()

    for _ in range(14):  # 2^-14 is the first power of two below 1e-4
        overflow()
    with pytest.raises(DivergedError, match="loss scale"):
        overflow()
    assert torch.equal(weight.detach(), torch.ones(2))


def test_the_scale_is_kept_in_checkpoints() -> None:
    one = LossScaling(torch.amp.GradScaler("cpu", init_scale=2.0**5))
    state_ = one.state()
    two = LossScaling(torch.amp.GradScaler("cpu"))
    two.load(state_)
    assert two.state() == state_
    assert LossScaling().state() is None
    LossScaling().load(state_)
