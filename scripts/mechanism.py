"""What `why_smc_collapses` says of its predictions: a row a pruned cell, and a count at the end.

Part of `make reports`. Paths through the head come from the records, for cells made before records
told them from head_paths.csv (scripts/count_paths.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tabulate import tabulate

from smc_bench.report.data.results import Results
from smc_bench.report.statistics.examples import split_of
from smc_bench.store.record import Record
from smc_bench.suite.expand import DENSE_ARM

SUITE = "why_smc_collapses"
_COLUMNS = [
    "task", "profile", "arm", "sparsity", "seed", "score", "word embeddings", "pooler",
    "classifier", "paths", "output", "cell",
]  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One pruned cell.

    Attributes:
        place: Task, profile, arm, sparsity, seed, score.
        left: Weights left of the layers of the path: word embeddings, pooler, classifier.
        paths: Ways through the head that are left; None where they were not counted.
        output: ``constant``, ``one class`` or nothing.
        cell: Its id.
    """

    place: tuple[Any, ...]
    left: tuple[int, int, int]
    paths: int | None
    output: str
    cell: str

    @property
    def constant(self) -> bool:
        """Whether the logits of all evaluated rows are equal."""
        return self.output == "constant"


def rows(results: Results, profile: str, counts: Mapping[str, tuple[str, int, int]]) -> list[Row]:
    """The finished pruned cells of one profile, in the plan's order."""
    found = []
    for entry in results.plan.entries:
        record = results.records.get(entry.cell.id)
        if entry.arm == DENSE_ARM or record is None:
            continue
        task = entry.cell.task
        metric = results.scores.metric[results.labels[task]]
        split = split_of(entry.cell, metric)
        place = (
            results.labels[task], profile, entry.arm, f"{entry.target:g}", entry.cell.seed,
            f"{record.metrics[metric]:.2f}",
        )  # fmt: skip
        output = _output(record, split or "")
        paths = _paths(record, counts.get(entry.cell.id))
        found.append(Row(place, _left(record), paths, output, entry.cell.id))
    return found


def markdown(found: Sequence[Row]) -> str:
    """The table and what it says of the two hypotheses."""
    table = [
        [*row.place, *(f"{left:,}" for left in row.left), _number(row.paths), row.output, row.cell]
        for row in found
    ]
    counted = [row for row in found if row.paths is not None]
    empty = sum(row.constant == (min(row.left) == 0) for row in found)
    none = sum(row.constant == (row.paths == 0) for row in counted)
    differ = [row for row in counted if (min(row.left) == 0) != (row.paths == 0)]
    right = sum(row.constant == (row.paths == 0) for row in differ)
    return "\n".join([
        "# Where the output is constant",
        "",
        "Weights left of each layer of the path from words to logits, ways through the non-zero",
        "weights of pooler and classifier (paths), and whether the logits of all rows are",
        "equal (constant) or arg max gives one class for all (one class). One row a pruned cell.",
        "",
        tabulate(table, _COLUMNS, tablefmt="github", disable_numparse=True),
        "",
        "- Prediction 1 as it was written (constant exactly where a layer of the path has no "
        f"weight left): right in {empty} of {len(found)} cells.",
        f"- Constant exactly where no path leads through the head: right in {none} of "
        f"{len(counted)} cells whose paths are counted.",
        f"- The two say different things in {len(differ)} of these; paths are right in {right} of "
        "them. This hypothesis was made after the cells of SST-2, seed 42 at 0.59 were seen.",
        "",
    ])  # fmt: skip


def _left(record: Record) -> tuple[int, int, int]:
    def of(*ends: str) -> int:
        names = [name for name in record.weights_left if name.endswith(ends)]
        return sum(record.weights_left[name][0] for name in names)

    return (
        of("word_embeddings.weight"),
        of("pooler.dense.weight", "classifier.dense.weight"),
        of("classifier.weight", "out_proj.weight"),
    )


def _paths(record: Record, counted: tuple[str, int, int] | None) -> int | None:
    if record.head_paths is not None:
        return record.head_paths[0]
    same = counted is not None and counted[0] == record.weights_sha256
    return counted[1] if counted is not None and same else None


def _output(record: Record, split: str) -> str:
    checked = record.outputs.get(split)
    if checked is None:
        return "?"
    return "constant" if checked.all_equal else "one class" if checked.one_class else ""


def _number(value: int | None) -> str:
    return "not counted" if value is None else f"{value:,}"
