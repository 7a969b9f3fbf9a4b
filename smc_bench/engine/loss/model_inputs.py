"""Features into a model and its heads out: packed (no padding) where it can, else padded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from smc_bench.engine.loss.losses import HeadOutput
from smc_bench.engine.loss.token_scores import (
    real_written,
    scored_counts,
    scored_tokens,
    token_logits,
    written,
)
from smc_bench.models.architecture import Kind, architecture
from smc_bench.models.heads import flat_choices
from smc_bench.models.last_token import score_last
from smc_bench.models.layout import Layout
from smc_bench.models.packing import enable_packing, first_position
from smc_bench.tasks.base import Feature, Head
from smc_bench.tasks.collate import collate, lay_out

Padding = Literal["none", "dynamic"]

_PADDED = ("input_ids", "attention_mask", "token_type_ids")
_TARGETS = ("labels", "start_positions", "end_positions")


@dataclass(frozen=True)
class Batch:
    """A batch on the model's device.

    Attributes:
        inputs: Arguments of the model's forward.
        targets: Labels (n,), or start and end positions, or the scored tokens (S,), or nothing.
        rows: Features in it, n.
        real: True at real tokens, (sequences, longest).
        counts: For a language model, scored tokens of each feature.
        written: True at the real tokens of an encoder-decoder's decoder, (sequences, longest);
            never of the shape of ``real``, so that a layer's inputs show whose they are.
    """

    inputs: dict[str, Any]
    targets: list[Tensor]
    rows: int
    real: Tensor
    counts: tuple[int, ...] = ()
    written: Tensor | None = None


class Feed:
    """Turns features into batches for one model, and the model's output into heads."""

    def __init__(
        self,
        model: Any,
        head: Head,
        pad_token_id: int,
        autocast: Callable[[], Any] = nullcontext,
        padding: Padding = "dynamic",
    ) -> None:
        """Bind a model, unwrapped.

        Args:
            model: Its device and configuration decide the inputs.
            head: Kind of head.
            pad_token_id: Fills shorter sequences of a padded batch.
            autocast: Context of training's forward passes (accelerate's); nothing else knows of a
                precision, and the model itself is left as it is.
            padding: ``none`` packs batches, where the architecture can; see :attr:`padding`.
        """
        self.model, self.head = model, head
        self.pad_token_id, self.autocast = pad_token_id, autocast
        packs = padding == "none" and enable_packing(model, spans=head == "question_answering")
        self.padding: Padding = "none" if packs else "dynamic"

    @property
    def vocabulary(self) -> int:
        """Tokens that the model knows."""
        return int(self.model.config.vocab_size)

    def weight(self, features: Sequence[Feature]) -> int:
        """What a mean over these features is a mean of: features, or tokens that are scored."""
        if self.head != "language_modelling":
            return len(features)
        return sum(scored_counts(features, self._kind))

    @property
    def _kind(self) -> Kind:
        return architecture(self.model.config).kind

    def batch(self, features: Sequence[Feature]) -> Batch:
        """A batch of these features."""
        if self.head == "language_modelling":
            return self._texts(features)
        made = self._packed(features) if self.padding == "none" else self._padded(features)
        # A tokenizer's second type would be out of range, or another model's.
        if not architecture(self.model.config).token_types:
            made.inputs.pop("token_type_ids", None)
        return made

    def _texts(self, features: Sequence[Feature]) -> Batch:
        """A batch for a language model, whose targets are tokens of the texts themselves."""
        device, kind = self.model.device, self._kind
        if kind == "encoder-decoder":
            read = written(self.model, features, self.pad_token_id)
            inputs = {key: tensor.to(device) for key, tensor in read.items()}
            real = inputs["attention_mask"].bool()
            made = Batch(inputs, [], len(features), real, written=real_written(features, inputs))
        else:
            made = self._packed(features) if self.padding == "none" else self._padded(features)
            made.inputs.pop("token_type_ids", None)
        targets = [scored_tokens(features, kind).to(device)]
        return replace(made, targets=targets, counts=tuple(scored_counts(features, kind)))

    def _padded(self, features: Sequence[Feature]) -> Batch:
        device = self.model.device
        tensors = collate(features, pad_token_id=self.pad_token_id, head=self.head)
        inputs = {key: tensors[key].to(device) for key in _PADDED if key in tensors}
        mask = inputs["attention_mask"].bool()
        if flat_choices(self.model.config):
            inputs = {key: t.view(-1, t.shape[-1]) for key, t in inputs.items()}
        return Batch(
            inputs, _targets(tensors, device), len(features), mask.view(-1, mask.shape[-1])
        )

    def _packed(self, features: Sequence[Feature]) -> Batch:
        device = self.model.device
        tensors, lengths = lay_out(features, head=self.head)
        layout = Layout.of(lengths, device)
        first = first_position(self.model)
        positions = torch.cat([torch.arange(first, first + length) for length in lengths])
        inputs: dict[str, Any] = {key: tensors[key].to(device) for key in _PADDED if key in tensors}
        # Encoders' heads for this take (questions, choices, tokens).
        if self.head == "multiple_choice" and not flat_choices(self.model.config):
            inputs["input_ids"] = inputs["input_ids"][None]
        inputs |= {"position_ids": positions[None].to(device), "layout": layout}
        return Batch(inputs, _targets(tensors, device), len(features), layout.real)

    def heads(self, batch: Batch, *, autocast: bool = True) -> list[HeadOutput]:
        """What the model says of a batch, as float32 (or float64, where the model is).

        Args:
            batch: From :meth:`batch`.
            autocast: Whether the precision of training applies; otherwise all is computed in
                float32, also inside somebody else's autocast.

        Returns:
            One head, or start and end over the real positions of each window; for a language model
            one head with a row for each scored token.
        """
        plain = torch.autocast(self.model.device.type, enabled=False)
        with self.autocast() if autocast else plain:
            if self.head == "language_modelling":
                logits = token_logits(self.model, batch.inputs, batch.counts)
                return [HeadOutput(_wide(logits, len(logits)))]
            if architecture(self.model.config).kind == "decoder":
                return [HeadOutput(_wide(score_last(self.model, batch.inputs), batch.rows))]
            outputs = self.model(**batch.inputs)
        if self.head == "question_answering":
            starts, ends = outputs.start_logits, outputs.end_logits
            return [HeadOutput(_wide(logits, batch.rows), batch.real) for logits in (starts, ends)]
        return [HeadOutput(_wide(outputs.logits, batch.rows))]


def _wide(logits: Tensor, rows: int) -> Tensor:
    """Logits as (rows, any), in float32 unless the model itself is wider."""
    wide = logits if logits.dtype is torch.float64 else logits.float()
    return wide.view(rows, -1)


def _targets(tensors: dict[str, Tensor], device: torch.device) -> list[Tensor]:
    return [tensors[key].to(device) for key in _TARGETS if key in tensors]
