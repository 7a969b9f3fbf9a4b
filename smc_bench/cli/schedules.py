"""``smc-bench schedules``: draw sparsity and learning rate over training, without any training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from smc_bench.cli.common import Session, suite_command
from smc_bench.cli.report import columns_option, end, folder_of

if TYPE_CHECKING:
    from smc_bench.report.figures.looks import Width


@click.command("schedules")
@suite_command
@columns_option
def command(session: Session, columns: Width) -> None:
    """Draw sparsity and learning rate over training of each arm."""
    from smc_bench.report.figures import schedules
    from smc_bench.report.outputs import Written

    plan = session.plan()
    written = Written()
    written.files(folder_of(session, plan), schedules.makers(plan, columns=columns))
    end(written)
