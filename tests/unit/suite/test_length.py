from __future__ import annotations

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


def test_any_beginning_makes_a_readable_table() -> None:
    order = list(running_order(grid()).values())
    assert [cell.seed for cell in order[:2]] == [1, 5]  # the teacher first
    assert [cell.seed for cell in order[2:]] == [7] * 6 + [3] * 6
    for part in (order[2:8], order[8:]):
        assert [cell.sparsity for cell in part] == [0.5] * 3 + [0.9] * 3


def test_steps_are_cut_by_a_limit() -> None:
    cell = dense(1)
    assert is_dense(cell)
    assert steps_of(cell) == timeline_of(cell).total_steps == 2105  # 67349 rows by 32
    assert steps_of(cell.model_copy(update={"limit": 10})) == 10
