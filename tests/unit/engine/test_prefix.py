"""Beginnings that cells share: what they follow from, and that they are the same to the bit."""

from __future__ import annotations

import errno
import itertools
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from smc_bench.engine.loss.distributed import ALONE
from smc_bench.engine.prefix import prefix_content, prefix_steps
from smc_bench.engine.recipe import Recipe
from smc_bench.engine.run import _CellRun
from smc_bench.engine.schedules.learning_rate import learning_rate
from smc_bench.engine.schedules.sparsity import Timeline, build_timeline
from smc_bench.errors import Interrupted
from tests.helpers.engine import MemoryContext, recipe, tiny_classifier, trainer

ROWS = 320
RATES: list[dict[str, Any]] = [
    {"kind": kind, "peak": peak, **floor, "warmup": warmup}
    for kind, floors in {
        "constant": [{}],
        "linear": [{"floor": 0.0}, {"floor": 1e-3}],
        "rewind": [{"floor": 1e-3}, {"floor": 1e-3, "period": "3it"}],
    }.items()
    for floor in floors
    for peak in (1e-2, 2e-2)
    for warmup in ("0it", "4it")
]
SCHEDULES: list[tuple[dict[str, Any], str]] = [
    ({"kind": "scaled", "initial": 0.7, "removes": 0.3, "start": "1ep", "cycle": "1ep"}, "scaled"),
    ({"kind": "scaled", "initial": 0.5, "removes": 0.3, "start": "1ep", "cycle": "2ep"}, "scaled"),
    ({"kind": "one_shot", "at": "1ep"}, "3ep"),
    ({"kind": "one_shot", "at": "1ep"}, "4ep"),
    ({"kind": "rounds", "round": "1ep"}, "scaled"),
]


def cases() -> list[tuple[Recipe, Timeline]]:
    found = []
    for (schedule, length), rates, target in itertools.product(SCHEDULES, RATES, (0.6, 0.9)):
        made = recipe(
            sparsity_schedule=schedule,
            lr_schedule=rates,
            train={"duration": length, "batch": 32, "clip": None, "dropout": 0.0},
        )
        found.append((made, build_timeline(made, target, ROWS)))
    return found


def test_beginnings_are_alike_just_where_all_their_rates_are() -> None:
    """Against the rates themselves, over many schedules that first prune at step 10."""
    by_content: dict[str, set[tuple[float, ...]]] = {}
    for made, timeline in cases():
        assert prefix_steps(made, timeline) == 10
        content = json.dumps(prefix_content(made, timeline), sort_keys=True)
        rates = tuple(learning_rate(made, timeline, step) for step in range(10))
        by_content.setdefault(content, set()).add(rates)
    assert all(len(rates) == 1 for rates in by_content.values())
    assert (
        10 < len(by_content) < len(cases()) / 2
    )  # a content of its own for each would say nothing


@pytest.mark.parametrize(
    "changes",
    [
        {"scorer": "movement"},
        {"regrowth": {"every": "1it"}},
        {"sparsity_schedule": {"kind": "one_shot", "at": "0it"}},
        {"sparsity_schedule": None},
    ],
)
def test_what_acts_from_the_first_step_on_is_not_shared(changes: dict[str, Any]) -> None:
    base = {"sparsity_schedule": {"kind": "one_shot", "at": "3it"}}
    plain, other = recipe(**base), recipe(**(base | changes))
    assert prefix_steps(plain, build_timeline(plain, 0.5, 24)) == 3
    assert prefix_steps(other, build_timeline(other, 0.5, 24)) == 0
    assert prefix_steps(plain, build_timeline(plain, 0.5, 24), limit=3) == 0


def test_a_cell_goes_on_from_anothers_beginning_as_from_its_own(tmp_path: Path) -> None:
    dropout = {"duration": "6it", "batch": 8, "clip": None, "dropout": 0.1}
    base = {"sparsity_schedule": {"kind": "one_shot", "at": "3it"}, "train": dropout}
    one, two = recipe(**base), recipe(**base, scope=["encoder", "embeddings"])
    beginning = tmp_path / "beginning"
    beginning.mkdir()
    first = trainer(tiny_classifier(dropout=0.1), one, 0.5, MemoryContext(tmp_path / "1"))
    first.reach(3)
    first.write(beginning)
    straight = trainer(tiny_classifier(dropout=0.1), two, 0.8, MemoryContext(tmp_path / "2"))
    straight.run()

    # It is stopped on the way, too: the reused steps are not forgotten.
    stopped = trainer(tiny_classifier(dropout=0.1), two, 0.8, MemoryContext(tmp_path / "3", 5))
    stopped.take(beginning)
    with pytest.raises(Interrupted):
        stopped.run()
    found = trainer(tiny_classifier(dropout=0.1), two, 0.8, MemoryContext(tmp_path / "3"))
    found.run()

    assert (first.reused, straight.reused, found.reused) == (0, 0, 3)
    for name, tensor in straight.raw.state_dict().items():
        assert torch.equal(tensor, found.raw.state_dict()[name]), name


class FullDisk(MemoryContext):
    """Where a beginning can't be kept once it is trained."""

    def shares_prefix(self) -> bool:
        return True

    def shared(self, kind: str, split: str, key: Any, make: Any) -> Path:
        folder = self.folder / kind
        folder.mkdir(parents=True)
        make(folder)
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_beginning_that_can_not_be_kept_costs_its_own_cell_nothing(tmp_path: Path) -> None:
    made = recipe(sparsity_schedule={"kind": "one_shot", "at": "3it"})
    straight = trainer(tiny_classifier(), made, 0.5, MemoryContext(tmp_path / "1"))
    straight.run()
    context = FullDisk(tmp_path / "2")
    found = trainer(tiny_classifier(), made, 0.5, context)
    run: Any = SimpleNamespace(
        recipe=made,
        cell=SimpleNamespace(limit=None, task=SimpleNamespace(train_split="train")),
        processes=ALONE,
        context=context,
        inputs=SimpleNamespace(prefix_key=lambda content, micro_batch: content),
    )
    _CellRun._share_prefix(run, found, found.timeline)
    assert (found.step, found.reused) == (3, 0)
    found.run()
    for name, tensor in straight.raw.state_dict().items():
        assert torch.equal(tensor, found.raw.state_dict()[name]), name


def test_what_was_begun_under_other_conditions_is_not_passed_on(tmp_path: Path) -> None:
    """A retry with half the micro-batch goes on from a checkpoint that the old one made."""
    made = recipe(sparsity_schedule={"kind": "one_shot", "at": "4it"})
    first = trainer(tiny_classifier(), made, 0.5, MemoryContext(tmp_path, 2))
    assert first.begins_as("micro-batch 8")
    with pytest.raises(Interrupted):
        first.run()
    again = trainer(tiny_classifier(), made, 0.5, MemoryContext(tmp_path))
    assert again.step == 2
    assert not again.begins_as("micro-batch 4")
    assert again.begins_as("micro-batch 8")
