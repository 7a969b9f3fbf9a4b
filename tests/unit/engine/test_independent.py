"""The engine against the loop of :mod:`tests.helpers.independent`, weight by weight in float64.

One task of each kind of head, four architectures; real rows, through the tasks' own features. Each
training has at least three pruning events and distils. The engine runs packed, with its own
schedules and losses; for the test its float32 is float64.
"""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import nn

from smc_bench.engine.execution import Execution
from smc_bench.engine.loss import objective
from smc_bench.engine.loss.model_inputs import Feed
from smc_bench.engine.loss.predict import predict
from smc_bench.engine.recipe import Recipe
from smc_bench.engine.schedules.sparsity import build_timeline
from smc_bench.engine.trainer import Trainer
from smc_bench.tasks.base import Encoding
from smc_bench.tasks.registry import get_task
from tests.helpers.engine import MemoryContext
from tests.helpers.independent import Loop
from tests.helpers.tokenizer import fixture_rows, wordpiece

SEED, BATCH = 11, 3
# Adam turns rounding of a gradient that is zero (a key's bias) into up to lr * 1e-16 / epsilon.
CLOSE = 1e-8
CONFIG: dict[str, Any] = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32,
    "max_position_embeddings": 70, "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0, "pad_token_id": 0,
}  # fmt: skip


@pytest.fixture(autouse=True)
def _in_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the engine asks for float32, it gets float64 (the loop asks for ``to``).

    The teacher's logits are kept in float32 by both; what is made from them is not.
    """
    whole = objective.total_loss

    def in_double(heads: Any, targets: Any, teacher: Any, *rest: Any) -> Any:
        return whole(heads, targets, teacher and [said.double() for said in teacher], *rest)

    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    monkeypatch.setattr(objective, "total_loss", in_double)


def texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    return [text for item in value for text in texts(item)] if isinstance(value, list) else []


def features_of(name: str, types: bool, max_length: int, stride: int = 0) -> tuple[Any, int]:
    task = get_task(name)
    rows = fixture_rows(task.spec, "train")
    tokenizer = wordpiece(texts([list(row.values()) for row in rows]), types=types)
    features = task.features(rows, tokenizer, Encoding(max_length, stride), train=True)
    return features, len(tokenizer)


def models(kind: str, auto: str, words: int, labels: int) -> list[nn.Module]:
    """Student and teacher: the same architecture with other random weights."""
    settings = dict(CONFIG)
    if kind == "distilbert":
        settings = {
            "dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32,
            "max_position_embeddings": 70, "dropout": 0.0, "attention_dropout": 0.0,
            "seq_classif_dropout": 0.0, "qa_dropout": 0.0, "pad_token_id": 0,
        }  # fmt: skip
    if kind == "electra":
        settings |= {"embedding_size": 8, "summary_last_dropout": 0.0}
    config = transformers.AutoConfig.for_model(
        kind, vocab_size=words, num_labels=labels, attn_implementation="eager", **settings
    )
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        found.append(getattr(transformers, auto).from_config(config))
        with torch.no_grad():  # larger weights than at the start of training: answers that differ
            for parameter in found[-1].parameters():
                parameter.mul_(3.0) if parameter.dim() > 1 else parameter.add_(0.01)
    return found


def by_engine(
    head: Any, pair: list[nn.Module], features: Any, recipe: Recipe, target: float, folder: Path
) -> Trainer:
    AcceleratorState._reset_state(reset_partial_state=True)
    student, teacher = (copy.deepcopy(model).double() for model in pair)
    context = MemoryContext(folder)
    context.execution = Execution(micro_batch=2)  # a batch of three in two unequal parts
    trainer = Trainer(
        Feed(student, head, 0, padding="none"),
        features,
        recipe,
        build_timeline(recipe, target, len(features)),
        seed=SEED,
        accelerator=Accelerator(cpu=True),
        context=context,  # type: ignore[arg-type]
        teacher_outputs=predict(Feed(teacher, head, 0, padding="none"), features, 4),
    )
    assert next(trainer.raw.parameters()).dtype == torch.float64
    trainer.run()
    return trainer


def settings(**changes: Any) -> Recipe:
    train = {"duration": "20it", "batch": BATCH, "clip": None, "dropout": 0.0}
    return Recipe.model_validate(changes | {"train": train | changes.get("train", {})})


def linear(model: nn.Module, part: str) -> list[str]:
    return [n for n, m in model.named_modules() if part in n and isinstance(m, nn.Linear)]


def check(loop: Loop, trainer: Trainer) -> None:
    """Masks equal, weights equal, and neither of them trivially so."""
    before = {name: p.detach().double() for name, p in loop.student.named_parameters()}
    ours = loop.run()
    theirs = {name: p.detach() for name, p in trainer.raw.named_parameters()}
    assert len(loop.events) >= 3
    assert [(e["step"], e["target"]) for e in trainer.events] == [
        (step, pytest.approx(share, abs=1e-12)) for step, share in sorted(loop.events.items())
    ]
    assert trainer.pruner.masks.keys() == loop.masks.keys()
    for name, mask in loop.masks.items():
        assert torch.equal(trainer.pruner.masks[name], mask), name
    assert ours.keys() == theirs.keys()
    worst = max(float((ours[n] - theirs[n]).abs().max()) for n in ours)
    moved = max(float((ours[n] - before[n]).abs().max()) for n in ours if n not in loop.masks)
    assert moved > 1e-2
    assert worst < CLOSE


def ramp(target: float, initial: float, start: int, end: int, steps: list[int]) -> dict[int, float]:
    """arXiv 1710.01878, equation 1."""
    return {t: target + (initial - target) * (1 - (t - start) / (end - start)) ** 3 for t in steps}


def warm_linear(peak: float, floor: float, warm: int, total: int, step: int) -> float:
    if step < warm:
        return peak * (step + 1) / warm
    return floor + (peak - floor) * (total - step) / (total - warm)


def classification(folder: Path, clip: float | None) -> None:
    """Scaled length, learning rate that rewinds at each event, encoder, hard and soft loss."""
    features, words = features_of("sst2", True, 24)
    pair = models("bert", "AutoModelForSequenceClassification", words, 2)
    recipe = settings(
        scope=["encoder"],
        sparsity_schedule={
            "kind": "scaled", "initial": 0.5, "removes": 0.3, "start": "1ep", "cycle": "4it",
        },
        lr_schedule={"kind": "rewind", "peak": 1e-2, "floor": 1e-3},
        distillation={"hardness": 0.6, "temperature": 2.0},
        train={"duration": "scaled", "weight_decay": 0.05, "clip": clip},
    )  # fmt: skip
    # From 0.5 to 0.9 a fifth is left: 0.7^5 < 1/5 < 0.7^4, so five events follow the first.
    epoch = math.ceil(len(features) / BATCH)
    events = {epoch + 4 * i: 1 - 0.5 * 0.2 ** (i / 5) for i in range(6)}
    starts = [0, *events, epoch + 24]

    def rate(step: int) -> float:
        cycle = next(i for i in range(7) if starts[i] <= step < starts[i + 1])
        k, length = step - starts[cycle], starts[cycle + 1] - starts[cycle]
        return 1e-2 - k / (length - 1) * (1e-2 - 1e-3)

    loop = Loop(
        "label", *pair, features, linear(pair[0], ".encoder."), events, rate, epoch + 24, BATCH,
        SEED, 0.6, 2.0, decay=0.05, clip=clip,
    )  # fmt: skip
    trainer = by_engine("sequence_classification", pair, features, recipe, 0.9, folder)
    check(loop, trainer)
    assert clip is None or 5 < loop.clipped < loop.steps


def test_classification(tmp_path: Path) -> None:
    classification(tmp_path, None)


def test_classification_with_clipping(tmp_path: Path) -> None:
    """Only gradients of weights that are there count in the norm, as sparseml has it."""
    classification(tmp_path, 0.02)


def test_regression(tmp_path: Path) -> None:
    """Cubic ramp over encoder and embeddings, one threshold; linear decay after warm-up."""
    features, words = features_of("stsb", False, 40)
    pair = models("roberta", "AutoModelForSequenceClassification", words, 1)
    recipe = settings(
        scope=["embeddings", "encoder"],
        sparsity_schedule={
            "kind": "ramp", "initial": 0.2, "start": "4it", "end": "16it", "every": "3it",
        },
        lr_schedule={"kind": "linear", "peak": 5e-3, "floor": 1e-4, "warmup": "3it"},
        distillation={"hardness": 0.5, "temperature": 3.0},
    )  # fmt: skip
    tables = [n for n, m in pair[0].named_modules() if isinstance(m, nn.Embedding)]
    loop = Loop(
        "label", *pair, features, [*tables, *linear(pair[0], ".encoder.")],
        ramp(0.8, 0.2, 4, 16, [4, 7, 10, 13, 16]),
        lambda step: warm_linear(5e-3, 1e-4, 3, 20, step), 20, BATCH, SEED, 0.5, 3.0, types=False,
    )  # fmt: skip
    trainer = by_engine("sequence_classification", pair, features, recipe, 0.8, tmp_path)
    check(loop, trainer)


def test_multiple_choice(tmp_path: Path) -> None:
    """A linear ramp, the same sparsity in each tensor; events before all steps and after them."""
    features, words = features_of("commonsense_qa", False, 32)
    pair = models("distilbert", "AutoModelForMultipleChoice", words, 2)
    recipe = settings(
        scope=["encoder"],
        threshold="per_layer",
        sparsity_schedule={
            "kind": "ramp", "shape": "linear", "initial": 0.3, "start": "0it", "end": "15it",
            "every": "5it",
        },
        lr_schedule={"kind": "constant", "peak": 5e-3},
        distillation={"hardness": 0.8, "temperature": 5.5},
        train={"duration": "15it", "weight_decay": 0.01},
    )  # fmt: skip
    loop = Loop(
        "choice", *pair, features, linear(pair[0], ".transformer."),
        {step: 0.3 + 0.4 * step / 15 for step in (0, 5, 10, 15)}, lambda _: 5e-3, 15, BATCH, SEED,
        0.8, 5.5, decay=0.01, per_tensor=True, types=False,
    )  # fmt: skip
    check(loop, by_engine("multiple_choice", pair, features, recipe, 0.7, tmp_path))


def test_spans(tmp_path: Path) -> None:
    """Windows of unequal length; events at multiples of four in the window, never on its end."""
    features, words = features_of("squad", True, 48, 12)
    assert len({len(feature["input_ids"]) for feature in features}) > 3
    pair = models("electra", "AutoModelForQuestionAnswering", words, 2)
    recipe = settings(
        scope=["encoder"],
        sparsity_schedule={
            "kind": "ramp", "start": "2it", "end": "16it", "every": "4it", "align": "zero",
            "end_inclusive": False,
        },
        lr_schedule={"kind": "linear", "peak": 5e-3},
        distillation={"hardness": 1.0, "temperature": 2.0},
    )  # fmt: skip
    loop = Loop(
        "span", *pair, features, linear(pair[0], ".encoder."), ramp(0.7, 0.0, 2, 16, [4, 8, 12]),
        lambda step: warm_linear(5e-3, 0.0, 0, 20, step), 20, BATCH, SEED, 1.0, 2.0,
    )  # fmt: skip
    check(loop, by_engine("question_answering", pair, features, recipe, 0.7, tmp_path))
