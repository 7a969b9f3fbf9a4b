"""``--format`` and ``--json``: what a reading verb prints, as text, table or data."""

from __future__ import annotations

import csv
import html
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from typing import Any, Literal

import click

from smc_bench import __version__
from smc_bench.cli.output import echo
from smc_bench.suite.expand import Plan

Form = Literal["md", "tex", "csv", "json", "html"]
FORMS: tuple[Form, ...] = ("md", "tex", "csv", "json", "html")

ENVELOPE = 1
"""Version of what is around the data of every ``--json``; docs/cli.md describes it."""

Rows = Sequence[Mapping[str, Any]]


def json_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--json`` of verbs that have no other format."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON (docs/cli.md).")(
        function
    )


def format_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--format`` and ``--json``; hands the verb ``form``, None where text is wanted."""

    @wraps(function)
    def call(*args: Any, form: Form | None, as_json: bool, **rest: Any) -> Any:
        if as_json and form not in (None, "json"):
            raise click.UsageError(f"--json and --format {form} exclude each other")
        return function(*args, form="json" if as_json else form, **rest)

    option = click.option("--format", "form", type=click.Choice(FORMS), help="Print it so.")
    return option(json_option(call))


def print_json(data: Any, *, plan: Plan | None = None, notes: Iterable[str] = ()) -> None:
    """Data on standard output, in the envelope that all verbs share.

    Args:
        data: What the verb found.
        plan: The suite that it is about.
        notes: What a reader should know.
    """
    context = click.get_current_context(silent=True)
    suite = None
    if plan is not None:
        loaded = plan.loaded
        named = {"name": loaded.suite.name, "profile": loaded.profile}
        suite = {**named, "model": loaded.suite.model_name}
    content = {
        "format": ENVELOPE,
        "version": __version__,
        "verb": None if context is None else context.info_name,
        "suite": suite,
        "notes": list(notes),
        "data": data,
    }
    echo(json.dumps(content, indent=1))


def print_rows(
    rows: Rows, form: Form, *, plan: Plan | None = None, notes: Iterable[str] = ()
) -> None:
    """Rows with the same keys in any of the formats; notes only in JSON."""
    if form == "json":
        print_json(list(rows), plan=plan, notes=notes)
    else:
        echo(_WRITERS[form](rows).rstrip("\n"))


def _texts(rows: Rows) -> tuple[list[str], list[list[str]]]:
    columns = list(rows[0]) if rows else []
    return columns, [[_text(row[key]) for key in columns] for row in rows]


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _markdown(rows: Rows) -> str:
    from smc_bench.report.escape import markdown

    columns, body = _texts(rows)
    lines = [[markdown(text) for text in line] for line in (columns, *body)]
    lines.insert(1, ["---"] * len(columns))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _latex(rows: Rows) -> str:
    from smc_bench.report.escape import latex

    columns, body = _texts(rows)
    lines = [" & ".join(latex(text) for text in line) + r" \\" for line in (columns, *body)]
    lines.insert(1, r"\midrule")
    start = [rf"\begin{{tabular}}{{{'l' * len(columns)}}}", r"\toprule"]
    return "\n".join([*start, *lines, r"\bottomrule", r"\end{tabular}"])


def _csv(rows: Rows) -> str:
    from smc_bench.report.escape import csv_text

    columns, _ = _texts(rows)
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        values = (row[key] for key in columns)
        writer.writerow([csv_text(v) if isinstance(v, str) else v for v in values])
    return file.getvalue()


def _html(rows: Rows) -> str:
    columns, body = _texts(rows)
    head = "".join(f'<th scope="col">{html.escape(text)}</th>' for text in columns)
    lines = [
        "<tr>" + "".join(f"<td>{html.escape(text)}</td>" for text in line) + "</tr>"
        for line in body
    ]
    return "\n".join(
        ["<table>", f"<thead><tr>{head}</tr></thead>", "<tbody>", *lines, "</tbody>", "</table>"]
    )


_WRITERS: dict[Form, Callable[[Rows], str]] = {
    "md": _markdown,
    "tex": _latex,
    "csv": _csv,
    "html": _html,
}
