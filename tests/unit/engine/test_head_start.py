"""Where a head begins: at the encoder's scale, or trained."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from smc_bench.engine.head_start import copy_head, scale_head
from tests.helpers.engine import recipe, tiny_classifier

HEAD = ("bert.pooler.dense.weight", "classifier.weight")


def arrays(model):
    return {name: p.detach().numpy().copy() for name, p in model.named_parameters()}


def test_a_scaled_head_has_the_encoders_root_mean_square_in_each_matrix():
    model = tiny_classifier()
    before = arrays(model)
    with torch.no_grad():  # an encoder whose layers differ in scale
        for name, parameter in model.named_parameters():
            if ".encoder." in name and parameter.ndim == 2:
                parameter.mul_(2.0 + ("layer.1" in name))
    matrices = [v for n, v in arrays(model).items() if ".encoder." in n and v.ndim == 2]
    expected = np.sqrt(np.mean(np.concatenate([m.ravel() for m in matrices]) ** 2))
    scale_head(model)
    after = arrays(model)
    for name in HEAD:
        assert np.sqrt(np.mean(after[name] ** 2)) == pytest.approx(expected, rel=1e-6)
        # The same draw, scaled: signs and proportions stay.
        ratio = after[name] / before[name]
        assert ratio.std() / ratio.mean() < 1e-6
    untouched = [n for n in before if n not in HEAD and ".encoder." not in n]
    assert all((before[n] == after[n]).all() for n in untouched)


def test_a_trained_head_is_the_other_models_and_nothing_else_is():
    model, trained = tiny_classifier(0), tiny_classifier(1)
    with torch.no_grad():
        trained.classifier.bias.fill_(0.25)
    before, theirs = arrays(model), arrays(trained)
    copy_head(model, trained)
    for name, value in arrays(model).items():
        head = name.startswith(("bert.pooler.", "classifier."))
        assert (value == (theirs if head else before)[name]).all()


def test_only_a_trained_head_needs_a_teacher():
    train = {"duration": "6it"}
    assert recipe(train={**train, "head": "trained"}).needs_teacher
    assert not recipe(train={**train, "head": "encoder_scale"}).needs_teacher


def test_a_model_that_starts_from_the_teacher_has_its_head():
    with pytest.raises(ValidationError, match="brings its own head"):
        recipe(train={"duration": "6it", "start_from": "teacher", "head": "encoder_scale"})
