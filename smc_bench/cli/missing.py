"""What reading verbs say of cells that are not found, or that two results folders have."""

from __future__ import annotations

from smc_bench.cli.output import say
from smc_bench.cli.session import Session
from smc_bench.store.joined import conflicts
from smc_bench.store.nearly import nearly, summary
from smc_bench.suite.expand import Plan

_MOST = 5  # cells whose records contradict each other that are named


def missing_lines(session: Session, plan: Plan) -> list[str]:
    """Why cells are not found, by what is stored like them; and which have two results."""
    lines = summary(session.store, nearly(session.store, plan.cells.values()))
    twice = conflicts(session.store, [cell.folder for cell in plan.cells.values()])
    more = len(twice) - _MOST
    return [*lines, *twice[:_MOST], *([f"and {more} cells more"] if more > 0 else [])]


def tell_missing(session: Session, plan: Plan) -> list[str]:
    """The same on standard error, beside a table or a plot."""
    lines = missing_lines(session, plan)
    for line in lines:
        say(line)
    return lines
