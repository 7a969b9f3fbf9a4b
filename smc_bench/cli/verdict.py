"""``smc-bench verdict``: what finished cells say of published claims."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from smc_bench.cli.common import Session, format_option, print_json, reading_command
from smc_bench.cli.formats import Form, print_rows
from smc_bench.cli.missing import tell_missing
from smc_bench.cli.output import echo
from smc_bench.errors import SuiteError
from smc_bench.suite.claims import claims_beside


@click.command("verdict")
@reading_command
@format_option
@click.option(
    "--claims",
    type=click.Path(path_type=Path),
    help="File of claims (claims.yaml beside the suite, else the shipped one).",
)
def command(session: Session, form: Form | None, claims: Path | None) -> None:
    """Say of each claim: supported, contradicted, can't tell, one seed only, or not run."""
    from smc_bench.report.claims import text as verdict_text
    from smc_bench.report.claims.verdicts import judge
    from smc_bench.report.data.measured import measurements
    from smc_bench.report.data.results import Results

    whole = session.found is not None and session.found.whole
    if claims is None and not whole and claims_beside(session.suite) is None:
        raise SuiteError(f"{session.suite}: there is no claims.yaml; name one with --claims")
    known = session.claims(claims)
    plan = session.plan()
    results = Results.of(plan, session.store)
    verdicts = judge(known, results, lambda: measurements(results, session.store))
    tell_missing(session, plan)
    content = verdict_text.as_json(verdicts)
    if form == "json":
        print_json(content, plan=plan)
    elif form not in (None, "md"):
        print_rows(_flat(content), form)
    else:
        echo(verdict_text.markdown(results, verdicts))


def _flat(content: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each comparison; of a claim without any, one that says so."""
    keys = ("task", "sparsity", "speedup", "arm", "against", "effect", "low", "high")
    rows = []
    for claim in content:
        head = {key: claim[key] for key in ("claim", "compare_at", "where", "verdict")}
        found = claim["comparisons"] or [{"verdict": "; ".join(claim["reasons"])}]
        rows += [
            {**head, **{key: one.get(key) for key in keys}, "finding": one["verdict"]}
            for one in found
        ]
    return rows
