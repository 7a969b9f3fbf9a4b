"""``smc-bench list``: tasks, scorers, methods, schedules, recipes and suites by name."""

from __future__ import annotations

from pathlib import Path

import click

from smc_bench.cli.common import include_option, json_option, print_json
from smc_bench.cli.options import reading_results_option
from smc_bench.cli.output import echo
from smc_bench.engine.pruning.methods.registry import METHODS
from smc_bench.engine.pruning.scorers.registry import SCORERS
from smc_bench.engine.schedules.kinds import ALL
from smc_bench.errors import SuiteError, one_line
from smc_bench.plugins import load_plugins
from smc_bench.store.runs import runs
from smc_bench.suite.load import shipped_recipes
from smc_bench.suite.shipped import CLAIMS, shipped_suites
from smc_bench.suite.yaml_file import read_yaml
from smc_bench.tasks.specs import SPECS


@click.command("list")
@json_option
@reading_results_option
@include_option
def command(as_json: bool, results: tuple[Path, ...], include: tuple[Path, ...]) -> None:
    """List tasks, scorers, methods, schedules, recipes, suites, and the runs that results know."""
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
        "suites": _suites(),
        "runs": {
            run.id: f"{run.suite}, profile {run.profile}, {run.when}" for run in runs(*results)
        },
    }
    if as_json:
        print_json(content)
        return
    for kind, names in content.items():
        echo(f"{kind}:")
        for name in names:
            text = f"  {names[name]}" if isinstance(names, dict) else ""
            echo(f"  {name:20s}{text}".rstrip())


def _suites() -> dict[str, str]:
    """What may be given by name: shipped suites, and those of the current folder."""
    found = {name: _title(path) for name, path in shipped_suites().items()}
    for path in sorted(Path("suites").glob("*.yaml")):
        if path.name != CLAIMS:
            found[path.stem] = _title(path)
    return dict(sorted(found.items()))


def _title(path: Path) -> str:
    try:
        return one_line(str(read_yaml(path).data.get("title") or ""))
    except SuiteError as error:
        return f"can't be read: {error}"
