"""``smc-bench measure``: parameters, MACs, packed size and latency of a finished cell."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from smc_bench.cli.common import include_option, results_option, say
from smc_bench.cli.output import echo
from smc_bench.dispatch.local.capacity import usable_cores
from smc_bench.environment import asked_threads, computing
from smc_bench.plugins import load_plugins
from smc_bench.store.store import Store

if TYPE_CHECKING:
    from smc_bench.export.engines import EngineName

ENGINES = ("torch", "onnxruntime", "openvino")


def _several(each: Any) -> Callable[[click.Context, click.Parameter, str], tuple[Any, ...]]:
    """Reads words between commas, each of one type, none twice."""

    def parse(ctx: click.Context, param: click.Parameter, value: str) -> tuple[Any, ...]:
        words = (word.strip() for word in value.split(","))
        return tuple(dict.fromkeys(each.convert(word, param, ctx) for word in words))

    return parse


@click.command("measure")
@click.argument("cell_ids", nargs=-1, required=True, metavar="CELL_ID...")
@results_option
@click.option(
    "--engine",
    "engines",
    callback=_several(click.Choice(ENGINES)),
    default="torch",
    show_default=True,
    help="Engines, with commas: torch, onnxruntime, openvino (extra: smc-bench[inference]).",
)
@click.option(
    "--batch",
    "batches",
    callback=_several(click.IntRange(min=1, max=4096)),
    default="1,32",
    show_default=True,
    help="Sequences of a batch, with commas.",
)
@click.option("--length", type=click.IntRange(min=4), default=128, show_default=True)
@click.option("--threads", type=click.IntRange(min=1), help="Threads of an engine (all cores).")
@click.option("--rounds", type=click.IntRange(min=1), default=7, show_default=True)
@click.option(
    "--zeros", is_flag=True, help="Run removed units as zeros instead of leaving them out."
)
@include_option
def command(
    cell_ids: tuple[str, ...],
    results: Path,
    engines: tuple[EngineName, ...],
    batches: tuple[int, ...],
    length: int,
    threads: int | None,
    rounds: int,
    zeros: bool,
    include: tuple[Path, ...],
) -> None:
    """Measure finished cells on this machine, each beside its architecture with nothing removed.

    Kept beside the record; shown by smc-bench table --measured.
    """
    load_plugins(include)
    threads = threads or asked_threads(os.environ) or usable_cores()
    store = Store(results)
    with computing():
        from smc_bench.export.folder import finished_cell
        from smc_bench.export.measure import Asked, measure_cell

        asked = Asked(engines, batches, length, threads, rounds, shrunk=not zeros)
        chosen = [finished_cell(store, cell_id) for cell_id in cell_ids]
        store.check_writable()  # before minutes are spent on what could not be kept
        for folder, record, cell in chosen:
            say(folder.path.name)
            echo(measure_cell(folder, record, cell, asked, say))
