"""What scorers may ask of a model beside its weights: gradients of the task loss, input moments.

Float32 throughout, whatever precision training runs in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from smc_bench.engine.loss.distributed import ALONE, Processes
from smc_bench.engine.loss.objective import Objective
from smc_bench.engine.pruning.gates import gate_gradients
from smc_bench.engine.pruning.model_units import ModelUnits
from smc_bench.engine.seeding import generator, seed_step
from smc_bench.errors import ModelError


class Calibration:
    """Gradients and activations of one model at one pruning event.

    Every call sees the same batches in the same order: statistics that are collected in several
    passes over groups of layers belong together.
    """

    def __init__(
        self,
        objective: Objective,
        seed: int,
        step: int,
        tick: Callable[[int, int], None] = lambda done, count: None,
        processes: Processes = ALONE,
    ) -> None:
        """Fix which batches are drawn: a function of (seed, step).

        Args:
            objective: Model, data and loss.
            seed: The cell's seed.
            step: Optimizer step of the pruning event.
            tick: Told after each batch how many of how many are done; may raise to stop.
            processes: Who works these out together: gradients are shared out, moments (of a few
                batches) are everybody's own work, of which the main process's counts.
        """
        self.objective, self.seed, self.step, self.tick = objective, seed, step, tick
        self.processes = processes
        self.model: Any = objective.model

    def batches(self, count: int | None, batch: int) -> Iterator[list[int]]:
        """Indices of ``count`` batches (None: of one epoch), epochs in a new order each."""
        rows, drawn, epoch = len(self.objective.features), 0, 0
        while count is None or drawn < count:
            order = generator(self.seed, "probe", self.step, epoch).permutation(rows)
            for start in range(0, rows, batch):
                if count is not None and drawn >= count:
                    return
                yield [int(index) for index in order[start : start + batch]]
                drawn += 1
            if count is None:
                return
            epoch += 1

    def epoch_batches(self, batch: int) -> int:
        """Mini-batches of one epoch, the last short one included."""
        return -(-len(self.objective.features) // batch)

    def gradients(
        self, names: Sequence[str], count: int, batch: int, *, train: bool
    ) -> Iterator[dict[str, Tensor]]:
        """Mini-batch gradients of the task's own loss with respect to some parameters only.

        Args:
            names: Parameters; everything else is frozen meanwhile, so that the backward pass goes
                no deeper than it must.
            count: How many gradients.
            batch: Features a gradient is the mean over.
            train: Whether dropout is on.
        """
        parameters = dict(self.model.named_parameters())
        wanted = [parameters[name] for name in names]

        def gradient(index: int, chosen: list[int]) -> Sequence[Tensor]:
            seed_step(self.seed, self.step, index)
            # Somebody's autocast would reach the backward pass too.
            plain = torch.autocast(self.model.device.type, enabled=False)
            with torch.enable_grad(), plain:
                return torch.autograd.grad(self.objective.task_loss(chosen), wanted)

        with self._mode(train), _only(self.model, wanted):
            found = self.processes.in_turn(self.batches(count, batch), gradient, wanted)
            for index, tensors in enumerate(found):
                self.tick(index + 1, count)
                yield dict(zip(names, tensors, strict=True))

    @torch.no_grad()
    def input_moments(self, names: Sequence[str], count: int, batch: int) -> dict[str, Tensor]:
        """Mean of x xT over the tokens that a Linear layer sees, in eval mode, padding left out.

        Args:
            names: Weights of Linear layers.
            count: How many batches.
            batch: Features a batch.

        Returns:
            For each weight of shape (out, in) a float32 tensor (in, in).

        Raises:
            ModelError: If a weight is not a Linear layer's.
        """
        modules = {name: self.model.get_submodule(name.rpartition(".")[0]) for name in names}
        for name, module in modules.items():
            if not isinstance(module, nn.Linear):
                raise ModelError(
                    f"{name}: scorers that look at a layer's inputs can't score an "
                    f"{type(module).__name__}; leave its component out of scope"
                )
        sums: dict[str, Tensor] = {}
        tokens: dict[str, int] = dict.fromkeys(names, 0)
        real: list[Tensor] = []

        def hook(name: str) -> Any:
            def collect(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
                x = inputs[0].float()
                flat = x.reshape(-1, x.shape[-1])
                # Some layers (OPT's) are given tokens laid flat, padding too.
                shape = x.shape[:2] if x.dim() == 3 else None
                fits = (m for m in real if shape == m.shape or (not shape and len(x) == m.numel()))
                mask = next(fits, None)
                flat = flat if mask is None else flat[mask.flatten()]
                sums[name] = sums.get(name, 0.0) + flat.T @ flat
                tokens[name] += len(flat)

            return collect

        handles = [m.register_forward_pre_hook(hook(name)) for name, m in modules.items()]
        try:
            with self._mode(False):
                for index, chosen in enumerate(self.batches(count, batch)):
                    taken = self.objective.batch(chosen)
                    real[:] = [taken.real, *([] if taken.written is None else [taken.written])]
                    self.objective.feed.heads(taken, autocast=False)
                    self.tick(index + 1, count)
        finally:
            for handle in handles:
                handle.remove()
        self.processes.copy_main(sums.values())
        return {name: total / max(1, tokens[name]) for name, total in sums.items()}

    def gate_means(
        self, units: ModelUnits, count: int, batch: int, power: int
    ) -> dict[str, Tensor]:
        """Mean over rows of |dL_x/dxi_S|^power in eval mode, in float64 (count,) by group.

        Args:
            units: Whose gates; see :mod:`smc_bench.engine.pruning.gates`.
            count: How many batches.
            batch: Features a batch.
            power: 1 or 2.
        """
        like = [
            torch.zeros(group.count, dtype=torch.float64, device=self.model.device)
            for group in units.groups
        ]
        sizes: list[int] = []

        def sums(index: int, chosen: list[int]) -> Sequence[Tensor]:
            found = gate_gradients(self.objective, units, chosen)
            return [found[g.name].double().abs().pow(power).sum(0) for g in units.groups]

        chosen = list(self.batches(count, batch))
        with self._mode(False):
            for index, parts in enumerate(self.processes.in_turn(chosen, sums, like)):
                for total, part in zip(like, parts, strict=True):
                    total += part
                sizes.append(len(chosen[index]))
                self.tick(index + 1, count)
        return {
            group.name: total / max(1, sum(sizes))
            for group, total in zip(units.groups, like, strict=True)
        }

    @contextmanager
    def _mode(self, train: bool) -> Iterator[None]:
        was = self.model.training
        self.model.train(train)
        try:
            yield
        finally:
            self.model.train(was)


@contextmanager
def _only(model: nn.Module, wanted: Sequence[nn.Parameter]) -> Iterator[None]:
    """Freeze every parameter but ``wanted``."""
    before = [(p, p.requires_grad) for p in model.parameters()]
    chosen = {id(parameter) for parameter in wanted}
    for parameter, _ in before:
        parameter.requires_grad_(id(parameter) in chosen)
    try:
        yield
    finally:
        for parameter, flag in before:
            parameter.requires_grad_(flag)
