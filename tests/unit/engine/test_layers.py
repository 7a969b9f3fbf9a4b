"""Weights left by tensor at each event, kept through interruptions and bounded."""

from __future__ import annotations

import gzip
import json
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from smc_bench.engine.pruning.layers import EVENTS, LayerHistory, kept_steps
from tests.helpers.engine import recipe, trained

RAMP = recipe(
    scope=["encoder", "head"],
    sparsity_schedule={"kind": "ramp", "start": "1it", "end": "5it", "every": "1it"},
)


def test_each_event_counts_what_its_masks_leave(tmp_path: Path) -> None:
    run = trained(RAMP, 0.6, tmp_path)
    content = run.layers.content()
    everything = dict(run.raw.named_parameters())
    assert content["tensors"] == {n: everything[n].numel() for n in run.pruner.parameters}
    assert len(content["events"]) == len(run.events) == 4
    total = sum(content["tensors"].values())
    for event, measured in zip(content["events"], run.events, strict=True):
        assert (event["step"], event["target"]) == (measured["step"], measured["target"])
        left = sum(event["left"].values())
        assert left == total - int(total * event["target"] + 0.5)
    last = content["events"][-1]["left"]
    assert last == {n: int(torch.count_nonzero(everything[n])) for n in last}


@pytest.mark.parametrize("stop", [1, 3, 5])
def test_a_resumed_training_tells_the_same(tmp_path: Path, stop: int) -> None:
    whole = trained(RAMP, 0.6, tmp_path / "whole")
    resumed = trained(RAMP, 0.6, tmp_path / "resumed", stop_after=stop)
    for run, name in ((whole, "a"), (resumed, "b")):
        run.layers.write(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert json.loads(gzip.decompress((tmp_path / "a").read_bytes())) == whole.layers.content()


@pytest.mark.parametrize("count", [1, 2, EVENTS - 1, EVENTS, EVENTS + 1, 10_000])
def test_many_events_are_thinned_evenly_with_both_ends(count: int) -> None:
    steps = [7 + 3 * i for i in range(count)]
    kept = sorted(kept_steps(steps))
    assert len(kept) == min(count, EVENTS)
    assert set(kept) <= set(steps)
    assert (kept[0], kept[-1]) == (steps[0], steps[-1])
    gaps = {b - a for a, b in pairwise(kept)}
    assert not gaps or max(gaps) - min(gaps) <= 3


def test_what_is_not_kept_is_not_counted() -> None:
    history = LayerHistory({"w": 2}, range(3 * EVENTS))
    for step in range(3 * EVENTS):
        history.note(step, 0.5, {"w": torch.tensor([True, False])})
    assert len(history.content()["events"]) == EVENTS


def test_nothing_pruned_is_an_empty_history() -> None:
    assert LayerHistory({"w": 2}, []).content() == {"tensors": {"w": 2}, "events": []}
