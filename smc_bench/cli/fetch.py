"""``smc-bench fetch``: data and weights of a suite, pinned, so that it runs offline afterwards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from smc_bench.cli.common import Session, say, suite_command
from smc_bench.dispatch.inputs.bundle import write_bundle
from smc_bench.dispatch.inputs.checks import Inputs, check_inputs
from smc_bench.dispatch.inputs.pins import SourcePins
from smc_bench.dispatch.inputs.reachable import check_units
from smc_bench.sources import rows, weights
from smc_bench.suite.expand import task_settings


def fetch_inputs(session: Session, tell: Callable[[str], None] = lambda text: None) -> None:
    """Bring weights and rows of a suite to this machine, and see that they can be used.

    Raises:
        MissingDataError: If something is nowhere to be had.
        CorruptDataError: If something is not what its pin says, or a row is not one of the task's.
        ModelError: If the model is damaged, or not what its configuration says.
        SuiteError: If the units of a recipe's structure can't come to a sparsity of the suite, or
            to a speed by a table of latencies that is there.
    """
    suite, lock = session.load().suite, session.lock()
    reference = weights.ModelRef.parse(suite.model)
    pin = weights.fetch(reference, session.roots, lock)
    tell(f"model {suite.model_name}: {pin.identity}")
    tasks = []
    for entry in suite.tasks:
        spec, task = task_settings(entry)
        pins = {}
        for split in dict.fromkeys((task.train_split, *task.eval_splits)):
            pins[split] = rows.fetch(spec, task.config, split, session.roots, lock)
            tell(f"{spec.name}/{task.config}/{split}: {pins[split].identity}")
        tasks.append((spec, task, pins))
    folder = weights.folder(reference, pin, session.roots)
    check_inputs(Inputs(folder, pin, session.roots), tasks, say)
    check_units(session.load(), folder, SourcePins(session.roots, lock, network=False))


@click.command("fetch")
@suite_command
@click.option(
    "--bundle",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also pack data, model and lock into a tar file for a site without network.",
)
def command(session: Session, bundle: Path | None) -> None:
    """Fetch and pin everything that a suite reads."""
    session.store.check_writable()
    fetch_inputs(session, say)
    if bundle is not None:
        members = write_bundle(bundle, session.load().suite, session.roots, session.lock())
        say(f"{bundle}: {len(members)} files; README.txt in it says how to run from it")
