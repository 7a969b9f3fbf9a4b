"""A finished cell made by hand, for tests of what is exported."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import torch
from click.testing import CliRunner

from smc_bench.cli.main import cli
from smc_bench.store.store import CellFolder, Store
from smc_bench.suite.expand import Entry


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

    def export(self, *words: object, code: int = 0) -> str:
        start = ["export", self.entry.cell.id, "--results", str(self.store.root)]
        done = CliRunner().invoke(cli, [*start, *map(str, words)])
        assert done.exit_code == code, done.output
        return done.output


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
