from __future__ import annotations

import pytest
import torch

from smc_bench.engine.pruning.calibration import Calibration
from smc_bench.engine.pruning.scorers.simple import Statistics, snip, wanda
from tests.helpers.engine import tiny_classifier, tiny_features, tiny_objective

LAYER = "bert.encoder.layer.1.intermediate.dense.weight"
FIRST = "bert.encoder.layer.0.attention.self.query.weight"


def by_hand(model, features, chosen, names):
    """Gradients of the mean cross-entropy, one sequence at a time, without padding."""
    model.zero_grad()
    for index in chosen:
        ids = torch.tensor([features[index]["input_ids"]])
        labels = torch.tensor([features[index]["label"]])
        (model(input_ids=ids, labels=labels).loss / len(chosen)).backward()
    parameters = dict(model.named_parameters())
    return {name: parameters[name].grad.clone() for name in names}


def test_gradients_are_those_of_the_task_loss_on_the_batches_named() -> None:
    model, features = tiny_classifier().eval(), tiny_features()
    probe = Calibration(tiny_objective(model, features), seed=3, step=7)
    drawn = list(probe.batches(5, 8))
    assert [len(chosen) for chosen in drawn] == [8, 8, 8, 8, 8]
    found = list(probe.gradients([LAYER, FIRST], 5, 8, train=False))
    for chosen, gradients in zip(drawn, found, strict=True):
        expected = by_hand(model, features, chosen, [LAYER, FIRST])
        for name, gradient in gradients.items():
            torch.testing.assert_close(gradient, expected[name], rtol=1e-4, atol=1e-7)


def test_every_pass_sees_the_same_batches_and_leaves_no_trace() -> None:
    model = tiny_classifier().train()
    probe = Calibration(tiny_objective(model), seed=3, step=7)
    both = list(probe.gradients([LAYER, FIRST], 3, 8, train=True))
    alone = list(probe.gradients([LAYER], 3, 8, train=True))
    assert all(torch.equal(a[LAYER], b[LAYER]) for a, b in zip(both, alone, strict=True))
    assert model.training
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    other = list(Calibration(probe.objective, seed=3, step=8).batches(3, 8))
    assert other != list(probe.batches(3, 8))


def test_one_epoch_is_every_row_once() -> None:
    probe = Calibration(tiny_objective(tiny_classifier(), tiny_features(21)), seed=1, step=0)
    drawn = list(probe.batches(None, 8))
    assert len(drawn) == probe.epoch_batches(8) == 3
    assert sorted(index for chosen in drawn for index in chosen) == list(range(21))


def test_snip_is_the_product_of_weight_and_gradient() -> None:
    model = tiny_classifier()
    probe = Calibration(tiny_objective(model), seed=3, step=0)
    weights = {LAYER: dict(model.named_parameters())[LAYER]}
    options = {"batches": 1, "batch": None}
    found = snip(weights, Statistics(3, 0, options, batch=8, evidence=probe))
    (gradient,) = probe.gradients([LAYER], 1, 8, train=True)
    assert torch.equal(found[LAYER], (weights[LAYER] * gradient[LAYER]).abs().detach())


def test_input_moments_leave_padding_out() -> None:
    """Against hidden states of one unpadded sequence at a time."""
    model, features = tiny_classifier().eval(), tiny_features()
    probe = Calibration(tiny_objective(model, features), seed=3, step=7)
    moments = probe.input_moments([FIRST], 3, 8)[FIRST]
    rows = [index for chosen in probe.batches(3, 8) for index in chosen]
    inputs = torch.cat(
        [model.bert.embeddings(torch.tensor([features[i]["input_ids"]]))[0] for i in rows]
    ).double()
    expected = inputs.T @ inputs / len(inputs)
    torch.testing.assert_close(moments.double(), expected, rtol=1e-5, atol=1e-6)


def test_wanda_weighs_by_the_root_mean_square_of_inputs() -> None:
    model = tiny_classifier()
    probe = Calibration(tiny_objective(model), seed=3, step=7)
    weights = {FIRST: dict(model.named_parameters())[FIRST]}
    found = wanda(weights, Statistics(3, 7, {"batches": 3, "batch": 8}, evidence=probe))[FIRST]
    norms = probe.input_moments([FIRST], 3, 8)[FIRST].diagonal().double().sqrt()
    rows = weights[FIRST].detach().double()
    for i, j in ((0, 0), (3, 7), (15, 15)):
        assert float(found[i, j]) == pytest.approx(float(rows[i, j].abs() * norms[j]), rel=1e-5)
