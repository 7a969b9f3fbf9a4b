"""What the verbs share: options, loading of a plan, and errors as one clear line."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, NoReturn

import click

from smc_bench.cli.output import echo
from smc_bench.dispatch.inputs.pins import SourcePins
from smc_bench.errors import SmcBenchError
from smc_bench.names import visible
from smc_bench.plugins import load_plugins
from smc_bench.sources import Lock, Roots, mirror
from smc_bench.store.store import Store
from smc_bench.suite.expand import Plan, expand
from smc_bench.suite.load import LoadedSuite, load_suite
from smc_bench.suite.overrides import parse_overrides

Command = Callable[..., Any]


@dataclass(frozen=True)
class Session:
    """What one invocation works with."""

    suite: Path
    profile: str | None
    settings: tuple[str, ...]
    roots: Roots
    store: Store
    include: tuple[Path, ...] = ()

    def load(self, *, tuned: bool = True) -> LoadedSuite:
        """The suite under the profile asked for."""
        overrides = parse_overrides(self.settings)
        return load_suite(self.suite, self.profile, overrides, tuned=tuned)

    def lock(self) -> Lock:
        """The lock of this results folder."""
        return Lock.load(self.store.root / "lock.json")

    def plan(
        self, *, network: bool = False, limit: int | None = None, measure: bool = False
    ) -> Plan:
        """All cells; with ``network`` what is not pinned yet is resolved and locked.

        With ``measure`` an automatic precision is chosen, once for the results folder.
        """
        mirror.check_root(self.roots.data)
        pins = SourcePins(self.roots, self.lock(), network=network, measure=measure)
        return expand(self.load(), pins, limit)


include_option = click.option(
    "--include",
    multiple=True,
    envvar="SMC_BENCH_INCLUDE",
    type=click.Path(path_type=Path),
    help="Python file with scorers, methods, schedules or tasks of your own (docs/extend.md).",
)


def suite_command(function: Command) -> Command:
    """Options of every verb that takes a suite; hands the verb a Session."""

    @wraps(function)
    def call(
        suite: Path,
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
        session = Session(suite, profile, settings, roots, Store(results), include)
        return function(session, **rest)

    options = (
        click.argument("suite", type=click.Path(path_type=Path)),
        click.option("--profile", help="Profile of the suite (its own default if left out)."),
        click.option(
            "--set",
            "settings",
            multiple=True,
            metavar="KEY=VALUE",
            help="Change a setting, for example train.rows=500.",
        ),
        click.option(
            "--results",
            type=click.Path(path_type=Path),
            default=Path("results"),
            show_default=True,
            help="Results folder.",
        ),
        click.option(
            "--data-root", type=click.Path(path_type=Path), help="Local mirror of data sets."
        ),
        click.option(
            "--cache", type=click.Path(path_type=Path), help="Cache of wheels and fetched rows."
        ),
        include_option,
    )
    for option in reversed(options):
        call = option(call)
    return call


def json_option(function: Command) -> Command:
    """``--json`` of the read-only verbs."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(function)


def print_json(content: Any) -> None:
    """JSON on standard output."""
    echo(json.dumps(content, indent=1))


def say(text: str) -> None:
    """A message on standard error."""
    echo(text, err=True)


class Group(click.Group):
    """Turns the project's errors into one line and exit code 1."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Parse the options of the group itself."""
        with _plain_usage_errors():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a verb."""
        try:
            with _plain_usage_errors():
                return super().invoke(ctx)
        except SmcBenchError as error:
            fail(str(error))
        except KeyboardInterrupt:
            say("interrupted")
            sys.exit(130)
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            fail(f"{where}{error.strerror or error}")


@contextmanager
def _plain_usage_errors() -> Iterator[None]:
    """Spell out control characters in click's own messages, which repeat what was typed."""
    try:
        yield
    except click.ClickException as error:
        vars(error)["message"] = visible(error.message)  # declared final
        raise


def fail(message: str) -> NoReturn:
    """Print an error and leave with code 1; its further lines can't be taken for others."""
    echo("error: " + message.replace("\n", "\n  "), err=True)
    sys.exit(1)
