"""The table of memory in docs/gpu.md: predicted by :mod:`smc_bench.suite.memory`, never measured.

    python scripts/gpu_memory.py

A dense cell in bf16 with AdamW, sequences at full length; sizes follow from the architecture.
"""

from __future__ import annotations

from pathlib import Path

from smc_bench.engine.execution import Execution
from smc_bench.engine.pruning.latency import SpeedTarget
from smc_bench.suite.cell import Cell
from smc_bench.suite.expand import expand
from smc_bench.suite.load import load_suite
from smc_bench.suite.memory import GIB, ModelSize, predicted
from smc_bench.tasks.specs import TaskSpec

SUITE = Path(__file__).parents[1] / "suites" / "table2.yaml"
# Layers, width, heads, vocabulary.
SHAPES = {
    "MiniLM-L6": (6, 384, 12, 30522),
    "BERT-base": (12, 768, 12, 30522),
    "RoBERTa-large": (24, 1024, 16, 50265),
}
# Name, sequence length.
TASKS = (("128 tokens", 128), ("384 tokens", 384))
BATCHES = (16, 32)


class Unpinned:
    """Pins of a plan whose memory alone is asked for: nothing is looked at."""

    def data(self, spec: TaskSpec, config: str, split: str) -> str:
        """Not known."""
        return "unresolved"

    def model(self, reference: str) -> str:
        """Not known."""
        return "unresolved"

    def precision(self) -> None:
        """Not measured."""

    def latencies(self, target: SpeedTarget, model: str, suite: Path) -> None:
        """Not measured."""


def size(layers: int, width: int, heads: int, vocabulary: int) -> ModelSize:
    """A BERT's size: 12 d^2 + 13 d a block, embeddings of words, 512 positions and 2 types."""
    blocks = layers * (12 * width**2 + 13 * width)
    embeddings = (vocabulary + 512 + 2) * width + 2 * width
    prunable = {"embeddings": embeddings, "encoder": 12 * layers * width**2, "head": 0}
    return ModelSize(
        blocks + embeddings, prunable, layers, width, 4 * width, heads, width, False, blocks
    )  # fmt: skip


def table(cell: Cell) -> str:
    """Markdown: GiB of each model, length and batch; in brackets with gradient checkpointing."""
    heads = [f"{name}, batch {batch}" for name, _ in TASKS for batch in BATCHES]
    lines = [f"| model | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for name, shape in SHAPES.items():
        row = [name]
        for _, length in TASKS:
            for batch in BATCHES:
                task = cell.task.model_copy(update={"max_length": length})
                train = cell.recipe.train.model_copy(update={"batch": batch, "precision": "bf16"})
                recipe = cell.recipe.model_copy(update={"train": train})
                one = cell.model_copy(update={"task": task, "recipe": recipe})
                whole, again = (
                    predicted(one, size(*shape), Execution(gradient_checkpointing=kept)).peak / GIB
                    for kept in (False, True)
                )
                row.append(f"{whole:.1f} ({again:.1f})")
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines)


def main() -> None:
    """Print it."""
    entries = expand(load_suite(SUITE), Unpinned()).entries
    print(table(next(e.cell for e in entries if e.cell.recipe.sparsity_schedule is None)))


if __name__ == "__main__":
    main()
