"""Options that verbs share, and the two kinds of verbs: those that run, and those that read."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from smc_bench.cli import complete
from smc_bench.cli.find import Asked
from smc_bench.cli.session import Session, folders, reading
from smc_bench.plugins import load_plugins
from smc_bench.sources import Roots
from smc_bench.store.store import Store
from smc_bench.suite.only import KEYS
from smc_bench.suite.shipped import suite_path

Command = Callable[..., Any]

include_option = click.option(
    "--include",
    multiple=True,
    envvar="SMC_BENCH_INCLUDE",
    type=click.Path(path_type=Path),
    help="Python file with scorers, methods, schedules or tasks of your own (docs/extend.md).",
)


def _one_folder(ctx: click.Context, option: click.Parameter, value: Path) -> Path:
    """The first of several folders that the variable names: that is where verbs write."""
    if ctx.get_parameter_source(option.name or "") == ParameterSource.ENVIRONMENT:
        return Path(str(value).split(os.pathsep)[0])
    return value


def one_results_option(help: str) -> Callable[[Command], Command]:
    """``--results`` of a verb that takes a single folder, with its variable."""
    return click.option(
        "--results",
        type=click.Path(path_type=Path),
        default=Path("results"),
        show_default=True,
        envvar="SMC_BENCH_RESULTS",
        callback=_one_folder,
        help=help,
    )


results_option = one_results_option("Results folder.")

reading_results_option = click.option(
    "--results",
    "results",
    type=click.Path(path_type=Path),
    multiple=True,
    default=(Path("results"),),
    show_default=True,
    envvar="SMC_BENCH_RESULTS",
    help="Results folder; several are read as one.",
)

_SUITE_OPTIONS = (
    click.option(
        "--profile",
        shell_complete=complete.profiles,
        help="Profile of the suite (its own default if left out).",
    ),
    click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="KEY=VALUE",
        shell_complete=complete.settings,
        help="Change a setting, for example train.rows=500.",
    ),
    click.option("--data-root", type=click.Path(path_type=Path), help="Local mirror of data sets."),
    click.option(
        "--cache", type=click.Path(path_type=Path), help="Cache of wheels and fetched rows."
    ),
    include_option,
)

only_option = click.option(
    "--only",
    multiple=True,
    metavar="KEY=VALUE",
    shell_complete=complete.only,
    help=f"Only cells that match ({', '.join(KEYS)}), and the dense ones they need.",
)


def suite_command(function: Command) -> Command:
    """Options of a verb that takes a suite's path or name; hands the verb a Session."""

    @wraps(function)
    def call(
        suite: str,
        profile: str | None,
        settings: tuple[str, ...],
        results: Path,
        data_root: Path | None,
        cache: Path | None,
        include: tuple[Path, ...],
        **rest: Any,
    ) -> Any:
        load_plugins(include)
        roots = Roots.from_environment(data_root, cache)
        path = suite_path(suite)
        return function(Session(path, profile, settings, roots, Store(results), include), **rest)

    suite_argument = click.argument("suite", shell_complete=complete.suites)
    return _with(call, suite_argument, results_option, *_SUITE_OPTIONS)


def reading_command(function: Command, *, then_id: bool = False, named: bool = False) -> Command:
    """Options of a verb that reads results; hands it a Session for a run or a suite's file.

    The suite may be left out (the newest run), and several results folders are read as one. With
    ``then_id`` the verb has an argument ``cell_id`` behind the suite, which may stand alone; with
    ``named`` the suite must be given.
    """

    @wraps(function)
    def call(
        suite: str | None,
        profile: str | None,
        settings: tuple[str, ...],
        results: tuple[Path, ...],
        data_root: Path | None,
        cache: Path | None,
        include: tuple[Path, ...],
        only: tuple[str, ...],
        **rest: Any,
    ) -> Any:
        if then_id and rest.get("cell_id") is None:
            if suite is None:
                raise click.UsageError("Missing argument 'ID'.")
            suite, rest["cell_id"] = None, suite
        load_plugins(include)
        asked = Asked(suite, profile, settings, data_root, folders(results), cache)
        session = reading(asked, cache, include, only)
        return function(session, **rest)

    suite_argument = click.argument("suite", required=named, shell_complete=complete.suites)
    return _with(call, suite_argument, reading_results_option, only_option, *_SUITE_OPTIONS)


def _with(call: Command, *options: Callable[[Command], Command]) -> Command:
    for option in reversed(options):
        call = option(call)
    return call
