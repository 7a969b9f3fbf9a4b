"""What makes a number mean less than it seems, said only as far as it was measured.

A model that answers everything alike, a component with (nearly) no weights left, a score that an
answer without the input reaches too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from smc_bench.engine.recipe import COMPONENTS
from smc_bench.report.data.results import Results
from smc_bench.report.statistics.examples import split_of
from smc_bench.suite.expand import DENSE_ARM
from smc_bench.tasks.directions import lower_is_better
from smc_bench.tasks.specs import SPECS

# From this share of zeros on, how many weights are left is worth a word.
_NEARLY_GONE = 0.9995

_KEYS = ["task", "compare_at", "arm", "sparsity"]
_SHOWN = 3
_ORDINALS = ("first", "second", "third", "fourth", "fifth")


@dataclass(frozen=True)
class _Group:
    """Finished cells that differ in the seed only."""

    task: str
    at: str
    arm: str
    sparsity: float
    cells: tuple[str, ...]
    values: tuple[float, ...]
    trivial: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean score."""
        return sum(self.values) / len(self.values)

    @property
    def level(self) -> str:
        """Where on the axis, in words; empty for the dense model."""
        return f" at {self.sparsity:.4g}" if self.arm != DENSE_ARM else ""


def caveats(results: Results) -> list[str]:
    """Notes on a suite's finished cells."""
    groups = list(_groups(results))
    found = _no_better(results, groups) + _constant(results, groups)
    found += _left(results, groups) + _empty_tensors(results, groups)
    return found + _no_path(results, groups)


def _groups(results: Results) -> Iterator[_Group]:
    done = results.data[results.data["value"].notna()]
    for key, part in done.groupby(_KEYS, sort=False):
        task, at, arm, sparsity = key
        columns = (part[name] for name in ("cell", "value", "trivial"))
        cells, values, trivial = (tuple(column.dropna()) for column in columns)
        yield _Group(str(task), str(at), str(arm), float(str(sparsity)), cells, values, trivial)


def _who(group: _Group, groups: Sequence[_Group]) -> str:
    """An arm, with as much of its table as is needed to find it."""
    parts = [group.arm] if len({other.task for other in groups}) == 1 else [group.task, group.arm]
    ways = {other.at for other in groups if other.arm != DENSE_ARM}
    if len(ways) > 1 and group.at:
        parts.append(group.at.replace("_", " "))
    return ", ".join(parts)


def _no_better(results: Results, groups: Sequence[_Group]) -> list[str]:
    """Scores that the best answer that ignores the input reaches too."""
    found = []
    for task in dict.fromkeys(group.task for group in groups):
        sign = -1.0 if lower_is_better(results.scores.metric[task]) else 1.0
        low = [
            group
            for group in groups
            if group.task == task
            and group.trivial
            and sign * (group.mean - sum(group.trivial) / len(group.trivial)) <= 1e-9
        ]
        if not low:
            continue
        bound = _span([value for group in low for value in group.trivial], "{:.2f}")
        named = "; ".join(
            f"{_who(group, [g for g in groups if g.task == task])}{group.level} ({group.mean:.2f})"
            for group in low
        )
        note = f"{task}: no better than the best answer that ignores the input ({bound}): {named}."
        if any(group.arm == DENSE_ARM for group in low):
            note += " With such a dense model, recovery and differences to it say nothing."
        found.append(note)
    return found


def _constant(results: Results, groups: Sequence[_Group]) -> list[str]:
    found = []
    for group in groups:
        alike = [text for cell in group.cells if (text := one_answer(results, group.task, cell))]
        if alike:
            said = "; ".join(f"{text} ({alike.count(text)})" for text in dict.fromkeys(alike))
            said = said.removesuffix(f" ({len(alike)})")
            of = f"{len(alike)} of {len(group.cells)} seeds: " if len(group.cells) > 1 else ""
            found.append(f"{_who(group, groups)}{group.level}: {of}{said}.")
        if len(group.values) > 1 and f"{_sd(group.values):.2f}" == "0.00":
            why = (
                "models that answer everything alike have no spread over seeds to show"
                if len(alike) == len(group.values)
                else "its seeds score alike; that is no measure of how seeds spread"
            )
            found.append(f"{_who(group, groups)}{group.level}: ± 0.00: {why}.")
    return found


def one_answer(results: Results, task: str, cell: str) -> str:
    """In which way a finished cell answers every example alike; empty where it does not."""
    metric = results.scores.metric[task]
    split = split_of(results.plan.cells[cell], metric)
    answer = results.scores.examples.only_answer(cell, metric)
    record = results.records[cell]
    checked = record.outputs.get(split) if split else None
    if answer is None and not (checked and (checked.all_equal or checked.one_class)):
        return ""
    text = "one answer to every example"
    if checked and checked.all_equal:
        text = f"the same output for all {checked.rows} evaluated inputs (measured)"
    if answer is None:
        return text
    score, trivial = record.metrics.get(metric), record.trivial.get(metric)
    text += f"; equals always answering {_named(answer, results, cell)}"
    if score is not None:
        text += f" ({score:.2f})"
    if trivial is not None and score is not None and abs(trivial - score) > 1e-9:
        text += f", the best such answer scores {trivial:.2f}"
    return text


def _named(answer: Any, results: Results, cell: str) -> str:
    family = SPECS[results.plan.cells[cell].task.name].family
    if family == "multiple_choice" and isinstance(answer, int):
        return f"the {_ORDINALS[answer] if answer < len(_ORDINALS) else f'{answer + 1}th'} choice"
    if family == "classification":
        return f"class {answer}"
    return "the same text" if family in ("span", "generation") else f"{answer:.4g}"


def _left(results: Results, groups: Sequence[_Group]) -> list[str]:
    """How many weights a component has left, where that is next to none."""
    found: dict[tuple[str, str, int], list[str]] = {}
    for group in groups:
        records = [results.records[cell] for cell in group.cells]
        for component in COMPONENTS:
            counts = [record.sparsity.components.get(component) for record in records]
            known = [count for count in counts if count is not None and count.total]
            if known and max(count.share for count in known) >= _NEARLY_GONE:
                left = _span([count.total - count.zeros for count in known], "{:,}")
                key = (_who(group, groups), component, known[0].total)
                found.setdefault(key, []).append(f"{left}{group.level}")
    notes = []
    for (who, part, total), levels in found.items():
        note = f"{who}: of {total:,} weights of the {part} are left {', '.join(levels)}."
        if part == "head" and any(level.startswith("0 ") for level in levels):
            note += " With 0 the output can't depend on the input (biases are not pruned)."
        notes.append(note)
    return notes


def _empty_tensors(results: Results, groups: Sequence[_Group]) -> list[str]:
    """Tensors that have no weight left: by arm and level, the first few of them."""
    found = []
    for group in groups:
        names = dict.fromkeys(
            name
            for cell in group.cells
            for name, (left, total) in results.records[cell].weights_left.items()
            if total and not left
        )
        if names:
            shown = ", ".join(list(names)[:_SHOWN])
            more = f" and {len(names) - _SHOWN} more tensors" if len(names) > _SHOWN else ""
            found.append(f"{_who(group, groups)}{group.level}: no weight is left of {shown}{more}.")
    return found


def _no_path(results: Results, groups: Sequence[_Group]) -> list[str]:
    """Heads whose every layer has weights left, while no way leads through all of them."""
    found = []
    for group in groups:
        records = [results.records[cell] for cell in group.cells]
        none = sum(
            record.head_paths is not None
            and not record.head_paths[0]
            and record.sparsity.components["head"].share < 1.0
            for record in records
        )
        if none:
            of = f"{none} of {len(records)} seeds: " if len(records) > 1 else ""
            found.append(
                f"{_who(group, groups)}{group.level}: {of}no path of non-zero weights leads "
                "through the head, so the output can't depend on the input."
            )
    return found


def _span(values: Sequence[float], form: str) -> str:
    ends = list(dict.fromkeys(form.format(value) for value in (min(values), max(values))))
    return " to ".join(ends)


def _sd(values: Sequence[float]) -> float:
    return float(pd.Series(values).std())
