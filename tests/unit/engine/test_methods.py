"""Methods that act while training, against plain implementations, and their resume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.func import functional_call

from smc_bench.engine.pruning.masks import update_masks
from smc_bench.engine.pruning.methods.rigl import RegrowthPlan, regrow
from smc_bench.engine.pruning.scorers.registry import SCORERS, checked_options
from smc_bench.engine.recipe import Recipe, Regrowth
from smc_bench.engine.schedules.learning_rate import learning_rate
from smc_bench.engine.schedules.sparsity import build_timeline
from tests.helpers.engine import recipe, tiny_classifier, trained

MOVEMENT: dict[str, Any] = {
    "scorer": "movement",
    "scorer_options": {"score_lr": 0.05, "reselect": 1},
    "train": {"duration": "8it", "batch": 8, "clip": None, "dropout": 0.0},
    "sparsity_schedule": {"kind": "ramp", "start": "2it", "end": "6it", "every": "1it"},
}


class Masked(torch.autograd.Function):
    """W * M, whose gradient passes straight through M to the score."""

    @staticmethod
    def forward(ctx, weight, score, mask):
        ctx.save_for_backward(weight, mask)
        return weight * mask

    @staticmethod
    def backward(ctx, gradient):
        weight, mask = ctx.saved_tensors
        return gradient * mask, gradient * weight, None


SOFT: dict[str, Any] = MOVEMENT | {
    "scorer": "soft_movement",
    "scorer_options": {"score_lr": 0.5, "reselect": 1, "threshold": 0.2, "penalty": 40.0},
}


def reference_movement(settings: Recipe, target: float, run: Any) -> dict[str, torch.Tensor]:
    """Movement pruning through autograd alone: whole weights, scores, a mask in the graph."""
    options, soft = settings.scorer_options, settings.scorer == "soft_movement"

    def chosen(sparsity: float) -> dict[str, torch.Tensor]:
        if soft:
            limit = options["threshold"] * sparsity / target
            return {n: torch.sigmoid(s.detach()) > limit for n, s in scores.items()}
        every = {n: torch.ones_like(s, dtype=torch.bool) for n, s in scores.items()}
        return update_masks({n: s.detach() for n, s in scores.items()}, every, sparsity)

    model = tiny_classifier().train()
    names = list(run.pruner.parameters)
    weights = dict(model.named_parameters())
    scores = {n: torch.zeros_like(weights[n], requires_grad=True) for n in names}
    masks = {n: torch.ones_like(weights[n], dtype=torch.bool) for n in names}
    timeline = build_timeline(settings, target, len(run.features))
    optimizer = torch.optim.AdamW(weights.values(), weight_decay=0.0)
    learner = torch.optim.Adam(scores.values(), lr=options["score_lr"])
    sparsity = 0.0
    for step in range(timeline.total_steps):
        sparsity = max([sparsity, *(e.sparsity for e in timeline.events if e.step == step)])
        if sparsity:
            masks = chosen(sparsity)
        used = {n: Masked.apply(weights[n], scores[n], masks[n]) for n in names}
        optimizer.param_groups[0]["lr"] = learning_rate(settings, timeline, step)
        optimizer.zero_grad()
        learner.zero_grad()
        rows = [run.features[i] for i in run.batches[step]]
        loss = torch.zeros(())
        for row in rows:
            ids = {"input_ids": torch.tensor([row["input_ids"]])}
            logits = functional_call(model, {**weights, **used}, (), ids).logits
            target_class = torch.tensor([row["label"]])
            loss = loss + torch.nn.functional.cross_entropy(logits, target_class) / len(rows)
        if soft:
            means = [torch.sigmoid(score).mean() for score in scores.values()]
            loss = loss + options["penalty"] * sparsity / target * torch.stack(means).mean()
        loss.backward()
        if settings.train.clip is not None:
            trained_ = [*model.parameters(), *scores.values()]
            torch.nn.utils.clip_grad_norm_(trained_, settings.train.clip)
        optimizer.step()
        learner.step()
    final = chosen(sparsity)
    return {n: (weights[n] * final[n]).detach() for n in names}


@pytest.mark.parametrize("clip", [None, 0.02])
@pytest.mark.parametrize("kind", [MOVEMENT, SOFT], ids=["movement", "soft"])
def test_movement_equals_straight_through_autograd(
    kind: dict[str, Any], clip: float | None, tmp_path: Path
) -> None:
    settings = recipe(**kind | {"train": MOVEMENT["train"] | {"clip": clip}})
    run = trained(settings, 0.6, tmp_path)
    expected = reference_movement(settings, 0.6, run)
    zeros = sum(int((w == 0).sum()) for w in expected.values())
    assert 0 < zeros < sum(w.numel() for w in expected.values())
    for name, weight in run.pruner.parameters.items():
        assert bool(((weight == 0) == (expected[name] == 0)).float().mean() > 0.99)
        agree = (weight != 0) & (expected[name] != 0)
        torch.testing.assert_close(
            weight.detach()[agree], expected[name][agree], rtol=2e-3, atol=2e-4
        )


def test_movement_lets_weights_come_back(tmp_path: Path) -> None:
    settings = recipe(**MOVEMENT)
    early = trained(settings.model_copy(update={}), 0.6, tmp_path / "a", stop_after=6)
    first = {n: m.clone() for n, m in early.pruner.masks.items()}
    zero = {n: (w == 0) for n, w in early.pruner.parameters.items()}
    assert sum(int(z.sum()) for z in zero.values()) == sum(int((~m).sum()) for m in first.values())
    hidden = early.pruner.method.dense
    assert all(bool((hidden[n][~m] != 0).any()) for n, m in first.items() if not m.all())


METHODS = {
    "movement": MOVEMENT,
    "soft movement": SOFT,
    "rigl": {
        "regrowth": {"every": "2it"},
        "train": {"duration": "8it", "batch": 8, "dropout": 0.1},
    },
    "rounds": {
        "sparsity_schedule": {"kind": "rounds", "round": "3it"},
        "lr_schedule": {"kind": "linear", "peak": 1e-2},
        "train": {"duration": "scaled", "batch": 8, "dropout": 0.1},
    },
    "ramp": {
        "sparsity_schedule": {"kind": "ramp", "start": "1it", "end": "7it", "every": "2it"},
        "train": {"duration": "8it", "batch": 8, "dropout": 0.1},
    },
}


@pytest.mark.parametrize("stop_after", [1, 4, 5])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_resumes_to_the_same_bits(
    method: str, stop_after: int, tmp_path: Path
) -> None:
    settings = recipe(**METHODS[method])
    whole = trained(settings, 0.36, tmp_path / "whole")
    resumed = trained(settings, 0.36, tmp_path / "cut", stop_after)
    for (name, a), (_, b) in zip(
        whole.raw.state_dict().items(), resumed.raw.state_dict().items(), strict=True
    ):
        assert torch.equal(a, b), name
    assert whole.events == resumed.events


@pytest.mark.parametrize(
    "name",
    [n for n in sorted(set(SCORERS) - {"movement", "soft_movement"}) if not SCORERS[n].units],
)
def test_every_scorer_prunes_to_the_exact_count_and_resumes(name: str, tmp_path: Path) -> None:
    """New scorers are picked up by themselves; small options keep them fast."""
    small = {"gradients": 6, "gradient_batch": 4, "block": 8, "batches": 2, "batch": 4}
    known = SCORERS[name].options.model_fields
    options = {key: value for key, value in small.items() if key in known}
    settings = recipe(
        scorer=name,
        scorer_options=checked_options(SCORERS[name], options),
        sparsity_schedule={"kind": "ramp", "start": "1it", "end": "5it", "every": "2it"},
    )
    whole = trained(settings, 0.6, tmp_path / "whole")
    total = sum(p.numel() for p in whole.pruner.parameters.values())
    zeros = sum(int((p == 0).sum()) for p in whole.pruner.parameters.values())
    assert zeros == int(total * 0.6 + 0.5)
    resumed = trained(settings, 0.6, tmp_path / "cut", 4)
    for a, b in zip(
        whole.raw.state_dict().values(), resumed.raw.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b)


def test_recomputations_pass_through_equal_steps(tmp_path: Path) -> None:
    seen = []
    run = trained(recipe(recomputations=4), 0.8, tmp_path)
    method, update = run.pruner.method, run.pruner.method.update_masks
    method.update_masks = lambda step, s: (seen.append(s), update(step, s))
    event = run.timeline.events[0]
    run.pruner.prune(type(event)(event.step, 0.9))
    assert seen == pytest.approx([0.825, 0.85, 0.875, 0.9])


def test_rounds_remove_a_fifth_and_start_over() -> None:
    settings = recipe(**METHODS["rounds"])
    timeline = build_timeline(settings, 1 - 0.8**3, 24)
    assert [e.step for e in timeline.events] == [3, 6, 9]
    assert [e.sparsity for e in timeline.events] == pytest.approx([0.2, 0.36, 0.488])
    rates = [learning_rate(settings, timeline, step) for step in range(12)]
    assert rates == pytest.approx([1e-2, 2e-2 / 3, 1e-2 / 3] * 4)


def test_rounds_go_back_to_the_weights_before_training(tmp_path: Path) -> None:
    """At the end of a run whose rate is nothing, what stays is what was there at first."""
    settings = recipe(**METHODS["rounds"] | {"lr_schedule": {"kind": "constant", "peak": 1e-12}})
    run = trained(settings, 0.36, tmp_path)
    first = dict(tiny_classifier().named_parameters())
    for name, weight in run.raw.named_parameters():
        mask = run.pruner.masks.get(name, torch.ones_like(weight, dtype=torch.bool))
        torch.testing.assert_close(weight, first[name] * mask)


def test_rounds_that_keep_weights_are_gradual_pruning_with_the_rate_anew(tmp_path: Path) -> None:
    """At a rate that stays the same, a fifth every three steps in either spelling, to the bit."""
    rounds = METHODS["rounds"] | {"lr_schedule": {"kind": "constant", "peak": 1e-2}}
    rounds["sparsity_schedule"] = {"kind": "rounds", "round": "3it", "weights": "kept"}
    ramp = {"kind": "ramp", "shape": "linear", "initial": 0.2, "start": "3it", "end": "6it"}
    gradual = rounds | {
        "sparsity_schedule": ramp | {"every": "3it"},
        "train": METHODS["rounds"]["train"] | {"duration": "9it"},
    }
    kept = trained(recipe(**rounds), 0.36, tmp_path / "kept")
    once = trained(recipe(**gradual), 0.36, tmp_path / "once")
    assert [event["step"] for event in kept.events] == [3, 6]
    for (name, a), (_, b) in zip(
        kept.raw.state_dict().items(), once.raw.state_dict().items(), strict=True
    ):
        assert torch.equal(a, b), name


def test_rounds_that_keep_weights_start_the_rate_anew() -> None:
    schedule = {"kind": "rounds", "round": "3it", "weights": "kept"}
    settings = recipe(**METHODS["rounds"] | {"sparsity_schedule": schedule})
    timeline = build_timeline(settings, 0.36, 24)
    assert not any(event.rewind for event in timeline.events)
    rates = [learning_rate(settings, timeline, step) for step in range(9)]
    assert rates == pytest.approx([1e-2, 2e-2 / 3, 1e-2 / 3] * 3)


def test_regrowth_drops_by_weight_and_grows_by_gradient() -> None:
    """Worked by hand: of 4 that stay the least goes, of the others the steepest comes."""
    weight = torch.nn.Parameter(torch.tensor([[4.0, 0.1, 0.0, 0.0, 2.0, 3.0]]))
    weight.grad = torch.tensor([[9.0, 0.2, 0.3, 0.5, 9.0, 9.0]])
    mask = {"w": torch.tensor([[True, True, False, False, True, True]])}
    new = regrow({"w": weight}, mask, 0.25)
    assert new["w"].tolist() == [[True, False, False, True, True, True]]


def test_regrowth_share_follows_the_cosine() -> None:
    settings = recipe(regrowth={"every": "10it", "until": "75%"}, train={"duration": "100it"})
    plan = RegrowthPlan.of(Regrowth(every="10it", until="75%"), build_timeline(settings, 0.5, 32))
    assert plan.until == 75
    assert plan.share(0) == plan.share(5) == plan.share(80) == 0.0
    assert plan.share(30) == pytest.approx(0.25 * (1 + torch.cos(torch.tensor(0.4 * torch.pi))))
