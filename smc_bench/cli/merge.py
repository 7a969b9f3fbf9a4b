"""``smc-bench merge``: finished cells of other machines, brought into one results folder."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import click

from smc_bench.cli.common import include_option, json_option, print_json, say
from smc_bench.cli.options import one_results_option
from smc_bench.cli.output import echo
from smc_bench.errors import FullDiskError, SmcBenchError
from smc_bench.plugins import load_plugins
from smc_bench.store.merge import Outcome, merge
from smc_bench.store.runs import bring
from smc_bench.store.store import Store


@click.command("merge")
@click.argument(
    "others", nargs=-1, required=True, metavar="OTHER...", type=click.Path(path_type=Path)
)
@one_results_option("Results folder that takes them in.")
@click.option("--weights", is_flag=True, help="Bring weights too, for teachers and for export.")
@include_option
@json_option
def command(
    others: tuple[Path, ...],
    results: Path,
    weights: bool,
    include: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Bring in finished cells of results folders, folders of small records, or tars of them.

    Each is checked (id, ranges, hashes) before it appears; nothing that is there is overwritten.
    The runs that a results folder knows come along, so that status and table find the cells.
    Leaves with code 1 where a cell was left out or is there with other metrics.
    """
    from smc_bench.report.statistics.scores import check_scores

    load_plugins(include)
    store, problems = Store(results), list[str]()
    if any(other.exists() for other in others):  # else there is nothing to make a folder for
        store.check_writable()
    outcomes: list[Outcome] = []
    for other in others:
        try:
            for outcome in merge(store, other, weights=weights, verify=check_scores):
                outcomes.append(outcome)
                if outcome.why and not as_json:
                    echo(f"{outcome.cell}  {outcome.what}: {outcome.why} ({outcome.source})")
            problems += bring(store.root, other)
        except FullDiskError as error:
            problems.append(str(error))
            break
        except SmcBenchError as error:
            problems.append(str(error))
    for problem in problems:
        say(f"left out: {problem}")
    counts = Counter(outcome.what for outcome in outcomes)
    if as_json:
        cells = [asdict(outcome) for outcome in outcomes]
        print_json({"counts": dict(counts), "cells": cells, "problems": problems})
    else:
        shown = ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
        echo(f"{shown or 'nothing brought in'} ({results})")
        older = sum(outcome.what == "added" and not outcome.hashed for outcome in outcomes)
        if older:
            echo(
                f"without a hash of their own, as an older smc-bench wrote them: {older} of the "
                "added; believed, as nothing in them contradicts the rest"
            )
    if problems or not all(outcome.whole for outcome in outcomes):
        sys.exit(1)
