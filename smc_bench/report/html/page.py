"""The page: what is on it, and its one file."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from smc_bench.report import escape
from smc_bench.report.claims.verdicts import Verdict
from smc_bench.report.data.curves import Curve
from smc_bench.report.data.results import Results
from smc_bench.report.figures import looks
from smc_bench.report.html import charts, svg, tables
from smc_bench.report.html.cells import HEIGHT, WIDTH, cells
from smc_bench.report.html.sentences import verdict_views
from smc_bench.report.published.against import Answer
from smc_bench.report.tables.tables import notes
from smc_bench.store.store import Store

FILE = "report.html"


def page(
    results: Results,
    store: Store,
    *,
    verdicts: Sequence[Verdict] = (),
    answers: Sequence[Answer] = (),
    curves: Sequence[Curve] = (),
    figures: Mapping[str, bytes] | None = None,
) -> str:
    """The whole report as one HTML file that fetches nothing.

    Args:
        results: The suite's finished cells.
        store: Where they are, with their logs and failures.
        verdicts: Claims judged by them.
        answers: Published numbers beside them.
        curves: Published numbers to draw behind them.
        figures: Static figures as PNG: ``plot`` and ``effects``, as far as they could be drawn.
    """
    shown = cells(results, store)
    scores, effects = charts.score_charts(results, curves), charts.effect_charts(results)
    loaded = results.plan.loaded
    done = results.data.drop_duplicates("cell")["value"].notna()
    content: dict[str, Any] = {
        "title": loaded.suite.title.strip(),
        "suite": loaded.suite,
        "profile": loaded.profile,
        "description": (loaded.suite.description or "").strip(),
        "done": int(done.sum()),
        "planned": len(done),
        "verdicts": verdict_views(verdicts),
        "charts": {"scores": scores, "effects": effects},
        "legend": charts.legend(results, [*scores, *effects]),
        "hollow": any(m.hollow for c in [*scores, *effects] for s in c.series for m in s.marks),
        "grids": tables.grids(results, shown),
        "numbers": tables.numbers(results, answers),
        "against": tables.against(results, answers) if answers else None,
        "notes": [*(f"Left out: {problem}" for problem in results.problems), *notes(results)],
        "cells": shown,
        "figures": {name: _data(png) for name, png in (figures or {}).items()},
        "mini": (WIDTH, HEIGHT),
        "chart_box": (charts.WIDTH, charts.HEIGHT, charts.LEFT, charts.RIGHT, charts.TOP),
        "bottom": charts.BOTTOM,
    }
    return _environment().get_template("page.html.j2").render(content)


def _data(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


@cache
def _environment() -> Environment:
    """Templates whose every text is escaped; what we wrote ourselves is marked as such."""
    loader = PackageLoader("smc_bench.report.html")
    environment = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=escape.page_text,
    )
    script, style = (_source(environment, name) for name in ("page.js", "page.css"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment.globals.update(
        script=Markup(script),
        style=Markup(style),
        script_sha256=digest,
        markers=svg.MARKERS,
        colours=looks.COLOURS,
    )
    return environment


def _source(environment: Environment, name: str) -> str:
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]
