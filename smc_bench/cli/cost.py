"""``smc-bench cost``: what embeddings, encoder, pooler and head of a model cost."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from smc_bench.cli import complete
from smc_bench.cli.common import format_option, print_json
from smc_bench.cli.formats import Form, print_rows
from smc_bench.cli.output import echo
from smc_bench.errors import SuiteError
from smc_bench.report.escape import markdown
from smc_bench.sources import Lock, Roots
from smc_bench.sources.weights import ModelRef, folder, resolve
from smc_bench.suite.yaml_file import nearest
from smc_bench.tasks.specs import SPECS

# The models and tasks that arXiv 2312.13547 is about.
DEFAULTS = (
    ("google-bert/bert-base-uncased", "squad"),
    ("google-bert/bert-base-uncased", "mnli"),
    ("FacebookAI/roberta-large", "commonsense_qa"),
)


@click.command("cost")
@click.option(
    "--model", help="minilm-l6, google-bert/bert-base-uncased, a folder, … (as in suites)."
)
@click.option(
    "--task",
    shell_complete=complete.tasks,
    help="Task whose head and length are taken (with --model).",
)
@click.option("--length", type=click.IntRange(min=8), help="Tokens of a sequence.")
@click.option("--time", "timed", is_flag=True, help="Also measure it, with random weights.")
@click.option("--device", default="cpu", show_default=True, help="Where to measure.")
@click.option("--batch", type=click.IntRange(min=1), default=8, show_default=True)
@click.option("--repeats", type=click.IntRange(min=1), default=10, show_default=True)
@click.option("--threads", type=click.IntRange(min=1), help="Threads of --time on the CPU.")
@format_option
def command(
    model: str | None,
    task: str | None,
    length: int | None,
    timed: bool,
    device: str,
    batch: int,
    repeats: int,
    threads: int | None,
    form: Form | None,
) -> None:
    """Show parameters, FLOPs and time by component (table1), without any weights."""
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    chosen = [(model, task or "squad")] if model else [(m, task or t) for m, t in DEFAULTS]
    timing = (device, batch, repeats) if timed else None
    content = [_row(*pair, length, timing) for pair in dict.fromkeys(chosen)]
    if form == "json":
        print_json(content)
        return
    if form not in (None, "md"):
        print_rows([_flat(row, part) for row in content for part in row["components"]], form)
        return
    echo("# What each component costs\n")
    for row in content:
        echo(_markdown(row))
    echo("- FLOPs are matrix products of one sequence, a multiply-add counted as two.")
    echo("- Prunable: weights that a scope with this component may prune.")
    echo("- Pruning saves FLOPs only where there are any: a look-up costs none.")
    if timed:
        echo(f"- Time: median of {repeats} batches of {batch} on {device}, random weights.")


def _row(
    model: str, task: str, length: int | None, timing: tuple[str, int, int] | None
) -> dict[str, Any]:
    from smc_bench.models.cost import component_costs

    if task not in SPECS:
        raise SuiteError(f"--task {task}: unknown task{nearest(task, sorted(SPECS))}")
    spec = SPECS[task]
    tokens = length or spec.max_length
    costs = component_costs(_known(model), spec.family, spec.labels, tokens, timing)
    parts = {part: asdict(cost) for part, cost in costs.items()}
    return {"model": model, "task": task, "length": tokens, "components": parts}


def _known(model: str) -> str:
    """The folder of a fetched model, where the name alone says nothing of its size."""
    from smc_bench.models.cost import CONFIGS

    if model in CONFIGS:
        return model
    ref, roots = ModelRef.parse(model), Roots.from_environment(offline=True)
    pin = resolve(ref, roots, Lock.load(Path("results") / "lock.json"), network=False)
    return model if pin is None else str(folder(ref, pin, roots))


def _flat(row: dict[str, Any], part: str) -> dict[str, Any]:
    head = {key: row[key] for key in ("model", "task", "length")}
    return {**head, "component": part, **row["components"][part]}


def _markdown(row: dict[str, Any]) -> str:
    parts: dict[str, dict[str, Any]] = row["components"]
    total = {
        key: sum(cost[key] or 0 for cost in parts.values())
        for key in ("parameters", "prunable", "flops", "milliseconds")
    }
    timed = any(cost["milliseconds"] is not None for cost in parts.values())
    columns = ["component", "parameters", "%", "prunable", "GFLOPs", "%"]
    columns += ["ms", "%"] if timed else []
    lines = [
        f"**{markdown(row['model'])}**, head of {row['task']}, {row['length']} tokens\n",
        f"| {' | '.join(columns)} |",
        "|" + "|".join([":---", *["---:"] * (len(columns) - 1)]) + "|",
    ]
    for name, cost in [*parts.items(), ("all", total)]:
        cells = [name, f"{cost['parameters']:,}", _share(cost, total, "parameters")]
        cells += [f"{cost['prunable']:,}", f"{cost['flops'] / 1e9:.4f}"]
        cells += [_share(cost, total, "flops")]
        if timed:
            cells += [f"{cost['milliseconds']:.3f}", _share(cost, total, "milliseconds")]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _share(cost: dict[str, Any], total: dict[str, Any], key: str) -> str:
    return f"{100.0 * (cost[key] or 0) / total[key]:.3f}"
