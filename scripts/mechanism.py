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
_SEEN = 42
"""The seed that the second hypothesis was made from (docs/study.md, changes)."""

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
    def seed(self) -> int:
        """The cell's seed."""
        return int(self.place[4])

    @property
    def emptied(self) -> bool:
        """Whether some layer of the path has no weight left."""
        return min(self.left) == 0

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
    return "\n".join([
        "# Where the output is constant",
        "",
        "Weights left of each layer of the path from words to logits, ways through the non-zero",
        "weights of pooler and classifier (paths), and whether the logits of all rows are",
        "equal (constant) or arg max gives one class for all (one class). One row a pruned cell.",
        "",
        tabulate(table, _COLUMNS, tablefmt="github", disable_numparse=True),
        "",
        *conclusions(found),
        "",
    ])  # fmt: skip


def conclusions(found: Sequence[Row]) -> list[str]:
    """What all cells say of the two hypotheses, and what those say that came after the second.

    The second was made from the cells of seed 42, so that others alone can speak for it.
    """
    lines = []
    for seeds, rows_of in (
        ("All seeds", list(found)),
        ("Seeds other than 42", [row for row in found if row.seed != _SEEN]),
    ):
        if not rows_of:
            continue
        counted = [row for row in rows_of if row.paths is not None]
        empty = sum(row.constant == row.emptied for row in rows_of)
        none = sum(row.constant == (row.paths == 0) for row in counted)
        differ = [row for row in counted if row.emptied != (row.paths == 0)]
        right = sum(row.constant == (row.paths == 0) for row in differ)
        lines += [
            f"- {seeds}: constant exactly where a layer of the path has no weight left (prediction "
            f"1 as it was written): right in {empty} of {len(rows_of)} cells.",
            f"- {seeds}: constant exactly where no path leads through the head (the second "
            f"hypothesis, made after seed 42 was seen): right in {none} of {len(counted)} cells.",
            f"- {seeds}: the two say different things of {len(differ)} cells; paths are right in "
            f"{right} of these.",
        ]
    return lines


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
