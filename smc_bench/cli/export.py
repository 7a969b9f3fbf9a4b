"""``smc-bench export``: a finished cell as a Hugging Face folder."""

from __future__ import annotations

from pathlib import Path

import click

from smc_bench.cli import complete
from smc_bench.cli.common import include_option, results_option, say
from smc_bench.cli.output import echo
from smc_bench.environment import computing
from smc_bench.plugins import load_plugins
from smc_bench.store.store import Store


@click.command("export")
@click.argument("cell_id", shell_complete=complete.ids)
@results_option
@click.option("--to", type=click.Path(path_type=Path), help="Folder to make (RESULTS/exports/…).")
@click.option("--onnx", is_flag=True, help="Add model.onnx (extra: smc-bench[export]).")
@click.option(
    "--opset",
    type=click.IntRange(min=14),
    help="Version of ONNX's operators; 14 for DeepSparse 1.8 (default: 18).",
)
@click.option(
    "--shrink", is_flag=True, help="Leave removed heads and neurons out: a smaller dense model."
)
@include_option
def command(
    cell_id: str,
    results: Path,
    to: Path | None,
    onnx: bool,
    opset: int | None,
    shrink: bool,
    include: tuple[Path, ...],
) -> None:
    """Write weights, config, tokenizer and model card of a finished cell, for from_pretrained."""
    from smc_bench.export.folder import export_cell

    load_plugins(include)
    store = Store(results)
    with computing():
        onnx = onnx or opset is not None
        folder = export_cell(store, cell_id, to, onnx=onnx, opset=opset or 0, shrink=shrink)
    found = store.by_id(cell_id)
    record = found.record() if found else None
    if record is not None and not record.reportable:
        say("not reportable: training was cut short by --limit; the card says so")
    echo(folder)
