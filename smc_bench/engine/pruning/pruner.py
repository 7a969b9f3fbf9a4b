"""The masks of one model: chosen by a pruning method, kept in force, saved and restored."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from smc_bench.engine.loss.distributed import ALONE, Processes
from smc_bench.engine.loss.objective import Objective
from smc_bench.engine.pruning.calibration import Calibration
from smc_bench.engine.pruning.masks import Masks, apply_masks
from smc_bench.engine.pruning.methods.registry import load_method, method_of
from smc_bench.engine.pruning.model_units import units_of
from smc_bench.engine.pruning.scorers.simple import Saliency, Scored, Statistics, load_scorer
from smc_bench.engine.pruning.selection import Selection
from smc_bench.engine.pruning.structures import within_tensors
from smc_bench.engine.recipe import Recipe
from smc_bench.engine.schedules.sparsity import PruningEvent, Timeline
from smc_bench.models.components import component_map

_MASK = "mask/"


class Pruner:
    """Masks of one model over the scope of one recipe, and the method that chooses them.

    Attributes:
        model: The model that is trained.
        recipe: How it is pruned.
        timeline: Its pruning events.
        seed: The cell's seed.
        optimizer: AdamW over all parameters.
        last_step: Steps of the whole training; an event may fall on it.
        parameters: Prunable tensors in scope, by name.
        masks: Masks in force, True where a weight stays; empty before the first event.
        reached: The schedule's sparsity that the masks have come to.
        method: The pruning method.
    """

    def __init__(
        self,
        model: Any,
        recipe: Recipe,
        timeline: Timeline,
        seed: int,
        objective: Objective,
        optimizer: torch.optim.Optimizer,
        last_step: int,
        tick: Callable[[int, int], None] = lambda done, count: None,
        processes: Processes = ALONE,
    ) -> None:
        """Map the model's components; everything is dense at first.

        Raises:
            ModelError: If a tensor's rows do not fit the recipe's structure, or its units can't
                reach the schedule's sparsity.
            SuiteError: If the recipe's method is not to be found.
        """
        self.model, self.recipe, self.timeline, self.seed = model, recipe, timeline, seed
        self.objective, self.optimizer, self.last_step = objective, optimizer, last_step
        self.tick, self.processes = tick, processes
        self.parts = component_map(model)
        self.selection = Selection(
            recipe, self.parts, dict(model.named_parameters()), units_of(model, recipe)
        )
        self.selection.check_reachable(timeline.final_sparsity)
        self.parameters: dict[str, nn.Parameter] = self.selection.scope
        self.masks: Masks = {}
        self.reached = 0.0
        self.method = load_method(method_of(recipe))(self)

    def prune(self, event: PruningEvent) -> dict[str, float]:
        """Let the method bring the masks to an event's sparsity.

        Returns:
            Step, target and the sparsity of the masks over the scope and over the encoder.
        """
        self.method.on_event(event)
        shares = self.selection.shares(self.masks)
        return {"step": float(event.step), "target": event.sparsity, **shares}

    def levels(self, event: PruningEvent) -> Iterator[float]:
        """Sparsities on the way to an event's, as many as the recipe recomputes the saliency."""
        count, start = self.recipe.recomputations, self.reached
        for index in range(1, count):
            yield start + (event.sparsity - start) * index / count
        yield event.sparsity

    @torch.no_grad()
    def score(self, step: int) -> Scored:
        """The recipe's scorer on the weights as they are."""
        statistics = Statistics(
            self.seed,
            step,
            self.recipe.scorer_options,
            self.masks,
            within_tensors(self.recipe.structure),
            self.recipe.train.batch,
            Calibration(self.objective, self.seed, step, self.tick, self.processes),
            self.selection.units,
        )
        result = load_scorer(self.recipe.scorer)(self.parameters, statistics)
        return result if isinstance(result, Scored) else Scored(result)

    @torch.no_grad()
    def choose(self, saliency: Saliency, sparsity: float, *, anew: bool = False) -> Masks:
        """Masks at a sparsity, by the recipe's denominator, threshold and structure.

        Args:
            saliency: For each tensor in scope one of the same shape; the least go.
            sparsity: What the schedule says.
            anew: Choose among all weights; otherwise what is pruned stays pruned.
        """
        return self.selection.masks(saliency, {} if anew else self.masks, sparsity)

    @torch.no_grad()
    def set_masks(
        self,
        masks: Masks,
        sparsity: float,
        compensate: Callable[[Masks], None] | None = None,
    ) -> None:
        """Put masks in force, and pruned weights at zero.

        Args:
            masks: For each tensor in scope, True where a weight stays.
            sparsity: The schedule's sparsity that they stand for.
            compensate: Changes weights that stay, before the others are set to zero.
        """
        if compensate is not None:
            compensate(masks)
        self.masks, self.reached = masks, sparsity
        self.hold()

    def progress_at(self, sparsity: float) -> float:
        """How far a sparsity is on the way to the schedule's last, 0..1."""
        final = self.timeline.final_sparsity
        return sparsity / final if final else 0.0

    def mask_gradients(self) -> None:
        """Set the gradients of pruned weights to zero."""
        for name, kept in self.masks.items():
            gradient = self.parameters[name].grad
            if gradient is not None:
                gradient.mul_(kept)

    def hold(self) -> None:
        """Set every pruned weight to zero again, as after an optimizer step."""
        apply_masks(self.parameters, self.masks)

    def state(self) -> dict[str, Tensor]:
        """Masks and the method's state, for a checkpoint."""
        masks = {f"{_MASK}{name}": mask for name, mask in self.masks.items()}
        return masks | self.method.state()

    def load(self, state: Mapping[str, Tensor], reached: float) -> None:
        """Restore what :meth:`state` gave, and the sparsity reached then."""
        self.reached = reached
        self.masks = {
            name.removeprefix(_MASK): mask.bool().to(self.objective.model.device)
            for name, mask in state.items()
            if name.startswith(_MASK)
        }
        self.method.load({n: t for n, t in state.items() if not n.startswith(_MASK)})
