from __future__ import annotations

from smc_bench.suite.cell import Cell
from smc_bench.suite.length import longest_first, timeline_of
from tests.unit.suite.test_identity import BASE, with_value


def test_dense_first_then_seed_by_seed_the_longest_first() -> None:
    dense = with_value(BASE | {"teacher": None, "sparsity": 0.0}, "recipe.sparsity_schedule", None)
    dense = with_value(dense, "recipe.train.duration", "1ep")
    teacher = Cell.model_validate(with_value(dense, "recipe.distillation", None))
    students = [
        Cell.model_validate(BASE | {"seed": seed, "sparsity": sparsity, "teacher": teacher.id})
        for seed in (7, 3)
        for sparsity in (0.5, 0.9, 0.8)
    ]
    cells = {cell.id: cell for cell in [*students, teacher]}
    order = [(c.seed, c.sparsity) for c in longest_first(cells).values()]
    assert order[0] == (teacher.seed, 0.0)
    assert order[1:] == [(7, 0.9), (7, 0.8), (7, 0.5), (3, 0.9), (3, 0.8), (3, 0.5)]
    assert timeline_of(students[1]).total_steps > timeline_of(students[2]).total_steps
