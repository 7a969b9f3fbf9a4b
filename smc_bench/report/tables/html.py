"""Comparison tables as HTML, to paste into a page; ``report --html`` makes a page of its own."""

from __future__ import annotations

from html import escape

from smc_bench.report.data.results import Results
from smc_bench.report.tables.footnotes import footnotes
from smc_bench.report.tables.tables import AT, wide


def html(results: Results, *, recovery: bool = False) -> str:
    """A section for each task and way of comparing, and the footnotes."""
    suite = results.plan.loaded.suite
    lines = [f"<h1>{escape(suite.title.strip())}</h1>"]
    for task in results.tasks:
        for at in results.ways(task):
            caption = ", ".join(text for text in (task, AT[at]) if text)
            table = wide(results, task, at, recovery=recovery, style="html")
            head = "".join(f'<th scope="col">{escape(str(name))}</th>' for name in table.columns)
            lines += [
                "<table>",
                f"<caption>{escape(caption)}</caption>",
                f'<thead><tr><th scope="col">arm</th>{head}</tr></thead>',
                "<tbody>",
            ]
            for arm, row in table.iterrows():
                cells = "".join(f"<td>{text}</td>" for text in row)
                lines.append(f'<tr><th scope="row">{arm}</th>{cells}</tr>')
            lines += ["</tbody>", "</table>"]
    notes = "".join(f"<li>{escape(note)}</li>" for note in footnotes(results))
    return "\n".join([*lines, f"<ul>{notes}</ul>" if notes else ""]).rstrip() + "\n"
