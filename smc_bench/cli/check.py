"""``smc-bench check``: is a suite right, under each of its profiles?"""

from __future__ import annotations

from functools import cache

import click

from smc_bench.cli.common import Session, suite_command
from smc_bench.cli.output import echo
from smc_bench.dispatch.inputs.model import look_at_model, on_this_machine
from smc_bench.dispatch.inputs.pins import SourcePins
from smc_bench.dispatch.inputs.reachable import check_units
from smc_bench.suite.claims import claims_about
from smc_bench.suite.expand import task_settings
from smc_bench.suite.load import BUILT_IN, PLAIN, load_suite
from smc_bench.suite.overrides import parse_overrides
from smc_bench.tasks.base import Head
from smc_bench.tasks.registry import get_task


@click.command("check")
@suite_command
def command(session: Session) -> None:
    """Check a suite and all its recipes without running anything."""
    loaded = session.load()
    known = [*loaded.suite.profiles, BUILT_IN] if loaded.profile != PLAIN else [PLAIN]
    profiles = [session.profile] if session.profile else known
    claims_about(session.suite)

    @cache
    def looked_at(model: str, length: int, heads: tuple[Head, ...]) -> str:
        return look_at_model(model, [length], session.roots, session.lock(), heads)

    for profile in dict.fromkeys(profiles):
        found = load_suite(session.suite, profile, parse_overrides(session.settings))
        # The class of each is there, and is one.
        heads = dict.fromkeys(get_task(entry.name).head for entry in found.suite.tasks)
        lengths = [task_settings(entry)[1].max_length for entry in found.suite.tasks]
        model = looked_at(found.suite.model, max(lengths), tuple(heads))
        folder = on_this_machine(found.suite.model, session.roots, session.lock())
        check_units(found, folder, SourcePins(session.roots, session.lock(), network=False))
        tasks = ", ".join(entry.name for entry in found.suite.tasks)
        echo(
            f"{session.suite}: profile {profile}: ok ({len(found.suite.arms)} arms; {tasks}; "
            f"model {found.suite.model_name} {model})"
            + (f"; {len(found.untuned)} not tuned yet" if found.untuned else "")
        )
