"""``smc-bench schedules``: draw sparsity and learning rate over training, without any training."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from smc_bench.cli.common import Session, only_option, suite_command
from smc_bench.cli.report import columns_option, end, folder_of

if TYPE_CHECKING:
    from smc_bench.report.figures.looks import Width


@click.command("schedules")
@suite_command
@only_option
@columns_option
def command(session: Session, only: tuple[str, ...], columns: Width) -> None:
    """Draw sparsity and learning rate over training of each arm."""
    from smc_bench.report.figures import schedules
    from smc_bench.report.outputs import Written

    session = replace(session, only=only)
    plan = session.plan()
    written = Written()
    written.files(folder_of(session, plan), schedules.makers(plan, columns=columns))
    end(written)
