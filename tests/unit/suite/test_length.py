from __future__ import annotations

import random
from collections.abc import Callable
from itertools import permutations

import pytest

from smc_bench.dispatch.eta.simulate import makespan
from smc_bench.dispatch.local.capacity import Machine
from smc_bench.suite.cell import Cell
from smc_bench.suite.length import is_dense, running_order, steps_of, timeline_of
from tests.unit.suite.test_identity import BASE, with_value

DENSE = with_value(
    with_value(with_value(BASE | {"teacher": None, "sparsity": 0.0}, "recipe.distillation", None),
               "recipe.sparsity_schedule", None),
    "recipe.train.duration", "1ep",
)  # fmt: skip


def dense(seed: int) -> Cell:
    return Cell.model_validate(DENSE | {"seed": seed})


def student(seed: int, sparsity: float, arm: float = 1.0, teacher: str | None = None) -> Cell:
    """Arms differ in their temperature."""
    content = with_value(BASE, "recipe.distillation.temperature", arm)
    content |= {"seed": seed, "sparsity": sparsity, "teacher": teacher or dense(1).id}
    return Cell.model_validate(content)


def grid(
    seeds: tuple[int, ...] = (7, 3), sparsities: tuple[float, ...] = (0.5, 0.9)
) -> dict[str, Cell]:
    """As a suite lists them: an arm's sparsities together, the arms of a seed together."""
    students = [student(s, x, arm) for s in seeds for arm in (1.0, 2.0, 3.0) for x in sparsities]
    return {cell.id: cell for cell in [*students, dense(5), dense(1)]}


def simulated(machine: Machine, lengths: dict[str, float]) -> Callable[[list[Cell]], float]:
    return lambda order: makespan(order, machine, lambda cell, threads: lengths[cell.id])


def test_any_beginning_makes_a_readable_table() -> None:
    order = list(running_order(grid()).values())
    assert [cell.seed for cell in order[:2]] == [1, 5]  # the teacher first
    assert [cell.seed for cell in order[2:]] == [7] * 6 + [3] * 6
    for part in (order[2:8], order[8:]):
        assert [cell.sparsity for cell in part] == [0.5] * 3 + [0.9] * 3


@pytest.mark.parametrize("jobs", [1, 2, 3])
def test_whatever_cells_take_only_the_last_seed_leaves_the_readable_order(jobs: int) -> None:
    cells, machine = grid(), Machine(jobs, jobs)
    readable = list(running_order(cells).values())
    chance = random.Random(jobs)
    for _ in range(30):
        lengths = {key: chance.uniform(1.0, 100.0) for key in cells}
        whole = simulated(machine, lengths)
        order = list(running_order(cells, whole).values())
        assert order[:8] == readable[:8]
        assert {cell.id for cell in order} == set(cells)
        assert whole(order) <= whole(readable)
        if jobs == 1:
            assert order == readable  # nothing to gain


def test_the_longest_go_first_where_that_shortens_the_whole() -> None:
    cells = {c.id: c for c in (student(1, x) for x in (0.5, 0.6, 0.7, 0.8, 0.9))}
    lengths = {key: 4.0 if cell.sparsity == 0.9 else 1.0 for key, cell in cells.items()}
    whole = simulated(Machine(2, 2), lengths)
    order = list(running_order(cells, whole).values())
    assert whole(list(running_order(cells).values())) == 6.0
    assert whole(order) == 4.0
    assert order[0].sparsity == 0.9


def test_the_simulation_is_within_grahams_bound_of_the_best_order() -> None:
    """Longest first on m machines takes at most 4/3 - 1/(3m) of the optimum (Graham, 1969)."""
    chance = random.Random(0)
    for _ in range(10):
        cells = {c.id: c for c in (student(1, 0.3 + 0.1 * i) for i in range(6))}
        lengths = {key: chance.uniform(1.0, 9.0) for key in cells}
        whole = simulated(Machine(2, 2), lengths)
        best = min(whole(list(p)) for p in permutations(cells.values()))
        halves = sum(lengths.values()) / 2
        assert best >= max(halves, *lengths.values()) - 1e-9
        # A hundredth is given away for a readable order.
        bound = (4 / 3 - 1 / 6) * best / 0.99
        assert whole(list(running_order(cells, whole).values())) <= bound


def test_students_wait_for_their_teacher_in_the_simulation() -> None:
    teacher = dense(1)
    cells = [teacher, student(2, 0.5), student(3, 0.5), dense(9)]
    took = []

    def seconds(cell: Cell, threads: int) -> float:
        took.append((cell.seed, threads))
        return 10.0 / threads

    # The teacher and the other dense cell take a core each, then both students do.
    assert makespan(cells, Machine(2, 2), seconds) == 20.0
    assert took == [(1, 1), (9, 1), (2, 1), (3, 1)]
    took.clear()
    # Alone, the teacher has both cores: 5 s, then two at once.
    assert makespan(cells[:3], Machine(2, 2), seconds) == 15.0
    assert took[0] == (1, 2)


def test_steps_are_cut_by_a_limit() -> None:
    cell = dense(1)
    assert is_dense(cell)
    assert steps_of(cell) == timeline_of(cell).total_steps == 2105  # 67349 rows by 32
    assert steps_of(cell.model_copy(update={"limit": 10})) == 10
