"""``smc-bench temperatures``: draw a finished teacher's answers, softened as the arms would."""

from __future__ import annotations

import click

from smc_bench.cli.common import Session, reading_command, say
from smc_bench.cli.output import echo
from smc_bench.cli.report import end, folder_of
from smc_bench.environment import computing
from smc_bench.errors import SuiteError
from smc_bench.suite.expand import DENSE_ARM, Plan
from smc_bench.tasks.specs import SPECS


@click.command("temperatures")
@reading_command
@click.option(
    "--temperature",
    "temperatures",
    multiple=True,
    type=click.FloatRange(min=0.0, min_open=True, max=1e6),
    help="Instead of those of the suite's arms.",
)
@click.option(
    "--rows",
    type=click.IntRange(min=1),
    default=200,
    show_default=True,
    help="Training rows that are looked at.",
)
def command(session: Session, temperatures: tuple[float, ...], rows: int) -> None:
    """Draw what temperature does to the teacher's distributions (no training)."""
    from smc_bench.dispatch.inputs.teacher import teacher_logits
    from smc_bench.report.figures import temperatures as report
    from smc_bench.report.outputs import Written
    from smc_bench.suite.labels import labels

    plan = session.plan()
    levels = sorted(temperatures or _of_arms(plan))
    if not levels:
        raise SuiteError(f"{session.suite}: no arm distils; name --temperature")
    called = labels(plan)
    # The teacher's seed comes first.
    teachers = {e.cell.task: e.cell for e in reversed(plan.entries) if e.arm == DENSE_ARM}
    written = Written()
    for task, cell in teachers.items():
        if SPECS[task.name].family == "regression":
            say(f"{called[task]}: one output has no distribution to soften; left out")
            continue
        with computing():
            logits = teacher_logits(cell, session.store, session.roots, rows)
        found = report.Softened(called[task], logits)
        echo(found.markdown(levels))
        written.files(folder_of(session, plan), found.makers(levels))
    end(written)


def _of_arms(plan: Plan) -> set[float]:
    recipes = [e.cell.recipe for e in plan.entries]
    return {r.distillation.temperature for r in recipes if r.distillation is not None}
