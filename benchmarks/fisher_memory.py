"""Peak memory and time of oBERT on a RoBERTa-large that does not fit, streamed over groups.

    python benchmarks/fisher_memory.py --layers 2              # a quick look
    python benchmarks/fisher_memory.py --memory 8GB            # the whole encoder

Weights are random (no download): vocabulary 50265, hidden 1024, 24 layers, 16 heads, intermediate
4096. Tokens are random too: memory and time do not depend on them. The scorer is called as the
pruner does, for 90 % of the encoder: saliency in one pass over the gradients for each group, then
the update in a second (of all groups but the last, which is kept). Seconds for m = 1024 are SCALED
from those of collecting gradients.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from fisher_support import processor
from torch import Tensor
from transformers import RobertaConfig, RobertaForSequenceClassification

from smc_bench.engine.pruning.masks import Masks, update_masks
from smc_bench.engine.pruning.obert.options import ObertOptions
from smc_bench.engine.pruning.obert.scorer import obert, plan_passes
from smc_bench.engine.pruning.scorers.simple import Statistics
from smc_bench.models.components import component_map

RESULTS = Path(__file__).parent / "results"
RECIPE_COUNT = 1024


class Evidence:
    """Gradients of the model on random tokens, the same at each pass."""

    def __init__(self, model: Any, length: int) -> None:
        self.model, self.length = model, length
        self.spent, self.passes = 0.0, 0

    def gradients(
        self, names: Sequence[str], count: int, batch: int, *, train: bool
    ) -> Iterator[dict[str, Tensor]]:
        """As :meth:`smc_bench.engine.pruning.scorers.simple.Evidence.gradients`."""
        self.passes += 1
        parameters = dict(self.model.named_parameters())
        wanted = [parameters[name] for name in names]
        for parameter in parameters.values():
            parameter.requires_grad_(False)
        for parameter in wanted:
            parameter.requires_grad_(True)
        for index in range(count):
            start = time.perf_counter()
            noise = torch.Generator().manual_seed(index)
            tokens = torch.randint(3, 50265, (batch, self.length), generator=noise)
            labels = torch.randint(2, (batch,), generator=noise)
            with torch.enable_grad():
                loss = self.model(input_ids=tokens, labels=labels).loss
                found = torch.autograd.grad(loss, wanted)
            self.spent += time.perf_counter() - start
            yield dict(zip(names, found, strict=True))

    def input_moments(self, names: Sequence[str], count: int, batch: int) -> dict[str, Tensor]:
        """Not asked by oBERT."""
        raise NotImplementedError

    def epoch_batches(self, batch: int) -> int:
        """Not asked by oBERT."""
        raise NotImplementedError


def peak() -> float:
    """Largest resident set of this process so far, GB (Linux counts it in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def model_of(layers: int) -> Any:
    """A RoBERTa of RoBERTa-large's widths with random weights, in eval mode."""
    torch.manual_seed(0)
    config = RobertaConfig(
        vocab_size=50265,
        hidden_size=1024,
        num_hidden_layers=layers,
        num_attention_heads=16,
        intermediate_size=4096,
        max_position_embeddings=514,
        type_vocab_size=1,
        num_labels=2,
    )
    return RobertaForSequenceClassification(config).eval()


def measured(asked: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One row a phase: seconds, and the peak so far."""
    evidence = Evidence(model_of(asked.layers), asked.length)
    parameters = dict(evidence.model.named_parameters())
    names = component_map(evidence.model).in_scope(["encoder"])
    weights = {name: parameters[name] for name in names}
    options = ObertOptions(
        gradients=asked.gradients,
        gradient_batch=asked.batch,
        fisher_memory=asked.memory,
        update=asked.update,
    )
    chunk, groups = plan_passes(weights, options, asked.gradients)
    statistics = Statistics(0, 0, options.model_dump(mode="json"), evidence=evidence)
    count = sum(w.numel() for w in weights.values())
    yield {
        "phase": "start",
        "encoder weights": count,
        "groups": len(groups),
        "chunk": chunk,
        "peak GB": peak(),
        "model GB": sum(p.numel() for p in parameters.values()) * 4 / 1e9,
    }
    yield (scored := timed("saliency", evidence, lambda: obert(weights, statistics)))
    found = scored.pop("result")
    masks: Masks = {n: torch.ones_like(w, dtype=torch.bool) for n, w in weights.items()}
    yield (chosen := timed("masks", evidence, lambda: update_masks(found.saliency, masks, 0.9)))
    new = chosen.pop("result")
    yield timed("update", evidence, lambda: found.compensate and found.compensate(new))


def timed(phase: str, evidence: Evidence, work: Any) -> dict[str, Any]:
    """Seconds of a phase, those for gradients apart, and the peak after it."""
    spent, start = evidence.spent, time.perf_counter()
    result = work()
    seconds, gradients = time.perf_counter() - start, evidence.spent - spent
    return {
        "phase": phase,
        "s": seconds,
        "of it gradients s": gradients,
        "passes so far": evidence.passes,
        "peak GB": peak(),
        "result": result,
    }


def main() -> None:
    """Measure, print, and write the results of a whole encoder."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--layers", type=int, default=24)
    parser.add_argument("--gradients", type=int, default=64)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--length", type=int, default=16)
    parser.add_argument("--memory", default="8GB")
    parser.add_argument("--update", default="independent", choices=["independent", "joint", "none"])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    setting = {"processor": processor(), "torch": torch.__version__, "B": 50, **vars(asked)}
    print(json.dumps(setting), flush=True)
    phases = []
    with torch.no_grad():
        for phase in measured(asked):
            shown = {key: value for key, value in phase.items() if key != "result"}
            print(json.dumps(shown), flush=True)
            phases.append(shown)
    collected = sum(phase.get("of it gradients s", 0.0) for phase in phases)
    scaled = collected * RECIPE_COUNT / asked.gradients
    total = {"s for gradients at m = 1024, all passes (scaled)": scaled, "phases": phases}
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"fisher_memory_{asked.layers}_layers.json"
    path.write_text(json.dumps({"setting": setting, **total}, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
