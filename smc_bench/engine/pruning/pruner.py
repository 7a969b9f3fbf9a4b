"""Applies pruning events to a model: scores the scope, tightens the masks, keeps them in force."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from smc_bench.engine.loss.distributed import ALONE, Processes
from smc_bench.engine.loss.objective import Objective
from smc_bench.engine.pruning.audit import target_zeros
from smc_bench.engine.pruning.calibration import Probe
from smc_bench.engine.pruning.masks import Masks, apply_masks, tighten, tighten_by_part
from smc_bench.engine.pruning.methods.movement import MovementScores
from smc_bench.engine.pruning.methods.rigl import RegrowthPlan, regrow, unmoved
from smc_bench.engine.pruning.scorers.registry import LEARNED
from smc_bench.engine.pruning.scorers.simple import Saliency, Scored, Statistics, load_scorer
from smc_bench.engine.pruning.structures import row_multiple
from smc_bench.engine.recipe import COMPONENTS, Recipe
from smc_bench.engine.schedules.sparsity import PruningEvent, Timeline
from smc_bench.errors import ModelError
from smc_bench.models.components import component_map


class Pruner:
    """Masks of one model over the scope of one recipe."""

    def __init__(
        self,
        model: Any,
        recipe: Recipe,
        timeline: Timeline,
        seed: int,
        objective: Objective,
        tick: Callable[[int, int], None] = lambda done, count: None,
        processes: Processes = ALONE,
    ) -> None:
        """Map the model's components; everything is dense at first.

        Raises:
            ModelError: If a tensor's rows do not fit the recipe's structure.
        """
        self.recipe, self.seed, self.objective, self.tick = recipe, seed, objective, tick
        self.processes = processes
        self.parts = component_map(model)
        everything = dict(model.named_parameters())
        self.parameters: dict[str, nn.Parameter] = {
            name: everything[name] for name in self.parts.in_scope(recipe.scope)
        }
        self.masks: Masks = {}
        self._born_zero = sum(int((p == 0).sum()) for p in self.parameters.values())
        self.reached, self.final = 0.0, timeline.final_sparsity
        self._totals: dict[str, int] = dict.fromkeys(COMPONENTS, 0)
        for name, component in self.parts.prunable.items():
            self._totals[component] += everything[name].numel()
        self._check_rows()
        prunes = recipe.sparsity_schedule is not None
        learned = prunes and recipe.scorer in LEARNED
        self.movement = MovementScores(self.parameters, recipe.scorer_options) if learned else None
        settings = recipe.regrowth
        self.regrowth = RegrowthPlan.of(settings, timeline) if settings and prunes else None

    def _check_rows(self) -> None:
        multiple = row_multiple(self.recipe.structure)
        for name, parameter in self.parameters.items():
            if parameter.shape[-1] % multiple:
                raise ModelError(
                    f"{name} has rows of {parameter.shape[-1]} weights: structure "
                    f"{self.recipe.structure} needs a multiple of {multiple}; change the scope"
                )

    def prune(self, event: PruningEvent) -> dict[str, float]:
        """Tighten the masks to an event's sparsity, in as many parts as the recipe recomputes.

        Returns:
            Step, target and the sparsity of the masks over the scope and over the encoder.
        """
        if self.movement is not None:
            self.movement.uncover()
        parts, start = self.recipe.recomputations, self.reached
        for part in range(1, parts + 1):
            level = start + (event.sparsity - start) * part / parts
            self._tighten(event.step, event.sparsity if part == parts else level)
        return {"step": float(event.step), "target": event.sparsity, **self.shares()}

    @torch.no_grad()
    def _tighten(self, step: int, sparsity: float) -> None:
        self.reached = sparsity
        scored = self._score(step)
        new = self._masks_at(scored.saliency, sparsity)
        if scored.compensate is not None:
            scored.compensate(new)
        self.masks = new
        self.hold()

    def _score(self, step: int) -> Scored:
        if self.movement is not None:
            return Scored({n: score.detach() for n, score in self.movement.scores.items()})
        scorer = load_scorer(self.recipe.scorer)
        statistics = Statistics(
            self.seed,
            step,
            self.recipe.scorer_options,
            self.masks,
            self.recipe.structure,
            self.recipe.train.batch,
            Probe(self.objective, self.seed, step, self.tick, self.processes),
        )
        found = scorer(self.parameters, statistics)
        return found if isinstance(found, Scored) else Scored(found)

    def _masks_at(self, saliency: Saliency, sparsity: float) -> Masks:
        if self.movement is not None and self.movement.soft:
            return self.movement.over_threshold(self.progress)
        # Movement chooses among all weights each time: what was pruned may come back.
        old = {} if self.movement is not None else self.masks
        masks = old or {n: torch.ones_like(p, dtype=torch.bool) for n, p in self.parameters.items()}
        if self.recipe.sparsity_over == "encoder":
            encoder = [name for name in masks if self.parts.prunable[name] == "encoder"]
            return tighten_by_part(saliency, masks, sparsity, encoder)
        total = sum(self._totals[part] for part in self.recipe.scope)
        share = target_zeros(self.recipe, self._totals, sparsity)[1] / total
        return tighten(saliency, masks, share, self.recipe.threshold, self.recipe.structure)

    @property
    def progress(self) -> float:
        """How far the sparsity schedule has come, 0..1."""
        return self.reached / self.final if self.final else 0.0

    @property
    def learned(self) -> list[nn.Parameter]:
        """Scores that are trained beside the weights."""
        return list(self.movement.scores.values()) if self.movement is not None else []

    def take_gradients(self, *, mask: bool) -> None:
        """Of the whole gradients of a step: learned scores get theirs, pruned weights get none.

        Args:
            mask: Whether gradients of pruned weights are set to zero also where nothing is learned
                from them.
        """
        if self.movement is not None:
            self.movement.take_gradients(self.masks, self.progress)
        elif mask:
            for name, kept in self.masks.items():
                gradient = self.parameters[name].grad
                if gradient is not None:
                    gradient.mul_(kept)

    def before_step(self, rate_share: float) -> None:
        """Right before the optimizer's step."""
        if self.movement is not None:
            self.movement.before_step(rate_share)

    def after_step(self, step: int) -> None:
        """After the optimizer's step: masks hold, and learned masks are renewed when due."""
        if self.movement is None:
            self.hold()
            return
        self.movement.after_step(self.masks)
        if self.masks and (step + 1) % self.movement.every == 0:
            self.movement.uncover()
            self._tighten(step, self.reached)

    def regrow(self, step: int, optimizer: torch.optim.Optimizer) -> bool:
        """Exchange weights by RigL if that is due; the optimizer's step is then left out.

        Weights that are new have no moments yet.
        """
        share = self.regrowth.share(step) if self.regrowth and self.masks else 0.0
        if share == 0.0:
            return False
        old, self.masks = self.masks, regrow(self.parameters, self.masks, share)
        for name, mask in self.masks.items():
            state = optimizer.state.get(self.parameters[name], {})
            for moment in ("exp_avg", "exp_avg_sq"):
                if moment in state:
                    state[moment].masked_fill_(mask & ~old[name], 0.0)
        self.hold()
        return True

    def natural_zeros(self, optimizer: torch.optim.Optimizer) -> int:
        """Weights outside the masks that may be zero although nobody pruned them.

        With RigL those that no gradient has moved, since they were grown or at all; else as many as
        there were before training, such as padding rows.
        """
        if self.regrowth is not None:
            return unmoved(self.parameters, self.masks, optimizer)
        return self._born_zero

    def hold(self) -> None:
        """Set every pruned weight to zero again, as after an optimizer step."""
        apply_masks(self.parameters, self.masks)

    def shares(self) -> dict[str, float]:
        """Sparsity of the masks over the scope and over the encoder's part of it."""
        pruned = {name: int((~mask).sum()) for name, mask in self.masks.items()}
        encoder = sum(n for name, n in pruned.items() if self.parts.prunable[name] == "encoder")
        scope_total = sum(self._totals[part] for part in self.recipe.scope)
        return {
            "scope": sum(pruned.values()) / scope_total if scope_total else 0.0,
            "encoder": encoder / self._totals["encoder"],
        }

    def state(self) -> dict[str, Tensor]:
        """Masks and learned scores, for a checkpoint."""
        learned = self.movement.state() if self.movement is not None else {}
        return {f"mask/{name}": mask for name, mask in self.masks.items()} | learned

    def load(self, state: Mapping[str, Tensor], reached: float) -> None:
        """Restore what :meth:`state` gave, and the sparsity reached then."""
        self.reached = reached
        self.masks = {
            name.removeprefix("mask/"): mask.bool().to(self.objective.model.device)
            for name, mask in state.items()
            if name.startswith("mask/")
        }
        if self.movement is not None:
            self.movement.load(state)
