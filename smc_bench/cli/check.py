"""``smc-bench check``: is a suite right, under each of its profiles?"""

from __future__ import annotations

import click

from smc_bench.cli.common import Session, suite_command
from smc_bench.cli.output import echo
from smc_bench.suite.claims import claims_about
from smc_bench.suite.load import BUILT_IN, load_suite
from smc_bench.suite.overrides import parse_overrides
from smc_bench.tasks.registry import get_task


@click.command("check")
@suite_command
def command(session: Session) -> None:
    """Check a suite and all its recipes without running anything."""
    loaded = session.load()
    profiles = [session.profile] if session.profile else [*loaded.suite.profiles, BUILT_IN]
    claims_about(session.suite)
    for profile in dict.fromkeys(profiles):
        found = load_suite(session.suite, profile, parse_overrides(session.settings))
        for entry in found.suite.tasks:
            get_task(entry.name)  # its class is there, and is one
        tasks = ", ".join(entry.name for entry in found.suite.tasks)
        echo(
            f"{session.suite}: profile {profile}: ok ({len(found.suite.arms)} arms; {tasks})"
            + (f"; {len(found.untuned)} not tuned yet" if found.untuned else "")
        )
