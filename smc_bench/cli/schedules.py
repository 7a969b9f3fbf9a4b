"""``smc-bench schedules``: draw sparsity and learning rate over training, without any training."""

from __future__ import annotations

import click

from smc_bench.cli.common import Session, suite_command
from smc_bench.cli.report import end, folder_of


@click.command("schedules")
@suite_command
def command(session: Session) -> None:
    """Draw sparsity and learning rate over training of each arm."""
    from smc_bench.report.figures import schedules
    from smc_bench.report.outputs import Written

    plan = session.plan()
    written = Written()
    written.files(folder_of(session, plan), schedules.makers(plan))
    end(written)
