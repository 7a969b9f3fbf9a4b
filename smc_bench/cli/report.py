"""``table``, ``plot`` and ``report``: what the store says of a suite."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from smc_bench.cli.common import Session, fail, format_option, print_json, reading_command, say
from smc_bench.cli.formats import Form
from smc_bench.cli.missing import tell_missing
from smc_bench.cli.output import echo
from smc_bench.errors import DamagedError
from smc_bench.names import below
from smc_bench.suite.expand import Plan
from smc_bench.suite.metrics import check_metric

if TYPE_CHECKING:
    import pandas as pd

    from smc_bench.report.data.results import Results
    from smc_bench.report.figures.looks import Width
    from smc_bench.report.outputs import Make, Written


def folder_of(session: Session, plan: Plan) -> Path:
    """Where a suite's tables and plots go: always below the results folder."""
    places = [plan.loaded.suite.name, plan.loaded.profile]
    if session.only:  # beside the whole report, which must not be lost to a part of it
        places.append("only-" + re.sub(r"[^\w.=+-]+", "_", ",".join(session.only))[:100])
    return below(session.store.root / "reports", *places)


def tell(results: Results) -> bool:
    """Say which files can't be believed, whose cells are left out, if some can't."""
    for problem in results.problems:
        say(f"left out: {problem}")
    return bool(results.problems)


def write_report(session: Session, plan: Plan) -> bool:
    """Write tables, plots, verdicts and comparisons; then print them, and where everything is.

    What can't be made, or believed, is named at the end, and costs nothing of the rest.

    Returns:
        Whether all of it was written, of files that can all be believed.
    """
    from smc_bench.cli.page import write_page
    from smc_bench.report.data.results import Results
    from smc_bench.report.outputs import Make, Written
    from smc_bench.report.tables import tables

    results, folder = Results.of(plan, session.store), folder_of(session, plan)
    written, shown, figures = Written(), list[str](), dict[str, Make]()
    written.files(folder, tables.makers(results))
    written.attempt("the table shown here", lambda: shown.append(tables.markdown(results)))
    written.attempt("plots", lambda: figures.update(_figures(session, results, written)))
    written.files(folder, figures)
    texts: dict[str, Callable[[], str]] = {
        "verdicts.md": lambda: _verdicts(session, results),
        "against.md": lambda: _against_reported(session, results, only_answers=True),
        "measured.md": lambda: _measured(session, results, only_answers=True),
    }
    for name, make in texts.items():
        written.attempt(name, partial(_add_text, written, folder / name, make, shown))
    write_page(session, results, folder, written, figures)
    for content in shown:
        echo(content)
    if written.paths:
        say(f"written to {folder}: {', '.join(path.name for path in written.paths)}")
    left_out = tell(results)
    return not tell_failed(written) and not left_out


def _add_text(written: Written, path: Path, make: Callable[[], str], shown: list[str]) -> None:
    from smc_bench.report.outputs import text

    content = make()
    if content:
        shown.append(content)
        written.files(path.parent, {path.name: lambda temporary: text(temporary, content)})


def tell_failed(written: Written) -> bool:
    """Say why files of a report are missing, if some are."""
    for name, reason in written.failed.items():
        say(f"not written: {name}: {reason}")
    return bool(written.failed)


def end(written: Written, results: Results | None = None) -> None:
    """Name the files on standard output; leave with code 1 if one is missing or left out."""
    for path in written.paths:
        echo(path)
    left_out = results is not None and tell(results)
    if tell_failed(written) or left_out:
        sys.exit(1)


def _verdicts(session: Session, results: Results) -> str:
    """Verdicts on the claims about this suite; empty where there are none."""
    from smc_bench.report.claims import text as verdict_text
    from smc_bench.report.claims.verdicts import judge
    from smc_bench.report.data.measured import measurements

    verdicts = judge(session.claims(), results, lambda: measurements(results, session.store))
    return verdict_text.markdown(results, verdicts) if verdicts else ""


@click.command("table")
@reading_command
@format_option
@click.option("--metric", help="Another metric than the task's primary one.")
@click.option("--recovery", is_flag=True, help="Add the percentage of the dense score.")
@click.option("--against", type=click.Choice(["reported"]), help="Compare with published numbers.")
@click.option("--measured", is_flag=True, help="Sizes and times (smc-bench measure) instead.")
def table(
    session: Session,
    form: Form | None,
    metric: str | None,
    recovery: bool,
    against: str | None,
    measured: bool,
) -> None:
    """Print the comparison table of what is finished; exit 1 where nothing is."""
    from smc_bench.report.data.results import Results
    from smc_bench.report.tables.footnotes import footnotes

    plan = session.plan()
    if metric is not None:
        check_metric(plan, metric)
    results = Results.of(plan, session.store, metric)
    notes = tell_missing(session, plan)
    if measured:
        sys.exit(_print_measured(session, results, form, notes))
    if form == "json":
        rows = json.loads(results.data.to_json(orient="records"))
        print_json(rows, plan=plan, notes=[*notes, *footnotes(results)])
    else:
        echo(_table_as(results, form or "md", recovery=recovery).rstrip("\n"))
        if against:
            echo(_against_reported(session, results))
    if tell(results) or not _anything(results):
        sys.exit(1)


def _table_as(results: Results, form: Form, *, recovery: bool) -> str:
    from smc_bench.report import escape
    from smc_bench.report.tables.html import html
    from smc_bench.report.tables.tables import latex, markdown

    if form == "csv":
        return escape.to_csv(results.summary)
    return {"md": markdown, "tex": latex, "html": html}[form](results, recovery=recovery)


def _print_measured(
    session: Session, results: Results, form: Form | None, notes: Sequence[str]
) -> int:
    """Print sizes and times; the exit code."""
    from smc_bench.report.data.measured import measurements
    from smc_bench.report.tables import measured

    found = measurements(results, session.store)
    if form == "json":
        content = {"sizes": found.sizes, "times": found.times}
        rows = {name: json.loads(_records(part)) for name, part in content.items()}
        print_json(rows, plan=results.plan, notes=[*notes, *found.problems])
    elif form not in (None, "md"):
        raise click.UsageError("--measured is printed as md or json")
    else:
        echo(measured.markdown(results, found))
    for problem in found.problems:
        say(f"left out: {problem}")
    return 1 if tell(results) or found.problems else 0


def _records(table: pd.DataFrame) -> str:
    return str(table.to_json(orient="records"))


def _measured(session: Session, results: Results, *, only_answers: bool = False) -> str:
    """Tables of what was measured.

    Raises:
        DamagedError: A file of measurements can't be believed.
    """
    from smc_bench.report.data.measured import measurements
    from smc_bench.report.tables import measured

    found = measurements(results, session.store)
    if found.problems:
        raise DamagedError("; ".join(found.problems))
    return "" if only_answers and not found.anything else measured.markdown(results, found)


def _against_reported(session: Session, results: Results, *, only_answers: bool = False) -> str:
    from smc_bench.report.published import text as against_text
    from smc_bench.report.published.against import against_reported
    from smc_bench.report.published.reported import read_reported, reported_folders
    from smc_bench.report.tables.methods import read_methods

    folders = reported_folders(session.store.root)
    answers = against_reported(results, read_reported(*folders), read_methods(folders))
    return "" if only_answers and not answers else against_text.markdown(results, answers)


columns_option = click.option(
    "--columns",
    type=click.Choice(["one", "two"]),
    default="two",
    show_default=True,
    help="Width on a two-column page.",
)


@click.command("plot")
@reading_command
@columns_option
def plot(session: Session, columns: Width) -> None:
    """Draw accuracy against sparsity and the arms' effects as PNG and PDF."""
    from smc_bench.report.data.results import Results
    from smc_bench.report.outputs import Written

    plan = session.plan()
    results = Results.of(plan, session.store)
    tell_missing(session, plan)
    if not _anything(results):
        tell(results)
        fail(f"{session.suite}: nothing to draw: no cell of it has a result yet")
    written = Written()
    makers = _figures(session, results, written, columns)
    written.files(folder_of(session, results.plan), makers)
    end(written, results)


def _figures(
    session: Session, results: Results, written: Written, columns: Width = "two"
) -> dict[str, Make]:
    """What draws each figure; published numbers that can't be read cost only themselves."""
    if not _anything(results):
        say("nothing to draw: no cell has a result yet")
        return {}
    from smc_bench.report.data.curves import Curve, published_curves
    from smc_bench.report.data.measured import measurements
    from smc_bench.report.figures import plots, speedup
    from smc_bench.report.published.reported import read_reported, reported_folders
    from smc_bench.report.tables.methods import read_methods

    curves: list[Curve] = []

    def read() -> None:
        folders = reported_folders(session.store.root)
        reported, methods = read_reported(*folders), read_methods(folders)
        curves.extend(published_curves(results.plan, reported, methods))

    written.attempt("published curves", read)
    makers = plots.makers(results, columns=columns, curves=curves)
    return makers | speedup.makers(results, measurements(results, session.store), columns=columns)


def _anything(results: Results) -> bool:
    return bool(results.data["value"].notna().any())


@click.command("report")
@reading_command
@click.option("--html", is_flag=True, help="Write one page for a browser, report.html, alone.")
def report(session: Session, html: bool) -> None:
    """Write tables, plots and the page of what is finished."""
    plan = session.plan()
    tell_missing(session, plan)
    if not html:
        if not write_report(session, plan):
            sys.exit(1)
        return
    from smc_bench.cli.page import write_page
    from smc_bench.report.data.results import Results
    from smc_bench.report.outputs import Written

    results, written = Results.of(plan, session.store), Written()
    figures, folder = _figures(session, results, written), folder_of(session, results.plan)
    write_page(session, results, folder, written, figures)
    end(written, results)
