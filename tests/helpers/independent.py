"""The training loop written a second time, from the documentation, without the engine's code.

Stock transformers models on padded batches, masks by ``torch.nn.utils.prune``, an optimizer of
torch, losses and schedules spelled out here: all in float64. Nothing of ``smc_bench`` is imported.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own idiom
from torch import Tensor, nn
from torch.nn.utils import prune

Features = Sequence[dict[str, Any]]


@dataclass
class Loop:
    """One training: everything that a recipe says, as plain numbers and functions.

    Attributes:
        kind: ``label`` (classes or a number), ``choice`` or ``span``.
        modules: Names of the modules whose ``weight`` is pruned.
        events: Step to share of these weights that are zero from then on.
        rate: Learning rate of a step, from 0.
        keys: Inputs of the model beside ids and mask.
        per_tensor: Whether each tensor gets the share, or all together.
        clipped: Steps whose gradient was longer than ``clip``.
    """

    kind: str
    student: nn.Module
    teacher: nn.Module
    features: Features
    modules: list[str]
    events: dict[int, float]
    rate: Callable[[int], float]
    steps: int
    batch: int
    seed: int
    hardness: float
    temperature: float
    decay: float = 0.0
    clip: float | None = None
    per_tensor: bool = False
    types: bool = True
    clipped: int = 0
    masks: dict[str, Tensor] = field(default_factory=dict)

    def run(self) -> dict[str, Tensor]:
        """Train; the effective weights of the student, all tensors, by name."""
        self.student, self.teacher = (
            copy.deepcopy(m).double() for m in (self.student, self.teacher)
        )
        self.student.train()
        self.teacher.eval()
        said = [self._teacher_says(feature) for feature in self.features]
        optimizer = torch.optim.AdamW(
            [
                {"params": [p for p in self.student.parameters() if p.dim() > 1]},
                {
                    "params": [p for p in self.student.parameters() if p.dim() == 1],
                    "weight_decay": 0.0,
                },
            ],
            lr=1.0,
            weight_decay=self.decay,
            foreach=False,
        )
        for step in range(self.steps):
            if step in self.events:
                self._prune(self.events[step])
            for group in optimizer.param_groups:
                group["lr"] = self.rate(step)
            chosen = self._rows(step)
            optimizer.zero_grad()
            self._loss([self.features[i] for i in chosen], [said[i] for i in chosen]).backward()
            if self.clip is not None:
                # prune multiplies weights by their masks: gradients of pruned ones are zero here.
                norm = nn.utils.clip_grad_norm_(self.student.parameters(), self.clip)
                self.clipped += bool(norm > self.clip)
            optimizer.step()
        if self.steps in self.events:
            self._prune(self.events[self.steps])
        return self._effective()

    def _rows(self, step: int) -> list[int]:
        """Batches of an epoch-wise shuffled set, as ``seeding`` and ``batches`` document them."""
        per_epoch = -(-len(self.features) // self.batch)
        epoch, at = divmod(step, per_epoch)
        digest = hashlib.sha256(f"{self.seed}:order:{epoch}".encode()).digest()
        bits = int.from_bytes(digest[:8], "big") >> 1
        order = np.random.Generator(np.random.PCG64(bits)).permutation(len(self.features))
        return [int(i) for i in order[at * self.batch : (at + 1) * self.batch]]

    def _prune(self, share: float) -> None:
        found = [(self.student.get_submodule(name), "weight") for name in self.modules]
        groups = [[one] for one in found] if self.per_tensor else [found]
        for group in groups:
            total = sum(module.weight.numel() for module, _ in group)
            gone = sum(
                int((module.weight_mask == 0).sum())
                for module, _ in group
                if hasattr(module, "weight_mask")
            )
            # Nearest whole number, halves up; prune counts only what is still there.
            more = int(np.floor(total * share + 0.5)) - gone
            # ``weight`` is renewed by a forward pass only: it is from before the last step.
            now = {one: _weight(one[0]).abs() for one in group}
            prune.global_unstructured(
                group, pruning_method=prune.L1Unstructured, importance_scores=now, amount=more
            )

    def _effective(self) -> dict[str, Tensor]:
        for name in self.modules:
            module = self.student.get_submodule(name)
            if prune.is_pruned(module):
                self.masks[f"{name}.weight"] = module.weight_mask.bool()
                prune.remove(module, "weight")
        return {name: tensor.detach() for name, tensor in self.student.named_parameters()}

    def _forward(self, model: nn.Module, features: Features) -> list[Tensor]:
        """Padded logits of each head: (n, classes), or (n, longest window) twice."""
        rows = [feature["input_ids"] for feature in features]
        if self.kind == "choice":
            longest = max(len(ids) for choices in rows for ids in choices)
            ids = torch.tensor([[_pad(ids, longest) for ids in choices] for choices in rows])
            real = [[[1] * len(ids) for ids in choices] for choices in rows]
            mask = torch.tensor([[_pad(ones, longest) for ones in row] for row in real])
        else:
            longest = max(map(len, rows))
            ids = torch.tensor([_pad(ids, longest) for ids in rows])
            mask = torch.tensor([_pad([1] * len(ids), longest) for ids in rows])
        inputs = {"input_ids": ids, "attention_mask": mask}
        if self.types:
            types = [feature["token_type_ids"] for feature in features]
            pads = (
                [[_pad(t, longest) for t in choices] for choices in types]
                if self.kind == "choice"
                else [_pad(t, longest) for t in types]
            )
            inputs["token_type_ids"] = torch.tensor(pads)
        output = model(**inputs)
        if self.kind == "span":
            return [output.start_logits, output.end_logits]
        return [output.logits]

    @torch.no_grad()
    def _teacher_says(self, feature: dict[str, Any]) -> list[Tensor]:
        """One sequence at a time; kept in float32, as the engine documents its teacher outputs."""
        return [
            head[0].to(torch.float32).double() for head in self._forward(self.teacher, [feature])
        ]

    def _loss(self, features: Features, said: list[list[Tensor]]) -> Tensor:
        heads = self._forward(self.student, features)
        names = ("start", "end") if self.kind == "span" else ("label",)
        hard, soft = [], []
        for at, (head, name) in enumerate(zip(heads, names, strict=True)):
            for row, feature in enumerate(features):
                length = len(feature["input_ids"]) if self.kind == "span" else head.shape[1]
                logits, teacher = head[row, :length], said[row][at]
                if len(logits) == 1:
                    hard.append((logits[0] - feature[name]) ** 2)
                    soft.append((logits[0] - teacher[0]) ** 2)
                    continue
                hard.append(F.cross_entropy(logits, torch.tensor(feature[name])))
                p = torch.softmax(teacher / self.temperature, 0)
                q = torch.log_softmax(logits / self.temperature, 0)
                soft.append(self.temperature**2 * (p * (p.log() - q)).sum())
        h = self.hardness
        return (1 - h) * torch.stack(hard).mean() + h * torch.stack(soft).mean()


def _weight(module: Any) -> Tensor:
    if prune.is_pruned(module):
        return (module.weight_orig * module.weight_mask).detach()
    return module.weight.detach()


def _pad(ids: list[int], length: int) -> list[int]:
    return [*ids, *[0] * (length - len(ids))]
