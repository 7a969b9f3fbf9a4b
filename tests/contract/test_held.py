"""What no change of layout may move: cell ids of shipped suites, and a trained cell's bits."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from smc_bench.store.provenance import processor, processor_flags
from smc_bench.suite.expand import expand
from smc_bench.suite.load import load_suite
from tests.contract.test_shipped import FOLDER
from tests.helpers.engine import recipe, trained
from tests.helpers.pins import NoPins

HELD = json.loads((Path(__file__).parents[1] / "fixtures" / "held.json").read_text())
SHAPES: dict[str, dict[str, Any]] = {
    "gmp": {"scorer": "magnitude"},
    "obert": {"scorer": "obert", "scorer_options": {"gradients": 8}},
    "movement": {"scorer": "movement", "scorer_options": {"score_lr": 0.05, "reselect": 1}},
    "rigl": {
        "scorer": "random",
        "regrowth": {"every": "1it"},
        "sparsity_schedule": {"kind": "one_shot", "at": "0it"},
    },
}


@pytest.mark.parametrize("place", sorted(HELD["ids"]))
def test_ids_stay(place: str) -> None:
    name, profile, index = place.split(":")
    plan = expand(load_suite(FOLDER / f"{name}.yaml", profile), NoPins())
    assert plan.entries[int(index)].cell.id == HELD["ids"][place]


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_weights_stay(name: str, tmp_path: Path) -> None:
    machine = this_machine()
    if machine not in HELD["weights"]:
        pytest.skip(f"no weights are held of this processor and torch ({machine})")
    assert weights(name, tmp_path) == HELD["weights"][machine][name]


def this_machine() -> str:
    """What the bits hang on: processor, its instruction sets, and torch."""
    flags = hashlib.sha256(" ".join(sorted(processor_flags())).encode()).hexdigest()[:8]
    return f"{processor()} with flags {flags}, torch {torch.__version__}"


def weights(name: str, folder: Path) -> str:
    """SHA-256 of all weights of a tiny classifier, pruned in five events."""
    ramp = {"kind": "ramp", "start": "2it", "end": "6it", "every": "1it"}
    common = {
        "sparsity_schedule": ramp,
        "train": {"duration": "8it", "batch": 8, "dropout": 0.1},
    }
    settings = recipe(**common | SHAPES[name])
    digest = hashlib.sha256()
    for key, value in sorted(trained(settings, 0.7, folder).raw.state_dict().items()):
        digest.update(key.encode() + value.contiguous().numpy().tobytes())
    return digest.hexdigest()
