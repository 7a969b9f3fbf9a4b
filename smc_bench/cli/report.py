"""``table``, ``plot`` and ``report``: what the store says of a suite."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from smc_bench.cli.common import Session, json_option, say, suite_command
from smc_bench.suite.expand import Plan

if TYPE_CHECKING:
    from smc_bench.report.looks import Width
    from smc_bench.report.results import Results


def folder_of(session: Session, plan: Plan) -> Path:
    """Where a suite's tables and plots go."""
    return session.store.root / "reports" / plan.loaded.suite.name / plan.loaded.profile


def tell(results: Results) -> None:
    """Say which files can't be believed: their cells are left out."""
    for problem in results.problems:
        say(f"left out: {problem}")


def _end(results: Results) -> None:
    """Say so, after all that is good is printed and written, and leave with exit code 1."""
    tell(results)
    if results.problems:
        raise click.exceptions.Exit(1)


def write_report(session: Session, plan: Plan) -> Results:
    """Write tables, plots, verdicts and comparisons; print them and say where everything is."""
    from smc_bench.report import tables
    from smc_bench.report.results import Results

    results = Results.of(plan, session.store)
    click.echo(tables.markdown(results))
    folder = folder_of(session, plan)
    files = tables.write(results, folder) + _draw(session, results)
    for name, text in (
        ("verdicts.md", _verdicts(session, results)),
        ("against.md", _against_reported(session, results, only_answers=True)),
    ):
        if text:
            click.echo(text)
            files.append(folder / name)
            files[-1].write_text(text, encoding="utf-8")
    say(f"written to {folder}: {', '.join(path.name for path in files)}")
    return results


def _verdicts(session: Session, results: Results) -> str:
    """Verdicts on the claims about this suite; empty where there are none."""
    from smc_bench.report import verdict_text
    from smc_bench.report.verdicts import judge
    from smc_bench.suite.claims import claims_beside, load_claims

    path = claims_beside(session.suite)
    verdicts = judge(load_claims(path), results) if path else []
    return verdict_text.markdown(results, verdicts) if verdicts else ""


@click.command("table")
@suite_command
@json_option
@click.option("--metric", help="Another metric than the task's primary one.")
@click.option("--recovery", is_flag=True, help="Add the percentage of the dense score.")
@click.option("--against", type=click.Choice(["reported"]), help="Compare with published numbers.")
def table(
    session: Session, as_json: bool, metric: str | None, recovery: bool, against: str | None
) -> None:
    """Print the comparison table of what is finished."""
    from smc_bench.report import tables
    from smc_bench.report.results import Results

    results = Results.of(session.plan(), session.store, metric)
    if as_json:
        click.echo(results.data.to_json(orient="records", indent=1))
    else:
        click.echo(tables.markdown(results, recovery=recovery))
        if against:
            click.echo(_against_reported(session, results))
    _end(results)


def _against_reported(session: Session, results: Results, *, only_answers: bool = False) -> str:
    from smc_bench.report import against_text
    from smc_bench.report.against import against_reported
    from smc_bench.report.methods import read_methods
    from smc_bench.report.reported import read_reported, reported_folders

    folders = reported_folders(session.store.root)
    answers = against_reported(results, read_reported(*folders), read_methods(folders))
    return "" if only_answers and not answers else against_text.markdown(results, answers)


@click.command("plot")
@suite_command
@click.option(
    "--columns",
    type=click.Choice(["one", "two"]),
    default="two",
    show_default=True,
    help="Width on a two-column page.",
)
def plot(session: Session, columns: Width) -> None:
    """Draw accuracy against sparsity and the arms' effects as PNG and PDF."""
    from smc_bench.report.results import Results

    results = Results.of(session.plan(), session.store)
    for path in _draw(session, results, columns):
        click.echo(path)
    _end(results)


def _draw(session: Session, results: Results, columns: Width = "two") -> list[Path]:
    from smc_bench.report import plots
    from smc_bench.report.curves import published_curves
    from smc_bench.report.reported import read_reported, reported_folders

    reported = read_reported(*reported_folders(session.store.root))
    curves = published_curves(results.plan, reported)
    return plots.draw(results, folder_of(session, results.plan), columns=columns, curves=curves)


@click.command("report")
@suite_command
def report(session: Session) -> None:
    """Write tables and plots of what is finished."""
    _end(write_report(session, session.plan()))
