"""``smc-bench compare``: two results folders, suites or arms side by side."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from smc_bench.cli.common import include_option, json_option, print_json, say
from smc_bench.cli.find import Asked
from smc_bench.cli.options import one_results_option
from smc_bench.cli.output import echo
from smc_bench.cli.session import reading
from smc_bench.errors import SuiteError
from smc_bench.plugins import load_plugins
from smc_bench.store.store import Store

if TYPE_CHECKING:
    from smc_bench.report.sides import Side


@click.command("compare")
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@one_results_option("Results folder of suites and arms.")
@click.option("--metric", help="Another metric than each task's primary one.")
@include_option
@json_option
def command(
    first: str,
    second: str,
    results: Path,
    metric: str | None,
    include: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Compare B with A, per cell and per arm, and say what differs.

    A and B are two results folders (or folders of small records, or tars), or two of SUITE,
    SUITE@PROFILE, SUITE:ARM and SUITE@PROFILE:ARM in one results folder, as they were last run.
    Leaves with code 1 where nothing can be compared or a file can't be believed.
    """
    from smc_bench.report import side_by_side

    load_plugins(include)
    with ExitStack() as stack:
        sides = _sides(first, second, results, metric, stack)
        found = side_by_side.side_by_side(*sides)
    if as_json:
        print_json(side_by_side.as_json(found))
    else:
        echo(side_by_side.markdown(found))
    for problem in found.problems:
        say(f"left out: {problem}")
    if found.problems or not found.arms:
        sys.exit(1)


def _sides(
    first: str, second: str, results: Path, metric: str | None, stack: ExitStack
) -> tuple[Side, Side]:
    from smc_bench.report.data.stored import opened
    from smc_bench.report.sides import folder_side

    folders = [_is_folder(text) for text in (first, second)]
    if all(folders):
        one, other = (
            folder_side(text, stack.enter_context(opened(Path(text))), metric)
            for text in (first, second)
        )
        return one, other
    if any(folders):
        gone = second if folders[0] else first
        if "/" in gone and not Path(gone).exists():
            raise SuiteError(
                f"{gone}: there is no such results folder: give two results folders, or two suites "
                "or arms"
            )
        raise SuiteError(f"{first}, {second}: give two results folders, or two suites or arms")
    arms = [_parts(text)[2] for text in (first, second)]
    if (arms[0] is None) != (arms[1] is None):
        raise SuiteError(f"{first}, {second}: give two suites, or an arm of each")
    one, other = (_suite_side(text, Store(results), metric) for text in (first, second))
    return one, other


def _is_folder(text: str) -> bool:
    path = Path(text)
    return path.is_dir() or (path.is_file() and path.suffix not in (".yaml", ".yml"))


def _parts(text: str) -> tuple[str, str | None, str | None]:
    """Suite, profile and arm of ``SUITE@PROFILE:ARM``."""
    before, colon, arm = text.partition(":")
    suite, at, profile = before.partition("@")
    return suite, profile if at else None, arm if colon else None


def _suite_side(text: str, store: Store, metric: str | None) -> Side:
    from smc_bench.report.data.stored import finished, recorded_plan
    from smc_bench.report.sides import plan_side
    from smc_bench.suite.metrics import check_metric
    from smc_bench.suite.yaml_file import nearest

    suite, profile, arm = _parts(text)
    session = reading(Asked(suite, profile, (), None, (store.root,)))
    if session.found and session.found.stored:
        plan = session.plan()
    else:
        plan = recorded_plan(finished(store)[0], session.suite, profile)
    arms = list(dict.fromkeys(entry.arm for entry in plan.entries))
    if arm is not None and arm not in arms:
        raise SuiteError(f"{text}: there is no arm {arm!r}{nearest(arm, arms)}")
    if metric is not None:
        check_metric(plan, metric)
    return plan_side(text, plan, store, arm, metric)
