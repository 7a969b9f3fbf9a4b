"""A finished cell made by hand, for tests of what is exported."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from click.testing import CliRunner
from transformers import (
    AutoModelForMultipleChoice,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
)

from smc_bench.cli.main import cli
from smc_bench.dispatch.inputs.pins import SourcePins
from smc_bench.engine.pruning.masks import apply_masks, update_masks
from smc_bench.models.components import component_map
from smc_bench.models.load import load_model, load_tokenizer
from smc_bench.sources import Lock, Roots
from smc_bench.store.store import CellFolder, Store
from smc_bench.suite.expand import Entry, expand
from smc_bench.suite.load import load_suite
from smc_bench.tasks.registry import get_task
from tests.helpers.records import suite_file as made_up_suite
from tests.helpers.records import write_cell

FIXTURES = Path(__file__).parents[1] / "fixtures"
AUTO = {
    "sst2": AutoModelForSequenceClassification,
    "squad": AutoModelForQuestionAnswering,
    "commonsense_qa": AutoModelForMultipleChoice,
}


@dataclass
class Finished:
    """A finished pruned cell of one task, and the model whose weights it holds."""

    store: Store
    entry: Entry
    model: Any

    @property
    def folder(self) -> CellFolder:
        return self.store.folder(self.entry.cell.folder)

    def change(self, **changes: Any) -> None:
        path = self.folder.path / "record.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    def save(self) -> None:
        """Write the model's weights, and their hash into the record."""
        weights = self.folder.path / "weights"
        self.model.save_pretrained(weights)
        digest = hashlib.sha256((weights / "model.safetensors").read_bytes()).hexdigest()
        self.change(weights_sha256=digest)

    def export(self, *words: object, code: int = 0) -> str:
        start = ["export", self.entry.cell.id, "--results", str(self.store.root)]
        done = CliRunner().invoke(cli, [*start, *map(str, words)])
        assert done.exit_code == code, done.output
        return done.output


def finished_cell(
    folder: Path, tiny_model: Path, task: str, *, model_folder: Path | None = None
) -> Finished:
    """A cell of a task whose model (or the tiny one) has lost 80 % of its encoder's weights."""
    start = model_folder or tiny_model
    store = Store(folder / "results")
    suite = made_up_suite(
        folder,
        tasks=f"{{name: {task}, max_length: 32}}",
        model=str(start),
        seeds="1",
        more="recipe: {evaluation: {rows: 5}}",
    )
    lock = Lock.load(store.root / "lock.json")
    pins = SourcePins(Roots(FIXTURES, folder / "cache", True), lock, network=False)
    plan = expand(load_suite(suite), pins)
    for entry in plan.entries:
        write_cell(store, entry, [1.0, 0.0], examples=False)
    entry = next(entry for entry in plan.entries if entry.arm == "good")
    cell = Finished(store, entry, _pruned(start, task))
    cell.change(rows={"train": 48, "validation": 5})
    cell.save()
    load_tokenizer(start).save_pretrained(cell.folder.path / "weights")
    return cell


def _pruned(folder: Path, task: str) -> Any:
    implementation = get_task(task)
    model = load_model(folder, implementation.head, implementation.spec.labels, seed=1).eval()
    parameters = dict(model.named_parameters())
    names = component_map(model).in_scope(["encoder"])
    saliency = {name: parameters[name].detach().abs() for name in names}
    everything = {name: torch.ones_like(s, dtype=torch.bool) for name, s in saliency.items()}
    apply_masks(parameters, update_masks(saliency, everything, 0.8))
    return model


def batch(task: str) -> dict[str, torch.Tensor]:
    ids = torch.randint(4, 20, (3, 9), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    mask[0, 5:] = 0
    found = {"input_ids": ids, "attention_mask": mask}
    if task != "commonsense_qa":
        return found
    return {name: value[:, None].repeat(1, 5, 1) for name, value in found.items()}


def outputs(model: Any, inputs: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    with torch.no_grad():
        found = model.eval()(**inputs)
    return [value for name, value in found.items() if "logits" in name]
