"""What reading verbs say of cells that are not found: which stored ones are almost they."""

from __future__ import annotations

from smc_bench.cli.output import say
from smc_bench.cli.session import Session
from smc_bench.store.nearly import nearly, summary
from smc_bench.suite.expand import Plan


def missing_lines(session: Session, plan: Plan) -> list[str]:
    """Why cells of a plan are not found, where something like them is stored, or none is."""
    return summary(session.store, nearly(session.store, plan.cells.values()))


def tell_missing(session: Session, plan: Plan) -> list[str]:
    """The same on standard error, beside a table or a plot."""
    lines = missing_lines(session, plan)
    for line in lines:
        say(line)
    return lines
