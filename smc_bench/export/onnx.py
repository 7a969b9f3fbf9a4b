"""A model as one ONNX file: what it computes and its zeros are checked after writing.

Needs the extra ``export`` (onnx, onnxscript, and onnxruntime for the check of what it computes).
"""

from __future__ import annotations

import importlib.util
import logging
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from smc_bench.errors import ModelError
from smc_bench.models.architecture import architecture
from smc_bench.models.components import component_map
from smc_bench.models.heads import flat_choices
from smc_bench.models.last_token import score_last
from smc_bench.tasks.base import Head

# torch.export's exporter starts at opset 18. Below it torch's older one writes the file, whose
# plainer graph DeepSparse 1.8 (onnx 1.14) reads, and runs faster than the newer one's.
OPSET = 18
# Of logits that are at least 1; sums in another order move float32 logits by about 1e-6.
TOLERANCE = 1e-4
_OUTPUTS = {"question_answering": ("start_logits", "end_logits")}


@dataclass(frozen=True)
class OnnxReport:
    """What was found on the written file.

    Attributes:
        difference: Largest difference of a logit from torch's, or None where onnxruntime is not
            installed.
        zeros: Zeros among the prunable weights, the same in the file as in the model.
    """

    difference: float | None
    zeros: int


def write_onnx(
    model: Any, head: Head, path: Path, *, shape: tuple[int, int] | None = None, opset: int = OPSET
) -> OnnxReport:
    """Write a model with its head as ONNX and check the file against it.

    Args:
        model: A transformers model; left in eval mode with eager attention.
        head: Kind of head; decides inputs and outputs.
        path: The file to write, weights inside.
        shape: Sequences and tokens of every input, or None for any number of both.
        opset: Version of ONNX's operators, at least 14.

    Raises:
        ModelError: The extra is not installed, torch can't write the model, or the file does not
            hold the same weights or does not compute the same logits.
    """
    wrapped = export_graph(model, head, path, shape=shape, opset=opset)
    batch, tokens = shape or (2, 16)
    zeros = _check_weights(model, path)
    shapes = [(batch, tokens)] if shape else [(batch, tokens), (1, 9), (3, 24)]
    tried = [
        example_inputs(model, head, *each, choices=2 if shape else 2 + i, seed=1)
        for i, each in enumerate(shapes)
    ]
    return OnnxReport(_check_logits(wrapped, tried, path), zeros)


def export_graph(
    model: Any, head: Head, path: Path, *, shape: tuple[int, int] | None = None, opset: int = OPSET
) -> _Plain:
    """Write a model as ONNX and look at nothing; what was written, as a module.

    Raises:
        ModelError: The extra is not installed, or torch can't write the model.
    """
    for package in ("onnx", *(("onnxscript",) if opset >= OPSET else ())):
        if importlib.util.find_spec(package) is None:
            raise ModelError(f"ONNX needs the package {package}: pip install 'smc-bench[export]'")
    model.eval().set_attn_implementation("eager")
    wrapped = _Plain(model, head).eval()
    batch, tokens = shape or (2, 16)
    inputs = example_inputs(model, head, batch, tokens)
    try:
        _export(wrapped, inputs, path, dynamic=shape is None, opset=opset)
    except Exception as error:  # torch's exporters raise classes of their own making
        first = str(error).strip().split("\n", 1)[0]
        raise ModelError(f"torch can't write this model as ONNX: {first}") from error
    return wrapped


def example_inputs(
    model: Any, head: Head, batch: int, tokens: int, *, choices: int = 2, seed: int = 0
) -> dict[str, Tensor]:
    """Random inputs, the last sequence half padding; what they are called in the ONNX file.

    Returns:
        ``input_ids``, ``attention_mask`` and, where the model tells segments apart,
        ``token_type_ids``; each (batch, tokens), or (batch, choices, tokens) for multiple choice.

    Raises:
        ModelError: The model takes more than that.
    """
    if head == "language_modelling" and architecture(model.config).kind == "encoder-decoder":
        raise ModelError(
            "an encoder-decoder that writes needs what it has written so far as well: neither ONNX "
            "nor measuring is built for it"
        )
    random = torch.Generator().manual_seed(seed)
    config = model.config
    choices_apart = head == "multiple_choice" and not flat_choices(config)
    shape = (batch, choices, tokens) if choices_apart else (batch, tokens)
    ids = torch.randint(5, max(6, int(config.vocab_size)), shape, generator=random)
    mask = torch.ones(shape, dtype=torch.long)
    mask[-1, ..., (tokens + 1) // 2 :] = 0
    if architecture(config).kind == "encoder-decoder":  # one end token a text, at its end
        end = int(config.eos_token_id)
        ids = ids.masked_fill(ids == end, end + 1)
        ids.scatter_(-1, mask.sum(-1, keepdim=True) - 1, end)
    found = {"input_ids": ids.masked_fill(mask == 0, config.pad_token_id or 0)}
    found["attention_mask"] = mask
    if architecture(config).token_types and int(getattr(config, "type_vocab_size", 0) or 0) > 1:
        found["token_type_ids"] = torch.randint(2, shape, generator=random) * mask
    return found


class _Plain(nn.Module):
    """The model with tensors in and tensors out, in a fixed order."""

    def __init__(self, model: Any, head: Head) -> None:
        super().__init__()
        self.model = model
        self.kind = architecture(model.config).kind
        self.outputs = _OUTPUTS.get(head, ("logits",))

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        if self.kind == "decoder":
            # As it was evaluated: the last token by the mask, not by what is no padding.
            return (
                score_last(self.model, {"input_ids": input_ids, "attention_mask": attention_mask}),
            )
        if self.kind == "encoder-decoder":
            return (self._read_end(input_ids, attention_mask),)
        segments = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        found = self.model(input_ids=input_ids, attention_mask=attention_mask, **segments)
        return tuple(found[name] for name in self.outputs)

    def _read_end(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """What the head reads at the end token, which is every text's last one.

        transformers' own forward counts end tokens, which can't be written as a graph.
        """
        model = self.model
        shifted = model._shift_right(input_ids)
        hidden: Tensor = model.base_model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            decoder_input_ids=shifted,
            use_cache=False,
        )[0]
        ends = attention_mask.sum(-1) - 1
        scores: Tensor = model.classification_head(hidden[torch.arange(hidden.shape[0]), ends])
        return scores


def _export(
    wrapped: _Plain, inputs: dict[str, Tensor], path: Path, *, dynamic: bool, opset: int
) -> None:
    sizes = (
        ("batch", "choices", "tokens") if inputs["input_ids"].dim() == 3 else ("batch", "tokens")
    )
    names: dict[str, Any] = {"input_names": list(inputs), "output_names": list(wrapped.outputs)}
    arguments = tuple(inputs.values())
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        if opset >= OPSET:
            # It warns of operators of packages that no model here uses (torchvision).
            logging.getLogger("torch.onnx._internal.exporter._registration").setLevel("ERROR")
            free = dict.fromkeys(range(len(sizes)), torch.export.Dim.DYNAMIC)
            program = torch.onnx.export(
                wrapped,
                arguments,
                dynamo=True,
                opset_version=opset,
                dynamic_shapes=tuple(free for _ in inputs) if dynamic else None,
                verbose=False,
                **names,
            )
            assert program is not None
            program.save(path, external_data=False)
            return
        axes = {name: dict(enumerate(sizes)) for name in inputs}
        axes |= {name: {0: "batch"} for name in wrapped.outputs}
        torch.onnx.export(
            wrapped,
            arguments,
            str(path),
            dynamo=False,
            opset_version=opset,
            dynamic_axes=axes if dynamic else None,
            **names,
        )


def _check_weights(model: nn.Module, path: Path) -> int:
    """Every prunable tensor is in the file, to the bit (as it is or transposed); its zeros."""
    import onnx

    stored = onnx.load(path).graph.initializer
    arrays = [onnx.numpy_helper.to_array(tensor) for tensor in stored]
    there = {_key(array) for array in arrays if array.ndim == 2}
    there |= {_key(array.T) for array in arrays if array.ndim == 2}
    parameters, zeros = dict(model.named_parameters()), 0
    for name in component_map(model).prunable:
        weight = parameters[name].detach().cpu().numpy()
        if _key(weight) not in there:
            raise ModelError(f"{path}: the weights of {name} are not in the file as they were")
        zeros += int((weight == 0).sum())
    return zeros


def _key(array: np.ndarray[Any, Any]) -> tuple[tuple[int, ...], int]:
    return array.shape, hash(np.ascontiguousarray(array).tobytes())


@torch.no_grad()
def _check_logits(wrapped: _Plain, tried: Iterable[dict[str, Tensor]], path: Path) -> float | None:
    """Largest difference from torch's logits, or None without onnxruntime."""
    if importlib.util.find_spec("onnxruntime") is None:
        return None
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    worst = 0.0
    for inputs in tried:
        wanted = wrapped(**inputs)
        # A model without any head reads no attention mask, and its file has no such input.
        names = {value.name for value in session.get_inputs()}
        given = {name: value.numpy() for name, value in inputs.items() if name in names}
        found = session.run(None, given)
        for ours, theirs in zip(wanted, found, strict=True):
            difference = float(np.abs(ours.numpy() - theirs).max())
            if not difference <= TOLERANCE * max(1.0, float(ours.abs().max())):
                raise ModelError(
                    f"{path}: computes logits that differ from torch's by {difference:.2g}; "
                    "the file is not to be used"
                )
            worst = max(worst, difference)
    return worst
