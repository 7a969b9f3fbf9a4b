"""How much memory a cell takes, predicted before anything has run. No torch.

Weights, gradients and Adam's two moments are counted from the model's files, 4 bytes each (weights
are float32 in every precision). Activations follow the count of arXiv 2205.05198 (section 4.1):
what each layer keeps for the backward pass, with the model's own inner size and heads; and with
gradient checkpointing the input of every layer, and the whole of one (section 5). Sequences are
taken at their full length, where real ones are shorter and are not padded: the prediction is what
a cell takes at the most. Not in it are Python and libraries, about half a GiB on a CPU, and second
moments of inputs, which Wanda, SparseGPT and ZipLM collect.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from smc_bench.engine.execution import Execution
from smc_bench.engine.pruning.obert.options import ObertOptions
from smc_bench.engine.pruning.scorers.registry import SCORERS
from smc_bench.errors import SmcBenchError
from smc_bench.models.architecture import ARCHITECTURES, Architecture, Component
from smc_bench.models.files import StoredTensor, read_object, stored_tensors
from smc_bench.suite.cell import Cell
from smc_bench.tasks.specs import SPECS

GIB = 2**30
_FLOAT = 4
_BUFFERED = 32  # engine/pruning/obert/fisher.py, CHUNKS

# What config.json of one or another architecture calls these.
_LAYERS = ("num_hidden_layers", "n_layer", "num_layers", "n_layers")
_WIDTH = ("hidden_size", "n_embd", "d_model", "dim")
_INNER = ("intermediate_size", "n_inner", "ffn_dim", "d_ff", "hidden_dim")
_HEADS = ("num_attention_heads", "n_head", "num_heads", "n_heads")
_GATED = frozenset({"llama", "mistral", "qwen2", "qwen3", "modernbert"})


@dataclass(frozen=True)
class ModelSize:
    """What memory follows from.

    Attributes:
        parameters: All of the base model, without a head.
        prunable: Weights by component that may be pruned.
        layers: Blocks, of encoder and decoder together.
        width: Size of hidden states.
        inner: Size of the feed-forward layer.
        heads: Attention heads.
        shared: Width of keys, which fewer heads may share.
        gated: Whether the feed-forward layer has a gate: twice the inner states.
        blocks: Parameters of all blocks.
        writing: Weights of a language model's head; 0 where it is the embeddings' own tensor.
        vocabulary: Tokens that there are.
    """

    parameters: int
    prunable: dict[Component, int]
    layers: int
    width: int
    inner: int
    heads: int
    shared: int
    gated: bool
    blocks: int = 0
    writing: int = 0
    vocabulary: int = 0

    def of_layers(self, kept: int) -> ModelSize:
        """The size of a model with so many of the blocks, which are all alike."""

        def left(weights: int) -> int:
            return weights * kept // self.layers

        prunable = {**self.prunable, "encoder": left(self.prunable["encoder"])}
        parameters = self.parameters - self.blocks + left(self.blocks)
        return replace(
            self,
            parameters=parameters,
            prunable=prunable,
            layers=kept,
            blocks=left(self.blocks),
        )


@dataclass(frozen=True)
class Memory:
    """Bytes, by what they are for.

    Attributes:
        weights: Of the student; a teacher's logits are made before it is loaded, but that of a
            language model answers at each step and stays.
        gradients: Of all weights.
        moments: Adam's two.
        masks: And learned scores, where the scorer has them.
        activations: Kept for the backward pass of a micro-batch.
        scoring: What a pruning event takes beside weights and moments.
    """

    weights: int
    gradients: int
    moments: int
    masks: int
    activations: int
    scoring: int

    @property
    def peak(self) -> int:
        """The most at any time: a training step or a pruning event, never both."""
        held = self.weights + self.moments + self.masks
        return held + max(self.gradients + self.activations, self.scoring)

    def words(self) -> str:
        """All kinds in GiB."""
        kinds = asdict(self).items()
        return ", ".join(f"{kind} {size / GIB:.2f}" for kind, size in kinds if size)


def size_of(folder: Path) -> ModelSize | None:
    """Size of the model in a folder, or None where its files do not say it."""
    try:
        config, stored = read_object(folder / "config.json"), stored_tensors(folder)
        row = ARCHITECTURES[config["model_type"]]
        layers = _first(config, _LAYERS)
        layers += config.get("num_decoder_layers") or (layers if "decoder" in row.blocks else 0)
        width, heads = _first(config, _WIDTH), _first(config, _HEADS)
        inner = _first(config, _INNER, 4 * width)
    except (SmcBenchError, OSError, KeyError, TypeError):
        return None
    mine = [tensor for tensor in stored if _component(tensor, row) is not None]
    blocks = [tensor for tensor in mine if _component(tensor, row) == "encoder"]
    vocabulary = config.get("vocab_size")
    vocabulary = vocabulary if isinstance(vocabulary, int) else 0
    others = [] if config.get("tie_word_embeddings") else [t for t in stored if t not in mine]
    writing = sum(_count(t) for t in others if len(t.shape) == 2 and t.shape[0] == vocabulary)
    prunable: dict[Component, int] = {"embeddings": 0, "encoder": 0, "head": 0}
    for tensor in mine:
        component = _component(tensor, row)
        if component is not None and len(tensor.shape) > 1:
            prunable[component] += _count(tensor)
    t5 = str(config.get("feed_forward_proj", ""))
    gated = config["model_type"] in _GATED or t5.startswith("gated")
    shared = width * (config.get("num_key_value_heads") or heads) // heads
    total = sum(_count(tensor) for tensor in mine)
    shape = (layers, width, inner, heads, shared, gated)
    return ModelSize(total, prunable, *shape, sum(map(_count, blocks)), writing, vocabulary)


def _first(config: dict[str, Any], names: tuple[str, ...], default: int = 0) -> int:
    found = next((config[name] for name in names if config.get(name)), default)
    if not isinstance(found, int) or found < 1:
        raise KeyError(names[0])
    return found


def _component(tensor: StoredTensor, row: Architecture) -> Component | None:
    """A tensor's component by its name, whatever prefix it was saved with."""
    names = f".{tensor.name}."
    for component, modules in (("embeddings", row.embeddings), ("encoder", row.blocks)):
        if any(f".{module}." in names for module in modules):
            return "embeddings" if component == "embeddings" else "encoder"
    return None


def _count(tensor: StoredTensor) -> int:
    total = 1
    for side in tensor.shape:
        total *= side
    return total


def predicted(cell: Cell, size: ModelSize, execution: Execution) -> Memory:
    """Memory that a cell takes at the most, in one process.

    Args:
        cell: What is trained, and how.
        size: Its model's.
        execution: Micro-batch and gradient checkpointing.
    """
    recipe, spec = cell.recipe, SPECS[cell.task.name]
    writes = spec.writes
    head = size.writing if writes else size.width * (size.width + spec.labels)
    live_teacher = 0
    if writes and recipe.distillation is not None:
        live_teacher = _FLOAT * (size.parameters + head)
    if recipe.train.keep_layers is not None:
        size = size.of_layers(len(recipe.train.keep_layers))
    all_weights = _FLOAT * (size.parameters + head)
    scope = 0
    if recipe.sparsity_schedule is not None:
        scope = sum((size.prunable | {"head": head})[name] for name in recipe.scope)
    rows = min(execution.micro_batch or recipe.train.batch, recipe.train.batch)
    wide = _FLOAT if recipe.train.precision in ("fp32", "auto") else 2
    tokens, length = rows * _choices(cell) * cell.task.max_length, cell.task.max_length
    activations = _activations(size, tokens, length, wide, execution.gradient_checkpointing)
    if writes:
        activations += _logits(size, tokens, distilled=recipe.distillation is not None)
    if wide == 2:
        activations += 2 * size.parameters  # autocast keeps a copy of the weights for a step
    # Scores, their gradients and moments, and the values of weights that are masked at present.
    learned = 5 * _FLOAT if SCORERS[recipe.scorer].method is not None else 0
    return Memory(
        weights=all_weights + live_teacher,
        gradients=all_weights,
        moments=2 * all_weights,
        masks=scope * (1 + learned),
        activations=activations,
        scoring=_scoring(cell, size, scope, execution),
    )


def _choices(cell: Cell) -> int:
    spec = SPECS[cell.task.name]
    return spec.labels if spec.family == "multiple_choice" else 1


def _activations(size: ModelSize, tokens: int, length: int, wide: int, checkpointing: bool) -> int:
    """Bytes kept for the backward pass: 16 values of 4 h a token and layer where inner = 4 h."""
    h = size.width
    inner = size.inner * (4 if size.gated else 2)
    # Norms, and the inputs of attention and feed-forward layer; q and what goes to the output
    # projection; k and v; feed-forward states.
    values = 4 * h + 2 * h + 2 * size.shared + inner
    scores = size.heads * length * (2 * wide + 1)
    layer = tokens * (wide * values + 2 * h + scores)  # 2 h: masks of dropout, a byte each
    outside = 2 * tokens * wide * h
    if checkpointing:
        return outside + size.layers * tokens * wide * h + layer
    return outside + size.layers * layer


def _logits(size: ModelSize, tokens: int, *, distilled: bool = False) -> int:
    """Bytes of logits over the vocabulary, which every token has, and of what a loss makes of them.

    Float32: logits, their log probabilities and the gradients of both; with distillation also the
    teacher's logits, its log probabilities and probabilities, and their product with the
    difference.
    """
    return _FLOAT * tokens * size.vocabulary * (8 if distilled else 4)


def _scoring(cell: Cell, size: ModelSize, scope: int, execution: Execution) -> int:
    """Bytes of a pruning event: saliencies, their order, and what they are made from."""
    if not scope:
        return 0
    # Saliencies, with those of pruned weights at -inf, all of them side by side, and the copy with
    # 8-byte indices in which torch looks for the threshold.
    ranked = (4 * _FLOAT + 8) * scope
    if cell.recipe.scorer != "obert":
        return ranked
    options = ObertOptions.model_validate(cell.recipe.scorer_options)
    length = cell.task.max_length
    tokens = options.gradient_batch * _choices(cell) * length
    # Of each weight a row of its block's inverse, and gradients that wait to go into it.
    fisher = min(options.fisher_bytes, _FLOAT * scope * (options.block + _BUFFERED))
    again = execution.gradient_checkpointing and options.gradient_mode == "train"
    passes = _activations(size, tokens, length, _FLOAT, again)
    if SPECS[cell.task.name].writes:
        passes += _logits(size, tokens)
    return max(ranked, fisher + _FLOAT * size.parameters + passes)
