"""``smc-bench list``: tasks, scorers, methods, schedules, recipes and suites by name."""

from __future__ import annotations

from pathlib import Path

import click

from smc_bench.cli.common import include_option, json_option, print_json
from smc_bench.cli.output import echo
from smc_bench.engine.pruning.methods.registry import METHODS
from smc_bench.engine.pruning.scorers.registry import SCORERS
from smc_bench.engine.schedules.kinds import ALL
from smc_bench.plugins import load_plugins
from smc_bench.suite.claims import FILE as CLAIMS
from smc_bench.suite.load import shipped_recipes
from smc_bench.tasks.specs import SPECS


@click.command("list")
@json_option
@include_option
def command(as_json: bool, include: tuple[Path, ...]) -> None:
    """List tasks, scorers, methods, schedules, recipes and suites."""
    load_plugins(include)
    recipes = sorted({p.stem for folder in shipped_recipes() for p in folder.glob("*.yaml")})
    content = {
        "tasks": {name: f"{', '.join(s.metrics)}; {s.source}" for name, s in sorted(SPECS.items())},
        "scorers": {name: s.source for name, s in sorted(SCORERS.items())},
        "methods": {name: s.source for name, s in sorted(METHODS.items())},
        **{
            f"kinds of {kinds.key}": {name: s.source for name, s in sorted(kinds.specs.items())}
            for kinds in ALL
        },
        "recipes": recipes,
        "suites": sorted(str(p) for p in Path("suites").glob("*.yaml") if p.name != CLAIMS),
    }
    if as_json:
        print_json(content)
        return
    for kind, names in content.items():
        echo(f"{kind}:")
        for name in names:
            text = f"  {names[name]}" if isinstance(names, dict) else ""
            echo(f"  {name:20s}{text}".rstrip())
