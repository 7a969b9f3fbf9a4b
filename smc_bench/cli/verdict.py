"""``smc-bench verdict``: what finished cells say of published claims."""

from __future__ import annotations

from pathlib import Path

import click

from smc_bench.cli.common import Session, json_option, print_json, suite_command
from smc_bench.cli.output import echo
from smc_bench.errors import SuiteError
from smc_bench.suite.claims import claims_about, claims_beside


@click.command("verdict")
@suite_command
@json_option
@click.option(
    "--claims",
    type=click.Path(path_type=Path),
    help="File of claims (claims.yaml beside the suite, else the shipped one).",
)
def command(session: Session, as_json: bool, claims: Path | None) -> None:
    """Say of each claim: supported, contradicted, can't tell, one seed only, or not run."""
    from smc_bench.report.claims import text as verdict_text
    from smc_bench.report.claims.verdicts import judge
    from smc_bench.report.data.results import Results

    if claims is None and claims_beside(session.suite) is None:
        raise SuiteError(f"{session.suite}: there is no claims.yaml; name one with --claims")
    known = claims_about(session.suite, claims)
    results = Results.of(session.plan(), session.store)
    verdicts = judge(known, results)
    if as_json:
        print_json(verdict_text.as_json(verdicts))
    else:
        echo(verdict_text.markdown(results, verdicts))
