from __future__ import annotations

from dataclasses import replace

import pytest

from smc_bench.dispatch.backend import CellState
from smc_bench.dispatch.choice import Choice, choose
from smc_bench.dispatch.slurm.options import SlurmOptions, merged
from smc_bench.dispatch.slurm.plan import Batch, batches, cut
from smc_bench.suite.cell import Cell
from smc_bench.suite.expand import Plan
from smc_bench.suite.slurm_section import SlurmSection


@pytest.fixture
def cells(plan: Plan) -> dict[str, Cell]:
    """One teacher, five that need it, five that do not."""
    teacher, free, bound = plan.cells.values()
    assert bound.teacher == teacher.id
    assert free.teacher is None
    many = [teacher]
    for seed in range(10, 15):
        # Validated anew: a copy would keep the identity of what it was copied from.
        many += [Cell.model_validate({**c.model_dump(), "seed": seed}) for c in (free, bound)]
    return {cell.id: cell for cell in many}


@pytest.fixture
def options(plan: Plan, cells: dict[str, Cell]) -> SlurmOptions:
    one = next(iter(merged(plan, SlurmSection(), SlurmSection()).settings.values()))
    return SlurmOptions(dict.fromkeys(cells, one), None, None)


def arranged(
    cells: dict[str, Cell], options: SlurmOptions, words: dict[str, str], max_array: int = 100
) -> list[Batch]:
    states = {key: CellState(words.get(key, "missing")) for key in cells}
    choice = choose(cells, states, set())
    return batches(choice, states, options, dict.fromkeys(cells, 100), max_array)


def sizes(found: list[Batch]) -> list[tuple[bool, bool, int]]:
    return [(batch.teacher, batch.after is not None, len(batch.jobs)) for batch in found]


def test_teacher_alone_and_its_students_after_it(
    cells: dict[str, Cell], options: SlurmOptions
) -> None:
    found = arranged(cells, options, {})
    assert sizes(found) == [(True, False, 1), (False, False, 5), (False, True, 5)]
    assert found[2].after == found[0].jobs[0][0].id


def test_done_teacher_needs_no_dependency_and_shares_an_array(
    cells: dict[str, Cell], options: SlurmOptions
) -> None:
    found = arranged(cells, options, {next(iter(cells)): "done"})
    assert sizes(found) == [(False, False, 10)]


def test_resources_part_arrays(cells: dict[str, Cell], options: SlurmOptions) -> None:
    key = list(cells)[1]
    options.settings[key] = replace(options.settings[key], megabytes=9000)
    found = arranged(cells, options, {})
    assert sorted(len(batch.jobs) for batch in found) == [1, 1, 4, 5]


def test_arrays_are_cut_at_the_sites_size(cells: dict[str, Cell], options: SlurmOptions) -> None:
    found = arranged(cells, options, {}, max_array=2)
    assert [len(batch.jobs) for batch in found] == [1, 2, 2, 1, 2, 2, 1]
    submitted = [cell.id for batch in found for job in batch.jobs for cell in job]
    assert sorted(submitted) == sorted(cells)


def test_short_cells_share_a_job_but_never_with_a_teacher(
    cells: dict[str, Cell], options: SlurmOptions
) -> None:
    found = arranged(cells, replace(options, pack_steps=250), {})
    assert [[len(job) for job in batch.jobs] for batch in found] == [[1], [2, 2, 1], [2, 2, 1]]


def test_failed_teacher_blocks_only_its_students(cells: dict[str, Cell]) -> None:
    teacher = next(iter(cells))
    states = {key: CellState("failed" if key == teacher else "missing") for key in cells}
    choice = choose(cells, states, set())
    assert list(choice.failed) == [teacher]
    assert set(choice.blocked) == {key for key, cell in cells.items() if cell.teacher}
    assert len(choice.needed) == 5
    again = choose(cells, states, {teacher})
    assert again == Choice(needed=list(cells.values()))


def test_cells_in_the_queue_are_left_alone(cells: dict[str, Cell]) -> None:
    states = {key: CellState("pending", job="7") for key in cells}
    assert choose(cells, states, set()) == Choice()


def test_cut_keeps_teachers_first_and_counts_what_stays_out(
    cells: dict[str, Cell], options: SlurmOptions
) -> None:
    found = arranged(cells, options, {})
    kept, out = cut(found, 3)
    assert (sizes(kept), out) == ([(True, False, 1), (False, False, 2)], 8)
    assert cut(found, None) == (found, 0)
    assert cut(found, 0) == ([], 11)
