"""``smc-bench fetch``: data and weights of a suite, pinned, so that it runs offline afterwards."""

from __future__ import annotations

from pathlib import Path

import click

from smc_bench.cli.common import Session, say, suite_command
from smc_bench.dispatch.bundle import write_bundle
from smc_bench.sources import rows, weights
from smc_bench.suite.expand import task_settings


@click.command("fetch")
@suite_command
@click.option(
    "--bundle",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also pack data, model and lock into a tar file for a site without network.",
)
def command(session: Session, bundle: Path | None) -> None:
    """Fetch and pin everything that a suite reads."""
    suite, lock = session.load().suite, session.lock()
    session.store.check_writable()
    reference = weights.ModelRef.parse(suite.model)
    pin = weights.fetch(reference, session.roots, lock)
    say(f"model {suite.model}: {pin.identity}")
    for entry in suite.tasks:
        spec, task = task_settings(entry)
        for split in dict.fromkeys((task.train_split, *task.eval_splits)):
            found = rows.fetch(spec, task.config, split, session.roots, lock)
            say(f"{spec.name}/{task.config}/{split}: {found.identity}")
    if bundle is not None:
        members = write_bundle(bundle, suite, session.roots, lock)
        say(f"{bundle}: {len(members)} files; README.txt in it says how to run from it")
