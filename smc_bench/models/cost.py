"""What each component of a model costs: parameters, FLOPs of a forward pass, measured time.

From the module graph of transformers on the meta device: no weights are read or made, nothing is
downloaded. FLOPs are those of matrix products (a multiply-add is two), as torch's counter sees
them; look-ups, sums, LayerNorm and softmax are not among them.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import (
    AutoConfig,
    BertConfig,
    GPT2Config,
    LlamaConfig,
    PreTrainedConfig,
    RobertaConfig,
    T5Config,
)

from smc_bench.errors import ModelError
from smc_bench.models.architecture import architecture
from smc_bench.models.components import base_prefix, component_map
from smc_bench.models.conv1d import use_linear
from smc_bench.models.heads import flat_choices, model_class, outputs_of
from smc_bench.models.reshape import reshape
from smc_bench.models.shapes import buildable, read_shapes
from smc_bench.tasks.base import HEADS
from smc_bench.tasks.specs import Family

Part = Literal["embeddings", "encoder", "pooler", "head"]
PARTS: tuple[Part, ...] = ("embeddings", "encoder", "pooler", "head")

# Sizes as in the config.json of these models on the Hub; the defaults of BertConfig are
# BERT-base, those of GPT2Config the smallest GPT-2.
CONFIGS: dict[str, Callable[[], PreTrainedConfig]] = {
    "google-bert/bert-base-uncased": BertConfig,
    "FacebookAI/roberta-large": lambda: RobertaConfig(
        vocab_size=50265,
        hidden_size=1024,
        num_hidden_layers=24,
        num_attention_heads=16,
        intermediate_size=4096,
        max_position_embeddings=514,
        type_vocab_size=1,
    ),
    "HuggingFaceTB/SmolLM2-135M": lambda: LlamaConfig(
        vocab_size=49152,
        hidden_size=576,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        intermediate_size=1536,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
    ),
    "openai-community/gpt2": GPT2Config,
    "google-t5/t5-small": lambda: T5Config(num_layers=6, num_heads=8, d_ff=2048),
    "meta-llama/Llama-3.2-1B": lambda: LlamaConfig(
        vocab_size=128256,
        hidden_size=2048,
        num_hidden_layers=16,
        num_attention_heads=32,
        num_key_value_heads=8,
        head_dim=64,
        intermediate_size=8192,
        max_position_embeddings=131072,
        tie_word_embeddings=True,
    ),
}
# As suites call models of packages (sources/packages.py).
for _name, _layers in (("minilm-l6", 6), ("paraphrase-minilm-l3", 3)):
    CONFIGS[_name] = partial(
        BertConfig,
        hidden_size=384,
        num_hidden_layers=_layers,
        num_attention_heads=12,
        intermediate_size=1536,
    )
CONFIGS["smollm2-135m"] = CONFIGS["HuggingFaceTB/SmolLM2-135M"]


@dataclass(frozen=True)
class Cost:
    """One component's part of a model.

    Attributes:
        parameters: All of them, biases and LayerNorm included.
        prunable: Those that a scope with this component may prune.
        flops: Matrix products of one sequence's forward pass; a multiply-add is two.
        milliseconds: Median measured time of a batch, where it was measured.
    """

    parameters: int
    prunable: int
    flops: int
    milliseconds: float | None = None


def config_of(model: str) -> PreTrainedConfig:
    """Configuration of a known model or of a local folder.

    Raises:
        ModelError: If it is neither.
    """
    if model in CONFIGS:
        return CONFIGS[model]()
    if not (Path(model) / "config.json").is_file():
        raise ModelError(f"{model}: neither {', '.join(CONFIGS)} nor a folder with config.json")
    config: PreTrainedConfig = AutoConfig.from_pretrained(model, local_files_only=True)
    return config


def build(model: str, family: Family, labels: int, device: str = "meta") -> nn.Module:
    """A model with a task's head, without weights (meta) or with random ones."""
    folder = Path(model)
    written = model not in CONFIGS and (folder / "config.json").is_file()
    shapes = read_shapes(folder) if written else None
    config, head = config_of(model) if shapes is None else buildable(folder), HEADS[family]
    config.num_labels = outputs_of(config, head, labels)
    if config.pad_token_id is None:  # heads of decoders take no batch without
        config.pad_token_id = 0
    with torch.device(device):
        made: nn.Module = model_class(config, head).from_config(config, attn_implementation="eager")
        use_linear(made)
    if shapes is not None:
        reshape(made, shapes)
        for parameter in made.parameters():
            nn.init.normal_(parameter, std=0.02)  # new shapes come without numbers
    return made.eval().requires_grad_(False)  # torch's counter would follow gradients too


def component_costs(
    model: str, family: Family, labels: int, length: int, timing: tuple[str, int, int] | None = None
) -> dict[Part, Cost]:
    """Costs of all components for one sequence.

    Args:
        model: A name of :data:`CONFIGS` or a folder with a config.json.
        family: Kind of task; decides the head.
        labels: Outputs of a classification head.
        length: Tokens of the sequence.
        timing: Device, sequences in a batch, and repetitions, to also measure time there.
    """
    graph = build(model, family, labels)
    # transformers would look for padding among tokens, which have no values on the meta device.
    graph.config.pad_token_id = None  # type: ignore[union-attr]
    parts = component_map(graph)
    sizes = {name: parameter.numel() for name, parameter in graph.named_parameters()}
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        prefix = _forward(graph, _tokens(graph, family, 1, length, "meta"))
    totals = {name: sum(ops.values()) for name, ops in counter.get_flop_counts().items()}
    # Named by the class of what was called and the path inside of it.
    counted = {prefix + name.partition(".")[2]: total for name, total in totals.items()}
    flops = flops_by_part(graph, counted)
    seconds = _timed(model, family, labels, length, *timing) if timing else {}
    modules = _modules(graph)
    found: dict[Part, Cost] = {}
    for part in PARTS:
        mine = [name for name in sizes if _part_of(name, modules) == part]
        found[part] = Cost(
            parameters=sum(sizes[name] for name in mine),
            prunable=sum(sizes[name] for name in mine if name in parts.prunable),
            flops=flops.get(part, 0),
            milliseconds=1e3 * seconds[part] if part in seconds else None,
        )
    rest = totals["Global"] - sum(cost.flops for cost in found.values())
    head = found["head"]
    found["head"] = Cost(head.parameters, head.prunable, rest, head.milliseconds)
    return found


def flops_by_part(graph: nn.Module, counted: Mapping[str, int]) -> dict[Part, int]:
    """FLOPs of each component but the head.

    Args:
        graph: The model.
        counted: FLOPs of each module that was called, with all inside of it, by its path.
    """
    modules = _modules(graph)

    def inside(path: str, paths: list[str]) -> bool:
        return any(path.startswith(f"{other}.") for other in paths)

    found = {p: sum(counted.get(n, 0) for n in paths) for p, paths in modules.items()}
    # Projections of embeddings may lie inside of the blocks' module (ALBERT, OPT).
    blocks = modules["encoder"]
    nested = [path for path in modules["embeddings"] if inside(path, blocks)]
    found["encoder"] -= sum(counted.get(path, 0) for path in nested)
    return found


def _modules(graph: nn.Module) -> dict[Part, list[str]]:
    """Submodules of each component; the head is what is left."""
    row = architecture(graph.config)
    base = base_prefix(graph)
    known = dict(graph.named_modules())
    named: dict[Part, tuple[str, ...]] = {
        "embeddings": row.embeddings,
        "encoder": row.blocks,
        "pooler": row.pooler,
    }
    return {
        part: [path for name in names for path in _called(known, f"{base}{name}")]
        for part, names in named.items()
    }


def _called(known: dict[str, nn.Module], path: str) -> list[str]:
    """The path of a module, or those of the modules in it where it is a list, never called."""
    if isinstance(known.get(path), nn.ModuleList):
        return [name for name in known if name.rpartition(".")[0] == path]
    return [path] if path in known else []


def _part_of(parameter: str, modules: dict[Part, list[str]]) -> Part:
    for part, paths in modules.items():
        if any(parameter.startswith(f"{path}.") for path in paths):
            return part
    return "head"


def _forward(graph: nn.Module, tokens: torch.Tensor) -> str:
    """One forward pass; returns the path, with a dot, of the module that was called."""
    if architecture(graph.config).kind != "encoder-decoder":
        graph(input_ids=tokens)
        return ""
    if not base_prefix(graph):  # with a language model's head
        graph(input_ids=tokens, decoder_input_ids=tokens, use_cache=False)
        return ""
    # transformers' own looks for end tokens in the input, which have no values on the meta device.
    base: Any = graph.base_model
    hidden = base(input_ids=tokens, decoder_input_ids=tokens, use_cache=False)[0]
    graph.classification_head(hidden[:, -1])  # type: ignore[operator]
    return f"{graph.base_model_prefix}."


def _tokens(graph: nn.Module, family: Family, batch: int, length: int, device: str) -> torch.Tensor:
    choices = family == "multiple_choice" and not flat_choices(graph.config)
    shape = (batch, 1, length) if choices else (batch, length)
    return torch.full(shape, 5, dtype=torch.long, device=device)


@torch.no_grad()
def _timed(
    model: str, family: Family, labels: int, length: int, device: str, batch: int, repeats: int
) -> dict[Part, float]:
    """Median seconds that a forward pass of random weights spends in each component."""
    made = build(model, family, labels, device)
    modules, known = _modules(made), dict(made.named_modules())
    spent: dict[Part, float] = {}
    started: dict[Part, float] = {}
    for part, paths in modules.items():
        for path in paths:
            known[path].register_forward_pre_hook(_start(part, started, device))
            known[path].register_forward_hook(_stop(part, started, spent, device))
    tokens = _tokens(made, family, batch, length, device)
    rounds: list[dict[Part, float]] = []
    for _ in range(repeats + 1):
        spent.update(dict.fromkeys(PARTS, 0.0))
        begin = _now(device)
        _forward(made, tokens)
        spent["head"] = _now(device) - begin - sum(spent[part] for part in modules)
        rounds.append(dict(spent))
    # The first pass warms up.
    return {part: statistics.median(taken[part] for taken in rounds[1:]) for part in PARTS}


def _now(device: str) -> float:
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter()


def _start(part: Part, started: dict[Part, float], device: str) -> Callable[..., None]:
    def hook(*_: object) -> None:
        started[part] = _now(device)

    return hook


def _stop(
    part: Part, started: dict[Part, float], spent: dict[Part, float], device: str
) -> Callable[..., None]:
    def hook(*_: object) -> None:
        spent[part] += _now(device) - started[part]

    return hook
